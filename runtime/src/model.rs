//! Loom models of the protocols in this crate.
//!
//! Run with `RUSTFLAGS="--cfg windlass_loom" cargo test --profile model -p windlass --lib model`. Each was
//! seen to fail with its protocol broken; `docs/src/testing.md` says how it was broken.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread;

use crate::monitor::Monitor;
use crate::park::{Parker, Poller};
use crate::scheduler::Idle;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, UnsafeCell, wait_for};
use crate::task::{
    Birth, Header, Id, JoinHandle, OwnedTasks, Runnable, Schedule, Slot, TaskRef, Watch, new_task,
};

/// A scheduler that is one locked queue.
#[derive(Clone)]
struct Queue(Arc<QueueState>);

struct QueueState {
    runnables: Mutex<VecDeque<Runnable>>,
    owned: OwnedTasks,
}

impl Queue {
    fn new() -> Queue {
        let runnables = Mutex::new(VecDeque::new());
        Queue(Arc::new(QueueState { runnables, owned: OwnedTasks::new(1) }))
    }

    fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let birth =
            Birth { id: Id::next(), spawned_at: Location::caller(), shard: 0, is_named: false };
        let (task, runnable, join) = new_task(future, self.clone(), birth);
        match self.0.owned.bind(task) {
            Ok(()) => Queue::schedule(self.clone(), runnable),
            Err(refused) => refused.shut_down(),
        }
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

    /// Ends the reference cycle through the tasks that are left.
    fn close(&self) {
        self.0.owned.close_and_shut_down(0);
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
    type Place = Queue;

    fn place(&self) -> Queue {
        self.clone()
    }

    fn schedule(place: Queue, runnable: Runnable) {
        place.0.runnables.lock().push_back(runnable);
    }

    fn release(&self, task: &TaskRef) -> Option<TaskRef> {
        self.0.owned.remove(task)
    }

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

#[test]
fn wake_against_poll() {
    loom::model(|| {
        let queue = Queue::new();
        let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let slot = Arc::new(Mutex::new(None));
        let join = queue.spawn(WaitForFlags { flags: flags.clone(), waker: slot.clone() });
        queue.run_one();
        let waker = slot.lock().clone().expect("the first poll has left it");
        let wakers = [waker.clone(), waker];
        let threads: Vec<_> = wakers
            .into_iter()
            .enumerate()
            .map(|(index, waker)| {
                let flags = flags.clone();
                thread::spawn(move || {
                    flags[index].store(true, Ordering::Relaxed);
                    match index {
                        0 => waker.wake(),
                        _ => waker.wake_by_ref(),
                    }
                })
            })
            .collect();
        queue.run_one();
        for thread in threads {
            thread.join().expect("a waking thread does not panic");
        }
        queue.run_all();
        assert!(join.is_finished(), "a wake-up was lost");
        drop(slot.lock().take());
        queue.close();
    });
}

#[test]
fn abort_against_complete() {
    loom::model(|| {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        let join = queue.spawn(async move { counter });
        let abort = join.abort_handle();
        let runner = queue.clone();
        let runs = thread::spawn(move || runner.run_all());
        let aborts = thread::spawn(move || abort.abort());
        runs.join().expect("the runner does not panic");
        aborts.join().expect("the aborter does not panic");
        queue.run_all();
        match block_on(join) {
            Ok(output) => drop(output),
            Err(error) => assert!(error.is_cancelled()),
        }
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        queue.close();
    });
}

#[test]
fn join_against_complete() {
    loom::model(|| {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        let join = queue.spawn(async move { counter });
        let runner = queue.clone();
        let runs = thread::spawn(move || runner.run_all());
        let output = block_on(join);
        drop(output.expect("the task was not cancelled"));
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        runs.join().expect("the runner does not panic");
        queue.close();
    });
}

#[test]
fn dropping_the_join_handle_against_complete() {
    loom::model(|| {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        let mut join = queue.spawn(async move { counter });
        // With a waker in its slot, so that its owner matters too.
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut join).poll(&mut cx).is_pending());
        let runner = queue.clone();
        let runs = thread::spawn(move || runner.run_all());
        drop(join);
        runs.join().expect("the runner does not panic");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        queue.close();
    });
}

#[test]
fn shutdown_against_run_and_wake() {
    loom::model(|| {
        let queue = Queue::new();
        let flags = Arc::new([AtomicBool::new(true), AtomicBool::new(false)]);
        let slot = Arc::new(Mutex::new(None));
        let (counter, drops) = CountDrop::new();
        let wait = WaitForFlags { flags: flags.clone(), waker: slot.clone() };
        let join = queue.spawn(async move {
            let _counter = counter;
            wait.await;
        });
        queue.run_one();
        let waker = slot.lock().take().expect("the first poll has left it");
        let wakes = thread::spawn(move || {
            flags[1].store(true, Ordering::Relaxed);
            waker.wake();
        });
        let runner = queue.clone();
        let runs = thread::spawn(move || runner.run_all());
        queue.0.owned.close_and_shut_down(0);
        wakes.join().expect("the waker does not panic");
        runs.join().expect("the runner does not panic");
        queue.run_all();
        assert!(join.is_finished());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slot.lock().take());
        queue.close();
    });
}

#[test]
fn spawn_against_shutdown() {
    loom::model(|| {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        let spawner = queue.clone();
        let spawns = thread::spawn(move || {
            spawner.spawn(async move {
                let _counter = counter;
                std::future::pending::<()>().await;
            })
        });
        queue.0.owned.close_and_shut_down(0);
        let join = spawns.join().expect("the spawner does not panic");
        assert!(join.is_finished(), "a task slipped into a closed list");
        queue.close();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn taking_the_next_slot_against_replacing_it() {
    loom::model(|| {
        let queue = Queue::new();
        let slot = Arc::new(Slot::new());
        let joins = [queue.spawn(async {}), queue.spawn(async {})];
        let mut runnables = std::mem::take(&mut *queue.0.runnables.lock());
        let first = runnables.pop_front().expect("spawned above");
        let second = runnables.pop_front().expect("spawned above");
        assert!(slot.replace(first).is_none());
        let thief = slot.clone();
        let steals = thread::spawn(move || match thief.take() {
            Some(runnable) => run(runnable),
            None => {}
        });
        if let Some(previous) = slot.replace(second) {
            run(previous);
        }
        steals.join().expect("the thief does not panic");
        if let Some(left) = slot.take() {
            run(left);
        }
        assert!(joins.iter().all(JoinHandle::is_finished));
        queue.close();
    });
}

/// A poller without events, whose unpark is a token.
struct FakePoller {
    holder: Mutex<()>,
    token: Mutex<bool>,
    wakeup: Condvar,
}

impl FakePoller {
    fn new() -> FakePoller {
        FakePoller { holder: Mutex::new(()), token: Mutex::new(false), wakeup: Condvar::new() }
    }
}

impl Poller for FakePoller {
    fn try_turn(
        &self,
        arm: &mut dyn FnMut() -> bool,
        _timeout: &dyn Fn() -> Option<std::time::Duration>,
        _wakers: &mut Vec<Waker>,
    ) -> bool {
        let _holder = self.holder.lock();
        if arm() {
            let mut token = self.token.lock();
            while !*token {
                wait_for(&self.wakeup, &mut token, None);
            }
            *token = false;
        }
        true
    }

    fn unpark(&self) {
        *self.token.lock() = true;
        self.wakeup.notify_one();
    }

    fn shut_down(&self, _wakers: &mut Vec<Waker>) {}
}

fn park_against_unpark(poller: Option<Arc<dyn Poller>>) {
    let parker = Arc::new(Parker::new(poller));
    let data = Arc::new(AtomicBool::new(false));
    let (other, flag) = (parker.clone(), data.clone());
    let unparks = thread::spawn(move || {
        flag.store(true, Ordering::Relaxed);
        other.unpark();
    });
    // A lost unpark is a deadlock, which loom reports.
    while !data.load(Ordering::Relaxed) {
        parker.park(&|_| None, &mut Vec::new());
    }
    unparks.join().expect("the unparking thread does not panic");
}

#[test]
fn park_on_the_condvar_against_unpark() {
    loom::model(|| park_against_unpark(None));
}

#[test]
fn park_in_the_poller_against_unpark() {
    loom::model(|| park_against_unpark(Some(Arc::new(FakePoller::new()))));
}

/// The loop of a worker around `Idle`, with a counter for a queue.
struct Workers {
    idle: Idle,
    /// How many pieces of work are queued. Relaxed, as weak as a queue may be about emptiness.
    queued: AtomicUsize,
    done: AtomicUsize,
    parkers: [Parker; 2],
}

impl Workers {
    fn push(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.notify();
    }

    fn notify(&self) {
        if let Some(worker) = self.idle.worker_to_notify() {
            self.parkers[worker].unpark();
        }
    }

    fn finish_one(&self, count: usize) {
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == count {
            for parker in &self.parkers {
                parker.unpark();
            }
        }
    }

    fn take(&self) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        queued > 0
            && self
                .queued
                .compare_exchange(queued, queued - 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Works until `count` pieces are done by all workers together.
    fn run(&self, worker: usize, count: usize) {
        let mut is_searching = self.idle.unpark(worker);
        while self.done.load(Ordering::Acquire) < count {
            is_searching = is_searching || self.idle.begin_search();
            if is_searching && self.take() {
                if self.idle.end_search() && self.queued.load(Ordering::Relaxed) > 0 {
                    self.notify();
                }
                is_searching = false;
                self.finish_one(count);
                continue;
            }
            let must_look = self.idle.park(worker, is_searching);
            if !(must_look && self.queued.load(Ordering::Relaxed) > 0) {
                self.parkers[worker].park(&|_| None, &mut Vec::new());
            }
            is_searching = self.idle.unpark(worker);
        }
        self.idle.park(worker, is_searching);
    }
}

fn a_push_against_going_idle(workers: usize, pushes: usize) {
    let shared = Arc::new(Workers {
        idle: Idle::new(workers),
        queued: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        parkers: [Parker::new(None), Parker::new(None)],
    });
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let shared = shared.clone();
            thread::spawn(move || shared.run(worker, pushes))
        })
        .collect();
    for _ in 0..pushes {
        shared.push();
    }
    for thread in threads {
        thread.join().expect("a worker does not panic");
    }
    assert_eq!(shared.done.load(Ordering::Relaxed), pushes);
    shared.idle.assert_consistent(workers);
}

#[test]
fn a_push_against_one_worker_going_idle() {
    loom::model(|| a_push_against_going_idle(1, 2));
}

#[test]
fn a_push_against_two_workers_going_idle() {
    loom::model(|| a_push_against_going_idle(2, 1));
}

impl Workers {
    /// A spare worker that was enlisted: works as long as it finds something, then retires.
    fn run_spare(&self, count: usize) {
        let mut is_searching = self.idle.begin_search();
        while is_searching && self.take() {
            if self.idle.end_search() && self.queued.load(Ordering::Relaxed) > 0 {
                self.notify();
            }
            self.finish_one(count);
            is_searching = self.idle.begin_search();
        }
        if self.idle.retire(is_searching) && self.queued.load(Ordering::Relaxed) > 0 {
            self.notify();
        }
    }
}

#[test]
fn a_spare_worker_retiring_against_new_work() {
    loom::model(|| {
        let shared = Arc::new(Workers {
            idle: Idle::new(1),
            queued: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            parkers: [Parker::new(None), Parker::new(None)],
        });
        shared.idle.enlist();
        let regular = shared.clone();
        let regular = thread::spawn(move || regular.run(0, 1));
        let spare = shared.clone();
        let spare = thread::spawn(move || spare.run_spare(1));
        shared.push();
        regular.join().expect("the regular worker does not panic");
        spare.join().expect("the spare worker does not panic");
        assert_eq!(shared.done.load(Ordering::Relaxed), 1);
        shared.idle.assert_consistent(1);
    });
}

#[test]
fn going_idle_against_the_monitor() {
    for workers in 1..=2 {
        loom::model(move || {
            let idle = Arc::new(Idle::new(workers));
            let monitor = Arc::new(Monitor::new());
            // The workers leave park, and are stuck for ever: nobody else will wake the monitor.
            let work = |index| {
                let (idle, monitor) = (idle.clone(), monitor.clone());
                thread::spawn(move || leave_park(&idle, &monitor, index))
            };
            let works: Vec<_> = (0..workers).map(work).collect();
            // A monitor that stays asleep is a deadlock, which loom reports.
            while idle.all_parked() {
                monitor.sleep_while(|| idle.all_parked());
            }
            for work in works {
                work.join().expect("the worker does not panic");
            }
        });
    }
}

#[test]
fn going_idle_against_a_worker_that_parks_and_is_stuck() {
    loom::model(|| {
        let idle = Arc::new(Idle::new(1));
        let monitor = Arc::new(Monitor::new());
        let is_stuck = Arc::new(AtomicUsize::new(0));
        let worker = {
            let (idle, monitor, is_stuck) = (idle.clone(), monitor.clone(), is_stuck.clone());
            thread::spawn(move || {
                leave_park(&idle, &monitor, 0);
                // It has been in a long poll, finds nothing, and then something on its last look.
                monitor.suspect(timer::real_now());
                idle.park(0, false);
                leave_park(&idle, &monitor, 0);
                is_stuck.store(1, Ordering::Release);
            })
        };
        while is_stuck.load(Ordering::Acquire) == 0 || idle.all_parked() {
            monitor.sleep_while(|| idle.all_parked());
            thread::yield_now();
        }
        worker.join().expect("the worker does not panic");
    });
}

/// As `Worker::is_running_again`, seen from a monitor that it cannot put off.
fn leave_park(idle: &Idle, monitor: &Monitor, worker: usize) {
    idle.unpark(worker);
    monitor.left_park(timer::real_now(), || false);
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
