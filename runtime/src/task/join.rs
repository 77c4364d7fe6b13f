//! The handles to a spawned task, and why a task has no result.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use super::Id;
use super::header::{Header, TaskRef};
use super::one_word::OneWordWaker;
use super::state::DropJoin;
use crate::coop;
use crate::panics::drop_quietly;

/// Waits for a task's result; dropping it lets the task run on, detached.
///
/// It is a future of `Result<T, JoinError>`.
///
/// **Cancel safety**: a dropped `.await` on `&mut handle` loses nothing; the handle can be awaited
/// again. Dropping the handle itself detaches the task and drops its result when it is done.
///
/// # Panics
/// When it is polled again after it has returned the result.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let handle = runtime::spawn(async { 6 * 7 });
/// assert_eq!(handle.await.unwrap(), 42);
/// # });
/// ```
pub struct JoinHandle<T> {
    /// Given back by `drop`, together with the rights of the handle where that is possible.
    task: ManuallyDrop<TaskRef>,
    _output: PhantomData<T>,
}

// SAFETY: the handle moves a `T` out of the task to the thread that polls it, so `T: Send` is what
// sending the handle needs; everything else that it does goes through the task's header.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: `&JoinHandle` gives access to the header only.
unsafe impl<T: Send> Sync for JoinHandle<T> {}
impl<T> Unpin for JoinHandle<T> {}
impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// # Safety
    /// - `header` points to a task whose output is a `T`, with `JOIN_INTEREST` set.
    /// - One counted reference belongs to the caller, who gives it up, and no other handle exists.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> JoinHandle<T> {
        // SAFETY: the caller gives its counted reference up.
        let task = unsafe { TaskRef::from_raw(header) };
        JoinHandle { task: ManuallyDrop::new(task), _output: PhantomData }
    }

    /// Asks the task to end: its future is dropped at its next `.await`, by the thread that runs it.
    ///
    /// The handle then returns a [`JoinError`] that [is cancelled](JoinError::is_cancelled), unless
    /// the task was complete before. Works from any thread, also after the runtime has ended. A task
    /// of [`spawn_blocking`](crate::spawn_blocking) that has started is not interrupted.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Another handle, which can only abort and ask.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        AbortHandle { task: TaskRef::clone(&self.task) }
    }

    /// Whether the task is complete: finished, panicked or cancelled.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().state.load().is_complete()
    }

    /// The number of the task, unique in this process.
    #[must_use]
    pub fn id(&self) -> Id {
        self.task.header().id()
    }

    /// Leaves `waker` to be woken on completion. True: the task is complete already.
    fn register(&self, waker: &Waker) -> bool {
        let header = self.task.header();
        // SAFETY: the handle's reference keeps the task alive.
        let slot = unsafe { (header.facts.vtable.join_waker)(self.task.as_ptr()) };
        // SAFETY: the slot is a field of the task, which outlives `self`.
        let slot = unsafe { slot.as_ref() };
        let snapshot = header.state.load();
        if snapshot.is_complete() {
            return true;
        }
        if snapshot.has_join_waker() {
            let same = slot.with(|slot| {
                // SAFETY: with `JOIN_WAKER` set nobody writes the slot but this handle, after it
                // has taken it back; the completing thread only reads. If it has woken the waker
                // meanwhile, this compares a pointer with the one that it had.
                unsafe { &*slot }.as_ref().is_some_and(|old| old.will_wake(waker))
            });
            if same {
                return false;
            }
        }
        // Before the slot is taken back: if this panics, the old one is still where it is looked for.
        let waker = OneWordWaker::new(waker.clone());
        if snapshot.has_join_waker() && !header.state.take_join_waker() {
            return true;
        }
        let old = slot.with_mut(|slot| {
            // SAFETY: `JOIN_WAKER` is clear, so the slot is the handle's.
            unsafe { (*slot).replace(waker) }
        });
        let registered = header.state.set_join_waker();
        drop(old);
        !registered
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.is_finished() && !self.register(cx.waker()) {
            return Poll::Pending;
        }
        if coop::poll_proceed(cx).is_pending() {
            return Poll::Pending;
        }
        let mut result: Option<Result<T, JoinError>> = None;
        let header = self.task.as_ptr();
        // SAFETY: the task is complete and this is its handle, so the output is ours; `result` is a
        // place of the type that the vtable's function writes.
        unsafe { (self.task.header().facts.vtable.read_output)(header, (&raw mut result).cast()) };
        Poll::Ready(result.expect("read_output always writes"))
    }
}

impl<T> Drop for JoinHandle<T> {
    #[inline]
    fn drop(&mut self) {
        match self.task.header().state.drop_join() {
            DropJoin::Done => {}
            DropJoin::EmptySlot => {
                self.empty_slot();
                // SAFETY: the handle's reference, which is not used again.
                unsafe { ManuallyDrop::drop(&mut self.task) }
            }
            DropJoin::Complete { slot_is_ours } => self.leave_complete(slot_is_ours),
        }
    }
}

impl<T> JoinHandle<T> {
    /// Disposes of what a complete task has left to its handle, and of the handle's reference.
    fn leave_complete(&mut self, slot_is_ours: bool) {
        let header = self.task.as_ptr();
        let vtable = self.task.header().facts.vtable;
        // The output on this thread, whatever happens: it need not be `Send`.
        // SAFETY: the task is complete and this is its handle, so the output is ours.
        unsafe { (vtable.drop_output)(header) }
        if slot_is_ours {
            self.empty_slot();
        }
        if self.task.header().state.leave_complete() {
            // SAFETY: the transition gave the last reference back.
            unsafe { (vtable.free)(header) }
        }
    }

    /// The caller has found that the slot of the join waker is the handle's.
    fn empty_slot(&self) {
        // SAFETY: the handle's reference keeps the task alive.
        let slot = unsafe { (self.task.header().facts.vtable.join_waker)(self.task.as_ptr()) };
        // SAFETY: the slot is a field of the task, which outlives `self`.
        let slot = unsafe { slot.as_ref() };
        // SAFETY: `JOIN_WAKER` is clear and only this handle could set it: the slot is ours.
        drop_quietly(slot.with_mut(|slot| unsafe { (*slot).take() }));
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish_non_exhaustive()
    }
}

/// Aborts a task from anywhere; it does not keep the task from ending, nor its result.
#[derive(Clone, Debug)]
pub struct AbortHandle {
    task: TaskRef,
}

impl AbortHandle {
    /// Asks the task to end, as [`JoinHandle::abort`] does.
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task is complete: finished, panicked or cancelled.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.header().state.load().is_complete()
    }

    /// The number of the task, unique in this process.
    #[must_use]
    pub fn id(&self) -> Id {
        self.task.header().id()
    }
}

/// Why a task has no result: it panicked, was aborted, or its runtime ended.
pub struct JoinError {
    id: Id,
    reason: Reason,
}

enum Reason {
    Cancelled(Cancelled),
    Panicked(SyncPayload),
}

/// Why a task's future was dropped before it was done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cancelled {
    Aborted,
    ByShutdown,
    /// The `block_on` that a local task belonged to has returned, or no thread could be started for a
    /// blocking call.
    WithoutThread,
}

/// A panic's payload, which is `Send` only, behind a wrapper that gives no shared access to it.
struct SyncPayload(Box<dyn Any + Send>);

// SAFETY: `&SyncPayload` is only used to look for a `&'static str` or a `String`, both `Sync`; any
// other type is never reached through a shared reference.
unsafe impl Sync for SyncPayload {}

impl JoinError {
    pub(super) fn panicked(id: Id, payload: Box<dyn Any + Send>) -> JoinError {
        JoinError { id, reason: Reason::Panicked(SyncPayload(payload)) }
    }

    pub(super) fn cancelled(id: Id, why: Cancelled) -> JoinError {
        JoinError { id, reason: Reason::Cancelled(why) }
    }

    /// Whether the future was dropped before it was done: it was aborted, the runtime was shut down, or no
    /// thread was left that could run it (of a local task: the `block_on` that it belongs to has returned).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self.reason, Reason::Cancelled(_))
    }

    /// Whether the runtime was shut down before the task was done. Implies [`JoinError::is_cancelled`].
    #[must_use]
    pub fn is_shutdown(&self) -> bool {
        matches!(self.reason, Reason::Cancelled(Cancelled::ByShutdown))
    }

    /// Whether the task panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panicked(_))
    }

    /// The payload of the task's panic, for [`std::panic::resume_unwind`].
    ///
    /// # Panics
    /// When the task did not panic; [`JoinError::try_into_panic`] does not.
    #[track_caller]
    #[must_use]
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        match self.try_into_panic() {
            Ok(payload) => payload,
            Err(error) => panic!("runtime: `JoinError::into_panic` was called, but {error}"),
        }
    }

    /// The payload of the task's panic, or the error itself.
    ///
    /// # Errors
    /// The same error, when the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.reason {
            Reason::Panicked(payload) => Ok(payload.0),
            Reason::Cancelled { .. } => Err(self),
        }
    }

    /// The number of the task.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }
}

/// The text of a panic, where it has one.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> Option<&str> {
    if let Some(text) = payload.downcast_ref::<String>() {
        Some(text)
    } else {
        payload.downcast_ref::<&'static str>().copied()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Cancelled(Cancelled::Aborted) => write!(f, "task {} was aborted", self.id),
            Reason::Cancelled(Cancelled::ByShutdown) => {
                write!(f, "task {} was dropped: its runtime was shut down", self.id)
            }
            Reason::Cancelled(Cancelled::WithoutThread) => {
                write!(f, "task {} was dropped: no thread is left that could run it", self.id)
            }
            Reason::Panicked(payload) => match panic_message(&*payload.0) {
                Some(text) => write!(f, "task {} panicked: {text}", self.id),
                None => write!(f, "task {} panicked", self.id),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
