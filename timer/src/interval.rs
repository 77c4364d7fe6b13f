//! Ticks at a fixed period.

use crate::instant::Instant;
use crate::sleep::{Creator, Sleep};
use futures_core::Stream;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// How late a tick may be before [`MissedTickBehavior::Delay`] takes it for missed.
const TOLERANCE: Duration = Duration::from_millis(5);

/// Ticks at once, and then each `period`.
///
/// # Panics
/// If `period` is zero. Its futures panic when they must wait on a thread that is in no running
/// runtime.
///
/// ```
/// # async fn example() {
/// let mut interval = timer::interval(std::time::Duration::from_secs(1));
/// loop {
///     let at = interval.tick().await;
///     println!("{at:?}");
/// #   break;
/// }
/// # }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks at `start`, and then each `period`.
///
/// # Panics
/// If `period` is zero. Its futures panic when they must wait on a thread that is in no running
/// runtime.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(
        period > Duration::ZERO,
        "runtime: `interval` was given a period of zero.\n  \
         help: to run as often as possible, loop around `yield_now` instead"
    );
    Interval {
        sleep: Sleep::new(start, Creator::Interval, Location::caller()),
        period,
        missed_tick_behavior: MissedTickBehavior::Burst,
    }
}

/// What an [`Interval`] does about ticks that nobody took in time.
///
/// With a period of 10 and a consumer that is away from 12 to 35, it ticks at:
///
/// ```text
/// due      10    20    30    40    50    60
/// Burst    10 . . . . . . .35 35 40    50    60      all of them, late ones at once
/// Delay    10 . . . . . . .35       45      55       a full period after the late one
/// Skip     10 . . . . . . .35    40    50    60      the late one, then the old grid
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MissedTickBehavior {
    /// Makes up for all of them, as fast as they are taken: the number of ticks stays right.
    #[default]
    Burst,
    /// Takes a tick that is more than 5 ms (or a period) late for a new start: the distance of
    /// ticks stays at least a period.
    Delay,
    /// Drops those that were missed: ticks stay at multiples of the period from the start.
    Skip,
}

impl MissedTickBehavior {
    /// The tick after the one that was due at `due` and is taken at `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        let late = now.duration_since(due);
        match self {
            MissedTickBehavior::Delay if late > TOLERANCE || late >= period => {
                now.saturating_add(period)
            }
            MissedTickBehavior::Skip if late >= period => {
                let since_tick = late.as_nanos() % period.as_nanos();
                // Less than `period`, which is at most `late`, which was measured: centuries.
                let since_tick = Duration::from_nanos(u64::try_from(since_tick).unwrap_or(0));
                now.saturating_add(period - since_tick)
            }
            _ => due.saturating_add(period),
        }
    }
}

/// The ticks of [`interval`] and [`interval_at`]; also a [`Stream`] of them that never ends.
#[derive(Debug)]
pub struct Interval {
    sleep: Sleep,
    period: Duration,
    missed_tick_behavior: MissedTickBehavior,
}

impl Interval {
    /// Waits for the next tick and returns when it was due.
    ///
    /// **Cancel safety**: a tick is taken only when this returns it; nothing is lost.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// Polls for the next tick, see [`tick`](Interval::tick).
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        self.sleep.reset(self.missed_tick_behavior.next(due, Instant::now(), self.period));
        Poll::Ready(due)
    }

    /// Makes the next tick come a period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// Makes the next tick come at once, and the others follow it.
    pub fn reset_immediately(&mut self) {
        self.sleep.reset(Instant::now());
    }

    /// Makes the next tick come after `duration`, and the others follow it.
    pub fn reset_after(&mut self, duration: Duration) {
        self.sleep.reset(Instant::now().saturating_add(duration));
    }

    /// Makes the next tick come at `deadline`, and the others follow it.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.reset(deadline);
    }

    /// The time from tick to tick.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// What is done about missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed_tick_behavior
    }

    /// Sets what is done about missed ticks, from the next one that is taken.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed_tick_behavior = behavior;
    }
}

impl Stream for Interval {
    type Item = Instant;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Instant>> {
        self.get_mut().poll_tick(cx).map(Some)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (usize::MAX, None)
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::paused::Paused;
    use crate::{sleep, sleep_until};

    const MS: Duration = Duration::from_millis(1);

    /// When the ticks of period 10 are taken, if the consumer is away from 12 to 35.
    fn ticks_around_a_gap(behavior: MissedTickBehavior) -> Vec<u128> {
        let paused = Paused::new();
        let at = |ms| paused.start + ms * MS;
        let (ticks, _) = paused.block_on(async {
            let mut interval = interval_at(at(10), 10 * MS);
            interval.set_missed_tick_behavior(behavior);
            assert_eq!(interval.missed_tick_behavior(), behavior);
            let mut ticks = Vec::new();
            interval.tick().await;
            ticks.push(paused.elapsed().as_millis());
            sleep_until(at(12)).await;
            sleep_until(at(35)).await;
            while paused.elapsed() < 55 * MS {
                interval.tick().await;
                ticks.push(paused.elapsed().as_millis());
            }
            ticks
        });
        ticks
    }

    #[test]
    fn missed_ticks_are_treated_as_the_table_says() {
        let burst = ticks_around_a_gap(MissedTickBehavior::Burst);
        assert_eq!(burst, [10, 35, 35, 40, 50, 60]);
        assert_eq!(ticks_around_a_gap(MissedTickBehavior::Delay), [10, 35, 45, 55]);
        assert_eq!(ticks_around_a_gap(MissedTickBehavior::Skip), [10, 35, 40, 50, 60]);
    }

    #[test]
    fn a_tick_that_is_a_little_late_does_not_shift_those_after_it() {
        let due = Instant::now();
        let behaviors =
            [MissedTickBehavior::Burst, MissedTickBehavior::Delay, MissedTickBehavior::Skip];
        for behavior in behaviors {
            assert_eq!(behavior.next(due, due + 5 * MS, 10 * MS), due + 10 * MS, "{behavior:?}");
        }
        let skipped = MissedTickBehavior::Skip.next(due, due + 20 * MS, 10 * MS);
        assert_eq!(skipped, due + 30 * MS, "a tick on the grid is skipped with the rest");
        let skipped = MissedTickBehavior::Skip.next(due, due + 10 * MS, 10 * MS);
        assert_eq!(skipped, due + 20 * MS, "also if it is the first after the late one");
        let delayed = MissedTickBehavior::Delay.next(due, due + 2 * MS, MS);
        assert_eq!(delayed, due + 3 * MS, "short periods tolerate less than 5 ms");
        let far = MissedTickBehavior::Burst.next(due, due, Duration::MAX);
        assert!(far > due + Duration::from_secs(1 << 32));
    }

    #[test]
    fn it_ticks_at_once_and_then_each_period_without_drift() {
        let paused = Paused::new();
        paused.block_on(async {
            let mut interval = interval(3 * MS);
            for n in 0..100 {
                assert_eq!(interval.tick().await, paused.start + n * 3 * MS);
                assert_eq!(paused.elapsed(), n * 3 * MS);
                sleep(MS).await;
            }
        });
    }

    #[test]
    fn a_cancelled_tick_is_not_lost() {
        let paused = Paused::new();
        paused.block_on(async {
            let mut interval = interval_at(paused.start + 5 * MS, 5 * MS);
            for _ in 0..3 {
                crate::timeout(MS, interval.tick()).await.expect_err("its first is due at 5 ms");
            }
            assert_eq!(interval.tick().await, paused.start + 5 * MS);
        });
    }

    #[test]
    fn the_resets_set_the_next_tick() {
        let paused = Paused::new();
        let at = |ms| paused.start + ms * MS;
        paused.block_on(async {
            let mut interval = interval(10 * MS);
            assert_eq!(interval.period(), 10 * MS);
            assert_eq!(interval.tick().await, at(0));
            sleep(4 * MS).await;
            interval.reset();
            assert_eq!(interval.tick().await, at(14));
            interval.reset_after(3 * MS);
            assert_eq!(interval.tick().await, at(17));
            interval.reset_at(at(100));
            assert_eq!(interval.tick().await, at(100));
            interval.reset_immediately();
            assert_eq!(interval.tick().await, at(100));
            assert_eq!(interval.tick().await, at(110));
        });
    }

    #[test]
    #[should_panic(expected = "was given a period of zero")]
    fn a_period_of_zero_is_refused() {
        interval(Duration::ZERO);
    }
}
