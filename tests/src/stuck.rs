//! Tasks that do not come back from a poll.

use std::fmt;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use runtime::{Builder, Handle, JoinHandle, Metrics, Scheduler};

/// A task that blocks the thread that polls it, until it is released or this is dropped.
#[must_use = "the task is stuck as long as this lives"]
pub struct StuckTask {
    release: Sender<()>,
    task: JoinHandle<()>,
    thread: String,
}

impl StuckTask {
    /// Spawns the task, and returns when it is in its poll.
    ///
    /// # Panics
    /// When the task is dropped before it is polled.
    #[track_caller]
    pub fn spawn(handle: &Handle) -> StuckTask {
        let (release, gate) = mpsc::channel();
        let (entered, has_entered) = mpsc::channel();
        let task = handle.spawn(async move {
            entered.send(thread_name()).expect("the test waits");
            wait_at(&gate);
        });
        let thread = has_entered.recv().expect("the task is polled");
        StuckTask { release, task, thread }
    }

    /// The name of the thread that is stuck.
    #[must_use]
    pub fn thread(&self) -> &str {
        &self.thread
    }

    /// Lets the task go on, to its end.
    #[must_use]
    pub fn release(self) -> JoinHandle<()> {
        drop(self.release);
        self.task
    }
}

impl fmt::Debug for StuckTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StuckTask").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// Blocks until the other end sends or is dropped. Its name is found on the stacks of stuck tasks.
#[inline(never)]
pub fn wait_at(gate: &Receiver<()>) {
    let _ = std::hint::black_box(gate.recv());
}

/// The name of this thread, `""` if it has none.
#[must_use]
pub fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// A builder in one of the modes, with two workers if there can be, whose threads' names begin
/// with `name`.
pub fn named(name: &str, scheduler: Scheduler) -> Builder {
    let builder = Builder::new().scheduler(scheduler).thread_name(name);
    match scheduler {
        Scheduler::WorkStealing => builder.workers(2),
        Scheduler::SingleThreaded => builder,
    }
}

/// Waits until `is_so` says so about the runtime; the test's watchdog ends it if that never comes.
pub fn wait_until(runtime: &Handle, mut is_so: impl FnMut(&Metrics) -> bool) {
    while !is_so(&runtime.metrics()) {
        thread::yield_now();
    }
}
