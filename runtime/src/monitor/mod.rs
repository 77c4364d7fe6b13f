//! The monitor: a thread that runs no task and sees to it that a stuck one harms nobody else.
//!
//! It samples the workers in pairs. Every [`CALM`] it looks which poll each worker is in; those that
//! are in one are looked at again [`CLOSE`] later, and a worker that still is in the same poll is
//! **slow**. Then the monitor looks every [`CLOSE`] for the next [`WARY`], and for as long as a
//! worker is slow it has it relieved (see [`Shared::relieve`]): its queue and `next` slot go to the
//! others, its timers are turned, and somebody holds the I/O driver. When every worker is slow, a
//! spare one is started. Workers pay three plain stores per poll for this, and no clock.
//!
//! # Asleep when nothing happens
//! After [`QUIET`] without a poll it sleeps until a worker leaves park. Why it is not left asleep:
//! 1. The monitor: (a) clears `is_awake`; (b) a `SeqCst` fence; (c) looks whether a worker runs, and
//!    stays awake if one does.
//! 2. A worker that leaves park: (a) is counted as running (a `SeqCst` read-modify-write in `idle`);
//!    (b) a `SeqCst` fence; (c) reads `is_awake`, and unparks the monitor if it is clear.
//!
//! One of the fences comes first. If 1b does, 2c sees the cleared flag; if 2b does, 1c sees the
//! worker. Model: `going_idle_against_the_monitor` in `crate::model`.

mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::metrics::add;
use crate::park::Parker;
use crate::scheduler::{Shared, ThreadTimes};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::task::Watched;

pub use report::BlockedTask;
pub(crate) use report::{OnBlocked, default_blocked_after};

use report::Reports;

/// The time between two looks while all is well.
const CALM: Duration = Duration::from_millis(10);

/// The time between the looks of a pair, and between two looks after a slow poll: what a poll may
/// take before it is called slow.
const CLOSE: Duration = Duration::from_millis(1);

/// How long the monitor goes on looking closely after a slow poll.
const WARY: Duration = Duration::from_secs(2);

/// How long nothing must be polled before the monitor sleeps.
const QUIET: Duration = Duration::from_millis(100);

/// How long all workers must be slow before a spare one is started. A few of them are slow now and
/// then on a busy machine, and one more thread would not help there.
const ALL_SLOW: Duration = Duration::from_millis(5);

/// How long not all workers must be slow before the spare ones retire.
const ALL_WELL: Duration = Duration::from_secs(1);

/// What the monitor shares with the workers.
pub(crate) struct Monitor {
    /// Whether the monitor's thread is awake, or has been unparked. Cleared by it, set by whoever
    /// wakes it; the argument is at the top of the file.
    is_awake: AtomicBool,
    is_started: AtomicBool,
    parker: Parker,
    /// Numbers for the metrics. Written by the monitor's thread alone; relaxed.
    pub(crate) rescues: AtomicU64,
    pub(crate) spare_starts: AtomicU64,
    pub(crate) blocked_reports: AtomicU64,
    pub(crate) longest_poll_us: AtomicU64,
}

impl Monitor {
    pub(crate) fn new() -> Monitor {
        Monitor {
            is_awake: AtomicBool::new(true),
            is_started: AtomicBool::new(false),
            parker: Parker::new(None),
            rescues: AtomicU64::new(0),
            spare_starts: AtomicU64::new(0),
            blocked_reports: AtomicU64::new(0),
            longest_poll_us: AtomicU64::new(0),
        }
    }

    /// A worker has left park, and is counted as running.
    #[inline]
    pub(crate) fn wake(&self) {
        fence(Ordering::SeqCst);
        if !self.is_awake.load(Ordering::Relaxed) && !self.is_awake.swap(true, Ordering::SeqCst) {
            self.parker.unpark();
        }
    }

    /// Makes the monitor look now.
    pub(crate) fn look_now(&self) {
        self.is_awake.store(true, Ordering::SeqCst);
        self.parker.unpark();
    }

    /// Sleeps until a worker runs. `is_quiet` is asked last.
    pub(crate) fn sleep_while(&self, is_quiet: impl Fn() -> bool) {
        self.is_awake.swap(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        while is_quiet() && !self.is_awake.load(Ordering::SeqCst) {
            self.parker.park(&|_| None, &mut Vec::new());
        }
        self.is_awake.store(true, Ordering::SeqCst);
    }
}

/// Starts the monitor's thread, unless it runs already.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    if shared.monitor.is_started.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let name = format!("{}-monitor", shared.config.thread_name);
    let watched = shared.clone();
    shared.threads.start(&shared.config, name, move || Sampler::new(watched).run())
}

/// What the monitor's thread knows.
struct Sampler {
    shared: Arc<Shared>,
    workers: Vec<Seen>,
    reports: Reports,
    wary_until: Option<Instant>,
    last_activity: Instant,
    last_polls: u64,
    all_slow_for: Duration,
    all_well_for: Duration,
}

/// One worker, as the monitor has seen it.
#[derive(Clone, Default)]
struct Seen {
    poll: Option<Watched>,
    is_slow: bool,
    is_counted: bool,
    is_reported: bool,
    /// How long the poll has been watched. Only time in which the monitor itself ran on time counts:
    /// if the whole process was stopped, that is nobody's fault.
    lasted: Duration,
    /// The times of the worker's thread when the poll was found slow.
    times: Option<ThreadTimes>,
}

impl Sampler {
    fn new(shared: Arc<Shared>) -> Sampler {
        let now = timer::real_now();
        Sampler {
            workers: vec![Seen::default(); shared.capacity()],
            reports: Reports::new(&shared.config),
            shared,
            wary_until: None,
            last_activity: now,
            last_polls: 0,
            all_slow_for: Duration::ZERO,
            all_well_for: Duration::ZERO,
        }
    }

    fn run(mut self) {
        let mut slept = Duration::ZERO;
        let mut is_second_look = false;
        while !self.shared.is_shut_down() {
            let any_in_poll = self.look(slept);
            let now = timer::real_now();
            if self.is_quiet(now) {
                self.rest();
                slept = Duration::ZERO;
                continue;
            }
            let is_wary = self.wary_until.is_some_and(|until| now < until);
            // A busy worker is in a poll at every look; two looks at it are a pair, and then calm.
            is_second_look = any_in_poll && !is_second_look;
            slept = self.sleep(if is_second_look || is_wary { CLOSE } else { CALM });
        }
    }

    /// Sleeps, and returns for how long, or what it should have been, if that is much less.
    fn sleep(&self, time: Duration) -> Duration {
        let before = timer::real_now();
        self.shared.monitor.parker.park(&|_| Some(time), &mut Vec::new());
        before.elapsed().min(time + 2 * CLOSE)
    }

    /// Looks at every worker. True: one is in a poll that is worth another look soon.
    fn look(&mut self, slept: Duration) -> bool {
        let mut any_in_poll = false;
        let mut any_slow = false;
        for index in 0..self.workers.len() {
            self.look_at(index, slept);
            any_in_poll |= self.workers[index].poll.is_some();
            any_slow |= self.workers[index].is_slow;
        }
        if any_slow {
            self.wary_until = Some(timer::real_now() + WARY);
            self.relieve();
        }
        self.count_spares(slept);
        any_in_poll
    }

    fn look_at(&mut self, index: usize, slept: Duration) {
        let seen = &mut self.workers[index];
        let remote = self.shared.remote(index);
        let poll = remote.watch.read();
        let Some(poll) = poll.filter(|_| poll == seen.poll) else {
            *seen = Seen { poll, is_slow: remote.is_in_place(), ..Seen::default() };
            return;
        };
        if remote.is_in_place() {
            // It has said so itself, and is not to be blamed: what follows counts anew.
            *seen = Seen { poll: Some(poll), is_slow: true, ..Seen::default() };
            return;
        }
        seen.lasted += slept;
        seen.is_slow = seen.lasted >= CLOSE;
        if !seen.is_slow {
            return;
        }
        let monitor = &self.shared.monitor;
        if !seen.is_counted {
            seen.is_counted = true;
            seen.times = remote.thread_times();
            remote.watch.mark_slow(&poll);
            add(&monitor.rescues, 1);
        }
        let lasted = match (&seen.times, remote.thread_times()) {
            (Some(before), Some(now)) => now.own_since(before, seen.lasted),
            _ => seen.lasted,
        };
        let us = lasted.as_micros().try_into().unwrap_or(u64::MAX);
        monitor.longest_poll_us.fetch_max(us, Ordering::Relaxed);
        if !seen.is_reported && self.reports.is_due(lasted) {
            seen.is_reported = true;
            add(&monitor.blocked_reports, 1);
            self.reports.report(&self.shared, index, poll, lasted);
        }
    }

    fn relieve(&self) {
        for (index, seen) in self.workers.iter().enumerate() {
            if seen.is_slow {
                self.shared.relieve(index);
            }
        }
    }

    /// Starts a spare worker when all others have been slow for a while, and lets the spare ones
    /// retire when that is long past.
    fn count_spares(&mut self, slept: Duration) {
        let regular = self.shared.workers();
        let all_regular_slow = self.workers[..regular].iter().all(|seen| seen.is_slow);
        let any_free_spare = (regular..self.workers.len())
            .any(|index| self.shared.remote(index).is_enlisted() && !self.workers[index].is_slow);
        if !all_regular_slow {
            self.all_slow_for = Duration::ZERO;
            self.all_well_for += slept;
            if self.all_well_for >= ALL_WELL {
                self.shared.retire_spares();
            }
            return;
        }
        self.all_well_for = Duration::ZERO;
        if any_free_spare {
            self.all_slow_for = Duration::ZERO;
            return;
        }
        self.all_slow_for += slept;
        if self.all_slow_for >= ALL_SLOW && self.shared.start_spare() {
            add(&self.shared.monitor.spare_starts, 1);
            self.all_slow_for = Duration::ZERO;
        }
    }

    /// Whether nothing has been polled for a while.
    fn is_quiet(&mut self, now: Instant) -> bool {
        let polls = self.shared.polls();
        if polls != self.last_polls || !self.shared.is_idle() {
            self.last_polls = polls;
            self.last_activity = now;
        }
        now.saturating_duration_since(self.last_activity) >= QUIET
    }

    fn rest(&mut self) {
        self.shared.retire_spares();
        let shared = &self.shared;
        shared.monitor.sleep_while(|| shared.is_idle() && !shared.is_shut_down());
        self.workers.fill(Seen::default());
        self.all_slow_for = Duration::ZERO;
        self.all_well_for = Duration::ZERO;
        self.wary_until = None;
        self.last_activity = timer::real_now();
    }
}
