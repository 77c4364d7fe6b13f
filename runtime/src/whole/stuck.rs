//! Workers that block, and the others, the monitor and the spare ones, which do their work.

use super::{Flag, assert_nothing_is_left, build, builder, end, explore, work_stealing};
use crate::Runtime;
use crate::task::{block_in_place, yield_now};

/// Every worker blocks, in a call of `block`, until a task has run that it had queued.
fn all_block(runtime: Runtime, workers: usize, block: fn(&Flag)) {
    let spawn = |_| {
        runtime.spawn(async move {
            let flag = Flag::new();
            let sets = flag.clone();
            crate::spawn(async move {
                yield_now().await;
                sets.set();
            });
            block(&flag);
        })
    };
    let joins: Vec<_> = (0..workers).map(spawn).collect();
    runtime.block_on(async {
        for join in joins {
            join.await.expect("nobody cancels it");
        }
    });
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn what_a_worker_in_place_has_queued_is_run_by_others() {
    explore(&[2, 3], |workers| {
        all_block(work_stealing(workers), workers, |flag| block_in_place(|| flag.wait()));
    });
}

#[test]
fn what_a_stuck_worker_has_queued_is_run_by_others() {
    explore(&[2, 3], |workers| {
        let runtime = build(builder(workers).spare_workers(8 - 2 * workers));
        all_block(runtime, workers, Flag::wait);
    });
}
