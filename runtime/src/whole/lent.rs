//! The worker of a single-threaded runtime, which threads in `block_on` lend each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shuttle::thread;

use super::{Drops, Flag, assert_nothing_is_left, end, explore, single_threaded};
use crate::task::yield_now;
use crate::time::{pause, sleep};

/// Several threads wait for tasks, of which only one of them at a time can run any.
fn threads_take_turns(threads: usize) {
    let runtime = single_threaded();
    let drops = Drops::new();
    let wait = |_| {
        let (handle, token) = (runtime.handle().clone(), drops.token());
        thread::spawn(move || {
            let join = handle.spawn(async move {
                let _token = token;
                yield_now().await;
            });
            handle.block_on(join).expect("nobody cancels it");
        })
    };
    let threads: Vec<_> = (0..threads).map(wait).collect();
    runtime.block_on(yield_now());
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    drops.assert_all();
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn whoever_waits_gets_the_worker_when_it_is_free() {
    explore(&[1, 2], threads_take_turns);
}

/// Threads give the worker back while the runtime ends without waiting for that.
fn an_end_that_does_not_wait(threads: usize) {
    let runtime = single_threaded();
    let handle = runtime.handle().clone();
    let drops = Drops::new();
    let wait = |_| {
        let (handle, token) = (handle.clone(), drops.token());
        thread::spawn(move || {
            let join = handle.spawn(async move { drop(token) });
            if let Err(error) = handle.block_on(join) {
                assert!(error.is_shutdown(), "{error}");
            }
        })
    };
    let threads: Vec<_> = (0..threads).map(wait).collect();
    runtime.shutdown(Duration::ZERO);
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    // The monitor's, which the end has not waited for either.
    handle.shared().threads.join(None);
    drops.assert_all();
    assert_nothing_is_left(&handle);
}

#[test]
fn a_worker_that_comes_back_after_the_end_is_dropped() {
    explore(&[1, 2], an_end_that_does_not_wait);
}

/// A thread sleeps on a paused clock while the worker is handed on with a task that has yet to run: by
/// the one that spawned it, to others that wait for it, or to the one that sleeps.
fn a_paused_clock_against_hand_overs(others: usize) {
    let runtime = single_threaded();
    runtime.block_on(async { pause() });
    let (has_run, is_spawned) = (Arc::new(AtomicBool::new(false)), Flag::new());
    let sleeper = {
        let (handle, has_run) = (runtime.handle().clone(), has_run.clone());
        let is_spawned = is_spawned.clone();
        thread::spawn(move || {
            is_spawned.wait();
            handle.block_on(async {
                sleep(Duration::from_secs(3600)).await;
                assert!(has_run.load(Ordering::Relaxed), "the clock has jumped over a task");
            });
        })
    };
    let turn = |_| {
        let handle = runtime.handle().clone();
        thread::spawn(move || handle.block_on(yield_now()))
    };
    let others: Vec<_> = (0..others).map(turn).collect();
    runtime.block_on(async {
        drop(crate::spawn(async move { has_run.store(true, Ordering::Relaxed) }));
        is_spawned.set();
    });
    for thread in others.into_iter().chain([sleeper]) {
        thread.join().expect("it does not panic");
    }
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn a_paused_clock_does_not_jump_over_what_is_handed_on() {
    explore(&[0, 1], a_paused_clock_against_hand_overs);
}
