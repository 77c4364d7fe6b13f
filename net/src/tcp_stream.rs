//! A TCP connection.

use crate::addr::{Failures, ToSocketAddrs, resolve};
use crate::driver::registered::Registered;
use crate::handle::{Handle, LateHandle};
use crate::interest::{Interest, Ready};
use crate::into_split::{OwnedReadHalf, OwnedWriteHalf};
use crate::split::{ReadHalf, WriteHalf};
use crate::tcp_listener::check_nonblocking;
use crate::tcp_socket::{self, TcpSocket};
use socket2::SockRef;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};
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
                match TcpSocket::new_for(addr)?.connect_with(addr, &handle).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failures.add(addr, error),
                }
            }
            Err(failures.into_error())
        }
    }

    pub(crate) fn new(stream: std::net::TcpStream, handle: &Handle) -> TcpStream {
        TcpStream {
            io: Registered::new(stream, handle),
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

    /// Takes over a stream of the standard library.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is in blocking mode.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        let handle = Handle::current_for("TcpStream::from_std");
        check_nonblocking(&stream, "TcpStream::from_std")?;
        Ok(TcpStream::new(stream, &handle))
    }

    /// The stream as one of the standard library, still in non-blocking mode.
    ///
    /// # Errors
    /// None at present.
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.io.into_inner())
    }

    /// Reads some bytes and returns how many; 0 is the end of the stream, or an empty buffer.
    ///
    /// **Cancel safety**: safe, nothing is lost.
    ///
    /// # Errors
    /// [`ConnectionReset`](ErrorKind::ConnectionReset), and others of the operating system.
    pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.read(buf)
    }

    /// Fills the buffer.
    ///
    /// **Cancel safety**: none, the bytes read so far are lost.
    ///
    /// # Errors
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the stream ends before, with the number of
    /// bytes read in the message, and those of [`read`](TcpStream::read).
    pub fn read_exact(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        self.io.read_exact(buf)
    }

    /// Reads into several buffers, in order, and returns the number of bytes.
    ///
    /// **Cancel safety**: safe, nothing is lost.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    pub fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.io.read_vectored(bufs)
    }

    /// Reads some bytes and leaves them to be read again.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`read`](TcpStream::read).
    pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io
            .io(Interest::READABLE, move |stream| stream.peek(buf))
    }

    /// Writes some of the bytes and returns how many.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// [`BrokenPipe`](ErrorKind::BrokenPipe) or [`ConnectionReset`](ErrorKind::ConnectionReset) if
    /// the peer is gone, and others of the operating system.
    pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.write(buf)
    }

    /// Writes all of the bytes.
    ///
    /// **Cancel safety**: none, some of the bytes may have been written.
    ///
    /// # Errors
    /// [`WriteZero`](ErrorKind::WriteZero) if the socket takes no more, and those of
    /// [`write`](TcpStream::write).
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.io.write_all(buf)
    }

    /// Writes from several buffers, in order, and returns the number of bytes.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// As [`write`](TcpStream::write).
    pub fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.io.write_vectored(bufs)
    }

    /// Does nothing: what has been written is with the operating system already.
    ///
    /// # Errors
    /// None.
    pub async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Waits until there is something to read, or the end of the stream.
    ///
    /// A hint, to be followed by [`try_read`](TcpStream::try_read). **Cancel safety**: safe.
    ///
    /// # Errors
    /// If the stream cannot be registered with the driver, or the runtime has been shut down.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until there is room to write, or the stream is closed.
    ///
    /// A hint, to be followed by [`try_write`](TcpStream::try_write). **Cancel safety**: safe.
    ///
    /// # Errors
    /// If the stream cannot be registered with the driver, or the runtime has been shut down.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Waits until the stream is ready for a direction of `interest`, and says for what.
    ///
    /// A hint. **Cancel safety**: safe.
    ///
    /// # Errors
    /// If the stream cannot be registered with the driver, or the runtime has been shut down.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        self.io.ready(interest)
    }

    /// Polls until there is something to read; keeps only the waker of the last call.
    ///
    /// # Errors
    /// As [`readable`](TcpStream::readable).
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(context)
    }

    /// Polls until there is room to write; keeps only the waker of the last call.
    ///
    /// # Errors
    /// As [`writable`](TcpStream::writable).
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_writable(context)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if nothing is, and those of [`read`](TcpStream::read).
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.try_read(buf)
    }

    /// Reads what is there into several buffers, without waiting.
    ///
    /// # Errors
    /// As [`try_read`](TcpStream::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.io.try_read_vectored(bufs)
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if there is none, and those of
    /// [`write`](TcpStream::write).
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.io.try_write(buf)
    }

    /// Writes what there is room for from several buffers, without waiting.
    ///
    /// # Errors
    /// As [`try_write`](TcpStream::try_write).
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io.try_write_vectored(bufs)
    }

    /// Calls an operation of one's own, unless the stream is known not to be ready.
    ///
    /// If `operation` fails with `WouldBlock`, the stream counts as not ready until the next event:
    /// it must return that error only if the operating system did.
    ///
    /// # Errors
    /// [`WouldBlock`](ErrorKind::WouldBlock) if the stream is not ready, and those of `operation`.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(interest, |_| operation())
    }

    /// Ends one direction, or both.
    ///
    /// After [`Shutdown::Write`] the peer reads the end of the stream, and can still send.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected) if the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }

    /// Two borrowed halves, one to read and one to write with, for one task.
    ///
    /// Where `AsyncReadExt` of futures is in scope, `stream.split()` is that trait's method, which
    /// takes the stream by value; write `TcpStream::split(&mut stream)` there.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        crate::split::split(self)
    }

    /// Two owned halves, one to read and one to write with, for two tasks.
    ///
    /// Dropping the write half ends the outgoing direction. Costs one allocation.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        crate::into_split::into_split(self)
    }

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected) if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.get_ref().peer_addr()
    }

    /// The pending error of the socket, which this clears.
    ///
    /// # Errors
    /// The operating system's, if asking fails.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.get_ref().take_error()
    }

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

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.io, f)
    }
}
