//! A call on the blocking pool whose result is an `io::Result`.

use std::future::Future;
use std::io;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use crate::blocking::Duty;
use crate::handle::Handle;
use crate::task::JoinHandle;

/// Waits for a call that a blocking thread runs; it runs on when this is dropped.
///
/// A panic of the call goes on in whoever awaits it.
#[derive(Debug)]
#[must_use = "a call runs on without it, but its result is lost"]
pub(crate) struct Call<T>(JoinHandle<io::Result<T>>);

impl<T: Send + 'static> Call<T> {
    /// Starts a call that a shutdown may drop as long as it has not started.
    ///
    /// # Errors
    /// When no thread can be started.
    #[track_caller]
    pub(crate) fn start(
        handle: &Handle,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<Call<T>> {
        let spawned_at = Location::caller();
        handle.shared().spawn_call(work, Duty::Optional, None, spawned_at).map(Call)
    }

    /// Starts a call that runs in any case.
    ///
    /// # Errors
    /// When the runtime has been shut down; `work` is dropped then.
    #[track_caller]
    pub(crate) fn start_mandatory(
        handle: &Handle,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<Call<T>> {
        let spawned_at = Location::caller();
        handle.shared().spawn_call(work, Duty::Mandatory, None, spawned_at).map(Call)
    }
}

impl<T> Future for Call<T> {
    type Output = io::Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let result = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(result.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(payload) => resume_unwind(payload),
            Err(error) if error.is_shutdown() => {
                Err(io::Error::other("the runtime has been shut down"))
            }
            // No thread could be started.
            Err(error) => Err(io::Error::other(error)),
        }))
    }
}

/// Makes a system call until no signal interrupts it. On Unix a slow one, of a pipe or a network's file
/// system, ends early when a signal is handled on its thread; whoever awaits it has nothing to do with
/// that.
pub(crate) fn retry_interrupted<T>(mut work: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Runs `work` on a blocking thread of the runtime that polls this first.
///
/// # Panics
/// When that is in no runtime; the message names `what`.
pub(crate) async fn call<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    Call::start(&Handle::require(what), work)?.await
}
