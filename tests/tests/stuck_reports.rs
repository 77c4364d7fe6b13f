//! A stuck task is named: itself, the line that spawned it, its worker, how long, and where it is.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use runtime::task::{Id, yield_now};
use runtime::time::sleep;
use runtime::{BlockedTask, Builder, Runtime, Scheduler, task};
use rustix::process::nice;
use rustix::thread::{
    CpuSet, NanosleepRelativeResult, Timespec, nanosleep, sched_getaffinity, sched_setaffinity,
};
use windlass_tests::{StuckTask, named, thread_name, wait_at, watch};

const MODES: [Scheduler; 2] = [Scheduler::SingleThreaded, Scheduler::WorkStealing];

/// The handler runs while the task still is stuck; within that much on a loaded machine.
const SOON: Duration = Duration::from_secs(10);

/// Whether this platform's stacks can be read.
const HAS_STACKS: bool =
    cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

/// What a handler was told.
#[derive(Debug)]
struct Report {
    worker: usize,
    id: Option<Id>,
    name: Option<String>,
    file: &'static str,
    line: u32,
    duration: Duration,
    stack: Option<String>,
    text: String,
    called_at: Instant,
    called_on: String,
}

impl Report {
    fn new(task: &BlockedTask) -> Report {
        Report {
            worker: task.worker,
            id: task.id,
            name: task.name.as_deref().map(str::to_owned),
            file: task.spawned_at.file(),
            line: task.spawned_at.line(),
            duration: task.duration,
            stack: task.stack.clone(),
            text: task.to_string(),
            called_at: Instant::now(),
            called_on: thread_name(),
        }
    }

    #[track_caller]
    fn assert_is_in(&self, function: &str) {
        let stack = self.stack.as_deref().unwrap_or_default();
        assert!(!HAS_STACKS || stack.contains(function), "no {function} in {self:#?}");
    }
}

/// A runtime, and what its handler is told. The handler sends to `release` when it is done, which
/// ends whatever was stuck at the other end.
fn reporting(builder: Builder, release: Sender<()>) -> (Runtime, Receiver<Report>) {
    let (send, reports) = mpsc::channel();
    let ends = Mutex::new((send, release));
    let builder = builder.on_blocked(move |task| {
        let ends = ends.lock().expect("nobody panics");
        let _ = ends.0.send(Report::new(task));
        let _ = ends.1.send(());
    });
    (builder.build().expect("the system has threads"), reports)
}

const THRESHOLD: Duration = Duration::from_millis(60);

#[test]
fn the_report_names_the_task_its_line_its_worker_and_its_stack() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, gate) = mpsc::channel();
        let (runtime, reports) = reporting(named("sr", mode).blocked_after(THRESHOLD), release);
        let line = line!() + 1;
        let stuck = task::Builder::new().name("report").spawn_on(
            async move {
                let began = Instant::now();
                wait_at(&gate);
                (began, thread_name())
            },
            runtime.handle(),
        );
        let id = stuck.id();
        let (began, worker) = runtime.block_on(stuck).expect("no panic");
        let report = reports.recv().expect("the task has waited for it");
        assert_eq!((report.id, report.name.as_deref()), (Some(id), Some("report")));
        assert_eq!((report.file, report.line), (file!(), line), "{report:#?}");
        if mode == Scheduler::WorkStealing {
            assert_eq!(worker, format!("sr-worker-{}", report.worker));
        } else {
            assert_eq!(report.worker, 0);
        }
        assert!(!report.called_on.starts_with("sr-worker"), "{report:#?}");
        // It was measured before the handler was called, and never claims too much.
        let elapsed = report.called_at - began;
        assert!(report.duration >= THRESHOLD && report.duration <= elapsed, "{report:#?}");
        assert!(report.duration < THRESHOLD + SOON, "{report:#?}");
        report.assert_is_in("stuck::wait_at");
        let text = format!(
            "runtime: worker {} has been stuck for {} ms in task {id} (\"report\"), spawned at {}:{line}:",
            report.worker,
            report.duration.as_millis(),
            file!(),
        );
        assert!(report.text.starts_with(&text), "{} instead of {text}", report.text);
        assert!(report.text.contains("\n  help: "), "{}", report.text);
        let metrics = runtime.metrics();
        assert_eq!(metrics.blocked, 1);
        assert!(metrics.longest_poll >= THRESHOLD, "{metrics:?}");
    }
}

/// Blocks in its destructor.
struct Sticky(Receiver<()>);

impl Drop for Sticky {
    fn drop(&mut self) {
        wait_at(&self.0);
    }
}

#[test]
fn a_destructor_that_blocks_is_reported_as_a_poll_is() {
    let _watchdog = watch();
    for mode in MODES {
        for is_output in [false, true] {
            let (release, gate) = mpsc::channel();
            let (runtime, reports) = reporting(named("sd", mode).blocked_after(THRESHOLD), release);
            let sticky = Sticky(gate);
            let (end, may_end) = async_channel::bounded(1);
            let line = line!() + 1;
            let task = runtime.spawn(async move {
                let _ = may_end.recv().await;
                sticky
            });
            let id = task.id();
            if is_output {
                drop(task);
                end.try_send(()).expect("there is room");
            } else {
                task.abort();
            }
            runtime.block_on(async {
                while runtime.metrics().live_tasks > 0 {
                    yield_now().await;
                }
            });
            let report = reports.recv().expect("the destructor has waited for it");
            assert_eq!(report.id, Some(id), "{report:#?}");
            assert_eq!((report.file, report.line), (file!(), line), "{report:#?}");
            report.assert_is_in("stuck::wait_at");
        }
    }
}

#[test]
fn the_future_of_block_on_is_named_where_it_keeps_tasks_waiting() {
    let _watchdog = watch();
    let (release, gate) = mpsc::channel();
    let builder = named("sr", Scheduler::SingleThreaded).blocked_after(THRESHOLD);
    let (runtime, reports) = reporting(builder, release);
    // It is also reported after it was pending, and not before.
    let line = line!() + 1;
    runtime.block_on(async move {
        yield_now().await;
        wait_at(&gate);
    });
    let report = reports.recv().expect("the future has waited for it");
    assert_eq!((report.id, report.name.as_deref()), (None, None));
    assert_eq!((report.file, report.line), (file!(), line), "{report:#?}");
    report.assert_is_in("stuck::wait_at");
    let text = format!("ms in the future of `block_on`, called at {}:{line}:", file!());
    assert!(report.text.contains(&text), "{} instead of {text}", report.text);

    // With workers of their own, tasks do not wait for it.
    let (release, gate) = mpsc::channel();
    let builder = named("sr", Scheduler::WorkStealing).blocked_after(THRESHOLD);
    let (runtime, reports) = reporting(builder, release.clone());
    let task = runtime.spawn(async move { wait_at(&gate) });
    runtime.block_on(async {
        let report = reports.recv().expect("the task has waited for it");
        assert_eq!(report.id, Some(task.id()));
        task.await.expect("no panic");
    });
    drop(runtime);
    assert!(reports.try_recv().is_err(), "the future of `block_on` was stuck as long");
}

/// What a report needs is not taken from the stack that the program chose for its tasks.
#[test]
fn the_stack_of_workers_may_be_too_small_for_a_report() {
    let _watchdog = watch();
    let (release, gate) = mpsc::channel();
    let small = if cfg!(windlass_sanitizer) { 1 << 18 } else { 64 << 10 };
    let builder = named("sr", Scheduler::WorkStealing).blocked_after(THRESHOLD).stack_size(small);
    let (runtime, reports) = reporting(builder, release);
    runtime.block_on(runtime.spawn(async move { wait_at(&gate) })).expect("no panic");
    let report = reports.recv().expect("the task has waited for it");
    report.assert_is_in("stuck::wait_at");
}

/// It need not wait for the stuck task, and cannot for itself.
#[test]
fn a_handler_may_drop_its_own_runtime() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, gate) = mpsc::channel();
        let owned: Arc<Mutex<Option<Runtime>>> = Arc::default();
        let (taken, release) = (owned.clone(), Mutex::new(release));
        let builder = named("sr", mode).blocked_after(THRESHOLD).on_blocked(move |_| {
            drop(taken.lock().expect("nobody panics").take());
            let _ = release.lock().expect("nobody panics").send(());
        });
        let runtime = builder.build().expect("the system has threads");
        let handle = runtime.handle().clone();
        *owned.lock().expect("nobody panics") = Some(runtime);
        let stuck = handle.spawn(async move {
            wait_at(&gate);
            sleep(Duration::from_secs(3600)).await;
        });
        let error = handle.block_on(stuck).expect_err("an hour has not passed");
        assert!(error.is_shutdown(), "{error}");
    }
}

#[inline(never)]
fn compute_until(stop: &AtomicBool) {
    let mut sum = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..1000 {
            sum = black_box(sum.wrapping_mul(31) + 7);
        }
    }
}

#[test]
fn a_task_that_computes_is_found_where_it_computes() {
    let _watchdog = watch();
    static STOP: AtomicBool = AtomicBool::new(false);
    for mode in MODES {
        let (send, reports) = mpsc::channel();
        let send = Mutex::new(send);
        let builder = named("sc", mode).blocked_after(THRESHOLD).on_blocked(move |task| {
            let _ = send.lock().expect("nobody panics").send(Report::new(task));
            STOP.store(true, Ordering::Relaxed);
        });
        let runtime = builder.build().expect("the system has threads");
        // A running thread answers when it has a core, and on a loaded machine that may come later
        // than the monitor waits. So as many polls as it takes: each is reported.
        let report = loop {
            STOP.store(false, Ordering::Relaxed);
            let stuck = runtime.spawn(async { compute_until(&STOP) });
            runtime.block_on(stuck).expect("no panic");
            let report = reports.recv().expect("the task has waited for it");
            if report.stack.is_some() || !HAS_STACKS {
                break report;
            }
        };
        report.assert_is_in("stuck_reports::compute_until");
    }
}

#[test]
fn each_stuck_poll_is_reported_and_no_other() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, gate) = mpsc::channel();
        let (runtime, reports) = reporting(named("se", mode).blocked_after(THRESHOLD), release);
        const POLLS: usize = 3;
        let stuck = runtime.spawn(async move {
            for _ in 0..POLLS {
                wait_at(&gate);
                yield_now().await;
                // Nothing is sent to the gate but by the handler, and that is called once per poll.
                assert!(gate.try_recv().is_err());
            }
        });
        let id = stuck.id();
        runtime.block_on(stuck).expect("no panic");
        assert_eq!(runtime.metrics().blocked, POLLS as u64);
        drop(runtime);
        assert_eq!(reports.iter().filter(|report| report.id == Some(id)).count(), POLLS);
    }
}

#[test]
fn a_handler_that_panics_does_not_end_the_reports() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, gate) = mpsc::channel();
        let release = Mutex::new(release);
        let builder = named("sp", mode).blocked_after(THRESHOLD).on_blocked(move |_| {
            let _ = release.lock().expect("it panics after this").send(());
            panic!("a handler that panics");
        });
        let runtime = builder.build().expect("the system has threads");
        let stuck = runtime.spawn(async move {
            for _ in 0..3 {
                wait_at(&gate);
                yield_now().await;
            }
        });
        runtime.block_on(stuck).expect("no panic");
        assert_eq!(runtime.metrics().blocked, 3);
    }
}

#[test]
fn a_task_that_computes_but_yields_is_never_reported() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, _gate) = mpsc::channel();
        // A slice that loses its core looks longer than it is; forty slices are out of reach.
        let threshold = Duration::from_millis(200);
        let (runtime, reports) = reporting(named("sy", mode).blocked_after(threshold), release);
        let began = Instant::now();
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                runtime.spawn(async move {
                    while began.elapsed() < 5 * threshold {
                        let slice = Instant::now();
                        while slice.elapsed() < threshold / 40 {
                            black_box(slice);
                        }
                        yield_now().await;
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        let metrics = runtime.metrics();
        assert_eq!(metrics.blocked, 0, "{:#?}", reports.try_recv());
        assert!(metrics.rescues > 0, "slices of 5 ms are slow, though not stuck: {metrics:?}");
        assert!(metrics.longest_poll < threshold, "{metrics:?}");
    }
}

#[test]
fn a_sleeping_system_call_is_not_cut_short_by_the_report() {
    let _watchdog = watch();
    for mode in MODES {
        let (release, _gate) = mpsc::channel();
        let (runtime, reports) = reporting(named("sn", mode).blocked_after(THRESHOLD), release);
        let time = Duration::from_millis(500);
        let (told, is_told) = mpsc::channel::<()>();
        let stuck = runtime.spawn(async move {
            // Once, if the monitor comes in time.
            while is_told.try_recv() == Err(TryRecvError::Empty) {
                let began = Instant::now();
                let result = sleep_in_the_kernel(time);
                // It would say how much was left, had a signal ended it.
                assert!(matches!(result, NanosleepRelativeResult::Ok), "{result:?}");
                assert!(began.elapsed() >= time);
            }
        });
        let reported = thread::spawn(move || {
            let report = reports.recv().expect("it is stuck for long enough");
            drop(told);
            report
        });
        runtime.block_on(stuck).expect("no sleep is cut short");
        let report = reported.join().expect("no panic");
        report.assert_is_in("stuck_reports::sleep_in_the_kernel");
    }
}

#[inline(never)]
fn sleep_in_the_kernel(time: Duration) -> NanosleepRelativeResult {
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    black_box(nanosleep(&time))
}

#[test]
fn a_task_that_waits_for_a_core_is_not_blamed() {
    let _watchdog = watch();
    // The worker is the last to get the one core that it shares with a thread that never lets go:
    // most of its time goes by between two moments on the core, in slices of 5 ms.
    static STOP: AtomicBool = AtomicBool::new(false);
    let threshold = Duration::from_millis(100);
    let (release, _gate) = mpsc::channel();
    let builder = Builder::new().workers(1).blocked_after(threshold).thread_name("sq");
    let builder = builder.on_thread_start(|| {
        stay_on_one_core();
        nice(19).expect("anybody may be nicer");
    });
    let (runtime, reports) = reporting(builder, release);
    let hog = thread::spawn(|| {
        stay_on_one_core();
        compute_until(&STOP);
    });
    let task = runtime.spawn(async move {
        let began = Instant::now();
        while began.elapsed() < 20 * threshold {
            let slice = Instant::now();
            while slice.elapsed() < Duration::from_millis(5) {
                black_box(slice);
            }
            yield_now().await;
        }
    });
    runtime.block_on(task).expect("no panic");
    STOP.store(true, Ordering::Relaxed);
    hog.join().expect("no panic");
    assert_eq!(runtime.metrics().blocked, 0, "{:#?}", reports.try_recv());
}

/// Keeps this thread on the first of the cores that it may run on.
fn stay_on_one_core() {
    let allowed = sched_getaffinity(None).expect("a thread may ask");
    let first = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).expect("it runs on one");
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one).expect("it is one of those that are allowed");
}

#[test]
fn a_handler_that_takes_long_keeps_nobody_waiting() {
    let _watchdog = watch();
    let (release, gate) = mpsc::channel::<()>();
    let (entered, has_entered) = mpsc::channel();
    let (leave, may_leave) = mpsc::channel::<()>();
    let ends = Mutex::new((entered, may_leave));
    let builder = named("sm", Scheduler::WorkStealing).blocked_after(THRESHOLD);
    let builder = builder.on_blocked(move |_| {
        let ends = ends.lock().expect("nobody panics");
        let _ = ends.0.send(());
        let _ = ends.1.recv();
    });
    let runtime = builder.build().expect("the system has threads");
    let stuck = runtime.spawn(async move { wait_at(&gate) });
    has_entered.recv().expect("the handler is called");
    // Now the other worker gets stuck as well, so that only a spare one can run this.
    let other = StuckTask::spawn(runtime.handle());
    let (served, was_served) = mpsc::channel();
    runtime.spawn(async move { served.send(()) });
    let answer = was_served.recv_timeout(SOON);
    drop((leave, release));
    runtime.block_on(async {
        stuck.await.expect("no panic");
        other.release().await.expect("no panic");
    });
    answer.expect("nobody ran the task while the handler was called");
}
