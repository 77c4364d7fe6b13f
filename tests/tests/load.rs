//! A million timers at once, and a million tasks that are joined: all complete, and the runtime gives
//! their memory back while it lives.
//!
//! The tests take turns, because they count every byte of the process.

use std::alloc::System;
use std::future::Future;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use runtime::task::yield_now;
use runtime::time::{Instant, pause, resume, sleep_until, timeout};
use runtime::{JoinHandle, Runtime, Scheduler};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use windlass_tests::{collect_queues, memory_kib, named, runs_long, say, wait_until, watch};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MILLION: usize = 1_000_000;

/// What a runtime may keep: 2 MiB of blocks for the tasks to come, 256 KiB more in each thread that
/// has run tasks (two workers, as many spare ones, the thread in `block_on`), and half a byte for each
/// of a million.
const KEPT: isize = (2 << 20) + 5 * (256 << 10) + MILLION as isize / 2;

fn allocated() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs waves on one runtime, one after the other. What it keeps after each must be little beside the
/// hundreds of megabytes that it took.
#[track_caller]
fn run_waves<W: Future<Output = ()>>(mode: Scheduler, waves: usize, wave: impl Fn() -> W) {
    let make = || -> Runtime {
        // On a busy machine the spawning of a million tasks is stuck for a while, and so reported.
        let builder = named("load", mode).blocked_after(Duration::MAX);
        builder.build().expect("the system has threads and files for a runtime")
    };
    // What is made once per process, such as the collector of the queues, is made here.
    drop(make());
    let empty = allocated();
    let runtime = make();
    for number in 1..=waves {
        runtime.block_on(wave());
        wait_until(runtime.handle(), |metrics| metrics.live_tasks == 0);
        let kept = allocated() - empty;
        let resident = memory_kib(process::id(), "VmRSS");
        let most = memory_kib(process::id(), "VmHWM");
        say(&format!(
            "{mode}, wave {number}: {} KiB are kept, {resident} of {most} KiB are resident",
            kept / 1024
        ));
        assert!(kept < KEPT, "{mode}, wave {number}: {kept} bytes are kept");
    }
    drop(runtime);
    collect_queues();
    let left = allocated() - empty;
    assert!(left.abs() < MILLION as isize / 10, "{mode}: {left} bytes are left");
}

/// A million tasks sleep at the same time, until moments in an order that is not theirs; one in four
/// has a second timer, which is cancelled when the first has fired.
async fn million_timers() {
    let sleeping = Arc::new(AtomicUsize::new(0));
    let early = Arc::new(AtomicUsize::new(0));
    // The clock stands still until all of them sleep; then they fire in real time.
    pause();
    let first = Instant::now() + Duration::from_millis(100);
    let tasks: Vec<JoinHandle<()>> = (0..MILLION)
        .map(|number| {
            let (sleeping, early) = (sleeping.clone(), early.clone());
            let place = number.wrapping_mul(7919) % MILLION;
            let deadline = first + Duration::from_micros(place as u64);
            runtime::spawn(async move {
                sleeping.fetch_add(1, Ordering::Relaxed);
                if number % 4 == 0 {
                    let limit = Duration::from_secs(3600);
                    timeout(limit, sleep_until(deadline)).await.expect("that is much later");
                } else {
                    sleep_until(deadline).await;
                }
                early.fetch_add(usize::from(Instant::now() < deadline), Ordering::Relaxed);
            })
        })
        .collect();
    while sleeping.load(Ordering::Relaxed) < MILLION {
        yield_now().await;
    }
    assert!(!tasks.iter().any(JoinHandle::is_finished), "all sleep at once");
    resume();
    for task in tasks {
        task.await.expect("no panic");
    }
    assert_eq!(early.load(Ordering::Relaxed), 0, "a timer fired early");
}

async fn million_tasks() {
    let tasks: Vec<JoinHandle<usize>> = (0..MILLION)
        .map(|number| {
            runtime::spawn(async move {
                yield_now().await;
                number
            })
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("no panic");
    }
    assert_eq!(sum, MILLION * (MILLION - 1) / 2, "each was run once");
}

const MODES: [Scheduler; 2] = [Scheduler::SingleThreaded, Scheduler::WorkStealing];

#[test]
fn a_million_timers_at_once_all_fire_and_give_their_memory_back() {
    for mode in MODES {
        let _alone = alone();
        let _watchdog = watch();
        run_waves(mode, 1, million_timers);
    }
}

#[test]
fn a_million_tasks_at_once_all_end_and_give_their_memory_back() {
    for mode in MODES {
        let _alone = alone();
        let _watchdog = watch();
        run_waves(mode, 1, million_tasks);
    }
}

#[test]
fn tasks_use_the_memory_of_earlier_ones() {
    const TASKS: usize = 5000;
    for mode in MODES {
        let _alone = alone();
        let _watchdog = watch();
        let builder = named("load", mode).blocked_after(Duration::MAX);
        let runtime = builder.build().expect("the system has threads");
        // In vectors that are there already: what is allocated in between is for the tasks.
        let mut tasks: Vec<JoinHandle<usize>> = Vec::with_capacity(TASKS);
        let mut spawned = Vec::new();
        for _ in 0..3 {
            let before = ALLOCATOR.stats().allocations;
            tasks = runtime.block_on(async move {
                tasks.extend((0..TASKS).map(|number| runtime::spawn(async move { number })));
                for task in &mut tasks {
                    task.await.expect("no panic");
                }
                tasks.clear();
                tasks
            });
            wait_until(runtime.handle(), |metrics| metrics.live_tasks == 0);
            spawned.push(ALLOCATOR.stats().allocations - before);
        }
        // Some ten pages, and what the others allocate: more than no memory, and not one for each.
        let first = TASKS / 1000..TASKS / 10;
        assert!(first.contains(&spawned[0]), "{mode}: {spawned:?} allocations for {TASKS} each");
        assert!(spawned[2] < spawned[0], "{mode}: {spawned:?} allocations for {TASKS} each");
    }
}

#[test]
fn three_million_timers_and_as_many_tasks_in_turn_leave_no_more_than_one_million() {
    if !runs_long() {
        return;
    }
    for mode in MODES {
        let _alone = alone();
        let watchdog = watch();
        run_waves(mode, 3, million_timers);
        drop(watchdog);
        let _watchdog = watch();
        run_waves(mode, 3, million_tasks);
    }
}
