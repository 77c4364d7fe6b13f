//! A runtime: the threads, and their end.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::thread;
use std::time::Duration;

use crate::builder::{Builder, Config};
use crate::handle::{AsyncGuard, EnterGuard, Handle, refusal};
use crate::last_words;
use crate::metrics::Metrics;
use crate::panics::print_line;
use crate::park::{Parker, Poller};
use crate::scheduler::{DRAIN_AGAIN, Scheduler, Shared, Worker};
use crate::sync::Mutex;
use crate::task::JoinHandle;

/// An async runtime: workers, an I/O driver, timers, and threads for blocking calls.
///
/// Dropping it ends it: every task is dropped at its current `.await`, and the drop waits for the
/// workers and for blocking calls that have started, however long they take;
/// [`Runtime::shutdown`] waits for a limited time. In [`Builder::on_blocked`] neither does.
///
/// # Examples
/// ```
/// let runtime = runtime::Runtime::new()?;
/// runtime.block_on(async {
///     runtime::spawn(async { println!("hello from a task") }).await.unwrap();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime {
    handle: Handle,
    is_ended: bool,
}

impl Runtime {
    /// A work-stealing runtime with one worker per core.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Runtime> {
        Builder::new().build()
    }

    /// Configures a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn start(config: Config) -> io::Result<Runtime> {
        if cfg!(panic = "abort") {
            last_words::name_the_task();
        }
        let scheduler = config.scheduler;
        let clock = timer::Clock::new();
        let (shared, workers) = {
            // The I/O driver resolves names through the blocking pool, which is made with it.
            let resolver: Arc<Mutex<Option<std::sync::Weak<Shared>>>> = Arc::default();
            let driver = Arc::new(net::Driver::new(net::Hooks {
                blocking: blocking_hook(resolver.clone()),
                budget: crate::coop::poll_proceed,
            })?);
            let handle = driver.handle();
            let (shared, workers) = Shared::new(config, clock, handle, Arc::new(IoPoller(driver)));
            *resolver.lock() = Some(Arc::downgrade(&shared));
            (shared, workers)
        };
        let mut runtime = Runtime { handle: Handle::new(shared.clone()), is_ended: false };
        let mut started = Ok(());
        for worker in workers {
            started = started.and_then(|()| shared.add_worker(worker));
        }
        if scheduler == Scheduler::WorkStealing {
            started = started.and_then(|()| crate::monitor::start(&shared));
        }
        if let Err(error) = started {
            // What has started already leaves by itself; this may be a place that must not wait.
            runtime.end(Some(Duration::ZERO));
            let text = format!("runtime: cannot start a thread of the runtime: {error}");
            return Err(io::Error::new(error.kind(), text));
        }
        Ok(runtime)
    }

    /// Runs `future` on the calling thread until it is done, and gives back its output.
    ///
    /// In a single-threaded runtime the thread also runs the spawned tasks meanwhile. Several
    /// threads may be in `block_on` of one runtime at once: one of them is the worker then, and
    /// when it leaves another one takes over. Tasks that are not done when it returns stay, and go
    /// on in work-stealing mode at once, in single-threaded mode in the next `block_on`.
    ///
    /// # Panics
    /// When the calling thread runs tasks or is in `block_on` already; when `future` panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }

    /// Spawns a task on this runtime. See [`runtime::spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a closure that may block. See [`runtime::spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    /// When there is no thread for it yet and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn_blocking(work)
    }

    /// A handle, for other threads.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this the current runtime of the calling thread. See [`Handle::enter`].
    #[must_use = "the runtime is entered as long as the guard lives"]
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// What the runtime has counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.handle.metrics()
    }

    /// Ends the runtime, and waits at most `deadline` for tasks and blocking calls that run just now.
    ///
    /// Every task's future is dropped at its current `.await`; its handle returns an error that
    /// [is a shutdown](crate::JoinError::is_shutdown). What still runs after the deadline is left
    /// to itself: a task is dropped at its next `.await`, and its thread ends when it can. Sockets have
    /// errors for it then. Destructors of thread-locals of its threads are not waited for.
    ///
    /// # Panics
    /// When it is called inside a task, or inside the future of a `block_on`.
    #[track_caller]
    pub fn shutdown(mut self, deadline: Duration) {
        self.end_checked("Runtime::shutdown", Some(deadline));
    }

    #[track_caller]
    fn end_checked(&mut self, what: &str, deadline: Option<Duration>) {
        let shared = self.handle.shared();
        // In place a worker may wait, but not for itself.
        let is_async = AsyncGuard::is_entered() || shared.is_on_worker();
        // Inside a task nobody may wait, nor on a thread that is waited for; the runtime ends all the
        // same, without us.
        let may_wait = !is_async && !shared.threads.is_member();
        self.end(if may_wait { deadline } else { Some(Duration::ZERO) });
        if is_async && !thread::panicking() {
            panic!("{}", refusal(what, "block"));
        }
    }

    fn end(&mut self, deadline: Option<Duration>) {
        if std::mem::replace(&mut self.is_ended, true) {
            return;
        }
        let began = timer::real_now();
        let left = || deadline.map(|deadline| deadline.saturating_sub(timer::real_now() - began));
        let shared = self.handle.shared();
        shared.begin_shutdown();
        let _entered = self.handle.enter();
        // The futures that are dropped here are inside a runtime, and may not wait for it.
        let _async = AsyncGuard::enter_quietly();
        // A worker may wait for a task, so the tasks do not wait for the workers.
        shared.shut_down_tasks();
        if shared.config.scheduler == Scheduler::SingleThreaded {
            end_lent_worker(shared, left());
        }
        shared.threads.join(left());
        shared.finish_shutdown();
        shared.blocking.shut_down();
        shared.blocking.wait(left());
    }
}

impl Drop for Runtime {
    #[track_caller]
    fn drop(&mut self) {
        if !self.is_ended {
            self.end_checked("drop(Runtime)", None);
        }
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("handle", &self.handle).finish_non_exhaustive()
    }
}

/// Drops the tasks of a single-threaded runtime, on this thread, when its worker is free.
fn end_lent_worker(shared: &Arc<Shared>, timeout: Option<Duration>) {
    let began = timer::real_now();
    let parker = Arc::new(Parker::new(None));
    let worker = loop {
        if let Some(worker) = shared.claim_worker(&parker) {
            break worker;
        }
        if shared.is_worker_gone() {
            return shared.stop_waiting(&parker);
        }
        let left = timeout.map(|timeout| timeout.saturating_sub(timer::real_now() - began));
        if left == Some(Duration::ZERO) {
            return shared.stop_waiting(&parker);
        }
        let wait = left.map_or(DRAIN_AGAIN, |left| left.min(DRAIN_AGAIN));
        parker.park(&|_| Some(wait), &mut Vec::new());
        shared.drain();
    };
    shared.stop_waiting(&parker);
    let (worker, ()) = worker.run_as_current(Worker::shut_down);
    shared.take_back(worker);
}

/// The I/O driver as what the workers sleep on.
struct IoPoller(Arc<net::Driver>);

impl Poller for IoPoller {
    fn try_turn(
        &self,
        arm: &mut dyn FnMut() -> bool,
        timeout: &dyn Fn() -> Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> bool {
        let Some(mut turn) = self.0.try_turn() else { return false };
        if arm() {
            // No system in use fails here with anything but a signal, which the driver retries. If
            // one does, sockets hang; a panic would end a worker, and the report with it.
            if let Err(error) = turn.wait(timeout(), wakers) {
                print_line(format_args!("runtime: the I/O driver cannot wait for events: {error}"));
                thread::sleep(Duration::from_millis(100));
            }
        }
        true
    }

    fn unpark(&self) {
        self.0.unpark();
    }

    fn shut_down(&self, wakers: &mut Vec<Waker>) {
        self.0.shut_down(wakers);
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Runs a name resolution on the blocking pool of the runtime, once there is one.
fn blocking_hook(
    runtime: Arc<Mutex<Option<std::sync::Weak<Shared>>>>,
) -> Box<dyn Fn(Job) -> io::Result<()> + Send + Sync> {
    Box::new(move |job| {
        let shared = runtime.lock().as_ref().and_then(std::sync::Weak::upgrade);
        let gone = || io::Error::other("the runtime has been shut down");
        let shared = shared.filter(|shared| !shared.is_shut_down()).ok_or_else(gone)?;
        shared.spawn_blocking(job, None, std::panic::Location::caller()).map(drop)
    })
}
