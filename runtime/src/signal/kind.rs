//! Which signal.

use std::fmt;

use rustix::process::Signal;

/// Which signal, by its number on this system.
///
/// # Examples
/// ```
/// use runtime::signal::SignalKind;
///
/// assert_eq!(SignalKind::from_raw(15), SignalKind::terminate());
/// assert_eq!(SignalKind::terminate().to_string(), "SIGTERM");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKind(i32);

/// The signals that have a function here, for printing.
const NAMES: &[(Signal, &str)] = &[
    (Signal::ALARM, "SIGALRM"),
    (Signal::CHILD, "SIGCHLD"),
    (Signal::FPE, "SIGFPE"),
    (Signal::HUP, "SIGHUP"),
    (Signal::ILL, "SIGILL"),
    (Signal::INT, "SIGINT"),
    (Signal::IO, "SIGIO"),
    (Signal::KILL, "SIGKILL"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::STOP, "SIGSTOP"),
    (Signal::TERM, "SIGTERM"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::WINCH, "SIGWINCH"),
];

impl SignalKind {
    /// A signal by its number. Whether there is such a signal, and whether one may listen for it, is
    /// found out by [`signal`](crate::signal::signal).
    #[must_use]
    pub const fn from_raw(number: i32) -> SignalKind {
        SignalKind(number)
    }

    /// The number.
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// `SIGALRM`: a timer of the kernel has run out.
    #[must_use]
    pub const fn alarm() -> SignalKind {
        SignalKind(Signal::ALARM.as_raw())
    }

    /// `SIGCHLD`: a child process has ended, stopped or gone on. For children that
    /// [`process`](crate::process) started, await their [`Child`](crate::process::Child).
    #[must_use]
    pub const fn child() -> SignalKind {
        SignalKind(Signal::CHILD.as_raw())
    }

    /// `SIGHUP`: the terminal is gone; by custom also: read the configuration again.
    #[must_use]
    pub const fn hangup() -> SignalKind {
        SignalKind(Signal::HUP.as_raw())
    }

    /// `SIGINT`: Ctrl-C.
    #[must_use]
    pub const fn interrupt() -> SignalKind {
        SignalKind(Signal::INT.as_raw())
    }

    /// `SIGIO`: a file that was set up so is ready.
    #[must_use]
    pub const fn io() -> SignalKind {
        SignalKind(Signal::IO.as_raw())
    }

    /// `SIGPIPE`: a write to a pipe or socket that nobody reads. Rust programs ignore it by default
    /// and see [`BrokenPipe`](std::io::ErrorKind::BrokenPipe).
    #[must_use]
    pub const fn pipe() -> SignalKind {
        SignalKind(Signal::PIPE.as_raw())
    }

    /// `SIGQUIT`: Ctrl-\.
    #[must_use]
    pub const fn quit() -> SignalKind {
        SignalKind(Signal::QUIT.as_raw())
    }

    /// `SIGTERM`: please end; what `kill` and service managers send.
    #[must_use]
    pub const fn terminate() -> SignalKind {
        SignalKind(Signal::TERM.as_raw())
    }

    /// `SIGUSR1`: whatever the program wants it to mean.
    #[must_use]
    pub const fn user_defined1() -> SignalKind {
        SignalKind(Signal::USR1.as_raw())
    }

    /// `SIGUSR2`: whatever the program wants it to mean.
    #[must_use]
    pub const fn user_defined2() -> SignalKind {
        SignalKind(Signal::USR2.as_raw())
    }

    /// `SIGWINCH`: the size of the terminal has changed.
    #[must_use]
    pub const fn window_change() -> SignalKind {
        SignalKind(Signal::WINCH.as_raw())
    }
}

impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(signal, _)| signal.as_raw() == self.0) {
            Some((_, name)) => f.pad(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalKind({self})")
    }
}
