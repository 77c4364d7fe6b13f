//! The one worker of a single-threaded runtime, lent to one thread in `block_on` after another.

use std::sync::Arc;

use super::{Scheduler, Shared, Worker};
use crate::park::Parker;

/// The worker of a single-threaded runtime, and who waits for it.
#[derive(Default)]
pub(super) struct Lent {
    worker: Option<Worker>,
    /// The runtime has ended, and the worker with it.
    is_gone: bool,
    /// The threads in `block_on` that are not the worker; one of them takes over when it is free.
    waiting: Vec<Arc<Parker>>,
}

impl Lent {
    fn unpark_waiting(&self) {
        for parker in &self.waiting {
            parker.unpark();
        }
    }
}

impl Shared {
    /// Takes the worker of a single-threaded runtime, if it is free. If it is not, `parker` is
    /// unparked when it becomes so, until [`Shared::stop_waiting`].
    pub(crate) fn claim_worker(&self, parker: &Arc<Parker>) -> Option<Worker> {
        let mut lent = self.lent.lock();
        let worker = lent.worker.take();
        if worker.is_none() && !lent.waiting.iter().any(|other| Arc::ptr_eq(other, parker)) {
            lent.waiting.push(parker.clone());
        }
        worker
    }

    /// Whether a thread in `block_on` that drives its future alone should become the worker.
    pub(super) fn is_worker_free(&self) -> bool {
        self.config.scheduler == Scheduler::SingleThreaded
            && !self.is_shut_down()
            && self.lent.lock().worker.is_some()
    }

    pub(crate) fn stop_waiting(&self, parker: &Arc<Parker>) {
        self.lent.lock().waiting.retain(|other| !Arc::ptr_eq(other, parker));
    }

    /// Leaves the worker to whoever claims it next. After the end of the runtime its tasks are
    /// dropped here instead; this thread has entered the runtime.
    pub(crate) fn take_back(&self, worker: Worker) {
        let mut lent = self.lent.lock();
        // Under the lock: who ends the runtime sets the flag before it claims the worker, so one of
        // us sees the other.
        if !self.is_shut_down() {
            debug_assert!(lent.worker.is_none(), "there is one worker");
            lent.worker = Some(worker);
            return lent.unpark_waiting();
        }
        drop(lent);
        worker.shut_down();
        let mut lent = self.lent.lock();
        lent.is_gone = true;
        lent.unpark_waiting();
        drop(lent);
        self.finish_shutdown();
    }

    /// Whether the worker of a single-threaded runtime has ended with it.
    pub(crate) fn is_worker_gone(&self) -> bool {
        self.lent.lock().is_gone
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use crate::{Builder, Scheduler};

    /// In the `next` slot nobody saw it, and a paused clock could jump before it had run.
    #[test]
    fn what_is_left_by_block_on_is_in_a_queue_that_everybody_sees() {
        let builder = Builder::new().scheduler(Scheduler::SingleThreaded);
        let runtime = builder.build().expect("the system has files for a runtime");
        runtime.block_on(async { drop(crate::spawn(async {})) });
        assert!(runtime.handle().shared().has_visible_work());
    }

    /// That of a thread which has pushed a runnable, and then had no core until that had run and
    /// `block_on` was over. The worker was counted as one that searches from then on, and the monitor
    /// looked at it, until the next `block_on`.
    #[test]
    fn a_notification_that_comes_when_no_thread_is_the_worker_is_for_nobody() {
        let builder = Builder::new().scheduler(Scheduler::SingleThreaded);
        let runtime = builder.build().expect("the system has files for a runtime");
        let parked = || runtime.metrics().parked_workers;
        runtime.handle().shared().notify();
        assert_eq!(parked(), 1, "before the first `block_on`");
        for _ in 0..2 {
            assert_eq!(runtime.block_on(async { parked() }), 0);
            assert_eq!(parked(), 1);
            runtime.handle().shared().notify();
            assert_eq!(parked(), 1, "after a `block_on`");
        }
        let join = runtime.spawn(async { 7 });
        assert_eq!(parked(), 1, "nobody is there to run it");
        assert_eq!(runtime.block_on(join).expect("it ends"), 7);
    }
}
