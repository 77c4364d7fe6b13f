//! What can be split into halves.

use crate::driver::registered::Registered;
use crate::tcp_stream::TcpStream;
use crate::unix_stream::UnixStream;
use sealed::Duplex;
use std::io::{self, ErrorKind};
use std::net::Shutdown;

pub(crate) mod sealed {
    use crate::driver::byte_stream::ByteSource;
    use crate::driver::registered::Registered;

    pub trait Duplex {
        type Source: ByteSource;

        fn io(&self) -> &Registered<Self::Source>;
    }
}

/// A connection whose directions can be used apart: a [`TcpStream`] or a [`UnixStream`].
///
/// It is what the halves are generic over. The trait cannot be implemented elsewhere.
pub trait Connection: Duplex {
    /// The kind of its addresses.
    type Addr;

    /// The local address.
    ///
    /// # Errors
    /// The operating system's.
    fn local_addr(&self) -> io::Result<Self::Addr>;

    /// The address of the peer.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected) if the connection is gone.
    fn peer_addr(&self) -> io::Result<Self::Addr>;

    /// Ends one direction, or both.
    ///
    /// # Errors
    /// [`NotConnected`](ErrorKind::NotConnected) if the connection is gone.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
}

macro_rules! connection {
    ($stream:ident, $source:ty, $addr:ty) => {
        impl Duplex for $stream {
            type Source = $source;

            fn io(&self) -> &Registered<$source> {
                &self.io
            }
        }

        impl Connection for $stream {
            type Addr = $addr;

            fn local_addr(&self) -> io::Result<$addr> {
                self.local_addr()
            }

            fn peer_addr(&self) -> io::Result<$addr> {
                self.peer_addr()
            }

            fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
        }
    };
}

connection!(TcpStream, std::net::TcpStream, std::net::SocketAddr);
connection!(UnixStream, std::os::unix::net::UnixStream, std::os::unix::net::SocketAddr);

/// Ends the outgoing direction; one that is gone already counts as ended.
pub(crate) fn end(connection: &impl Connection) -> io::Result<()> {
    match connection.shutdown(Shutdown::Write) {
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}
