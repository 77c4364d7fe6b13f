//! Workers that block, and the others, the monitor and the spare ones, which do their work.

use super::{Flag, assert_nothing_is_left, build, builder, end, explore, work_stealing};
use crate::task::{block_in_place, yield_now};

/// Every worker blocks, with leave, until a task has run that it had queued.
fn in_place(workers: usize) {
    let runtime = work_stealing(workers);
    let block = |_| {
        runtime.spawn(async {
            let flag = Flag::new();
            let sets = flag.clone();
            crate::spawn(async move {
                yield_now().await;
                sets.set();
            });
            block_in_place(|| flag.wait());
        })
    };
    let joins: Vec<_> = (0..workers).map(block).collect();
    runtime.block_on(async {
        for join in joins {
            join.await.expect("nobody cancels it");
        }
    });
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn what_a_worker_in_place_has_queued_is_run_by_others() {
    explore(&[2, 3], in_place);
}

/// Every worker blocks, without leave, until a task has run that it had queued.
fn stuck(workers: usize) {
    let runtime = build(builder(workers).spare_workers(8 - 2 * workers));
    let block = |_| {
        runtime.spawn(async {
            let flag = Flag::new();
            let sets = flag.clone();
            crate::spawn(async move {
                yield_now().await;
                sets.set();
            });
            flag.wait();
        })
    };
    let joins: Vec<_> = (0..workers).map(block).collect();
    runtime.block_on(async {
        for join in joins {
            join.await.expect("nobody cancels it");
        }
    });
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn what_a_stuck_worker_has_queued_is_run_by_others() {
    explore(&[2, 3], stuck);
}
