//! Blocking calls, against those who give them up and against the end.

use std::time::Duration;

use shuttle::thread;

use super::{Drops, assert_nothing_is_left, build, builder, end, explore};
use crate::Builder;

/// Calls are made, joined and aborted. If `ends_first`, the runtime ends meanwhile.
fn calls(builder: Builder, ends_first: bool) {
    let runtime = build(builder);
    let drops = Drops::new();
    let call = |_| {
        let token = drops.token();
        runtime.spawn_blocking(move || drop(token))
    };
    let mut joins: Vec<_> = (0..3).map(call).collect();
    // The last one must run, whatever the threads do when it comes.
    let aborted = joins.remove(0);
    let other = {
        let (handle, token, abort) =
            (runtime.handle().clone(), drops.token(), aborted.abort_handle());
        thread::spawn(move || {
            abort.abort();
            handle.spawn_blocking(move || drop(token))
        })
    };
    let waits = runtime.spawn(async move {
        for join in joins {
            if let Err(error) = join.await {
                assert!(ends_first && error.is_shutdown(), "{error}");
            }
        }
    });
    if !ends_first {
        let late = other.join().expect("it does not panic");
        runtime.block_on(waits).expect("nobody cancels it");
        runtime.block_on(late).expect("nobody cancels it");
        let handle = end(runtime);
        assert!(aborted.is_finished(), "a call waits for ever");
        drop(aborted);
        drops.assert_all();
        return assert_nothing_is_left(&handle);
    }
    let handle = end(runtime);
    // Before that, each of them has run to its end or has been dropped.
    assert!(aborted.is_finished(), "a call waits for ever");
    let late = other.join().expect("it does not panic");
    assert!(late.is_finished(), "a call waits for ever");
    drops.assert_all();
    if let Err(error) = handle.block_on(aborted) {
        assert!(error.is_cancelled(), "{error}");
    }
    for join in [waits, late] {
        if let Err(error) = handle.block_on(join) {
            assert!(error.is_shutdown(), "{error}");
        }
    }
    assert_nothing_is_left(&handle);
}

#[test]
fn a_call_runs_or_is_dropped_once() {
    explore(&[2, 3], |workers| calls(builder(workers), false));
}

#[test]
fn a_call_runs_or_is_dropped_once_when_the_one_thread_leaves() {
    explore(&[2, 3], |workers| {
        let builder = builder(workers).max_blocking_threads(1);
        calls(builder.blocking_keep_alive(Duration::ZERO), false);
    });
}

#[test]
fn a_call_runs_or_is_dropped_once_when_the_runtime_ends() {
    explore(&[2, 3], |workers| calls(builder(workers), true));
}
