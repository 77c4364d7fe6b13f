//! The two ways to run tasks.

use runtime::{Builder, Runtime, Scheduler};

/// A runtime with one worker, on the thread that calls `block_on`.
///
/// # Panics
/// When the system has no files for it.
pub fn single_threaded() -> Runtime {
    let builder = Builder::new().scheduler(Scheduler::SingleThreaded);
    builder.build().expect("the system has files for a runtime")
}

/// A runtime with `workers` worker threads.
///
/// # Panics
/// When the system has no threads or files for it.
pub fn work_stealing(workers: usize) -> Runtime {
    let builder = Builder::new().scheduler(Scheduler::WorkStealing).workers(workers);
    builder.build().expect("the system has threads and files for a runtime")
}

/// Runs a test once on a single-threaded runtime, and once on a work-stealing one with two workers.
///
/// # Panics
/// When the test does; then the captured output says in which mode.
pub fn both_modes(test: impl Fn(Runtime)) {
    for runtime in [single_threaded(), work_stealing(2)] {
        eprintln!("mode: {}", runtime.handle().scheduler());
        test(runtime);
    }
}
