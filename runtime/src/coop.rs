//! The budget that makes a busy task yield.
//!
//! A task may do [`BUDGET`] operations on sockets, timers and join handles in one poll; then they
//! answer `Pending`, after waking the task, so that it goes to the back of the queue. Without it a
//! task whose socket is always ready would never let go of its worker. The idea is tokio's
//! (its "cooperative scheduling").
//!
//! A task may be several futures, in a `select` or `join_all`, and the first could use the budget
//! up at every poll. So whoever is refused leaves a turn to the next one: a quarter of what is left
//! of a second budget. That is enough for fifteen more, and ends, as a future that goes on to others
//! when one of its own is pending must end.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use crate::sync::thread_local_const;

/// How many operations fit into one poll. 128, as in tokio: small enough that a poll of socket
/// reads ends within about 200 us, large enough that yielding costs under one percent.
pub(crate) const BUDGET: u8 = 128;

/// What a poll may still do.
#[derive(Clone, Copy)]
struct Left {
    /// Operations until the next one is refused.
    now: u8,
    /// Operations for those that come after it.
    later: u8,
}

impl Left {
    const ALL: Left = Left { now: BUDGET, later: BUDGET };
}

thread_local_const! {
    /// What is left to the task that this thread polls; `None` where nothing is counted.
    static LEFT: Cell<Option<Left>> = Cell::new(None);
    /// How often the budget of this thread's tasks ran out.
    static FORCED_YIELDS: Cell<u64> = Cell::new(0);
}

/// Runs one poll with a full budget.
#[inline]
pub(crate) fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    with_left(Some(Left::ALL), poll)
}

/// Runs `f` with nothing counted.
pub(crate) fn without_budget<R>(f: impl FnOnce() -> R) -> R {
    with_left(None, f)
}

#[inline]
fn with_left<R>(left: Option<Left>, poll: impl FnOnce() -> R) -> R {
    struct Restore(Option<Left>);
    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            LEFT.with(|left| left.set(self.0));
        }
    }
    let _restore = Restore(LEFT.with(|cell| cell.replace(left)));
    poll()
}

/// Takes one unit. `Pending`: none is left, and the task has been woken to go on later.
#[inline]
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<()> {
    match LEFT.with(Cell::get) {
        None => Poll::Ready(()),
        Some(Left { now: 0, later }) => {
            refuse(later);
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        Some(Left { now, later }) => {
            LEFT.with(|cell| cell.set(Some(Left { now: now - 1, later })));
            Poll::Ready(())
        }
    }
}

/// Takes so many units, or what is left where that is less: an operation that costs more than a turn
/// has must go on all the same.
pub(crate) fn poll_proceed_many(cx: &mut Context<'_>, units: u8) -> Poll<()> {
    if units > 0 {
        ready!(poll_proceed(cx));
        let rest = |left: Left| Left { now: left.now.saturating_sub(units - 1), ..left };
        LEFT.with(|cell| cell.set(cell.get().map(rest)));
    }
    Poll::Ready(())
}

/// Ends a turn, and leaves one to the next future of the task.
#[cold]
fn refuse(later: u8) {
    if later == BUDGET {
        FORCED_YIELDS.with(|yields| yields.set(yields.get() + 1));
    }
    let turn = later.div_ceil(4);
    LEFT.with(|cell| cell.set(Some(Left { now: turn, later: later - turn })));
}

/// In how many polls of this thread the budget ran out since this was asked last.
pub(crate) fn take_forced_yields() -> u64 {
    FORCED_YIELDS.with(Cell::take)
}

/// Forgets, when it is dropped, how often the budget ran out meanwhile: that was no worker's.
pub(crate) fn uncounted() -> Uncounted {
    Uncounted { before: FORCED_YIELDS.with(Cell::get) }
}

pub(crate) struct Uncounted {
    before: u64,
}

impl Drop for Uncounted {
    fn drop(&mut self) {
        FORCED_YIELDS.with(|yields| yields.set(self.before));
    }
}

/// Takes one unit of the task's budget; yields when none is left.
///
/// For loops that compute between operations which are not the runtime's own: one call per piece of
/// work makes them as polite as a loop over a socket.
///
/// **Cancel safety**: safe, it holds nothing.
pub async fn consume_budget() {
    std::future::poll_fn(poll_proceed).await;
}

/// Runs `future` without a budget: its operations never yield by themselves.
///
/// For code that is known to end soon, or that has its own fairness.
pub fn unconstrained<F: Future>(future: F) -> Unconstrained<F> {
    Unconstrained { future }
}

pin_project! {
    /// The future of [`unconstrained`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Unconstrained<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.project().future;
        Poll::Ready(ready!(without_budget(|| future.poll(cx))))
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_used_up_budget_wakes_and_yields() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        take_forced_yields();
        with_budget(|| {
            for _ in 0..BUDGET {
                assert!(poll_proceed(&mut cx).is_ready());
            }
            assert!(poll_proceed(&mut cx).is_pending());
            assert!(with_left(None, || poll_proceed(&mut cx)).is_ready());
            assert!(with_budget(|| poll_proceed(&mut cx)).is_ready());
            for _ in 0..BUDGET / 4 {
                assert!(poll_proceed(&mut cx).is_ready(), "the next one's turn");
            }
            assert!(poll_proceed(&mut cx).is_pending());
        });
        assert!(poll_proceed(&mut cx).is_ready());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(take_forced_yields(), 1, "one poll");
    }

    #[test]
    fn an_operation_that_costs_more_than_is_left_goes_on() {
        let mut cx = Context::from_waker(Waker::noop());
        with_budget(|| {
            assert!(poll_proceed_many(&mut cx, BUDGET - 1).is_ready());
            assert!(poll_proceed_many(&mut cx, 0).is_ready());
            assert!(poll_proceed_many(&mut cx, 8).is_ready(), "one unit is left");
            assert!(poll_proceed_many(&mut cx, 8).is_pending());
            assert!(poll_proceed_many(&mut cx, 0).is_ready());
        });
        assert!(poll_proceed_many(&mut cx, 8).is_ready());
    }

    #[test]
    fn whoever_goes_on_after_pending_has_two_budgets_in_all() {
        let mut cx = Context::from_waker(Waker::noop());
        with_budget(|| {
            let mut turns = Vec::new();
            for _ in 0..20 {
                let taken = std::iter::from_fn(|| poll_proceed(&mut cx).is_ready().then_some(()));
                turns.push(taken.count());
            }
            assert_eq!(turns[..6], [128, 32, 24, 18, 14, 10]);
            assert_eq!(turns.iter().position(|&taken| taken == 0), Some(16));
            assert_eq!(turns.iter().sum::<usize>(), 2 * usize::from(BUDGET));
        });
    }
}
