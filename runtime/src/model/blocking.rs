//! The blocking pool: calls against threads that wait or leave, and against the end.

use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{CountDrop, assert_nothing_is_left, block_on, runtime_without_threads};
use crate::scheduler::{Scheduler, Shared};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::JoinHandle;

fn call(shared: &Arc<Shared>) -> (JoinHandle<CountDrop>, Arc<AtomicUsize>) {
    let (counter, drops) = CountDrop::new();
    let join = shared.spawn_blocking(move || counter, None, Location::caller());
    (join.expect("a model has threads"), drops)
}

/// Two calls, from two threads, for a pool that may have one thread.
fn two_calls(keep_alive: Duration) {
    loom::model(move || {
        let (shared, worker) = runtime_without_threads(Scheduler::WorkStealing, keep_alive);
        drop(worker);
        let other = shared.clone();
        let calls = thread::spawn(move || {
            // A call that no thread comes for is a deadlock, which loom reports.
            let (join, drops) = call(&other);
            drop(block_on(join).expect("it was not cancelled"));
            assert_eq!(drops.load(Ordering::Relaxed), 1);
        });
        let (join, drops) = call(&shared);
        drop(block_on(join).expect("it was not cancelled"));
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        calls.join().expect("the caller does not panic");
        shared.blocking.shut_down();
        shared.blocking.wait(None);
        shared.finish_shutdown();
        assert_nothing_is_left(&shared);
    });
}

#[test]
fn calls_against_a_thread_that_waits() {
    two_calls(Duration::MAX);
}

#[test]
fn calls_against_a_thread_that_leaves() {
    two_calls(Duration::ZERO);
}

#[test]
fn a_call_against_the_end_of_the_pool() {
    loom::model(|| {
        let (shared, worker) = runtime_without_threads(Scheduler::WorkStealing, Duration::MAX);
        drop(worker);
        let (counter, drops) = CountDrop::new();
        let is_over = Arc::new(AtomicBool::new(false));
        let (other, seen) = (shared.clone(), is_over.clone());
        let calls = thread::spawn(move || {
            let call = move || {
                let _counter = counter;
                assert!(!seen.load(Ordering::SeqCst), "a call runs after the end");
            };
            other.spawn_blocking(call, None, Location::caller()).expect("a model has threads")
        });
        shared.blocking.shut_down();
        shared.blocking.wait(None);
        is_over.store(true, Ordering::SeqCst);
        let join = calls.join().expect("the caller does not panic");
        assert!(join.is_finished(), "a call waits for ever");
        if let Err(error) = block_on(join) {
            assert!(error.is_cancelled(), "{error}");
        }
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        shared.finish_shutdown();
        assert_nothing_is_left(&shared);
    });
}
