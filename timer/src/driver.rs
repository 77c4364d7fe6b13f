//! A wheel under a lock: what a worker turns while it runs, and sleeps on while it does not.

use crate::clock::Clock;
use crate::context::{self, Current, EnterGuard};
use crate::instant::Instant;
use crate::slab::Key;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::wheel::{self, Wheel};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// `Shared::earliest` of a wheel without timers.
const NEVER: u64 = u64::MAX;

/// How many timers, fired by one turn, make a crowd. To sleep and wake up again costs what some ten
/// timers cost.
const CROWD: usize = 16;

/// How many timers a closed driver refuses before it says that somebody polls on. A task in its last poll
/// has one for each of its futures.
const MOST_REFUSED: u32 = 1 << 16;

/// How many ticks a crowd waits at most for those who come after it.
const GATHERED_TICKS: u32 = 3;

/// What a driver asks of the runtime around it.
pub struct Hooks {
    /// Wakes the thread that turns the driver from its park. Called from other threads when they
    /// arm a timer earlier than all others, with no lock held. An unpark that comes before the park
    /// must not be lost: the next park returns at once.
    pub unpark: Box<dyn Fn() + Send + Sync>,
    /// Takes one unit from the budget of the current task. `Pending` says that the budget is used
    /// up and that the task was arranged to be woken. A fired timer returns it instead of `Ready`.
    pub budget: fn(&mut Context<'_>) -> Poll<()>,
}

impl Hooks {
    /// Hooks that do nothing: for a driver that only one thread uses, without a budget.
    pub fn none() -> Hooks {
        Hooks { unpark: Box::new(|| ()), budget: |_| Poll::Ready(()) }
    }
}

impl Default for Hooks {
    fn default() -> Hooks {
        Hooks::none()
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// The timers of one worker, from the side that turns them. Cheap to clone.
///
/// The loop of the thread that owns it:
/// 1. run what there is to run, with [`Handle::enter_as_owner`] in force;
/// 2. `let deadline = driver.next_deadline()`;
/// 3. park until then at the latest;
/// 4. `driver.turn(driver.clock().now(), &mut wakers)`, and wake all that it returned.
///
/// **No wake-up is lost** between 2 and 3. (a) The owner parks by the value that it read from
/// `earliest` in 2, or in a crowd up to three ticks longer. (b) A thread that lowers `earliest`
/// unparks the owner afterwards, and nothing else lowers it: what is armed without an unpark is not
/// due before. If the read in 2 did not see the lowered value, the unpark was not consumed by a park
/// before 2, for consuming it would have made the value visible; so it ends the park in 3. Model:
/// `insert_against_park`.
///
/// A driver must be [closed](Driver::close) when nobody will turn it any more, or its timers hang.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

/// The driver itself, for both of its ends.
pub(crate) struct Shared {
    clock: Clock,
    hooks: Hooks,
    /// A time in nanoseconds before which nothing in the wheel is due, `NEVER` if it is empty.
    ///
    /// Written only with `timers` locked, and read there or by the owner before it parks. Relaxed:
    /// it publishes nothing, since the wheel is read under its lock; that the owner cannot miss a
    /// lower value is argued at [`Driver`].
    earliest: AtomicU64,
    timers: Mutex<Timers>,
}

struct Timers {
    wheel: Wheel<Waker>,
    is_closed: bool,
    /// How many timers were not armed because it is closed.
    refused: u32,
    /// Whether the last turn that fired something fired a [`CROWD`].
    fired_crowd: bool,
}

impl Timers {
    /// What became of a timer that is in the wheel no more and was not disarmed.
    fn gone(&self) -> Armed {
        if self.is_closed { Armed::Closed } else { Armed::Fired }
    }
}

/// What became of a timer that was armed.
pub(crate) enum Armed {
    /// It waits, and will wake the waker that was given last.
    Waiting,
    /// It has fired.
    Fired,
    /// It was woken because the driver closed, perhaps before its time.
    Closed,
}

impl Driver {
    /// A driver without timers, on `clock`.
    pub fn new(clock: &Clock, hooks: Hooks) -> Driver {
        let shared = Arc::new(Shared {
            clock: clock.clone(),
            hooks,
            earliest: AtomicU64::new(NEVER),
            timers: Mutex::new(Timers {
                wheel: Wheel::new(),
                is_closed: false,
                refused: 0,
                fired_crowd: false,
            }),
        });
        clock.register(&shared);
        Driver(shared)
    }

    /// The clock that this driver's deadlines are measured by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// When to call [`turn`](Driver::turn) next, `None` if nothing is armed.
    ///
    /// Not later than the earliest deadline, rounded up to 65.536 us; sometimes earlier. But if the
    /// last turn that fired anything fired 16 timers or more, the earliest waits for those that are
    /// due up to 196.608 us after it, so that timers which come in crowds are fired together. Without
    /// timers it is one load from memory. If the clock is paused, no real time is the right one: park
    /// without limit, or call [`Clock::advance_to_next`].
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.0.earliest.load(Ordering::Relaxed) == NEVER {
            return None;
        }
        let timers = self.0.timers.lock();
        let earliest = self.0.know_earliest(&timers);
        let gathers = timers.fired_crowd && !self.0.clock.is_paused();
        let crowd = if gathers { timers.wheel.last_within(GATHERED_TICKS) } else { None };
        drop(timers);
        (earliest != NEVER).then(|| self.0.clock.instant(crowd.unwrap_or(earliest)))
    }

    /// Fires the timers that have expired by `now`: moves their wakers into `wakers`.
    ///
    /// Returns their number. The caller wakes them, with no lock held. `now` is the time of
    /// [`Driver::clock`]; one that lies before an earlier call's changes nothing. Any thread may
    /// call this, at any time.
    pub fn turn(&self, now: Instant, wakers: &mut Vec<Waker>) -> usize {
        self.0.turn(now, wakers)
    }

    /// Disarms all timers for good: moves their wakers into `wakers`, for the caller to wake.
    ///
    /// A [`Sleep`](crate::Sleep) that is woken so re-arms itself in the driver of the thread that
    /// polls it. Where there is none, or only a closed one, that poll panics. But in the loop of a thread
    /// that entered the closed one [as its owner](Handle::enter_as_owner) or [as a
    /// worker](Handle::enter_as_worker) it wakes its task at once, to be dropped, or polled elsewhere.
    pub fn close(&self, wakers: &mut Vec<Waker>) {
        let mut timers = self.0.timers.lock();
        timers.is_closed = true;
        timers.wheel.drain(|waker| wakers.push(waker));
        self.0.earliest.store(NEVER, Ordering::Relaxed);
    }

    /// The end through which timers are armed.
    pub fn handle(&self) -> Handle {
        Handle(self.0.clone())
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("clock", &self.0.clock).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn unpark(&self) {
        (self.hooks.unpark)();
    }

    /// The earliest deadline in nanoseconds, not rounded.
    pub(crate) fn next_exact(&self) -> Option<u64> {
        self.timers.lock().wheel.next_exact()
    }

    /// See [`Driver::turn`].
    pub(crate) fn turn(&self, now: Instant, wakers: &mut Vec<Waker>) -> usize {
        let now = self.clock.nanos(now);
        let is_exact = self.clock.is_paused();
        // `earliest` is rounded up, so it does not say whether something is due on a paused clock.
        if !is_exact && now < self.earliest.load(Ordering::Relaxed) {
            return 0;
        }
        let mut timers = self.timers.lock();
        let fire = |waker| wakers.push(waker);
        let fired = match is_exact {
            true => timers.wheel.advance_exact(now, fire),
            false => timers.wheel.advance(now, fire),
        };
        self.know_earliest(&timers);
        if fired > 0 {
            timers.fired_crowd = fired >= CROWD;
        }
        fired
    }

    /// Sets `earliest` by the wheel, and returns it.
    ///
    /// Never to something lower: who arms a timer lowers it, and unparks the owner, who may sleep by
    /// it just now; and the wheel may know less than it does, only where the slot of many begins.
    fn know_earliest(&self, timers: &Timers) -> u64 {
        let known = self.earliest.load(Ordering::Relaxed);
        let earliest = timers.wheel.next().map_or(NEVER, |next| next.max(known));
        self.earliest.store(earliest, Ordering::Relaxed);
        earliest
    }
}

/// The timers of one worker, from the side that arms them. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Makes this the driver that the current thread's sleeps are armed in, until the guard drops.
    ///
    /// For any thread. If a timer is armed that is earlier than all others of the driver, the
    /// driver's owner is unparked. Guards nest, see [`EnterGuard`].
    pub fn enter(&self) -> EnterGuard {
        self.enter_as(false, false)
    }

    /// [`enter`](Handle::enter) for the thread that turns the driver: it is never unparked, since
    /// it looks at [`Driver::next_deadline`] before it parks.
    pub fn enter_as_owner(&self) -> EnterGuard {
        self.enter_as(true, true)
    }

    /// [`enter`](Handle::enter) for a loop that polls tasks and ends when the driver is closed, but does
    /// not turn it.
    pub fn enter_as_worker(&self) -> EnterGuard {
        self.enter_as(false, true)
    }

    fn enter_as(&self, is_owner: bool, leaves_when_closed: bool) -> EnterGuard {
        context::enter(Current { driver: self.clone(), is_owner, leaves_when_closed })
    }

    /// The handle that the current thread has entered, `None` if there is none.
    pub fn try_current() -> Option<Handle> {
        context::current().map(|current| current.driver)
    }

    /// The handle that the current thread has entered.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn current() -> Handle {
        match Handle::try_current() {
            Some(handle) => handle,
            None => panic!(
                "runtime: `Handle::current` needs a running runtime, but this thread has none.\n  \
                 help: call it inside `#[runtime::main]`, `Runtime::block_on` or a spawned task; \
                 on your own thread: `let _guard = handle.enter();`"
            ),
        }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How many handles and drivers share this one.
    #[cfg(all(test, not(windlass_loom)))]
    pub(crate) fn references(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub(crate) fn is(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The hook that takes one unit of the current task's budget.
    pub(crate) fn budget(&self) -> fn(&mut Context<'_>) -> Poll<()> {
        self.0.hooks.budget
    }

    /// Arms a timer. A closed driver gives the waker back.
    pub(crate) fn arm(
        &self,
        deadline: Instant,
        waker: Waker,
        is_owner: bool,
    ) -> Result<Key, Waker> {
        let deadline = self.0.clock.nanos(deadline);
        let mut timers = self.0.timers.lock();
        if timers.is_closed {
            timers.refused = timers.refused.saturating_add(1);
            return Err(waker);
        }
        let key = timers.wheel.insert(deadline, waker);
        let must_unpark = self.lower_earliest(deadline) && !is_owner;
        drop(timers);
        if must_unpark {
            self.0.unpark();
        }
        Ok(key)
    }

    /// Whether so many timers were refused that somebody polls on after the end: an executor inside of
    /// a task, say.
    pub(crate) fn is_polled_on(&self) -> bool {
        self.0.timers.lock().refused > MOST_REFUSED
    }

    /// Moves a timer to another deadline; false if it is armed no more.
    pub(crate) fn rearm(&self, key: Key, deadline: Instant, is_owner: bool) -> bool {
        let deadline = self.0.clock.nanos(deadline);
        let mut timers = self.0.timers.lock();
        let is_armed = timers.wheel.reset(key, deadline);
        let must_unpark = is_armed && self.lower_earliest(deadline) && !is_owner;
        drop(timers);
        if must_unpark {
            self.0.unpark();
        }
        is_armed
    }

    /// Lowers `earliest` to this deadline, with the lock held; whether that made it lower.
    fn lower_earliest(&self, deadline: u64) -> bool {
        let deadline = wheel::round_up(deadline);
        let is_lower = deadline < self.0.earliest.load(Ordering::Relaxed);
        if is_lower {
            self.0.earliest.store(deadline, Ordering::Relaxed);
        }
        is_lower
    }

    /// Makes `waker` the one that the timer wakes, and says whether it is still armed. Apart, so that
    /// a first poll saves no registers for it.
    #[inline(never)]
    pub(crate) fn set_waker(&self, key: Key, waker: &Waker) -> Armed {
        let mut timers = self.0.timers.lock();
        let gone = timers.gone();
        match timers.wheel.get_mut(key) {
            None => gone,
            Some(armed) if armed.will_wake(waker) => Armed::Waiting,
            Some(_) => {
                drop(timers);
                self.replace_waker(key, waker.clone())
            }
        }
    }

    /// The other task's waker is cloned and dropped without the lock: both may run any code.
    #[cold]
    fn replace_waker(&self, key: Key, mut waker: Waker) -> Armed {
        let mut timers = self.0.timers.lock();
        let gone = timers.gone();
        let armed = match timers.wheel.get_mut(key) {
            None => gone,
            Some(armed) => {
                std::mem::swap(armed, &mut waker);
                Armed::Waiting
            }
        };
        drop(timers);
        armed
    }

    /// Disarms a timer; `None` if it is armed no more. The caller drops the waker.
    pub(crate) fn disarm(&self, key: Key) -> Option<Waker> {
        let mut timers = self.0.timers.lock();
        let waker = timers.wheel.remove(key);
        if timers.wheel.is_empty() {
            self.0.earliest.store(NEVER, Ordering::Relaxed);
        }
        waker
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("clock", &self.0.clock).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests;
