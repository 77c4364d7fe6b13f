//! The end of a runtime whose tasks are stuck: in time, and nothing is left behind afterwards.

use std::future::pending;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use runtime::net::TcpListener;
use runtime::task::{block_in_place, yield_now};
use runtime::time::sleep;
use runtime::{Builder, Runtime, Scheduler};
use windlass_tests::{
    DropCount, StuckTask, named, single_threaded, thread_name, wait_at, wait_until, watch,
};

/// What a loaded machine may take on top of a deadline.
const SOON: Duration = Duration::from_secs(10);

/// Knows when everything that a runtime consists of has been freed.
struct Freed(Arc<()>);

impl Freed {
    /// Gives the runtime something to hold as long as any of its threads or handles exists.
    fn new(builder: Builder) -> (Runtime, Freed) {
        let held = Arc::new(());
        let freed = Freed(held.clone());
        let builder = builder.blocked_after(Duration::MAX).on_thread_start(move || {
            let _ = &held;
        });
        (builder.build().expect("the system has threads"), freed)
    }

    /// Waits until it has been; the watchdog ends that if it is leaked.
    fn wait(&self) {
        while Arc::strong_count(&self.0) > 1 {
            thread::yield_now();
        }
    }
}

/// Tasks in every state that a runtime can leave them in.
fn populate(runtime: &Runtime, drops: &DropCount) -> usize {
    const EACH: usize = 5;
    let listener = {
        let _entered = runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("it can be set");
        Arc::new(TcpListener::from_std(listener).expect("a listener"))
    };
    for _ in 0..EACH {
        let tokens = [0; 5].map(|_| drops.token());
        let [idle, asleep, local, busy, accepting] = tokens;
        let listener = listener.clone();
        runtime.spawn(async move {
            let _idle = idle;
            pending::<()>().await;
        });
        runtime.spawn(async move {
            let _asleep = asleep;
            sleep(Duration::from_secs(3600)).await;
        });
        runtime.spawn(async move {
            runtime::spawn_local(async move {
                let _local = local;
                pending::<()>().await;
            });
        });
        runtime.spawn(async move {
            let _busy = busy;
            loop {
                yield_now().await;
            }
        });
        runtime.spawn(async move {
            let _accepting = accepting;
            drop(listener.accept().await);
        });
    }
    5 * EACH
}

/// Ends a runtime with that many tasks stuck, which are released afterwards.
fn end_with_stuck(name: &str, stuck: usize, deadline: Duration) {
    let (runtime, freed) = Freed::new(named(name, Scheduler::WorkStealing));
    let drops = DropCount::new();
    let count = populate(&runtime, &drops);
    let stuck: Vec<_> = (0..stuck).map(|_| StuckTask::spawn(runtime.handle())).collect();
    let began = Instant::now();
    runtime.shutdown(deadline);
    let elapsed = began.elapsed();
    assert!(elapsed >= deadline && elapsed < deadline + SOON, "{elapsed:?}");
    for task in stuck {
        // It came to its end, though nobody waited for it.
        single_threaded().block_on(task.release()).expect("it was not cancelled");
    }
    freed.wait();
    assert_eq!(drops.get(), count, "stuck tasks keep others from being dropped");
}

#[test]
fn shutdown_leaves_one_stuck_worker_to_itself_and_all_is_freed_when_it_is_back() {
    let _watchdog = watch();
    for deadline in [0, 1, 50] {
        end_with_stuck("da", 1, Duration::from_millis(deadline));
    }
}

#[test]
fn shutdown_during_a_rescue_with_a_spare_worker_at_work() {
    let _watchdog = watch();
    for deadline in [0, 1, 50] {
        end_with_stuck("db", 2, Duration::from_millis(deadline));
    }
}

#[test]
fn shutdown_while_the_spare_worker_is_stuck_too() {
    let _watchdog = watch();
    for deadline in [0, 1, 50] {
        end_with_stuck("dc", 3, Duration::from_millis(deadline));
    }
}

#[test]
fn a_drop_waits_for_stuck_workers_and_frees_all() {
    let _watchdog = watch();
    for stuck in 1..=3 {
        let (runtime, freed) = Freed::new(named("dd", Scheduler::WorkStealing));
        let drops = DropCount::new();
        let count = populate(&runtime, &drops);
        let waiting = runtime.spawn(pending::<()>());
        let stuck: Vec<_> = (0..stuck).map(|_| StuckTask::spawn(runtime.handle())).collect();
        let releaser = thread::spawn(move || {
            let tasks = stuck.into_iter().map(StuckTask::release);
            tasks.map(|task| single_threaded().block_on(task)).all(|result| result.is_ok())
        });
        drop(runtime);
        assert_eq!(drops.get(), count);
        assert!(waiting.is_finished());
        assert!(releaser.join().expect("no panic"), "a stuck task was cut off");
        // A handle keeps its task, and that its runtime.
        drop(waiting);
        freed.wait();
    }
}

#[test]
fn a_runtime_that_ends_in_the_middle_of_a_rescue_loses_nothing() {
    let _watchdog = watch();
    // The end comes at another moment each time: before the monitor has seen anything, while the
    // spare worker starts, or when it is at work.
    for round in 0..40_u32 {
        let (runtime, freed) = Freed::new(named("de", Scheduler::WorkStealing));
        let drops = DropCount::new();
        let count = populate(&runtime, &drops);
        let stuck = [0; 2].map(|_| StuckTask::spawn(runtime.handle()));
        let began = Instant::now();
        while began.elapsed() < Duration::from_micros(500) * round {
            thread::yield_now();
        }
        runtime.shutdown(Duration::ZERO);
        drop(stuck.map(StuckTask::release));
        freed.wait();
        assert_eq!(drops.get(), count, "round {round}");
    }
}

#[test]
fn the_end_of_a_runtime_waits_for_what_is_in_place() {
    let _watchdog = watch();
    let (runtime, freed) = Freed::new(named("df", Scheduler::WorkStealing));
    let drops = DropCount::new();
    let count = populate(&runtime, &drops);
    let (entered, has_entered) = mpsc::channel();
    let handle = runtime.handle().clone();
    let call = runtime.spawn(async move {
        let own = thread_name();
        let called_on = block_in_place(|| {
            // Waits for a task that comes to no end but that of the runtime: it must not be left
            // until this worker is back.
            let task = runtime::spawn(pending::<()>());
            entered.send(()).expect("the test waits");
            let error = handle.block_on(task).expect_err("the runtime ends");
            assert!(error.is_shutdown(), "{error}");
            // Nothing hangs in here from now on, although the others are gone.
            let error = handle.block_on(runtime::spawn(async {})).expect_err("it has ended");
            assert!(error.is_shutdown(), "{error}");
            thread_name()
        });
        assert_eq!(called_on, own);
        7
    });
    has_entered.recv().expect("it is called");
    drop(runtime);
    assert_eq!(single_threaded().block_on(call).expect("the drop has waited"), 7);
    assert_eq!(drops.get(), count);
    freed.wait();
}

#[test]
fn shutdown_does_not_wait_for_what_is_in_place_longer_than_it_may() {
    let _watchdog = watch();
    let (runtime, freed) = Freed::new(named("dg", Scheduler::WorkStealing));
    let drops = DropCount::new();
    let count = populate(&runtime, &drops);
    let (entered, has_entered) = mpsc::channel();
    let (release, gate) = mpsc::channel();
    runtime.spawn(async move {
        block_in_place(|| {
            entered.send(()).expect("the test waits");
            wait_at(&gate);
        });
    });
    has_entered.recv().expect("it is called");
    let deadline = Duration::from_millis(20);
    let began = Instant::now();
    runtime.shutdown(deadline);
    assert!((deadline..deadline + SOON).contains(&began.elapsed()));
    drop(release);
    freed.wait();
    assert_eq!(drops.get(), count);
}

#[test]
fn a_single_threaded_runtime_ends_around_its_stuck_thread() {
    let _watchdog = watch();
    let (runtime, freed) = Freed::new(named("dh", Scheduler::SingleThreaded));
    let drops = DropCount::new();
    let count = populate(&runtime, &drops);
    let (entered, has_entered) = mpsc::channel();
    let (release, gate) = mpsc::channel();
    let stuck = runtime.spawn(async move {
        entered.send(()).expect("the test waits");
        wait_at(&gate);
    });
    let handle = runtime.handle().clone();
    let other = thread::spawn(move || handle.block_on(stuck));
    has_entered.recv().expect("it is polled");
    wait_until(runtime.handle(), |metrics| metrics.rescues > 0);
    let deadline = Duration::from_millis(20);
    let began = Instant::now();
    runtime.shutdown(deadline);
    assert!((deadline..deadline + SOON).contains(&began.elapsed()));
    drop(release);
    // The task was in its last poll, and ends like any other.
    other.join().expect("no panic").expect("it was not cancelled");
    freed.wait();
    assert_eq!(drops.get(), count);
}
