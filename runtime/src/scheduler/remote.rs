//! What other threads reach of a worker, and can find out about its thread.

use std::sync::Arc;
use std::time::Duration;

use super::queue::{LocalQueue, QueueStealer};
use super::timers_of;
use crate::metrics::WorkerMetrics;
use crate::park::{Parker, Poller};
#[cfg(target_os = "linux")]
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::{Slot, Watch, Watched};

/// The part of a worker that other threads reach.
pub(crate) struct Remote {
    pub(crate) parker: Arc<Parker>,
    pub(crate) timers: timer::Driver,
    /// The runnable that was woken last and runs next, of a worker with peers. See
    /// [`Worker::push`](super::Worker::push).
    pub(super) next: Slot,
    /// Whether a worker without peers has a next one. Written by the worker; relaxed, a hint.
    pub(super) has_next: AtomicBool,
    pub(super) stealer: QueueStealer,
    pub(crate) watch: Watch,
    pub(crate) metrics: WorkerMetrics,
    /// Whether the worker is in `block_in_place`. Written by it, read by the monitor; relaxed.
    pub(super) is_in_place: AtomicBool,
    /// Whether a thread runs the worker; always so for regular ones. Written by whoever starts or
    /// ends a spare one, read by the monitor; relaxed.
    pub(super) is_enlisted: AtomicBool,
    /// The thread that is the worker now, or was last.
    #[cfg(target_os = "linux")]
    thread: Mutex<Option<crate::stack::Thread>>,
}

impl Remote {
    /// That of a worker with this number and queue, which parks on `poller` if that is free.
    pub(super) fn new(
        queue: &LocalQueue,
        clock: &timer::Clock,
        poller: &Arc<dyn Poller>,
    ) -> Remote {
        let parker = Arc::new(Parker::new(Some(poller.clone())));
        Remote {
            timers: timers_of(clock, &parker),
            parker,
            next: Slot::new(),
            has_next: AtomicBool::new(false),
            stealer: queue.stealer(),
            watch: Watch::new(),
            metrics: WorkerMetrics::default(),
            is_in_place: AtomicBool::new(false),
            is_enlisted: AtomicBool::new(true),
            #[cfg(target_os = "linux")]
            thread: Mutex::new(None),
        }
    }

    /// This thread runs the worker from now on.
    pub(super) fn set_thread(&self) {
        #[cfg(target_os = "linux")]
        {
            *self.thread.lock() = Some(crate::stack::Thread::current());
        }
    }

    pub(crate) fn is_in_place(&self) -> bool {
        self.is_in_place.load(Ordering::Relaxed)
    }

    pub(crate) fn is_enlisted(&self) -> bool {
        self.is_enlisted.load(Ordering::Relaxed)
    }

    /// The stack of the thread, if it still is in `poll`.
    pub(crate) fn stack(&self, poll: &Watched) -> Option<String> {
        #[cfg(target_os = "linux")]
        {
            // A thread that computes is asked when it next returns from the kernel, which may come
            // too late for one attempt.
            let is_current = || self.watch.read().as_ref() == Some(poll);
            let thread = (*self.thread.lock())?;
            let captured =
                (0..3).find_map(|_| is_current().then(|| crate::stack::capture(&thread)).flatten());
            // If the poll is over by now, the stack may be that of another, or of another thread.
            captured.filter(|_| is_current()).map(|stack| stack.to_string())
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = poll;
            None
        }
    }

    /// What the kernel has counted of the thread's time.
    pub(crate) fn thread_times(&self) -> Option<ThreadTimes> {
        #[cfg(target_os = "linux")]
        {
            let tid = (*self.thread.lock())?.tid();
            // See "schedstat" in the kernel's Documentation/scheduler/sched-stats.rst: time on a
            // core, time waiting for one, both in nanoseconds.
            let read = |file| std::fs::read_to_string(format!("/proc/self/task/{tid}/{file}")).ok();
            // The state first: one that waits for a core now has a wait that is not counted yet,
            // and must not be taken for one that blocked when it is counted and over.
            let is_runnable = read("stat")?.rsplit_once(')')?.1.trim_start().starts_with('R');
            let text = read("schedstat")?;
            let mut fields = text.split_whitespace().map(str::parse);
            let mut next = || Some(Duration::from_nanos(fields.next()?.ok()?));
            let (on_core, queued) = (next()?, next()?);
            Some(ThreadTimes { on_core, queued, is_runnable })
        }
        #[cfg(not(target_os = "linux"))]
        None
    }

    /// The page faults of the thread, minor and major, since it exists.
    pub(crate) fn page_faults(&self) -> Option<(u64, u64)> {
        #[cfg(target_os = "linux")]
        {
            let tid = (*self.thread.lock())?.tid();
            let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).ok()?;
            // The name of the thread, in brackets, may contain anything.
            let mut fields = text.rsplit_once(')')?.1.split_whitespace();
            let minor = fields.nth(7)?.parse().ok()?;
            let major = fields.nth(1)?.parse().ok()?;
            Some((minor, major))
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}

/// How long a thread has had a core, and has waited for one, since it exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadTimes {
    on_core: Duration,
    queued: Duration,
    is_runnable: bool,
}

impl ThreadTimes {
    /// How much of the time `lasted` since `before` is the thread's own doing, and not the lack of
    /// a core. The kernel counts a wait for a core when it ends, so of a thread that is runnable,
    /// and may be waiting now, only its time on a core is sure.
    pub(crate) fn own_since(&self, before: &ThreadTimes, lasted: Duration) -> Duration {
        match self.is_runnable {
            true => lasted.min(self.on_core.saturating_sub(before.on_core)),
            false => lasted.saturating_sub(self.queued.saturating_sub(before.queued)),
        }
    }
}
