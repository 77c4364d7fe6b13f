//! `block_in_place`: who says that it blocks may do so, and nobody waits for it.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::poll;
use runtime::net::{TcpListener, TcpStream};
use runtime::task::{self, block_in_place, consume_budget, yield_now};
use runtime::time::sleep;
use runtime::{Builder, Handle, Metrics, Runtime, Scheduler};
use windlass_tests::{
    StuckTask, message_of, named, panic_message, single_threaded, thread_name, threads_named,
    wait_at, wait_until, watch, work_stealing,
};

fn one_worker() -> Builder {
    Builder::new().workers(1).blocked_after(Duration::MAX)
}

fn start(builder: Builder) -> Runtime {
    builder.build().expect("the system has threads")
}

/// Has everything that a worker serves used once, by other tasks.
async fn use_everything() {
    runtime::spawn(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let client = runtime::spawn(async move {
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            stream.write_all(b"x").await.expect("it is read");
        });
        let (mut stream, _) = listener.accept().await.expect("somebody connects");
        stream.read_exact(&mut [0]).await.expect("a byte comes");
        client.await.expect("no panic");
        sleep(Duration::from_millis(3)).await;
        runtime::spawn_local(yield_now()).await.expect("no panic");
        runtime::spawn_blocking(|| ()).await.expect("no panic");
    })
    .await
    .expect("no panic");
}

#[test]
fn others_go_on_although_the_only_worker_blocks() {
    let _watchdog = watch();
    // Without spare workers for stuck tasks too: who says so beforehand always gets a substitute.
    for spare_workers in [0, 1] {
        let runtime = start(one_worker().spare_workers(spare_workers));
        let (release, gate) = mpsc::channel();
        let (entered, has_entered) = mpsc::channel();
        let blocking = runtime.spawn(async move {
            // What waits in the queue of this worker must get away from it.
            let queued = [0; 5].map(|_| runtime::spawn(async { thread_name() }));
            let own = thread_name();
            block_in_place(|| {
                entered.send(()).expect("the test waits");
                wait_at(&gate);
                assert_eq!(thread_name(), own);
            });
            for task in queued {
                assert_ne!(task.await.expect("no panic"), own);
            }
        });
        has_entered.recv().expect("it is called");
        runtime.block_on(use_everything());
        drop(release);
        runtime.block_on(blocking).expect("no panic");
        runtime.block_on(use_everything());
    }
}

#[test]
fn what_it_wakes_and_spawns_inside_runs_at_once() {
    let _watchdog = watch();
    let runtime = start(one_worker());
    let task = runtime.spawn(async {
        let (send, receive) = async_channel::bounded(1);
        let (told, is_told) = mpsc::channel();
        let also_told = told.clone();
        let woken = runtime::spawn(async move { told.send(receive.recv().await.expect("open")) });
        yield_now().await;
        block_in_place(|| {
            send.try_send(1).expect("there is room");
            assert_eq!(is_told.recv(), Ok(1), "the task that was woken runs");
            runtime::spawn(async move { also_told.send(2) });
            assert_eq!(is_told.recv(), Ok(2), "and so does the one that was spawned");
        });
        woken.await.expect("no panic").expect("the closure has received it");
    });
    runtime.block_on(task).expect("no panic");
}

/// What is found at once is queued on the worker that finds it, which tells others in the end; not so, if
/// one of them blocks.
#[test]
fn what_a_foreign_waker_spawns_in_place_is_told_to_others() {
    struct Blocks(async_channel::Sender<usize>);

    impl Wake for Blocks {
        fn wake(self: Arc<Self>) {
            let handle = Handle::current();
            let queued = block_in_place(|| {
                // Nobody is about to look by chance.
                wait_until(&handle, |metrics| metrics.parked_workers > 0);
                let (told, is_told) = mpsc::channel();
                runtime::spawn(async move { told.send(()) });
                let queued = handle.metrics().workers[0].queued;
                is_told.recv().expect("somebody else runs it");
                queued
            });
            self.0.try_send(queued).expect("there is room");
        }
    }

    let _watchdog = watch();
    let runtime = start(one_worker());
    let task = runtime.spawn(async {
        let (woken, is_woken) = async_channel::bounded(1);
        let waker = Waker::from(Arc::new(Blocks(woken)));
        let mut sleep = pin!(sleep(Duration::from_millis(1)));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        is_woken.recv().await.expect("it fires")
    });
    assert_eq!(runtime.block_on(task).expect("no panic"), 0, "on the worker that blocks");
}

#[test]
fn nested_calls_are_one() {
    let _watchdog = watch();
    let runtime = start(one_worker());
    let task = runtime.spawn(async {
        block_in_place(|| {
            let inner = block_in_place(|| block_in_place(|| 7));
            // The inner ones are over; the outer one still has leave to block. What is woken here is
            // told to the others, and what they have left to do is not taken back.
            let (told, is_told) = mpsc::channel();
            runtime::spawn(async move { told.send(inner) });
            is_told.recv().expect("somebody else runs it")
        })
    });
    assert_eq!(runtime.block_on(task).expect("no panic"), 7);
}

#[test]
fn block_on_is_allowed_inside() {
    let _watchdog = watch();
    let runtime = start(one_worker());
    let other = [single_threaded(), work_stealing(1)];
    let task = runtime.spawn(async move {
        let id = task::id();
        for _ in 0..3 {
            let handle = Handle::current();
            block_in_place(|| handle.block_on(use_everything()));
            // Runtimes of their own as well.
            block_in_place(|| other.iter().for_each(|other| other.block_on(use_everything())));
            // And the next level: on this thread a future is run now, and no task.
            block_in_place(|| {
                handle.block_on(async { block_in_place(|| sleep(Duration::ZERO)).await })
            });
            assert_eq!(task::id(), id);
            use_everything().await;
        }
        block_in_place(move || drop(other));
    });
    runtime.block_on(task).expect("no panic");
}

#[test]
fn afterwards_the_thread_is_a_worker_as_before() {
    let _watchdog = watch();
    let runtime = start(one_worker());
    let task = runtime.spawn(async {
        let (id, thread) = (task::id(), thread_name());
        assert_eq!(block_in_place(thread_name), thread);
        assert_eq!(task::id(), id);
        let text = panic_message(|| Handle::current().block_on(async {}));
        assert!(text.contains("`block_on` was called inside task"), "{text}");
        // The budget counts again, and was not used by what happened inside.
        block_in_place(|| {
            Handle::current().block_on(async {
                for _ in 0..10_000 {
                    consume_budget().await;
                }
            });
        });
        let mut left = 0;
        while poll!(pin!(consume_budget())).is_ready() {
            left += 1;
            assert!(left < 10_000, "nothing is counted any more");
        }
        assert!(left > 100, "{left} left");
        yield_now().await;
        runtime::spawn_local(async {}).await.expect("no panic");
    });
    runtime.block_on(task).expect("no panic");
}

#[test]
fn a_panic_inside_is_the_tasks_and_the_worker_lives() {
    let _watchdog = watch();
    let runtime = start(one_worker());
    let task = runtime.spawn(async { block_in_place(|| panic!("in place")) });
    let error = runtime.block_on(task).expect_err("it panics");
    assert_eq!(message_of(&*error.into_panic()), "in place");
    let task = runtime.spawn(async {
        let caught = catch_unwind(AssertUnwindSafe(|| block_in_place(|| panic!("caught"))));
        assert!(caught.is_err());
        let text = panic_message(|| Handle::current().block_on(async {}));
        assert!(text.contains("`block_on` was called inside task"), "{text}");
        block_in_place(|| Handle::current().block_on(use_everything()));
    });
    runtime.block_on(task).expect("no panic");
    runtime.block_on(use_everything());
}

#[test]
fn more_than_there_are_workers_may_block_at_once() {
    let _watchdog = watch();
    // Two workers, a substitute for each, and one more for when all of those are stuck.
    const CALLS: usize = 4;
    let builder = named("ip", Scheduler::WorkStealing).blocked_after(Duration::MAX);
    let runtime = start(builder);
    let (everybody, done) = (Arc::new(Barrier::new(CALLS + 1)), Arc::new(Barrier::new(CALLS + 1)));
    for _ in 0..3 {
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let (everybody, done) = (everybody.clone(), done.clone());
                runtime.spawn(async move {
                    block_in_place(|| {
                        everybody.wait();
                        done.wait();
                    });
                })
            })
            .collect();
        // Returns only when all of them are in it at the same time.
        everybody.wait();
        runtime.block_on(use_everything());
        done.wait();
        runtime.block_on(async {
            for call in calls {
                call.await.expect("no panic");
            }
        });
    }
    // The substitutes leave in the end.
    while threads_named("ip-worker-") > 2 {
        thread::yield_now();
    }
}

#[test]
fn a_substitute_that_comes_when_all_is_quiet_leaves_too() {
    let _watchdog = watch();
    let runtime = start(named("iq", Scheduler::WorkStealing).workers(1));
    for _ in 0..3 {
        // Too short for the monitor to see it; what it sees is the substitute.
        runtime.block_on(runtime.spawn(async { block_in_place(|| ()) })).expect("no panic");
        while threads_named("iq-worker-") > 1 {
            thread::yield_now();
        }
    }
}

#[test]
fn many_more_calls_than_threads_all_end_and_keep_nobody_waiting() {
    let _watchdog = watch();
    const CALLS: usize = 200;
    let runtime = start(named("im", Scheduler::WorkStealing).blocked_after(Duration::MAX));
    let (begun, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (begun, stop) = (begun.clone(), stop.clone());
            runtime.spawn(async move {
                block_in_place(|| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while !stop.load(Ordering::SeqCst) {
                        thread::yield_now();
                    }
                });
            })
        })
        .collect();
    // As many as can, begin; the others are never lost.
    while begun.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    stop.store(true, Ordering::SeqCst);
    runtime.block_on(async {
        for call in calls {
            call.await.expect("no panic");
        }
    });
    assert_eq!(begun.load(Ordering::SeqCst), CALLS);
    runtime.block_on(use_everything());
}

#[test]
fn everybody_in_place_is_served_next_to_stuck_tasks() {
    let _watchdog = watch();
    let runtime = start(named("iq", Scheduler::WorkStealing).blocked_after(Duration::MAX));
    let (release, gate) = mpsc::channel();
    let (entered, has_entered) = mpsc::channel();
    let blocking = runtime.spawn(async move {
        block_in_place(|| {
            entered.send(()).expect("the test waits");
            wait_at(&gate);
        });
    });
    has_entered.recv().expect("it is called");
    let stuck = [0; 2].map(|_| StuckTask::spawn(runtime.handle()));
    runtime.block_on(use_everything());
    drop(release);
    runtime.block_on(blocking).expect("no panic");
    runtime.block_on(use_everything());
    for task in stuck {
        runtime.block_on(task.release()).expect("no panic");
    }
}

#[test]
fn time_in_place_is_nobodys_fault() {
    let _watchdog = watch();
    let threshold = Duration::from_millis(100);
    let (told, reports) = mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let builder = named("if", Scheduler::WorkStealing).blocked_after(threshold);
    let runtime = start(builder.on_blocked(move |task| {
        let _ = told.lock().expect("no panic").send(task.to_string());
    }));
    let task = runtime.spawn(async move {
        // To block is the subject. A call inside is over before that, and must not end the leave.
        block_in_place(|| {
            block_in_place(|| ());
            thread::sleep(3 * threshold);
        });
        // The rest of the same poll is short, but long enough for the monitor to look at it.
        let rest = Instant::now();
        while rest.elapsed() < threshold / 10 {
            black_box(rest);
        }
    });
    runtime.block_on(task).expect("no panic");
    let metrics = runtime.metrics();
    drop(runtime);
    assert_eq!(reports.iter().collect::<Vec<_>>(), [""; 0]);
    assert_eq!(metrics.blocked, 0);
    assert!(metrics.longest_poll < 3 * threshold, "{metrics:?}");
}

#[test]
fn in_a_single_threaded_runtime_it_says_what_to_do() {
    let _watchdog = watch();
    let runtime = single_threaded();
    let line = line!() + 1;
    let task = runtime.spawn(async { block_in_place(|| ()) });
    let error = runtime.block_on(task).expect_err("it panics");
    let text = message_of(&*error.into_panic());
    for part in [
        "runtime: `block_in_place` was called inside task ",
        &format!("spawned at {}:{line}:", file!()),
        "it would stall worker 0",
        "\n  help: use `runtime::spawn_blocking`, or a work-stealing runtime",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let text = panic_message(|| runtime.block_on(async { block_in_place(|| ()) }));
    assert!(text.contains("`block_in_place` was called"), "{text}");
    // It has harmed nothing.
    runtime.block_on(use_everything());
}

#[test]
fn on_a_thread_that_is_no_worker_it_is_just_a_call() {
    let _watchdog = watch();
    assert_eq!(block_in_place(|| 1), 1);
    let runtime = work_stealing(1);
    assert_eq!(runtime.block_on(async { block_in_place(|| 2) }), 2);
    let call = runtime.spawn_blocking(|| block_in_place(|| 3));
    assert_eq!(runtime.block_on(call).expect("no panic"), 3);
    let call = single_threaded();
    let in_call = call.spawn_blocking(|| block_in_place(|| 4));
    assert_eq!(call.block_on(in_call).expect("no panic"), 4);
    let _entered = call.enter();
    assert_eq!(block_in_place(|| 5), 5);
    // The future of a `block_on` may wait for another one inside.
    let nested = runtime.block_on(async { block_in_place(|| runtime.block_on(async { 6 })) });
    assert_eq!(nested, 6);
    wait_until(runtime.handle(), |metrics| metrics.workers.len() == 1);
    assert_eq!(runtime.metrics().spare_starts, 0);
}

/// It may be told to leave while it is needed for somebody in place, and is told once.
#[test]
fn a_spare_worker_leaves_when_the_last_one_in_place_is_back() {
    let _watchdog = watch();
    let builder = named("leaves", Scheduler::WorkStealing).spare_workers(1);
    let runtime = start(builder.blocked_after(Duration::MAX));
    let stuck = StuckTask::spawn(runtime.handle());
    let (release, gate) = mpsc::channel();
    let blocking = runtime.spawn(async move { block_in_place(|| wait_at(&gate)) });
    // Nobody else could do what there is to do.
    runtime.block_on(use_everything());
    let parks_of_spares =
        |metrics: &Metrics| -> u64 { metrics.workers[2..].iter().map(|worker| worker.parks).sum() };
    // It is told some time after the stuck one is back, wakes up, and finds that it is still needed.
    wait_until(runtime.handle(), |metrics| {
        metrics.parked_workers > 0 && parks_of_spares(metrics) > 0
    });
    let before = parks_of_spares(&runtime.metrics());
    runtime.block_on(stuck.release()).expect("no panic");
    wait_until(runtime.handle(), |metrics| parks_of_spares(metrics) > before);
    drop(release);
    runtime.block_on(blocking).expect("no panic");
    while threads_named("leaves-worker") > 2 {
        thread::yield_now();
    }
}
