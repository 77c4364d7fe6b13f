//! The one place that reads the system's clock, and the virtual time of tests.
//!
//! A clock is in one of three modes. It starts `REAL` and most never leave it. [`Clock::pause`]
//! makes it `PAUSED`: its time stands still but for [`Clock::advance`]. [`Clock::resume`] makes it
//! `RESUMED`: time runs on from where it stood, at the system's pace.
//!
//! ```text
//!           pause             resume
//!   REAL ----------> PAUSED <--------> RESUMED
//!                            pause
//! ```
//!
//! Drivers count time in nanoseconds from their clock's origin, the instant of its creation.

use crate::context;
use crate::driver::Shared;
use crate::instant::Instant;
use crate::sync::{self, AtomicU8, Mutex, Ordering};
use crate::wheel::LAST;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

/// Whether any clock of this process was ever paused. Only ever set, by `Clock::pause`.
///
/// Relaxed: it publishes nothing. A thread that must see a pause was told of it by something that
/// happens after, and then it also sees this flag; until then, real time is the right answer.
static ANY_PAUSED: AtomicBool = AtomicBool::new(false);

const REAL: u8 = 0;
const PAUSED: u8 = 1;
const RESUMED: u8 = 2;

/// The system's monotonic clock, whatever any [`Clock`] says.
///
/// For what must not stop with a paused clock: a scheduler's own housekeeping, measurements.
pub fn real_now() -> std::time::Instant {
    sync::system_now()
}

/// The time on this thread, see [`Instant::now`].
pub(crate) fn now() -> Instant {
    if ANY_PAUSED.load(Ordering::Relaxed) {
        now_in_context()
    } else {
        Instant::from_std(real_now())
    }
}

#[cold]
fn now_in_context() -> Instant {
    match context::current() {
        Some(current) => current.driver.clock().now(),
        None => Instant::from_std(real_now()),
    }
}

/// The time of one runtime: real, or paused and moved by hand. Cheap to clone.
///
/// ```
/// use std::time::Duration;
/// use timer::Clock;
///
/// let clock = Clock::new();
/// clock.pause();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!(clock.now() - start, Duration::from_secs(3600));
/// ```
#[derive(Clone)]
pub struct Clock(Arc<State>);

struct State {
    origin: std::time::Instant,
    /// `REAL`, `PAUSED` or `RESUMED`. Written only with `virtual_time` locked.
    ///
    /// Relaxed: readers that find it other than `REAL` take the lock and look again. One that finds
    /// it `REAL` also after it has read the system's clock has read it before the pause.
    mode: AtomicU8,
    virtual_time: Mutex<VirtualTime>,
    drivers: Mutex<Vec<Weak<Shared>>>,
}

/// Where a clock that is not `REAL` stands.
struct VirtualTime {
    /// Nanoseconds since the origin: now if paused, at the last `resume` if resumed.
    nanos: u64,
    /// When time was set going again.
    resumed_at: std::time::Instant,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Clock {
    /// A clock that shows real time.
    pub fn new() -> Clock {
        let origin = real_now();
        Clock(Arc::new(State {
            origin,
            mode: AtomicU8::new(REAL),
            virtual_time: Mutex::new(VirtualTime { nanos: 0, resumed_at: origin }),
            drivers: Mutex::new(Vec::new()),
        }))
    }

    /// The time on this clock. It never goes back.
    pub fn now(&self) -> Instant {
        if self.is_real() {
            let now = real_now();
            // The thread may have lost its core meanwhile, and the clock been paused at an earlier time.
            if self.is_real() {
                return Instant::from_std(now);
            }
        }
        let time = self.0.virtual_time.lock();
        self.instant(self.virtual_nanos(&time))
    }

    /// Whether time stands still.
    pub fn is_paused(&self) -> bool {
        self.0.mode.load(Ordering::Relaxed) == PAUSED
    }

    /// Whether it shows the system's time, as it does until it is paused for the first time.
    pub(crate) fn is_real(&self) -> bool {
        self.0.mode.load(Ordering::Relaxed) == REAL
    }

    /// Stops this clock at the time it shows.
    ///
    /// From here on timers fire when [`advance`](Clock::advance) or
    /// [`advance_to_next`](Clock::advance_to_next) reaches their deadline, to the nanosecond.
    ///
    /// # Panics
    /// If the clock is paused already.
    #[track_caller]
    pub fn pause(&self) {
        ANY_PAUSED.store(true, Ordering::Relaxed);
        let mut time = self.0.virtual_time.lock();
        let mode = self.0.mode.load(Ordering::Relaxed);
        if mode == PAUSED {
            drop(time);
            panic!(
                "runtime: `pause` was called, but this clock is paused already.\n  \
                 help: pause once, at the start of the test; `resume` lets time run again"
            );
        }
        // Readers are sent to the lock before the time is taken, so that what they read after this
        // is not behind what they read before. The exchange is also a barrier to the clock's read.
        self.0.mode.swap(PAUSED, Ordering::SeqCst);
        time.nanos = match mode {
            REAL => self.nanos(Instant::from_std(real_now())),
            _ => running_nanos(&time),
        };
        drop(time);
        self.unpark_all();
    }

    /// Lets time run again, from the time that the clock shows.
    ///
    /// # Panics
    /// If the clock is not paused.
    #[track_caller]
    pub fn resume(&self) {
        let mut time = self.0.virtual_time.lock();
        if self.0.mode.load(Ordering::Relaxed) != PAUSED {
            drop(time);
            panic!(
                "runtime: `resume` was called, but this clock is not paused.\n  \
                 help: call `pause` first"
            );
        }
        time.resumed_at = real_now();
        self.0.mode.swap(RESUMED, Ordering::Relaxed);
        drop(time);
        // Owners that slept without a deadline, since time stood still, have one now.
        self.unpark_all();
    }

    /// Moves the time of a paused clock forward and fires what has expired, in all its drivers.
    ///
    /// Those timers fire before this returns, driver by driver in the order of their deadlines (and
    /// of their arming, where deadlines differ by less than 65.536 us). All that they wake sees the
    /// new time: timers that a woken task arms do not fire in between. The furthest that the clock can
    /// go is 584 years from its creation.
    ///
    /// # Panics
    /// If the clock is not paused.
    #[track_caller]
    pub fn advance(&self, duration: Duration) {
        let mut time = self.0.virtual_time.lock();
        if self.0.mode.load(Ordering::Relaxed) != PAUSED {
            drop(time);
            panic!(
                "runtime: `advance` was called, but this clock is not paused.\n  \
                 help: call `pause` first; real time cannot be moved"
            );
        }
        time.nanos = time.nanos.saturating_add(saturating_nanos(duration)).min(LAST);
        drop(time);
        let mut wakers = Vec::new();
        self.fire(&mut wakers);
        wakers.into_iter().for_each(wake);
    }

    /// Moves the time of a paused clock to the earliest deadline of all its drivers, and fires it: moves
    /// the wakers into `wakers`, for the caller to wake.
    ///
    /// Returns false, and does nothing, if no timer is armed or the clock is not paused. A runtime
    /// calls this when it has nothing left to do but wait for time to pass.
    pub fn advance_to_next(&self, wakers: &mut Vec<Waker>) -> bool {
        if !self.is_paused() {
            return false;
        }
        let next = self.drivers().iter().filter_map(|driver| driver.next_exact()).min();
        let Some(next) = next else { return false };
        let mut time = self.0.virtual_time.lock();
        if self.0.mode.load(Ordering::Relaxed) != PAUSED {
            return false;
        }
        time.nanos = time.nanos.max(next);
        drop(time);
        self.fire(wakers);
        true
    }

    /// Nanoseconds from the origin to `instant`, zero if it lies before.
    pub(crate) fn nanos(&self, instant: Instant) -> u64 {
        saturating_nanos(instant.into_std().saturating_duration_since(self.0.origin))
    }

    /// The instant that lies `nanos` after the origin.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        let origin = Instant::from_std(self.0.origin);
        let since = Duration::from_nanos(nanos);
        origin.checked_add(since).unwrap_or_else(|| origin.saturating_add(since))
    }

    /// Makes `advance` and the like reach this driver, for as long as it lives.
    pub(crate) fn register(&self, driver: &Arc<Shared>) {
        let mut drivers = self.0.drivers.lock();
        drivers.retain(|driver| driver.strong_count() > 0);
        drivers.push(Arc::downgrade(driver));
    }

    fn drivers(&self) -> Vec<Arc<Shared>> {
        self.0.drivers.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn unpark_all(&self) {
        for driver in self.drivers() {
            driver.unpark();
        }
    }

    /// Fires what has expired, in all drivers.
    fn fire(&self, wakers: &mut Vec<Waker>) {
        let now = self.now();
        for driver in self.drivers() {
            driver.turn(now, wakers);
        }
    }

    fn virtual_nanos(&self, time: &VirtualTime) -> u64 {
        match self.0.mode.load(Ordering::Relaxed) {
            RESUMED => running_nanos(time),
            _ => time.nanos,
        }
    }
}

/// What a clock in mode `RESUMED` shows.
fn running_nanos(time: &VirtualTime) -> u64 {
    let since = real_now().saturating_duration_since(time.resumed_at);
    time.nanos.saturating_add(saturating_nanos(since)).min(LAST)
}

pub(crate) fn saturating_nanos(duration: Duration) -> u64 {
    let nanos = duration.as_secs().saturating_mul(1_000_000_000);
    nanos.saturating_add(u64::from(duration.subsec_nanos()))
}

/// Wakes; a panic of the waker, which is nobody's here, ends here too. The panic hook has printed it.
fn wake(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        // It may panic when it is dropped.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.0.mode.load(Ordering::Relaxed) {
            REAL => "real",
            PAUSED => "paused",
            _ => "resumed",
        };
        f.debug_tuple("Clock").field(&format_args!("{mode}")).finish()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::paused::{Paused, poll_once};
    use crate::wake_count::WakeCount;
    use crate::{Driver, Hooks, sleep};
    use std::sync::atomic::AtomicUsize;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_paused_clock_stands_still_and_a_resumed_one_goes_on_from_there() {
        let clock = Clock::new();
        assert!(!clock.is_paused());
        clock.pause();
        let start = clock.now();
        assert!(clock.is_paused());
        assert_eq!(clock.now(), start);
        clock.advance(1000 * MS);
        clock.resume();
        assert!(!clock.is_paused());
        let resumed = clock.now();
        assert!(resumed >= start + 1000 * MS, "the offset stays");
        while clock.now() <= resumed {
            std::hint::spin_loop();
        }
        clock.pause();
        assert!(clock.now() > resumed);
        assert_eq!(clock.now(), clock.now());
    }

    #[test]
    fn time_does_not_go_back_through_any_number_of_changes() {
        let clock = Clock::new();
        let mut last = clock.now();
        let mut check = |clock: &Clock| {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        };
        for _ in 0..100 {
            clock.pause();
            check(&clock);
            clock.advance(Duration::from_nanos(1));
            check(&clock);
            clock.resume();
            check(&clock);
        }
        clock.pause();
        clock.advance(Duration::MAX);
        check(&clock);
        clock.advance(Duration::MAX);
        check(&clock);
        clock.resume();
        check(&clock);
    }

    #[test]
    fn advance_fires_in_all_drivers_of_the_clock() {
        let paused = Paused::new();
        let other = Driver::new(&paused.clock, Hooks::none());
        let (count, waker) = WakeCount::new();
        let mut here = sleep(5 * MS);
        let mut there = sleep(7 * MS);
        assert!(poll_once(&mut here, &waker).is_pending());
        {
            let _guard = other.handle().enter();
            assert!(poll_once(&mut there, &waker).is_pending());
        }
        paused.clock.advance(5 * MS - Duration::from_nanos(1));
        assert_eq!(count.get(), 0);
        paused.clock.advance(Duration::from_nanos(1));
        assert_eq!(count.get(), 1);
        assert!(paused.jump());
        assert_eq!((count.get(), paused.elapsed()), (2, 7 * MS));
        assert!(!paused.jump(), "nothing is left");
        assert_eq!(paused.elapsed(), 7 * MS);
    }

    #[test]
    fn advance_to_next_does_nothing_while_time_runs() {
        let clock = Clock::new();
        let driver = Driver::new(&clock, Hooks::none());
        let _guard = driver.handle().enter_as_owner();
        let mut sleep = sleep(3600 * 1000 * MS);
        assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
        assert!(!clock.advance_to_next(&mut Vec::new()));
        clock.pause();
        clock.resume();
        assert!(!clock.advance_to_next(&mut Vec::new()));
    }

    #[test]
    fn who_reads_the_clock_while_it_is_paused_reads_no_later_time() {
        for _ in 0..100 {
            let clock = Clock::new();
            let (reads, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
            let read_on = || {
                let before = reads.load(Ordering::Relaxed);
                while reads.load(Ordering::Relaxed) < before + 2 {
                    std::hint::spin_loop();
                }
            };
            let (paused_at, latest) = std::thread::scope(|scope| {
                let reader = scope.spawn(|| {
                    let mut latest = clock.now();
                    while !is_over.load(Ordering::Relaxed) {
                        latest = latest.max(clock.now());
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    latest
                });
                read_on();
                clock.pause();
                let paused_at = clock.now();
                read_on();
                is_over.store(true, Ordering::Relaxed);
                (paused_at, reader.join().expect("no panic"))
            });
            assert!(latest <= paused_at, "{:?} after the pause", latest - paused_at);
        }
    }

    #[test]
    fn pause_and_resume_unpark_the_owners() {
        let unparks = Arc::new(AtomicUsize::new(0));
        let hook = unparks.clone();
        let unpark = Box::new(move || {
            hook.fetch_add(1, Ordering::Relaxed);
        });
        let clock = Clock::new();
        let _driver = Driver::new(&clock, Hooks { unpark, ..Hooks::none() });
        drop(Driver::new(&clock, Hooks::none()));
        clock.pause();
        assert_eq!(unparks.load(Ordering::Relaxed), 1);
        clock.resume();
        assert_eq!(unparks.load(Ordering::Relaxed), 2);
    }

    struct PanicsOnWake;

    impl std::task::Wake for PanicsOnWake {
        fn wake(self: Arc<PanicsOnWake>) {
            panic!("this waker panics");
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_nobody_asleep() {
        let paused = Paused::new();
        let (count, waker) = WakeCount::new();
        let mut first = sleep(MS);
        let mut second = sleep(MS);
        assert!(poll_once(&mut first, &Waker::from(Arc::new(PanicsOnWake))).is_pending());
        assert!(poll_once(&mut second, &waker).is_pending());
        paused.clock.advance(MS);
        assert_eq!(count.get(), 1);
        assert!(poll_once(&mut first, Waker::noop()).is_ready());
    }

    #[test]
    #[should_panic(expected = "this clock is paused already")]
    fn pausing_twice_panics() {
        Paused::new().clock.pause();
    }

    #[test]
    #[should_panic(expected = "runtime: `resume` was called, but this clock is not paused")]
    fn resuming_a_running_clock_panics() {
        Clock::new().resume();
    }

    #[test]
    #[should_panic(expected = "runtime: `advance` was called, but this clock is not paused")]
    fn advancing_a_running_clock_panics() {
        Clock::new().advance(MS);
    }
}
