//! A worker: takes runnables from its queue, then from the others', then sleeps.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use super::current::replace_current;
use super::queue::LocalQueue;
use super::root::Root;
use super::spin::IdleTimes;
use super::{Remote, Scheduler, Shared};
use crate::coop;
use crate::metrics::add;
use crate::panics::contain;
use crate::sync::atomic::Ordering;
use crate::task::{Heap, LocalTasks, Runnable, local_tasks};

/// How many runnables in a row may come from the `next` slot while others wait in the queue. Two
/// tasks that wake each other would otherwise keep everybody else waiting for ever.
const MAX_NEXT_IN_A_ROW: u32 = 3;

/// Where a runnable goes that is woken on its worker.
#[derive(Clone, Copy, PartialEq)]
enum Turn {
    /// Into the `next` slot: it most likely shares data with the task that woke it.
    Next,
    /// Behind the others, one of many that are found at once; a peer is notified for all.
    Batch,
    /// Behind the others.
    Last,
}

/// What a thread that runs tasks works on. It stays with its thread, except in a single-threaded
/// runtime, where it is lent to one thread in `block_on` after another.
pub(crate) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) index: usize,
    pub(super) queue: LocalQueue,
    /// Where the tasks lie that are spawned here. Left when the worker is dropped.
    pub(super) heap: Heap<Arc<Shared>>,
    random: Cell<u64>,
    /// Whether `idle` counts this worker as searching.
    pub(super) is_searching: Cell<bool>,
    next_in_a_row: Cell<u32>,
    /// The runnable that runs next, of a worker without peers; of others it is in their [`Remote`],
    /// where it takes an atomic change to put it in and one to take it out.
    next: Cell<Option<Runnable>>,
    /// Where what is woken now belongs.
    turn: Cell<Turn>,
    is_local_turn: Cell<bool>,
    /// Whether there are, or may be, other workers.
    has_peers: bool,
    /// Polls until the clock is read again, and how many that were to begin with.
    pub(super) polls_left: Cell<u32>,
    pub(super) polls_per_reading: Cell<u32>,
    pub(super) last_look: Cell<std::time::Instant>,
    pub(super) idle_times: IdleTimes,
    /// Collects wakers while locks are held; kept for its memory.
    pub(super) wakers: RefCell<Vec<Waker>>,
}

/// Wakes every one of `wakers`. A waker that panics, which only a foreign one does, harms no other.
///
/// Workers keep the memory of the vector for the next time, but not that of a burst: a million
/// timers that fire at once would leave 16 MiB with the worker that fired them, for ever.
pub(crate) fn wake_all(wakers: &mut Vec<Waker>) {
    /// As many as one look at the poller can find, 16 KiB.
    const KEPT: usize = 1024;
    for waker in wakers.drain(..) {
        contain(|| waker.wake());
    }
    wakers.shrink_to(KEPT);
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, index: usize, queue: LocalQueue) -> Worker {
        let has_peers = shared.capacity() > 1;
        // Any seed will do, zero too: `random` steps before it mixes.
        let random = shared.config.seed.wrapping_add(index as u64);
        Worker {
            shared,
            index,
            queue,
            heap: Heap::new(index),
            random: Cell::new(random),
            is_searching: Cell::new(false),
            next_in_a_row: Cell::new(0),
            next: Cell::new(None),
            turn: Cell::new(Turn::Next),
            is_local_turn: Cell::new(false),
            has_peers,
            polls_left: Cell::new(0),
            polls_per_reading: Cell::new(1),
            last_look: Cell::new(timer::real_now()),
            idle_times: IdleTimes::default(),
            wakers: RefCell::new(Vec::new()),
        }
    }

    /// Makes this thread the worker, runs `f` as such, and gives the worker back.
    ///
    /// It may be inside another worker of another runtime: one that is dropped in a task, say.
    pub(crate) fn run_as_current<R>(self, f: impl FnOnce(&Worker) -> R) -> (Worker, R) {
        /// Makes the outer worker current again. If `f` unwinds, the inner one goes back to its
        /// runtime.
        struct Leave {
            outer: Option<Rc<Worker>>,
            inner: Option<Rc<Worker>>,
        }
        impl Drop for Leave {
            fn drop(&mut self) {
                drop(replace_current(self.outer.take()));
                if let Some(worker) = self.inner.take().and_then(Rc::into_inner) {
                    worker.end();
                    worker.give_back();
                }
            }
        }
        let _timers = if self.is_spare() {
            // Nobody would turn a wheel of its own when it has retired.
            self.shared.entered_timers.handle().enter_as_worker()
        } else {
            self.remote().timers.handle().enter_as_owner()
        }
        .ends_later_ones();
        let worker = Rc::new(self);
        // In the destructor of a thread-local this thread does not become a worker, and what is
        // woken meanwhile goes through the injector.
        let outer = replace_current(Some(worker.clone()));
        let mut leave = Leave { outer, inner: Some(worker) };
        let worker = leave.inner.as_deref().expect("set above");
        worker.begin();
        let result = f(worker);
        worker.end();
        let worker = leave.inner.take().expect("set above");
        drop(leave);
        (Rc::into_inner(worker).expect("no other reference outlives a call"), result)
    }

    /// Leaves the worker of a single-threaded runtime to the next thread in `block_on`.
    pub(super) fn give_back(self) {
        let shared = self.shared.clone();
        shared.take_back(self);
    }

    fn begin(&self) {
        self.remote().set_thread();
        if self.is_lent() {
            self.shared.idle.arrive();
        } else if !self.is_spare() {
            // A spare worker counts as running from the moment that it was decided to start it.
            self.is_searching.set(self.shared.idle.unpark(self.index));
        }
        self.is_running_again();
        self.polls_left.set(0);
    }

    fn end(&self) {
        self.suspect_itself(timer::real_now());
        let is_searching = self.is_searching.replace(false);
        if self.is_lent() {
            // What it leaves is for whoever becomes this worker next. In the queue everybody sees it.
            if let Some(next) = self.take_next() {
                self.queue.push(next);
            }
            return self.shared.idle.depart(is_searching);
        }
        let nobody_searches = if self.is_spare() {
            self.hand_over();
            self.heap.leave_all();
            self.shared.discharge(self.index, is_searching)
        } else {
            self.shared.idle.park(self.index, is_searching)
        };
        // What this worker leaves, or has not seen, is for another one; and a spare worker may have
        // been the one that waited for I/O.
        let leaves_the_poller = self.is_spare() && !self.shared.is_polled();
        if leaves_the_poller || nobody_searches && self.shared.has_visible_work() {
            self.shared.notify();
        }
    }

    /// Whether this is the worker of a single-threaded runtime, which one thread leaves to another.
    fn is_lent(&self) -> bool {
        self.shared.config.scheduler == Scheduler::SingleThreaded
    }

    pub(super) fn is_spare(&self) -> bool {
        self.index >= self.shared.workers()
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The life of a worker with a thread of its own.
    pub(super) fn run_until_told_to_leave(&self) {
        self.run(None);
        if self.shared.is_shut_down() {
            self.shut_down();
        }
    }

    /// Leaves everything that is queued here to the others. It notifies nobody.
    pub(super) fn hand_over(&self) {
        let shared = &self.shared;
        shared.hand_overs.begin();
        while let Some(runnable) = self.take_next().or_else(|| self.queue.pop()) {
            shared.injector.push(runnable);
        }
        shared.hand_overs.end();
        shared.drain_if_finished();
    }

    /// Runs tasks until `root` is done, or, without one, until the runtime shuts down.
    /// True: `root` is done.
    pub(super) fn run(&self, mut root: Option<&mut dyn Root>) -> bool {
        let root_wakeup = root.as_ref().map(|root| root.wakeup());
        let is_root_woken = || root_wakeup.as_ref().is_some_and(|wakeup| wakeup.is_woken());
        let local = local_tasks();
        let is_spare = self.is_spare();
        loop {
            if self.shared.is_shut_down() || is_spare && self.shared.may_retire() {
                return false;
            }
            if is_root_woken()
                && root.as_mut().is_some_and(|root| root.poll_if_woken(&self.remote().watch))
            {
                return true;
            }
            let mut again = None;
            let taken = self.take(local.as_deref());
            if let Some(runnable) = taken.or_else(|| self.spin(local.as_deref(), is_root_woken)) {
                again = self.poll(runnable);
            } else if !is_root_woken() {
                self.park();
            }
            self.look_if_due();
            // A task that woke itself comes after what was found just now: one that takes long in
            // each poll is behind those that it kept waiting.
            if let Some(runnable) = again {
                self.push_last(runnable);
            }
        }
    }

    /// The next runnable from here or from elsewhere.
    #[inline]
    pub(super) fn take(&self, local: Option<&LocalTasks>) -> Option<Runnable> {
        if let Some(runnable) = self.take_own(local) {
            return Some(runnable);
        }
        if let Some(runnable) = self.take_injected() {
            return Some(runnable);
        }
        self.steal()
    }

    /// Takes a batch from the injector to the queue, and one of it. A peer that went to sleep
    /// meanwhile saw neither, so it may have to be woken for the rest.
    pub(super) fn take_injected(&self) -> Option<Runnable> {
        let runnable = self.shared.injector.pop_into(&self.queue)?;
        if !self.queue.is_empty() {
            self.shared.notify();
        }
        Some(runnable)
    }

    #[inline(always)]
    fn take_own(&self, local: Option<&LocalTasks>) -> Option<Runnable> {
        let in_a_row = self.next_in_a_row.get();
        if in_a_row < MAX_NEXT_IN_A_ROW {
            if let Some(runnable) = self.take_next() {
                self.next_in_a_row.set(in_a_row + 1);
                return Some(runnable);
            }
        }
        self.next_in_a_row.set(0);
        let found = match local.filter(|tasks| tasks.may_have_work()) {
            None => self.queue.pop(),
            // Tasks that may not leave this thread take turns with those that may.
            Some(local) if self.is_local_turn.replace(!self.is_local_turn.get()) => {
                self.queue.pop().or_else(|| local.take())
            }
            Some(local) => local.take().or_else(|| self.queue.pop()),
        };
        found.or_else(|| self.take_next())
    }

    #[inline]
    fn take_next(&self) -> Option<Runnable> {
        if self.has_peers {
            return self.remote().next.take();
        }
        let next = self.next.take();
        if next.is_some() {
            self.remote().has_next.store(false, Ordering::Relaxed);
        }
        next
    }

    #[inline]
    fn replace_next(&self, runnable: Runnable) -> Option<Runnable> {
        if self.has_peers {
            return self.remote().next.replace(runnable);
        }
        self.remote().has_next.store(true, Ordering::Relaxed);
        self.next.replace(Some(runnable))
    }

    /// Takes half of the queue of another worker, beginning at a random one.
    fn steal(&self) -> Option<Runnable> {
        let remotes = self.shared.remotes_in_use();
        let workers = remotes.len();
        if workers == 1 {
            return None;
        }
        if !self.is_searching.get() {
            if !self.shared.idle.begin_search() {
                return None;
            }
            self.is_searching.set(true);
        }
        let start = self.next_random() as usize % workers;
        for offset in 0..workers {
            let victim = (start + offset) % workers;
            if victim == self.index {
                continue;
            }
            if let Some(runnable) = remotes[victim].stealer.steal_into(&self.queue) {
                add(&self.remote().metrics.steals, 1);
                return Some(runnable);
            }
        }
        self.shared.injector.pop_into(&self.queue)
    }

    /// Polls a task. If it woke itself, what is returned is for the caller to queue.
    fn poll(&self, runnable: Runnable) -> Option<Runnable> {
        self.stop_searching();
        let watch = &self.remote().watch;
        if runnable.header().is_suspect() {
            self.prepare_for_slow_poll();
        }
        // A task contains its own panics. Should anything else in there panic, such as a hook, one
        // task is lost, but not the worker.
        let mut again = None;
        contain(|| again = coop::with_budget(|| runnable.run(watch)));
        if watch.last_was_slow() {
            // However many polls were to pass before the next look: now.
            self.polls_per_reading.set(1);
            self.polls_left.set(0);
        }
        again
    }

    /// The next poll may take long: see to it that the others can do without this worker. This is
    /// what the monitor would do some milliseconds later.
    #[cold]
    fn prepare_for_slow_poll(&self) {
        self.polls_per_reading.set(1);
        self.polls_left.set(0);
        if let Some(next) = self.take_next() {
            self.queue.push(next);
        }
        if !self.queue.is_empty() || !self.shared.is_polled() {
            self.shared.notify();
        }
    }

    /// Work was found, or is not wanted. If nobody else looks for more and there is more, somebody should.
    pub(super) fn stop_searching(&self) {
        if self.is_searching.replace(false)
            && self.shared.idle.end_search()
            && self.shared.has_visible_work()
        {
            self.shared.notify();
        }
    }

    /// Queues a runnable of this worker that was spawned or woken here.
    ///
    /// It goes to the `next` slot: it likely shares data with the task that woke it, and runs right
    /// after it. What was in the slot moves to the queue, where others see it; only then is there
    /// more work than this worker is about to do, and a peer is woken.
    #[inline]
    pub(super) fn push(&self, runnable: Runnable) {
        if self.turn.get() != Turn::Next {
            return self.push_in_turn(runnable);
        }
        if !self.has_peers {
            if let Some(previous) = self.replace_next(runnable) {
                self.queue.push(previous);
            }
            return;
        }
        if self.remote().is_in_place() {
            // Without a look at whether the runtime has ended: this worker has not left yet.
            return self.shared.push_injected(runnable);
        }
        match self.replace_next(runnable) {
            None if self.queue.is_empty() => {}
            None => self.shared.notify(),
            Some(previous) => {
                self.queue.push(previous);
                self.shared.notify();
            }
        }
    }

    /// Apart, so that the usual way is short.
    #[inline(never)]
    fn push_in_turn(&self, runnable: Runnable) {
        match self.turn.get() {
            _ if self.remote().is_in_place() => self.shared.push_injected(runnable),
            Turn::Last => self.push_last(runnable),
            Turn::Batch | Turn::Next => self.queue.push(runnable),
        }
    }

    /// Wakes who waits for the end of a task, to run behind those in the queue: who waits for many is
    /// woken once for those that end meanwhile, and not by each.
    pub(super) fn wake_last(&self, wake: impl FnOnce()) {
        if self.queue.is_empty() {
            // The slot is as good: at most the one that is in it now comes later.
            return wake();
        }
        let turn = self.turn.replace(Turn::Last);
        contain(wake);
        self.turn.set(turn);
    }

    /// Wakes what a look at I/O and timers has found. It is queued in that order, and one peer is
    /// notified in the end: none of it shares data with a task that ran here.
    pub(super) fn wake_batch(&self, wakers: &mut Vec<Waker>) {
        if wakers.is_empty() {
            return;
        }
        self.turn.set(Turn::Batch);
        wake_all(wakers);
        self.turn.set(Turn::Next);
        if self.has_peers && self.shared.queued(self.index) > 1 {
            self.shared.notify();
        }
    }

    /// Queues a runnable behind all others.
    #[inline(always)]
    fn push_last(&self, runnable: Runnable) {
        if !self.has_peers {
            return self.queue.push(runnable);
        }
        let is_more = !self.queue.is_empty() || !self.remote().next.is_empty();
        self.queue.push(runnable);
        if is_more {
            self.shared.notify();
        }
    }

    /// Drops the tasks of this worker, which has left its loop because the runtime ends.
    pub(crate) fn shut_down(&self) {
        self.shared.shut_down_tasks();
        while let Some(runnable) = self.take_next().or_else(|| self.queue.pop()) {
            drop(runnable);
        }
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.shared.remotes[self.index]
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): good enough for where to steal first.
    fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
