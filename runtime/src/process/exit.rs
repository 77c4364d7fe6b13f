//! The end of a child process, as an event.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use net::{Interest, Registered};

use crate::signal::{Signal, SignalKind, signal};

/// What tells that a child may have ended.
#[derive(Debug)]
pub(super) enum Exit {
    /// A file descriptor of the process, which becomes readable.
    Pidfd(Registered<OwnedFd>),
    /// The signal that any child's end sends. Every waiting child asks for its own status at each.
    AnyChild(Signal),
}

impl Exit {
    /// For a child that nobody has reaped.
    ///
    /// # Errors
    /// When no file descriptor is left.
    pub(super) fn of(child: &std::process::Child, net: &net::Handle) -> io::Result<Exit> {
        match pidfd(child) {
            Some(pidfd) => Ok(Exit::Pidfd(Registered::new(pidfd, net))),
            None => Exit::of_any_child(),
        }
    }

    pub(super) fn of_any_child() -> io::Result<Exit> {
        signal(SignalKind::child()).map(Exit::AnyChild)
    }

    /// Kills the process, if it can be done without its number, which may be another's once somebody
    /// else has reaped it. False: that is all there is, or has to say why it fails.
    pub(super) fn kill(&self) -> bool {
        matches!(self, Exit::Pidfd(pidfd) if kill(pidfd.get_ref()))
    }

    /// Calls `try_wait` until it gives something, each time when the child may have ended.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut try_wait: impl FnMut() -> io::Result<Option<T>>,
    ) -> Poll<io::Result<T>> {
        match self {
            Exit::Pidfd(pidfd) => pidfd.poll_io(cx, Interest::READABLE, |_| {
                try_wait()?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
            }),
            Exit::AnyChild(signal) => loop {
                // The listener is older than this look, so an end after it is not overlooked.
                if let Some(status) = try_wait()? {
                    return Poll::Ready(Ok(status));
                }
                if ready!(signal.poll_recv(cx)).is_none() {
                    let gone = "the runtime that this child process belongs to has been shut down";
                    return Poll::Ready(Err(io::Error::other(gone)));
                }
            },
        }
    }
}

/// Whether a process has been killed, or had been reaped. False: it cannot be done by its descriptor.
#[cfg(target_os = "linux")]
fn kill(pidfd: &OwnedFd) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Signal, pidfd_send_signal};

    matches!(pidfd_send_signal(pidfd, Signal::KILL), Ok(()) | Err(Errno::SRCH))
}

#[cfg(not(target_os = "linux"))]
fn kill(_: &OwnedFd) -> bool {
    false
}

/// A file descriptor of a child that nobody has reaped; `None` where the system has no such thing.
#[cfg(target_os = "linux")]
pub(super) fn pidfd(child: &std::process::Child) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pidfd(_: &std::process::Child) -> Option<OwnedFd> {
    None
}
