//! Who sleeps, who searches, and whom to wake when there is work.
//!
//! A worker is *running*, *searching* (it has run out of work and looks for others') or *parked*.
//! A push of work notifies one parked worker, which starts out searching, but only if nobody
//! searches already: the searcher would find the work, and when it does, and it was the last one
//! searching, it notifies the next. So a burst of pushes wakes workers one after another, as long
//! as each finds something, and never all at once. At most half of the workers search.
//!
//! # Why no wake-up is lost
//! Work is pushed while a worker goes to sleep. Two sides:
//!
//! 1. The pusher: (a) pushes into a queue that others can see; (b) a `SeqCst` fence, in
//!    [`Idle::worker_to_notify`]; (c) reads `counts`. If nobody searches and somebody is parked, it
//!    takes a worker out of `parked` and unparks it.
//! 2. The sleeper: (a) leaves `counts` as parked, in [`Idle::park`], a `SeqCst` read-modify-write;
//!    (b) a `SeqCst` fence; (c) unless others are still searching, looks once more at every queue
//!    that others push into, and only then sleeps. If it finds work it takes itself out again.
//!
//! The fences are ordered one way or the other. If 1b comes first, 2c sees the push. If 2b comes
//! first, 1c sees the sleeper in `counts`, so it either unparks somebody, or it sees a searcher: a
//! worker that has not yet gone through 2a itself. That searcher either finds the work in its
//! search, or goes through 2a to 2c after the pusher's fence and finds it there, or it finds other
//! work, ends its search with a `SeqCst` read-modify-write of `counts`, and, if it was the last one
//! searching, looks at all queues after that and notifies somebody. A sleeper that skips 2c because
//! of a searcher leaves the work to that searcher in the same way. An unpark that comes before the
//! park itself is a token, see [`Parker`](crate::park::Parker).
//!
//! The worker of a single-threaded runtime has no thread between two calls of `block_on`. Then it counts
//! as parked, but 1c finds nobody to take; the thread that becomes it goes through 2 before it sleeps.
//!
//! The same argument holds for the flag that shuts down: it is set before everybody is unparked,
//! and read in 2c. Model: `a_push_against_going_idle` in `crate::model`.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering, fence};

const SEARCHING_ONE: u64 = 1;
const PARKED_ONE: u64 = 1 << 16;
const RUNNING_ONE: u64 = 1 << 32;
const SEARCHING_MASK: u64 = PARKED_ONE - 1;
const PARKED_MASK: u64 = RUNNING_ONE - PARKED_ONE;

pub(crate) struct Idle {
    /// How many workers search (low 16 bits), are parked (next 16), and are not parked, searching
    /// ones included (the rest). Written by workers that start and end a search, come or leave, and
    /// together with `parked` under its lock. `SeqCst`, partner of the fences in the argument above.
    counts: AtomicU64,
    /// The indices of the parked workers that can be notified; the one that parked last, whose caches
    /// are warm, is notified first.
    parked: Mutex<Vec<usize>>,
}

impl Idle {
    /// Workers `0..workers` start out parked: a worker's thread calls [`Idle::unpark`] first.
    pub(crate) fn new(workers: usize) -> Idle {
        assert!(workers < 1 << 15, "the counts have 16 bits each");
        Idle {
            counts: AtomicU64::new(workers as u64 * PARKED_ONE),
            parked: Mutex::new((0..workers).collect()),
        }
    }

    /// One worker, which starts out without a thread: whoever becomes it calls [`Idle::arrive`].
    pub(crate) fn absent() -> Idle {
        Idle { counts: AtomicU64::new(PARKED_ONE), parked: Mutex::default() }
    }

    /// Called after work was pushed: the worker to unpark, if one is needed. It counts as searching.
    #[inline]
    pub(crate) fn worker_to_notify(&self) -> Option<usize> {
        fence(Ordering::SeqCst);
        if !self.needs_notify() {
            return None;
        }
        self.take_parked()
    }

    #[cold]
    fn take_parked(&self) -> Option<usize> {
        let mut parked = self.parked.lock();
        if !self.needs_notify() {
            return None;
        }
        let worker = parked.pop()?;
        self.counts.fetch_add(RUNNING_ONE + SEARCHING_ONE - PARKED_ONE, Ordering::SeqCst);
        Some(worker)
    }

    #[inline]
    fn needs_notify(&self) -> bool {
        let counts = self.counts.load(Ordering::SeqCst);
        counts & SEARCHING_MASK == 0 && counts & PARKED_MASK != 0
    }

    /// A worker without work asks to search. False: enough others do.
    pub(crate) fn begin_search(&self) -> bool {
        let counts = self.counts.load(Ordering::SeqCst);
        let workers = counts / RUNNING_ONE + (counts & PARKED_MASK) / PARKED_ONE;
        if 2 * (counts & SEARCHING_MASK) >= workers {
            return false;
        }
        self.counts.fetch_add(SEARCHING_ONE, Ordering::SeqCst);
        true
    }

    /// A searching worker has found work. True: it was the last one searching, and should see to it
    /// that somebody else looks for more.
    #[must_use]
    pub(crate) fn end_search(&self) -> bool {
        let before = self.counts.fetch_sub(SEARCHING_ONE, Ordering::SeqCst);
        debug_assert!(before & SEARCHING_MASK > 0);
        before & SEARCHING_MASK == 1
    }

    /// Counts `worker` as parked. True: nobody searches, so the caller must look at all queues once
    /// more before it sleeps.
    pub(crate) fn park(&self, worker: usize, is_searching: bool) -> bool {
        let mut parked = self.parked.lock();
        debug_assert!(!parked.contains(&worker));
        parked.push(worker);
        let nobody_searches = self.leave(is_searching, PARKED_ONE);
        drop(parked);
        fence(Ordering::SeqCst);
        nobody_searches
    }

    /// A thread becomes the worker that was counted as parked, without one.
    pub(crate) fn arrive(&self) {
        self.counts.fetch_add(RUNNING_ONE - PARKED_ONE, Ordering::SeqCst);
    }

    /// The worker stays behind without a thread, and counts as parked. It cannot be notified, since
    /// nobody would hear that and take it out of the counts again. What is pushed meanwhile is found by
    /// whoever becomes it, at the latest in 2c, before it sleeps.
    pub(crate) fn depart(&self, is_searching: bool) {
        self.leave(is_searching, PARKED_ONE);
    }

    /// Takes a running worker out of the counts, and adds `becomes`. True: nobody searches now.
    fn leave(&self, is_searching: bool, becomes: u64) -> bool {
        let searching = if is_searching { SEARCHING_ONE } else { 0 };
        let before = self.counts.fetch_sub(RUNNING_ONE + searching - becomes, Ordering::SeqCst);
        debug_assert!(before / RUNNING_ONE > 0 && before & SEARCHING_MASK >= searching);
        before & SEARCHING_MASK == searching
    }

    /// One more worker runs: a spare one.
    pub(crate) fn enlist(&self) {
        self.counts.fetch_add(RUNNING_ONE, Ordering::SeqCst);
    }

    /// A running worker leaves for good. As after [`Idle::park`], the caller looks at all queues
    /// once more if this returns true; since it will not take the work itself, it notifies another.
    #[must_use]
    pub(crate) fn retire(&self, is_searching: bool) -> bool {
        let nobody_searches = self.leave(is_searching, 0);
        fence(Ordering::SeqCst);
        nobody_searches
    }

    /// `worker` is back from its sleep. True: it was notified, and counts as searching already.
    pub(crate) fn unpark(&self, worker: usize) -> bool {
        let mut parked = self.parked.lock();
        let Some(place) = parked.iter().rposition(|&other| other == worker) else {
            return true;
        };
        parked.remove(place);
        self.counts.fetch_add(RUNNING_ONE - PARKED_ONE, Ordering::SeqCst);
        false
    }

    /// Whether every worker is parked. `SeqCst`: the monitor asks after it has said that it sleeps.
    pub(crate) fn all_parked(&self) -> bool {
        self.counts.load(Ordering::SeqCst) / RUNNING_ONE == 0
    }

    /// Whether just one worker is not parked: the one that asks.
    pub(crate) fn is_one_awake(&self) -> bool {
        self.counts.load(Ordering::SeqCst) / RUNNING_ONE == 1
    }

    pub(crate) fn parked(&self) -> usize {
        ((self.counts.load(Ordering::Relaxed) & PARKED_MASK) / PARKED_ONE) as usize
    }

    /// Panics when the counts do not add up; for tests, at a moment of rest.
    #[cfg(test)]
    pub(crate) fn assert_consistent(&self, workers: usize) {
        let parked = self.parked.lock();
        let counts = self.counts.load(Ordering::SeqCst);
        let (running, searching) = (counts / RUNNING_ONE, counts & SEARCHING_MASK);
        assert_eq!((counts & PARKED_MASK) / PARKED_ONE, parked.len() as u64);
        assert_eq!(running + parked.len() as u64, workers as u64);
        assert!(searching <= running);
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_push_notifies_one_worker_and_the_next_only_after_it_has_found_work() {
        let idle = Idle::new(4);
        assert!(!idle.unpark(0));
        let first = idle.worker_to_notify().expect("three are parked");
        assert_eq!(idle.worker_to_notify(), None);
        assert!(idle.unpark(first));
        assert!(idle.end_search());
        assert!(idle.worker_to_notify().is_some());
        idle.assert_consistent(4);
    }

    #[test]
    fn at_most_half_search() {
        let idle = Idle::new(4);
        for worker in 0..4 {
            assert!(!idle.unpark(worker));
        }
        assert!(idle.begin_search());
        assert!(idle.begin_search());
        assert!(!idle.begin_search());
        assert!(!idle.end_search());
        assert!(idle.end_search());
        idle.assert_consistent(4);
    }

    #[test]
    fn a_worker_that_wakes_by_itself_is_not_notified_any_more() {
        let idle = Idle::new(2);
        idle.unpark(0);
        idle.unpark(1);
        idle.park(1, false);
        assert!(!idle.unpark(1));
        assert_eq!(idle.worker_to_notify(), None);
        assert!(!idle.all_parked());
        idle.park(0, false);
        idle.park(1, false);
        assert!(idle.all_parked());
        idle.assert_consistent(2);
    }

    #[test]
    fn a_worker_without_a_thread_is_not_notified() {
        let idle = Idle::absent();
        assert_eq!((idle.worker_to_notify(), idle.parked()), (None, 1));
        idle.arrive();
        assert_eq!((idle.worker_to_notify(), idle.parked()), (None, 0));
        assert!(idle.park(0, false));
        assert_eq!(idle.worker_to_notify(), Some(0));
        assert!(idle.unpark(0));
        idle.depart(true);
        assert!(idle.all_parked());
        assert_eq!((idle.worker_to_notify(), idle.parked()), (None, 1));
    }

    #[test]
    fn a_spare_worker_comes_and_goes() {
        let idle = Idle::new(1);
        idle.unpark(0);
        idle.enlist();
        idle.assert_consistent(2);
        idle.park(1, false);
        assert_eq!(idle.worker_to_notify(), Some(1));
        assert!(idle.unpark(1));
        assert!(idle.retire(true));
        idle.assert_consistent(1);
    }
}
