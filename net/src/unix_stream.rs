//! A Unix connection.

use crate::driver::registered::Registered;
use crate::handle::{Handle, LateHandle};
use crate::methods::{
    byte_reader, byte_writer, file_traits, read_methods, socket_methods, stream_methods,
    write_methods,
};
use crate::ucred::UCred;
use crate::unix_addr::{naming, to_system, unix_addr};
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// A connection between two sockets of one machine.
///
/// It is used as a [`TcpStream`](crate::TcpStream) is, and has the same methods and halves.
///
/// ```
/// use net::{UnixListener, UnixStream};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// # let path = std::env::temp_dir().join(format!("net-doc-stream-{}.sock", std::process::id()));
/// # let listener = UnixListener::bind(&path)?;
/// let mut stream = UnixStream::connect(&path).await?;
/// stream.write_all(b"hello").await?;
/// # let (mut peer, _) = listener.accept().await?;
/// # peer.write_all(b"ACK\n").await?;
/// let mut buf = [0; 64];
/// let read = stream.read(&mut buf).await?;
/// assert_eq!(&buf[..read], b"ACK\n");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    pub(crate) io: Registered<std::os::unix::net::UnixStream>,
}

impl UnixStream {
    /// Connects to the listener at a path.
    ///
    /// On Linux, a path that begins with a NUL byte is a name in the abstract namespace, without a
    /// file. Never waits: the system connects at once, or not at all.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if nobody listens there (any more),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), [`WouldBlock`](io::ErrorKind) if
    /// more connections wait to be accepted than the listener allows (the system announces no room:
    /// try again later), and others of the operating system;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long, with the limit.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn connect<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<UnixStream>> {
        let handle = LateHandle::capture("UnixStream::connect");
        let addr = unix_addr(path.as_ref());
        async move { UnixStream::connect_now(&addr?, &handle.get()) }
    }

    /// Connects to an address, such as one with an abstract name.
    ///
    /// # Errors
    /// As [`connect`](UnixStream::connect); [`InvalidInput`](io::ErrorKind::InvalidInput) if the
    /// address is unnamed.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn connect_addr(addr: &SocketAddr) -> impl Future<Output = io::Result<UnixStream>> + use<> {
        let handle = LateHandle::capture("UnixStream::connect_addr");
        let addr = addr.clone();
        async move { UnixStream::connect_now(&addr, &handle.get()) }
    }

    fn connect_now(addr: &SocketAddr, handle: &Handle) -> io::Result<UnixStream> {
        let system = to_system(addr)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        naming(addr, "connect to", socket.connect(&system))?;
        Ok(UnixStream::new(OwnedFd::from(socket).into(), handle))
    }

    /// Two sockets that are connected to each other, without a name.
    ///
    /// # Errors
    /// The operating system's, such as having too many open files.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let handle = Handle::current_for("UnixStream::pair");
        let (left, right) = std::os::unix::net::UnixStream::pair()?;
        left.set_nonblocking(true)?;
        right.set_nonblocking(true)?;
        Ok((UnixStream::new(left, &handle), UnixStream::new(right, &handle)))
    }

    socket_methods!("UnixStream", std::os::unix::net::UnixStream, SocketAddr);
    read_methods!();
    write_methods!();
    stream_methods!();

    /// Who the peer is: the process that connected, listened, or made the pair.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) on systems other than Linux, macOS and the BSDs;
    /// the operating system's.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        UCred::of_peer(self.io.get_ref())
    }
}

file_traits!(UnixStream);

byte_reader!([] UnixStream);
byte_writer!([] UnixStream, "Ends the outgoing direction; one that is gone already counts as ended.");
byte_reader!(
    /// At most one task should read through references: only the waker of the last call is kept.
    [] &UnixStream
);
byte_writer!(
    /// At most one task should write through references: only the waker of the last call is kept.
    [] &UnixStream,
    "Ends the outgoing direction; one that is gone already counts as ended."
);
