//! The monitor, and what it does for a worker that is stuck.

use std::sync::Arc;

use loom::thread;

use crate::monitor::Monitor;
use crate::scheduler::Idle;
use crate::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn going_idle_against_the_monitor() {
    for workers in 1..=2 {
        loom::model(move || {
            let idle = Arc::new(Idle::new(workers));
            let monitor = Arc::new(Monitor::new());
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
        let monitor = Arc::new(Monitor::new());
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
