//! The owned halves of a connection: one reads, one writes, each in a task of its own.

use crate::tcp_stream::TcpStream;
use futures_util::io::{AsyncRead, AsyncWrite};
use std::error::Error;
use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The owned half that reads; made by [`TcpStream::into_split`].
///
/// The connection is closed when both halves are dropped. What it lacks is reached through
/// [`AsRef<TcpStream>`].
#[derive(Debug)]
pub struct OwnedReadHalf(Arc<TcpStream>);

/// The owned half that writes; made by [`TcpStream::into_split`].
///
/// Dropping it ends the outgoing direction: the peer reads the end of the stream, and can still
/// send. What it lacks is reached through [`AsRef<TcpStream>`].
#[derive(Debug)]
pub struct OwnedWriteHalf {
    stream: Arc<TcpStream>,
    /// Unset by what drops the half and keeps the direction.
    ends_on_drop: bool,
}

pub(crate) fn into_split(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let stream = Arc::new(stream);
    (
        OwnedReadHalf(Arc::clone(&stream)),
        OwnedWriteHalf {
            stream,
            ends_on_drop: true,
        },
    )
}

/// Puts two halves together again.
fn reunite(read: OwnedReadHalf, mut write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&read.0, &write.stream) {
        return Err(ReuniteError(read, write));
    }
    write.ends_on_drop = false;
    drop(write);
    Ok(Arc::into_inner(read.0).expect("there are no clones but the two halves"))
}

/// Two halves that are not of one connection; both come back unharmed.
///
/// ```
/// # use net::{TcpListener, TcpStream};
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let addr = listener.local_addr()?;
/// let (first, _) = TcpStream::connect(addr).await?.into_split();
/// let (_, second) = TcpStream::connect(addr).await?.into_split();
/// let error = first.reunite(second).expect_err("they are of two connections");
/// let (_first, _second) = (error.0, error.1);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves belong to different connections")
    }
}

impl Error for ReuniteError {}

impl OwnedReadHalf {
    /// Reads some bytes and returns how many; 0 is the end of the stream, or an empty buffer.
    ///
    /// **Cancel safety**: safe, nothing is lost.
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.0.io.read(buf)
    }

    /// Fills the buffer.
    ///
    /// **Cancel safety**: none, the bytes read so far are lost.
    ///
    /// # Errors
    /// As [`TcpStream::read_exact`].
    pub fn read_exact(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        self.0.io.read_exact(buf)
    }

    /// Reads into several buffers, in order, and returns the number of bytes.
    ///
    /// **Cancel safety**: safe, nothing is lost.
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub fn read_vectored(
        &mut self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.0.io.read_vectored(bufs)
    }

    /// Reads some bytes and leaves them to be read again.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`TcpStream::read`].
    pub fn peek(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.0.peek(buf)
    }

    /// Reads what is there, without waiting.
    ///
    /// # Errors
    /// As [`TcpStream::try_read`].
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buf)
    }

    /// Waits until there is something to read, or the end of the stream.
    ///
    /// A hint. **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`TcpStream::readable`].
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await
    }

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.peer_addr()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// If they are not of one connection.
    pub fn reunite(self, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, write)
    }
}

impl OwnedWriteHalf {
    /// Writes some of the bytes and returns how many.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// As [`TcpStream::write`].
    pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.stream.io.write(buf)
    }

    /// Writes all of the bytes.
    ///
    /// **Cancel safety**: none, some of the bytes may have been written.
    ///
    /// # Errors
    /// As [`TcpStream::write_all`].
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.stream.io.write_all(buf)
    }

    /// Writes from several buffers, in order, and returns the number of bytes.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// As [`TcpStream::write`].
    pub fn write_vectored(
        &mut self,
        bufs: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        self.stream.io.write_vectored(bufs)
    }

    /// Does nothing: what has been written is with the operating system already.
    ///
    /// # Errors
    /// None.
    pub async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Writes what there is room for, without waiting.
    ///
    /// # Errors
    /// As [`TcpStream::try_write`].
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.stream.try_write(buf)
    }

    /// Waits until there is room to write, or the stream is closed.
    ///
    /// A hint. **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`TcpStream::writable`].
    pub async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Ends the outgoing direction: the peer reads the end of the stream, and can still send.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// If they are not of one connection.
    pub fn reunite(self, read: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(read, self)
    }

    /// Drops the half and leaves its direction open until the other half is dropped too.
    pub fn forget(mut self) {
        self.ends_on_drop = false;
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.ends_on_drop {
            // Fails if the connection is gone, which has ended the direction as well.
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.0
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut (*self).as_ref()).poll_read(context, buf)
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut (*self).as_ref()).poll_read_vectored(context, bufs)
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.stream
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut (*self).as_ref()).poll_write(context, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut (*self).as_ref()).poll_write_vectored(context, bufs)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut (*self).as_ref()).poll_flush(context)
    }

    /// Ends the outgoing direction.
    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut (*self).as_ref()).poll_close(context)
    }
}
