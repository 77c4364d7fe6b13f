//! Looking for work a little longer before going to sleep, where that has paid lately.
//!
//! To sleep and be woken costs the thread some microseconds, and whoever wakes it 30 to 80 more if
//! the core has been halted meanwhile. When the next piece of work comes sooner than that, as from a
//! client on another core that asks, waits and asks again, it is better to stay awake for it. But
//! where it does not come, the time is wasted, and taken from others if cores are scarce. And where
//! each wake-up finds many things to do, a sleep does no harm: more comes together meanwhile, which
//! costs less for each. So a worker remembers its last eight idle times, and stays awake only if all
//! but one of them were short and began after a poll or two, and if all other workers sleep: while one
//! of them is awake it finds what comes for anybody.
//!
//! Nothing of the argument in `idle` depends on this: a worker that looks for work longer has not
//! begun to go to sleep.

use std::cell::Cell;
use std::time::Duration;

use super::worker::Worker;
use crate::task::{LocalTasks, Runnable};

/// How long a worker looks for work before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// A sleep that was shorter than this might have been spared. The wake-up itself is part of it, and
/// takes as long as the wait for the work.
const SHORT: Duration = Duration::from_micros(100);

/// How many polls at most there are between two idle times that are worth shortening.
const FEW_POLLS: u64 = 2;

/// How many of the last eight idle times must have been short, after few polls.
const SHORT_OF_EIGHT: u32 = 7;

/// What a worker remembers of its last idle times.
#[derive(Default)]
pub(super) struct IdleTimes {
    /// One bit for each of eight, the newest is the lowest: whether it was short, after few polls.
    short: Cell<u8>,
    /// How many polls there had been at the last one.
    polls: Cell<u64>,
}

impl IdleTimes {
    /// Remembers that the worker has slept, after so many polls in all.
    pub(super) fn slept(&self, time: Duration, polls: u64) {
        self.remember(time < SHORT, polls);
    }

    fn remember(&self, was_short: bool, polls: u64) {
        let were_few = polls - self.polls.replace(polls) <= FEW_POLLS;
        self.short.set(self.short.get() << 1 | u8::from(was_short && were_few));
    }

    /// Not in a model, where no time passes that would end the search.
    fn are_short(&self) -> bool {
        !cfg!(any(windlass_loom, windlass_shuttle))
            && self.short.get().count_ones() >= SHORT_OF_EIGHT
    }
}

impl Worker {
    /// Looks for work for a while, although there was none just now, if that is worth it. It ends
    /// early when `is_wanted` says so, or the runtime ends.
    #[inline]
    pub(super) fn spin(
        &self,
        local: Option<&LocalTasks>,
        is_wanted: impl Fn() -> bool,
    ) -> Option<Runnable> {
        if !self.idle_times.are_short() || !self.shared.idle.is_one_awake() || is_wanted() {
            return None;
        }
        self.look_for_a_while(local, is_wanted)
    }

    #[cold]
    fn look_for_a_while(
        &self,
        local: Option<&LocalTasks>,
        is_wanted: impl Fn() -> bool,
    ) -> Option<Runnable> {
        let begun = timer::real_now();
        self.suspect_itself(begun);
        let (mut found, mut is_short) = (None, true);
        while found.is_none() && is_short && !is_wanted() && !self.shared.is_shut_down() {
            self.look();
            found = self.take(local);
            is_short = timer::real_now().saturating_duration_since(begun) < SPIN;
        }
        self.idle_times.remember(is_short, self.remote().watch.polls());
        self.last_look.set(timer::real_now());
        found
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;

    /// Idle times after one poll each.
    fn idle(times: &IdleTimes, time: Duration) {
        times.slept(time, times.polls.get() + 1);
    }

    const BRIEF: Duration = Duration::from_nanos(1);

    #[test]
    fn one_long_idle_time_of_eight_is_forgiven_and_two_are_not() {
        let times = IdleTimes::default();
        for _ in 0..SHORT_OF_EIGHT {
            assert!(!times.are_short());
            idle(&times, SHORT - BRIEF);
        }
        assert!(times.are_short());
        idle(&times, SHORT);
        assert!(times.are_short());
        idle(&times, SHORT);
        assert!(!times.are_short());
        // It takes until the first of the two was eight idle times ago.
        for _ in 0..SHORT_OF_EIGHT - 1 {
            idle(&times, BRIEF);
            assert!(!times.are_short());
        }
        idle(&times, BRIEF);
        assert!(times.are_short());
    }

    #[test]
    fn an_idle_time_after_many_polls_is_as_good_as_a_long_one() {
        let times = IdleTimes::default();
        for round in 1..100 {
            times.slept(BRIEF, round * (FEW_POLLS + 1));
            assert!(!times.are_short());
        }
        for round in 1..=8 {
            times.slept(BRIEF, 99 * (FEW_POLLS + 1) + round * FEW_POLLS);
        }
        assert!(times.are_short());
    }
}
