//! What a runtime counts.

use std::time::Duration;

use crate::coop;
use crate::scheduler::Shared;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The counters of one worker. Each is written by its worker alone, with a plain load and store, and
/// read by anybody. Relaxed: they are numbers on their own that publish nothing.
#[derive(Default)]
pub(crate) struct WorkerMetrics {
    pub(crate) steals: AtomicU64,
    pub(crate) parks: AtomicU64,
    /// Tasks that were spawned on this worker.
    pub(crate) spawned: AtomicU64,
    forced_yields: AtomicU64,
}

/// Adds to a counter that only this thread writes.
#[inline]
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

impl WorkerMetrics {
    /// The budget counts per thread, which is one worker at a time, and each takes what is its own
    /// before another one begins.
    pub(crate) fn publish_forced_yields(&self) {
        add(&self.forced_yields, coop::take_forced_yields());
    }
}

/// What a runtime has done so far, and what it holds now: one reading of its counters.
///
/// The counters are read one after another while the workers go on, so they need not add up to the
/// last unit. Reading them disturbs nobody.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Tasks that are spawned and not complete, without local tasks and blocking calls.
    pub live_tasks: usize,
    /// Runnables that came from outside of the workers and wait to be taken.
    pub injected: usize,
    /// The threads for blocking calls, waiting ones included.
    pub blocking_threads: usize,
    /// Blocking calls that wait for a thread.
    pub blocking_queue: usize,
    /// Workers that are asleep, or, in single-threaded mode, that no thread is at the moment.
    pub parked_workers: usize,
    /// Polls that took so long that the worker's duties were given to others: over about 1 ms.
    pub rescues: u64,
    /// Spare workers started because all others were stuck.
    pub spare_starts: u64,
    /// Polls that took longer than [`Builder::blocked_after`](crate::Builder::blocked_after).
    pub blocked: u64,
    /// The longest poll so far. A poll is measured once it has lasted some 5 ms, from then on and
    /// every 10 ms, so the figure may be too low by 25 ms.
    pub longest_poll: Duration,
    /// One entry per worker; those of spare workers follow once one has been needed.
    pub workers: Vec<WorkerReading>,
}

/// The counters of one worker, see [`Metrics`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerReading {
    /// Tasks polled to `Pending` or to their end.
    pub polls: u64,
    /// Batches of runnables taken from other workers.
    pub steals: u64,
    /// Times that the worker went to sleep.
    pub parks: u64,
    /// Polls in which the task's budget ran out.
    pub forced_yields: u64,
    /// Runnables in its queue.
    pub queued: usize,
    /// Page faults of the worker's thread that the kernel served from memory. Linux only, else 0.
    pub minor_faults: u64,
    /// Page faults of the worker's thread that waited for a disk: blocking that no code shows.
    /// Linux only, else 0.
    pub major_faults: u64,
}

impl Metrics {
    pub(crate) fn read(shared: &Shared) -> Metrics {
        let (blocking_threads, blocking_queue) = shared.blocking.counts();
        let worker = |index| {
            let remote = shared.remote(index);
            let metrics = &remote.metrics;
            let (minor_faults, major_faults) = remote.page_faults().unwrap_or_default();
            WorkerReading {
                polls: remote.watch.polls(),
                steals: metrics.steals.load(Ordering::Relaxed),
                parks: metrics.parks.load(Ordering::Relaxed),
                forced_yields: metrics.forced_yields.load(Ordering::Relaxed),
                queued: shared.queued(index),
                minor_faults,
                major_faults,
            }
        };
        let monitor = &shared.monitor;
        // Spare workers appear once one has run.
        let has_spares = (shared.workers()..shared.capacity())
            .any(|index| shared.remote(index).watch.polls() > 0);
        let workers = if has_spares { shared.capacity() } else { shared.workers() };
        Metrics {
            live_tasks: shared.live_tasks(),
            injected: shared.injected(),
            blocking_threads,
            blocking_queue,
            parked_workers: shared.parked(),
            rescues: monitor.rescues.load(Ordering::Relaxed),
            spare_starts: monitor.spare_starts.load(Ordering::Relaxed),
            blocked: monitor.blocked_reports.load(Ordering::Relaxed),
            longest_poll: Duration::from_micros(monitor.longest_poll_us.load(Ordering::Relaxed)),
            workers: (0..workers).map(worker).collect(),
        }
    }

    /// The polls of all workers.
    #[must_use]
    pub fn polls(&self) -> u64 {
        self.workers.iter().map(|worker| worker.polls).sum()
    }

    /// The steals of all workers.
    #[must_use]
    pub fn steals(&self) -> u64 {
        self.workers.iter().map(|worker| worker.steals).sum()
    }

    /// How often any worker went to sleep.
    #[must_use]
    pub fn parks(&self) -> u64 {
        self.workers.iter().map(|worker| worker.parks).sum()
    }
}
