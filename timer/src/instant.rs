//! A point in time, as the clock of the current thread's runtime sees it.

use crate::clock;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;

/// Durations from here on are all "never" to a sleep: 2^33 seconds, 272 years.
const FOREVER: Duration = Duration::from_secs(1 << 33);

/// A measurement of a monotonic clock: std's `Instant`, but one that tests can pause.
///
/// In a runtime whose [`Clock`](crate::Clock) is paused, [`Instant::now`] is that clock's time.
/// Otherwise it is `std::time::Instant::now`, at the same cost.
///
/// ```
/// use std::time::Duration;
/// use timer::Instant;
///
/// let start = Instant::now();
/// assert!(start + Duration::from_millis(5) > start);
/// assert_eq!(start.duration_since(start + Duration::from_secs(1)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(std::time::Instant);

impl Instant {
    /// The current time: the clock of the driver that this thread has entered, else the system's.
    pub fn now() -> Instant {
        clock::now()
    }

    /// Wraps an instant of the standard library.
    pub fn from_std(instant: std::time::Instant) -> Instant {
        Instant(instant)
    }

    /// The instant as the standard library's. On a clock that was paused it lies on that clock's
    /// axis, not the system's.
    pub fn into_std(self) -> std::time::Instant {
        self.0
    }

    /// The time that has passed since this instant, zero if it is to come.
    pub fn elapsed(&self) -> Duration {
        Instant::now().duration_since(*self)
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    pub fn duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from `earlier` to this instant, zero if `earlier` is later.
    pub fn saturating_duration_since(&self, earlier: Instant) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from `earlier` to this instant, `None` if `earlier` is later.
    pub fn checked_duration_since(&self, earlier: Instant) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// This instant moved forward, `None` if the result cannot be represented.
    pub fn checked_add(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_add(duration).map(Instant)
    }

    /// This instant moved back, `None` if the result cannot be represented.
    pub fn checked_sub(&self, duration: Duration) -> Option<Instant> {
        self.0.checked_sub(duration).map(Instant)
    }

    /// This instant moved forward by `duration`, but by no more than 272 years.
    ///
    /// This is how sleeps and timeouts come by their deadlines: `Duration::MAX` is "never".
    pub fn saturating_add(&self, duration: Duration) -> Instant {
        self.checked_add(duration.min(FOREVER)).unwrap_or(*self)
    }
}

impl From<std::time::Instant> for Instant {
    fn from(instant: std::time::Instant) -> Instant {
        Instant(instant)
    }
}

impl From<Instant> for std::time::Instant {
    fn from(instant: Instant) -> std::time::Instant {
        instant.0
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    /// If the result cannot be represented; see [`Instant::saturating_add`].
    fn add(self, duration: Duration) -> Instant {
        Instant(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Instant;

    /// # Panics
    /// If the result cannot be represented; see [`Instant::checked_sub`].
    fn sub(self, duration: Duration) -> Instant {
        Instant(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub<Instant> for Instant {
    type Output = Duration;

    /// The time between, zero if `earlier` is later.
    fn sub(self, earlier: Instant) -> Duration {
        self.duration_since(earlier)
    }
}
