//! Tasks: what is spawned, how it is polled, and the handles to it.
//!
//! A task is one block of memory that is reached through thin pointers. All of its `unsafe` code is in
//! this folder; the state word says at each moment who may do what, and the rest follows it.

mod builder;
#[allow(unsafe_code)]
mod cell;
#[allow(unsafe_code)]
mod current;
#[allow(unsafe_code)]
mod header;
#[allow(unsafe_code)]
mod heap;
#[allow(unsafe_code)]
mod join;
mod local;
#[allow(unsafe_code)]
mod one_word;
#[allow(unsafe_code)]
mod owned;
#[allow(unsafe_code)]
mod page;
#[allow(unsafe_code)]
mod slot;
#[allow(unsafe_code)]
mod stage;
mod state;
#[allow(unsafe_code)]
mod waker;
#[allow(unsafe_code)]
mod watch;
mod yield_now;

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sync::thread_local_const;

use header::TaskRef;

pub use builder::Builder;
pub use join::{AbortHandle, JoinError, JoinHandle};
pub use local::spawn_local;
pub use yield_now::{YieldNow, yield_now};

pub use crate::blocking::spawn_blocking;
pub use crate::coop::{Unconstrained, consume_budget, unconstrained};
pub use crate::handle::spawn;
pub use crate::scheduler::block_in_place;

pub(crate) use cell::{Birth, new_task};
pub(crate) use current::Current;
pub(crate) use header::Header;
pub(crate) use heap::Heap;
pub(crate) use join::panic_message;
pub(crate) use local::{LocalTasks, local_tasks, with_local_tasks};
pub(crate) use one_word::know_block_on;
pub(crate) use owned::OwnedTasks;
pub(crate) use slot::Slot;
pub(crate) use watch::{Watch, Watched};

/// The permission to poll a task once. Exists at most once per task.
///
/// That of a new task, or of one that woke itself, has `RUNNING` with it, and so the future: dropping it
/// without running it drops that too. Any other is one of a task that was idle; dropped, it gives up its
/// reference: the task stays `NOTIFIED` and is never polled again. That is right when, and only when, its
/// scheduler shuts it down.
pub(crate) struct Runnable(TaskRef);

/// What a task needs to know of its scheduler.
///
/// The implementor promises that the `Runnable`s of a task whose future is not `Send` are run, shut
/// down and completed on the thread that spawned it only.
pub(crate) trait Schedule: Clone + Send + Sync + Sized + 'static {
    /// What has the heap of a thread, and keeps it there.
    type Home: AsRef<Heap<Self>>;

    /// Where a `Runnable` is to be pushed, found before it is.
    type Place;

    /// Chooses the place. Not done by [`Schedule::schedule`] itself, because `self` lies in the task's
    /// page, and another thread may run, complete and free that before `schedule` returns.
    fn place(&self) -> Self::Place;

    /// Queues a `Runnable`, and sees to it that a thread will look at the queue.
    fn schedule(place: Self::Place, runnable: Runnable);

    /// Queues the `Runnable` of a task that was woken in its own poll, as by `yield_now`: everybody
    /// else goes first. Or gives it back, for the caller of [`Runnable::run`] to do so. As it stands here
    /// it is for schedulers whose tasks end on the thread that calls this, for `self` may end with them.
    fn again(&self, runnable: Runnable) -> Option<Runnable> {
        Self::schedule(self.place(), runnable);
        None
    }

    /// Calls `wake`, which wakes who waits for the end of one of its tasks.
    fn wake_joiner(&self, wake: impl FnOnce()) {
        wake();
    }

    /// Its tasks, if any of them may ever be pending.
    fn owned(&self) -> Option<&OwnedTasks<Self>>;

    /// The home of this thread's heap, if it has one of this scheduler.
    fn home(&self) -> Option<Self::Home>;

    /// Counts a task that is about to be complete; `watch` is that of its last poll, if it is
    /// complete after that.
    fn count_end(&self, _watch: Option<&Watch>) {}

    /// Called for a complete task that has a name.
    fn forget_name(&self, task: &Header);

    /// Whether the runtime has ended, so that a task that is cancelled is so for that reason.
    fn is_shut_down(&self) -> bool;

    /// Called with the panic of a task whose result nobody waits for.
    fn unhandled_panic(&self, task: &Header, payload: &(dyn Any + Send));
}

/// The number of a task, unique in this process for its lifetime; numbers are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Id {
    /// Numbers are handed out from blocks, one block per thread, so that spawning shares nothing.
    const BLOCK: u64 = 1024;

    pub(crate) fn next() -> Id {
        /// The first number of the next block. Relaxed: only uniqueness counts.
        static NEXT_BLOCK: AtomicU64 = AtomicU64::new(1);
        thread_local_const! {
            static NEXT: Cell<u64> = Cell::new(0);
        }
        NEXT.with(|next| {
            let mut id = next.get();
            if id % Id::BLOCK == 0 {
                id = NEXT_BLOCK.fetch_add(1, Ordering::Relaxed) * Id::BLOCK;
            }
            next.set(id + 1);
            Id(id)
        })
    }

    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

/// The number of the task that calls this.
///
/// # Panics
/// Outside of a task; the future given to `block_on` is not a task. [`try_id`] does not panic.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let handle = runtime::spawn(async { runtime::task::id() });
/// let id = handle.id();
/// assert_eq!(handle.await.unwrap(), id);
/// # });
/// ```
#[track_caller]
#[must_use]
pub fn id() -> Id {
    match try_id() {
        Some(id) => id,
        None => panic!(
            "runtime: `task::id` was called outside of a task.\n  \
             help: the future given to `block_on` is not a task: spawn one, or use `task::try_id`"
        ),
    }
}

/// The number of the task that calls this, if a task does.
#[must_use]
pub fn try_id() -> Option<Id> {
    Current::get().map(|current| current.id)
}
