//! A Unix socket that accepts connections.

use crate::driver::registered::Registered;
use crate::handle::Handle;
use crate::incoming::skip_failed;
use crate::methods::listener_methods;
use crate::unix_addr::{naming, unix_addr};
use crate::unix_stream::UnixStream;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// A Unix socket that accepts connections.
///
/// Several tasks may accept from one listener at once. The file of its path is not removed when it
/// is dropped, since another process may have taken the path over; whoever starts removes a stale
/// one first, as below.
///
/// ```
/// use net::{UnixListener, UnixStream};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let path = std::env::temp_dir().join(format!("net-doc-{}.sock", std::process::id()));
/// let _ = std::fs::remove_file(&path);
/// let listener = UnixListener::bind(&path)?;
/// let mut client = UnixStream::connect(&path).await?;
/// let (mut server, _unnamed) = listener.accept().await?;
///
/// client.write_all(b"ping").await?;
/// let mut buf = [0; 4];
/// server.read_exact(&mut buf).await?;
/// assert_eq!(&buf, b"ping");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    // Not the standard library's type, whose `accept` leaves the connection in blocking mode and so
    // costs a second system call. It is never registered by itself.
    io: Registered<mio::net::UnixListener>,
}

impl UnixListener {
    /// Binds to a path, which creates a file there, and listens.
    ///
    /// On Linux, a path that begins with a NUL byte is a name in the abstract namespace, without a
    /// file. Who may connect is decided by the permissions of the file and of its folder.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if the file exists, though nobody may listen there
    /// any more; [`NotFound`](io::ErrorKind::NotFound) if its folder does not,
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and others of the operating system;
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the path is too long, with the limit. The
    /// message names the path; the system's own error is the
    /// [source](std::error::Error::source) of the one inside.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        let handle = Handle::current_for("UnixListener::bind");
        UnixListener::bind_with(&unix_addr(path.as_ref())?, &handle)
    }

    /// Binds to an address, such as one with an abstract name, and listens.
    ///
    /// # Errors
    /// As [`bind`](UnixListener::bind).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        let handle = Handle::current_for("UnixListener::bind_addr");
        UnixListener::bind_with(addr, &handle)
    }

    fn bind_with(addr: &SocketAddr, handle: &Handle) -> io::Result<UnixListener> {
        let listener = std::os::unix::net::UnixListener::bind_addr(addr);
        let listener = naming(addr, "listen at", listener)?;
        listener.set_nonblocking(true)?;
        Ok(UnixListener::from_fd(listener.into(), handle))
    }

    fn accept_once(
        &self,
        listener: &mio::net::UnixListener,
    ) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, peer) = skip_failed(listener.accept())?;
        Ok((UnixStream::new(OwnedFd::from(stream).into(), self.io.handle()), peer))
    }
}

listener_methods!(UnixListener, std::os::unix::net::UnixListener, UnixStream, SocketAddr);
