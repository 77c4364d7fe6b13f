//! The life of a task, as its handles see it.

use std::collections::HashSet;
use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;

use runtime::task::{self, yield_now};
use runtime::{AbortHandle, Handle, JoinError, JoinHandle, Runtime};
use windlass_tests::{DropCount, both_modes, single_threaded, watch, work_stealing};

fn assert_send<T: Send>() {}
fn assert_sync<T: Sync>() {}
fn assert_static<T: 'static>() {}

#[test]
fn handles_are_send_and_sync() {
    assert_send::<JoinHandle<Box<dyn Send>>>();
    assert_sync::<JoinHandle<std::cell::Cell<u8>>>();
    assert_static::<JoinHandle<()>>();
    assert_send::<AbortHandle>();
    assert_sync::<AbortHandle>();
    assert_send::<JoinError>();
    assert_sync::<JoinError>();
    assert_send::<Runtime>();
    assert_sync::<Runtime>();
    assert_send::<Handle>();
    assert_sync::<Handle>();
    fn unpin<T: Unpin>() {}
    unpin::<JoinHandle<std::marker::PhantomPinned>>();
}

#[test]
fn a_task_runs_whether_or_not_it_is_awaited() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (done, is_done) = async_channel::bounded(1);
        drop(runtime.spawn(async move { done.send(7).await }));
        assert_eq!(runtime.block_on(is_done.recv()), Ok(7));
    });
}

#[test]
fn the_output_reaches_whoever_awaits_the_handle() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let before = runtime.spawn(async { String::from("early") });
        assert_eq!(runtime.block_on(before).expect("no panic"), "early");
        // Awaited by another task, on another runtime, and polled by two wakers in turn.
        let slow = runtime.spawn(async {
            yield_now().await;
            String::from("late")
        });
        let other = work_stealing(1);
        let waiting = other.spawn(slow);
        let late = runtime.block_on(waiting).expect("no panic").expect("no panic");
        assert_eq!(late, "late");
    });
}

#[test]
fn only_the_last_waker_of_a_handle_is_woken() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (go, may_go) = async_channel::bounded::<()>(1);
        let mut task = runtime.spawn(async move { may_go.recv().await.is_ok() });
        let stale = Arc::new(CountWakes::default());
        let waker = Waker::from(stale.clone());
        let mut cx = Context::from_waker(&waker);
        assert!(std::pin::Pin::new(&mut task).poll(&mut cx).is_pending());
        let result = runtime.block_on(async {
            let mut go = Some(go);
            poll_fn(|cx| {
                let poll = std::pin::Pin::new(&mut task).poll(cx);
                // Only now that it has the second waker may it complete.
                if let Some(go) = go.take() {
                    go.try_send(()).expect("there is room");
                }
                poll
            })
            .await
        });
        assert!(result.expect("no panic"));
        assert_eq!(stale.0.load(Ordering::SeqCst), 0);
        drop(waker);
        drop(task);
        assert_eq!(Arc::strong_count(&stale), 1, "a waker was kept");
    });
}

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl std::task::Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn is_finished_says_when_there_is_a_result() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (go, may_go) = async_channel::bounded::<()>(1);
        let mut task = runtime.spawn(async move { may_go.recv().await });
        let abort = task.abort_handle();
        runtime.block_on(yield_now());
        assert!(!task.is_finished() && !abort.is_finished());
        go.try_send(()).expect("there is room");
        runtime.block_on(&mut task).expect("no panic").expect("a message");
        assert!(task.is_finished() && abort.is_finished());
    });
}

#[test]
fn ids_are_unique_and_known_inside_and_outside() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let runtime = Arc::new(runtime);
        let spawners: Vec<_> = (0..4)
            .map(|_| {
                let runtime = runtime.clone();
                thread::spawn(move || {
                    let spawn = |_| runtime.spawn(async { task::id() });
                    (0..3000).map(spawn).collect::<Vec<_>>()
                })
            })
            .collect();
        let mut ids = HashSet::new();
        for spawner in spawners {
            for task in spawner.join().expect("no panic") {
                let id = task.id();
                assert_eq!(task.abort_handle().id(), id);
                assert_eq!(runtime.block_on(task).expect("no panic"), id);
                assert!(ids.insert(id), "{id} came twice");
            }
        }
        assert_eq!(runtime.block_on(async { task::try_id() }), None);
    });
}

#[test]
fn a_task_that_spawns_inside_a_poll_keeps_its_own_id() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let ids = runtime.spawn(async {
            let before = task::id();
            let inner = runtime::spawn(async { task::id() });
            assert_eq!(task::id(), before);
            let local = runtime::spawn_local(async { task::id() });
            let [inner, local] = [inner.await.expect("no panic"), local.await.expect("no panic")];
            assert_eq!(task::id(), before);
            [before, inner, local]
        });
        let [outer, inner, local] = runtime.block_on(ids).expect("no panic");
        assert!(outer != inner && inner != local && outer != local);
    });
}

#[test]
fn every_way_to_spawn_gives_a_task() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let named = || task::Builder::new().name("job");
        let handle = runtime.handle().clone();
        runtime.block_on(async move {
            assert_eq!(runtime::spawn(async { 1 }).await.expect("no panic"), 1);
            assert_eq!(runtime::spawn_local(async { 2 }).await.expect("no panic"), 2);
            assert_eq!(runtime::spawn_blocking(|| 3).await.expect("no panic"), 3);
            assert_eq!(handle.spawn(async { 4 }).await.expect("no panic"), 4);
            assert_eq!(handle.spawn_blocking(|| 5).await.expect("no panic"), 5);
            assert_eq!(named().spawn(async { 6 }).await.expect("no panic"), 6);
            assert_eq!(named().spawn_local(async { 7 }).await.expect("no panic"), 7);
            assert_eq!(named().spawn_blocking(|| 8).await.expect("no panic"), 8);
            assert_eq!(named().spawn_on(async { 9 }, &handle).await.expect("no panic"), 9);
        });
        assert_eq!(runtime.block_on(runtime.spawn(async { 10 })).expect("no panic"), 10);
        assert_eq!(runtime.block_on(runtime.spawn_blocking(|| 11)).expect("no panic"), 11);
    });
}

#[test]
fn a_future_and_its_output_are_each_dropped_once() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (futures, outputs) = (DropCount::new(), DropCount::new());
        let spawn = || {
            let (future, output) = (futures.token(), outputs.token());
            runtime.spawn(async move {
                let _future = future;
                yield_now().await;
                output
            })
        };
        let output = runtime.block_on(spawn()).expect("no panic");
        assert_eq!((futures.get(), outputs.get()), (1, 0));
        drop(output);
        assert_eq!((futures.get(), outputs.get()), (1, 1));
        // Complete, and never asked for.
        let task = spawn();
        while !task.is_finished() {
            runtime.block_on(yield_now());
        }
        assert_eq!((futures.get(), outputs.get()), (2, 1));
        drop(task);
        assert_eq!((futures.get(), outputs.get()), (2, 2));
        // Detached before it runs.
        drop(spawn());
        while runtime.metrics().live_tasks > 0 {
            runtime.block_on(yield_now());
        }
        assert_eq!((futures.get(), outputs.get()), (3, 3));
    });
}

#[test]
fn a_task_is_freed_when_only_a_waker_is_left() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (waker, wakers) = mpsc::channel();
        let token = drops.token();
        let task = runtime.spawn(poll_fn(move |cx| {
            let _token = &token;
            waker.send(cx.waker().clone()).expect("the test listens");
            Poll::Ready(())
        }));
        runtime.block_on(task).expect("no panic");
        assert_eq!(drops.get(), 1);
        let waker: Waker = wakers.recv().expect("it was polled");
        waker.wake_by_ref();
        waker.wake();
    });
}

#[test]
fn a_million_wakes_of_a_task_are_as_good_as_one() {
    let _watchdog = watch();
    let runtime = single_threaded();
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let task = runtime.spawn(poll_fn(move |cx| {
        if counted.fetch_add(1, Ordering::SeqCst) == 1 {
            return Poll::Ready(());
        }
        for _ in 0..1_000_000 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }));
    runtime.block_on(task).expect("no panic");
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

#[test]
fn a_handle_may_be_dropped_by_the_task_itself() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (give, take) = async_channel::bounded::<JoinHandle<()>>(1);
        let drops = DropCount::new();
        let token = drops.token();
        let task = runtime.spawn(async move {
            let _token = token;
            drop(take.recv().await.expect("it gets its own handle"));
            pending::<()>().await
        });
        let abort = task.abort_handle();
        give.try_send(task).expect("there is room");
        while !give.is_empty() {
            runtime.block_on(yield_now());
        }
        abort.abort();
        while drops.get() == 0 {
            runtime.block_on(yield_now());
        }
        assert_eq!(drops.get(), 1);
    });
}

#[test]
fn who_joins_many_is_not_woken_by_each() {
    let _watchdog = watch();
    let runtime = single_threaded();
    let polls = runtime.block_on(runtime.spawn(async {
        let tasks: Vec<_> = (0..100).map(|_| runtime::spawn(async {})).collect();
        let mut joined = Box::pin(async {
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        let mut polls = 0;
        poll_fn(|cx| {
            polls += 1;
            joined.as_mut().poll(cx)
        })
        .await;
        polls
    }));
    // At first none has ended, and when the first has, the others have their turn before.
    assert_eq!(polls.expect("no panic"), 2);
}
