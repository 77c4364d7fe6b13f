//! The end of a wait, exact to the microsecond where the poller counts milliseconds.

use mio::Registry;
use std::io;
use std::time::{Duration, Instant};

/// The longest single sleep: far below what the poller's 32-bit milliseconds can hold.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Ends waits on time.
///
/// `epoll_wait` counts milliseconds, rounds them up, and lets the kernel be late by 50 us or a
/// thousandth of the timeout, whichever is more; a 200th on a thread of low priority. So a long wait
/// sleeps with a timeout that is surely over before the deadline, which costs no system call of its
/// own, and only the last piece of less than two milliseconds is ended by a timerfd, which the kernel
/// fires to the microsecond.
#[cfg(target_os = "linux")]
pub(crate) struct Alarm {
    timer: std::os::fd::OwnedFd,
    /// When the timer fires next, if it is armed: an armed timer that ends the wait a little early
    /// is as good as a new one, so consecutive waits for one deadline arm it once.
    armed_for: Option<Instant>,
}

/// A wait at least this long sleeps without the timer.
#[cfg(target_os = "linux")]
const COARSE: Duration = Duration::from_millis(2);

/// How much earlier than its deadline an armed timer may end a wait.
#[cfg(target_os = "linux")]
const EARLY: Duration = Duration::from_micros(20);

#[cfg(target_os = "linux")]
impl Alarm {
    pub(crate) fn new(registry: &Registry) -> io::Result<Alarm> {
        use crate::driver::table::Token;
        use mio::Interest;
        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use std::os::fd::AsRawFd;

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|error| super::named("timerfd_create", error.into()))?;
        // Edge-triggered, so the count of the timer need never be read: arming resets it.
        let fd = timer.as_raw_fd();
        registry
            .register(&mut SourceFd(&fd), Token::ALARM.0, Interest::READABLE)
            .map_err(|error| super::named("epoll_ctl for the timerfd", error))?;
        Ok(Alarm { timer, armed_for: None })
    }

    /// How long the poller may sleep towards a deadline that is `left` away; `None` if the alarm
    /// ends the sleep.
    pub(crate) fn sleep_time(&mut self, deadline: Instant, left: Duration) -> Option<Duration> {
        if left >= COARSE {
            return Some(surely_over(left));
        }
        let is_armed = self
            .armed_for
            .is_some_and(|armed| armed <= deadline && deadline.duration_since(armed) <= EARLY);
        if is_armed || self.arm(deadline, left) { None } else { Some(left) }
    }

    /// To be called when the alarm's event arrives.
    pub(crate) fn fired(&mut self) {
        self.armed_for = None;
    }

    fn arm(&mut self, deadline: Instant, left: Duration) -> bool {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would disarm it.
        let nanoseconds = left.subsec_nanos().max(1);
        let value = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: nanoseconds.into() };
        let setting = Itimerspec { it_interval: NONE, it_value: value };
        let armed = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting).is_ok();
        self.armed_for = armed.then_some(deadline);
        armed
    }
}

/// A timeout in whole milliseconds that is over before `left`, though the kernel be late.
#[cfg(target_os = "linux")]
fn surely_over(left: Duration) -> Duration {
    let margin = left / 128 + Duration::from_micros(200);
    let whole_ms = (left - margin).as_millis().min(LONGEST.as_millis());
    Duration::from_millis(whole_ms as u64)
}

/// Elsewhere the poller's own timeout has to do; it is rounded up, never early.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    pub(crate) fn new(_: &Registry) -> io::Result<Alarm> {
        Ok(Alarm)
    }

    pub(crate) fn sleep_time(&mut self, _deadline: Instant, left: Duration) -> Option<Duration> {
        Some(left.min(LONGEST))
    }
}

#[cfg(all(test, target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;

    /// What `select_estimate_accuracy` in the kernel's `fs/select.c` allows where `nice` is above 0.
    #[test]
    fn a_long_wait_ends_before_its_deadline_however_late_the_kernel_is() {
        for step in 0..200 {
            let left = COARSE + Duration::from_micros(37 * step * step * step * step);
            let timeout = surely_over(left);
            let late = (timeout / 200).min(Duration::from_millis(100));
            let late = late.max(Duration::from_micros(50));
            assert!(timeout + late < left, "{timeout:?} of {left:?}");
        }
    }
}
