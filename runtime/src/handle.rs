//! The way to a runtime from anywhere: the current one of this thread, or one held on to.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::metrics::Metrics;
use crate::scheduler::{self, Refused, Scheduler, Shared};
use crate::sync::thread_local_const;
use crate::task::{Current, JoinHandle};

/// A reference to a runtime, for spawning from threads that are not its own. Cheap to clone.
///
/// It does not keep the runtime running: after the [`Runtime`](crate::Runtime) has been dropped,
/// what is spawned is cancelled at once.
///
/// # Examples
/// ```
/// let runtime = runtime::Builder::new().build()?;
/// let handle = runtime.handle().clone();
/// let sum = std::thread::spawn(move || handle.block_on(async { 1 + 1 })).join().unwrap();
/// assert_eq!(sum, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
}

thread_local_const! {
    /// The runtime that this thread has entered last.
    static CURRENT: RefCell<Option<Handle>> = RefCell::new(None);
    /// How many guards of [`Handle::enter`] this thread has.
    static DEPTH: Cell<usize> = Cell::new(0);
    /// Whether this thread must not block, since it runs tasks or is in `block_on`.
    static IS_ASYNC: Cell<bool> = Cell::new(false);
}

/// Spawns a task on the current runtime. It runs whether or not its handle is awaited.
///
/// In work-stealing mode any worker may run it, and it may move between polls.
///
/// # Panics
/// When the calling thread is in no runtime.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let one = runtime::spawn(async { 1 });
/// let two = runtime::spawn(async { 2 });
/// assert_eq!(one.await.unwrap() + two.await.unwrap(), 3);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let spawned_at = Location::caller();
    // The handle is borrowed, not cloned: its count is shared by all threads. No foreign code runs
    // meanwhile, for a task that is refused is dropped afterwards.
    let spawned = CURRENT.try_with(|current| match &*current.borrow() {
        Some(handle) => Ok(handle.shared.try_spawn(future, None, spawned_at)),
        None => Err(future),
    });
    match spawned {
        Ok(Ok((join, refused))) => {
            if let Some(refused) = refused {
                refuse(refused);
            }
            join
        }
        _ => no_runtime("spawn"),
    }
}

/// The runtime of this thread has ended.
#[cold]
fn refuse(refused: Refused) {
    // Entered, as it is found: what is dropped may itself leave the runtime.
    let handle = Handle::require("spawn");
    handle.shared.refuse(refused);
}

#[track_caller]
#[cold]
fn no_runtime(what: &str) -> ! {
    panic!(
        "runtime: `{what}` needs a running runtime, but this thread has none.\n  \
         help: call it inside `#[runtime::main]`, `Runtime::block_on` or a spawned task; \
         on your own thread: `let _guard = handle.enter();`"
    )
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The runtime that the calling thread is in.
    ///
    /// # Panics
    /// When it is in none; [`Handle::try_current`] does not.
    #[track_caller]
    #[must_use]
    pub fn current() -> Handle {
        Handle::require("Handle::current")
    }

    /// The runtime that the calling thread is in, if it is in one.
    #[must_use]
    pub fn try_current() -> Option<Handle> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// The current handle, for a function that the panic message names.
    #[track_caller]
    pub(crate) fn require(what: &str) -> Handle {
        // No closure: a panic in one would name this line.
        match Handle::try_current() {
            Some(handle) => handle,
            None => no_runtime(what),
        }
    }

    /// Spawns a task on this runtime, from any thread. See [`runtime::spawn`](crate::spawn).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.spawn(future, None, Location::caller())
    }

    #[track_caller]
    pub(crate) fn spawn_named<F>(
        &self,
        future: F,
        name: Option<Cow<'static, str>>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.shared.spawn(future, name, Location::caller())
    }

    /// Runs a closure that may block, from any thread. See
    /// [`runtime::spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    /// When there is no thread for it yet and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_blocking_named(work, None)
    }

    #[track_caller]
    pub(crate) fn spawn_blocking_named<F, T>(
        &self,
        work: F,
        name: Option<Cow<'static, str>>,
    ) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.spawn_blocking(work, name, Location::caller()) {
            Ok(handle) => handle,
            Err(error) => panic!(
                "runtime: `spawn_blocking` could not start a thread: {error}.\n  \
                 help: raise the limit on threads (`ulimit -u`), or lower \
                 `Builder::max_blocking_threads`"
            ),
        }
    }

    /// Runs a future on this thread until it is done, as
    /// [`Runtime::block_on`](crate::Runtime::block_on) does.
    ///
    /// # Panics
    /// When this thread runs tasks or is in `block_on` already; when the future panics.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _async = AsyncGuard::enter("block_on");
        let _entered = self.enter();
        scheduler::block_on(&self.shared, future)
    }

    /// Makes this the current runtime of the calling thread until the guard is dropped.
    ///
    /// Then `spawn`, sockets and timers work here. Guards nest; drop them in reverse order.
    ///
    /// # Examples
    /// ```
    /// let runtime = runtime::Builder::new().build()?;
    /// let _guard = runtime.enter();
    /// runtime::spawn(async { println!("spawned from a thread that is not a worker") });
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "the runtime is entered as long as the guard lives"]
    pub fn enter(&self) -> EnterGuard<'_> {
        let entered = CURRENT.try_with(|current| current.replace(Some(self.clone())));
        // In the destructor of a thread-local nothing can be entered; depth 0 marks a guard that
        // has no effect.
        let depth = if entered.is_ok() { DEPTH.with(Cell::get) + 1 } else { 0 };
        if depth > 0 {
            DEPTH.with(|cell| cell.set(depth));
        }
        EnterGuard {
            outer: entered.ok().flatten(),
            depth,
            _timers: self.shared.entered_timers.handle().enter(),
            _net: self.shared.net.enter(),
            _runtime: PhantomData,
        }
    }

    /// The mode of this runtime.
    #[must_use]
    pub fn scheduler(&self) -> Scheduler {
        self.shared.config.scheduler
    }

    /// What the runtime has counted so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        Metrics::read(&self.shared)
    }
}

/// Keeps a runtime entered on the thread that called [`Handle::enter`].
///
/// # Panics
/// When it is dropped while a guard that was made later on the same thread is alive, unless the
/// thread is panicking. What was entered before both is current then.
#[derive(Debug)]
#[must_use = "the runtime is entered as long as the guard lives"]
pub struct EnterGuard<'a> {
    outer: Option<Handle>,
    depth: usize,
    // Both are `!Send`, and restore their own thread-locals.
    _timers: timer::EnterGuard,
    _net: net::EnterGuard,
    _runtime: PhantomData<&'a Handle>,
}

impl Drop for EnterGuard<'_> {
    fn drop(&mut self) {
        let depth = DEPTH.with(Cell::get);
        if self.depth == 0 || depth < self.depth {
            // Without effect, or ended already together with an outer guard.
            return;
        }
        DEPTH.with(|cell| cell.set(self.depth - 1));
        // Replaced first, dropped after: it may be the last reference to the runtime.
        let left = CURRENT.try_with(|current| current.replace(self.outer.take()));
        drop(left);
        assert!(
            depth == self.depth || std::thread::panicking(),
            "runtime: an `EnterGuard` was dropped before one that was made after it.\n  \
             help: drop guards in the reverse order of `enter`, best by leaving their scopes"
        );
    }
}

/// Marks this thread as one that must not block: a worker, or a thread in `block_on`.
pub(crate) struct AsyncGuard(());

impl AsyncGuard {
    /// # Panics
    /// When the thread is marked already.
    #[track_caller]
    pub(crate) fn enter(what: &str) -> AsyncGuard {
        if IS_ASYNC.with(Cell::get) {
            panic!("{}", refusal(what, "stall"));
        }
        IS_ASYNC.with(|is_async| is_async.set(true));
        AsyncGuard(())
    }

    /// Marks the thread, whether or not it is marked already.
    pub(crate) fn enter_quietly() -> SuspendGuard {
        SuspendGuard(IS_ASYNC.with(|is_async| is_async.replace(true)))
    }

    /// Lets this thread block until the guard is dropped.
    pub(crate) fn suspend() -> SuspendGuard {
        SuspendGuard(IS_ASYNC.with(|is_async| is_async.replace(false)))
    }

    /// Whether this thread must not block.
    pub(crate) fn is_entered() -> bool {
        IS_ASYNC.try_with(Cell::get).unwrap_or(false)
    }
}

impl Drop for AsyncGuard {
    fn drop(&mut self) {
        IS_ASYNC.with(|is_async| is_async.set(false));
    }
}

/// Restores what the thread was marked as before.
pub(crate) struct SuspendGuard(bool);

impl Drop for SuspendGuard {
    fn drop(&mut self) {
        IS_ASYNC.with(|is_async| is_async.set(self.0));
    }
}

/// The task that this thread is in, for a message: its number, its name if it has one, and the line
/// that spawned it.
pub(crate) fn current_task() -> Option<String> {
    let task = Current::get()?;
    let name = task
        .is_named
        .then(|| Handle::try_current()?.shared.name(task.id))
        .flatten()
        .map_or(String::new(), |name| format!("{name:?}, "));
    Some(format!("task {} ({name}spawned at {})", task.id, task.spawned_at))
}

/// Why something that blocks must not be called where it was called.
pub(crate) fn refusal(what: &str, verb: &str) -> String {
    let harm = match scheduler::is_worker() {
        Some(worker) => format!("it would {verb} worker {worker}"),
        None => format!("it would {verb} the future that this thread runs"),
    };
    let inside = current_task().unwrap_or_else(|| "the future of another `block_on`".to_owned());
    format!(
        "runtime: `{what}` was called inside {inside}; {harm}.\n  \
         help: use `.await`; in code that must wait: \
         `runtime::spawn_blocking(move || handle.block_on(..))`"
    )
}
