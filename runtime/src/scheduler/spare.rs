//! Relieving a worker that is stuck, and the spare workers for when all are.

use std::io;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::{Remote, Scheduler, Shared, Worker, wake_all};
use crate::builder::Config;
use crate::handle::{AsyncGuard, Handle};
use crate::park::Unparker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::{LocalTasks, Runnable, with_local_tasks};

/// How many spare workers can exist: as many as the configuration allows beside stuck ones, and one
/// for each worker that can be in `block_in_place`.
pub(super) fn capacity(config: &Config) -> usize {
    match config.scheduler {
        Scheduler::WorkStealing => config.spare_workers + config.workers,
        Scheduler::SingleThreaded => 0,
    }
}

/// The workers that no thread runs yet, or any more.
#[derive(Default)]
pub(super) struct Spares {
    idle: Mutex<Vec<Worker>>,
    /// How many spare workers run. Written before a spare one is counted as running in `idle`, and
    /// `SeqCst`: a worker that goes to sleep looks at the spare ones' queues if it sees this, and
    /// if it does not, the spare one's pushes see that it sleeps.
    enlisted: AtomicUsize,
    /// How many workers are in `block_in_place`: a limit, and while there is one, spare workers
    /// stay. Relaxed; `may_retire` orders what must be.
    in_place: AtomicUsize,
    /// Whether the spare workers are to leave when they are not needed. It comes with an unpark, of
    /// whoever sets it or of the last worker that comes back from its place. Both do so by
    /// read-modify-write, acquire and release: the worker sees it, or it is set after the worker
    /// has counted itself out, and a spare one that sees it (acquire) sees that too.
    may_retire: AtomicBool,
}

impl Shared {
    /// Does what a slow worker does not: gives its `next` runnable away, turns its timers, and wakes
    /// a peer if there is work, or if nobody waits for I/O. A peer that finds nothing to run takes
    /// the I/O driver on its way to sleep, so nothing else needs to be handed over.
    pub(crate) fn relieve(self: &Arc<Shared>, index: usize) {
        if self.config.scheduler == Scheduler::SingleThreaded {
            return;
        }
        let remote = &self.remotes[index];
        if let Some(next) = remote.next.take() {
            self.leave(next);
        }
        if remote.timers.next_deadline().is_some() {
            let mut wakers = Vec::new();
            remote.timers.turn(self.clock.now(), &mut wakers);
            wake_all(&mut wakers);
        }
        if self.has_visible_work() || !self.is_polled() {
            self.notify();
        }
    }

    /// One of what a slow worker has queued, for a worker that has enough to do, and so steals nothing.
    pub(super) fn take_from_slow(&self, index: usize) -> Option<Runnable> {
        if !self.monitor.is_any_slow() {
            return None;
        }
        let remotes = self.remotes_in_use();
        let others = (1..remotes.len()).map(|offset| &remotes[(index + offset) % remotes.len()]);
        others.filter(|other| other.watch.is_slow()).find_map(|other| other.stealer.steal())
    }

    /// Whether a worker waits for I/O.
    pub(super) fn is_polled(&self) -> bool {
        self.remotes_in_use().iter().any(|remote| remote.parker.is_polling())
    }

    /// The remotes of all workers that run, or may run.
    #[inline]
    pub(super) fn remotes_in_use(&self) -> &[CachePadded<Remote>] {
        match self.spares.enlisted.load(Ordering::SeqCst) {
            0 => &self.remotes[..self.config.workers],
            _ => &self.remotes,
        }
    }

    fn has_spares(&self) -> bool {
        self.spares.enlisted.load(Ordering::SeqCst) > 0
    }

    /// Whether spare workers run that have not been told to leave when they can.
    pub(crate) fn keeps_spares(&self) -> bool {
        self.has_spares() && !self.spares.may_retire.load(Ordering::Relaxed)
    }

    /// Whether no worker but this one needs to be looked after: none is in a poll, and no spare one
    /// is there to be sent away some time.
    pub(super) fn is_well_beside(&self, worker: usize) -> bool {
        let regular = &self.remotes[..self.config.workers];
        let mut others = regular.iter().enumerate().filter(|&(index, _)| index != worker);
        !self.has_spares() && !others.any(|(_, remote)| remote.watch.is_in_poll())
    }

    pub(super) fn keep_spares(&self, workers: Vec<Worker>) {
        for worker in &workers {
            worker.remote().is_enlisted.store(false, Ordering::Relaxed);
        }
        self.spares.idle.lock().extend(workers);
    }

    /// Keeps a spare worker whose thread ends for the next one. A worker holds on to the runtime, so
    /// after the end it is dropped.
    pub(crate) fn take_spare_back(&self, worker: Worker) {
        if self.is_shut_down() {
            return;
        }
        self.keep_spares(vec![worker]);
        if self.is_shut_down() {
            // Perhaps too late for `finish_shutdown` to drop it.
            self.drop_spares();
        }
    }

    /// Takes a spare worker, as `start_spare` does, which a model then runs.
    #[cfg(all(test, windlass_loom))]
    pub(crate) fn take_spare(&self) -> Worker {
        let worker = self.spares.idle.lock().pop().expect("a model takes as many as there are");
        worker.remote().is_enlisted.store(true, Ordering::Relaxed);
        self.spares.enlisted.fetch_add(1, Ordering::SeqCst);
        self.idle.enlist();
        worker
    }

    /// Drops the workers that hold on to this runtime.
    pub(super) fn drop_spares(&self) {
        let workers = std::mem::take(&mut *self.spares.idle.lock());
        drop(workers);
    }

    /// Gives a regular worker its thread; in a single-threaded runtime, leaves it to `block_on`.
    pub(crate) fn add_worker(self: &Arc<Shared>, worker: Worker) -> io::Result<()> {
        match self.config.scheduler {
            Scheduler::SingleThreaded => {
                self.take_back(worker);
                Ok(())
            }
            Scheduler::WorkStealing => self.start_worker(worker).map_err(|(error, _)| error),
        }
    }

    /// Gives the worker back if the system refuses a thread.
    fn start_worker(self: &Arc<Shared>, worker: Worker) -> Result<(), (io::Error, Box<Worker>)> {
        let name = format!("{}-worker-{}", self.config.thread_name, worker.index());
        let shared = self.clone();
        let lent = Arc::new(Mutex::new(Some(worker)));
        let taken = lent.clone();
        let started = self.threads.start(self.config.thread(name), move || {
            let worker = taken.lock().take().expect("it is for this thread");
            let config = &shared.config;
            config.run_hooked(|| run_worker(&shared, worker));
        });
        let take_back = || Box::new(lent.lock().take().expect("no thread has taken it"));
        started.map_err(|error| (error, take_back()))
    }

    /// Starts a spare worker, if nobody is parked who could do, and one more is allowed.
    pub(crate) fn start_spare(self: &Arc<Shared>) -> bool {
        if self.idle.parked() > 0 || self.is_shut_down() {
            return false;
        }
        let mut idle = self.spares.idle.lock();
        let in_place = self.spares.in_place.load(Ordering::Relaxed);
        if self.spares.enlisted.load(Ordering::SeqCst) >= self.config.spare_workers + in_place {
            return false;
        }
        let Some(worker) = idle.pop() else { return false };
        self.spares.may_retire.store(false, Ordering::Relaxed);
        self.spares.enlisted.fetch_add(1, Ordering::SeqCst);
        self.idle.enlist();
        drop(idle);
        let index = worker.index();
        worker.remote().is_enlisted.store(true, Ordering::Relaxed);
        let Err((_, worker)) = self.start_worker(worker) else { return true };
        // There is nothing else to be done about stuck workers; the next time the system may have one.
        let _ = self.discharge(index, false);
        self.take_spare_back(*worker);
        false
    }

    /// A spare worker does not run any more. True: nobody searches.
    #[must_use]
    pub(super) fn discharge(&self, index: usize, is_searching: bool) -> bool {
        self.remotes[index].is_enlisted.store(false, Ordering::Relaxed);
        let nobody_searches = self.idle.retire(is_searching);
        self.spares.enlisted.fetch_sub(1, Ordering::SeqCst);
        // Whoever fell asleep meanwhile found it at work.
        self.look_again_if_paused();
        nobody_searches
    }

    /// Lets the spare workers leave.
    pub(crate) fn retire_spares(&self) {
        if self.spares.enlisted.load(Ordering::SeqCst) == 0 {
            return;
        }
        self.spares.may_retire.swap(true, Ordering::AcqRel);
        self.unpark_spares();
    }

    fn unpark_spares(&self) {
        for remote in &self.remotes[self.config.workers..] {
            if remote.is_enlisted() {
                remote.parker.unpark();
            }
        }
    }

    /// Whether the spare worker that asks may leave now.
    pub(crate) fn may_retire(&self) -> bool {
        self.spares.may_retire.load(Ordering::Acquire)
            && self.spares.in_place.load(Ordering::Relaxed) == 0
            && !with_local_tasks(|tasks| tasks.is_some_and(LocalTasks::has_live_tasks))
    }

    /// Counts a worker into `block_in_place`, or out of it.
    pub(crate) fn set_in_place(&self, index: usize, is_in_place: bool) {
        self.remotes[index].is_in_place.store(is_in_place, Ordering::Relaxed);
        if is_in_place {
            self.spares.in_place.fetch_add(1, Ordering::Relaxed);
        } else if self.spares.in_place.fetch_sub(1, Ordering::Relaxed) == 1
            && self.spares.may_retire.fetch_or(false, Ordering::AcqRel)
        {
            self.unpark_spares();
        }
    }
}

/// The life of a worker's thread.
fn run_worker(shared: &Arc<Shared>, worker: Worker) {
    let handle = Handle::new(shared.clone());
    let _async = AsyncGuard::enter("a worker");
    let _entered = handle.enter();
    let unparker = Unparker::new(worker.remote().parker.clone(), None);
    let local = LocalTasks::enter(shared.clone(), unparker);
    let (worker, ()) = worker.run_as_current(|worker| {
        worker.run_until_told_to_leave();
        drop(local);
        // The futures that were dropped just now may have woken others.
        worker.hand_over();
    });
    if !worker.is_spare() {
        drop(worker);
        shared.worker_has_gone();
    } else {
        shared.take_spare_back(worker);
    }
}
