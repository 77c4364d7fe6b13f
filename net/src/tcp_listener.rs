//! A TCP socket that accepts connections.

use crate::addr::{Failures, ToSocketAddrs, resolve};
use crate::driver::registered::Registered;
use crate::handle::{Handle, LateHandle};
use crate::interest::Interest;
use crate::tcp_socket::TcpSocket;
use crate::tcp_stream::TcpStream;
use futures_core::Stream;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// How many connections may wait to be accepted; Linux caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 1024;

/// A TCP socket that accepts connections.
///
/// Several tasks may accept from one listener at once.
///
/// ```
/// use net::{TcpListener, TcpStream};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let mut client = TcpStream::connect(listener.local_addr()?).await?;
/// let (mut server, _peer) = listener.accept().await?;
///
/// client.write_all(b"ping").await?;
/// let mut buf = [0; 4];
/// server.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"ping");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    // Not the standard library's type, whose `accept` leaves the connection in blocking mode and so
    // costs a second system call. It is never registered by itself.
    io: Registered<mio::net::TcpListener>,
}

impl TcpListener {
    /// Binds to an address and listens, with `SO_REUSEADDR` set.
    ///
    /// If a name resolves to several addresses, the first that can be bound is used. Port 0 lets
    /// the operating system choose one, which [`local_addr`](TcpListener::local_addr) tells. To set
    /// other options first, see [`TcpSocket`].
    ///
    /// # Errors
    /// [`AddrInUse`](ErrorKind::AddrInUse), [`AddrNotAvailable`](ErrorKind::AddrNotAvailable),
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) for ports below 1024, and others of the
    /// operating system; [`InvalidInput`](ErrorKind::InvalidInput) for text that is not an address.
    /// If several addresses were tried, the message names them all and the kind is that of the
    /// last.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> impl Future<Output = io::Result<TcpListener>> {
        let handle = LateHandle::capture("TcpListener::bind");
        let target = addr.to_target();
        async move {
            let handle = handle.get();
            let addrs = resolve(target, &handle).await?;
            let mut failures = Failures::default();
            for &addr in addrs.as_slice() {
                match TcpListener::bind_one(addr, &handle) {
                    Ok(listener) => return Ok(listener),
                    Err(error) => failures.add(addr, error),
                }
            }
            Err(failures.into_error())
        }
    }

    fn bind_one(addr: SocketAddr, handle: &Handle) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_for(addr)?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen_with(BACKLOG, handle)
    }

    pub(crate) fn from_fd(fd: OwnedFd, handle: &Handle) -> TcpListener {
        TcpListener {
            io: Registered::new(fd.into(), handle),
        }
    }

    /// Takes over a listener of the standard library.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is in blocking mode.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let handle = Handle::current_for("TcpListener::from_std");
        check_nonblocking(&listener, "TcpListener::from_std")?;
        Ok(TcpListener::from_fd(listener.into(), &handle))
    }

    /// The listener as one of the standard library, still in non-blocking mode.
    ///
    /// # Errors
    /// None at present.
    pub fn into_std(self) -> io::Result<std::net::TcpListener> {
        Ok(OwnedFd::from(self.io.into_inner()).into())
    }

    /// Waits for a connection and returns it with the address of its peer.
    ///
    /// Connections that fail before they can be accepted are skipped.
    ///
    /// **Cancel safety**: safe, no connection is lost.
    ///
    /// # Errors
    /// The operating system's. Those that say it has run out of something (`EMFILE`, `ENFILE`,
    /// `ENOBUFS`, `ENOMEM`) leave the connection waiting: **pause before the next call**, for
    /// example 100 ms, since it tries again at once, and neither waits nor needs to be told when
    /// files are free again.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let accepted = self.io.io(Interest::READABLE, accept_once).await;
        accepted.map(|connection| self.wrap(connection))
    }

    /// Polls for a connection.
    ///
    /// Only the waker of the last call is kept; [`accept`](TcpListener::accept) has no such limit.
    ///
    /// # Errors
    /// As [`accept`](TcpListener::accept).
    pub fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = self.io.poll_io(context, Interest::READABLE, accept_once);
        accepted.map_ok(|connection| self.wrap(connection))
    }

    fn wrap(&self, (stream, peer): Accepted) -> (TcpStream, SocketAddr) {
        let stream = std::net::TcpStream::from(OwnedFd::from(stream));
        (TcpStream::new(stream, self.io.handle()), peer)
    }

    /// The connections as a stream that never ends.
    ///
    /// It shares the place of [`poll_accept`](TcpListener::poll_accept), so at most one task should
    /// poll such a stream of a listener.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address that the listener is bound to.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The time to live of the packets sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets the time to live of the packets sent, in hops; accepted connections inherit it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }

    /// The pending error of the socket, which this clears.
    ///
    /// # Errors
    /// The operating system's, if asking fails.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }
}

type Accepted = (mio::net::TcpStream, SocketAddr);

/// One attempt. What concerns only the connection that it found counts as an interruption: the next
/// one is tried.
fn accept_once(listener: &mio::net::TcpListener) -> io::Result<Accepted> {
    listener.accept().map_err(|error| {
        if is_of_connection(&error) {
            ErrorKind::Interrupted.into()
        } else {
            error
        }
    })
}

/// Whether an error of `accept` belongs to the connection, which is gone, and not to the listener.
///
/// Linux passes on errors that were already pending on the new socket; accept(2) lists them and
/// says to try again. `EOPNOTSUPP` is on that list and not here: a socket that cannot listen
/// returns it for ever.
fn is_of_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;

    const OTHERS: [Errno; 3] = [Errno::PROTO, Errno::NOPROTOOPT, Errno::HOSTDOWN];
    match error.kind() {
        ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionReset
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable => true,
        _ => OTHERS
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error())),
    }
}

/// Refuses a socket in blocking mode, which would stop a whole thread.
pub(crate) fn check_nonblocking(socket: &impl AsFd, what: &str) -> io::Result<()> {
    if socket2::SockRef::from(socket).nonblocking()? {
        return Ok(());
    }
    let message =
        format!("`{what}` needs a non-blocking socket: call `set_nonblocking(true)` first");
    Err(io::Error::new(ErrorKind::InvalidInput, message))
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.io, f)
    }
}

/// The connections of a [`TcpListener`], as a stream that never ends.
#[must_use = "a stream does nothing unless it is polled"]
#[derive(Debug)]
pub struct Incoming<'a> {
    listener: &'a TcpListener,
}

impl Incoming<'_> {
    /// Waits for the next connection; never `None`.
    ///
    /// **Cancel safety**: safe, no connection is lost.
    ///
    /// # Errors
    /// As [`TcpListener::accept`], with the same need for a pause.
    pub async fn next(&mut self) -> Option<io::Result<TcpStream>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = self.listener.poll_accept(context);
        accepted.map_ok(|(stream, _)| stream).map(Some)
    }
}
