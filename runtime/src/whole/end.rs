//! The end of a runtime, against those who still use it.

use std::future::pending;

use shuttle::thread;

use super::{Drops, Flag, SetOnDrop, assert_nothing_is_left, end, explore, work_stealing};
use crate::JoinError;
use crate::task::{block_in_place, yield_now};

fn assert_is_shutdown(error: &JoinError) {
    assert!(error.is_cancelled() && error.is_shutdown(), "{error}");
}

/// Two threads spawn while a third ends the runtime. Each task ends, or is dropped and says why.
fn spawns_against_the_end(workers: usize) {
    let runtime = work_stealing(workers);
    let drops = Drops::new();
    let spawn = || {
        let (handle, token) = (runtime.handle().clone(), drops.token());
        thread::spawn(move || {
            let join = handle.spawn(async move {
                let _token = token;
                yield_now().await;
            });
            if let Err(error) = handle.block_on(join) {
                assert_is_shutdown(&error);
            }
        })
    };
    let spawners = [spawn(), spawn()];
    let handle = runtime.handle().clone();
    // A task that is spawned at this moment may outlive it for as long as its spawner needs to see.
    drop(runtime);
    for spawner in spawners {
        spawner.join().expect("it does not panic");
    }
    drops.assert_all();
    assert_nothing_is_left(&handle);
}

#[test]
fn a_task_that_is_spawned_during_the_end_ends() {
    explore(&[2, 3], spawns_against_the_end);
}

/// Tasks spawn, wake and abort each other while their futures are dropped.
fn tasks_against_the_end(workers: usize) {
    let runtime = work_stealing(workers);
    let drops = Drops::new();
    let busy = |_| {
        let drops = drops.clone();
        let token = drops.token();
        runtime.spawn(async move {
            let _token = token;
            let token = drops.token();
            let child = crate::spawn(async move {
                let _token = token;
                pending::<()>().await;
            });
            yield_now().await;
            child.abort();
            child.await.expect_err("it was aborted, or the runtime has ended");
        })
    };
    let joins: Vec<_> = (0..2).map(busy).collect();
    let handle = end(runtime);
    drops.assert_all();
    for join in joins {
        assert!(join.is_finished(), "a task waits for ever");
        if let Err(error) = handle.block_on(join) {
            assert_is_shutdown(&error);
        }
    }
    assert_nothing_is_left(&handle);
}

#[test]
fn tasks_that_are_busy_with_each_other_end_with_the_runtime() {
    explore(&[2, 3], tasks_against_the_end);
}

/// A worker is stuck until a task is dropped that does nothing but yield, and so lies in a queue for
/// most of the time: in that worker's, perhaps, or on its way from there, if the worker is `in_place`.
fn a_stuck_worker_against_the_end(workers: usize, in_place: bool) {
    let runtime = work_stealing(workers);
    let drops = Drops::new();
    let dropped = Flag::new();
    let (token, guard) = (drops.token(), SetOnDrop(dropped.clone()));
    let yields = async move {
        let (_token, _guard) = (token, guard);
        // For ever, but a model must end also where nothing else gets to run.
        for _ in 0..20 {
            yield_now().await;
        }
    };
    let stuck = runtime.spawn(async move {
        drop(crate::spawn(yields));
        yield_now().await;
        match in_place {
            true => block_in_place(|| dropped.wait()),
            false => dropped.wait(),
        }
    });
    let handle = end(runtime);
    drops.assert_all();
    assert!(stuck.is_finished());
    drop(stuck);
    assert_nothing_is_left(&handle);
}

#[test]
fn a_task_that_a_stuck_worker_waits_for_is_dropped_wherever_it_is_queued() {
    explore(&[1, 2, 3], |workers| a_stuck_worker_against_the_end(workers, false));
}

#[test]
fn a_task_that_a_worker_in_place_waits_for_is_dropped_wherever_it_is_queued() {
    explore(&[1, 2, 3], |workers| a_stuck_worker_against_the_end(workers, true));
}
