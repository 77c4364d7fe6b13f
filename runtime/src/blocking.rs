//! The threads for calls that block.
//!
//! Threads are started on demand, up to a limit; one that has had nothing to do for the keep-alive
//! leaves. Everything is under one lock: a blocking call costs two context switches anyway.

use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::builder::Config;
use crate::handle::Handle;
use crate::panics::contain;
use crate::scheduler::Shared;
use crate::sync::{Condvar, Mutex, MutexGuard, thread_local_const, wait_for};
use crate::task::{Header, Heap, Id, JoinHandle, OwnedTasks, Runnable, Schedule, Watch, new_task};

/// Runs a closure that may block on a thread of its own, and gives back its result.
///
/// Threads are reused, and their number is [limited](crate::Builder::max_blocking_threads); above
/// the limit calls wait for a free thread, first come, first served. Dropping the handle does not
/// cancel a call. Aborting one that has not started does; one that has started runs to its end.
/// After the runtime has shut down the handle returns an error that
/// [says so](crate::JoinError::is_shutdown).
///
/// For CPU-bound work that should use all cores, a pool such as `rayon` is the better place.
///
/// # Panics
/// When the calling thread is in no runtime, or when there is no thread yet and the system refuses
/// to start one.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let text = runtime::spawn_blocking(|| std::fs::read_to_string("/proc/self/comm"));
/// assert!(text.await.unwrap().is_ok());
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Handle::require("spawn_blocking").spawn_blocking(work)
}

/// The blocking calls of one runtime: those that wait, and the threads that run them.
pub(crate) struct Pool {
    state: Mutex<State>,
    /// Notified once per call that is queued for an idle thread, and on shutdown.
    work: Condvar,
    /// Notified when a thread has left.
    one_left: Condvar,
    limit: usize,
    keep_alive: Duration,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Queued>,
    /// Threads that will look at the queue again, those waiting for work included. A thread takes
    /// itself out under the lock, in the moment in which it decides to leave.
    threads: usize,
    /// Of these, those that are being started, which may fail.
    starting: usize,
    /// Threads that have not ended: they may still run the hook for their stop.
    alive: usize,
    /// Threads that wait for work. Each counts itself in and out, so while the queue is not longer
    /// than this, there is a thread for every call in it.
    waiting: usize,
    /// Calls that run.
    running: usize,
    /// Numbers the threads, for their names.
    started: usize,
    is_shut_down: bool,
}

struct Queued {
    call: Runnable,
    duty: Duty,
    /// The number of the thread that is started because of this call, 0 if none is.
    starts: usize,
}

impl Queued {
    /// What becomes of a call that no thread of the pool will run.
    fn give_up(self) {
        match self.duty {
            Duty::Optional => drop(self.call),
            Duty::Mandatory => run(self.call),
        }
    }
}

/// What a shutdown does to a call that has not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// It is dropped, and its handle says so.
    Optional,
    /// It runs, and the shutdown waits for it: somebody has been told that it happened.
    Mandatory,
}

impl Pool {
    pub(crate) fn new(config: &Config) -> Arc<Pool> {
        Arc::new(Pool {
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            one_left: Condvar::new(),
            limit: config.max_blocking_threads,
            keep_alive: config.blocking_keep_alive,
        })
    }

    /// Queues a call.
    ///
    /// # Errors
    /// When no thread exists and none can be started; the call is dropped then. A mandatory call
    /// runs on the calling thread instead, and fails only after the shutdown.
    fn push(self: &Arc<Pool>, shared: &Arc<Shared>, call: Runnable, duty: Duty) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.is_shut_down {
            drop(state);
            shared.entered(|| drop(call));
            return match duty {
                Duty::Optional => Ok(()),
                Duty::Mandatory => Err(io::Error::other("the runtime has been shut down")),
            };
        }
        let is_awaited = state.queue.len() < state.waiting;
        if is_awaited || state.threads >= self.limit {
            state.queue.push_back(Queued { call, duty, starts: 0 });
            if is_awaited {
                self.work.notify_one();
            }
            return Ok(());
        }
        state.threads += 1;
        state.starting += 1;
        state.alive += 1;
        state.started += 1;
        let number = state.started;
        state.queue.push_back(Queued { call, duty, starts: number });
        drop(state);
        match (self.start_thread(shared, number), duty) {
            (Err(error), Duty::Optional) => Err(error),
            _ => Ok(()),
        }
    }

    /// Loom's threads share the thread-locals of one, so nothing is entered here.
    #[cfg(windlass_loom)]
    fn start_thread(self: &Arc<Pool>, shared: &Arc<Shared>, _number: usize) -> io::Result<()> {
        let (pool, shared) = (self.clone(), shared.clone());
        loom::thread::spawn(move || {
            let _left = Left(&pool);
            let shared = shared;
            pool.run(&shared);
        });
        Ok(())
    }

    #[cfg(not(windlass_loom))]
    fn start_thread(self: &Arc<Pool>, shared: &Arc<Shared>, number: usize) -> io::Result<()> {
        let pool = self.clone();
        let handle = Handle::new(shared.clone());
        let name = format!("{}-blocking-{number}", shared.config.thread_name);
        let thread = shared.config.thread(name).spawn(move || {
            let _left = Left(&pool);
            // Dropped before the thread counts itself out: who waits for it may then rely on the
            // runtime's files being closed.
            let handle = handle;
            let _member = Member::enter(&pool);
            let _entered = handle.enter();
            handle.shared().config.run_hooked(|| pool.run(handle.shared()));
        });
        let Err(error) = thread else { return Ok(()) };
        let mut state = self.state.lock();
        state.threads -= 1;
        state.starting -= 1;
        state.alive -= 1;
        // A shutdown may have counted the thread that does not come.
        self.one_left.notify_all();
        let index = state.queue.iter().position(|queued| queued.starts == number);
        let calls = match index {
            // The threads that exist have come to the call, or will in time.
            None => return Ok(()),
            Some(_) if state.threads > state.starting => return Ok(()),
            // Others who wait for a thread that is being started hear of it themselves.
            Some(index) if state.threads > 0 => state.queue.remove(index).into_iter().collect(),
            Some(_) => std::mem::take(&mut state.queue),
        };
        drop(state);
        shared.entered(|| calls.into_iter().for_each(Queued::give_up));
        Err(error)
    }

    fn run(&self, shared: &Shared) {
        let mut state = self.state.lock();
        state.starting -= 1;
        loop {
            if let Some(queued) = state.queue.pop_front() {
                state = self.run_call(state, queued);
                if shared.clock.is_paused() {
                    drop(state);
                    shared.look_again_if_paused();
                    state = self.state.lock();
                }
            } else if state.is_shut_down || !self.wait_for_work(&mut state) {
                state.threads -= 1;
                return;
            }
        }
    }

    fn run_call<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        queued: Queued,
    ) -> MutexGuard<'a, State> {
        state.running += 1;
        drop(state);
        contain(|| run(queued.call));
        let mut state = self.state.lock();
        state.running -= 1;
        state
    }

    /// False: the keep-alive has passed and there is still nothing to do.
    fn wait_for_work(&self, state: &mut MutexGuard<'_, State>) -> bool {
        let began = timer::real_now();
        state.waiting += 1;
        while state.queue.is_empty() && !state.is_shut_down {
            let left = self.keep_alive.saturating_sub(timer::real_now() - began);
            if left.is_zero() {
                break;
            }
            wait_for(&self.work, state, Some(left));
        }
        state.waiting -= 1;
        // A call may have come together with the end of the keep-alive: its push saw this thread
        // waiting and started no other.
        !state.queue.is_empty() || state.is_shut_down
    }

    /// Whether no call is queued or running.
    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.running == 0
    }

    /// Refuses new calls, drops those that have not started and may be dropped, and lets the threads
    /// leave when they have run the others.
    pub(crate) fn shut_down(&self) {
        let mut state = self.state.lock();
        state.is_shut_down = true;
        let calls = std::mem::take(&mut state.queue);
        let (kept, dropped): (VecDeque<_>, VecDeque<_>) =
            calls.into_iter().partition(|queued| queued.duty == Duty::Mandatory);
        // A queue that is not empty has a thread that exists, or that is being started; a thread
        // leaves only when it finds the queue empty.
        debug_assert!(kept.is_empty() || state.threads > 0);
        state.queue = kept;
        self.work.notify_all();
        drop(state);
        dropped.into_iter().for_each(Queued::give_up);
    }

    /// Waits until all threads have left after a shutdown; `None` waits without end. False: some have
    /// not.
    pub(crate) fn wait(&self, timeout: Option<Duration>) -> bool {
        let began = timer::real_now();
        let is_member = self.is_member();
        let mut state = self.state.lock();
        loop {
            // A call that drops its own runtime must not wait for itself, nor for a call that nobody
            // else may come to. With a limit it makes none, which may take longer: that is for this
            // thread when it is back.
            let has_work = is_member && timeout.is_none() && !state.queue.is_empty();
            if !has_work && state.alive <= usize::from(is_member) {
                return true;
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(timer::real_now() - began));
            if left == Some(Duration::ZERO) {
                return false;
            }
            match if has_work { state.queue.pop_front() } else { None } {
                Some(kept) => state = self.run_call(state, kept),
                None => wait_for(&self.one_left, &mut state, left),
            }
        }
    }

    /// Whether the calling thread is one of this pool's.
    fn is_member(&self) -> bool {
        MEMBER_OF.with(Cell::get) == std::ptr::from_ref(self).addr()
    }

    /// The threads that exist, and the calls that wait for one.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.threads, state.queue.len())
    }
}

/// Counts a thread out, however it ends.
struct Left<'a>(&'a Pool);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.state.lock().alive -= 1;
        self.0.one_left.notify_all();
    }
}

thread_local_const! {
    /// The address of the pool that this thread belongs to, 0 if to none.
    static MEMBER_OF: Cell<usize> = Cell::new(0);
}

/// Marks this thread as one of a pool.
struct Member;

impl Member {
    #[cfg_attr(windlass_loom, expect(dead_code))]
    fn enter(pool: &Arc<Pool>) -> Member {
        MEMBER_OF.with(|member| member.set(Arc::as_ptr(pool).addr()));
        Member
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        MEMBER_OF.with(|member| member.set(0));
    }
}

impl Shared {
    pub(crate) fn spawn_blocking<F, T>(
        self: &Arc<Shared>,
        work: F,
        name: Option<Cow<'static, str>>,
        spawned_at: &'static Location<'static>,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_call(work, Duty::Optional, name, spawned_at)
    }

    /// # Errors
    /// For an optional call when no thread can be started, for a mandatory one when the runtime has
    /// been shut down. The closure is dropped then.
    pub(crate) fn spawn_call<F, T>(
        self: &Arc<Shared>,
        work: F,
        duty: Duty,
        name: Option<Cow<'static, str>>,
        spawned_at: &'static Location<'static>,
    ) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let birth = self.birth(Id::next(), name, spawned_at);
        let scheduler = BlockingSchedule(self.clone());
        let (call, join) = new_task(Call(Some(work)), &scheduler, None, birth);
        self.blocking.push(self, call, duty)?;
        Ok(join)
    }
}

/// A closure as a future that is ready at its first poll.
struct Call<F>(Option<F>);

// A closure is never pinned.
impl<F> Unpin for Call<F> {}

impl<F: FnOnce() -> T, T> Future for Call<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let work = self.0.take().expect("a call is polled once");
        Poll::Ready(work())
    }
}

/// The scheduler of a call, which is pushed once, when it is made.
#[derive(Clone)]
struct BlockingSchedule(Arc<Shared>);

/// Runs a call, which is done after one poll.
fn run(call: Runnable) {
    let again = call.run(&Watch::new());
    debug_assert!(again.is_none(), "a call is never pending");
}

impl Schedule for BlockingSchedule {
    type Home = Box<Heap<BlockingSchedule>>;
    type Place = ();

    fn place(&self) {}

    /// A call is in the queue from the start, so there is nothing to wake.
    fn schedule((): (), runnable: Runnable) {
        drop(runnable);
    }

    /// A call is never pending.
    fn owned(&self) -> Option<&OwnedTasks<BlockingSchedule>> {
        None
    }

    /// Each call has its memory to itself: next to a change of thread that costs little.
    fn home(&self) -> Option<Self::Home> {
        None
    }

    fn forget_name(&self, task: &Header) {
        self.0.forget_name(task);
    }

    fn is_shut_down(&self) -> bool {
        self.0.is_shut_down()
    }

    fn unhandled_panic(&self, task: &Header, payload: &(dyn Any + Send)) {
        self.0.report_panic(task, payload);
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;
    use crate::io::call::Call;
    use crate::{Builder, Runtime, Scheduler};

    /// A runtime that needs no thread, and that the system gives none.
    fn without_threads(limit: usize) -> Runtime {
        let builder = Builder::new().scheduler(Scheduler::SingleThreaded).stack_size(1 << 50);
        builder.max_blocking_threads(limit).build().expect("it needs no thread")
    }

    #[test]
    fn calls_that_get_no_thread_do_not_say_that_the_runtime_was_shut_down() {
        let runtime = without_threads(1);
        let shared = runtime.handle().shared();
        // As while another call has its thread started.
        shared.blocking.state.lock().threads = 1;
        let call = shared.spawn_blocking(|| (), None, Location::caller()).expect("it is queued");
        let read = Call::start(runtime.handle(), || Ok(())).expect("it is queued");
        shared.blocking.state.lock().threads = 0;
        shared.spawn_blocking(|| (), None, Location::caller()).expect_err("no thread");
        let error = runtime.block_on(call).expect_err("nobody runs it");
        assert!(error.is_cancelled() && !error.is_shutdown(), "{error}");
        let error = runtime.block_on(read).expect_err("nobody runs it");
        assert!(error.to_string().contains("no thread is left that could run it"), "{error}");
    }

    #[test]
    fn a_call_that_shuts_its_runtime_down_makes_no_other_while_it_has_a_deadline() {
        let runtime = Builder::new().max_blocking_threads(1).build().expect("it has threads");
        let handle = runtime.handle().clone();
        let shared = handle.shared().clone();
        let (release, gate) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        drop(handle.spawn_blocking(move || {
            // Not for ever, so that a test that fails ends.
            let kept = move || gate.recv_timeout(Duration::from_secs(10));
            let kept = shared.spawn_call(kept, Duty::Mandatory, None, Location::caller());
            drop(kept.expect("it is queued"));
            runtime.shutdown(Duration::from_millis(1));
            let (_, queued) = shared.blocking.counts();
            drop(release);
            tell.send((shared, queued)).expect("the test listens");
        }));
        let (shared, queued) = told.recv().expect("the shutdown has returned");
        assert_eq!(queued, 1, "it is kept");
        assert!(shared.blocking.wait(None), "it is made then");
        assert_eq!(shared.blocking.counts(), (0, 0));
    }

    #[test]
    fn a_call_is_refused_whose_thread_cannot_be_started_while_others_may_not_be_either() {
        let runtime = without_threads(2);
        let shared = runtime.handle().shared();
        // As another thread leaves it that starts one just now.
        let change = |by: isize| {
            let mut state = shared.blocking.state.lock();
            let State { threads, starting, alive, .. } = &mut *state;
            for count in [threads, starting, alive] {
                *count = count.checked_add_signed(by).expect("it counts up, then down");
            }
        };
        change(1);
        let refused = shared.spawn_blocking(|| (), None, Location::caller());
        change(-1);
        assert!(refused.is_err(), "nobody may ever come to it");
        assert_eq!(shared.blocking.counts(), (0, 0));
    }
}
