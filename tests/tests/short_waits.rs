//! A worker whose waits are short stays awake for the next piece of work.

use std::fs;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use runtime::{Builder, Scheduler};
use windlass_tests::{say, watch};

/// How many questions are asked in one attempt: for a few milliseconds, in which whoever asks and
/// whoever answers may have a core each, even on a busy machine.
const QUESTIONS: u64 = 100;

/// How long after each answer the next question comes: long enough for a worker to go to sleep.
const PAUSE: Duration = Duration::from_micros(15);

/// What `runtime/src/scheduler/spin.rs` takes for a short wait, and how many of them must be.
const SHORT: Duration = Duration::from_micros(100);
const MOST: u64 = QUESTIONS * 7 / 8;

/// To wake threads up takes less than this in one attempt, and a time slice of another more.
const UNDISTURBED: Duration = Duration::from_millis(1);

/// So many attempts must fail, beside ones in which a thread had short waits, and for so long
/// attempts are made at most.
const FAIR: u64 = 50;
const LIMIT: Duration = Duration::from_secs(20);

/// Asks `QUESTIONS` times, and waits awake for each answer.
fn ask(answers: &AtomicUsize, question: impl Fn()) {
    for _ in 0..QUESTIONS {
        let begun = Instant::now();
        while begun.elapsed() < PAUSE {
            spin_loop();
        }
        let answered = answers.load(Ordering::SeqCst);
        question();
        while answers.load(Ordering::SeqCst) == answered {
            spin_loop();
        }
    }
}

/// How many questions a thread that sleeps before each of them has waited for no longer than a
/// worker would take for short. Few where it takes long to wake a thread up, or a core is missing.
fn short_waits_of_a_thread() -> u64 {
    let answers = &AtomicUsize::new(0);
    let (question, questions) = mpsc::channel();
    thread::scope(|scope| {
        let answering = scope.spawn(move || {
            let mut short = 0;
            loop {
                let begun = Instant::now();
                if questions.recv().is_err() {
                    return short;
                }
                short += u64::from(begun.elapsed() < SHORT);
                answers.fetch_add(1, Ordering::SeqCst);
            }
        });
        ask(answers, || question.send(()).expect("the thread lives"));
        drop(question);
        answering.join().expect("no panic")
    })
}

/// How long threads have been ready to run without a core, as the kernel counts it in a file of each.
fn waited_in(schedstat: &str) -> Duration {
    let nanos = || fs::read_to_string(schedstat).ok()?.split_whitespace().nth(1)?.parse().ok();
    Duration::from_nanos(nanos().unwrap_or(0))
}

/// The same, of all threads of this process that live.
fn waited_for_a_core() -> Duration {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    tasks.flatten().map(|task| waited_in(&format!("{}/schedstat", task.path().display()))).sum()
}

/// How often a worker sleeps for as many questions, and how long it, and who asks, had no core.
fn sleeps_of_a_worker(mode: Scheduler) -> (u64, Duration) {
    let before = waited_for_a_core();
    let builder = Builder::new().scheduler(mode);
    let builder = if mode == Scheduler::WorkStealing { builder.workers(1) } else { builder };
    let runtime = builder.build().expect("the system has threads");
    let (question, questions) = async_channel::unbounded();
    let answers = Arc::new(AtomicUsize::new(0));
    let answered = answers.clone();
    let answering = runtime.spawn(async move {
        while questions.recv().await.is_ok() {
            answered.fetch_add(1, Ordering::SeqCst);
        }
    });
    let asking = thread::spawn(move || {
        ask(&answers, || question.try_send(()).expect("the task lives"));
        waited_in("/proc/thread-self/schedstat")
    });
    runtime.block_on(answering).expect("no panic");
    let waited = waited_for_a_core().saturating_sub(before);
    let waited = waited + asking.join().expect("no panic");
    (runtime.handle().metrics().parks(), waited)
}

#[test]
fn a_worker_that_is_soon_asked_again_does_not_go_to_sleep_each_time() {
    let _watchdog = watch();
    if thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        return say("skipped: who asks and who answers need a core each");
    }
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let (begun, mut fair) = (Instant::now(), 0);
        loop {
            let (sleeps, waited) = sleeps_of_a_worker(mode);
            // It takes some questions to learn that the waits are short.
            if sleeps < QUESTIONS / 4 {
                break;
            }
            // A fault only if it had its chances, which it has not on each machine, or a busy one:
            // there a thread that stays awake loses its core to others, and one that sleeps does not.
            fair += u64::from(waited < UNDISTURBED && short_waits_of_a_thread() >= MOST);
            assert!(fair < FAIR, "{mode}: a sleep before each fourth question, or more");
            if begun.elapsed() > LIMIT {
                say(&format!("skipped: {mode}: threads wake up too late on this machine now"));
                break;
            }
        }
    }
}
