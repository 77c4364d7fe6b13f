//! The end of a runtime.
//!
//! In this order: no new tasks are taken and every worker is told; the tasks are dropped, by whoever
//! gets to them first; the last worker, or whoever waits for them, drops what is left and ends the timers and
//! the I/O driver. What outlives that finds an error, or panics with a message; nothing hangs.

use super::{Shared, wake_all};
use crate::sync::atomic::Ordering;

impl Shared {
    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::SeqCst)
    }

    /// Refuses new tasks and makes every worker leave its loop.
    pub(crate) fn begin_shutdown(&self) {
        self.is_shut_down.store(true, Ordering::SeqCst);
        for shard in 0..self.remotes.len() {
            self.owned.close(shard);
        }
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
    /// that is stuck, or in place, may itself wait for one that it has spawned.
    pub(crate) fn shut_down_tasks(&self) {
        for shard in 0..self.remotes.len() {
            self.owned.close_and_shut_down(shard);
        }
    }

    /// Drops every runnable that is queued anywhere. Their tasks have been shut down.
    pub(super) fn drain(&self) {
        while let Some(runnable) = self.injector.pop() {
            drop(runnable);
        }
        for remote in &self.remotes {
            drop(remote.next.take());
            while let Some(runnable) = remote.stealer.steal() {
                drop(runnable);
            }
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
