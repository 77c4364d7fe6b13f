//! Waits until so many tasks are done: one atomic per task, one wake-up at the end.

use futures_util::task::AtomicWaker;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::Thread;

/// Counts tasks down to zero and wakes whoever waits.
///
/// It belongs to no runtime, so it costs every runtime the same.
pub(crate) struct Countdown {
    /// Tasks that are not done. Each task decrements it once with `AcqRel`: the last one has seen
    /// what the others did, and publishes it to the waiter's `Acquire` load. The waker is stored
    /// before that load and taken after the last decrement, so one of the two sides sees the other.
    remaining: AtomicUsize,
    waker: AtomicWaker,
    /// A thread that waits instead of a task.
    thread: Option<Thread>,
}

impl Countdown {
    /// Expects `tasks` calls of [`done`](Self::done), at least one.
    pub(crate) fn new(tasks: usize) -> Arc<Countdown> {
        Countdown::waited_for_by(tasks, None)
    }

    /// As `new`, for [`block`](Self::block) on the calling thread.
    pub(crate) fn for_this_thread(tasks: usize) -> Arc<Countdown> {
        Countdown::waited_for_by(tasks, Some(std::thread::current()))
    }

    fn waited_for_by(tasks: usize, thread: Option<Thread>) -> Arc<Countdown> {
        let remaining = AtomicUsize::new(tasks);
        Arc::new(Countdown { remaining, waker: AtomicWaker::new(), thread })
    }

    /// One task is done.
    pub(crate) fn done(&self) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) == 1 {
            match &self.thread {
                Some(thread) => thread.unpark(),
                None => self.waker.wake(),
            }
        }
    }

    /// Waits in a task until all are done.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            match self.remaining.load(Ordering::Acquire) {
                0 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        })
        .await;
    }

    /// Blocks the thread that created this until all are done.
    pub(crate) fn block(&self) {
        while self.remaining.load(Ordering::Acquire) != 0 {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_waits_for_the_last_one() {
        let countdown = Countdown::for_this_thread(3);
        for _ in 0..3 {
            let countdown = Arc::clone(&countdown);
            std::thread::spawn(move || countdown.done());
        }
        countdown.block();
    }

    #[test]
    fn a_task_waits_for_the_last_one() {
        let countdown = Countdown::new(2);
        for _ in 0..2 {
            let countdown = Arc::clone(&countdown);
            std::thread::spawn(move || countdown.done());
        }
        let runtime = runtime::Runtime::new().expect("a runtime");
        runtime.block_on(countdown.wait());
    }
}
