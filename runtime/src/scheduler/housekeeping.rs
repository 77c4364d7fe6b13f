//! What a worker does beside polling: it looks at I/O, timers and the injector now and then, and it
//! sleeps when there is nothing to do.

use std::task::Waker;
use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::metrics::add;
use crate::monitor;
use crate::task::{LocalTasks, with_local_tasks};

/// How long a busy worker may go without a look at I/O, timers and the injector.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// How many polls at most may pass between two readings of the clock. The reading costs about as
/// much as a small poll, so it is not done for each; 64 small polls take a few microseconds.
const MAX_POLLS_PER_READING: u32 = 64;

impl Worker {
    /// Looks at what tasks do not show: I/O, timers, the injector, and what slow workers have
    /// queued. A busy worker does so every [`LOOK_EVERY`], and after any poll that took longer, as
    /// far as the clock is read: how many polls pass between two readings follows from how long
    /// they take.
    #[inline]
    pub(super) fn look_if_due(&self) {
        match self.polls_left.get() {
            0 => self.read_clock(),
            left => self.polls_left.set(left - 1),
        }
    }

    /// `.ci/count` leaves this out by its name.
    #[cold]
    #[inline(never)]
    fn read_clock(&self) {
        let now = timer::real_now();
        let polls = self.polls_per_reading.get();
        let elapsed = self.since_last_look(now);
        if elapsed < LOOK_EVERY {
            // Not yet; so many polls are short enough to do without a reading.
            self.polls_per_reading.set((polls * 2).min(MAX_POLLS_PER_READING));
        } else {
            let is_suspicious = self.tell_monitor(now);
            self.polls_per_reading.set(if is_suspicious { 1 } else { (polls / 2).max(1) });
            self.last_look.set(now);
            self.look();
        }
        self.polls_left.set(self.polls_per_reading.get() - 1);
    }

    /// The monitor need not look for a while, unless some poll since the last look may have been a
    /// long one. True: it may.
    fn tell_monitor(&self, now: Instant) -> bool {
        if self.suspect_itself(now) {
            return true;
        }
        self.put_monitor_off(now);
        false
    }

    pub(super) fn put_monitor_off(&self, now: Instant) {
        self.shared.monitor.put_off(now, || self.shared.is_well_beside(self.index));
    }

    /// Tells the monitor if a poll since the last look may have been a long one. True: it may.
    pub(super) fn suspect_itself(&self, now: Instant) -> bool {
        let is_suspicious = self.since_last_look(now) >= monitor::CLOSE;
        if is_suspicious {
            self.shared.monitor.suspect(now);
        }
        is_suspicious
    }

    /// A model must take the same way each time, so no time passes in one.
    fn since_last_look(&self, now: Instant) -> Duration {
        if cfg!(windlass_loom) {
            return Duration::ZERO;
        }
        now.saturating_duration_since(self.last_look.get())
    }

    /// Goes on after a park, or after all without one: `idle` counts this worker as running.
    pub(super) fn is_running_again(&self) {
        let now = timer::real_now();
        self.last_look.set(now);
        self.shared.monitor.left_park(now, || self.shared.is_well_beside(self.index));
    }

    pub(super) fn look(&self) {
        let mut wakers = self.wakers.take();
        self.turn_timers(&mut wakers);
        let look = || Some(Duration::ZERO);
        if self.shared.poller.try_turn(&mut || true, &look, &mut wakers) {
            self.turn(&self.shared.entered_timers, &mut wakers);
        }
        self.wake_batch(&mut wakers);
        self.wakers.replace(wakers);
        if let Some(runnable) = self.take_injected() {
            self.queue.push(runnable);
        }
        if let Some(runnable) = self.shared.take_from_slow(self.index) {
            add(&self.remote().metrics.steals, 1);
            self.queue.push(runnable);
        }
        self.remote().metrics.publish_forced_yields();
    }

    fn turn_timers(&self, wakers: &mut Vec<Waker>) {
        self.turn(&self.remote().timers, wakers);
    }

    fn turn(&self, timers: &timer::Driver, wakers: &mut Vec<Waker>) {
        if timers.next_deadline().is_some() {
            timers.turn(self.shared.clock.now(), wakers);
        }
    }

    /// Sleeps until there may be something to do.
    pub(super) fn park(&self) {
        let shared = &*self.shared;
        let begun = timer::real_now();
        self.suspect_itself(begun);
        self.remote().metrics.publish_forced_yields();
        let is_last = shared.idle.park(self.index, self.is_searching.replace(false));
        let unpark = || {
            self.is_searching.set(shared.idle.unpark(self.index));
            self.is_running_again();
        };
        if !self.may_sleep(is_last) {
            unpark();
        } else if !shared.advance_if_quiet(true, unpark) {
            add(&self.remote().metrics.parks, 1);
            let mut wakers = self.wakers.take();
            let is_polling =
                self.remote().parker.park(&|polls| self.sleep_at_most(polls), &mut wakers);
            unpark();
            let slept = self.last_look.get().saturating_duration_since(begun);
            self.idle_times.remember(slept, self.remote().watch.polls());
            self.turn_timers(&mut wakers);
            if is_polling {
                self.turn(&shared.entered_timers, &mut wakers);
            }
            self.wake_batch(&mut wakers);
            self.wakers.replace(wakers);
        }
    }

    /// Step 2c of the argument in `idle`: a last look, after this worker is counted as parked.
    fn may_sleep(&self, nobody_searches: bool) -> bool {
        if nobody_searches && self.shared.has_visible_work() || self.shared.is_shut_down() {
            return false;
        }
        !with_local_tasks(|tasks| tasks.is_some_and(LocalTasks::has_work))
    }

    /// The time to the next timer that this worker must see to.
    fn sleep_at_most(&self, is_polling: bool) -> Option<Duration> {
        let own = self.remote().timers.next_deadline();
        let entered = is_polling.then(|| self.shared.entered_timers.next_deadline()).flatten();
        let deadline = match (own, entered) {
            (Some(own), Some(entered)) => own.min(entered),
            (own, entered) => own.or(entered)?,
        };
        let left = deadline.saturating_duration_since(self.shared.clock.now());
        // A paused clock gets nowhere by itself: what is due is done at once, the rest waits for
        // `advance`, which wakes whom it concerns.
        (left.is_zero() || !self.shared.clock.is_paused()).then_some(left)
    }
}
