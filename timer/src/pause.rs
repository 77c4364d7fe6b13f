//! Virtual time for tests, on the clock of the runtime that the caller is in.

use crate::clock::Clock;
use crate::context;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Stops the clock of the runtime that this thread is in, see [`Clock::pause`].
///
/// With the clock paused a runtime jumps to the next deadline whenever it has nothing else to do,
/// so a test that sleeps for hours ends at once, and sees exact times.
///
/// # Panics
/// If this thread is in no runtime, or its clock is paused already.
#[track_caller]
pub fn pause() {
    current_clock("pause", Location::caller()).pause();
}

/// Lets the clock of the runtime that this thread is in run again, see [`Clock::resume`].
///
/// # Panics
/// If this thread is in no runtime, or its clock is not paused.
#[track_caller]
pub fn resume() {
    current_clock("resume", Location::caller()).resume();
}

/// Moves the paused clock of the runtime that this is awaited in, see [`Clock::advance`].
///
/// Having fired what expired, it yields once, so that the woken tasks run before it returns.
///
/// **Cancel safety**: once polled, the clock has moved, whether this is polled again or not.
///
/// # Panics
/// When polled, if the thread is in no runtime or its clock is not paused.
#[track_caller]
pub fn advance(duration: Duration) -> Advance {
    Advance { duration: Some(duration), location: Location::caller() }
}

/// The future of [`advance`].
#[derive(Debug)]
#[must_use = "the clock moves only when this is awaited"]
pub struct Advance {
    /// Taken when the clock moves.
    duration: Option<Duration>,
    location: &'static Location<'static>,
}

impl Future for Advance {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(duration) = self.duration.take() else {
            return Poll::Ready(());
        };
        current_clock("advance", self.location).advance(duration);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[track_caller]
fn current_clock(function: &str, location: &Location<'_>) -> Clock {
    match context::current() {
        Some(current) => current.driver.clock().clone(),
        None => panic!(
            "runtime: `{function}` (called at {location}) needs a running runtime, but this thread \
             has none.\n  help: call it inside `#[runtime::test]`, `Runtime::block_on` or a \
             spawned task; on your own thread: `let _guard = handle.enter();`"
        ),
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::Instant;
    use crate::paused::{Paused, poll_once};
    use std::task::Waker;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn instants_follow_the_clock_of_the_thread() {
        let paused = Paused::new();
        assert_eq!(Instant::now(), paused.start);
        advance_now(3600 * 1000 * MS);
        assert_eq!(Instant::now() - paused.start, 3600 * 1000 * MS);
        assert_eq!(paused.start.elapsed(), 3600 * 1000 * MS);
        let elsewhere = std::thread::spawn(Instant::now).join().expect("now does not panic");
        assert!(elsewhere < Instant::now(), "another thread is in no runtime");
    }

    /// Advances without the yield.
    fn advance_now(duration: Duration) {
        let mut advance = advance(duration);
        assert!(poll_once(&mut advance, Waker::noop()).is_pending(), "it yields");
        assert!(poll_once(&mut advance, Waker::noop()).is_ready());
    }

    #[test]
    #[should_panic(expected = "runtime: `pause` (called at timer/src/pause.rs:")]
    fn pausing_without_a_runtime_names_the_line() {
        pause();
    }
}
