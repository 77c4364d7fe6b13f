//! A TCP socket that accepts connections.

use crate::addr::{Failures, ToSocketAddrs, resolve};
use crate::driver::registered::Registered;
use crate::handle::{Handle, LateHandle};
use crate::incoming::skip_failed;
use crate::methods::listener_methods;
use crate::tcp_socket::TcpSocket;
use crate::tcp_stream::TcpStream;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

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
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for ports below 1024, and others of the
    /// operating system; [`InvalidInput`](io::ErrorKind::InvalidInput) for text that is not an address.
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
            Failures::first_success(addrs.as_slice(), |addr| TcpListener::bind_one(addr, &handle))
        }
    }

    fn bind_one(addr: SocketAddr, handle: &Handle) -> io::Result<TcpListener> {
        let socket = TcpSocket::new_for(addr)?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        socket.listen_with(BACKLOG, handle)
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

    fn accept_once(&self, listener: &mio::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = skip_failed(listener.accept())?;
        Ok((TcpStream::new(OwnedFd::from(stream).into(), self.io.handle()), peer))
    }
}

listener_methods!(TcpListener, std::net::TcpListener, TcpStream, SocketAddr);
