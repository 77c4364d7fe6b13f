//! Making a runtime.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::monitor::{BlockedTask, OnBlocked, default_blocked_after};
use crate::panics::contain;
use crate::runtime::Runtime;
use crate::scheduler::Scheduler;
use crate::sync::thread;

/// Configures a runtime and starts it.
///
/// # Examples
/// ```
/// use runtime::{Builder, Scheduler};
///
/// let runtime = Builder::new()
///     .scheduler(Scheduler::WorkStealing)
///     .workers(2)
///     .thread_name("api")
///     .build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    workers: Option<usize>,
    config: Config,
}

/// What the parts of a runtime need to know; `workers` is filled in by [`Builder::build`].
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) scheduler: Scheduler,
    pub(crate) workers: usize,
    pub(crate) thread_name: String,
    stack_size: Option<usize>,
    on_thread_start: Option<Hook>,
    on_thread_stop: Option<Hook>,
    pub(crate) max_blocking_threads: usize,
    pub(crate) blocking_keep_alive: Duration,
    pub(crate) seed: u64,
    pub(crate) unhandled_panic: UnhandledPanic,
    pub(crate) spare_workers: usize,
    pub(crate) blocked_after: Duration,
    pub(crate) on_blocked: Option<OnBlocked>,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

/// What to do about the panic of a task whose `JoinHandle` was dropped.
///
/// A program built with `panic = "abort"` ends at any panic, whatever is chosen here. The first
/// runtime then adds to the panic hook that it finds a line that names the task.
///
/// Prints as, and parses from, `report`, `ignore` and `shut-down`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnhandledPanic {
    /// Print the task, the line that spawned it and the panic's text to stderr.
    #[default]
    Report,
    /// Do nothing; the panic hook has printed its message already.
    Ignore,
    /// Report it, and end the runtime: tasks are dropped, but `block_on` and its local tasks still run to
    /// its end.
    ShutDown,
}

impl fmt::Display for UnhandledPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            UnhandledPanic::Report => "report",
            UnhandledPanic::Ignore => "ignore",
            UnhandledPanic::ShutDown => "shut-down",
        })
    }
}

impl FromStr for UnhandledPanic {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<UnhandledPanic> {
        match text {
            "report" => Ok(UnhandledPanic::Report),
            "ignore" => Ok(UnhandledPanic::Ignore),
            "shut-down" => Ok(UnhandledPanic::ShutDown),
            other => Err(invalid(format!(
                "unknown panic policy {other:?}; it is `report`, `ignore` or `shut-down`"
            ))),
        }
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// A work-stealing runtime with one worker per core.
    pub fn new() -> Builder {
        Builder {
            workers: None,
            config: Config {
                scheduler: Scheduler::WorkStealing,
                workers: 0,
                thread_name: "runtime".into(),
                stack_size: None,
                on_thread_start: None,
                on_thread_stop: None,
                max_blocking_threads: 512,
                blocking_keep_alive: Duration::from_secs(10),
                seed: random_seed(),
                unhandled_panic: UnhandledPanic::Report,
                spare_workers: 1,
                blocked_after: default_blocked_after(),
                on_blocked: None,
            },
        }
    }

    /// The mode. Default: [`Scheduler::WorkStealing`].
    pub fn scheduler(mut self, scheduler: Scheduler) -> Builder {
        self.config.scheduler = scheduler;
        self
    }

    /// The number of worker threads, 1 to 4096. Default: the cores that this process may use. A
    /// single-threaded runtime has one worker, on the thread that calls `block_on`.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// What the names of the runtime's threads begin with: `api` gives `api-worker-0`,
    /// `api-blocking-1`. Default: `runtime`. Linux shows the first 15 bytes.
    pub fn thread_name(mut self, name: impl Into<String>) -> Builder {
        self.config.thread_name = name.into();
        self
    }

    /// The stack of each worker and of each thread for blocking calls, in bytes, at least 65,536.
    /// Default: that of `std::thread`, 2 MiB. What a future or closure needs comes on top of up to 48 KiB
    /// in an unoptimised build; a thread whose stack is too small ends the process.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.config.stack_size = Some(bytes);
        self
    }

    /// Runs on each thread that the runtime starts for tasks and blocking calls, before them. A panic in it is printed
    /// by the panic hook and otherwise ignored.
    pub fn on_thread_start(mut self, hook: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.on_thread_start = Some(Arc::new(hook));
        self
    }

    /// Runs on each thread that the runtime started, at its end. Panics are as those of
    /// [`on_thread_start`](Builder::on_thread_start).
    pub fn on_thread_stop(mut self, hook: impl Fn() + Send + Sync + 'static) -> Builder {
        self.config.on_thread_stop = Some(Arc::new(hook));
        self
    }

    /// How many threads at most run the closures of `spawn_blocking`, at least 1. Default: 512.
    pub fn max_blocking_threads(mut self, threads: usize) -> Builder {
        self.config.max_blocking_threads = threads;
        self
    }

    /// How long a blocking thread waits for more work before it leaves. Default: 10 s.
    pub fn blocking_keep_alive(mut self, keep_alive: Duration) -> Builder {
        self.config.blocking_keep_alive = keep_alive;
        self
    }

    /// The seed of every choice that the scheduler makes at random, such as whom to steal from
    /// first. Default: a fresh one each time.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.config.seed = seed;
        self
    }

    /// What to do about a panic that no `JoinHandle` receives. Default: report it.
    pub fn unhandled_panic(mut self, policy: UnhandledPanic) -> Builder {
        self.config.unhandled_panic = policy;
        self
    }

    /// How many workers at most are started beside the others while every one of those is stuck in
    /// one poll, so that the runtime goes on. They leave when the others are back. 0 turns it off.
    /// Default: 1. A single-threaded runtime has none.
    pub fn spare_workers(mut self, workers: usize) -> Builder {
        self.config.spare_workers = workers;
        self
    }

    /// How long one poll may last before the task is reported as stuck. Default: 100 ms, or 20 ms
    /// in builds with debug assertions; `Duration::MAX` for never. The environment variable
    /// `WINDLASS_BLOCKED` overrides it: a number of milliseconds, or 0 for never. Counting begins
    /// up to some 15 ms into the poll (21 ms in a single-threaded runtime), so one that is too long
    /// by less than that may go unreported.
    pub fn blocked_after(mut self, threshold: Duration) -> Builder {
        self.config.blocked_after = threshold;
        self
    }

    /// Called for every poll that lasts longer than [`blocked_after`](Builder::blocked_after),
    /// while it lasts, on a thread of its own: calls for different tasks may come at the same time.
    /// In a single-threaded runtime, where it keeps the tasks waiting, also for the future of
    /// `block_on`. Default: print the report to stderr, once for each line that spawns tasks;
    /// [`Metrics`](crate::Metrics) counts all. The end of the runtime waits for the calls; one that
    /// drops the runtime itself ends it as [`Runtime::shutdown`] with a deadline of zero does.
    ///
    /// With a function of your own, what the names in [`BlockedTask::stack`] were found with stays in
    /// memory for the next report, even if the function does not look at them: tens of megabytes in a
    /// large program with debug information. Reports of another runtime, without such a function,
    /// free it.
    ///
    /// # Examples
    /// ```
    /// let builder = runtime::Builder::new().on_blocked(|task| {
    ///     eprintln!("{:?} blocks for {:?}: {}", task.name, task.duration, task.spawned_at);
    /// });
    /// # drop(builder);
    /// ```
    pub fn on_blocked(mut self, report: impl Fn(&BlockedTask) + Send + Sync + 'static) -> Builder {
        self.config.on_blocked = Some(Arc::new(report));
        self
    }

    /// Starts the runtime.
    ///
    /// # Errors
    /// - `InvalidInput`: no workers, too many, or a number of workers for a single-threaded runtime
    ///   that is not 1; no blocking threads; a stack that is too small; a thread name with a NUL in
    ///   it.
    /// - What the system says when it refuses a thread or the files of the I/O driver. Nothing is
    ///   left behind then.
    pub fn build(self) -> io::Result<Runtime> {
        let mut config = self.config;
        config.workers = workers(config.scheduler, self.workers)?;
        if config.max_blocking_threads == 0 {
            return Err(invalid(
                "runtime: `Builder::max_blocking_threads(0)` leaves no thread for `spawn_blocking`, \
                 files and name resolution.\n  help: pass at least 1",
            ));
        }
        if let Some(bytes) = config.stack_size.filter(|&bytes| bytes < MIN_STACK) {
            return Err(invalid(format!(
                "runtime: `Builder::stack_size({bytes})`: no thread could work with less than \
                 {MIN_STACK} bytes.\n  help: leave `stack_size` out for 2 MiB"
            )));
        }
        config.spare_workers = match config.scheduler {
            Scheduler::WorkStealing => config.spare_workers.min(MAX_WORKERS),
            Scheduler::SingleThreaded => 0,
        };
        if config.thread_name.contains('\0') {
            return Err(invalid("runtime: `Builder::thread_name` must not contain a NUL byte"));
        }
        Runtime::start(config)
    }
}

/// More workers than any machine has cores, and few enough for the counts of the scheduler.
const MAX_WORKERS: usize = 4_096;

/// Sockets, files and timers were seen to need more than 32 KiB in an unoptimised build, and no more than 48.
const MIN_STACK: usize = 64 << 10;

fn workers(scheduler: Scheduler, asked: Option<usize>) -> io::Result<usize> {
    match (scheduler, asked) {
        (_, Some(0)) => Err(invalid(
            "runtime: `Builder::workers(0)`: a runtime needs at least one worker.\n  \
             help: leave `workers` out for one per core",
        )),
        (Scheduler::SingleThreaded, None | Some(1)) => Ok(1),
        (Scheduler::SingleThreaded, Some(workers)) => Err(invalid(format!(
            "runtime: `Builder::workers({workers})`: a single-threaded runtime has one worker.\n  \
             help: leave `workers` out, or use `Scheduler::WorkStealing`"
        ))),
        (Scheduler::WorkStealing, Some(workers)) if workers > MAX_WORKERS => Err(invalid(format!(
            "runtime: `Builder::workers({workers})`: at most {MAX_WORKERS} are possible"
        ))),
        (Scheduler::WorkStealing, Some(workers)) => Ok(workers),
        (Scheduler::WorkStealing, None) => {
            Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS))
        }
    }
}

fn invalid(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message.into())
}

/// The standard library's hasher keys are the one source of randomness that needs no dependency.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

impl Config {
    /// What a model configures: one worker, one thread for blocking calls, and the default of spare
    /// workers.
    #[cfg(all(test, windlass_loom))]
    pub(crate) fn for_model(scheduler: Scheduler, blocking_keep_alive: Duration) -> Config {
        let builder = Builder::new().workers(1).seed(0).unhandled_panic(UnhandledPanic::Ignore);
        let builder = builder.max_blocking_threads(1).blocking_keep_alive(blocking_keep_alive);
        Config { workers: 1, scheduler, ..builder.config }
    }

    /// A thread that runs tasks or blocking calls, not started yet.
    pub(crate) fn thread(&self, name: String) -> thread::Builder {
        let builder = thread::Builder::new().name(name);
        match self.stack_size {
            Some(bytes) => builder.stack_size(bytes),
            None => builder,
        }
    }

    /// Runs `f` between the hooks for the start and the stop of a thread.
    pub(crate) fn run_hooked(&self, f: impl FnOnce()) {
        run_hook(self.on_thread_start.as_ref());
        f();
        run_hook(self.on_thread_stop.as_ref());
    }
}

/// A hook that panics has been reported by the panic hook; the thread is needed all the same.
fn run_hook(hook: Option<&Hook>) {
    if let Some(hook) = hook {
        contain(|| hook());
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("scheduler", &self.scheduler)
            .field("workers", &self.workers)
            .field("thread_name", &self.thread_name)
            .field("stack_size", &self.stack_size)
            .field("max_blocking_threads", &self.max_blocking_threads)
            .field("blocking_keep_alive", &self.blocking_keep_alive)
            .field("seed", &self.seed)
            .field("unhandled_panic", &self.unhandled_panic)
            .field("spare_workers", &self.spare_workers)
            .field("blocked_after", &self.blocked_after)
            .finish_non_exhaustive()
    }
}
