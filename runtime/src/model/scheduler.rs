//! Queues, sleep, and the end of a runtime.

use std::future::pending;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{CountDrop, FakePoller, Queue, assert_nothing_is_left, run, runtime_without_threads};
use crate::park::{Parker, Poller};
use crate::scheduler::{Idle, Scheduler};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::task::{JoinHandle, Slot};

#[test]
fn taking_the_next_slot_against_replacing_it() {
    loom::model(|| {
        let queue = Queue::new();
        let slot = Arc::new(Slot::new());
        let joins = [queue.spawn(async {}), queue.spawn(async {})];
        let mut runnables = std::mem::take(&mut *queue.0.runnables.lock());
        let first = runnables.pop_front().expect("spawned above");
        let second = runnables.pop_front().expect("spawned above");
        assert!(slot.replace(first).is_none());
        let thief = slot.clone();
        let steals = thread::spawn(move || match thief.take() {
            Some(runnable) => run(runnable),
            None => {}
        });
        if let Some(previous) = slot.replace(second) {
            run(previous);
        }
        steals.join().expect("the thief does not panic");
        if let Some(left) = slot.take() {
            run(left);
        }
        assert!(joins.iter().all(JoinHandle::is_finished));
        queue.close();
    });
}

fn park_against_unpark(poller: Option<Arc<dyn Poller>>) {
    let parker = Arc::new(Parker::new(poller));
    let data = Arc::new(AtomicBool::new(false));
    let (other, flag) = (parker.clone(), data.clone());
    let unparks = thread::spawn(move || {
        flag.store(true, Ordering::Relaxed);
        other.unpark();
    });
    // A lost unpark is a deadlock, which loom reports.
    while !data.load(Ordering::Relaxed) {
        parker.park(&|_| None, &mut Vec::new());
    }
    unparks.join().expect("the unparking thread does not panic");
}

#[test]
fn park_on_the_condvar_against_unpark() {
    loom::model(|| park_against_unpark(None));
}

#[test]
fn park_in_the_poller_against_unpark() {
    loom::model(|| park_against_unpark(Some(Arc::new(FakePoller::new()))));
}

/// The loop of a worker around `Idle`, with a counter for a queue.
struct Workers {
    idle: Idle,
    /// How many pieces of work are queued. Relaxed, as weak as a queue may be about emptiness.
    queued: AtomicUsize,
    done: AtomicUsize,
    parkers: [Parker; 2],
}

impl Workers {
    fn push(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.notify();
    }

    fn notify(&self) {
        if let Some(worker) = self.idle.worker_to_notify() {
            self.parkers[worker].unpark();
        }
    }

    fn finish_one(&self, count: usize) {
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == count {
            for parker in &self.parkers {
                parker.unpark();
            }
        }
    }

    fn take(&self) -> bool {
        let queued = self.queued.load(Ordering::Relaxed);
        queued > 0
            && self
                .queued
                .compare_exchange(queued, queued - 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Works until `count` pieces are done by all workers together.
    fn run(&self, worker: usize, count: usize) {
        let mut is_searching = self.idle.unpark(worker);
        while self.done.load(Ordering::Acquire) < count {
            is_searching = is_searching || self.idle.begin_search();
            if is_searching && self.take() {
                if self.idle.end_search() && self.queued.load(Ordering::Relaxed) > 0 {
                    self.notify();
                }
                is_searching = false;
                self.finish_one(count);
                continue;
            }
            let must_look = self.idle.park(worker, is_searching);
            if !(must_look && self.queued.load(Ordering::Relaxed) > 0) {
                self.parkers[worker].park(&|_| None, &mut Vec::new());
            }
            is_searching = self.idle.unpark(worker);
        }
        self.idle.park(worker, is_searching);
    }
}

fn a_push_against_going_idle(workers: usize, pushes: usize) {
    let shared = Arc::new(Workers {
        idle: Idle::new(workers),
        queued: AtomicUsize::new(0),
        done: AtomicUsize::new(0),
        parkers: [Parker::new(None), Parker::new(None)],
    });
    let threads: Vec<_> = (0..workers)
        .map(|worker| {
            let shared = shared.clone();
            thread::spawn(move || shared.run(worker, pushes))
        })
        .collect();
    for _ in 0..pushes {
        shared.push();
    }
    for thread in threads {
        thread.join().expect("a worker does not panic");
    }
    assert_eq!(shared.done.load(Ordering::Relaxed), pushes);
    shared.idle.assert_consistent(workers);
}

#[test]
fn a_push_against_one_worker_going_idle() {
    loom::model(|| a_push_against_going_idle(1, 2));
}

#[test]
fn a_push_against_two_workers_going_idle() {
    loom::model(|| a_push_against_going_idle(2, 1));
}

impl Workers {
    /// A spare worker that was enlisted: works as long as it finds something, then retires.
    fn run_spare(&self, count: usize) {
        let mut is_searching = self.idle.begin_search();
        while is_searching && self.take() {
            if self.idle.end_search() && self.queued.load(Ordering::Relaxed) > 0 {
                self.notify();
            }
            self.finish_one(count);
            is_searching = self.idle.begin_search();
        }
        if self.idle.retire(is_searching) && self.queued.load(Ordering::Relaxed) > 0 {
            self.notify();
        }
    }
}

#[test]
fn a_spare_worker_retiring_against_new_work() {
    loom::model(|| {
        let shared = Arc::new(Workers {
            idle: Idle::new(1),
            queued: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            parkers: [Parker::new(None), Parker::new(None)],
        });
        shared.idle.enlist();
        let regular = shared.clone();
        let regular = thread::spawn(move || regular.run(0, 1));
        let spare = shared.clone();
        let spare = thread::spawn(move || spare.run_spare(1));
        shared.push();
        regular.join().expect("the regular worker does not panic");
        spare.join().expect("the spare worker does not panic");
        assert_eq!(shared.done.load(Ordering::Relaxed), 1);
        shared.idle.assert_consistent(1);
    });
}

/// The last worker in place comes back as the spare one is told to leave: one of the two wakes it.
#[test]
fn a_spare_worker_that_was_needed_against_the_last_one_in_place() {
    loom::model(|| {
        let (shared, worker) = runtime_without_threads(Scheduler::WorkStealing, Duration::ZERO);
        drop(worker);
        let spare = shared.take_spare();
        let index = spare.index();
        shared.set_in_place(0, true);
        let waits = shared.clone();
        let waits = thread::spawn(move || {
            while !waits.may_retire() {
                waits.remote(index).parker.park(&|_| None, &mut Vec::new());
            }
        });
        let monitor = shared.clone();
        let monitor = thread::spawn(move || monitor.retire_spares());
        shared.set_in_place(0, false);
        monitor.join().expect("the monitor does not panic");
        waits.join().expect("the spare worker does not panic");
        shared.take_spare_back(spare);
        shared.finish_shutdown();
        assert_nothing_is_left(&shared);
    });
}

#[test]
fn two_workers_and_one_poller_against_unparks() {
    loom::model(|| {
        let poller = Arc::new(FakePoller::new());
        let parkers = [0, 1].map(|_| Arc::new(Parker::new(Some(poller.clone()))));
        let flags = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let parks: Vec<_> = (0..2)
            .map(|index| {
                let (parker, flags) = (parkers[index].clone(), flags.clone());
                thread::spawn(move || {
                    while !flags[index].load(Ordering::Relaxed) {
                        parker.park(&|_| None, &mut Vec::new());
                    }
                })
            })
            .collect();
        for (parker, flag) in parkers.iter().zip(&*flags) {
            flag.store(true, Ordering::Relaxed);
            parker.unpark();
        }
        for park in parks {
            park.join().expect("a parking thread does not panic");
        }
    });
}

#[test]
fn a_spawn_against_the_end_of_the_runtime() {
    loom::model(|| {
        // With one list of tasks: among several, the task's number would choose.
        let scheduler = Scheduler::SingleThreaded;
        let (shared, worker) = runtime_without_threads(scheduler, Duration::ZERO);
        drop(worker);
        let (counter, drops) = CountDrop::new();
        let spawner = shared.clone();
        let spawns = thread::spawn(move || {
            let future = async move {
                let _counter = counter;
                pending::<()>().await;
            };
            spawner.spawn(future, None, Location::caller())
        });
        shared.begin_shutdown();
        shared.finish_shutdown();
        let join = spawns.join().expect("the spawner does not panic");
        assert!(join.is_finished());
        assert_eq!(drops.load(Ordering::Relaxed), 1);
        drop(join);
        assert_nothing_is_left(&shared);
    });
}

#[test]
fn a_spare_worker_retiring_against_the_end_of_the_runtime() {
    loom::model(|| {
        let (shared, worker) = runtime_without_threads(Scheduler::WorkStealing, Duration::ZERO);
        drop(worker);
        let retiring = shared.clone();
        let spares = [retiring.take_spare(), retiring.take_spare()];
        let retires = thread::spawn(move || {
            for spare in spares {
                retiring.take_spare_back(spare);
            }
        });
        shared.begin_shutdown();
        shared.finish_shutdown();
        retires.join().expect("the spare workers do not panic");
        assert_nothing_is_left(&shared);
    });
}
