//! What the monitor's thread sleeps on: an alarm clock that others may set as well.
//!
//! The point of it is that a worker can put the next ring off without waking the thread, which a
//! futex with a timeout does not allow. On Linux it is a timer file descriptor, that the thread
//! reads and that anybody may set; elsewhere, or if no descriptor is to be had, a condition
//! variable, where putting it off costs the thread a glance.

use std::time::{Duration, Instant};

use crate::sync::{Condvar, Mutex, MutexGuard, wait_for};

/// An alarm clock for one sleeper.
pub(super) struct Alarm {
    /// Held by whoever sets the clock.
    state: Mutex<State>,
    changed: Condvar,
    #[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
    timer: Option<timer_fd::TimerFd>,
}

#[derive(Default)]
struct State {
    /// A token: it was rung, and the sleeper has not noticed yet.
    is_rung: bool,
    /// When the clock rings, if at all. Not used with a timer of the kernel's.
    due: Option<Instant>,
}

/// The alarm, locked by somebody who may set it.
pub(super) struct Setting<'a> {
    alarm: &'a Alarm,
    state: MutexGuard<'a, State>,
}

impl Alarm {
    /// One that does not ring before it is set.
    pub(super) fn new() -> Alarm {
        Alarm {
            #[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
            timer: timer_fd::TimerFd::new().ok(),
            ..Alarm::without_timer()
        }
    }

    /// One that needs nothing of the system.
    fn without_timer() -> Alarm {
        Alarm {
            state: Mutex::new(State::default()),
            changed: Condvar::new(),
            #[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
            timer: None,
        }
    }

    pub(super) fn setting(&self) -> Setting<'_> {
        Setting { alarm: self, state: self.state.lock() }
    }

    /// Sleeps until the clock rings, as it was set last. It may return for no reason.
    ///
    /// A ring is a token: one that comes before the sleep, or before the last setting of the clock,
    /// is not lost, since [`Setting::set`] leaves a clock alone that was rung.
    pub(super) fn sleep(&self) {
        #[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
        if let Some(timer) = &self.timer {
            timer.wait();
            self.state.lock().is_rung = false;
            return;
        }
        let mut state = self.state.lock();
        while !state.is_rung {
            let left = state.due.map(|due| due.saturating_duration_since(timer::real_now()));
            // Loom has no time: there the clock rings as soon as it is set.
            if left.is_some_and(|left| left.is_zero() || cfg!(windlass_loom)) {
                break;
            }
            wait_for(&self.changed, &mut state, left);
        }
        *state = State::default();
    }
}

impl Setting<'_> {
    /// Makes the clock ring after `time`, or not at all, instead of when it was set to before.
    pub(super) fn set(&mut self, time: Option<Duration>) {
        if !self.state.is_rung {
            self.arm(time);
        }
    }

    /// Makes the clock ring now.
    pub(super) fn ring(&mut self) {
        self.state.is_rung = true;
        self.arm(Some(Duration::ZERO));
    }

    fn arm(&mut self, time: Option<Duration>) {
        #[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
        if let Some(timer) = &self.alarm.timer {
            return timer.set(time);
        }
        self.state.due = time.map(|time| timer::real_now() + time);
        self.alarm.changed.notify_one();
    }
}

#[cfg(all(target_os = "linux", not(any(windlass_loom, windlass_shuttle))))]
mod timer_fd {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::io::{Errno, read};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    /// How long a sleep is if the timer cannot be read.
    const WITHOUT_TIMER: Duration = Duration::from_millis(10);

    /// A timer of the kernel's that one thread reads and any may set.
    pub(super) struct TimerFd(OwnedFd);

    impl TimerFd {
        pub(super) fn new() -> io::Result<TimerFd> {
            Ok(TimerFd(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
        }

        /// A reader goes on waiting, for the new time.
        pub(super) fn set(&self, time: Option<Duration>) {
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            // Zero would turn the timer off.
            let after = |time: Duration| Timespec {
                tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: i64::from(time.subsec_nanos()).max(1),
            };
            let it_value = time.map_or(never, after);
            let once = Itimerspec { it_interval: never, it_value };
            // It can fail only if the process has forbidden itself the call, or has closed what is
            // not its own. Then `wait` does without.
            let _ = timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once);
        }

        /// Waits for the end of the time, or for a signal's handler.
        pub(super) fn wait(&self) {
            match read(&self.0, &mut [0; 8]) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => std::thread::sleep(WITHOUT_TIMER),
            }
        }
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    /// Each kind of alarm that this system has.
    fn alarms() -> Vec<Arc<Alarm>> {
        let (usual, without_timer) = (Alarm::new(), Alarm::without_timer());
        #[cfg(target_os = "linux")]
        assert!(usual.timer.is_some() && without_timer.timer.is_none(), "there are descriptors");
        vec![Arc::new(usual), Arc::new(without_timer)]
    }

    #[test]
    fn a_ring_before_the_sleep_is_not_lost_even_if_the_clock_is_set_after_it() {
        for alarm in alarms() {
            alarm.setting().ring();
            alarm.setting().set(None);
            alarm.setting().set(Some(Duration::from_secs(3600)));
            alarm.sleep();
        }
    }

    #[test]
    fn a_sleeper_is_rung_awake_and_then_sleeps_again() {
        for alarm in alarms() {
            let (tell, told) = std::sync::mpsc::channel();
            let sleeper = alarm.clone();
            let thread = thread::spawn(move || {
                sleeper.sleep();
                tell.send(()).expect("the test waits");
                sleeper.sleep();
            });
            alarm.setting().ring();
            told.recv().expect("it was rung");
            alarm.setting().set(Some(Duration::from_millis(1)));
            thread.join().expect("no panic");
        }
    }

    #[test]
    fn a_clock_that_is_put_off_rings_at_the_later_time() {
        for alarm in alarms() {
            let begun = timer::real_now();
            alarm.setting().set(Some(Duration::from_millis(1)));
            alarm.setting().set(Some(Duration::from_millis(30)));
            alarm.sleep();
            assert!(begun.elapsed() >= Duration::from_millis(30));
        }
    }
}
