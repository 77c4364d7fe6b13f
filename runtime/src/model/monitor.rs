//! The monitor, and what it does for a worker that is stuck.

use std::future::pending;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{CountDrop, assert_nothing_is_left, runtime_without_threads};
use crate::monitor::Monitor;
use crate::scheduler::{Idle, Scheduler, Worker};
use crate::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn going_idle_against_the_monitor() {
    for workers in 1..=2 {
        loom::model(move || {
            let idle = Arc::new(Idle::new(workers));
            let monitor = Arc::new(Monitor::new(Scheduler::WorkStealing));
            // The workers leave park, and are stuck for ever: nobody else will wake the monitor.
            let work = |index| {
                let (idle, monitor) = (idle.clone(), monitor.clone());
                thread::spawn(move || leave_park(&idle, &monitor, index))
            };
            let works: Vec<_> = (0..workers).map(work).collect();
            // A monitor that stays asleep is a deadlock, which loom reports.
            while idle.all_parked() {
                monitor.sleep_while(|| idle.all_parked());
            }
            for work in works {
                work.join().expect("the worker does not panic");
            }
        });
    }
}

#[test]
fn going_idle_against_a_worker_that_parks_and_is_stuck() {
    loom::model(|| {
        let idle = Arc::new(Idle::new(1));
        let monitor = Arc::new(Monitor::new(Scheduler::WorkStealing));
        let is_stuck = Arc::new(AtomicUsize::new(0));
        let worker = {
            let (idle, monitor, is_stuck) = (idle.clone(), monitor.clone(), is_stuck.clone());
            thread::spawn(move || {
                leave_park(&idle, &monitor, 0);
                // It has been in a long poll, finds nothing, and then something on its last look.
                monitor.suspect(timer::real_now());
                idle.park(0, false);
                leave_park(&idle, &monitor, 0);
                is_stuck.store(1, Ordering::Release);
            })
        };
        while is_stuck.load(Ordering::Acquire) == 0 || idle.all_parked() {
            monitor.sleep_while(|| idle.all_parked());
            thread::yield_now();
        }
        worker.join().expect("the worker does not panic");
    });
}

/// As `Worker::is_running_again`, seen from a monitor that it cannot put off.
fn leave_park(idle: &Idle, monitor: &Monitor, worker: usize) {
    idle.unpark(worker);
    monitor.left_park(timer::real_now(), || false);
}

/// The monitor relieves worker 0, which is in a long poll with a task in its `next` slot, while the
/// runtime ends without waiting for it. If `comes_back`, the worker leaves the poll at any moment;
/// otherwise only when everything else is over.
fn a_shutdown_during_a_rescue(comes_back: bool) {
    loom::model(move || {
        let (shared, worker) = runtime_without_threads(Scheduler::WorkStealing, Duration::ZERO);
        let (counter, drops) = CountDrop::new();
        let spawner = shared.clone();
        let (worker, join) = worker.run_as_current(move |_| {
            let future = async move {
                let _counter = counter;
                pending::<()>().await;
            };
            spawner.spawn(future, None, Location::caller())
        });
        let monitored = shared.clone();
        let monitor = thread::spawn(move || monitored.relieve(0));
        let ending = shared.clone();
        let ends = thread::spawn(move || {
            ending.begin_shutdown();
            ending.shut_down_tasks();
            ending.finish_shutdown();
        });
        let leave = |worker: Worker| {
            worker.shut_down();
            drop(worker);
            shared.worker_has_gone();
        };
        let stuck = match comes_back {
            true => {
                leave(worker);
                None
            }
            false => Some(worker),
        };
        monitor.join().expect("the monitor does not panic");
        ends.join().expect("the end does not panic");
        assert!(join.is_finished(), "a task outlives the runtime");
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(join);
        drop(stuck);
        assert_nothing_is_left(&shared);
    });
}

#[test]
fn a_shutdown_during_the_rescue_of_a_worker_that_comes_back() {
    a_shutdown_during_a_rescue(true);
}

#[test]
fn a_shutdown_during_the_rescue_of_a_worker_that_stays_stuck() {
    a_shutdown_during_a_rescue(false);
}
