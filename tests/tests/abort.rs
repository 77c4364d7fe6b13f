//! An aborted task ends at its next `.await`, whatever it does and whoever aborts it.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use runtime::task::yield_now;
use runtime::time::sleep;
use runtime::{JoinHandle, Runtime};
use windlass_tests::{DropCount, both_modes, single_threaded, watch, work_stealing};

#[track_caller]
fn assert_aborted<T>(runtime: &Runtime, task: JoinHandle<T>) {
    let Err(error) = runtime.block_on(task) else { panic!("it was aborted, and has a result") };
    assert!(error.is_cancelled() && !error.is_shutdown() && !error.is_panic(), "{error}");
    assert!(error.to_string().ends_with("was aborted"), "{error}");
    error.try_into_panic().expect_err("it did not panic");
}

#[test]
fn before_the_first_poll() {
    let _watchdog = watch();
    let runtime = single_threaded();
    let drops = DropCount::new();
    let token = drops.token();
    let task = runtime.spawn(async move {
        let _token = token;
        unreachable!("it was aborted before");
    });
    task.abort();
    task.abort();
    assert_aborted(&runtime, task);
    assert_eq!(drops.get(), 1);
}

#[test]
fn while_it_waits() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (started, has_started) = async_channel::bounded(1);
        let token = drops.token();
        let task = runtime.spawn(async move {
            let _token = token;
            started.try_send(()).expect("there is room");
            sleep(Duration::from_secs(3600)).await;
        });
        runtime.block_on(has_started.recv()).expect("it starts");
        task.abort();
        assert_aborted(&runtime, task);
        assert_eq!(drops.get(), 1);
        // The handle is told before the task is counted out.
        while runtime.metrics().live_tasks > 0 {
            runtime.block_on(yield_now());
        }
    });
}

#[test]
fn while_it_runs() {
    let _watchdog = watch();
    let runtime = work_stealing(1);
    let drops = DropCount::new();
    let (started, has_started) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let token = drops.token();
    let task = runtime.spawn(async move {
        let _token = token;
        started.send(()).expect("the test listens");
        may_go.recv().expect_err("the test drops it");
        pending::<()>().await
    });
    has_started.recv().expect("it starts");
    task.abort();
    assert_eq!(drops.get(), 0, "its future was dropped under it");
    drop(go);
    assert_aborted(&runtime, task);
    assert_eq!(drops.get(), 1);
}

#[test]
fn while_it_runs_its_last_poll() {
    let _watchdog = watch();
    let runtime = work_stealing(1);
    let (started, has_started) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let task = runtime.spawn(async move {
        started.send(()).expect("the test listens");
        may_go.recv().expect_err("the test drops it");
        7
    });
    has_started.recv().expect("it starts");
    task.abort();
    drop(go);
    // There was no further `.await` to end at.
    assert_eq!(runtime.block_on(task).expect("it has completed"), 7);
}

#[test]
fn by_itself() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (give, take) = async_channel::bounded(1);
        let task = runtime.spawn(async move {
            let own: runtime::AbortHandle = take.recv().await.expect("it gets its handle");
            own.abort();
            pending::<()>().await
        });
        give.try_send(task.abort_handle()).expect("there is room");
        assert_aborted(&runtime, task);
    });
}

#[test]
fn after_it_has_completed() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let mut task = runtime.spawn(async { 7 });
        while !task.is_finished() {
            runtime.block_on(yield_now());
        }
        let abort = task.abort_handle();
        task.abort();
        abort.abort();
        assert_eq!(runtime.block_on(&mut task).expect("it has completed"), 7);
        task.abort();
    });
}

#[test]
fn after_the_runtime_has_ended() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(pending::<()>());
        let abort = task.abort_handle();
        drop(runtime);
        abort.abort();
        task.abort();
        let error = single_threaded().block_on(task).expect_err("its runtime has ended");
        assert!(error.is_shutdown());
    });
}

#[test]
fn from_a_plain_thread_while_the_runtime_sleeps() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (ready, is_ready) = mpsc::channel::<runtime::AbortHandle>();
        let aborter = thread::spawn(move || is_ready.recv().expect("a handle comes").abort());
        let token = drops.token();
        let error = runtime.block_on(async {
            let task = runtime::spawn(async move {
                let _token = token;
                pending::<()>().await
            });
            yield_now().await;
            ready.send(task.abort_handle()).expect("the thread listens");
            task.await.expect_err("it was aborted")
        });
        assert!(error.is_cancelled());
        assert_eq!(drops.get(), 1);
        aborter.join().expect("no panic");
    });
}

#[test]
fn against_wakes_and_completion_from_other_threads() {
    let _watchdog = watch();
    both_modes(|runtime| {
        const TASKS: usize = 2000;
        let (futures, outputs) = (DropCount::new(), DropCount::new());
        let (handles, aborted) = mpsc::channel::<runtime::AbortHandle>();
        let aborter = thread::spawn(move || aborted.iter().for_each(|task| task.abort()));
        let (mut completed, mut cancelled) = (0, 0);
        runtime.block_on(async {
            let mut tasks = Vec::new();
            for number in 0..TASKS {
                let (future, output) = (futures.token(), outputs.token());
                let task = runtime::spawn(async move {
                    let _future = future;
                    for _ in 0..number % 4 {
                        yield_now().await;
                    }
                    output
                });
                handles.send(task.abort_handle()).expect("the thread listens");
                tasks.push(task);
            }
            for task in tasks {
                match task.await {
                    Ok(_output) => completed += 1,
                    Err(error) => {
                        assert!(error.is_cancelled());
                        cancelled += 1;
                    }
                }
            }
        });
        drop(handles);
        aborter.join().expect("no panic");
        assert_eq!(completed + cancelled, TASKS);
        assert_eq!((futures.get(), outputs.get()), (TASKS, TASKS));
    });
}

#[test]
fn a_blocking_call_that_runs_is_not_interrupted_and_one_that_waits_is_dropped() {
    let _watchdog = watch();
    let runtime = runtime::Builder::new().workers(1).max_blocking_threads(1).build();
    let runtime = runtime.expect("the system has threads");
    let (started, has_started) = mpsc::channel();
    let (go, may_go) = mpsc::channel::<()>();
    let running = runtime.spawn_blocking(move || {
        started.send(()).expect("the test listens");
        may_go.recv().expect_err("the test drops it");
        7
    });
    let drops = DropCount::new();
    let token = drops.token();
    let queued = runtime.spawn_blocking(move || drop(token));
    has_started.recv().expect("it starts");
    running.abort();
    queued.abort();
    drop(go);
    assert_eq!(runtime.block_on(running).expect("it runs to its end"), 7);
    assert_aborted(&runtime, queued);
    assert_eq!(drops.get(), 1);
}

#[test]
fn the_waiting_side_may_be_dropped_at_any_poll() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (go, may_go) = async_channel::bounded::<()>(1);
        let mut task = runtime.spawn(async move { may_go.recv().await.is_ok() });
        runtime.block_on(async {
            let mut waiting = pin!(&mut task);
            poll_fn(|cx| {
                assert!(waiting.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
        go.try_send(()).expect("there is room");
        assert!(runtime.block_on(&mut task).expect("nothing was lost"));
    });
}
