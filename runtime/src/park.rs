//! What a thread with nothing to do sleeps on.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, wait_for};

/// The source of I/O events that one parked thread at a time sleeps in.
///
/// The I/O driver of `net` is one; tests and models use others.
pub(crate) trait Poller: Send + Sync {
    /// Waits for events as the one holder, at most `timeout()` long; `None` waits without end. The
    /// wakers of what became ready are added to `wakers`, for the caller to wake when it is done.
    ///
    /// `arm` is called once the caller is the holder, before it waits; if it returns false there
    /// is no wait. Returns false, without having called it, when another thread is the holder.
    fn try_turn(
        &self,
        arm: &mut dyn FnMut() -> bool,
        timeout: &dyn Fn() -> Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> bool;

    /// Makes the holder's wait, or the next one if nobody waits, return at once.
    fn unpark(&self);

    /// The runtime ends: whatever waits for I/O is added to `wakers`, and will find an error.
    fn shut_down(&self, wakers: &mut Vec<Waker>);
}

/// Nobody parks here; a token may be left.
const EMPTY: usize = 0;
/// A token: the next park returns at once.
const NOTIFIED: usize = 1;
/// The thread sleeps on the condition variable, or is about to.
const SLEEPING: usize = 2;
/// The thread is the poller's holder and waits in it, or is about to.
const POLLING: usize = 3;

/// Puts one thread to sleep, in the poller if it is free, until it is unparked.
///
/// An unpark is a token, as in `std::thread`: one that comes before the park is not lost. Why no
/// unpark is lost, in both ways of sleeping:
/// 1. The parking thread moves `state` from `EMPTY` to `SLEEPING` or `POLLING`. If it finds
///    `NOTIFIED` instead it does not sleep.
/// 2. The unparking thread swaps in `NOTIFIED`. If it finds `SLEEPING`, it takes `lock` before it
///    notifies: the sleeper has held it since before step 1 and only releases it by waiting. If it
///    finds `POLLING`, it calls [`Poller::unpark`], which is a token of its own.
///
/// One of the two sees the other's write, since both are read-modify-writes of one word. Model:
/// `park_against_unpark` in `crate::model`.
pub(crate) struct Parker {
    /// One of the constants above. Swapped with acquire and release, so that what the unparking
    /// thread wrote is seen after the park.
    state: AtomicUsize,
    lock: Mutex<()>,
    wakeup: Condvar,
    poller: Option<Arc<dyn Poller>>,
}

impl Parker {
    /// Without a poller the thread always sleeps on a condition variable.
    pub(crate) fn new(poller: Option<Arc<dyn Poller>>) -> Parker {
        Parker {
            state: AtomicUsize::new(EMPTY),
            lock: Mutex::new(()),
            wakeup: Condvar::new(),
            poller,
        }
    }

    /// Sleeps until there is a token, I/O is ready, or `timeout(is_polling)` has passed; it may
    /// also return for no reason. Returns whether it polled.
    pub(crate) fn park(
        &self,
        timeout: &dyn Fn(bool) -> Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        if self.take_token() {
            return false;
        }
        if let Some(poller) = &self.poller {
            let mut arm = || self.enter(POLLING);
            if poller.try_turn(&mut arm, &|| timeout(true), wakers) {
                self.state.swap(EMPTY, Ordering::AcqRel);
                return true;
            }
        }
        self.sleep(timeout(false));
        false
    }

    fn sleep(&self, timeout: Option<Duration>) {
        let mut guard = self.lock.lock();
        if !self.enter(SLEEPING) {
            return;
        }
        if timeout != Some(Duration::ZERO) {
            wait_for(&self.wakeup, &mut guard, timeout);
        }
        // A token that came together with the timeout is used up: the caller looks at everything.
        self.state.swap(EMPTY, Ordering::AcqRel);
    }

    /// Announces the way of sleeping. False: there was a token, now used up.
    fn enter(&self, how: usize) -> bool {
        match self.state.compare_exchange(EMPTY, how, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(found) => {
                debug_assert_eq!(found, NOTIFIED, "one thread at a time parks here");
                self.state.swap(EMPTY, Ordering::AcqRel);
                false
            }
        }
    }

    /// True: there was a token, now used up.
    pub(crate) fn take_token(&self) -> bool {
        self.state.compare_exchange(NOTIFIED, EMPTY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Whether the thread waits in the poller. Relaxed: a hint for the monitor, which asks again.
    pub(crate) fn is_polling(&self) -> bool {
        self.state.load(Ordering::Relaxed) == POLLING
    }

    pub(crate) fn unpark(&self) {
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            EMPTY | NOTIFIED => {}
            SLEEPING => {
                drop(self.lock.lock());
                self.wakeup.notify_one();
            }
            POLLING => self.poller.as_ref().expect("only a poller is polled").unpark(),
            other => unreachable!("no such parker state: {other}"),
        }
    }
}

/// Unparks a thread, wherever it parks at the moment.
///
/// A thread in `block_on` of a single-threaded runtime parks as its worker while it is lent to it,
/// and by itself while another thread is; both get the token then.
#[derive(Clone)]
pub(crate) struct Unparker {
    own: Arc<Parker>,
    as_worker: Option<Arc<Parker>>,
}

impl Unparker {
    pub(crate) fn new(own: Arc<Parker>, as_worker: Option<Arc<Parker>>) -> Unparker {
        Unparker { own, as_worker }
    }

    /// Unparks the thread where it parks by itself only.
    pub(crate) fn unpark_own(&self) {
        self.own.unpark();
    }

    pub(crate) fn unpark(&self) {
        self.own.unpark();
        if let Some(parker) = &self.as_worker {
            parker.unpark();
        }
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_came_before_the_park_is_not_lost() {
        let parker = Parker::new(None);
        parker.unpark();
        parker.unpark();
        assert!(!parker.park(&|_| None, &mut Vec::new()));
        assert!(!parker.take_token());
    }

    #[test]
    fn a_parked_thread_is_unparked_by_another() {
        let parker = Arc::new(Parker::new(None));
        let other = parker.clone();
        let thread = std::thread::spawn(move || other.park(&|_| None, &mut Vec::new()));
        parker.unpark();
        assert!(!thread.join().expect("the thread parks and returns"));
    }

    #[test]
    fn a_timeout_ends_the_park() {
        let parker = Parker::new(None);
        parker.park(&|_| Some(Duration::from_millis(1)), &mut Vec::new());
        parker.park(&|_| Some(Duration::ZERO), &mut Vec::new());
    }
}
