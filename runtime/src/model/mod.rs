//! Loom models of the protocols in this crate. Those of whole runtimes are in `whole`.
//!
//! Run with `RUSTFLAGS="--cfg windlass_loom" cargo test --profile model -p windlass --lib model`. Each was
//! seen to fail with its protocol broken; `docs/src/testing.md` says how it was broken.

mod blocking;
mod monitor;
mod scheduler;
mod task;

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use loom::thread;

use crate::builder::Config;
use crate::park::{Parker, Poller};
use crate::scheduler::{Scheduler, Shared, Worker};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, UnsafeCell, wait_for};
use crate::task::{
    Birth, Header, Heap, Id, JoinHandle, OwnedTasks, Runnable, Schedule, Watch, new_task,
};

/// A scheduler that is one locked queue.
#[derive(Clone)]
pub(crate) struct Queue(Arc<QueueState>);

pub(crate) struct QueueState {
    runnables: Mutex<VecDeque<Runnable>>,
    owned: OwnedTasks<Queue>,
}

impl Queue {
    pub(crate) fn new() -> Queue {
        let runnables = Mutex::new(VecDeque::new());
        Queue(Arc::new(QueueState { runnables, owned: OwnedTasks::new() }))
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.spawn_in(None, future)
    }

    fn spawn_in<F>(&self, heap: Option<&Heap<Queue>>, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
    {
        let birth = Birth { id: Id::next(), spawned_at: Location::caller(), is_named: false };
        let (runnable, join) = new_task(future, self, heap, birth);
        Queue::schedule(self.clone(), runnable);
        join
    }

    /// Runs one runnable. The lock is not held while it runs.
    fn run_one(&self) -> bool {
        let runnable = self.0.runnables.lock().pop_front();
        match runnable {
            Some(runnable) => {
                run(runnable);
                true
            }
            None => false,
        }
    }

    fn run_all(&self) {
        while self.run_one() {}
    }

    /// Nothing else holds on to the queue.
    pub(crate) fn assert_alone(&self) {
        assert_eq!(Arc::strong_count(&self.0), 1, "a page was left");
    }

    /// Ends the reference cycle through the tasks that are left.
    fn close(&self) {
        self.0.owned.close_and_shut_down();
        let left = std::mem::take(&mut *self.0.runnables.lock());
        drop(left);
    }
}

/// Polls a task, which queues itself again if it was woken meanwhile.
fn run(runnable: Runnable) {
    let again = runnable.run(&Watch::new());
    assert!(again.is_none(), "the default of `Schedule::again`");
}

impl Schedule for Queue {
    type Home = Box<Heap<Queue>>;
    type Place = Queue;

    fn place(&self) -> Queue {
        self.clone()
    }

    fn schedule(place: Queue, runnable: Runnable) {
        place.0.runnables.lock().push_back(runnable);
    }

    fn owned(&self) -> Option<&OwnedTasks<Queue>> {
        Some(&self.0.owned)
    }

    fn home(&self) -> Option<Box<Heap<Queue>>> {
        None
    }

    fn forget_name(&self, _task: &Header) {}

    fn is_shut_down(&self) -> bool {
        false
    }

    fn unhandled_panic(&self, _task: &Header, _payload: &(dyn Any + Send)) {}
}

/// Counts its drops; each model ends with one.
struct CountDrop(Arc<AtomicUsize>);

impl CountDrop {
    fn new() -> (CountDrop, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        (CountDrop(drops.clone()), drops)
    }
}

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ready when all flags are set; leaves its waker for the threads that set them.
struct WaitForFlags {
    flags: Arc<[AtomicBool; 2]>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Future for WaitForFlags {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut waker = self.waker.lock();
        if waker.is_none() {
            *waker = Some(cx.waker().clone());
        }
        drop(waker);
        // Relaxed on purpose: the wake-up itself must publish the flag, also one that finds the
        // task notified by somebody else already.
        match self.flags.iter().all(|flag| flag.load(Ordering::Relaxed)) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Polls on this thread, which parks in between.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Parker);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let parker = Arc::new(Unpark(Parker::new(None)));
    let waker = Waker::from(parker.clone());
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        parker.0.park(&|_| None, &mut Vec::new());
    }
}

/// A poller without events, whose unpark is a token.
struct FakePoller {
    is_held: AtomicBool,
    token: Mutex<bool>,
    wakeup: Condvar,
}

impl FakePoller {
    fn new() -> FakePoller {
        let is_held = AtomicBool::new(false);
        FakePoller { is_held, token: Mutex::new(false), wakeup: Condvar::new() }
    }
}

impl Poller for FakePoller {
    fn try_turn(
        &self,
        arm: &mut dyn FnMut() -> bool,
        _timeout: &dyn Fn() -> Option<std::time::Duration>,
        _wakers: &mut Vec<Waker>,
    ) -> bool {
        if self.is_held.swap(true, Ordering::Acquire) {
            return false;
        }
        if arm() {
            let mut token = self.token.lock();
            while !*token {
                wait_for(&self.wakeup, &mut token, None);
            }
            *token = false;
        }
        self.is_held.store(false, Ordering::Release);
        true
    }

    fn unpark(&self) {
        *self.token.lock() = true;
        self.wakeup.notify_one();
    }

    fn shut_down(&self, _wakers: &mut Vec<Waker>) {}
}

/// A runtime with one worker, whose threads the model plays.
fn runtime_without_threads(
    scheduler: Scheduler,
    blocking_keep_alive: Duration,
) -> (Arc<Shared>, Worker) {
    let clock = timer::Clock::new();
    let driver = net::Driver::new(net::Hooks::none()).expect("the system has files for it");
    let config = Config::for_model(scheduler, blocking_keep_alive);
    let poller = Arc::new(FakePoller::new());
    let (shared, mut workers) = Shared::new(config, clock, driver.handle(), poller);
    (shared, workers.pop().expect("there is one"))
}

/// What queues and workers hold on to keeps the runtime for ever.
fn assert_nothing_is_left(shared: &Arc<Shared>) {
    assert_eq!(Arc::strong_count(shared), 1, "something was left in a queue");
}

/// The cell is not part of a protocol; it shows that loom sees unsynchronised access at all.
#[test]
#[should_panic]
fn loom_sees_a_race() {
    loom::model(|| {
        let cell = Arc::new(UnsafeCell::new(0));
        let other = cell.clone();
        let writes = thread::spawn(move || other.with_mut(|_| ()));
        cell.with_mut(|_| ());
        writes.join().expect("loom panics before");
    });
}
