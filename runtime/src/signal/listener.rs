//! A listener for one signal.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use net::{Interest, Registered};

use super::SignalKind;
use super::arrivals::Arrivals;
use crate::handle::Handle;

/// Waits for Ctrl-C once (`SIGINT`).
///
/// From the first poll on Ctrl-C no longer ends the program, also after this has returned; see the
/// [module](crate::signal). For several of them, use [`signal`].
///
/// **Cancel safety**: safe; a signal that arrives between two calls is nobody's.
///
/// # Errors
/// As [`signal`]; that the runtime has been shut down.
///
/// # Panics
/// When it is polled outside of a runtime.
pub async fn ctrl_c() -> io::Result<()> {
    match signal(SignalKind::interrupt())?.recv().await {
        Some(()) => Ok(()),
        None => Err(io::Error::other("the runtime has been shut down")),
    }
}

/// Begins to listen for a signal; see [`Signal`].
///
/// The first listener replaces what the signal does by default, for good; see the
/// [module](crate::signal).
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if there is no such signal or nobody may listen for
/// it (`SIGKILL`, `SIGSTOP`, and `SIGILL`, `SIGFPE`, `SIGSEGV`, which are faults of the thread that
/// gets them); those of the operating system if no file descriptor is left.
///
/// # Panics
/// Outside of a runtime.
///
/// # Examples
/// ```
/// use runtime::signal::{SignalKind, signal};
///
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let error = signal(SignalKind::from_raw(9)).unwrap_err();
/// assert_eq!(error.to_string(), "cannot listen for SIGKILL: the system lets nobody handle it");
/// # });
/// ```
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let handle = Handle::require("signal::signal");
    if signal_hook_registry::FORBIDDEN.contains(&kind.as_raw()) {
        return Err(refused(kind, "the system lets nobody handle it"));
    }
    let (arrivals, bell) = Arrivals::listen(kind.as_raw()).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => refused(kind, "there is no such signal"),
        _ => error,
    })?;
    let bell = Registered::new(bell, &handle.shared().net);
    // Registers it now, so that what could fail fails here.
    if let Poll::Ready(Err(error)) = bell.poll_readable(&mut Context::from_waker(Waker::noop())) {
        return Err(error);
    }
    Ok(Signal { arrivals, bell, kind })
}

fn refused(kind: SignalKind, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("cannot listen for {kind}: {why}"))
}

/// A listener for one signal, and a [`Stream`](futures_core::Stream) of `()`: the result of
/// [`signal`].
///
/// Every delivery since the listener was made gives one item, also those between two polls. The
/// kernel itself delivers once what was sent several times before the process could take it; the
/// last is always seen.
pub struct Signal {
    // First, so that no handler writes to the socket after its other end is closed.
    arrivals: Arrivals,
    bell: Registered<UnixStream>,
    kind: SignalKind,
}

impl Signal {
    /// Waits for the next delivery. `None`: the runtime has been shut down.
    ///
    /// **Cancel safety**: safe, no delivery is lost.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Polls for the next delivery, as [`recv`](Signal::recv) does.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        let arrivals = &self.arrivals;
        self.bell
            .poll_io(cx, Interest::READABLE, |bell| arrivals.take_or_silence(bell))
            .map(Result::ok)
    }
}

impl Stream for Signal {
    type Item = ();

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<()>> {
        self.poll_recv(cx)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("kind", &self.kind).finish_non_exhaustive()
    }
}
