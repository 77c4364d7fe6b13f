//! The end of a runtime.
//!
//! In this order: no new tasks are taken and every worker is told; the tasks are dropped, by whoever
//! gets to them first; the last worker, or whoever waits for them, drops what is left and ends the timers and
//! the I/O driver. What outlives that finds an error, or panics with a message; nothing hangs.

use std::sync::Arc;
use std::time::Duration;

use super::{Scheduler, Shared, wake_all};
use crate::handle::{AsyncGuard, Handle};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::thread;

/// How soon the queues are emptied again while a worker is stuck at the end of its runtime. When they
/// were emptied before, the worker, or somebody for it, may have had a runnable in its hands, on the
/// way from one queue to another: that of the very task that the worker waits for.
pub(crate) const DRAIN_AGAIN: Duration = Duration::from_millis(10);

/// How often at last, if a worker does not leave and nobody may wait for it any more.
const DRAIN_SELDOM: Duration = Duration::from_secs(1);

/// How many workers have begun to move their queues to the injector, and how many are done: on the
/// way a runnable is in neither. `SeqCst`, as whoever empties the queues must not miss one.
#[derive(Default)]
pub(super) struct HandOvers {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl HandOvers {
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Shared {
    #[inline]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::SeqCst)
    }

    /// Refuses new tasks, and those that are about to go idle, and makes every worker leave its loop.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shut_down.store(true, Ordering::SeqCst);
        self.owned.close();
        self.unpark_all();
    }

    pub(super) fn unpark_all(&self) {
        for remote in &self.remotes {
            remote.parker.unpark();
        }
        self.monitor.look_now();
    }

    /// A regular worker's thread leaves for good. The last one ends what the workers drove.
    pub(crate) fn worker_has_gone(&self) {
        if self.workers_gone.fetch_add(1, Ordering::SeqCst) + 1 == self.config.workers {
            self.finish_shutdown();
        }
    }

    /// Drops the futures of all tasks that nobody polls at this moment, whosever they are: a worker
    /// that is stuck, or in place, may itself wait for one that it has spawned. Those that have never
    /// been idle, or woke themselves, are with their runnables, which only the worker of a
    /// single-threaded runtime can take out of its queue.
    pub(crate) fn shut_down_tasks(&self) {
        self.owned.close_and_shut_down();
        self.drain();
    }

    /// Empties the queues until all threads but this one have left, which sees the workers of a
    /// work-stealing runtime off.
    pub(crate) fn see_the_workers_off(self: &Arc<Shared>) {
        if self.config.scheduler == Scheduler::SingleThreaded {
            return;
        }
        let handle = Handle::new(self.clone());
        let _entered = handle.enter();
        let _async = AsyncGuard::enter_quietly();
        let mut wait = DRAIN_AGAIN;
        while !self.threads.wait_until_left(1, Some(wait)) {
            self.drain();
            let is_waiting = self.turn_timers();
            wait = if is_waiting { DRAIN_AGAIN } else { DRAIN_SELDOM.min(2 * wait) };
        }
    }

    /// Fires what is due. A worker that does not leave may wait for a timer, in an executor inside of its
    /// task, and the monitor looks after it no more. True: there are others.
    fn turn_timers(&self) -> bool {
        let mut wakers = Vec::new();
        for remote in &self.remotes {
            remote.timers.turn(self.clock.now(), &mut wakers);
        }
        self.entered_timers.turn(self.clock.now(), &mut wakers);
        wake_all(&mut wakers);
        let is_armed = |timers: &timer::Driver| timers.next_deadline().is_some();
        is_armed(&self.entered_timers) || self.remotes.iter().any(|remote| is_armed(&remote.timers))
    }

    /// Called after a push to the injector and a fence.
    ///
    /// A runnable holds its task, and the page of that this scheduler: one that nobody takes out any more
    /// would keep both for ever. `finish_shutdown` sets the flag before it drains.
    #[inline]
    pub(super) fn drain_if_finished(self: &Arc<Shared>) {
        if self.is_finished.load(Ordering::SeqCst) {
            self.entered(|| self.drain());
        }
    }

    /// Calls `f`, which drops futures or closures, with the runtime entered, for which none of them may
    /// wait.
    #[cold]
    pub(crate) fn entered(self: &Arc<Shared>, f: impl FnOnce()) {
        let handle = Handle::new(self.clone());
        let _entered = handle.enter();
        let _async = AsyncGuard::enter_quietly();
        f();
    }

    /// Drops every runnable that is in a queue which this thread can take from, and its future where
    /// that is with it. The others' tasks have been shut down, so that no worker queues one again:
    /// what it takes meanwhile it drops. The runtime is entered here.
    pub(crate) fn drain(&self) {
        loop {
            let begun = self.hand_overs.begun.load(Ordering::SeqCst);
            let was_still = self.hand_overs.ended.load(Ordering::SeqCst) == begun;
            while let Some(runnable) = self.injector.pop() {
                drop(runnable);
            }
            for remote in &self.remotes {
                drop(remote.next.take());
                while let Some(runnable) = remote.stealer.steal() {
                    drop(runnable);
                }
            }
            if was_still && self.hand_overs.begun.load(Ordering::SeqCst) == begun {
                return;
            }
            thread::yield_now();
        }
    }

    /// Drops what the workers have left, after they have gone; may be called again. The runtime is
    /// entered here.
    pub(crate) fn finish_shutdown(&self) {
        self.is_finished.store(true, Ordering::SeqCst);
        self.shut_down_tasks();
        let mut wakers = Vec::new();
        for remote in &self.remotes {
            remote.timers.close(&mut wakers);
        }
        self.entered_timers.close(&mut wakers);
        self.poller.shut_down(&mut wakers);
        wake_all(&mut wakers);
        self.drain();
        self.drop_spares();
    }
}
