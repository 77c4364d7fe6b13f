//! The task word, its handles, and the list of tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::thread;

use super::{CountDrop, Queue, WaitForFlags, block_on};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::Heap;

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

/// The waker of a task that waits for ever.
fn waker_of_a_task(queue: &Queue) -> Waker {
    let slot = Arc::new(Mutex::new(None));
    let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
    drop(queue.spawn(WaitForFlags { flags, waker: slot.clone() }));
    queue.run_one();
    slot.lock().take().expect("the first poll has left it")
}

/// The handle compares the waker that it has left while the other thread wakes it, and takes it back
/// where it has another.
fn polling_again_against_complete(waker: fn(&Queue) -> Waker) {
    loom::model(move || {
        let queue = Queue::new();
        let waker = waker(&queue);
        let (counter, drops) = CountDrop::new();
        let mut join = queue.spawn(async move { counter });
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut join).poll(&mut cx).is_pending());
        let runner = queue.clone();
        let runs = thread::spawn(move || runner.run_all());
        let polled = Pin::new(&mut join).poll(&mut cx).map(drop);
        runs.join().expect("the runner does not panic");
        drop(join);
        assert_eq!(drops.load(Ordering::Relaxed), 1, "polled: {polled:?}");
        queue.close();
        drop(waker);
    });
}

#[test]
fn polling_the_join_handle_again_against_complete() {
    polling_again_against_complete(waker_of_a_task);
}

#[test]
fn polling_the_join_handle_again_with_a_foreign_waker_against_complete() {
    polling_again_against_complete(|_| Waker::noop().clone());
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
        queue.0.owned.close_and_shut_down();
        wakes.join().expect("the waker does not panic");
        runs.join().expect("the runner does not panic");
        queue.run_all();
        assert!(join.is_finished());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slot.lock().take());
        queue.close();
    });
}

/// Wakes itself in its first poll, and leaves its waker; ready when the flag is set.
struct YieldOnce {
    has_yielded: bool,
    flag: Arc<AtomicBool>,
    waker: Arc<Mutex<Option<Waker>>>,
    _counter: CountDrop,
}

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.has_yielded, true) {
            *self.waker.lock() = Some(cx.waker().clone());
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Relaxed on purpose, as in `WaitForFlags`.
        if self.flag.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl YieldOnce {
    fn new() -> (YieldOnce, Arc<AtomicBool>, Arc<Mutex<Option<Waker>>>, Arc<AtomicUsize>) {
        let (flag, waker) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
        let (_counter, drops) = CountDrop::new();
        let future =
            YieldOnce { has_yielded: false, flag: flag.clone(), waker: waker.clone(), _counter };
        (future, flag, waker, drops)
    }
}

#[test]
fn a_task_that_wakes_itself_against_a_wake_up() {
    loom::model(|| {
        let queue = Queue::new();
        let (future, flag, slot, drops) = YieldOnce::new();
        let join = queue.spawn(future);
        queue.run_one();
        let waker = slot.lock().take().expect("the first poll has left it");
        let wakes = thread::spawn(move || {
            flag.store(true, Ordering::Relaxed);
            waker.wake();
        });
        queue.run_all();
        wakes.join().expect("the waking thread does not panic");
        queue.run_all();
        assert!(join.is_finished(), "a wake-up was lost");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        queue.close();
    });
}

#[test]
fn a_task_that_wakes_itself_against_an_abort() {
    loom::model(|| {
        let queue = Queue::new();
        let (future, _flag, slot, drops) = YieldOnce::new();
        let join = queue.spawn(future);
        let abort = join.abort_handle();
        let aborts = thread::spawn(move || abort.abort());
        queue.run_all();
        aborts.join().expect("the aborter does not panic");
        queue.run_all();
        assert!(join.is_finished(), "an abort was lost");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slot.lock().take());
        queue.close();
    });
}

#[test]
fn a_task_that_wakes_itself_against_the_end() {
    loom::model(|| {
        let queue = Queue::new();
        let (future, _flag, slot, drops) = YieldOnce::new();
        let join = queue.spawn(future);
        let runner = queue.clone();
        let runs = thread::spawn(move || {
            runner.run_one();
            runner.run_one();
        });
        queue.close();
        runs.join().expect("the runner does not panic");
        // The runner may have queued it after that.
        queue.close();
        assert!(join.is_finished(), "a task was left in a queue");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(slot.lock().take());
    });
}

/// Nothing but its runnable leads to the task before it is idle for the first time, unless the look for
/// tasks finds it.
fn becoming_idle_against_the_end(spawns_first: bool) {
    loom::model(move || {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        let waits = async move {
            let _counter = counter;
            std::future::pending::<()>().await;
        };
        let runner = queue.clone();
        let (mut waits, mut join) = (Some(waits), None);
        if spawns_first {
            join = waits.take().map(|waits| queue.spawn(waits));
        }
        let runs = thread::spawn(move || {
            let join = waits.map(|waits| runner.spawn(waits));
            runner.run_all();
            join
        });
        queue.close();
        let join = runs.join().expect("the runner does not panic").or(join);
        assert!(join.expect("it was spawned").is_finished(), "nobody has dropped the task");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn becoming_idle_for_the_first_time_against_the_end() {
    becoming_idle_against_the_end(true);
}

#[test]
fn being_spawned_and_becoming_idle_against_the_end() {
    becoming_idle_against_the_end(false);
}

/// Ready at once, or never.
async fn task(waits: bool, counter: Option<CountDrop>) {
    let _counter = counter;
    if waits {
        std::future::pending().await
    }
}

/// A page has two blocks: the tasks lie in two pages, of which one ends meanwhile, or is taken over.
#[test]
fn tasks_that_end_and_one_that_comes_against_the_look_for_tasks() {
    loom::model(|| {
        let queue = Queue::new();
        let (counter, drops) = CountDrop::new();
        drop(queue.spawn(task(true, Some(counter))));
        queue.run_one();
        (0..3).for_each(|_| drop(queue.spawn(task(false, None))));
        let runner = queue.clone();
        let runs = thread::spawn(move || {
            runner.run_one();
            let (counter, drops) = CountDrop::new();
            drop(runner.spawn(task(true, Some(counter))));
            runner.run_all();
            drops
        });
        queue.close();
        let others = runs.join().expect("the runner does not panic");
        queue.close();
        assert_eq!((drops.load(Ordering::Relaxed), others.load(Ordering::Relaxed)), (1, 1));
        queue.assert_alone();
    });
}

#[test]
fn heaps_that_come_and_go_against_the_look_for_tasks() {
    loom::model(|| {
        let queue = Queue::new();
        let heap = Heap::new(1);
        let (counter, drops) = CountDrop::new();
        drop(queue.spawn_in(Some(&heap), task(true, Some(counter))));
        drop(queue.spawn_in(Some(&heap), task(false, None)));
        let runner = queue.clone();
        let runs = thread::spawn(move || {
            runner.run_all();
            let heap = Heap::new(2);
            drop(runner.spawn_in(Some(&heap), task(true, None)));
            runner.run_all();
        });
        queue.close();
        drop(heap);
        runs.join().expect("the runner does not panic");
        queue.close();
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        queue.assert_alone();
    });
}
