//! Loom models of the protocols that their types describe.
//!
//! `RUSTFLAGS="--cfg windlass_loom" cargo test -p windlass-net --release --lib model`, with
//! `LOOM_MAX_PREEMPTIONS` at 2 or 3.

use crate::driver::readiness::Readiness;
use crate::driver::unpark::Unpark;
use crate::driver::waiters::WaiterId;
use crate::interest::{Interest, Ready};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

const READ: Interest = Interest::READABLE;

/// Counts its calls.
struct Count(AtomicUsize);

impl Count {
    fn new() -> Arc<Count> {
        Arc::new(Count(AtomicUsize::new(0)))
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

fn registered() -> Arc<Readiness> {
    let readiness = Readiness::new();
    readiness.set_registered();
    Arc::new(readiness)
}

/// What the driver does with an event.
fn set(readiness: &Readiness, ready: Ready) {
    let mut wakers = Vec::new();
    readiness.set(ready, &mut wakers);
    wake_all(wakers);
}

fn poll(readiness: &Readiness, id: &mut Option<WaiterId>, count: &Arc<Count>) -> bool {
    let waker = Waker::from(Arc::clone(count));
    let polled = readiness.poll(&mut Context::from_waker(&waker), id, READ);
    matches!(polled, Poll::Ready(_))
}

/// A byte arrives while an operation fails and clears: the byte's event must survive.
#[test]
fn clearing_never_erases_a_newer_event() {
    loom::model(|| {
        let readiness = registered();
        // Whether there is something to read, as the kernel knows it.
        let byte = Arc::new(AtomicBool::new(false));
        set(&readiness, Ready::READABLE);

        let driver = {
            let (readiness, byte) = (Arc::clone(&readiness), Arc::clone(&byte));
            thread::spawn(move || {
                byte.store(true, Ordering::SeqCst);
                set(&readiness, Ready::READABLE);
            })
        };
        let seen = readiness.state();
        let is_read = byte.load(Ordering::SeqCst);
        if !is_read {
            readiness.clear(seen, READ.mask());
        }
        driver.join().expect("the driver's thread ends");
        assert!(is_read || readiness.state().satisfies(READ), "the byte has been forgotten");
    });
}

#[test]
fn a_waiter_sees_the_event_or_is_woken() {
    loom::model(|| {
        let readiness = registered();
        let count = Count::new();
        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::READABLE))
        };
        let is_ready = poll(&readiness, &mut None, &count);
        driver.join().expect("the driver's thread ends");
        assert!(is_ready || count.get() == 1, "the event is lost");
        assert!(readiness.state().satisfies(READ));
    });
}

/// The poller may report what is ready before the one who registers can say that it is done.
#[test]
fn what_a_registration_reports_is_not_lost() {
    loom::model(|| {
        let readiness = Arc::new(Readiness::new());
        let count = Count::new();
        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::READABLE))
        };
        let mut id = None;
        assert!(poll(&readiness, &mut id, &count), "who is not registered waits for nothing");
        readiness.set_registered();
        let is_ready = poll(&readiness, &mut id, &count);
        driver.join().expect("the driver's thread ends");
        assert!(is_ready || count.get() == 1, "the event is lost");
        assert!(readiness.state().ready().is_readable());
    });
}

#[test]
fn every_waiter_of_a_direction_is_woken() {
    loom::model(|| {
        let readiness = registered();
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let readiness = Arc::clone(&readiness);
                thread::spawn(move || {
                    let count = Count::new();
                    let is_ready = poll(&readiness, &mut None, &count);
                    (is_ready, count)
                })
            })
            .collect();
        set(&readiness, Ready::READABLE);
        for waiter in waiters {
            let (is_ready, count) = waiter.join().expect("the waiter's thread ends");
            assert!(is_ready || count.get() == 1, "one waiter was left out");
        }
    });
}

#[test]
fn a_shutdown_ends_every_wait_and_nothing_clears_it() {
    loom::model(|| {
        let readiness = registered();
        set(&readiness, Ready::READABLE);
        let count = Count::new();
        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::SHUTDOWN))
        };
        readiness.clear(readiness.state(), READ.mask());
        let is_ready = poll(&readiness, &mut None, &count);
        driver.join().expect("the driver's thread ends");
        assert!(is_ready || count.get() == 1, "the operation hangs");
        readiness.clear(readiness.state(), Interest::BOTH.mask());
        assert!(readiness.state().ready().is_shut_down());
    });
}

/// The waker of a dropped future is gone afterwards, whether the event took it or not, and the
/// other waiter is not harmed.
#[test]
fn dropping_a_waiter_harms_nobody_else() {
    loom::model(|| {
        let readiness = registered();
        let (leaver, stayer) = (Count::new(), Count::new());
        let (mut leaver_id, mut stayer_id) = (None, None);
        assert!(!poll(&readiness, &mut leaver_id, &leaver));
        assert!(!poll(&readiness, &mut stayer_id, &stayer));
        assert_ne!(leaver_id, stayer_id);

        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::READABLE))
        };
        readiness.remove(leaver_id.expect("it waits"));
        driver.join().expect("the driver's thread ends");
        assert_eq!(stayer.get(), 1);
        assert_eq!(Arc::strong_count(&leaver), 1, "its waker is still kept");
    });
}

/// A wait that its event ended leaves no waker behind, although nobody removes it.
#[test]
fn a_wait_that_is_over_needs_no_removal() {
    loom::model(|| {
        let readiness = registered();
        let count = Count::new();
        let mut id = None;
        assert!(!poll(&readiness, &mut id, &count));
        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::READABLE))
        };
        let is_over = poll(&readiness, &mut id, &count);
        assert_eq!(is_over, id.is_none(), "whoever waits has an id, who does not has none");
        driver.join().expect("the driver's thread ends");
        assert_eq!(count.get(), 1);
        assert_eq!(Arc::strong_count(&count), 1, "its waker is still kept");
    });
}

/// A future may find its bit set before the driver takes the waiters, fail, and wait again: the next
/// event finds it, and one that is dropped instead leaves nothing and harms nobody.
fn waiting_again_before_the_waiters_are_taken(is_dropped: bool) {
    loom::model(move || {
        let readiness = registered();
        let (first, second, stayer) = (Count::new(), Count::new(), Count::new());
        let (mut id, mut stayer_id) = (None, None);
        assert!(!poll(&readiness, &mut id, &first));
        assert!(!poll(&readiness, &mut stayer_id, &stayer));
        let driver = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || set(&readiness, Ready::READABLE))
        };
        let mut is_over = poll(&readiness, &mut id, &second);
        if is_over {
            readiness.clear(readiness.state(), READ.mask());
            is_over = poll(&readiness, &mut id, &second);
        }
        if is_dropped {
            if let Some(id) = id {
                readiness.remove(id);
            }
        }
        driver.join().expect("the driver's thread ends");
        assert_eq!(stayer.get(), 1);
        if !is_dropped {
            set(&readiness, Ready::READABLE);
            assert!(is_over || second.get() > 0, "the next event is lost");
        }
        for count in [first, second, stayer] {
            assert_eq!(Arc::strong_count(&count), 1, "its waker is still kept");
        }
    });
}

#[test]
fn a_wait_begun_again_in_between_is_ended_by_the_next_event() {
    waiting_again_before_the_waiters_are_taken(false);
}

#[test]
fn a_wait_begun_again_in_between_can_be_dropped() {
    waiting_again_before_the_waiters_are_taken(true);
}

/// The poller's eventfd: what is written to it ends the sleep, now or later.
#[derive(Default)]
struct Eventfd(Mutex<bool>, Condvar);

impl Eventfd {
    fn write(&self) {
        *self.0.lock().expect("no panic in the model") = true;
        self.1.notify_one();
    }

    fn sleep(&self) {
        let mut is_written = self.0.lock().expect("no panic in the model");
        while !*is_written {
            is_written = self.1.wait(is_written).expect("no panic in the model");
        }
        *is_written = false;
    }
}

#[test]
fn no_unpark_is_lost() {
    loom::model(|| {
        let unpark = Arc::new(Unpark::new());
        let eventfd = Arc::new(Eventfd::default());
        let work = Arc::new(AtomicBool::new(false));
        let unparker = {
            let (unpark, eventfd, work) =
                (Arc::clone(&unpark), Arc::clone(&eventfd), Arc::clone(&work));
            thread::spawn(move || {
                work.store(true, Ordering::Relaxed);
                if unpark.unpark() {
                    eventfd.write();
                }
            })
        };
        // A lost unpark is a deadlock, which loom reports.
        if unpark.begin_sleep() {
            while !unpark.is_notified() {
                eventfd.sleep();
            }
            unpark.end_sleep();
        }
        assert!(work.load(Ordering::Relaxed), "what was written before the unpark is not visible");
        unparker.join().expect("the unparker's thread ends");
    });
}

/// A sleep that ends for another reason may leave a late write behind, which must not pass for an
/// unpark of the next sleep, nor swallow one.
#[test]
fn a_late_write_is_no_unpark() {
    loom::model(|| {
        let unpark = Arc::new(Unpark::new());
        let eventfd = Arc::new(Eventfd::default());
        let unparkers: Vec<_> = (0..2)
            .map(|_| {
                let (unpark, eventfd) = (Arc::clone(&unpark), Arc::clone(&eventfd));
                thread::spawn(move || {
                    if unpark.unpark() {
                        eventfd.write();
                    }
                })
            })
            .collect();
        // This sleep is ended by something else at once.
        if unpark.begin_sleep() {
            unpark.end_sleep();
        }
        unparkers.into_iter().for_each(|thread| thread.join().expect("the thread ends"));
        // All unparks are over. Their token, if it is left, prevents one sleep and not two.
        let is_asleep = unpark.begin_sleep() || unpark.begin_sleep();
        assert!(is_asleep, "the token was not taken");
        assert!(!unpark.is_notified());
        assert!(unpark.unpark(), "a sleeper must be woken by an event");
        assert!(unpark.is_notified());
        unpark.end_sleep();
        assert!(!unpark.is_notified());
    });
}
