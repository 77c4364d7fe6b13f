//! The borrowed halves of a connection: one reads, one writes, in one task.

use crate::tcp_stream::TcpStream;
use futures_util::io::{AsyncRead, AsyncWrite};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The borrowed half that reads; made by [`TcpStream::split`].
///
/// What it lacks is reached through [`AsRef<TcpStream>`].
#[derive(Debug)]
pub struct ReadHalf<'a>(&'a TcpStream);

/// The borrowed half that writes; made by [`TcpStream::split`].
///
/// Dropping it leaves the direction open; [`shutdown`](WriteHalf::shutdown) ends it. What it lacks
/// is reached through [`AsRef<TcpStream>`].
#[derive(Debug)]
pub struct WriteHalf<'a>(&'a TcpStream);

/// The halves, whose exclusive borrow the caller holds.
pub(crate) fn split(stream: &mut TcpStream) -> (ReadHalf<'_>, WriteHalf<'_>) {
    (ReadHalf(stream), WriteHalf(stream))
}

impl ReadHalf<'_> {
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
}

impl WriteHalf<'_> {
    /// Writes some of the bytes and returns how many.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// As [`TcpStream::write`].
    pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        self.0.io.write(buf)
    }

    /// Writes all of the bytes.
    ///
    /// **Cancel safety**: none, some of the bytes may have been written.
    ///
    /// # Errors
    /// As [`TcpStream::write_all`].
    pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        self.0.io.write_all(buf)
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
        self.0.io.write_vectored(bufs)
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
        self.0.try_write(buf)
    }

    /// Waits until there is room to write, or the stream is closed.
    ///
    /// A hint. **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`TcpStream::writable`].
    pub async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }

    /// Ends the outgoing direction: the peer reads the end of the stream, and can still send.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
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
}

impl AsRef<TcpStream> for ReadHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl AsyncRead for ReadHalf<'_> {
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

impl AsRef<TcpStream> for WriteHalf<'_> {
    fn as_ref(&self) -> &TcpStream {
        self.0
    }
}

impl AsyncWrite for WriteHalf<'_> {
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
