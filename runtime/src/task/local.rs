//! Tasks that stay on the thread that spawned them.
//!
//! They may hold what is not `Send`. Each thread that is a worker, or in `block_on`, has a queue of
//! its own for them, which nobody steals from; a wake-up from elsewhere goes through a locked inbox.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use super::{Header, Heap, Id, JoinHandle, OwnedTasks, Runnable, Schedule, Watch, new_task};
use crate::park::Unparker;
use crate::scheduler::Shared;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, thread_local_const};

/// The local tasks of this thread.
pub(crate) struct LocalTasks {
    queue: RefCell<VecDeque<Runnable>>,
    heap: Heap<LocalSchedule>,
    inbox: Arc<Inbox>,
}

/// The part of a thread's local tasks that wakers on other threads reach.
pub(crate) struct Inbox {
    woken: Mutex<Woken>,
    /// Whether `woken` may hold something: a hint that spares the thread the lock. Written under
    /// the lock. Relaxed: a wake-up unparks the thread after the push, and that publishes both.
    is_filled: AtomicBool,
    unparker: Unparker,
    owned: OwnedTasks<LocalSchedule>,
    /// How many tasks are spawned and not complete. Only the thread itself looks and counts: relaxed.
    live: AtomicUsize,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Woken {
    runnables: VecDeque<Runnable>,
    /// The thread does not look any more.
    is_closed: bool,
}

thread_local_const! {
    static LOCAL: RefCell<Option<Rc<LocalTasks>>> = RefCell::new(None);
}

/// Runs `f` with the local tasks of this thread, if it can have any.
#[inline]
pub(crate) fn with_local_tasks<R>(f: impl FnOnce(Option<&LocalTasks>) -> R) -> R {
    let mut f = Some(f);
    let found = LOCAL.try_with(|tasks| {
        let f = f.take().expect("called once");
        f(tasks.borrow().as_deref())
    });
    match found {
        Ok(result) => result,
        Err(_) => f.take().expect("not called where there is no thread-local any more")(None),
    }
}

/// The local tasks of this thread, if it can have any.
pub(crate) fn local_tasks() -> Option<Rc<LocalTasks>> {
    LOCAL.try_with(|tasks| tasks.borrow().clone()).ok().flatten()
}

/// Spawns a task that stays on this thread, so that its future need not be `Send`.
///
/// The thread is a worker, or one in `block_on`. When it leaves its loop (the runtime is shut down,
/// `block_on` returns) its local tasks are dropped there, and their handles return a [`JoinError`]
/// that [is cancelled](super::JoinError::is_cancelled). Those of a `block_on` outlive the runtime as its
/// future does. In both modes a task that was spawned by
/// the future of `block_on` runs on that thread, beside the future.
///
/// # Panics
/// When the calling thread neither is a worker nor in `block_on`.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let data = Rc::new(1);
/// let task = runtime::spawn_local({ let data = data.clone(); async move { *data + 1 } });
/// assert_eq!(task.await.unwrap(), 2);
/// # });
/// ```
///
/// [`JoinError`]: super::JoinError
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    spawn_named(future, None)
}

#[track_caller]
pub(super) fn spawn_named<F>(future: F, name: Option<Cow<'static, str>>) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let spawned_at = Location::caller();
    let Some(tasks) = local_tasks() else {
        panic!(
            "runtime: `spawn_local` needs a thread that runs tasks, but this one does not.\n  \
             help: call it inside a spawned task or the future of `block_on`; \
             elsewhere: `runtime::spawn`, with a future that is `Send`"
        )
    };
    let id = Id::next();
    let birth = tasks.inbox.shared.birth(id, name, spawned_at);
    let scheduler = LocalSchedule(tasks.inbox.clone());
    let (runnable, join) = new_task(future, &scheduler, Some(&tasks.heap), birth);
    tasks.inbox.count(1);
    tasks.queue.borrow_mut().push_back(runnable);
    join
}

impl LocalTasks {
    /// Lets this thread have local tasks until the guard is dropped; then they are dropped.
    pub(crate) fn enter(shared: Arc<Shared>, unparker: Unparker) -> LocalGuard {
        let inbox = Arc::new(Inbox {
            woken: Mutex::new(Woken::default()),
            is_filled: AtomicBool::new(false),
            unparker,
            owned: OwnedTasks::new(),
            live: AtomicUsize::new(0),
            shared,
        });
        let tasks = Rc::new(LocalTasks { queue: RefCell::default(), heap: Heap::new(0), inbox });
        // In the destructor of a thread-local there are no local tasks.
        LocalGuard { outer: LOCAL.try_with(|local| local.replace(Some(tasks))).ok().flatten() }
    }

    /// The next runnable of this thread, if there is one.
    #[inline]
    pub(crate) fn take(&self) -> Option<Runnable> {
        if self.inbox.is_filled.load(Ordering::Relaxed) {
            self.empty_inbox();
        }
        self.queue.borrow_mut().pop_front()
    }

    #[cold]
    fn empty_inbox(&self) {
        let mut woken = self.inbox.woken.lock();
        self.inbox.is_filled.store(false, Ordering::Relaxed);
        if !woken.runnables.is_empty() {
            self.queue.borrow_mut().append(&mut woken.runnables);
            // This thread is awake, which counts as much.
            self.inbox.shared.remove_wakeup();
        }
    }

    /// Whether [`LocalTasks::take`] may find something.
    #[inline]
    pub(crate) fn may_have_work(&self) -> bool {
        self.inbox.is_filled.load(Ordering::Relaxed) || !self.queue.borrow().is_empty()
    }

    /// Whether a task is alive that only this thread can run.
    pub(crate) fn has_live_tasks(&self) -> bool {
        self.inbox.live.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.queue.borrow().is_empty() || !self.inbox.woken.lock().runnables.is_empty()
    }
}

impl AsRef<Heap<LocalSchedule>> for Rc<LocalTasks> {
    fn as_ref(&self) -> &Heap<LocalSchedule> {
        &self.heap
    }
}

impl Inbox {
    /// Counts live tasks, by the thread itself.
    fn count(&self, change: isize) {
        let live = self.live.load(Ordering::Relaxed);
        self.live.store(live.wrapping_add_signed(change), Ordering::Relaxed);
    }
}

/// Ends this thread's right to have local tasks. `!Send`, as its tasks are.
pub(crate) struct LocalGuard {
    outer: Option<Rc<LocalTasks>>,
}

impl Drop for LocalGuard {
    fn drop(&mut self) {
        // While the futures are dropped they are still local tasks of this thread.
        if let Some(tasks) = local_tasks() {
            tasks.inbox.owned.close_and_shut_down();
            tasks.inbox.woken.lock().is_closed = true;
            while let Some(runnable) = tasks.take() {
                drop(runnable);
            }
        }
        let _ = LOCAL.try_with(|tasks| tasks.replace(self.outer.take()));
    }
}

/// The scheduler of a local task: the thread that it was spawned on.
#[derive(Clone)]
pub(crate) struct LocalSchedule(Arc<Inbox>);

pub(crate) enum Place {
    Here,
    Inbox(Arc<Inbox>),
}

impl Schedule for LocalSchedule {
    type Home = Rc<LocalTasks>;
    type Place = Place;

    fn place(&self) -> Place {
        if self.home().is_some() { Place::Here } else { Place::Inbox(self.0.clone()) }
    }

    fn schedule(place: Place, runnable: Runnable) {
        match place {
            Place::Here => with_local_tasks(|tasks| {
                let tasks = tasks.expect("`place` has found them");
                tasks.queue.borrow_mut().push_back(runnable);
            }),
            Place::Inbox(inbox) => {
                let mut woken = inbox.woken.lock();
                if woken.is_closed {
                    // The task has been shut down, and its runnable is stale.
                    drop(woken);
                    return drop(runnable);
                }
                if woken.runnables.is_empty() {
                    inbox.shared.add_wakeup();
                }
                woken.runnables.push_back(runnable);
                inbox.is_filled.store(true, Ordering::Relaxed);
                drop(woken);
                inbox.unparker.unpark();
            }
        }
    }

    fn owned(&self) -> Option<&OwnedTasks<LocalSchedule>> {
        Some(&self.0.owned)
    }

    fn home(&self) -> Option<Rc<LocalTasks>> {
        let is_its_own = |tasks: &&Rc<LocalTasks>| Arc::ptr_eq(&tasks.inbox, &self.0);
        LOCAL.try_with(|tasks| tasks.borrow().as_ref().filter(is_its_own).cloned()).ok().flatten()
    }

    fn count_end(&self, _watch: Option<&Watch>) {
        self.0.count(-1);
    }

    fn forget_name(&self, task: &Header) {
        self.0.shared.forget_name(task);
    }

    fn is_shut_down(&self) -> bool {
        self.0.shared.is_shut_down()
    }

    fn unhandled_panic(&self, task: &Header, payload: &(dyn Any + Send)) {
        self.0.shared.report_panic(task, payload);
    }
}
