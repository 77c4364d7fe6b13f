//! A worker whose waits are short stays awake for the next piece of work.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use runtime::{Builder, Scheduler};
use windlass_tests::{say, watch};

/// How long after each answer the next question comes: long enough for a worker to go to sleep.
const PAUSE: Duration = Duration::from_micros(15);

#[test]
fn a_worker_that_is_soon_asked_again_does_not_go_to_sleep_each_time() {
    const QUESTIONS: u64 = 200;
    let _watchdog = watch();
    if thread::available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        return say("skipped: who asks and who answers need a core each");
    }
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let builder = Builder::new().scheduler(mode);
        let builder = if mode == Scheduler::WorkStealing { builder.workers(1) } else { builder };
        let runtime = builder.build().expect("the system has threads");
        let (ask, is_asked) = async_channel::unbounded();
        let answers = Arc::new(AtomicUsize::new(0));
        let answered = answers.clone();
        let answering = runtime.spawn(async move {
            while is_asked.recv().await.is_ok() {
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
        let handle = runtime.handle().clone();
        let asking = thread::spawn(move || {
            // A worker that slept would do so before almost every question. On a busy machine it may
            // take some attempts until both have a core all the while.
            loop {
                let before = handle.metrics().parks();
                for _ in 0..QUESTIONS {
                    let begun = Instant::now();
                    while begun.elapsed() < PAUSE {
                        spin_loop();
                    }
                    let asked = answers.load(Ordering::SeqCst) + 1;
                    ask.try_send(()).expect("the task lives");
                    while answers.load(Ordering::SeqCst) < asked {
                        spin_loop();
                    }
                }
                if handle.metrics().parks() - before < QUESTIONS / 4 {
                    break;
                }
            }
        });
        runtime.block_on(answering).expect("no panic");
        asking.join().expect("no panic");
    }
}
