//! Looking for work a little longer before going to sleep, where that has paid lately.
//!
//! To sleep and be woken costs the thread some microseconds, and whoever wakes it 30 to 80 more if
//! the core has been halted meanwhile. When the next piece of work comes sooner than that, as from a
//! client on another core that asks, waits and asks again, it is better to stay awake for it. But
//! where it does not come, the time is wasted, and taken from others if cores are scarce. And where
//! it comes at once, or each wake-up finds many things to do, a sleep does no harm: more comes
//! together meanwhile, which costs less for each.
//!
//! So a worker remembers its last eight idle times, and stays awake only if all but one of them were
//! short, but not too short, and began after a poll or two. If that was in vain, it takes longer
//! each time until it tries again. And it does so only while all other workers sleep: one that is
//! awake looks for what comes for anybody, so one is enough. It looks at its own timers and queues,
//! and, as any worker does that has run out of work, at I/O, the injector and the others' queues.
//!
//! Nothing of the argument in `idle` depends on this: a worker that looks for work longer has not
//! begun to go to sleep.

use std::cell::Cell;
use std::ops::Range;
use std::time::Duration;

use super::worker::Worker;
use crate::task::{LocalTasks, Runnable};

/// How long a worker looks for work before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// The idle times that are worth shortening. Of a sleep the wake-up is part, and takes as long as
/// the wait for the work. What comes sooner than this comes all the time.
const SHORT: Range<Duration> = Duration::from_micros(3)..Duration::from_micros(100);

/// How many polls at most there are between two of them.
const FEW_POLLS: u64 = 2;

/// How many of the last eight idle times must be of this kind.
const SHORT_OF_EIGHT: u32 = 7;

/// How many idle times are awaited after a first search in vain. Doubled for each that follows, as
/// often as said here.
const PATIENCE: u32 = 16;
const DOUBLED: u32 = 6;

/// What a worker remembers of its last idle times.
#[derive(Default)]
pub(super) struct IdleTimes {
    /// One bit for each of eight, the newest is the lowest: whether it was short, after few polls.
    short: Cell<u8>,
    /// How many polls there had been at the last one.
    polls: Cell<u64>,
    /// How many searches were in vain, less those that were not.
    in_vain: Cell<u32>,
    /// How many idle times there will be before the next search.
    patience: Cell<u32>,
}

impl IdleTimes {
    /// Remembers one that is over, after so many polls in all.
    pub(super) fn remember(&self, time: Duration, polls: u64) {
        let were_few = polls - self.polls.replace(polls) <= FEW_POLLS;
        let is_short = were_few && SHORT.contains(&time);
        self.short.set(self.short.get() << 1 | u8::from(is_short));
        self.patience.set(self.patience.get().saturating_sub(1));
    }

    /// Remembers how a search for work has ended.
    fn searched(&self, in_vain: bool) {
        let before = self.in_vain.get();
        if in_vain {
            self.patience.set(PATIENCE << before);
            self.in_vain.set((before + 1).min(DOUBLED));
        } else {
            self.in_vain.set(before.saturating_sub(1));
        }
    }

    /// Not in a model, where no time passes that would end the search.
    fn are_short(&self) -> bool {
        !cfg!(any(windlass_loom, windlass_shuttle))
            && self.patience.get() == 0
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
        let is_suspicious = self.suspect_itself(begun);
        let (mut found, mut now) = (None, begun);
        while found.is_none()
            && now.saturating_duration_since(begun) < SPIN
            && self.shared.idle.is_one_awake()
            && !is_wanted()
            && !self.shared.is_shut_down()
        {
            self.look();
            found = self.take(local);
            now = timer::real_now();
        }
        let time = now.saturating_duration_since(begun);
        self.idle_times.searched(time >= SPIN && found.is_none());
        self.idle_times.remember(time, self.remote().watch.polls());
        self.last_look.set(now);
        if !is_suspicious {
            self.put_monitor_off(now);
        }
        found
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;

    const BRIEF: Duration = Duration::from_nanos(1);

    /// An idle time after one poll.
    fn idle(times: &IdleTimes, time: Duration) {
        times.remember(time, times.polls.get() + 1);
    }

    fn short() -> IdleTimes {
        let times = IdleTimes::default();
        (0..8).for_each(|_| idle(&times, SHORT.start));
        times
    }

    #[test]
    fn one_long_idle_time_of_eight_is_forgiven_and_two_are_not() {
        let times = IdleTimes::default();
        for _ in 0..SHORT_OF_EIGHT {
            assert!(!times.are_short());
            idle(&times, SHORT.end - BRIEF);
        }
        assert!(times.are_short());
        idle(&times, SHORT.end);
        assert!(times.are_short());
        idle(&times, SHORT.end);
        assert!(!times.are_short());
        // It takes until the first of the two was eight idle times ago.
        for _ in 0..SHORT_OF_EIGHT - 1 {
            idle(&times, SHORT.start);
            assert!(!times.are_short());
        }
        idle(&times, SHORT.start);
        assert!(times.are_short());
    }

    #[test]
    fn work_that_comes_at_once_or_is_much_is_not_waited_for() {
        let times = short();
        idle(&times, SHORT.start - BRIEF);
        idle(&times, SHORT.start - BRIEF);
        assert!(!times.are_short());

        let times = short();
        for _ in 0..2 {
            times.remember(SHORT.start, times.polls.get() + FEW_POLLS + 1);
        }
        assert!(!times.are_short());
        for _ in 0..SHORT_OF_EIGHT {
            times.remember(SHORT.start, times.polls.get() + FEW_POLLS);
        }
        assert!(times.are_short());
    }

    #[test]
    fn a_search_in_vain_is_repeated_more_and_more_seldom() {
        let times = short();
        let mut until_next = Vec::new();
        for _ in 0..10 {
            times.searched(true);
            let mut count = 0;
            while !times.are_short() {
                idle(&times, SHORT.start);
                count += 1;
            }
            until_next.push(count);
        }
        assert_eq!(until_next, [16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024]);
        for _ in 0..6 {
            times.searched(false);
        }
        times.searched(true);
        assert_eq!(times.patience.get(), PATIENCE);
    }
}
