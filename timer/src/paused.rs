//! A runtime of one future on a paused clock, for tests.

use crate::context::EnterGuard;
use crate::wake_count::WakeCount;
use crate::{Clock, Driver, Hooks, Instant};
use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Units of budget that a poll has.
const BUDGET: u32 = 4;

/// Polls after which a future is given up, so that no test hangs.
const MOST_POLLS: usize = 10_000;

thread_local! {
    static BUDGET_LEFT: Cell<u32> = const { Cell::new(BUDGET) };
}

/// Takes one unit of budget, as the hook of [`Paused`]'s driver.
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if BUDGET_LEFT.get() == 0 {
        cx.waker().wake_by_ref();
        return Poll::Pending;
    }
    BUDGET_LEFT.set(BUDGET_LEFT.get() - 1);
    Poll::Ready(())
}

/// A driver on a paused clock, entered by this thread as its owner.
pub(crate) struct Paused {
    pub(crate) clock: Clock,
    pub(crate) driver: Driver,
    pub(crate) start: Instant,
    _guard: EnterGuard,
}

impl Paused {
    pub(crate) fn new() -> Paused {
        let clock = Clock::new();
        clock.pause();
        let driver = Driver::new(&clock, Hooks { budget: poll_budget, ..Hooks::none() });
        let _guard = driver.handle().enter_as_owner();
        Paused { start: clock.now(), clock, driver, _guard }
    }

    /// How long the clock has run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now() - self.start
    }

    /// Lets time jump to the next deadline; false if there is none.
    pub(crate) fn jump(&self) -> bool {
        let mut wakers = Vec::new();
        let has_jumped = self.clock.advance_to_next(&mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        has_jumped
    }

    /// Polls until the future is ready; when nothing has woken it, time jumps to the next deadline.
    ///
    /// Returns the output and how often it polled. Panics if there is nothing left to wait for.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> (F::Output, usize) {
        let mut future = pin!(future);
        let (count, waker) = WakeCount::new();
        for polls in 1..=MOST_POLLS {
            let woken = count.get();
            BUDGET_LEFT.set(BUDGET);
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                BUDGET_LEFT.set(BUDGET);
                return (output, polls);
            }
            // One jump suffices: it fires what it jumped to, and the future has armed nothing else.
            if count.get() == woken {
                assert!(self.jump(), "the future waits for nothing");
                assert!(count.get() > woken, "the jump fired nothing of the future's");
            }
        }
        panic!("the future is not ready after {MOST_POLLS} polls")
    }
}

/// Polls once.
pub(crate) fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}
