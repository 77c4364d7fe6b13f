//! The owned halves of a connection: one reads, one writes, each in a task of its own.

use crate::connection::{self, Connection};
use crate::driver::registered::Registered;
use crate::methods::{
    byte_reader, byte_writer, read_methods, readable_methods, writable_methods, write_methods,
};
use crate::tcp_stream::TcpStream;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::sync::Arc;

/// The owned half that reads; made by [`TcpStream::into_split`] and
/// [`UnixStream::into_split`](crate::UnixStream::into_split).
///
/// The connection is closed when both halves are dropped. What it lacks is reached through
/// [`AsRef`], which gives the connection.
#[derive(Debug)]
pub struct OwnedReadHalf<C: Connection = TcpStream>(Arc<C>);

/// The owned half that writes; made by [`TcpStream::into_split`] and
/// [`UnixStream::into_split`](crate::UnixStream::into_split).
///
/// Dropping it ends the outgoing direction: the peer reads the end of the stream, and can still
/// send. What it lacks is reached through [`AsRef`], which gives the connection.
#[derive(Debug)]
pub struct OwnedWriteHalf<C: Connection = TcpStream> {
    connection: Arc<C>,
    /// Unset by what drops the half and keeps the direction.
    ends_on_drop: bool,
}

pub(crate) fn into_split<C: Connection>(connection: C) -> (OwnedReadHalf<C>, OwnedWriteHalf<C>) {
    let connection = Arc::new(connection);
    (OwnedReadHalf(Arc::clone(&connection)), OwnedWriteHalf { connection, ends_on_drop: true })
}

/// Puts two halves together again.
fn reunite<C: Connection>(
    read: OwnedReadHalf<C>,
    mut write: OwnedWriteHalf<C>,
) -> Result<C, ReuniteError<C>> {
    if !Arc::ptr_eq(&read.0, &write.connection) {
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
pub struct ReuniteError<C: Connection = TcpStream>(
    /// The half that reads.
    pub OwnedReadHalf<C>,
    /// The half that writes.
    pub OwnedWriteHalf<C>,
);

impl<C: Connection> fmt::Display for ReuniteError<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves belong to different connections")
    }
}

impl<C: Connection + fmt::Debug> Error for ReuniteError<C> {}

impl<C: Connection> OwnedReadHalf<C> {
    read_methods!();
    readable_methods!();

    /// Reads some bytes and leaves them to be read again.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn peek(&mut self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io().peek(buf)
    }

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<C::Addr> {
        self.0.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<C::Addr> {
        self.0.peer_addr()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// If they are not of one connection.
    pub fn reunite(self, write: OwnedWriteHalf<C>) -> Result<C, ReuniteError<C>> {
        reunite(self, write)
    }

    fn io(&self) -> &Registered<C::Source> {
        self.0.io()
    }
}

impl<C: Connection> OwnedWriteHalf<C> {
    write_methods!();
    writable_methods!();

    /// Ends the outgoing direction: the peer reads the end of the stream, and can still send.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn shutdown(&mut self) -> io::Result<()> {
        self.connection.shutdown(Shutdown::Write)
    }

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<C::Addr> {
        self.connection.local_addr()
    }

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the connection is gone.
    pub fn peer_addr(&self) -> io::Result<C::Addr> {
        self.connection.peer_addr()
    }

    /// Puts the halves together again.
    ///
    /// # Errors
    /// If they are not of one connection.
    pub fn reunite(self, read: OwnedReadHalf<C>) -> Result<C, ReuniteError<C>> {
        reunite(read, self)
    }

    /// Drops the half and leaves its direction open until the other half is dropped too.
    pub fn forget(mut self) {
        self.ends_on_drop = false;
    }

    fn io(&self) -> &Registered<C::Source> {
        self.connection.io()
    }

    fn end(&self) -> io::Result<()> {
        connection::end(&*self.connection)
    }
}

impl<C: Connection> Drop for OwnedWriteHalf<C> {
    fn drop(&mut self) {
        if self.ends_on_drop {
            // Fails if the connection is gone, which has ended the direction as well.
            let _ = self.connection.shutdown(Shutdown::Write);
        }
    }
}

impl<C: Connection> AsRef<C> for OwnedReadHalf<C> {
    fn as_ref(&self) -> &C {
        &self.0
    }
}

impl<C: Connection> AsRef<C> for OwnedWriteHalf<C> {
    fn as_ref(&self) -> &C {
        &self.connection
    }
}

byte_reader!([C: Connection] OwnedReadHalf<C>);
byte_writer!([C: Connection] OwnedWriteHalf<C>, "Ends the outgoing direction.");
