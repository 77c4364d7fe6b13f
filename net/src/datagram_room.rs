//! Room for a datagram: in the sender's buffer, and in the queue where it goes.

use crate::driver::registered::Registered;
use crate::interest::Interest;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, ErrorKind};
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends to an address, waiting until there is room in the sender's buffer and in the queue there.
///
/// The system says `WouldBlock` for the lack of either. Room in the own buffer is an event. Room in
/// the queue there is one only for senders that are connected to it; others would wait for ever,
/// unless a datagram of their own is among those that fill it. So if it is that queue, a second
/// socket, the scout, is connected to the address, only to be told.
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
        let attempt = |socket: &UnixDatagram| attempt(socket, &mut send);
        if let Some(size) = socket.io(Interest::WRITABLE, attempt).await? {
            return Ok(size);
        }
        let scout = match &scout {
            Some(scout) => scout,
            None => scout.insert(connected(socket, addr)?),
        };
        let clear = scout.try_io(Interest::WRITABLE, |_| Err::<(), _>(would_block()));
        debug_assert!(clear.is_err(), "it does nothing else");
        if !has_room(scout.get_ref())? {
            scout.writable().await?;
        }
    }
}

/// Sends if there is room, both here and there.
pub(crate) fn try_send_to(
    socket: &Registered<UnixDatagram>,
    mut send: impl FnMut(&UnixDatagram) -> io::Result<usize>,
) -> io::Result<usize> {
    let sent = socket.try_io(Interest::WRITABLE, |socket| attempt(socket, &mut send))?;
    sent.ok_or_else(would_block)
}

/// One attempt, of which `WouldBlock` means that the own buffer is full, and `None` that the queue
/// there is: that says nothing about this socket, which stays ready to send elsewhere.
fn attempt(
    socket: &UnixDatagram,
    send: &mut impl FnMut(&UnixDatagram) -> io::Result<usize>,
) -> io::Result<Option<usize>> {
    match send(socket) {
        Err(error) if error.kind() == ErrorKind::WouldBlock && has_room(socket)? => Ok(None),
        sent => sent.map(Some),
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

/// Whether there is room in the buffer of a socket and, if it is connected, in the queue there.
fn has_room(socket: &UnixDatagram) -> io::Result<bool> {
    let mut files = [PollFd::new(socket, PollFlags::OUT)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(poll(&mut files, Some(&now))? > 0)
}

fn would_block() -> io::Error {
    ErrorKind::WouldBlock.into()
}
