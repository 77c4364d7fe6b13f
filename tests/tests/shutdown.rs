//! The end of a runtime drops every task once, hangs on nothing, and is seen by whoever is left.

use std::cell::RefCell;
use std::future::pending;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use runtime::fs::File;
use runtime::io::AsyncWrite;
use runtime::net::TcpListener;
use runtime::task::block_in_place;
use runtime::time::{sleep, timeout};
use runtime::{Builder, Handle, JoinHandle, Runtime};
use windlass_tests::{
    Dir, DropCount, StuckTask, both_modes, foreign_block_on, single_threaded, watch, work_stealing,
};

/// Waits for a task on another runtime; its own has ended.
#[track_caller]
fn assert_is_shutdown<T>(task: JoinHandle<T>) {
    let Err(error) = single_threaded().block_on(task) else {
        panic!("the task has a result, although its runtime was shut down");
    };
    assert!(error.is_shutdown() && error.is_cancelled() && !error.is_panic(), "{error}");
}

#[test]
fn every_task_is_dropped_once_wherever_it_is() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (entered, is_entered) = async_channel::unbounded();
        let mut tasks = Vec::new();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let spawn_waiting = |future: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| {
            let (token, entered) = (drops.token(), entered.clone());
            runtime.spawn(async move {
                let _token = token;
                entered.try_send(()).expect("the channel has no limit");
                future.await;
            })
        };
        tasks.push(spawn_waiting(Box::pin(pending())));
        tasks.push(spawn_waiting(Box::pin(sleep(Duration::from_secs(3600)))));
        tasks.push(spawn_waiting(Box::pin(sleep(Duration::MAX))));
        tasks.push(spawn_waiting(Box::pin(async move { drop(listener.accept().await) })));
        tasks.push(spawn_waiting(Box::pin(async {
            loop {
                runtime::task::yield_now().await;
            }
        })));
        for _ in 0..5 {
            runtime.block_on(is_entered.recv()).expect("each task says so");
        }
        // In single-threaded mode these are never polled.
        for _ in 0..100 {
            let token = drops.token();
            tasks.push(runtime.spawn(async move {
                let _token = token;
                pending().await
            }));
        }
        let handle = runtime.handle().clone();
        drop(runtime);
        assert_eq!(drops.get(), 105);
        assert_eq!(handle.metrics().live_tasks, 0);
        tasks.into_iter().for_each(assert_is_shutdown);
        assert_eq!(drops.get(), 105);
    });
}

#[test]
fn local_tasks_of_a_worker_are_dropped_on_its_thread() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let (dropped, was_dropped) = mpsc::channel();
    struct Tell(mpsc::Sender<thread::ThreadId>, PhantomData<Rc<()>>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).expect("the test listens");
        }
    }
    let spawned_on = runtime.block_on(runtime.spawn(async move {
        let tell = Tell(dropped, PhantomData);
        runtime::spawn_local(async move {
            let _tell = tell;
            pending::<()>().await
        });
        thread::current().id()
    }));
    drop(runtime);
    let dropped_on = was_dropped.recv().expect("the task is dropped");
    assert_eq!(dropped_on, spawned_on.expect("it does not panic"));
}

/// Spawns when it is dropped, and reports what came of it.
struct SpawnOnDrop(mpsc::Sender<[JoinHandle<()>; 3]>, DropCount);

impl Drop for SpawnOnDrop {
    fn drop(&mut self) {
        let handle = Handle::current();
        let (token, other) = (self.1.token(), self.1.token());
        let spawned = [
            handle.spawn(async move { drop(token) }),
            runtime::spawn(async move { drop(other) }),
            runtime::spawn_blocking(|| ()),
        ];
        self.0.send(spawned).expect("the test listens");
    }
}

#[test]
fn what_is_spawned_in_a_drop_during_shutdown_is_cancelled() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (spawned, was_spawned) = mpsc::channel();
        let drops = DropCount::new();
        let (entered, is_entered) = async_channel::bounded(2);
        for _ in 0..2 {
            let guard = SpawnOnDrop(spawned.clone(), drops.clone());
            let entered = entered.clone();
            runtime.spawn(async move {
                let _guard = guard;
                entered.try_send(()).expect("there is room");
                pending::<()>().await;
            });
            runtime.block_on(is_entered.recv()).expect("the task says so");
        }
        drop((runtime, spawned));
        let mut spawned = 0;
        for [task, other, call] in was_spawned.iter() {
            assert_is_shutdown(task);
            assert_is_shutdown(other);
            // The threads for such calls are the last to go, so it may have been in time.
            if let Err(error) = single_threaded().block_on(call) {
                assert!(error.is_shutdown(), "{error}");
            }
            spawned += 2;
        }
        assert_eq!(spawned, 4);
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn spawning_after_shutdown_is_an_error_and_not_a_hang() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let handle = runtime.handle().clone();
        let drops = DropCount::new();
        drop(runtime);
        let token = drops.token();
        assert_is_shutdown(handle.spawn(async move { drop(token) }));
        let token = drops.token();
        assert_is_shutdown(handle.spawn_blocking(move || drop(token)));
        // In the runtime, as before its end.
        let (spawned, was_spawned) = mpsc::channel();
        let guards = [(); 2].map(|()| SpawnOnDrop(spawned.clone(), drops.clone()));
        let [in_task, in_call] = guards;
        assert_is_shutdown(handle.spawn(async move { drop(in_task) }));
        assert_is_shutdown(handle.spawn_blocking(move || drop(in_call)));
        drop(spawned);
        for task in was_spawned.iter().flatten() {
            assert_is_shutdown(task);
        }
        let _entered = handle.enter();
        assert_is_shutdown(runtime::spawn(async {}));
        assert_is_shutdown(runtime::spawn_blocking(|| ()));
        assert_is_shutdown(runtime::task::Builder::new().name("late").spawn(async {}));
        assert_eq!(drops.get(), 6);
    });
}

#[test]
fn shutdown_waits_for_a_stuck_blocking_call_no_longer_than_it_may() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (release, is_released) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let call = runtime.spawn_blocking(move || {
            started.send(()).expect("the test listens");
            is_released.recv().expect_err("the test drops it");
            7
        });
        has_started.recv().expect("the call starts");
        let began = Instant::now();
        runtime.shutdown(Duration::from_millis(50));
        assert!(began.elapsed() >= Duration::from_millis(50));
        // It was left to itself, and still has its result.
        drop(release);
        assert_eq!(single_threaded().block_on(call).expect("it was not cancelled"), 7);
    });
}

#[test]
fn shutdown_with_zero_does_not_wait() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (release, is_released) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        runtime.spawn_blocking(move || {
            started.send(()).expect("the test listens");
            is_released.recv()
        });
        has_started.recv().expect("the call starts");
        // The watchdog is the test: nobody releases the call before this returns.
        runtime.shutdown(Duration::ZERO);
        drop(release);
    });
}

/// Waits for the test when its thread is torn down.
struct Late(mpsc::Receiver<()>);

impl Drop for Late {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

#[test]
fn shutdown_does_not_wait_for_the_destructors_of_thread_locals() {
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }
    let _watchdog = watch();
    let runtime = work_stealing(1);
    let (release, gate) = mpsc::channel();
    let task = runtime.spawn(async move { LATE.set(Some(Late(gate))) });
    runtime.block_on(task).expect("no panic");
    // As long as the watchdog has patience.
    runtime.shutdown(Duration::from_secs(3600));
    drop(release);
}

#[test]
fn shutdown_without_limit_and_drop_wait_for_blocking_calls() {
    let _watchdog = watch();
    let ends: [fn(Runtime); 2] = [|runtime| runtime.shutdown(Duration::MAX), drop];
    for end in ends {
        both_modes(|runtime| {
            let drops = DropCount::new();
            let token = drops.token();
            let (release, is_released) = mpsc::channel::<()>();
            let (started, has_started) = mpsc::channel();
            runtime.spawn_blocking(move || {
                let _token = token;
                started.send(()).expect("the test listens");
                is_released.recv()
            });
            has_started.recv().expect("the call starts");
            // Releases the call when the shutdown has begun, which a waiting task tells.
            let waiting = runtime.spawn(pending::<()>());
            let releaser = thread::spawn(move || {
                while !waiting.is_finished() {
                    thread::yield_now();
                }
                drop(release);
            });
            end(runtime);
            assert_eq!(drops.get(), 1, "it returned before the call did");
            releaser.join().expect("it does not panic");
        });
    }
}

#[test]
fn blocking_calls_that_have_not_started_are_dropped() {
    let _watchdog = watch();
    let runtime = Builder::new().workers(1).max_blocking_threads(1).build().expect("threads");
    let (release, is_released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    runtime.spawn_blocking(move || {
        started.send(()).expect("the test listens");
        is_released.recv()
    });
    has_started.recv().expect("the call starts");
    let drops = DropCount::new();
    let queued: Vec<_> = (0..10)
        .map(|_| {
            let token = drops.token();
            runtime.spawn_blocking(move || drop(token))
        })
        .collect();
    assert_eq!(runtime.metrics().blocking_queue, 10);
    runtime.shutdown(Duration::ZERO);
    assert_eq!(drops.get(), 10);
    queued.into_iter().for_each(assert_is_shutdown);
    drop(release);
}

#[test]
fn shutdown_does_not_wait_for_a_stuck_task_longer_than_it_may() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let (release, is_released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let drops = DropCount::new();
    let token = drops.token();
    let stuck = runtime.spawn(async move {
        let _token = token;
        started.send(()).expect("the test listens");
        is_released.recv().expect_err("the test drops it");
        pending::<()>().await;
    });
    has_started.recv().expect("the task starts");
    runtime.shutdown(Duration::from_millis(10));
    assert_eq!(drops.get(), 0, "it still runs");
    drop(release);
    assert_is_shutdown(stuck);
    assert_eq!(drops.get(), 1);
}

/// The timers have ended under it, before its next `.await`.
#[test]
fn a_task_that_runs_after_the_deadline_is_dropped_where_it_waits_for_a_timer() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (release, is_released) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let handle = runtime.handle().clone();
        let stuck = handle.spawn(async move {
            let mut armed = pin!(sleep(Duration::from_secs(3600)));
            assert!(futures_util::poll!(armed.as_mut()).is_pending());
            started.send(()).expect("the test listens");
            is_released.recv().expect_err("the test drops it");
            assert!(futures_util::poll!(armed.as_mut()).is_pending());
            timeout(Duration::from_secs(3600), sleep(Duration::from_secs(3600))).await
        });
        let waits = thread::spawn(move || handle.block_on(stuck));
        has_started.recv().expect("the task starts");
        runtime.shutdown(Duration::from_millis(10));
        drop(release);
        let error = waits.join().expect("no panic").expect_err("it never ends by itself");
        assert!(error.is_shutdown(), "{error}");
    });
}

/// Its worker is a spare one, which does not turn the timers that it uses.
#[test]
fn a_task_on_a_spare_worker_is_dropped_where_it_waits_for_a_timer() {
    let _watchdog = watch();
    let runtime = work_stealing(1);
    let stuck = StuckTask::spawn(runtime.handle());
    let (release, is_released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let task = runtime.spawn(async move {
        started.send(()).expect("the test listens");
        is_released.recv().expect_err("the test drops it");
        sleep(Duration::from_secs(3600)).await;
    });
    has_started.recv().expect("a spare worker runs it");
    runtime.shutdown(Duration::from_millis(10));
    drop(release);
    assert_is_shutdown(task);
    drop(stuck.release());
}

/// The monitor, which would turn the timers of a worker in place, looks after nobody any more.
#[test]
fn a_worker_that_waits_for_a_timer_in_an_executor_of_its_own_does_not_hang_the_end() {
    let _watchdog = watch();
    for workers in [1, 2] {
        let runtime = work_stealing(workers);
        let (started, has_started) = mpsc::channel();
        runtime.spawn(async move {
            block_in_place(|| {
                started.send(()).expect("the test listens");
                foreign_block_on(sleep(Duration::from_millis(50)));
            });
        });
        has_started.recv().expect("the task starts");
        drop(runtime);
    }
}

/// The future of `block_on` belongs to its caller, and goes on.
#[test]
fn a_future_that_runs_after_the_deadline_goes_on_waiting_for_a_timer() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (release, is_released) = mpsc::channel::<()>();
        let (started, has_started) = mpsc::channel();
        let handle = runtime.handle().clone();
        let waits = thread::spawn(move || {
            handle.block_on(async move {
                let mut armed = pin!(sleep(Duration::from_millis(20)));
                assert!(futures_util::poll!(armed.as_mut()).is_pending());
                started.send(()).expect("the test listens");
                is_released.recv().expect_err("the test drops it");
                armed.await;
                sleep(Duration::from_millis(1)).await;
            });
        });
        has_started.recv().expect("the future starts");
        runtime.shutdown(Duration::from_millis(10));
        drop(release);
        waits.join().expect("no panic");
    });
}

#[test]
fn tasks_spawned_during_shutdown_by_other_threads_are_dropped_too() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (begun, have_begun) = mpsc::channel();
        let spawners: Vec<_> = (0..3)
            .map(|_| {
                let (handle, drops, begun) =
                    (runtime.handle().clone(), drops.clone(), begun.clone());
                thread::spawn(move || {
                    let canary = handle.spawn(pending::<()>());
                    let mut spawned = 0;
                    while !canary.is_finished() {
                        let token = drops.token();
                        handle.spawn(async move {
                            let _token = token;
                            pending::<()>().await
                        });
                        spawned += 1;
                        if spawned == 1000 {
                            begun.send(()).expect("the test listens");
                        }
                    }
                    spawned
                })
            })
            .collect();
        (0..3).for_each(|_| have_begun.recv().expect("each spawner says so"));
        drop(runtime);
        let spawned: usize =
            spawners.into_iter().map(|spawner| spawner.join().expect("no panic")).sum();
        assert_eq!(drops.get(), spawned);
    });
}

#[test]
fn a_block_on_that_is_under_way_goes_on_after_the_shutdown() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let handle = runtime.handle().clone();
        let (entered, is_entered) = mpsc::channel();
        let (go, may_go) = async_channel::bounded::<()>(1);
        let drops = DropCount::new();
        let token = drops.token();
        let blocked = thread::spawn(move || {
            handle.block_on(async move {
                let task = runtime::spawn(async move {
                    let _token = token;
                    pending::<()>().await
                });
                entered.send(()).expect("the test listens");
                may_go.recv().await.expect("the test says go");
                task.await.expect_err("the runtime has ended").is_shutdown()
            })
        });
        is_entered.recv().expect("the thread says so");
        runtime.shutdown(Duration::MAX);
        assert_eq!(drops.get(), 1);
        go.try_send(()).expect("there is room");
        assert!(blocked.join().expect("no panic"));
    });
}

#[test]
fn a_blocking_call_that_drops_its_own_runtime_leaves_no_accepted_byte_behind() {
    let _watchdog = watch();
    let dir = Dir::new();
    for threads in [1, 2] {
        let path = dir.file(&threads.to_string());
        let runtime = Builder::new().max_blocking_threads(threads).build().expect("a runtime");
        let handle = runtime.handle().clone();
        let (tell, told) = mpsc::channel();
        drop(handle.clone().spawn_blocking(move || {
            let _entered = handle.enter();
            let mut file = File::from_std(std::fs::File::create(&path).expect("a new file"));
            let mut cx = Context::from_waker(Waker::noop());
            let accepted = Pin::new(&mut file).poll_write(&mut cx, b"accepted");
            assert!(matches!(accepted, Poll::Ready(Ok(8))), "{accepted:?}");
            drop(runtime);
            tell.send(std::fs::read(&path).expect("it was made")).expect("the test listens");
        }));
        let written = told.recv().expect("the call does not wait for itself");
        assert_eq!(written, b"accepted", "{threads}");
    }
}
