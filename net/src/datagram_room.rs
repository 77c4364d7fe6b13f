//! Room for a datagram: in the sender's buffer, and in the queue where it goes.

use crate::driver::registered::Registered;
use crate::interest::Interest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::task::Poll;

/// Sends to an address, waiting until there is room in the sender's buffer and in the queue there.
///
/// The system says `WouldBlock` for the lack of either. Room in the own buffer is an event. Room in
/// the queue there is one only for senders that are connected to it; others would wait for ever,
/// unless a datagram of their own is among those that fill it. So if it is that queue, a second
/// socket, the scout, is connected to the address, only to be told.
///
/// The socket's readiness is not asked before an attempt: it is unset also while the queue of a
/// connected peer is full, which says nothing about other queues.
///
/// # No wake-up is lost
/// After an attempt has found the queue full, (1) the scout's readiness is cleared, (2) the system
/// is asked whether there is room now. If there is, the next attempt follows at once. If not, the
/// system has noted before its answer that the scout is to be told, so room that is made later is
/// an event, which sets the readiness again.
pub(crate) async fn send_to(
    socket: &Registered<UnixDatagram>,
    addr: &SocketAddr,
    mut send: impl FnMut(&UnixDatagram) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut scout = None;
    loop {
        poll_fn(|context| socket.poll_budget(context)).await;
        if let Some(size) = unless_blocked(socket.attempt_regardless(&mut send))? {
            return Ok(size);
        }
        if unless_blocked(socket.attempt_regardless(has_own_room))?.is_none() {
            own_room(socket).await?;
            continue;
        }
        let current = match scout.take() {
            Some(scout) => scout,
            None => connected(socket, addr)?,
        };
        let clear = current.try_io(Interest::WRITABLE, |_| Err::<(), _>(would_block()));
        debug_assert!(clear.is_err(), "it does nothing else");
        // One that sees room is not kept: if the next attempt fails all the same, its peer may be a
        // closed socket that another has followed at this address.
        if !has_room(current.get_ref())? {
            current.writable().await?;
            scout = Some(current);
        }
    }
}

/// Sends if there is room, both here and there.
pub(crate) fn try_send_to(
    socket: &Registered<UnixDatagram>,
    send: impl FnMut(&UnixDatagram) -> io::Result<usize>,
) -> io::Result<usize> {
    if let Some(size) = unless_blocked(socket.attempt_regardless(send))? {
        return Ok(size);
    }
    // Clears the readiness if it is the own buffer, so that `writable` waits for that.
    unless_blocked(socket.try_io(Interest::WRITABLE, has_own_room))?;
    Err(would_block())
}

/// Waits for room in the own buffer.
///
/// # No wake-up is lost
/// Another operation may clear the readiness because the queue of the connected peer is full, after
/// the event that told of room here. So whoever is to wait (1) leaves its waker, (2) asks the system
/// once more: room that is made later is an event, and events wake also those whose bit is unset.
async fn own_room(socket: &Registered<UnixDatagram>) -> io::Result<()> {
    let mut room = pin!(socket.io(Interest::WRITABLE, has_own_room));
    poll_fn(|context| match room.as_mut().poll(context) {
        Poll::Pending => match unless_blocked(socket.attempt_regardless(has_own_room)) {
            Ok(None) => Poll::Pending,
            known => Poll::Ready(known.map(drop)),
        },
        outcome => outcome,
    })
    .await
}

/// Fails with `WouldBlock` if the own buffer is full.
///
/// The system checks that before it looks for the receiver, so this sends to what is never one, the
/// root folder: any error that speaks of it means room. `poll` cannot be asked, for it wants three
/// quarters of the buffer to be free, and room at the connected peer.
fn has_own_room(socket: &UnixDatagram) -> io::Result<()> {
    match socket.send_to(b"", "/") {
        Err(error)
            if matches!(
                error.kind(),
                // The last is about an earlier peer, and told only once.
                ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ConnectionReset
            ) =>
        {
            Err(error)
        }
        _ => Ok(()),
    }
}

/// A socket that is connected to `addr`.
fn connected(
    socket: &Registered<UnixDatagram>,
    addr: &SocketAddr,
) -> io::Result<Registered<UnixDatagram>> {
    let scout = UnixDatagram::unbound()?;
    scout.set_nonblocking(true)?;
    scout.connect_addr(addr)?;
    Ok(Registered::new(scout, socket.handle()))
}

/// Whether there is room in the queue to which a scout is connected.
fn has_room(scout: &UnixDatagram) -> io::Result<bool> {
    let mut files = [PollFd::new(scout, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(retry_on_intr(|| poll(&mut files, Some(&now)))? > 0)
}

/// `None` for `WouldBlock`.
fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => result.map(Some),
    }
}

fn would_block() -> io::Error {
    ErrorKind::WouldBlock.into()
}
