//! The task word, its handles, and the list of tasks.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::thread;

use super::{CountDrop, Queue, WaitForFlags, block_on};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

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
