//! The monitor: a thread that runs no task and sees to it that a stuck one harms nobody else.
//!
//! It samples the workers in pairs. Every [`CALM`] it looks which poll each worker is in; those
//! that are in one are looked at again [`CLOSE`] later, and a worker that still is in the same poll
//! is **slow**. Then the monitor is wary: it looks every [`CLOSE`] for the next [`WARY`], but not
//! in single-threaded mode, where nobody could relieve the worker. For as long as a worker is slow
//! it has it relieved (see [`Shared::relieve`]): its queue and `next` slot go to the others, its
//! timers are turned, and somebody holds the I/O driver. When every worker is slow, a spare one is
//! started. Workers pay five plain stores per poll for this (see [`Watch`](crate::task::Watch)).
//!
//! # Looks that are put off
//! A look costs a wake-up, and most find nothing. So a worker that reads the clock anyway, because
//! it has left park or has been busy for a while, sets the [`Alarm`] that the monitor sleeps on
//! anew, if half of the time to the next look has passed and all is well as far as it can see:
//! nobody else is in a poll, and its own polls since the last reading were short. It does not wake
//! the monitor for that. So there is a look only when a worker is in a poll whenever somebody comes
//! by, or when nobody comes by for [`CALM`]. A worker whose own polls were not short says so: the
//! look is not put off, and the monitor becomes wary, again not in single-threaded mode.
//!
//! # Asleep when nothing happens
//! When all workers are parked, the alarm is turned off until one leaves park. Why it does not stay
//! off:
//! 1. The monitor: (a) sets `put_off_from` to [`RESTING`] and turns the alarm off, under its lock;
//!    (b) a `SeqCst` fence; (c) looks whether a worker runs, and stays awake if one does.
//! 2. A worker that leaves park, or a thread that becomes one: (a) is counted as running (a `SeqCst`
//!    read-modify-write in `idle`); (b) a `SeqCst` fence; (c) reads `put_off_from`, and, as every
//!    time is after `RESTING`, takes the lock and sets the alarm.
//!
//! One of the fences comes first. If 1b does, 2c sees `RESTING`, or a time that another worker
//! wrote when it set the alarm; if 2b does, 1c sees the worker. Models: in `crate::model`,
//! `going_idle_against_the_monitor` and `going_idle_against_a_worker_that_parks_and_is_stuck`.

mod alarm;
mod report;
#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::metrics::add;
use crate::scheduler::{Scheduler, Shared, ThreadTimes};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::thread;
use crate::task::Watched;

pub use report::BlockedTask;
pub(crate) use report::{OnBlocked, default_blocked_after};

use alarm::Alarm;
use report::Reports;

/// The time between two looks while all is well.
const CALM: Duration = Duration::from_millis(10);

/// The time between the looks of a pair, and between two looks after a slow poll: what a poll may
/// take before it is called slow.
pub(crate) const CLOSE: Duration = Duration::from_millis(1);

/// How long the monitor goes on looking closely after a slow poll.
const WARY: Duration = Duration::from_secs(2);

/// What a slow poll has lasted when the times of its thread are read for the first time. Most slow
/// polls are over by then, and on a busy machine many are slow only for want of a core; reading the
/// times of each would cost a core some percent.
const LONG: Duration = Duration::from_millis(5);

/// How long all workers must be slow before a spare one is started. A few of them are slow now and
/// then on a busy machine, and one more thread would not help there.
const ALL_SLOW: Duration = Duration::from_millis(5);

/// How long not all workers must be slow before the spare ones retire.
const ALL_WELL: Duration = Duration::from_secs(1);

/// The value of `put_off_from` while the alarm is off.
const RESTING: u64 = 0;

/// The value of `put_off_from` while the next look must not be put off.
const NEVER: u64 = u64::MAX;

/// What the monitor shares with the workers.
pub(crate) struct Monitor {
    /// From when on, in nanoseconds since `epoch`, a worker may put the next look off; or one of
    /// the constants above. Written under the lock of `alarm`; relaxed, as a worker that is to see
    /// `RESTING` has the fence in the argument at the top of the file.
    put_off_from: AtomicU64,
    /// Until when the monitor looks closely, in the same unit. Only grows; relaxed, a number on its
    /// own.
    wary_until: AtomicU64,
    epoch: Instant,
    alarm: Alarm,
    /// How long to look closely after a slow poll: [`WARY`], or, where nobody could relieve the
    /// worker, not at all.
    wary_for: Duration,
    /// Whether the thread has been started. Swapped by whoever starts it; relaxed, it only counts.
    is_started: AtomicBool,
    /// Whether some worker was slow at the last look. Written by the monitor's thread alone; relaxed, a
    /// hint about where to steal.
    is_any_slow: AtomicBool,
    /// Numbers for the metrics. Written by the monitor's thread alone; relaxed.
    pub(crate) rescues: AtomicU64,
    pub(crate) spare_starts: AtomicU64,
    pub(crate) blocked_reports: AtomicU64,
    pub(crate) longest_poll_us: AtomicU64,
}

impl Monitor {
    /// The monitor of a runtime with one thread only reports, in which there is no hurry.
    pub(crate) fn new(scheduler: Scheduler) -> Monitor {
        Monitor {
            put_off_from: AtomicU64::new(NEVER),
            wary_until: AtomicU64::new(0),
            epoch: timer::real_now(),
            alarm: Alarm::new(),
            wary_for: match scheduler {
                Scheduler::WorkStealing => WARY,
                Scheduler::SingleThreaded => Duration::ZERO,
            },
            is_started: AtomicBool::new(false),
            is_any_slow: AtomicBool::new(false),
            rescues: AtomicU64::new(0),
            spare_starts: AtomicU64::new(0),
            blocked_reports: AtomicU64::new(0),
            longest_poll_us: AtomicU64::new(0),
        }
    }

    /// A worker has left park at `now`, and is counted as running.
    #[inline]
    pub(crate) fn left_park(&self, now: Instant, is_well: impl Fn() -> bool) {
        fence(Ordering::SeqCst);
        self.put_off(now, is_well);
    }

    /// Puts the next look off, if it is due before long and `is_well`; sets the alarm if it is off.
    #[inline]
    pub(crate) fn put_off(&self, now: Instant, is_well: impl Fn() -> bool) {
        if self.since_epoch(now) >= self.put_off_from.load(Ordering::Relaxed) {
            self.set_alarm(now, is_well);
        }
    }

    #[cold]
    fn set_alarm(&self, now: Instant, is_well: impl Fn() -> bool) {
        let mut alarm = self.alarm.setting();
        let put_off_from = self.put_off_from.load(Ordering::Relaxed);
        let is_due = self.since_epoch(now) >= put_off_from;
        if is_due && (put_off_from == RESTING || is_well()) {
            let interval = self.interval(now);
            alarm.set(Some(interval));
            self.put_off_from.store(self.since_epoch(now + interval / 2), Ordering::Relaxed);
        }
    }

    /// A worker has been in short polls for longer than they should take, or in a long one: the
    /// next look is not put off, and the monitor is wary, unless nobody could relieve the worker
    /// (see `wary_for`). Otherwise a task that computes for some milliseconds, and then sleeps for
    /// as long as the monitor, would never be met by it.
    #[cold]
    pub(crate) fn suspect(&self, now: Instant) {
        let mut alarm = self.alarm.setting();
        self.be_wary(now);
        if self.put_off_from.swap(NEVER, Ordering::Relaxed) == RESTING {
            alarm.set(Some(CLOSE));
        }
    }

    /// Whether some worker was slow when the monitor looked last.
    #[inline]
    pub(crate) fn is_any_slow(&self) -> bool {
        self.is_any_slow.load(Ordering::Relaxed)
    }

    /// Makes the monitor look now.
    pub(crate) fn look_now(&self) {
        let mut alarm = self.alarm.setting();
        alarm.ring();
        self.put_off_from.store(NEVER, Ordering::Relaxed);
    }

    /// Sleeps until a worker runs. `is_quiet` is asked last.
    ///
    /// Whoever sets the alarm does so under the lock that [`Alarm::sleep`] takes before it returns,
    /// so what is read after that is what was written with it.
    pub(crate) fn sleep_while(&self, is_quiet: impl Fn() -> bool) {
        {
            let mut alarm = self.alarm.setting();
            alarm.set(None);
            self.put_off_from.store(RESTING, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        while is_quiet() && self.put_off_from.load(Ordering::Relaxed) == RESTING {
            self.alarm.sleep();
        }
    }

    /// Sleeps for `time`, or as much longer as the workers put the look off.
    fn sleep(&self, time: Duration) {
        let mut alarm = self.alarm.setting();
        alarm.set(Some(time));
        let from = self.since_epoch(timer::real_now() + time / 2);
        self.put_off_from.store(from, Ordering::Relaxed);
        drop(alarm);
        self.alarm.sleep();
    }

    fn interval(&self, now: Instant) -> Duration {
        let is_wary = self.since_epoch(now) < self.wary_until.load(Ordering::Relaxed);
        if is_wary { CLOSE } else { CALM }
    }

    fn be_wary(&self, now: Instant) {
        self.wary_until.fetch_max(self.since_epoch(now + self.wary_for), Ordering::Relaxed);
    }

    /// Nanoseconds from `epoch` to `time`: more than `RESTING`, less than `NEVER`.
    #[inline]
    fn since_epoch(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.epoch);
        since.as_secs() * 1_000_000_000 + u64::from(since.subsec_nanos()) + 1
    }
}

/// Starts the monitor's thread, unless it runs already.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    if shared.monitor.is_started.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let name = format!("{}-monitor", shared.config.thread_name);
    let watched = shared.clone();
    shared.threads.start(thread::Builder::new().name(name), move || Sampler::new(watched).run())
}

/// What the monitor's thread knows.
struct Sampler {
    shared: Arc<Shared>,
    workers: Vec<Seen>,
    reports: Reports,
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
    /// How long the poll has been watched. Only time in which the monitor itself ran on time
    /// counts: if the whole process was stopped, that is nobody's fault.
    lasted: Duration,
    /// The times of the worker's thread when they were first read, and what `lasted` was then. What
    /// was before that does not count: it may have been the lack of a core.
    times: Option<(ThreadTimes, Duration)>,
    /// What `lasted` is when they are to be read next.
    measure_at: Duration,
}

impl Sampler {
    fn new(shared: Arc<Shared>) -> Sampler {
        Sampler {
            workers: vec![Seen::default(); shared.capacity()],
            reports: Reports::new(&shared.config),
            shared,
            all_slow_for: Duration::ZERO,
            all_well_for: Duration::ZERO,
        }
    }

    fn run(mut self) {
        let mut slept = Duration::ZERO;
        let mut is_second_look = false;
        while !self.shared.is_shut_down() {
            let any_in_poll = self.look(slept);
            if self.shared.is_idle() && !self.shared.keeps_spares() {
                self.rest();
                (slept, is_second_look) = (Duration::ZERO, false);
                continue;
            }
            // A busy worker is in a poll at every look; two looks at it are a pair, and then calm.
            // If the second one was put off, it is the first of another pair.
            let was_pair = is_second_look && slept <= 2 * CLOSE;
            is_second_look = any_in_poll && !was_pair;
            let interval = self.shared.monitor.interval(timer::real_now());
            slept = self.sleep(if is_second_look { CLOSE } else { interval });
        }
        self.shared.see_the_workers_off();
    }

    /// Sleeps, and returns for how long, or what it should have been, if that is much less.
    fn sleep(&self, time: Duration) -> Duration {
        let before = timer::real_now();
        self.shared.monitor.sleep(time);
        timer::real_now().saturating_duration_since(before).min(time + 2 * CLOSE)
    }

    fn rest(&mut self) {
        let shared = &self.shared;
        shared.monitor.is_any_slow.store(false, Ordering::Relaxed);
        shared.monitor.sleep_while(|| shared.is_idle() && !shared.is_shut_down());
        self.workers.fill(Seen::default());
        self.all_slow_for = Duration::ZERO;
        self.all_well_for = Duration::ZERO;
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
        self.shared.monitor.is_any_slow.store(any_slow, Ordering::Relaxed);
        if any_slow {
            self.shared.monitor.be_wary(timer::real_now());
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
            let measure_at = LONG.min(self.reports.due_in(Duration::ZERO));
            *seen = Seen { poll, is_slow: remote.is_in_place(), measure_at, ..Seen::default() };
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
            remote.watch.mark_slow(&poll);
            add(&monitor.rescues, 1);
        }
        if seen.lasted < seen.measure_at {
            return;
        }
        let lasted = match (&seen.times, remote.thread_times()) {
            (Some((before, from)), Some(now)) => now.own_since(before, seen.lasted - *from),
            (None, Some(now)) => {
                seen.times = Some((now, seen.lasted));
                return;
            }
            (_, None) => seen.lasted,
        };
        let due_in = self.reports.due_in(lasted);
        let soon = if seen.is_reported { CALM } else { due_in };
        seen.measure_at = seen.lasted + soon.clamp(CLOSE, CALM);
        let us = lasted.as_micros().try_into().unwrap_or(u64::MAX);
        monitor.longest_poll_us.fetch_max(us, Ordering::Relaxed);
        if !seen.is_reported && due_in.is_zero() {
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
            if self.all_well_for >= ALL_WELL && self.shared.keeps_spares() {
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
        if self.all_slow_for >= ALL_SLOW {
            // Also if there is none: the system is not asked for a thread at each look.
            self.all_slow_for = Duration::ZERO;
            if self.shared.start_spare() {
                add(&self.shared.monitor.spare_starts, 1);
            }
        }
    }
}
