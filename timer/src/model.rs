//! The driver's races, each run through every interleaving that loom can find.
//!
//! `RUSTFLAGS="--cfg windlass_loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release -p windlass-timer
//! --lib`
//!
//! Time is what each model passes to `turn`: deadlines are an hour away, so none passes by itself.

use crate::clock::Clock;
use crate::driver::{Driver, Handle, Hooks};
use crate::instant::Instant;
use crate::sleep::{Sleep, sleep_until};
use crate::wake_count::WakeCount;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn driver() -> Driver {
    Driver::new(&Clock::new(), Hooks::none())
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    sleep.poll_unbudgeted(&mut Context::from_waker(waker))
}

/// A sleep of this many hours that is armed in `driver` and wakes `waker`.
fn armed(driver: &Handle, hours: u32, waker: &Waker) -> Sleep {
    let _guard = driver.enter_as_owner();
    let mut sleep = sleep_until(Instant::now() + hours * HOUR);
    assert!(poll(&mut sleep, waker).is_pending());
    sleep
}

/// Turns the driver, as if this many hours had passed, and wakes what has expired.
fn turn(driver: &Driver, hours: u32) -> usize {
    let mut wakers = Vec::new();
    let fired = driver.turn(Instant::now() + hours * HOUR, &mut wakers);
    wakers.into_iter().for_each(Waker::wake);
    fired
}

#[test]
fn fire_against_cancel() {
    loom::model(|| {
        let driver = driver();
        let (count, waker) = WakeCount::new();
        let sleep = armed(&driver.handle(), 1, &waker);
        let is_cancelled = Arc::new(AtomicBool::new(false));
        let turner = {
            let (driver, is_cancelled) = (driver.clone(), is_cancelled.clone());
            thread::spawn(move || {
                let was_cancelled = is_cancelled.load(Ordering::Acquire);
                let fired = turn(&driver, 2);
                assert!(!was_cancelled || fired == 0, "what was cancelled is gone");
                fired
            })
        };
        drop(sleep);
        is_cancelled.store(true, Ordering::Release);
        let fired = turner.join().expect("the turner does not panic");
        assert_eq!(count.get(), fired, "nobody else is woken");
        assert_eq!(driver.next_deadline(), None, "nothing is left behind");
    });
}

#[test]
fn fire_against_reset() {
    loom::model(|| {
        let driver = driver();
        let (count, waker) = WakeCount::new();
        let mut sleep = armed(&driver.handle(), 1, &waker);
        let turner = {
            let driver = driver.clone();
            thread::spawn(move || turn(&driver, 2))
        };
        sleep.reset(Instant::now() + 5 * HOUR);
        let fired = turner.join().expect("the turner does not panic");
        assert_eq!(count.get(), fired);
        // Woken or not, the task can wait for the new deadline, and is woken then.
        let _guard = driver.handle().enter_as_owner();
        if fired == 1 {
            assert!(poll(&mut sleep, &waker).is_pending());
        }
        assert_eq!(turn(&driver, 4), 0, "the old deadline is void");
        assert_eq!(turn(&driver, 6), 1);
        assert_eq!(count.get(), fired + 1);
        assert!(poll(&mut sleep, &waker).is_ready());
    });
}

#[test]
fn fire_against_poll_with_a_new_waker() {
    loom::model(|| {
        let driver = driver();
        let (old_count, old) = WakeCount::new();
        let (new_count, new) = WakeCount::new();
        let mut sleep = armed(&driver.handle(), 1, &old);
        let turner = {
            let driver = driver.clone();
            thread::spawn(move || turn(&driver, 2))
        };
        let polled = poll(&mut sleep, &new);
        assert_eq!(turner.join().expect("the turner does not panic"), 1);
        // Either the poll saw the end, or the waker that it left was woken.
        assert_eq!(new_count.get(), usize::from(polled.is_pending()));
        assert_eq!(old_count.get(), usize::from(polled.is_ready()));
        assert!(poll(&mut sleep, &new).is_ready());
    });
}

/// A parker with a token, as the runtime's workers have.
#[derive(Clone)]
struct Parker(Arc<(Mutex<bool>, Condvar)>);

impl Parker {
    fn new() -> Parker {
        Parker(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn unpark(&self) {
        *self.0.0.lock().expect("no holder panics") = true;
        self.0.1.notify_one();
    }

    fn park(&self) {
        let mut token = self.0.0.lock().expect("no holder panics");
        while !*token {
            token = self.0.1.wait(token).expect("no holder panics");
        }
        *token = false;
    }
}

#[test]
fn insert_against_park() {
    loom::model(|| {
        let parker = Parker::new();
        let unpark = {
            let parker = parker.clone();
            Box::new(move || parker.unpark())
        };
        let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
        let late = armed(&driver.handle(), 9, &WakeCount::new().1);
        let inserter = {
            let driver = driver.handle();
            thread::spawn(move || {
                let _guard = driver.enter();
                let mut sleep = sleep_until(Instant::now() + HOUR);
                assert!(poll(&mut sleep, &WakeCount::new().1).is_pending());
                drop(late);
                sleep
            })
        };
        // The owner's loop. It parks while the earlier timer is unknown to it; if the unpark were
        // lost, this would be a deadlock, which loom reports.
        let soon = Instant::now() + 2 * HOUR;
        while driver.next_deadline().is_none_or(|deadline| deadline > soon) {
            parker.park();
        }
        drop(inserter.join().expect("the inserter does not panic"));
    });
}

#[test]
fn insert_against_park_of_an_empty_driver() {
    loom::model(|| {
        let parker = Parker::new();
        let unpark = {
            let parker = parker.clone();
            Box::new(move || parker.unpark())
        };
        let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
        let inserter = {
            let driver = driver.handle();
            thread::spawn(move || {
                let _guard = driver.enter();
                let mut sleep = sleep_until(Instant::now() + HOUR);
                assert!(poll(&mut sleep, &WakeCount::new().1).is_pending());
                sleep
            })
        };
        while driver.next_deadline().is_none() {
            parker.park();
        }
        drop(inserter.join().expect("the inserter does not panic"));
    });
}

#[test]
fn close_against_poll() {
    loom::model(|| {
        let (closing, open) = (driver(), driver());
        let (count, waker) = WakeCount::new();
        let mut sleep = armed(&closing.handle(), 1, &waker);
        let closer = {
            let driver = closing.clone();
            thread::spawn(move || {
                let mut wakers = Vec::new();
                driver.close(&mut wakers);
                let closed = wakers.len();
                wakers.into_iter().for_each(Waker::wake);
                closed
            })
        };
        let _guard = open.handle().enter_as_owner();
        assert!(poll(&mut sleep, &waker).is_pending());
        assert_eq!(closer.join().expect("the closer does not panic"), 1);
        assert_eq!(count.get(), 1, "it learns that the driver closed");
        // The poll that follows the wake moves it, unless the first one did already.
        assert!(poll(&mut sleep, &waker).is_pending());
        assert_eq!(turn(&open, 2), 1);
        assert!(poll(&mut sleep, &waker).is_ready());
    });
}

#[test]
fn the_owner_and_a_rescuer_deliver_a_waker_once() {
    loom::model(|| {
        let driver = driver();
        let (count, waker) = WakeCount::new();
        let mut sleep = armed(&driver.handle(), 1, &waker);
        let rescuer = {
            let driver = driver.clone();
            thread::spawn(move || turn(&driver, 2))
        };
        let by_owner = turn(&driver, 2);
        let by_rescuer = rescuer.join().expect("the rescuer does not panic");
        assert_eq!((by_owner + by_rescuer, count.get()), (1, 1));
        assert!(poll(&mut sleep, &waker).is_ready());
    });
}

#[test]
fn reset_migrates_while_its_old_driver_fires() {
    loom::model(|| {
        let (old, new) = (driver(), driver());
        let (count, waker) = WakeCount::new();
        let mut sleep = armed(&old.handle(), 1, &waker);
        let turner = {
            let driver = old.clone();
            thread::spawn(move || turn(&driver, 2))
        };
        let _guard = new.handle().enter_as_owner();
        sleep.reset(Instant::now() + 3 * HOUR);
        let fired = turner.join().expect("the turner does not panic");
        if fired == 1 {
            assert!(poll(&mut sleep, &waker).is_pending());
        }
        assert_eq!(turn(&new, 4), 1);
        assert_eq!(count.get(), fired + 1);
        assert_eq!(old.next_deadline(), None);
    });
}
