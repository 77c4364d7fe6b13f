//! Ways in which other runtimes have broken, tried here: those that no test of another promise
//! tries. The whole list, with what notices each, is `docs/src/catalogue.md`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_util::io::AsyncRead;
use runtime::net::{TcpListener, TcpStream};
use runtime::task::{AbortHandle, block_in_place, yield_now};
use runtime::time::sleep;
use runtime::{Builder, Handle, Scheduler, spawn_blocking};
use windlass_tests::{
    Scene, StuckTask, both_modes, current_scene, panic_message, scene_under, strace, watch,
};

#[test]
fn a_task_that_has_yielded_runs_while_the_only_worker_blocks() {
    let _watchdog = watch();
    let builder = Builder::new().workers(1).spare_workers(0).blocked_after(Duration::MAX);
    let runtime = builder.build().expect("threads");
    let task = runtime.spawn(async {
        for _ in 0..100 {
            let (told, hears) = mpsc::channel();
            let other = runtime::spawn(async move {
                // It waits behind this worker, woken by itself, when that begins to block.
                yield_now().await;
                yield_now().await;
                told.send(()).expect("the test waits");
            });
            yield_now().await;
            block_in_place(|| hears.recv()).expect("the other task runs elsewhere");
            other.await.expect("no panic");
        }
    });
    runtime.block_on(task).expect("no panic");
}

/// Calls come about when the threads of the pool stop waiting for them; none may be left without one.
#[test]
fn blocking_calls_at_the_end_of_the_keep_alive_all_run() {
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let keep_alive = Duration::from_micros(500);
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(2);
        let runtime = builder.blocking_keep_alive(keep_alive).build().expect("threads");
        let runs = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            for round in 0..400 {
                let calls = [(); 5].map(|()| {
                    let runs = runs.clone();
                    runtime::spawn_blocking(move || runs.fetch_add(1, Ordering::Relaxed))
                });
                for call in calls {
                    call.await.expect("it runs");
                }
                // Not to wait for anything: to come before, at, and after the end.
                sleep(keep_alive * (round % 5) / 2).await;
            }
        });
        assert_eq!(runs.load(Ordering::Relaxed), 2000);
    }
}

/// A waker that, when it is woken and when it is dropped, uses the very task it waits for.
struct Reentrant {
    task: AbortHandle,
    handle: Handle,
    calls: Arc<AtomicUsize>,
}

impl Reentrant {
    fn call_back(&self) {
        self.task.abort();
        _ = self.task.is_finished();
        drop(self.handle.spawn(async {}));
        self.calls.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        self.call_back();
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        self.call_back();
    }
}

#[test]
fn the_waker_of_a_handle_may_use_its_task() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let calls = Arc::new(AtomicUsize::new(0));
        let (finish, may_finish) = async_channel::bounded::<()>(1);
        let mut task = runtime.spawn(async move {
            _ = may_finish.recv().await;
        });
        let reentrant = || {
            Waker::from(Arc::new(Reentrant {
                task: task.abort_handle(),
                handle: runtime.handle().clone(),
                calls: calls.clone(),
            }))
        };
        let [replaced, woken] = [reentrant(), reentrant()];
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&replaced)).is_pending());
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&woken)).is_pending());
        // The last reference to it is the task's.
        drop(woken);
        drop(finish);
        runtime.block_on(async {
            while !task.is_finished() {
                yield_now().await;
            }
        });
        drop(task);
        drop(replaced);
        drop(runtime);
        // One wake-up and two drops.
        assert_eq!(calls.load(Ordering::Relaxed), 3);
    });
}

#[test]
fn a_dropped_handle_keeps_no_waker() {
    let _watchdog = watch();
    struct Counted;
    impl Wake for Counted {
        fn wake(self: Arc<Self>) {}
    }
    both_modes(|runtime| {
        let waits = Arc::new(Counted);
        let waker = Waker::from(waits.clone());
        let mut task = runtime.spawn(std::future::pending::<()>());
        assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&waits), 2, "the task keeps it while somebody may be waiting");
        drop(task);
        assert_eq!(Arc::strong_count(&waits), 1, "nobody waits for the task that runs on");
    });
}

/// A reader that says it has read more than there is room for.
struct Liar;

impl AsyncRead for Liar {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len() + 1))
    }
}

#[test]
fn a_reader_that_lies_about_its_length_gets_a_panic_and_no_bytes() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let mut written = futures_util::io::Cursor::new(Vec::new());
        panic_message(|| {
            _ = runtime.block_on(runtime::io::copy(&mut Liar, &mut written));
        });
        assert!(written.into_inner().is_empty());
    });
}

#[test]
fn a_runtime_is_built_and_used_on_a_small_stack() {
    let _watchdog = watch();
    // The smallest that `Builder::stack_size` takes; a sanitizer needs more.
    let worker = if cfg!(windlass_sanitizer) { 1 << 18 } else { 64 << 10 };
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let small = thread::Builder::new().stack_size(64 << 10);
        let thread = small.spawn(move || {
            let builder = Builder::new().scheduler(scheduler).workers(1).stack_size(worker);
            let runtime = builder.build().expect("the system has threads");
            let task = runtime.spawn(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                let addr = listener.local_addr().expect("it is bound");
                TcpStream::connect(addr).await.expect("it listens");
                sleep(Duration::from_millis(1)).await;
                spawn_blocking(|| 7).await.expect("no panic")
            });
            runtime.block_on(task).expect("no panic")
        });
        assert_eq!(thread.expect("a thread").join().expect("no overflow"), 7);
    }
}

#[test]
fn scenes() {
    let Some((name, mode)) = current_scene() else { return };
    if name == "threads later" {
        return threads_later();
    }
    assert_eq!(name, "no threads");
    // From here on the kernel refuses every thread.
    let built = Builder::new().scheduler(mode).build();
    match mode {
        Scheduler::WorkStealing => {
            println!("-built: {:?}", built.expect_err("workers need threads").kind());
        }
        Scheduler::SingleThreaded => {
            let runtime = built.expect("it needs no threads");
            let refused = panic_message(|| runtime.spawn_blocking(|| ()));
            let sum = runtime.block_on(async { runtime::spawn(async { 1 }).await.expect("runs") });
            println!("-built: {sum}, {refused}");
        }
    }
    std::process::exit(0);
}

/// How often `strace` has each thread refused another one.
const REFUSALS: usize = 4;

/// The monitor is refused more spare workers than there are, and then gets one.
fn threads_later() {
    while thread::Builder::new().spawn(|| ()).is_err() {}
    let builder = Builder::new().workers(1).spare_workers(1).blocked_after(Duration::MAX);
    let runtime = builder.build().expect("this thread gets others");
    let _stuck = StuckTask::spawn(runtime.handle());
    runtime.block_on(runtime.spawn(async {})).expect("no panic");
    println!("-served by {} spare worker", runtime.metrics().spare_starts);
    std::process::exit(0);
}

#[test]
fn a_spare_worker_that_gets_no_thread_is_not_lost() {
    let _watchdog = watch();
    let Some(mut command) = strace("/dev/null") else { return };
    command.arg("-e").arg(format!("inject=clone3,clone:error=EAGAIN:when=1..{REFUSALS}"));
    let scene = scene_under(command, "threads later", Scheduler::WorkStealing);
    assert_eq!(Scene::start(scene).wait_for("-served by "), "1 spare worker");
}

/// With `strace`, which makes the kernel refuse.
#[test]
fn a_system_that_gives_no_threads_is_told_of_and_nothing_hangs() {
    let _watchdog = watch();
    let refused = "1, runtime: `spawn_blocking` could not start a thread";
    for (mode, expected) in
        [(Scheduler::WorkStealing, "WouldBlock"), (Scheduler::SingleThreaded, refused)]
    {
        let Some(mut command) = strace("/dev/null") else { return };
        command.args(["-e", "inject=clone3,clone:error=EAGAIN"]);
        let mut scene = Scene::start(scene_under(command, "no threads", mode));
        let built = scene.wait_for("-built: ");
        assert!(built.starts_with(expected), "{mode}: {built}");
    }
}

#[test]
fn a_large_future_needs_little_stack() {
    let _watchdog = watch();
    const SIZE: usize = 64 << 10;
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        // A quarter of what threads have, and eight times the future.
        let on_small_stack = move || {
            let builder = Builder::new().scheduler(mode).stack_size(1 << 19);
            let runtime = builder.build().expect("the system has threads");
            let large = runtime.spawn(async {
                let state = [7_u8; SIZE];
                yield_now().await;
                state.iter().map(|&byte| usize::from(byte)).sum::<usize>()
            });
            assert_eq!(runtime.block_on(large).expect("no panic"), 7 * SIZE);
        };
        thread::Builder::new()
            .stack_size(1 << 19)
            .spawn(on_small_stack)
            .expect("the system has threads")
            .join()
            .expect("no panic");
    }
}
