//! What the runtime counts of stuck tasks, and of everything else, is what has happened.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use runtime::task::{block_in_place, consume_budget, yield_now};
use runtime::time::sleep;
use runtime::{Builder, Metrics, Runtime, Scheduler};
use windlass_tests::{
    StuckTask, both_modes, named, single_threaded, wait_at, wait_until, watch, work_stealing,
};

/// Waits until all workers are asleep, so that their counters stand still.
fn at_rest(runtime: &Runtime, workers: usize) -> Metrics {
    wait_until(runtime.handle(), |metrics| metrics.parked_workers == workers);
    runtime.metrics()
}

#[test]
fn polls_are_counted_one_by_one() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let before = runtime.metrics().polls();
        let task = runtime.spawn(async {
            for _ in 0..99 {
                yield_now().await;
            }
        });
        runtime.block_on(task).expect("no panic");
        wait_until(runtime.handle(), |metrics| metrics.live_tasks == 0);
        assert_eq!(runtime.metrics().polls() - before, 100);
    });
}

#[test]
fn a_worker_that_goes_to_sleep_is_counted() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let before = runtime.metrics().parks();
        let task = runtime.spawn(async {
            for _ in 0..10 {
                sleep(Duration::from_millis(2)).await;
            }
        });
        runtime.block_on(task).expect("no panic");
        let parks = runtime.metrics().parks() - before;
        // At least once for each, unless a sleep was over before its worker was; at most a few
        // times for each, with two workers.
        assert!((5..200).contains(&parks), "{parks}");
    });
}

#[test]
fn steals_and_page_faults_are_the_workers_own() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let begun = runtime.metrics();
    let task = runtime.spawn(async {
        // Two that wait for each other: one of them is taken by the other worker.
        let both = Arc::new(Barrier::new(2));
        let [one, other] = [both.clone(), both].map(|both| {
            runtime::spawn(async move {
                both.wait();
                // Fresh pages, each touched once.
                let mut memory = vec![0_u8; 64 << 20];
                memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
                black_box(memory);
            })
        });
        one.await.expect("no panic");
        other.await.expect("no panic");
    });
    runtime.block_on(task).expect("no panic");
    let metrics = runtime.metrics();
    assert!(metrics.steals() > begun.steals());
    if cfg!(target_os = "linux") {
        for (before, now) in begun.workers.iter().zip(&metrics.workers) {
            // Huge pages would make it 32; these are far above what a worker needs by itself.
            assert!(now.minor_faults >= before.minor_faults + 32, "{metrics:?}");
            assert!(now.minor_faults < before.minor_faults + 200_000, "{metrics:?}");
            assert!(now.major_faults <= now.minor_faults, "{metrics:?}");
        }
    }
}

#[test]
fn forced_yields_are_counted_where_they_happen() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let forced = |metrics: &Metrics| -> u64 {
            metrics.workers.iter().map(|worker| worker.forced_yields).sum()
        };
        let before = forced(&runtime.metrics());
        // 128 fit into a poll, so that this takes ten forced yields.
        let task = runtime.spawn(async {
            for _ in 0..128 * 10 + 1 {
                consume_budget().await;
            }
        });
        runtime.block_on(task).expect("no panic");
        if runtime.handle().scheduler() == Scheduler::WorkStealing {
            // They are published when the worker looks around, sleeps or ends.
            wait_until(runtime.handle(), |metrics| forced(metrics) >= before + 10);
        }
        let counted = forced(&runtime.metrics()) - before;
        assert!((10..=11).contains(&counted), "{counted}");
    });
}

/// They are those of the worker that the thread was, and not of the next one on it, or of none.
#[test]
fn forced_yields_of_a_thread_go_to_the_runtime_that_it_worked_for() {
    let _watchdog = watch();
    let yields = || async {
        for _ in 0..128 * 10 + 1 {
            consume_budget().await;
        }
    };
    let forced = |runtime: &Runtime| runtime.metrics().workers[0].forced_yields;
    let (first, second, third) = (work_stealing(1), single_threaded(), single_threaded());
    first.block_on(yields());
    second.block_on(async {});
    assert_eq!((forced(&first), forced(&second)), (0, 0), "no worker polled it");
    // In the task of one runtime, another one is dropped, for which this thread is its worker then.
    second
        .block_on(second.spawn(async move {
            yields().await;
            drop(catch_unwind(AssertUnwindSafe(|| drop(third))));
        }))
        .expect("no panic");
    assert!((10..=11).contains(&forced(&second)), "{}", forced(&second));
    // In a task, in place, another one runs a future, for which no worker is needed.
    let (fourth, handle) = (work_stealing(1), first.handle().clone());
    fourth
        .block_on(fourth.spawn(async move {
            block_in_place(|| handle.block_on(yields()));
            yields().await;
        }))
        .expect("no panic");
    let all = |metrics: &Metrics| -> u64 {
        metrics.workers.iter().map(|worker| worker.forced_yields).sum()
    };
    wait_until(fourth.handle(), |metrics| all(metrics) >= 10);
    let counted = all(&fourth.metrics());
    assert!((10..=11).contains(&counted), "{counted}");
}

/// A runtime that had one long poll, until its monitor took it for 100 ms; and how long it was.
fn stuck_for_a_while(mode: Scheduler) -> (Runtime, Duration) {
    let builder = named("ml", mode).blocked_after(Duration::MAX);
    let runtime = builder.build().expect("the system has threads");
    let short = runtime.spawn(async {});
    runtime.block_on(short).expect("no panic");
    let (release, gate) = mpsc::channel();
    let stuck = runtime.spawn(async move {
        let began = Instant::now();
        wait_at(&gate);
        began.elapsed()
    });
    let handle = runtime.handle().clone();
    let other = thread::spawn(move || {
        wait_until(&handle, |metrics| metrics.longest_poll >= Duration::from_millis(100));
        drop(release);
    });
    let elapsed = runtime.block_on(stuck).expect("no panic");
    other.join().expect("no panic");
    (runtime, elapsed)
}

#[test]
fn the_longest_poll_is_about_as_long_as_it_was() {
    let _watchdog = watch();
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        // Less where the monitor itself was kept waiting, which it is not every time.
        let attempt = |_| {
            let (runtime, elapsed) = stuck_for_a_while(mode);
            let longest = runtime.metrics().longest_poll;
            assert!(longest <= elapsed, "{longest:?} of {elapsed:?}");
            (3 * longest >= elapsed).then_some((runtime, longest))
        };
        let (runtime, longest) = (0..20).find_map(attempt).expect("the longest poll is a third");
        assert_eq!(runtime.metrics().blocked, 0);
        // A shorter one does not change it.
        let stuck = runtime.spawn(async { thread::sleep(Duration::from_millis(20)) });
        runtime.block_on(stuck).expect("no panic");
        assert_eq!(runtime.metrics().longest_poll, longest);
    }
}

#[test]
fn rescues_and_spare_starts_are_counted_once_each() {
    let _watchdog = watch();
    let builder = Builder::new().workers(2).blocked_after(Duration::MAX);
    let runtime = builder.build().expect("the system has threads");
    let quiet = at_rest(&runtime, 2);
    assert_eq!((quiet.rescues, quiet.spare_starts, quiet.blocked), (0, 0, 0));
    let one = StuckTask::spawn(runtime.handle());
    wait_until(runtime.handle(), |metrics| metrics.rescues > 0);
    let other = StuckTask::spawn(runtime.handle());
    wait_until(runtime.handle(), |metrics| metrics.spare_starts > 0);
    runtime.block_on(runtime.spawn(async {})).expect("no panic");
    for task in [one, other] {
        runtime.block_on(task.release()).expect("no panic");
    }
    let metrics = at_rest(&runtime, 2);
    // On a loaded machine a short poll may lose its core, and count as a slow one.
    assert!((2..10).contains(&metrics.rescues), "{metrics:?}");
    assert_eq!((metrics.spare_starts, metrics.blocked), (1, 0));
}

#[test]
fn reading_the_metrics_waits_for_nobody() {
    let _watchdog = watch();
    // Not for the handler of a report either, which returns when they have been read.
    let (entered, has_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let ends = Mutex::new((entered, may_leave));
    let builder = named("mr", Scheduler::WorkStealing).blocked_after(Duration::from_millis(20));
    let builder = builder.on_blocked(move |_| {
        let ends = ends.lock().expect("nobody panics");
        let _ = ends.0.send(());
        let _ = ends.1.recv();
    });
    let runtime = builder.build().expect("the system has threads");
    let stuck = StuckTask::spawn(runtime.handle());
    has_entered.recv().expect("the handler is called");
    let metrics = runtime.metrics();
    assert_eq!((metrics.blocked, metrics.live_tasks), (1, 1));
    drop(leave);
    runtime.block_on(stuck.release()).expect("no panic");
}

/// What runs next is among them.
#[test]
fn what_a_task_spawns_is_counted_until_it_runs() {
    let _watchdog = watch();
    let runtime = single_threaded();
    let handle = runtime.handle().clone();
    let counts = runtime.block_on(async move {
        let queued = || handle.metrics().workers[0].queued;
        let mut counts = vec![queued()];
        let mut tasks = Vec::new();
        for _ in 0..3 {
            tasks.push(runtime::spawn(async {}));
            counts.push(queued());
        }
        join_all(tasks).await;
        counts.push(queued());
        counts
    });
    assert_eq!(counts, [0, 1, 2, 3, 0]);
}

/// Wherever it is queued: outside of the worker, or with it.
#[test]
fn what_is_queued_is_counted_until_it_runs() {
    // More than a worker takes over at once.
    const TASKS: usize = 1000;
    let _watchdog = watch();
    let runtime = single_threaded();
    let counts = Arc::new(Mutex::new(Vec::new()));
    let spawn = |_| {
        let (counts, handle) = (counts.clone(), runtime.handle().clone());
        runtime.spawn(async move {
            let metrics = handle.metrics();
            counts.lock().expect("no panic").push(metrics.injected + metrics.workers[0].queued);
        })
    };
    // Nobody runs them before this thread is in `block_on`.
    let tasks: Vec<_> = (0..TASKS).map(spawn).collect();
    assert_eq!(runtime.metrics().injected, TASKS);
    runtime.block_on(join_all(tasks));
    let expected: Vec<_> = (0..TASKS).rev().collect();
    assert_eq!(*counts.lock().expect("no panic"), expected);
}
