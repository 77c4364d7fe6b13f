//! A TCP connection.

use crate::addr::{Failures, ToSocketAddrs, resolve};
use crate::driver::registered::Registered;
use crate::handle::{Handle, LateHandle};
use crate::interest::Interest;
use crate::methods::{
    byte_reader, byte_writer, file_traits, read_methods, socket_methods, stream_methods,
    write_methods,
};
use crate::tcp_socket::{self, TcpSocket};
use socket2::SockRef;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// A TCP connection.
///
/// It can be read and written with its own methods and through the
/// [`AsyncRead`](futures_util::io::AsyncRead) and [`AsyncWrite`](futures_util::io::AsyncWrite)
/// traits, which a reference implements too. One task can read while another writes, after
/// [`split`](TcpStream::split) or [`into_split`](TcpStream::into_split). Dropping it closes the
/// connection.
///
/// ```
/// use net::{TcpListener, TcpStream};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?;
/// let mut stream = TcpStream::connect(addr).await?;
/// stream.write_all(b"hello").await?;
/// # let (mut peer, _) = listener.accept().await?;
/// # peer.write_all(b"ACK\n").await?;
/// let mut buf = [0; 64];
/// let read = stream.read(&mut buf).await?;
/// assert_eq!(&buf[..read], b"ACK\n");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpStream {
    pub(crate) io: Registered<std::net::TcpStream>,
}

impl TcpStream {
    /// Connects to an address.
    ///
    /// If a name resolves to several addresses, they are tried one after the other. There is no
    /// timeout but the operating system's, which takes minutes.
    ///
    /// **Cancel safety**: dropping the future closes the socket.
    ///
    /// # Errors
    /// [`ConnectionRefused`](ErrorKind::ConnectionRefused), [`TimedOut`](ErrorKind::TimedOut),
    /// [`NetworkUnreachable`](ErrorKind::NetworkUnreachable), and others of the operating system;
    /// [`InvalidInput`](ErrorKind::InvalidInput) for text that is not an address. If several
    /// addresses were tried, the message names them all and the kind is that of the last.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn connect<A: ToSocketAddrs>(addr: A) -> impl Future<Output = io::Result<TcpStream>> {
        let handle = LateHandle::capture("TcpStream::connect");
        let target = addr.to_target();
        async move {
            let handle = handle.get();
            let addrs = resolve(target, &handle).await?;
            let mut failures = Failures::default();
            for &addr in addrs.as_slice() {
                let connecting =
                    async { TcpSocket::new_for(addr)?.connect_with(addr, &handle).await };
                match connecting.await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failures.add(addr, error),
                }
            }
            Err(failures.into_error())
        }
    }

    /// Waits for the outcome of a connection that is being made.
    ///
    /// On the loopback it is often there already, and then the poller is never touched.
    pub(crate) async fn connecting(
        stream: std::net::TcpStream,
        handle: &Handle,
    ) -> io::Result<TcpStream> {
        let io = Registered::new(stream, handle);
        let outcome = |stream: &std::net::TcpStream| {
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Err(error) if error.kind() == ErrorKind::NotConnected => {
                    Err(ErrorKind::WouldBlock.into())
                }
                known => known.map(drop),
            }
        };
        io.io(Interest::WRITABLE, outcome).await?;
        Ok(TcpStream { io })
    }

    socket_methods!("TcpStream", std::net::TcpStream, SocketAddr);
    read_methods!();
    write_methods!();
    stream_methods!();

    /// Whether small writes are sent at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.get_ref().nodelay()
    }

    /// Sends small writes at once instead of gathering them (`TCP_NODELAY`).
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.get_ref().set_nodelay(nodelay)
    }

    /// How long closing waits for unsent bytes, if it is set to.
    ///
    /// # Errors
    /// The operating system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self.io.get_ref()).linger()
    }

    /// Sets how long closing waits for unsent bytes, in whole seconds; zero resets the connection.
    ///
    /// Dropping the stream **blocks the thread** for as long, unless it is zero or `None`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        SockRef::from(self.io.get_ref()).set_linger(linger)
    }

    /// After how much silence the peer is asked whether it is still there, if at all.
    ///
    /// # Errors
    /// The operating system's.
    pub fn keepalive(&self) -> io::Result<Option<Duration>> {
        tcp_socket::keepalive(&SockRef::from(self.io.get_ref()))
    }

    /// Asks the peer whether it is still there after that much silence, in whole seconds, or never.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_keepalive(&self, keepalive: Option<Duration>) -> io::Result<()> {
        tcp_socket::set_keepalive(&SockRef::from(self.io.get_ref()), keepalive)
    }

    /// The time to live of the packets sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets the time to live of the packets sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }
}

file_traits!(TcpStream);

byte_reader!([] TcpStream);
byte_writer!([] TcpStream, "Ends the outgoing direction; one that is gone already counts as ended.");
byte_reader!(
    /// At most one task should read through references: only the waker of the last call is kept.
    [] &TcpStream
);
byte_writer!(
    /// At most one task should write through references: only the waker of the last call is kept.
    [] &TcpStream,
    "Ends the outgoing direction; one that is gone already counts as ended."
);
