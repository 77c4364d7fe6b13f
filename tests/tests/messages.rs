//! Every wrong use says what was called, why it failed here, and what to do.

use std::cell::RefCell;
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::panic;
use std::sync::Once;
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use runtime::net::{TcpListener, TcpStream, lookup_host};
use runtime::task::block_in_place;
use runtime::time::{interval, pause, sleep, timeout};
use runtime::{Builder, Handle, Scheduler};
use windlass_tests::{
    both_modes, message_of, panic_message, single_threaded, watch, work_stealing,
};

thread_local! {
    /// Where this thread panicked last.
    static PANICKED_AT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`, which must panic with this file as the place; returns the text.
#[track_caller]
fn panics_here<R>(f: impl FnOnce() -> R) -> String {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let outer = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            PANICKED_AT.set(place);
            outer(panic);
        }));
    });
    let text = panic_message(f);
    let place = PANICKED_AT.take();
    assert!(place.starts_with(file!()), "it blames {place} for: {text}");
    text
}

/// Polls once, on a thread that is in no runtime.
fn poll<F: Future>(future: F) -> Option<F::Output> {
    future.now_or_never()
}

#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(text.contains("\n  help: "), "no help in:\n{text}");
}

#[test]
fn spawning_without_a_runtime() {
    let _watchdog = watch();
    let none = "needs a running runtime, but this thread has none";
    assert_says(&panics_here(|| runtime::spawn(async {})), &["`spawn`", none]);
    assert_says(&panics_here(|| runtime::spawn_blocking(|| ())), &["`spawn_blocking`", none]);
    assert_says(&panics_here(|| drop(Handle::current())), &["`Handle::current`", none]);
    assert_says(&panics_here(|| pause()), &["`pause`", none]);
    let text = panics_here(|| runtime::spawn_local(async {}));
    assert_says(&text, &["`spawn_local` needs a thread that runs tasks"]);
    let text = panics_here(|| runtime::task::Builder::new().name("job").spawn(async {}));
    assert_says(&text, &["`task::Builder::spawn`", none]);
    assert_says(
        &panics_here(|| runtime::task::id().to_string()),
        &["`task::id`", "outside of a task"],
    );
}

#[test]
fn spawn_local_on_a_thread_that_has_only_entered() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let _entered = runtime.enter();
        let text = panics_here(|| runtime::spawn_local(async {}));
        assert_says(&text, &["`spawn_local` needs a thread that runs tasks"]);
    });
}

#[test]
fn futures_without_a_runtime_name_the_line_that_made_them() {
    let _watchdog = watch();
    // The future may be made anywhere; it is the poll that needs the runtime.
    let none = "needs a running runtime, but th";
    let text = panic_message(|| poll(sleep(Duration::from_secs(1))));
    assert_says(&text, &["`sleep`", file!(), none]);
    let text = panic_message(|| poll(timeout(Duration::from_secs(1), pending::<()>())));
    assert_says(&text, &["`timeout`", file!(), none]);
    let text = panic_message(|| poll(TcpListener::bind("127.0.0.1:0")));
    assert_says(&text, &["`TcpListener::bind`", file!(), none]);
    let text = panic_message(|| poll(TcpStream::connect("127.0.0.1:1")));
    assert_says(&text, &["`TcpStream::connect`", file!(), none]);
    let text = panic_message(|| poll(lookup_host("localhost:1")));
    assert_says(&text, &["`lookup_host`", file!(), none]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let text = panics_here(|| TcpListener::from_std(listener));
    assert_says(&text, &["`TcpListener::from_std`", none]);
}

#[test]
fn block_on_in_a_task() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let handle = runtime.handle().clone();
        let stalling = async move { handle.block_on(async {}) };
        let named = runtime::task::Builder::new().name("conn");
        let (task, line) = (named.spawn_on(stalling, runtime.handle()), line!());
        let id = task.id();
        let error = runtime.block_on(task).expect_err("it panics");
        let text = message_of(&*error.into_panic());
        let task = format!("`block_on` was called inside task {id} (\"conn\", spawned at ");
        let place = format!("{}:{line}:", file!());
        assert_says(
            &text,
            &[&task, &place, "it would stall worker ", "`.await`", "spawn_blocking"],
        );
    });
}

#[test]
fn block_on_in_block_on() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let other = single_threaded();
        for inner in [&runtime, &other] {
            let text = runtime.block_on(async { panics_here(|| inner.block_on(async { 1 })) });
            assert_says(&text, &["`block_on` was called inside the future of another `block_on`"]);
        }
        // The thread is free again afterwards.
        assert_eq!(runtime.block_on(async { 1 }), 1);
    });
}

#[test]
fn a_runtime_dropped_or_shut_down_inside_a_task() {
    let _watchdog = watch();
    both_modes(|runtime| {
        for (is_dropped, name) in [(true, "`drop(Runtime)`"), (false, "`Runtime::shutdown`")] {
            for inner in [single_threaded(), work_stealing(1)] {
                let left = inner.spawn(pending::<()>());
                let task = runtime.spawn(async move {
                    match is_dropped {
                        true => drop(inner),
                        false => inner.shutdown(Duration::MAX),
                    }
                });
                let id = task.id();
                let error = runtime.block_on(task).expect_err("it panics");
                let text = message_of(&*error.into_panic());
                let inside = format!("was called inside task {id} (spawned at {}", file!());
                assert_says(&text, &[name, &inside]);
                // It has ended all the same.
                runtime.block_on(left).expect_err("its runtime has ended");
            }
        }
    });
}

#[test]
fn a_runtime_dropped_inside_its_own_block_on() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let handle = runtime.handle().clone();
        // A drop has no line of its own to blame.
        let text = handle.block_on(async move { panic_message(|| drop(runtime)) });
        assert_says(&text, &["`drop(Runtime)`", "inside the future of another `block_on`"]);
    });
}

#[test]
fn a_runtime_dropped_in_place_on_its_own_worker() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let handle = runtime.handle().clone();
    let (tell, told) = std::sync::mpsc::channel();
    handle.spawn(async move {
        let text = block_in_place(|| panic_message(|| drop(runtime)));
        tell.send(text).expect("the test listens");
    });
    let text = told.recv().expect("a worker does not wait for itself");
    assert_says(&text, &["`drop(Runtime)`", "was called inside task", file!()]);
}

#[test]
fn waiting_after_the_shutdown() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let handle = runtime.handle().clone();
        drop(runtime);
        let _entered = handle.enter();
        let text = panic_message(|| poll(sleep(Duration::from_secs(1))));
        assert_says(&text, &["`sleep`", file!(), "shut down"]);
        let listener = poll(TcpListener::bind("127.0.0.1:0")).expect("it does not wait");
        if let Ok(listener) = listener {
            let error = poll(listener.accept()).expect("it does not wait").expect_err("no driver");
            assert!(error.to_string().contains("shut down"), "{error}");
        }
        let resolved = poll(lookup_host("localhost:1")).expect("it does not wait");
        let Err(error) = resolved else { panic!("there is no thread for it") };
        assert!(error.to_string().contains("shut down"), "{error}");
    });
}

#[test]
fn a_join_handle_polled_after_its_result() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let mut task = runtime.spawn(async { 1 });
        assert_eq!(runtime.block_on(&mut task).expect("no panic"), 1);
        let id = task.id();
        let text = runtime.block_on(async { panic_message(|| poll(&mut task)) });
        assert_says(&text, &[&format!("`JoinHandle` of task {id}"), "polled again"]);
    });
}

#[test]
fn an_interval_of_zero() {
    let _watchdog = watch();
    let text = panics_here(|| interval(Duration::ZERO));
    assert_says(&text, &["`interval`", "zero"]);
}

#[track_caller]
fn refused(builder: Builder) -> String {
    let error = builder.build().expect_err("it cannot be built");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.to_string()
}

#[test]
fn a_runtime_that_cannot_be() {
    let _watchdog = watch();
    let text = refused(Builder::new().workers(0));
    assert_says(&text, &["`Builder::workers(0)`", "at least one worker"]);
    let single = || Builder::new().scheduler(Scheduler::SingleThreaded);
    let text = refused(single().workers(4));
    assert_says(&text, &["`Builder::workers(4)`", "a single-threaded runtime has one worker"]);
    let text = refused(single().workers(0));
    assert_says(&text, &["`Builder::workers(0)`"]);
    let text = refused(Builder::new().workers(usize::MAX));
    assert!(text.contains("Builder::workers"), "{text}");
    let text = refused(Builder::new().max_blocking_threads(0));
    assert_says(&text, &["`Builder::max_blocking_threads(0)`"]);
    for bytes in [0, (64 << 10) - 1] {
        let text = refused(Builder::new().stack_size(bytes));
        assert_says(&text, &[&format!("`Builder::stack_size({bytes})`"), "65536 bytes"]);
    }
    let text = refused(Builder::new().thread_name("a\0b"));
    assert!(text.contains("Builder::thread_name"), "{text}");
}

#[test]
fn a_scheduler_that_does_not_exist() {
    let error = "multi-threaded".parse::<Scheduler>().expect_err("there is none");
    assert_eq!(
        error.to_string(),
        "unknown scheduler \"multi-threaded\"; it is `work-stealing` or `single-threaded`"
    );
}

#[test]
fn a_blocking_socket_handed_to_from_std() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let _entered = runtime.enter();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let stream = std::net::TcpStream::connect(addr).expect("it listens");
        let error = TcpListener::from_std(listener).expect_err("it is blocking");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains("`TcpListener::from_std`"), "{text}");
        assert!(text.contains("`set_nonblocking(true)`"), "{text}");
        let error = TcpStream::from_std(stream).expect_err("it is blocking");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains("`TcpStream::from_std`"), "{text}");
        assert!(text.contains("`set_nonblocking(true)`"), "{text}");
    });
}

#[test]
fn guards_left_in_the_wrong_order() {
    let _watchdog = watch();
    let outcome = thread::spawn(|| {
        let (first, second) = (single_threaded(), single_threaded());
        let outer = first.enter();
        let inner = second.enter();
        let text = panic_message(move || drop(outer));
        drop(inner);
        text
    });
    let text = outcome.join().expect("the panic was caught");
    assert_says(&text, &["`EnterGuard`", "reverse order"]);
}
