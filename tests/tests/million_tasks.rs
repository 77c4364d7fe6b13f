//! A program that spawns a million tasks, sleeps in 100,000 of them, and is shut down in the middle,
//! frees everything.
//!
//! The one test here has the process for itself, because it counts every byte.

use std::alloc::System;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use runtime::task::yield_now;
use runtime::time::sleep;
use runtime::{Builder, Runtime, Scheduler};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use windlass_tests::{DropCount, collect_queues, say, watch};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: usize = 1_000_000;
const SLEEPS: usize = 100_000;
/// How many of the others complete; the rest wait for ever.
const SHORT: usize = 600_000;
/// How many of those must have completed before the shutdown.
const MIDDLE: usize = 300_000;

fn allocated() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// Spawns the tasks, ends the runtime in the middle, and checks that no future was forgotten.
fn spawn_and_shut_down(runtime: Runtime) {
    let handle = runtime.handle().clone();
    let drops = DropCount::new();
    let begun = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        for _ in 0..SLEEPS {
            let (token, begun) = (drops.token(), begun.clone());
            runtime::spawn(async move {
                let _token = token;
                begun.fetch_add(1, Ordering::Relaxed);
                sleep(Duration::from_secs(3600)).await;
            });
        }
        while begun.load(Ordering::Relaxed) < SLEEPS {
            yield_now().await;
        }
        for task in 0..TASKS - SLEEPS {
            let (token, done) = (drops.token(), done.clone());
            runtime::spawn(async move {
                let _token = token;
                if task >= SHORT {
                    pending::<()>().await;
                }
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
        while done.load(Ordering::Relaxed) < MIDDLE {
            yield_now().await;
        }
    });
    runtime.shutdown(Duration::MAX);
    assert_eq!(drops.get(), TASKS, "every future is dropped, once");
    assert_eq!(handle.metrics().live_tasks, 0);
    assert!(done.load(Ordering::Relaxed) <= SHORT);
}

#[test]
fn a_million_tasks_that_are_shut_down_in_the_middle_are_freed() {
    let _watchdog = watch();
    // What is made once per process, such as the collector of the queues, is made here.
    let make = |mode| {
        // The names of functions, for the report of a poll that spawns so many, stay in memory.
        let builder = Builder::new().scheduler(mode).blocked_after(Duration::MAX);
        let builder = if mode == Scheduler::WorkStealing { builder.workers(2) } else { builder };
        builder.build().expect("the system has threads")
    };
    let modes = [Scheduler::SingleThreaded, Scheduler::WorkStealing];
    for mode in modes {
        drop(make(mode));
    }
    for mode in modes {
        let before = allocated();
        spawn_and_shut_down(make(mode));
        collect_queues();
        let left = allocated() - before;
        say(&format!("{left} bytes are left of {TASKS} tasks"));
        assert!(left.abs() < TASKS as isize / 10, "{left} bytes are left");
    }
}
