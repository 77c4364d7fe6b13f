//! A TCP socket that is neither connected nor listening yet.

use crate::handle::{Handle, LateHandle};
use crate::tcp_listener::TcpListener;
use crate::tcp_stream::TcpStream;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// A TCP socket that is neither connected nor listening yet, to set options on.
///
/// [`TcpListener::bind`] and [`TcpStream::connect`] suffice unless an option must be set before the
/// socket is bound, listens or connects.
///
/// ```
/// use net::{TcpSocket, TcpStream};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.bind("127.0.0.1:0".parse().expect("it is an address"))?;
/// let listener = socket.listen(128)?;
/// let _client = TcpStream::connect(listener.local_addr()?).await?;
/// let (_server, _peer) = listener.accept().await?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct TcpSocket(Socket);

impl TcpSocket {
    /// A new IPv4 socket.
    ///
    /// # Errors
    /// The operating system's, such as having too many open files.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV4)
    }

    /// A new IPv6 socket.
    ///
    /// # Errors
    /// The operating system's, such as having too many open files.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV6)
    }

    /// A socket of the family that `addr` belongs to.
    pub(crate) fn new_for(addr: SocketAddr) -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::for_address(addr))
    }

    #[cfg(target_os = "linux")]
    fn new(domain: Domain) -> io::Result<TcpSocket> {
        Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP)).map(TcpSocket)
    }

    #[cfg(not(target_os = "linux"))]
    fn new(domain: Domain) -> io::Result<TcpSocket> {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        Ok(TcpSocket(socket))
    }

    /// Takes over a socket of the standard library, which is put into non-blocking mode.
    ///
    /// Meant for sockets that another crate has made and set options on, before they are connected.
    ///
    /// # Errors
    /// If the socket cannot be put into non-blocking mode.
    pub fn from_std(socket: std::net::TcpStream) -> io::Result<TcpSocket> {
        socket.set_nonblocking(true)?;
        Ok(TcpSocket(socket.into()))
    }

    /// Binds the socket to a local address; port 0 lets the operating system choose.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse),
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and others of the operating system.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.0.bind(&addr.into())
    }

    /// Starts to listen, for at most `backlog` connections that have not been accepted yet.
    ///
    /// # Errors
    /// The operating system's.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        let handle = Handle::current_for("TcpSocket::listen");
        self.listen_with(backlog, &handle)
    }

    pub(crate) fn listen_with(self, backlog: u32, handle: &Handle) -> io::Result<TcpListener> {
        self.0.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener::from_fd(self.0.into(), handle))
    }

    /// Connects to `addr`.
    ///
    /// **Cancel safety**: dropping the future closes the socket.
    ///
    /// # Errors
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused),
    /// [`TimedOut`](io::ErrorKind::TimedOut) after the operating system's minutes, and others of
    /// the operating system.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn connect(self, addr: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send {
        let handle = LateHandle::capture("TcpSocket::connect");
        async move { self.connect_with(addr, &handle.get()).await }
    }

    pub(crate) async fn connect_with(
        self,
        addr: SocketAddr,
        handle: &Handle,
    ) -> io::Result<TcpStream> {
        match self.0.connect(&addr.into()) {
            // Not always connected yet: with `TCP_FASTOPEN_CONNECT` the first write does that, and
            // whoever waited before it would wait for ever.
            Ok(()) => Ok(TcpStream::new(OwnedFd::from(self.0).into(), handle)),
            Err(error) if is_in_progress(&error) => {
                TcpStream::connecting(OwnedFd::from(self.0).into(), handle).await
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the local address may be bound though connections of a former owner linger.
    ///
    /// # Errors
    /// The operating system's.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        self.0.reuse_address()
    }

    /// Allows to bind the local address though connections of a former owner linger
    /// (`SO_REUSEADDR`).
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.0.set_reuse_address(reuseaddr)
    }

    /// Whether several sockets may share the local address.
    ///
    /// # Errors
    /// The operating system's.
    #[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
    pub fn reuseport(&self) -> io::Result<bool> {
        self.0.reuse_port()
    }

    /// Allows several sockets to share the local address (`SO_REUSEPORT`).
    ///
    /// # Errors
    /// The operating system's.
    #[cfg(not(any(target_os = "solaris", target_os = "illumos")))]
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.0.set_reuse_port(reuseport)
    }

    /// The size of the send buffer in bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.0.send_buffer_size()
    }

    /// Sets the size of the send buffer in bytes; the operating system may round it, Linux doubles
    /// it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_send_buffer_size(&self, size: usize) -> io::Result<()> {
        self.0.set_send_buffer_size(size)
    }

    /// The size of the receive buffer in bytes.
    ///
    /// # Errors
    /// The operating system's.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.0.recv_buffer_size()
    }

    /// Sets the size of the receive buffer in bytes; the operating system may round it, Linux
    /// doubles it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_recv_buffer_size(&self, size: usize) -> io::Result<()> {
        self.0.set_recv_buffer_size(size)
    }

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.0.tcp_nodelay()
    }

    /// Sends small writes at once instead of gathering them (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.0.set_tcp_nodelay(nodelay)
    }

    /// After how much silence the peer is asked whether it is still there, if at all.
    ///
    /// # Errors
    /// The operating system's.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        keepalive(&self.0)
    }

    /// Asks the peer whether it is still there after that much silence, in whole seconds, or never.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_keepalive(&self, keepalive: Option<Duration>) -> io::Result<()> {
        set_keepalive(&self.0, keepalive)
    }

    /// The address that the socket is bound to.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    /// The pending error of the socket, which this clears.
    ///
    /// # Errors
    /// The operating system's, if asking fails.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }
}

#[cfg(not(any(target_os = "openbsd", target_os = "haiku")))]
pub(crate) fn keepalive(socket: &Socket) -> io::Result<Option<Duration>> {
    if socket.keepalive()? { socket.tcp_keepalive_time().map(Some) } else { Ok(None) }
}

/// These have one time for all sockets, and do not tell it.
#[cfg(any(target_os = "openbsd", target_os = "haiku"))]
pub(crate) fn keepalive(socket: &Socket) -> io::Result<Option<Duration>> {
    if socket.keepalive()? { Err(io::ErrorKind::Unsupported.into()) } else { Ok(None) }
}

pub(crate) fn set_keepalive(socket: &Socket, keepalive: Option<Duration>) -> io::Result<()> {
    match keepalive {
        Some(time) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time)),
        None => socket.set_keepalive(false),
    }
}

/// Whether a connection is being made in spite of the error; interrupted, it goes on as well.
fn is_in_progress(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INPROGRESS | Errno::INTR))
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;

    /// The last says that the system has no room for another route, and begins nothing.
    #[test]
    fn only_a_connection_that_goes_on_is_waited_for() {
        let is_waited_for = |errno: Errno| is_in_progress(&errno.into());
        assert!(is_waited_for(Errno::INPROGRESS) && is_waited_for(Errno::INTR));
        assert!(!is_waited_for(Errno::AGAIN));
    }
}
