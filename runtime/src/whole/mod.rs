//! Models of whole runtimes, under the schedules that shuttle makes from a seed.
//!
//! The threads are those that [`Builder::build`] starts (workers, spare workers, the monitor, the
//! blocking pool), and run the code that they always run, on shuttle's locks, atomics and
//! thread-locals; `docs/src/testing.md` has the command, what has a stand-in, how to see a failure
//! again, and how each model was seen to fail.

mod blocking;
mod end;
mod late;
mod lent;
mod stuck;
mod tasks;

use std::cell::Cell;
use std::panic;
use std::str::FromStr;
use std::sync::{Arc, Once};
use std::time::Duration;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex, wait_for};
use crate::{Builder, Handle, Runtime, Scheduler};

/// How many schedules of each kind one seed stands for.
const SCHEDULES_PER_SEED: usize = 25;

/// How often a schedule of the second kind takes the processor from a thread that could go on.
const PREEMPTIONS: usize = 3;

/// Far more steps than any schedule takes in which no thread runs in circles.
const MAX_STEPS: usize = 200_000;

/// Runs `model` with each of `workers`, under random schedules and under those of probabilistic
/// concurrency testing (Burckhardt and others, ASPLOS 2010): there the thread with the highest
/// priority always runs, and priorities are drawn anew at few, random moments. The first finds what
/// needs many switches, the second what needs a thread to be held up for long.
///
/// The environment may say which seed is the first, and how many there are.
fn explore(workers: &[usize], model: fn(usize)) {
    tell_seeds();
    let first = from_env("WINDLASS_SEED", 1);
    let seeds = from_env("WINDLASS_SEEDS", 40);
    for seed in first..first + seeds {
        for &workers in workers {
            EXPLORED.set(Some((seed, workers)));
            let mut config = Config::new();
            config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
            config.stack_size = 1 << 17;
            // The seed says as much as the schedule, which may be very long.
            config.failure_persistence = FailurePersistence::None;
            let random = RandomScheduler::new_from_seed(seed, SCHEDULES_PER_SEED);
            Runner::new(random, config.clone()).run(move || model(workers));
            let pct = PctScheduler::new_from_seed(seed, PREEMPTIONS + 1, SCHEDULES_PER_SEED);
            Runner::new(pct, config).run(move || model(workers));
        }
    }
}

fn from_env<T: FromStr>(variable: &str, otherwise: T) -> T {
    match std::env::var(variable) {
        Ok(text) => text.parse().ok().unwrap_or_else(|| panic!("{variable} is no number: {text}")),
        Err(_) => otherwise,
    }
}

thread_local! {
    /// What this thread explores: the seed, and how many workers there are.
    static EXPLORED: Cell<Option<(u64, usize)>> = const { Cell::new(None) };
}

/// Has every panic say under which seed it came: a second one while a model unwinds ends the process.
fn tell_seeds() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            hook(info);
            if let Some((seed, workers)) = EXPLORED.get() {
                eprintln!(
                    "\nwith {workers} workers and seed {seed}; to see it again: \
                     WINDLASS_SEED={seed} WINDLASS_SEEDS=1"
                );
            }
        }));
    });
}

/// A work-stealing runtime.
fn work_stealing(workers: usize) -> Runtime {
    build(builder(workers))
}

/// The configuration of [`work_stealing`], for models that change it.
fn builder(workers: usize) -> Builder {
    let spare_workers = workers.next_power_of_two() * 2 - 2 * workers;
    let builder = Builder::new().workers(workers).spare_workers(spare_workers).seed(0);
    builder.max_blocking_threads(2).blocked_after(Duration::MAX).blocking_keep_alive(Duration::MAX)
}

fn single_threaded() -> Runtime {
    build(builder(1).scheduler(Scheduler::SingleThreaded))
}

fn build(builder: Builder) -> Runtime {
    builder.build().expect("a model has threads, and the system has files for an I/O driver")
}

/// Ends a runtime and waits for it.
fn end(runtime: Runtime) -> Handle {
    let handle = runtime.handle().clone();
    drop(runtime);
    assert_eq!(handle.shared().live_tasks(), 0, "a task outlives its runtime");
    handle
}

/// What queues and workers hold on to would keep the memory of an ended runtime for ever. The model
/// has dropped the handles of its tasks.
fn assert_nothing_is_left(handle: &Handle) {
    assert_eq!(handle.shared().live_tasks(), 0, "a task outlives its runtime");
    assert_eq!(Arc::strong_count(handle.shared()), 1, "something was left in a queue");
}

/// Makes tokens, and counts how many it has made and how many of them have been dropped.
#[derive(Clone)]
struct Drops(Arc<[AtomicUsize; 2]>);

struct Token(Drops);

impl Drops {
    fn new() -> Drops {
        Drops(Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]))
    }

    fn token(&self) -> Token {
        self.0[0].fetch_add(1, Ordering::SeqCst);
        Token(self.clone())
    }

    fn count(&self) -> usize {
        self.0[1].load(Ordering::SeqCst)
    }

    /// No token is left. That none is dropped twice is Rust's word, which unsafe code may break.
    fn assert_all(&self) {
        assert_eq!(self.count(), self.0[0].load(Ordering::SeqCst), "dropped, of those made");
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.0[1].fetch_add(1, Ordering::SeqCst);
    }
}

/// Something that a thread waits for, as in a call that blocks.
#[derive(Clone)]
struct Flag(Arc<(Mutex<bool>, Condvar)>);

impl Flag {
    fn new() -> Flag {
        Flag(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn set(&self) {
        *self.0.0.lock() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let mut is_set = self.0.0.lock();
        while !*is_set {
            wait_for(&self.0.1, &mut is_set, None);
        }
    }
}

struct SetOnDrop(Flag);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.set();
    }
}
