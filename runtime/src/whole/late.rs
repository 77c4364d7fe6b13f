//! Tasks that are spawned, or on their way from one queue to another, while the runtime ends and the
//! only thread that would come across them waits for them to be dropped.

use std::future::{Future, pending};
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use shuttle::thread;

use super::{
    Drops, Flag, SetOnDrop, assert_nothing_is_left, end, explore, single_threaded, work_stealing,
};
use crate::task::block_in_place;
use crate::{Handle, JoinHandle};

/// Says by `dropped` that it is dropped, and does nothing else.
fn waits_for_ever(dropped: &Flag) -> impl Future<Output = ()> + Send + use<> {
    let guard = SetOnDrop(dropped.clone());
    async move {
        let _guard = guard;
        pending().await
    }
}

/// Spawns two tasks, one of which moves from the `next` slot to the queue, and waits for their drops.
async fn spawns_and_is_stuck() {
    let dropped = [Flag::new(), Flag::new()];
    for flag in &dropped {
        drop(crate::spawn(waits_for_ever(flag)));
    }
    dropped.iter().for_each(Flag::wait);
}

/// Waits for the threads of a runtime that ended without waiting for them.
fn join_all(handle: &Handle, joins: impl IntoIterator<Item = JoinHandle<()>>) {
    for join in joins {
        if let Err(error) = handle.block_on(join) {
            assert!(error.is_shutdown(), "{error}");
        }
    }
    handle.shared().threads.join(None);
    assert_nothing_is_left(handle);
}

#[test]
fn a_task_that_a_stuck_worker_has_spawned_just_now_is_dropped_wherever_it_is() {
    explore(&[1, 2, 3], |workers| {
        let runtime = work_stealing(workers);
        let drops = Drops::new();
        let token = drops.token();
        let stuck = runtime.spawn(async move {
            let _token = token;
            spawns_and_is_stuck().await;
        });
        let handle = end(runtime);
        drops.assert_all();
        assert!(stuck.is_finished());
        drop(stuck);
        assert_nothing_is_left(&handle);
    });
}

/// A worker takes both from the injector, and is stuck in the first.
#[test]
fn a_task_that_was_taken_together_with_one_that_is_stuck_is_dropped() {
    explore(&[1, 2], |workers| {
        let runtime = work_stealing(workers);
        let dropped = Flag::new();
        let waits = waits_for_ever(&dropped);
        let stuck = runtime.spawn(async move { dropped.wait() });
        let waits = runtime.spawn(waits);
        (0..2).for_each(|_| drop(runtime.spawn(async {})));
        let handle = runtime.handle().clone();
        runtime.shutdown(Duration::ZERO);
        join_all(&handle, [stuck, waits]);
    });
}

/// As a panic does, by `Builder::unhandled_panic`.
#[test]
fn a_task_that_a_stuck_worker_has_spawned_is_dropped_when_a_task_ends_the_runtime() {
    explore(&[2, 3], |workers| {
        let runtime = work_stealing(workers);
        let handle = runtime.handle().clone();
        drop(runtime.spawn(async move { handle.shared().begin_shutdown() }));
        let stuck = runtime.spawn(spawns_and_is_stuck());
        let _ = runtime.block_on(stuck);
        end(runtime);
    });
}

#[test]
fn a_task_that_is_spawned_from_outside_is_dropped_though_the_only_thread_is_stuck() {
    explore(&[1], |_| {
        let runtime = single_threaded();
        let handle = runtime.handle().clone();
        let (is_stuck, dropped) = (Flag::new(), Flag::new());
        let waits = waits_for_ever(&dropped);
        // Also when it never runs.
        let guard = SetOnDrop(is_stuck.clone());
        let stuck = runtime.spawn(async move {
            drop(guard);
            dropped.wait();
        });
        let driver = thread::spawn({
            let handle = handle.clone();
            move || handle.block_on(stuck)
        });
        let spawner = thread::spawn(move || {
            is_stuck.wait();
            drop(handle.spawn(waits));
        });
        drop(runtime);
        spawner.join().expect("it does not panic");
        let _ = driver.join().expect("it does not panic");
    });
}

/// Enters a runtime in its drop, which needs that nobody borrows the thread's current one.
struct EnterOnDrop(Handle, Flag);

impl Drop for EnterOnDrop {
    fn drop(&mut self) {
        if panic::catch_unwind(AssertUnwindSafe(|| drop(self.0.enter()))).is_ok() {
            self.1.set();
        }
    }
}

#[test]
fn a_future_that_is_refused_is_dropped_outside_of_what_spawning_holds() {
    explore(&[1, 2], |workers| {
        let runtime = work_stealing(workers);
        let handle = runtime.handle().clone();
        let (in_place, has_entered) = (Flag::new(), Flag::new());
        let guard = EnterOnDrop(handle.clone(), has_entered.clone());
        let set = SetOnDrop(in_place.clone());
        let spawns = runtime.spawn(async move {
            block_in_place(|| {
                drop(set);
                drop(crate::spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                }));
            });
        });
        in_place.wait();
        runtime.shutdown(Duration::ZERO);
        has_entered.wait();
        join_all(&handle, [spawns]);
    });
}
