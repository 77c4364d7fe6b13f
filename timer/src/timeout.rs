//! A limit on how long a future may take.

use crate::context;
use crate::instant::Instant;
use crate::sleep::{Creator, Sleep};
use pin_project_lite::pin_project;
use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Runs `future` for at most `duration`.
///
/// The time runs from the first poll that leaves the future pending, so a future that is ready at
/// once costs no look at the clock. The future is polled first: one that is ready when the time is
/// up has still made it. `Duration::MAX` is "never".
///
/// **Cancel safety**: dropping this, like its running out, drops the future; it is as safe as that.
///
/// # Errors
/// [`Elapsed`] if the time is up first.
///
/// # Panics
/// When it is polled with the future pending on a thread that is in no running runtime.
///
/// ```
/// # async fn example(reply: impl Future<Output = u32>) {
/// match timer::timeout(std::time::Duration::from_secs(5), reply).await {
///     Ok(reply) => println!("{reply}"),
///     Err(elapsed) => println!("no reply: {elapsed}"),
/// }
/// # }
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    let limit = Limit::Idle { duration, location: Location::caller() };
    Timeout { future: future.into_future(), limit, is_over: false }
}

/// Runs `future` until `deadline` at most.
///
/// In all else as [`timeout`].
///
/// # Errors
/// [`Elapsed`] if the deadline comes first.
///
/// # Panics
/// When it is polled with the future pending on a thread that is in no running runtime.
#[track_caller]
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    let sleep = Sleep::new(deadline, Creator::Timeout, Location::caller());
    Timeout { future: future.into_future(), limit: Limit::Running { sleep }, is_over: false }
}

pin_project! {
    /// The future of [`timeout`] and [`timeout_at`].
    #[must_use = "a timeout does nothing unless it is awaited"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
        // Whether the time was up when the budget was, too. The next poll is the last: a future
        // that uses up the budget each time cannot hold off its deadline.
        is_over: bool,
    }
}

#[derive(Debug)]
enum Limit {
    /// The future was never found pending.
    Idle {
        duration: Duration,
        location: &'static Location<'static>,
    },
    Running {
        sleep: Sleep,
    },
}

impl<F> Timeout<F> {
    /// The future that is limited.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future that is limited.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// Lifts the limit.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl Limit {
    /// Polls the time without taking from the budget.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Limit::Running { sleep } => sleep.poll_unbudgeted(cx),
            Limit::Idle { duration, location } => {
                let now = Instant::now();
                let deadline = now.saturating_add(*duration);
                let mut sleep = Sleep::new(deadline, Creator::Timeout, location);
                let polled = sleep.arm(cx, Some(now));
                *self = Limit::Running { sleep };
                polled
            }
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if this.limit.poll(cx).is_pending() {
            return Poll::Pending;
        }
        if !*this.is_over && context::poll_budget(cx).is_pending() {
            *this.is_over = true;
            return Poll::Pending;
        }
        Poll::Ready(Err(Elapsed(())))
    }
}

/// The error of a [`timeout`] whose time is up.
///
/// ```
/// # use std::io;
/// fn kind(elapsed: timer::Elapsed) -> io::ErrorKind {
///     io::Error::from(elapsed).kind() // TimedOut
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::paused::{self, Paused, poll_once};
    use crate::sleep;
    use std::future::{pending, poll_fn, ready};
    use std::task::Waker;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_ready_future_needs_neither_time_nor_a_runtime() {
        for duration in [Duration::ZERO, MS, Duration::MAX] {
            let polled = poll_once(&mut timeout(duration, ready(7)), Waker::noop());
            assert_eq!(polled, Poll::Ready(Ok(7)));
        }
        let past = Instant::now();
        let polled = poll_once(&mut timeout_at(past, ready(7)), Waker::noop());
        assert_eq!(polled, Poll::Ready(Ok(7)), "what is ready in the last moment has made it");
    }

    #[test]
    fn the_time_is_up_exactly_and_the_rest_is_disarmed() {
        let paused = Paused::new();
        let (elapsed, _) = paused.block_on(timeout(5 * MS, pending::<()>()));
        assert_eq!((elapsed, paused.elapsed()), (Err(Elapsed(())), 5 * MS));
        let (output, _) = paused.block_on(timeout(5 * MS, sleep(2 * MS)));
        assert_eq!((output, paused.elapsed()), (Ok(()), 7 * MS));
        assert_eq!(paused.driver.next_deadline(), None);
        let (output, _) = paused.block_on(timeout(Duration::MAX, sleep(MS)));
        assert_eq!(output, Ok(()));
        let deadline = paused.start + 20 * MS;
        let (elapsed, _) = paused.block_on(timeout_at(deadline, pending::<()>()));
        assert_eq!((elapsed, paused.elapsed()), (Err(Elapsed(())), 20 * MS));
    }

    #[test]
    fn the_time_runs_from_the_first_pending_poll() {
        let paused = Paused::new();
        let timeout = timeout(5 * MS, pending::<()>());
        paused.clock.advance(100 * MS);
        paused.block_on(timeout).0.expect_err("it is pending for ever");
        assert_eq!(paused.elapsed(), 105 * MS);
    }

    #[test]
    fn a_future_that_uses_up_the_budget_cannot_hold_off_its_deadline() {
        let paused = Paused::new();
        let greedy = poll_fn(|cx| {
            while paused::poll_budget(cx).is_ready() {}
            paused.clock.advance(MS);
            Poll::<()>::Pending
        });
        let (elapsed, polls) = paused.block_on(timeout(5 * MS, greedy));
        assert_eq!(elapsed, Err(Elapsed(())));
        assert!(polls <= 8, "1 ms a poll, and one more for the budget: {polls}");
    }

    #[test]
    fn timeouts_that_are_over_at_once_yield_when_the_budget_is_used_up() {
        let paused = Paused::new();
        let ((), polls) = paused.block_on(async {
            for _ in 0..9 {
                timeout(Duration::ZERO, pending::<()>()).await.expect_err("it is over at once");
            }
        });
        assert_eq!(polls, 2 + 1 - 1, "4 units a poll, and one elapses with each new budget");
    }

    #[test]
    #[should_panic(expected = "runtime: `timeout` (created at timer/src/timeout.rs:")]
    fn a_pending_poll_without_a_runtime_names_the_line() {
        let _ = poll_once(&mut timeout(MS, pending::<()>()), Waker::noop());
    }

    #[test]
    fn elapsed_becomes_a_timed_out_io_error() {
        let error = io::Error::from(Elapsed(()));
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(error.to_string(), "deadline has elapsed");
    }
}
