//! A source of events together with its registration.

use super::page::Page;
use super::readiness::Readiness;
use super::waiters::WaiterId;
use crate::handle::Handle;
use crate::interest::{Interest, Ready};
use mio::unix::SourceFd;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll};

/// A non-blocking source of events, such as a socket, and its registration with the driver.
///
/// All sockets of the crate are thin layers over it, and it turns any other file that epoll or
/// kqueue knows into an asynchronous one: a device, an inotify descriptor, a foreign library's
/// socket. The source must be in non-blocking mode; this is not checked.
///
/// An operation is tried first. Only the first that would block registers the source with the
/// driver, and dropping deregisters it, though the file may live on in a duplicate or a child
/// process. It can be used from any thread, inside a runtime or not, as long as its own runtime
/// runs.
///
/// Several futures may wait for one direction, and each event wakes them all; the `poll_*` methods
/// share one place per direction instead, in which only the last caller's waker is kept.
///
/// ```
/// use net::{Driver, Handle, Hooks, Interest, Registered};
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// let driver = Driver::new(Hooks::none())?;
/// let (mut peer, source) = UnixStream::pair()?;
/// source.set_nonblocking(true)?;
/// let registered = Registered::new(source, &driver.handle());
///
/// peer.write_all(b"hello")?;
/// let mut buf = [0; 8];
/// let reading = registered.io(Interest::READABLE, |mut source| source.read(&mut buf));
/// let read = driver.block_on(reading)?;
/// assert_eq!(&buf[..read], b"hello");
/// # Ok(())
/// # }
/// ```
pub struct Registered<S: AsFd> {
    /// Taken only by `into_inner`.
    source: Option<S>,
    /// Where in the table its readiness is, and so where in the page.
    index: u32,
    page: Arc<Page>,
}

/// The name under which users of tokio look for [`Registered`].
///
/// | tokio | here |
/// | --- | --- |
/// | `AsyncFd::new(fd)` | [`AsyncFd::try_new(fd)`](Registered::try_new), in a runtime |
/// | `fd.readable().await?.try_io(..)` | [`readable`](Registered::readable), then [`try_io`](Registered::try_io); no guard |
/// | `fd.async_io(interest, ..)` | [`io`](Registered::io) |
/// | `poll_read_ready` | [`poll_readable`](Registered::poll_readable) |
/// | `into_inner`, `get_ref` | the same |
///
/// ```
/// use net::AsyncFd;
/// use std::io::{Read, Write};
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let (mut writer, reader) = std::os::unix::net::UnixStream::pair()?;
/// reader.set_nonblocking(true)?;
/// let fd = AsyncFd::try_new(reader)?;
///
/// writer.write_all(b"hello")?;
/// fd.readable().await?;
/// let mut buf = [0; 8];
/// let read = fd.try_io(net::Interest::READABLE, |mut reader| reader.read(&mut buf))?;
/// assert_eq!(&buf[..read], b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub type AsyncFd<S> = Registered<S>;

impl<S: AsFd> Registered<S> {
    /// Wraps a source that is in non-blocking mode. Makes no system call.
    pub fn new(source: S, handle: &Handle) -> Registered<S> {
        let (page, index) = handle.shared().table.lock().place(handle);
        Registered { source: Some(source), index, page }
    }

    /// Wraps a source and registers it with the driver of the current runtime at once.
    ///
    /// Where [`new`](Registered::new) leaves it to the first wait to find out that a file cannot be
    /// waited for, and to the user that it is in non-blocking mode, this checks both.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the source is in blocking mode,
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it is a regular file, a folder or another
    /// that has no events, [`AlreadyExists`](io::ErrorKind::AlreadyExists) if this file descriptor
    /// is registered already, and others of the operating system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn try_new(source: S) -> io::Result<Registered<S>> {
        let handle = Handle::current_for("Registered::try_new");
        check_nonblocking(&source, "Registered::try_new")?;
        let registered = Registered::new(source, &handle);
        registered.register()?;
        Ok(registered)
    }

    /// The source.
    ///
    /// Operations called on it directly leave the readiness alone: those that may fail with
    /// `WouldBlock` belong in [`try_io`](Registered::try_io).
    pub fn get_ref(&self) -> &S {
        self.source.as_ref().expect("only `into_inner` takes it, and the value with it")
    }

    /// The source, deregistered and still in non-blocking mode.
    ///
    /// It can be registered again, with this driver or another.
    pub fn into_inner(mut self) -> S {
        self.release().expect("only this function takes it")
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.page.handle
    }

    pub(super) fn readiness(&self) -> &Readiness {
        self.page.readiness(self.index)
    }

    /// Attempts an operation until it does something other than block.
    ///
    /// An operation that fails with `WouldBlock` waits for `interest` and is called again; one that
    /// fails with `Interrupted` is called again at once. The waker replaces that of the `poll_*`
    /// call before it in the same direction.
    ///
    /// # Errors
    /// Those of `operation`, of the registration, and, once the runtime has been shut down, an
    /// error that says so.
    pub fn poll_io<R>(
        &self,
        context: &mut Context<'_>,
        interest: Interest,
        operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_attempts(context, &mut Some(WaiterId::SHARED), interest, operation, |_| false)
    }

    /// Attempts an operation until it does something other than block.
    ///
    /// An operation that fails with `WouldBlock` waits for `interest` and is called again; one that
    /// fails with `Interrupted` is called again at once.
    ///
    /// **Cancel safety**: an operation that has succeeded ends the future in the same poll, so
    /// dropping the future before that loses nothing.
    ///
    /// # Errors
    /// Those of `operation`, of the registration, and, once the runtime has been shut down, an
    /// error that says so.
    pub fn io<R>(
        &self,
        interest: Interest,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        let mut waiter = Waiter::new(self);
        poll_fn(move |context| {
            let Waiter { registered, id } = &mut waiter;
            registered.poll_attempts(context, id, interest, &mut operation, |_| false)
        })
    }

    /// Attempts an operation, unless the source is known not to be ready.
    ///
    /// For operations that this crate has no method for. If `operation` fails with `WouldBlock`,
    /// the source counts as not ready for `interest` until the next event, so it must return that
    /// error only if the kernel did.
    ///
    /// # Errors
    /// `WouldBlock` without calling `operation` if the source is known not to be ready; the
    /// operation's own; and an error that says so once the runtime has been shut down.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        self.try_attempts(interest, operation, |_| false)
    }

    /// Waits until the source is ready for a direction of `interest`, and says for what.
    ///
    /// This is a hint: an operation may still fail with `WouldBlock`. In
    /// [`try_io`](Registered::try_io), that makes the next call wait; outside of it, the next call
    /// returns at once.
    ///
    /// **Cancel safety**: safe, it changes nothing.
    ///
    /// # Errors
    /// Those of the registration, and, once the runtime has been shut down, an error that says so.
    pub fn ready(&self, interest: Interest) -> impl Future<Output = io::Result<Ready>> {
        let mut waiter = Waiter::new(self);
        poll_fn(move |context| {
            let Waiter { registered, id } = &mut waiter;
            registered.poll_ready(context, id, interest)
        })
    }

    /// Waits until the source is readable; see [`ready`](Registered::ready).
    ///
    /// # Errors
    /// As [`ready`](Registered::ready).
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until the source is writable; see [`ready`](Registered::ready).
    ///
    /// # Errors
    /// As [`ready`](Registered::ready).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// Polls until the source is readable, in the place of the `poll_*` methods.
    ///
    /// # Errors
    /// As [`ready`](Registered::ready).
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = &mut Some(WaiterId::SHARED);
        self.poll_ready(context, id, Interest::READABLE).map_ok(drop)
    }

    /// Polls until the source is writable, in the place of the `poll_*` methods.
    ///
    /// # Errors
    /// As [`ready`](Registered::ready).
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let id = &mut Some(WaiterId::SHARED);
        self.poll_ready(context, id, Interest::WRITABLE).map_ok(drop)
    }

    /// Registers the source, unless it is.
    ///
    /// Late enough: see the list in [`driver`](super), step 2.
    pub(super) fn register(&self) -> io::Result<()> {
        if self.readiness().state().is_registered() {
            return Ok(());
        }
        // Before the locks: it is the user's code, which may panic, or use another source.
        let fd = self.get_ref().as_fd().as_raw_fd();
        let _only_one = self.page.registering.lock();
        if self.readiness().state().is_registered() {
            return Ok(());
        }
        let shared = self.handle().shared();
        let token = shared.table.lock().register(self.index)?;
        let both = mio::Interest::READABLE | mio::Interest::WRITABLE;
        if let Err(error) = shared.registry.register(&mut SourceFd(&fd), token.0, both) {
            shared.table.lock().deregister();
            return Err(explained(error));
        }
        self.readiness().set_registered();
        Ok(())
    }

    /// Takes the source out of the poller, then its place out of the table.
    ///
    /// Closing the file is not enough: a duplicate of it, here or in a child process, would keep
    /// the events coming.
    fn release(&mut self) -> Option<S> {
        let source = self.source.take()?;
        let shared = self.handle().shared();
        let is_registered = self.readiness().state().is_registered();
        if is_registered {
            let fd = source.as_fd().as_raw_fd();
            // Fails if somebody has closed the file behind our back; then there is nothing to take
            // out.
            let _ = shared.registry.deregister(&mut SourceFd(&fd));
        }
        let mut table = shared.table.lock();
        if is_registered {
            table.deregister();
        }
        let waiters = table.release(self.index);
        drop(table);
        // Here and not under the lock: dropping wakers runs others' code.
        drop(waiters);
        Some(source)
    }
}

impl<S: AsFd> Drop for Registered<S> {
    fn drop(&mut self) {
        drop(self.release());
    }
}

impl<S: AsFd> AsFd for Registered<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.get_ref().as_fd()
    }
}

impl<S: AsFd + fmt::Debug> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let readiness = self.readiness();
        let readiness = readiness.state().is_registered().then_some(readiness);
        f.debug_struct("Registered")
            .field("source", self.get_ref())
            .field("readiness", &readiness)
            .finish_non_exhaustive()
    }
}

/// A future's place among the waiters, given back when the future is dropped.
pub(super) struct Waiter<'a, S: AsFd> {
    pub(super) registered: &'a Registered<S>,
    pub(super) id: Option<WaiterId>,
}

impl<'a, S: AsFd> Waiter<'a, S> {
    pub(super) fn new(registered: &'a Registered<S>) -> Waiter<'a, S> {
        Waiter { registered, id: None }
    }
}

impl<S: AsFd> Drop for Waiter<'_, S> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.registered.readiness().remove(id);
        }
    }
}

/// Refuses a source in blocking mode, which would stop a whole thread.
pub(crate) fn check_nonblocking(source: &impl AsFd, what: &str) -> io::Result<()> {
    if rustix::fs::fcntl_getfl(source)?.contains(rustix::fs::OFlags::NONBLOCK) {
        return Ok(());
    }
    let message = format!(
        "runtime: `{what}` needs a non-blocking source; this one would stop a whole worker.\n  \
         help: call `set_nonblocking(true)` on it first, or set `O_NONBLOCK`"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// Says what epoll means by "not permitted": that the file has no events.
fn explained(error: io::Error) -> io::Error {
    use rustix::io::Errno;

    if Errno::from_io_error(&error) != Some(Errno::PERM) {
        return error;
    }
    let message = "this file has no events to wait for: regular files and folders are always ready \
                   and may block all the same; read and write them on a blocking thread";
    io::Error::new(io::ErrorKind::Unsupported, message)
}

#[cfg(all(test, not(windlass_loom), target_pointer_width = "64"))]
mod tests {
    use super::*;

    /// Whoever serves many connections has each twice: as the argument of its task, and in it.
    #[test]
    fn a_socket_is_two_words() {
        assert_eq!(size_of::<Registered<std::net::TcpStream>>(), 16);
    }
}
