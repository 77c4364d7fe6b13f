//! A program in which one piece of its own code panics: `last_words <place> <mode>`. It is built so
//! that this ends it; `tests/tests/panic_abort.rs` says what it says then.

#![forbid(unsafe_code)]

use std::env;
use std::future::{Future, pending, poll_fn};
use std::mem;
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use runtime::task::{Builder as Task, yield_now};
use runtime::time::sleep;
use runtime::{Builder, JoinHandle, Runtime, Scheduler};
use rustix::process::{Resource, Rlimit, setrlimit};
use windlass_tests::{wait_at, watch};

struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        panic!("in a drop");
    }
}

struct PanicOnWake;

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        panic!("in a wake-up");
    }
}

fn main() {
    let _watchdog = watch();
    // The end of this process is meant; nobody looks into what would be left of it.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).expect("less is always allowed");
    let mut arguments = env::args().skip(1);
    let place = arguments.next().expect("the first argument is the place");
    let mode = arguments.next().expect("the second argument is the mode");
    let mode: Scheduler = mode.parse().expect("it is one of the two");
    if place == "poll-with-a-hook" {
        panic::set_hook(Box::new(|_| eprintln!("the hook of the program")));
    }
    let builder = Builder::new().scheduler(mode).workers(1);
    let builder = match place.as_str() {
        "start-hook" => builder.on_thread_start(|| panic!("in a hook")),
        "stop-hook" => builder.on_thread_stop(|| panic!("in a hook")),
        _ => builder,
    };
    let runtime = builder.build().expect("the system has threads and files for a runtime");
    play(&place, &runtime);
    drop(runtime);
    println!("it goes on");
}

fn play(place: &str, runtime: &Runtime) {
    let _entered = runtime.enter();
    match place {
        "poll" | "poll-with-a-hook" => drop(victim().spawn(async {
            yield_now().await;
            panic!("in a poll");
        })),
        "local-poll" => runtime.block_on(async {
            let _task = victim().spawn_local(async { panic!("in a poll") });
            pending().await
        }),
        "block-on" => runtime.block_on(async { panic!("in a poll") }),
        "future-drop" => {
            let mut guard = Some(PanicOnDrop);
            drop(victim().spawn(poll_fn(move |_| {
                let _guard = &mut guard;
                Poll::Ready(())
            })));
        }
        "future-drop-by-abort" => spawn_pending().abort(),
        "future-drop-by-shutdown" => {
            drop(spawn_pending());
            return;
        }
        "output-drop" => {
            // The handle is gone first, or the output would be its to drop.
            let is_gone = Arc::new(AtomicBool::new(false));
            let sees = is_gone.clone();
            drop(victim().spawn(async move {
                while !sees.load(Ordering::SeqCst) {
                    yield_now().await;
                }
                PanicOnDrop
            }));
            is_gone.store(true, Ordering::SeqCst);
        }
        "waker-of-a-handle" => {
            let (go, gate) = mpsc::channel::<()>();
            let call = runtime.spawn_blocking(move || wait_at(&gate));
            poll_with_a_bomb(victim().spawn(call));
            drop(go);
        }
        "waker-of-a-timer" => runtime.block_on(async {
            poll_with_a_bomb(sleep(Duration::from_millis(1)));
            pending().await
        }),
        "blocking" => drop(victim().spawn_blocking(|| panic!("in a call"))),
        // A single-threaded runtime has threads for blocking calls alone.
        "start-hook" | "stop-hook" => {
            let call = runtime.spawn_blocking(|| ());
            runtime.block_on(call).expect("it does not panic");
            return;
        }
        other => unreachable!("no such place: {other}"),
    }
    runtime.block_on(pending())
}

fn victim() -> Task {
    Task::new().name("victim")
}

/// A task that holds on to what panics when it is dropped.
fn spawn_pending() -> JoinHandle<()> {
    let guard = PanicOnDrop;
    victim().spawn(async move {
        let _guard = guard;
        pending().await
    })
}

/// Polls `future` once with a waker that panics, and keeps it for ever.
fn poll_with_a_bomb(future: impl Future) {
    let waker = Waker::from(Arc::new(PanicOnWake));
    let mut future = Box::pin(future);
    assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    mem::forget(future);
}
