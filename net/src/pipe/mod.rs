//! Pipes, one end of which writes what the other reads.
//!
//! [`pipe`] makes one within the process, for its own use or a child's. A named pipe (a FIFO) is a
//! file that [`OpenOptions`] opens at one end. An end that comes from elsewhere, such as a child's
//! output, becomes asynchronous by [`Sender::from_owned_fd`] or [`Receiver::from_owned_fd`].
//!
//! ```
//! use net::pipe;
//!
//! # let driver = net::Driver::new(net::Hooks::none())?;
//! # driver.block_on(async {
//! let (mut sender, mut receiver) = pipe::pipe()?;
//! sender.write_all(b"hello").await?;
//! drop(sender);
//!
//! let mut buf = [0; 64];
//! assert_eq!(receiver.read(&mut buf).await?, 5);
//! assert_eq!(receiver.read(&mut buf).await?, 0, "the end");
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod open_options;
mod receiver;
mod sender;

pub use open_options::OpenOptions;
pub use receiver::Receiver;
pub use sender::Sender;

use crate::driver::registered::Registered;
use crate::handle::Handle;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;

/// Makes a pipe.
///
/// Neither end is inherited by a child process unless it is made its standard input or output. It
/// holds 64 KiB on Linux until the sender waits.
///
/// # Errors
/// The operating system's, such as having too many open files.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let handle = Handle::current_for("pipe::pipe");
    let (sender, receiver) = mio::unix::pipe::new()?;
    let file = |end: OwnedFd| Registered::new(File::from(end), &handle);
    Ok((Sender { io: file(sender.into()) }, Receiver { io: file(receiver.into()) }))
}

/// Which end of a pipe.
#[derive(Clone, Copy)]
enum End {
    Read,
    Write,
}

/// Takes over a file that must be that end of a pipe, and puts it into non-blocking mode.
fn adopt(file: File, end: End, what: &str, handle: &Handle) -> io::Result<Registered<File>> {
    let refused = |why: &str| {
        let message = format!("`{what}` needs {why}");
        io::Error::new(ErrorKind::InvalidInput, message)
    };
    if !file.metadata()?.file_type().is_fifo() {
        return Err(refused("a pipe, and this file is none"));
    }
    let flags = fcntl_getfl(&file)?;
    let access = flags & OFlags::RWMODE;
    match end {
        _ if access == OFlags::RDWR => {}
        End::Read if access != OFlags::RDONLY => {
            return Err(refused("the end of the pipe that reads, and this one writes"));
        }
        End::Write if access != OFlags::WRONLY => {
            return Err(refused("the end of the pipe that writes, and this one reads"));
        }
        _ => {}
    }
    if !flags.contains(OFlags::NONBLOCK) {
        fcntl_setfl(&file, flags | OFlags::NONBLOCK)?;
    }
    Ok(Registered::new(file, handle))
}

/// Puts a file back into blocking mode.
fn into_blocking(file: File) -> io::Result<OwnedFd> {
    let flags = fcntl_getfl(&file)?;
    fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file.into())
}

/// Methods of either end, whose field `io` has a file.
macro_rules! end_methods {
    ($name:literal, $end:expr, $interest:expr) => {
        /// Takes over this end of a pipe, and puts it into non-blocking mode.
        ///
        /// The mode belongs to the pipe's end and not to the descriptor: another process that has
        /// inherited the same end finds it changed too.
        ///
        /// # Errors
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is not a pipe, or the other
        /// end; the operating system's.
        ///
        /// # Panics
        /// Outside of a runtime.
        #[track_caller]
        pub fn from_owned_fd(fd: std::os::fd::OwnedFd) -> std::io::Result<Self> {
            const WHAT: &str = concat!($name, "::from_owned_fd");
            let handle = crate::handle::Handle::current_for(WHAT);
            Ok(Self { io: super::adopt(fd.into(), $end, WHAT, &handle)? })
        }

        /// Takes over a file that is this end of a pipe, and puts it into non-blocking mode.
        ///
        /// # Errors
        /// As [`from_owned_fd`](Self::from_owned_fd).
        ///
        /// # Panics
        /// Outside of a runtime.
        #[track_caller]
        pub fn from_file(file: std::fs::File) -> std::io::Result<Self> {
            const WHAT: &str = concat!($name, "::from_file");
            let handle = crate::handle::Handle::current_for(WHAT);
            Ok(Self { io: super::adopt(file, $end, WHAT, &handle)? })
        }

        /// The end as a file descriptor, still in non-blocking mode.
        ///
        /// # Errors
        /// None at present.
        pub fn into_nonblocking_fd(self) -> std::io::Result<std::os::fd::OwnedFd> {
            Ok(self.io.into_inner().into())
        }

        /// The end as a file descriptor in blocking mode, as a child process expects it.
        ///
        /// # Errors
        /// The operating system's.
        pub fn into_blocking_fd(self) -> std::io::Result<std::os::fd::OwnedFd> {
            super::into_blocking(self.io.into_inner())
        }

        /// Calls an operation of one's own, unless the pipe is known not to be ready.
        ///
        /// If `operation` fails with `WouldBlock`, the pipe counts as not ready until the next
        /// event: it must return that error only if the operating system did.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if the pipe is not ready, and those of
        /// `operation`.
        pub fn try_io<R>(
            &self,
            mut operation: impl FnMut() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.io.try_io($interest, |_| operation())
        }

        fn io(&self) -> &crate::driver::registered::Registered<std::fs::File> {
            &self.io
        }
    };
}

use end_methods;
