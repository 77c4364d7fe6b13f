//! The part of a task that does not depend on its future: what wakers, queues and lists point to.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;

use super::cell::JoinWaker;
use super::state::{State, Wake};
use super::{Id, Runnable, Watch};
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// The first field of every task's allocation; a pointer to it is a pointer to the task.
///
/// Who may touch what: `state` anybody with a reference; `links` only under the lock of the owned
/// list that the task was bound to; the atomics as each says; everything else is written before the
/// task is shared and never again.
pub(crate) struct Header {
    pub(super) state: State,
    pub(super) vtable: &'static Vtable,
    pub(super) id: Id,
    pub(super) spawned_at: &'static Location<'static>,
    pub(super) links: UnsafeCell<Links>,
    /// The shard of the owned lists that the task is in, once `is_listed`; as relaxed as that is.
    pub(super) shard: AtomicU32,
    /// Whether the runtime's name table has an entry for `id`.
    pub(super) is_named: bool,
    /// How suspect the task is: [`SUSPECT`] after a poll that a monitor found slow, one less after
    /// each poll that was not. Written only by the thread that has `RUNNING`, so that relaxed loads
    /// and stores do; read by the holder of the `Runnable`.
    pub(super) suspicion: AtomicU8,
    /// Whether the `Runnable` has `RUNNING` with it: that of a new task, and of one that woke itself. Any
    /// other task is in an owned list. Written by the thread that has `RUNNING`, read
    /// by the one that has the `Runnable`; relaxed, for both are handed on together, by queues that
    /// acquire and release.
    pub(super) runnable_has_running: AtomicBool,
    /// Whether the task has entered an owned list, which it does before it is idle for the first
    /// time. Written and read by the thread that has `RUNNING`; relaxed as above.
    pub(super) is_listed: AtomicBool,
}

/// How many good polls it takes a task that was once slow to be trusted again.
const SUSPECT: u8 = 128;

// SAFETY: the header is shared between all threads that hold a reference. `links` is the only field
// with interior mutability besides the atomic, and it is only touched under the owned list's lock.
unsafe impl Sync for Header {}

/// A task's place in its owned list.
#[derive(Default)]
pub(super) struct Links {
    pub(super) previous: Option<NonNull<Header>>,
    pub(super) next: Option<NonNull<Header>>,
}

/// The functions that know the future's type. Each takes the pointer that it was reached through.
pub(super) struct Vtable {
    /// Polls once, under the eyes of the watch. Consumes the `Runnable`'s reference.
    pub(super) run: unsafe fn(NonNull<Header>, &Watch) -> Option<Runnable>,
    /// Hands a counted `Runnable` to the scheduler.
    pub(super) schedule: unsafe fn(NonNull<Header>),
    /// Drops the future and completes as shut down; the caller holds `RUNNING` and its own reference.
    pub(super) cancel: unsafe fn(NonNull<Header>),
    /// Moves the output to `*mut JoinResult<T>`; the caller is the `JoinHandle` of a complete task.
    pub(super) read_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the output; the caller was the `JoinHandle` of a complete task.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// The slot of the join waker.
    pub(super) join_waker: unsafe fn(NonNull<Header>) -> NonNull<UnsafeCell<JoinWaker>>,
    /// Frees the allocation; no reference is left.
    pub(super) free: unsafe fn(NonNull<Header>),
}

/// One counted reference to a task. It keeps the memory alive, not the future.
pub(crate) struct TaskRef(NonNull<Header>);

// SAFETY: a reference gives access to the header, which is Sync, and to transitions of the state
// word. The future and the output are reached only by the holders of the rights that the state word
// hands out; that those are on the right thread is the contract of `Schedule`.
unsafe impl Send for TaskRef {}
// SAFETY: as above; no method of `&TaskRef` touches anything but the header.
unsafe impl Sync for TaskRef {}

impl TaskRef {
    /// Takes over a reference that is already counted.
    ///
    /// # Safety
    /// - `header` points to a live task.
    /// - One counted reference of it belongs to the caller, who gives it up.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> TaskRef {
        TaskRef(header)
    }

    /// Gives up the reference without giving the count back.
    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0
    }

    pub(super) fn as_ptr(&self) -> NonNull<Header> {
        self.0
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the reference that `self` holds keeps the allocation alive.
        unsafe { self.0.as_ref() }
    }

    /// Asks for the future to be dropped. The task's own thread does it.
    pub(crate) fn abort(&self) {
        match self.header().state.abort() {
            Wake::Submit => {
                // SAFETY: `abort` counted a reference for this `Runnable`.
                unsafe { (self.header().vtable.schedule)(self.0) }
            }
            Wake::Done => {}
            Wake::Free => unreachable!("an abort gives no reference up"),
        }
    }

    /// Drops the future here, unless it is being polled right now, or is in a queue with its runnable;
    /// then whoever polls, or takes that, drops it.
    pub(crate) fn shut_down(self) {
        if self.header().state.shut_down() {
            // SAFETY: `shut_down` gave us `RUNNING`, and `self` is our reference.
            unsafe { (self.header().vtable.cancel)(self.0) }
        }
    }
}

impl Clone for TaskRef {
    fn clone(&self) -> TaskRef {
        self.header().state.add_ref();
        TaskRef(self.0)
    }
}

impl Drop for TaskRef {
    #[inline]
    fn drop(&mut self) {
        if self.header().state.drop_ref() {
            let free = self.header().vtable.free;
            // SAFETY: that was the last reference, so nobody else can reach the task.
            unsafe { free(self.0) }
        }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        f.debug_struct("Task")
            .field("id", &header.id)
            .field("spawned_at", &format_args!("{}", header.spawned_at))
            .field("state", &header.state)
            .finish()
    }
}

impl Header {
    pub(crate) fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.spawned_at
    }

    /// The shard of the owned lists that the task is in. The caller has `RUNNING`.
    pub(super) fn shard(&self) -> usize {
        self.shard.load(Ordering::Relaxed) as usize
    }

    /// Whether one of the task's last polls was slow, so that the next may be.
    #[inline]
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspicion.load(Ordering::Relaxed) > 0
    }

    /// Remembers how a poll went. The caller has `RUNNING`.
    #[inline]
    pub(super) fn note_poll(&self, was_slow: bool) {
        if was_slow {
            self.suspicion.store(SUSPECT, Ordering::Relaxed);
        } else if self.is_suspect() {
            let suspicion = self.suspicion.load(Ordering::Relaxed);
            self.suspicion.store(suspicion - 1, Ordering::Relaxed);
        }
    }
}

impl Runnable {
    #[inline]
    pub(crate) fn header(&self) -> &Header {
        self.0.header()
    }

    /// Polls the future once, on this thread, and shows that in the thread's `watch`. If the task
    /// was woken meanwhile, it may give back the permission for its next poll, which the caller
    /// queues.
    #[inline]
    pub(crate) fn run(self, watch: &Watch) -> Option<Runnable> {
        let run = self.header().vtable.run;
        let header = self.into_raw();
        // SAFETY: a `Runnable` is the one permission to poll, and its reference goes along.
        unsafe { run(header, watch) }
    }

    /// For storage in a single word. The permission is lost if the word is, and the future that may be
    /// with it.
    #[inline]
    pub(super) fn into_raw(self) -> NonNull<Header> {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// # Safety
    /// `header` came from [`Runnable::into_raw`], and only one `Runnable` is made of it.
    pub(super) unsafe fn from_raw(header: NonNull<Header>) -> Runnable {
        // SAFETY: `into_raw` left its counted reference to us.
        Runnable(unsafe { TaskRef::from_raw(header) })
    }
}

impl Drop for Runnable {
    fn drop(&mut self) {
        if self.header().runnable_has_running.load(Ordering::Relaxed) {
            // SAFETY: `RUNNING` is ours, and `self` is a reference of our own.
            unsafe { (self.header().vtable.cancel)(self.0.as_ptr()) }
        }
    }
}
