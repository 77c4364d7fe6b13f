//! The end of a runtime drops tasks that are queued with their futures: those that were not polled yet,
//! and those that yield.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use runtime::{Builder, Runtime, Scheduler, task};
use windlass_tests::watch;

/// Tells when it is dropped.
struct Tell(mpsc::Sender<()>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

fn one_worker(spare_workers: usize) -> Runtime {
    let builder = Builder::new().workers(1).spare_workers(spare_workers);
    builder.build().expect("the system has what a runtime needs")
}

/// Yields for ever, and has `guard` meanwhile.
async fn yield_with<T: Send + 'static>(guard: T) {
    let _guard = guard;
    loop {
        task::yield_now().await;
    }
}

#[test]
fn a_worker_that_waits_for_the_end_of_a_task_that_yields_does_not_hold_the_end_up() {
    let _watchdog = watch();
    for spare_workers in [0, 1] {
        let runtime = one_worker(spare_workers);
        let (stuck, is_stuck) = mpsc::channel();
        let waits = runtime.spawn(async move {
            let (dropped, is_dropped) = mpsc::channel();
            drop(runtime::spawn(yield_with(Tell(dropped))));
            task::yield_now().await;
            stuck.send(()).expect("the other side is there");
            // The other one is in the queue of this worker.
            is_dropped.recv().expect("the other side is there");
        });
        is_stuck.recv().expect("the other side is there");
        drop(runtime);
        assert!(waits.is_finished());
    }
}

#[test]
fn a_worker_that_waits_for_the_end_of_tasks_that_it_has_just_spawned_does_not_hold_the_end_up() {
    let _watchdog = watch();
    for spare_workers in [0, 1] {
        let runtime = one_worker(spare_workers);
        let (stuck, is_stuck) = mpsc::channel();
        let waits = runtime.spawn(async move {
            let (dropped, is_dropped) = mpsc::channel();
            for _ in 0..3 {
                drop(runtime::spawn(yield_with(Tell(dropped.clone()))));
            }
            stuck.send(()).expect("the other side is there");
            for _ in 0..3 {
                is_dropped.recv().expect("the other side is there");
            }
        });
        is_stuck.recv().expect("the other side is there");
        drop(runtime);
        assert!(waits.is_finished());
    }
}

#[test]
fn what_a_stuck_single_thread_has_queued_is_dropped_when_it_is_back() {
    let _watchdog = watch();
    let runtime = Builder::new()
        .scheduler(Scheduler::SingleThreaded)
        .build()
        .expect("the system has what a runtime needs");
    let handle = runtime.handle().clone();
    let (stuck, is_stuck) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let (dropped, is_dropped) = mpsc::channel();
    let driver = thread::spawn(move || {
        handle.block_on(async move {
            let queued = [(); 3].map(|()| runtime::spawn(yield_with(Tell(dropped.clone()))));
            drop(dropped);
            stuck.send(()).expect("the other side is there");
            goes_on.recv().expect("the other side is there");
            for queued in queued {
                let error = queued.await.expect_err("it yields for ever");
                assert!(error.is_shutdown(), "{error}");
            }
        });
    });
    is_stuck.recv().expect("the other side is there");
    runtime.shutdown(Duration::ZERO);
    go_on.send(()).expect("the other side is there");
    for _ in 0..3 {
        is_dropped.recv().expect("each is dropped");
    }
    driver.join().expect("it does not panic");
    assert!(is_dropped.recv().is_err(), "one was dropped twice");
}

#[test]
fn a_task_in_place_is_not_made_to_drop_others() {
    let _watchdog = watch();
    struct LockOnDrop(Arc<Mutex<()>>);
    impl Drop for LockOnDrop {
        fn drop(&mut self) {
            drop(self.0.lock());
        }
    }
    let runtime = one_worker(0);
    let (holds, is_held) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let in_place = runtime.spawn(async move {
        let lock = Arc::new(Mutex::new(()));
        drop(runtime::spawn(yield_with(LockOnDrop(lock.clone()))));
        task::yield_now().await;
        let _held = lock.lock().expect("nobody panics with it");
        holds.send(()).expect("the other side is there");
        goes_on.recv().expect("the other side is there");
        task::block_in_place(|| ());
    });
    is_held.recv().expect("the other side is there");
    let ends = thread::spawn(move || drop(runtime));
    go_on.send(()).expect("the other side is there");
    ends.join().expect("it does not panic");
    assert!(in_place.is_finished());
}
