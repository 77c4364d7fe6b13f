//! A Unix socket for datagrams.

use crate::datagram_room;
use crate::driver::registered::Registered;
use crate::handle::Handle;
use crate::interest::Interest;
use crate::methods::{datagram_methods, file_traits, sent, socket_methods};
use crate::unix_addr::{naming, unix_addr};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// A socket for datagrams within one machine, which arrive in order and are never lost.
///
/// A sender waits while the receiver's queue is full. All methods take `&self`, so several tasks
/// may share one.
///
/// ```
/// use net::UnixDatagram;
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let path = std::env::temp_dir().join(format!("net-doc-{}.dgram", std::process::id()));
/// let _ = std::fs::remove_file(&path);
/// let server = UnixDatagram::bind(&path)?;
/// let client = UnixDatagram::unbound()?;
/// client.send_to(b"hello", &path).await?;
///
/// let mut buf = [0; 64];
/// let (received, sender) = server.recv_from(&mut buf).await?;
/// assert_eq!(&buf[..received], b"hello");
/// assert!(sender.is_unnamed());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    io: Registered<std::os::unix::net::UnixDatagram>,
}

impl UnixDatagram {
    /// Binds to a path, which creates a file there.
    ///
    /// On Linux, a path that begins with a NUL byte is a name in the abstract namespace, without a
    /// file. The file is not removed when the socket is dropped.
    ///
    /// # Errors
    /// As [`UnixListener::bind`](crate::UnixListener::bind).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        let handle = Handle::current_for("UnixDatagram::bind");
        let addr = unix_addr(path.as_ref())?;
        let socket = std::os::unix::net::UnixDatagram::bind_addr(&addr);
        let socket = naming(&addr, "bind a socket to", socket)?;
        UnixDatagram::nonblocking(socket, &handle)
    }

    /// A socket without a name, to which nobody can answer.
    ///
    /// # Errors
    /// The operating system's, such as having too many open files.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        let handle = Handle::current_for("UnixDatagram::unbound");
        UnixDatagram::nonblocking(std::os::unix::net::UnixDatagram::unbound()?, &handle)
    }

    /// Two sockets that are connected to each other, without a name.
    ///
    /// # Errors
    /// The operating system's, such as having too many open files.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let handle = Handle::current_for("UnixDatagram::pair");
        let (left, right) = std::os::unix::net::UnixDatagram::pair()?;
        let left = UnixDatagram::nonblocking(left, &handle)?;
        Ok((left, UnixDatagram::nonblocking(right, &handle)?))
    }

    fn nonblocking(
        socket: std::os::unix::net::UnixDatagram,
        handle: &Handle,
    ) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        Ok(UnixDatagram::new(socket, handle))
    }

    /// Connects to the socket at a path: `send` goes there, and only its datagrams arrive.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if there is no such file,
    /// [`ConnectionRefused`](io::ErrorKind::ConnectionRefused) if it belongs to no socket any more,
    /// and others of the operating system; [`InvalidInput`](io::ErrorKind::InvalidInput) if the
    /// path is too long, with the limit.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let addr = unix_addr(path.as_ref())?;
        naming(&addr, "connect to", self.io.get_ref().connect_addr(&addr))
    }

    socket_methods!("UnixDatagram", std::os::unix::net::UnixDatagram, SocketAddr);
    datagram_methods!(SocketAddr);

    /// Sends a datagram to the socket at a path and returns its size in bytes.
    ///
    /// Waits while the queue there is full, whoever has filled it. There is no `poll_send_to`: to be
    /// told of room in a queue that it is not connected to takes a second socket meanwhile, which
    /// this future holds.
    ///
    /// Two kinds of room are announced to nobody, so that it may wait longer than it would have to:
    /// in the queue of another socket that was bound to the path meanwhile, as long as the one
    /// before it is open and full; and in this socket's own buffer, once that was full, as long as
    /// the queue of a peer that it is connected to is full too.
    ///
    /// **Cancel safety**: safe, nothing has been sent unless the future is done.
    ///
    /// # Errors
    /// As [`send`](UnixDatagram::send) and [`connect`](UnixDatagram::connect).
    pub fn send_to<P: AsRef<Path>>(
        &self,
        buf: &[u8],
        path: P,
    ) -> impl Future<Output = io::Result<usize>> {
        let addr = unix_addr(path.as_ref());
        async move {
            let addr = addr?;
            datagram_room::send_to(&self.io, &addr, |socket| send_once(socket, buf, &addr)).await
        }
    }

    /// Sends a datagram to the socket at a path, without waiting.
    ///
    /// If this fails because the queue there is full, [`writable`](UnixDatagram::writable) does not
    /// wait for room in it: it speaks of this socket and of the peer that it is connected to, and
    /// may return at once.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room for it, here or there, and
    /// those of [`send_to`](UnixDatagram::send_to).
    pub fn try_send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        let addr = unix_addr(path.as_ref())?;
        datagram_room::try_send_to(&self.io, |socket| send_once(socket, buf, &addr))
    }

    /// Ends one direction, or both.
    ///
    /// # Errors
    /// [`NotConnected`](io::ErrorKind::NotConnected) if the socket is not connected.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.get_ref().shutdown(how)
    }
}

fn send_once(
    socket: &std::os::unix::net::UnixDatagram,
    buf: &[u8],
    addr: &SocketAddr,
) -> io::Result<usize> {
    sent(socket.send_to_addr(buf, addr), buf, format_args!("{addr:?}"))
}

file_traits!(UnixDatagram);
