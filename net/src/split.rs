//! The borrowed halves of a connection: one reads, one writes, in one task.

use crate::connection::{self, Connection};
use crate::driver::registered::Registered;
use crate::methods::{
    byte_reader, byte_writer, read_methods, readable_methods, writable_methods, write_methods,
};
use crate::tcp_stream::TcpStream;
use std::io;
use std::net::Shutdown;

/// The borrowed half that reads; made by [`TcpStream::split`] and
/// [`UnixStream::split`](crate::UnixStream::split).
///
/// What it lacks is reached through [`AsRef`], which gives the connection.
#[derive(Debug)]
pub struct ReadHalf<'a, C: Connection = TcpStream>(&'a C);

/// The borrowed half that writes; made by [`TcpStream::split`] and
/// [`UnixStream::split`](crate::UnixStream::split).
///
/// Dropping it leaves the direction open; [`shutdown`](WriteHalf::shutdown) ends it. What it lacks
/// is reached through [`AsRef`], which gives the connection.
#[derive(Debug)]
pub struct WriteHalf<'a, C: Connection = TcpStream>(&'a C);

/// The halves, whose exclusive borrow the caller holds.
pub(crate) fn split<C: Connection>(connection: &mut C) -> (ReadHalf<'_, C>, WriteHalf<'_, C>) {
    (ReadHalf(connection), WriteHalf(connection))
}

impl<C: Connection> ReadHalf<'_, C> {
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

    fn io(&self) -> &Registered<C::Source> {
        self.0.io()
    }
}

impl<C: Connection> WriteHalf<'_, C> {
    write_methods!();
    writable_methods!();

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

    fn io(&self) -> &Registered<C::Source> {
        self.0.io()
    }

    fn end(&self) -> io::Result<()> {
        connection::end(self.0)
    }
}

impl<C: Connection> AsRef<C> for ReadHalf<'_, C> {
    fn as_ref(&self) -> &C {
        self.0
    }
}

impl<C: Connection> AsRef<C> for WriteHalf<'_, C> {
    fn as_ref(&self) -> &C {
        self.0
    }
}

byte_reader!([C: Connection] ReadHalf<'_, C>);
byte_writer!([C: Connection] WriteHalf<'_, C>, "Ends the outgoing direction.");
