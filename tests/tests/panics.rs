//! A panic in a task, in a `Drop`, in a waker or in a hook goes to whom it concerns, and harms no worker.

use std::env;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::pin::{Pin, pin};
use std::process::Command;
use std::ptr;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::{Context, Poll, RawWakerVTable, Wake, Waker};
use std::thread;
use std::time::Duration;

use runtime::task::yield_now;
use runtime::time::{advance, pause, sleep};
use runtime::{Builder, JoinHandle, Runtime, Scheduler, UnhandledPanic};
use windlass_tests::{CountDrops, DropCount, message_of, watch};

/// One worker per mode, so that a worker which is lost is missed.
fn both_modes(test: impl Fn(Runtime)) {
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        eprintln!("mode: {scheduler}");
        let builder = Builder::new().scheduler(scheduler).workers(1);
        let builder = builder.unhandled_panic(UnhandledPanic::Ignore);
        test(builder.build().expect("the system has threads and files for a runtime"));
    }
}

/// Panics when it is dropped, having counted that.
struct PanicOnDrop(Option<CountDrops>);

impl PanicOnDrop {
    fn new(drops: &DropCount) -> PanicOnDrop {
        PanicOnDrop(Some(drops.token()))
    }
}

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        drop(self.0.take());
        panic!("in drop");
    }
}

/// A future whose `Drop` panics; `poll` says what it does in its only poll.
struct Fragile<T> {
    poll: fn() -> Poll<T>,
    _guard: PanicOnDrop,
}

impl<T> Future for Fragile<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        (self.poll)()
    }
}

fn fragile<T>(drops: &DropCount, poll: fn() -> Poll<T>) -> Fragile<T> {
    Fragile { poll, _guard: PanicOnDrop::new(drops) }
}

#[track_caller]
fn assert_panicked<T>(runtime: &Runtime, task: JoinHandle<T>, text: &str) {
    let Err(error) = runtime.block_on(task) else { panic!("it has a result") };
    assert!(error.is_panic() && !error.is_cancelled(), "{error}");
    assert!(error.to_string().ends_with(text), "{error}");
    assert_eq!(message_of(&*error.into_panic()), text);
}

/// The worker polls, the timers fire, and no task is left.
#[track_caller]
fn assert_works(runtime: &Runtime) {
    let task = runtime.spawn(async { sleep(Duration::from_millis(1)).await });
    runtime.block_on(task).expect("no panic");
    while runtime.metrics().live_tasks > 0 {
        runtime.block_on(yield_now());
    }
}

#[test]
fn in_poll() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let spawn = || {
            let token = drops.token();
            runtime.spawn(async move {
                let _token = token;
                yield_now().await;
                panic!("in poll");
            })
        };
        assert_panicked(&runtime, spawn(), "in poll");
        // Detached, and with a handle that is dropped afterwards.
        drop(spawn());
        let task = spawn();
        assert_works(&runtime);
        drop(task);
        assert_eq!(drops.get(), 3);
    });
}

#[test]
fn in_the_drop_of_a_future_that_is_done() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (futures, outputs) = (DropCount::new(), DropCount::new());
        let done = |outputs: &DropCount| {
            let output = outputs.token();
            let mut guard = Some(PanicOnDrop::new(&futures));
            let mut output = Some(output);
            poll_fn(move |_| {
                let _guard = &mut guard;
                Poll::Ready(output.take())
            })
        };
        assert_panicked(&runtime, runtime.spawn(done(&outputs)), "in drop");
        assert_eq!((futures.get(), outputs.get()), (1, 1));
        drop(runtime.spawn(done(&outputs)));
        assert_works(&runtime);
        assert_eq!((futures.get(), outputs.get()), (2, 2));
    });
}

#[test]
fn in_the_drop_of_a_future_that_is_aborted() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let task = runtime.spawn(fragile::<()>(&drops, || Poll::Pending));
        runtime.block_on(yield_now());
        task.abort();
        assert_panicked(&runtime, task, "in drop");
        let task = runtime.spawn(fragile::<()>(&drops, || Poll::Pending));
        runtime.block_on(yield_now());
        task.abort();
        drop(task);
        assert_works(&runtime);
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn in_the_drop_of_futures_that_are_shut_down() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let mut tasks = Vec::new();
        for _ in 0..10 {
            tasks.push(runtime.spawn(fragile::<()>(&drops, || Poll::Pending)));
        }
        runtime.block_on(yield_now());
        // A panic in a drop is no reason to forget the others, nor one of this thread's.
        drop(runtime);
        assert_eq!(drops.get(), 10);
        assert!(tasks.iter().all(JoinHandle::is_finished));
    });
}

#[test]
fn in_poll_and_in_the_drop_after_it() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let task = runtime.spawn(fragile::<()>(&drops, || panic!("first")));
        assert_panicked(&runtime, task, "first");
        drop(runtime.spawn(fragile::<()>(&drops, || panic!("first"))));
        assert_works(&runtime);
        assert_eq!(drops.get(), 2);
    });
}

#[test]
fn in_the_drop_of_an_output_that_nobody_reads() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let spawn = || {
            let output = PanicOnDrop::new(&drops);
            runtime.spawn(async move { output })
        };
        // The handle goes first, last, and after an abort that comes too late.
        drop(spawn());
        let (early, aborted) = (spawn(), spawn());
        while !(early.is_finished() && aborted.is_finished()) {
            runtime.block_on(yield_now());
        }
        drop(early);
        aborted.abort();
        drop(aborted);
        assert_works(&runtime);
        assert_eq!(drops.get(), 3);
        // One is left in its handle when the runtime ends.
        let last = spawn();
        while !last.is_finished() {
            runtime.block_on(yield_now());
        }
        drop(runtime);
        assert_eq!(drops.get(), 3);
        drop(last);
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn in_the_drop_of_a_panics_payload() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let spawn = || {
            let payload = PanicOnDrop::new(&drops);
            runtime.spawn(async move { panic_any(payload) })
        };
        drop(spawn());
        let task = spawn();
        assert_works(&runtime);
        drop(task);
        assert_eq!(drops.get(), 2);
    });
}

struct PanicOnWake;

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        panic!("in wake");
    }
}

#[test]
fn in_the_waker_of_a_handle() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (go, may_go) = async_channel::bounded::<()>(1);
        let mut task = runtime.spawn(async move { may_go.recv().await.is_ok() });
        let waker = Waker::from(Arc::new(PanicOnWake));
        let poll = Pin::new(&mut task).poll(&mut Context::from_waker(&waker));
        assert!(poll.is_pending());
        go.try_send(()).expect("there is room");
        while !task.is_finished() {
            runtime.block_on(yield_now());
        }
        assert_works(&runtime);
        assert!(runtime.block_on(task).expect("it did not panic itself"));
    });
}

#[test]
fn in_the_waker_of_a_timer() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (before, after) = (Duration::from_millis(1), Duration::from_millis(2));
        let mut bad = [Box::pin(sleep(before)), Box::pin(sleep(before))];
        let good = runtime.spawn(async move {
            // On the worker, so that they are its timers.
            let waker = Waker::from(Arc::new(PanicOnWake));
            for bad in &mut bad {
                let _ = bad.as_mut().poll(&mut Context::from_waker(&waker));
            }
            sleep(before).await;
            sleep(after).await;
            bad.len()
        });
        assert_eq!(runtime.block_on(good).expect("no panic"), 2);
        assert_works(&runtime);
    });
}

/// What a paused clock has woken runs, whatever else it has woken.
#[test]
fn in_the_waker_of_a_timer_of_a_paused_clock() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let wait = async || {
            let waker = Waker::from(Arc::new(PanicOnWake));
            let mut bad = pin!(sleep(Duration::from_millis(1)));
            let _ = bad.as_mut().poll(&mut Context::from_waker(&waker));
            sleep(Duration::from_millis(1)).await;
        };
        runtime.block_on(async {
            pause();
            wait().await;
            runtime::spawn(wait()).await.expect("no panic");
            let bad = runtime::spawn(async {
                let waker = Waker::from(Arc::new(PanicOnWake));
                let mut bad = [Box::pin(sleep(Duration::from_millis(1)))];
                let _ = bad[0].as_mut().poll(&mut Context::from_waker(&waker));
                bad
            });
            let [bad] = bad.await.expect("no panic");
            advance(Duration::from_millis(1)).await;
            assert!(bad.is_elapsed());
        });
        assert_works(&runtime);
    });
}

#[test]
fn in_a_local_task() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        runtime.block_on(async {
            let token = drops.token();
            let task = runtime::spawn_local(async move {
                let _token = token;
                yield_now().await;
                panic!("local");
            });
            let error = task.await.expect_err("it panics");
            assert_eq!(message_of(&*error.into_panic()), "local");
            runtime::spawn_local(fragile::<()>(&drops, || Poll::Pending));
            runtime::spawn_local(fragile::<()>(&drops, || Poll::Pending));
            yield_now().await;
        });
        assert_eq!(drops.get(), 3);
        assert_works(&runtime);
    });
}

#[test]
fn in_a_blocking_call() {
    let _watchdog = watch();
    let builder = Builder::new().workers(1).max_blocking_threads(1);
    let runtime = builder.unhandled_panic(UnhandledPanic::Ignore).build().expect("threads");
    let panicking = runtime.spawn_blocking(|| panic!("blocking"));
    assert_panicked(&runtime, panicking, "blocking");
    let drops = DropCount::new();
    let output = PanicOnDrop::new(&drops);
    drop(runtime.spawn_blocking(move || output));
    // The one thread there may be still works.
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 7)).expect("no panic"), 7);
    assert_eq!(drops.get(), 1);
}

#[test]
fn in_a_hook() {
    let _watchdog = watch();
    let (stopped, has_stopped) = mpsc::channel();
    let runtime = Builder::new()
        .workers(1)
        .on_thread_start(|| panic!("in start"))
        .on_thread_stop(move || {
            let _ = stopped.send(thread::current().name().map(str::to_owned));
            panic!("in stop");
        })
        .build()
        .expect("the system has threads");
    assert_works(&runtime);
    assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 7)).expect("no panic"), 7);
    drop(runtime);
    assert!(has_stopped.iter().flatten().count() >= 2);
}

/// Runs in a process of its own, see below; does nothing in the run of all tests.
#[test]
fn child_with_an_unhandled_panic() {
    let Ok(policy) = env::var("UNHANDLED_PANIC") else { return };
    let _watchdog = watch();
    let policy: UnhandledPanic = policy.parse().expect("the parent names a policy");
    let runtime = Builder::new().workers(1).unhandled_panic(policy).build().expect("threads");
    let waiting = runtime.spawn(pending::<()>());
    let (done, is_done) = mpsc::channel::<()>();
    runtime::task::Builder::new().name("report").spawn_on(
        async move {
            let _done = done;
            panic!("nobody hears this")
        },
        runtime.handle(),
    );
    is_done.recv().expect_err("nothing is sent");
    if policy == UnhandledPanic::ShutDown {
        let error = runtime.block_on(waiting).expect_err("the runtime ends");
        assert!(error.is_shutdown());
        let late = runtime.block_on(runtime.spawn(async {})).expect_err("the runtime has ended");
        assert!(late.is_shutdown());
    } else {
        runtime.block_on(runtime.spawn(async {})).expect("the runtime goes on");
        assert!(!waiting.is_finished());
    }
}

#[test]
fn without_a_handle_are_reported_ignored_or_the_end() {
    let _watchdog = watch();
    for policy in [UnhandledPanic::Report, UnhandledPanic::Ignore, UnhandledPanic::ShutDown] {
        let mut child = Command::new(env::current_exe().expect("Linux knows its path"));
        child.args(["--exact", "child_with_an_unhandled_panic", "--nocapture"]);
        let output = child.env("UNHANDLED_PANIC", policy.to_string()).output();
        let output = output.expect("the test can be started");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{policy}: {text}");
        let report = text.lines().position(|line| line.contains("nobody waits for its result"));
        assert_eq!(report.is_some(), policy != UnhandledPanic::Ignore, "{policy}: {text}");
        if let Some(report) = report {
            let mut lines = text.lines().skip(report);
            let (line, help) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
            assert!(line.starts_with("runtime: task "), "{line}");
            assert!(line.contains("(\"report\"), spawned at tests/tests/panics.rs:"), "{line}");
            assert!(line.ends_with("nobody hears this"), "{line}");
            assert!(help.starts_with("  help: "), "{help}");
        }
    }
}

/// Panics when it is cloned.
static PANICS_IN_CLONE: RawWakerVTable =
    RawWakerVTable::new(|_| panic!("in the clone of a waker"), |_| (), |_| (), |_| ());

#[test]
fn a_waker_that_panics_when_it_is_cloned_leaves_the_one_before_it_in_its_place() {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Nothing>) {}
    }
    let _watchdog = watch();
    both_modes(|runtime| {
        let first = Arc::new(Nothing);
        let mut task = runtime.spawn(pending::<()>());
        let mut poll =
            |waker: &Waker| Pin::new(&mut task).poll(&mut Context::from_waker(waker)).map(drop);
        assert!(poll(&Waker::from(first.clone())).is_pending());
        assert_eq!(Arc::strong_count(&first), 2, "the handle has left it");
        // SAFETY: the functions are right for a waker that has nothing.
        let second = unsafe { Waker::new(ptr::null(), &PANICS_IN_CLONE) };
        catch_unwind(AssertUnwindSafe(|| poll(&second))).expect_err("it is cloned");
        drop(task);
        drop(runtime);
        assert_eq!(Arc::strong_count(&first), 1, "nobody drops it");
    });
}
