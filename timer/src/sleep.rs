//! A future that completes at an instant.

use crate::clock::real_now;
use crate::context::{self, Current};
use crate::driver::{Armed, Handle};
use crate::instant::Instant;
use crate::slab::Key;
use crate::wheel::TICK;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

/// Waits until `duration` has passed since this call.
///
/// It never ends early. On an idle machine it ends within 0.1 ms and the kernel's own lateness
/// after its deadline; timers are rounded up to multiples of 65.536 us. Where they end by the dozen
/// at a time, four such ticks are waited for together: within 0.3 ms. `Duration::MAX` is "never", as
/// is anything from 272 years on.
///
/// If its time is over before its first poll, that poll may find it pending, since it reads no
/// clock; it ends when the runtime next looks at its timers, and where no thread runs the runtime,
/// not at all. [`sleep_until`] is ready at once then.
///
/// **Cancel safety**: a dropped sleep is disarmed at once and leaves nothing behind.
///
/// # Panics
/// When it is polled before its deadline on a thread that is in no running runtime.
///
/// ```
/// # async fn example() {
/// timer::sleep(std::time::Duration::from_millis(100)).await;
/// # }
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let deadline = Instant::now().saturating_add(duration);
    let mut sleep = Sleep::new(deadline, Creator::Sleep, Location::caller());
    if duration >= TICK {
        sleep.state = State::Fresh;
    }
    sleep
}

/// Waits until `deadline`; ends at the first poll if it has passed.
///
/// In all else as [`sleep`].
///
/// # Panics
/// When it is polled before its deadline on a thread that is in no running runtime.
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(deadline, Creator::SleepUntil, Location::caller())
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// It is armed when a poll first finds it pending, in the driver of the polling thread, and stays
/// there: it may be polled, reset and dropped on any thread. The waker of the last poll is woken.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    deadline: Instant,
    state: State,
    location: &'static Location<'static>,
    creator: Creator,
}

enum State {
    /// Not polled since it was made or reset.
    Idle,
    /// Not polled since [`sleep`] read the clock, for a deadline that is a tick away or more.
    ///
    /// Its first poll arms it without another look at the clock, which is a fifth of what it costs
    /// to arm and disarm a timer. One that is over by then fires as any other, at the turn after
    /// its tick. Shorter ones are idle instead: over by their first poll, they wait for no tick.
    Fresh,
    /// In a wheel, or fired since the last poll.
    Armed { driver: Handle, key: Key },
    /// Found to be over.
    Elapsed,
}

/// The function a sleep was made by, for messages.
#[derive(Clone, Copy)]
pub(crate) enum Creator {
    Sleep,
    SleepUntil,
    Interval,
    Timeout,
}

impl Creator {
    fn name(self) -> &'static str {
        match self {
            Creator::Sleep => "sleep",
            Creator::SleepUntil => "sleep_until",
            Creator::Interval => "interval",
            Creator::Timeout => "timeout",
        }
    }
}

impl Sleep {
    pub(crate) fn new(
        deadline: Instant,
        creator: Creator,
        location: &'static Location<'static>,
    ) -> Sleep {
        Sleep { deadline, state: State::Idle, location, creator }
    }

    /// When the sleep ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the deadline has passed.
    pub fn is_elapsed(&self) -> bool {
        match &self.state {
            State::Elapsed => true,
            State::Armed { driver, .. } => self.deadline <= driver.clock().now(),
            State::Idle | State::Fresh => self.deadline <= Instant::now(),
        }
    }

    /// Gives the sleep another deadline: earlier, later or past, whether it has ended or not.
    ///
    /// A sleep that was polled and has not ended stays armed: the waker of its last poll is woken
    /// at the new deadline. If this thread has entered another driver, the sleep moves there. One
    /// that has ended, or was never polled, must be polled to be armed.
    pub fn reset(&mut self, deadline: Instant) {
        self.deadline = deadline;
        let State::Armed { driver, key } = &self.state else {
            self.state = State::Idle;
            return;
        };
        match context::current() {
            Some(current) if !current.driver.is(driver) => self.migrate(current),
            current => {
                let is_owner = current.is_some_and(|current| current.is_owner);
                if !driver.rearm(*key, deadline, is_owner) {
                    // It fired before it was reset: its task is woken and will poll.
                    self.state = State::Idle;
                }
            }
        }
    }

    /// Moves an armed sleep into the driver of this thread.
    #[cold]
    fn migrate(&mut self, current: Current) {
        let State::Armed { driver, key } = std::mem::replace(&mut self.state, State::Idle) else {
            return;
        };
        let Some(waker) = driver.disarm(key) else {
            return;
        };
        match current.driver.arm(self.deadline, waker, current.is_owner) {
            Ok(key) => self.state = State::Armed { driver: current.driver, key },
            // That one is closed; the poll that follows finds out.
            Err(waker) => waker.wake(),
        }
    }

    /// Polls without taking from the task's budget.
    #[inline]
    pub(crate) fn poll_unbudgeted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::Elapsed => Poll::Ready(()),
            State::Idle | State::Fresh => self.arm(cx, None),
            State::Armed { driver, key } => match driver.set_waker(*key, cx.waker()) {
                Armed::Waiting => Poll::Pending,
                Armed::Fired => {
                    self.state = State::Elapsed;
                    Poll::Ready(())
                }
                Armed::Closed => {
                    self.state = State::Idle;
                    self.arm(cx, None)
                }
            },
        }
    }

    /// Puts a sleep that is not armed into the driver of this thread, unless it is over. `now` saves a
    /// look at the clock.
    pub(crate) fn arm(&mut self, cx: &mut Context<'_>, now: Option<Instant>) -> Poll<()> {
        let Some(current) = context::current() else {
            return self.end_without_runtime(now);
        };
        let Current { driver, is_owner, leaves_when_closed } = current;
        // On a paused clock traces are exact: what is over is ready at once.
        let is_unread = matches!(self.state, State::Fresh) && driver.clock().is_real();
        if !is_unread && self.deadline <= now.unwrap_or_else(|| driver.clock().now()) {
            self.state = State::Elapsed;
            return Poll::Ready(());
        }
        match driver.arm(self.deadline, cx.waker().clone(), is_owner) {
            Ok(key) => self.state = State::Armed { driver, key },
            Err(waker) => return self.poll_closed(&driver, leaves_when_closed, waker),
        }
        Poll::Pending
    }

    /// What is over needs no runtime.
    #[cold]
    fn end_without_runtime(&mut self, now: Option<Instant>) -> Poll<()> {
        if self.deadline > now.unwrap_or_else(|| Instant::from_std(real_now())) {
            self.panic_without_runtime();
        }
        self.state = State::Elapsed;
        Poll::Ready(())
    }

    /// What is over needs no driver; the rest would hang in one that is closed, but in a loop that ends
    /// after this poll: what is polled there is dropped, or goes on elsewhere.
    #[cold]
    fn poll_closed(&mut self, driver: &Handle, leaves: bool, waker: Waker) -> Poll<()> {
        if self.deadline <= driver.clock().now() {
            self.state = State::Elapsed;
            return Poll::Ready(());
        }
        if !leaves || driver.is_polled_on() {
            self.panic_after_shutdown();
        }
        waker.wake();
        Poll::Pending
    }

    #[cold]
    fn panic_without_runtime(&self) -> ! {
        panic!(
            "runtime: `{}` (created at {}) needs a running runtime, but this thread has none.\n  \
             help: await it inside `#[runtime::main]`, `Runtime::block_on` or a spawned task; on \
             your own thread: `let _guard = handle.enter();`",
            self.creator.name(),
            self.location
        )
    }

    #[cold]
    fn panic_after_shutdown(&self) -> ! {
        panic!(
            "runtime: `{}` (created at {}) needs a running runtime, but this thread's has shut \
             down.\n  help: await it before the runtime is dropped, or inside of another one",
            self.creator.name(),
            self.location
        )
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_unbudgeted(cx));
        context::poll_budget(cx)
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let State::Armed { driver, key } = std::mem::replace(&mut self.state, State::Idle) {
            drop(driver.disarm(key));
            context::give_back(driver);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Idle | State::Fresh => "idle",
            State::Armed { .. } => "armed",
            State::Elapsed => "elapsed",
        };
        f.debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .field("state", &format_args!("{state}"))
            .field("location", &format_args!("{}", self.location))
            .finish()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests;
