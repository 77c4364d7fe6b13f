//! The part of a task that does not depend on its future: what wakers, queues and lists point to.

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;

use super::cell::JoinWaker;
use super::state::{State, Wake};
use super::{Id, Runnable, Watch};
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicU8, Ordering};

/// The first field of every task's block; a pointer to it is a pointer to the task.
#[repr(C)]
pub(crate) struct Header {
    /// For anybody with a reference, and for whoever looks through a page, see [`TaskRef::shut_down`].
    pub(super) state: State,
    pub(super) facts: Facts,
}

/// What is known of a task. The atomics may be touched as each says; everything else is written before
/// the task is shared and never again.
pub(super) struct Facts {
    pub(super) vtable: &'static Vtable,
    pub(super) id: Id,
    pub(super) spawned_at: &'static Location<'static>,
    /// Which block of its page the task is in.
    pub(super) slot: u32,
    /// Whether the runtime's name table has an entry for `id`.
    pub(super) is_named: bool,
    /// How suspect the task is: [`SUSPECT`] after a poll that a monitor found slow, one less after
    /// each poll that was not. Written only by the thread that has `RUNNING`, so that relaxed loads
    /// and stores do; read by the holder of the `Runnable`.
    pub(super) suspicion: AtomicU8,
    /// The [`Kind`](super::stage::Kind) of what is in the stage, whose owner reads and writes this too;
    /// relaxed, as it is handed on with the stage.
    pub(super) stage: AtomicU8,
    /// What the thread that has `RUNNING`, or the `Runnable`, knows of the task: [`IN_RUNNABLE`] and
    /// [`WAS_IDLE`]. Relaxed, for both are handed on together, by queues that acquire and release.
    pub(super) course: AtomicU8,
}

/// The `Runnable` has `RUNNING` with it: that of a new task, and of one that woke itself. Any other task
/// was idle.
pub(super) const IN_RUNNABLE: u8 = 1;

/// The task was idle, or is about to be, for the first time.
pub(super) const WAS_IDLE: u8 = 2;

/// How many good polls it takes a task that was once slow to be trusted again.
const SUSPECT: u8 = 128;

/// The functions that know the future's type. Each takes the pointer that it was reached through.
pub(super) struct Vtable {
    /// Polls once, under the eyes of the watch. Consumes the `Runnable`'s reference.
    pub(super) run: unsafe fn(NonNull<Header>, &Watch) -> Option<Runnable>,
    /// Hands a counted `Runnable` to the scheduler.
    pub(super) schedule: unsafe fn(NonNull<Header>),
    /// Drops the future and completes as cancelled; the caller holds `RUNNING` and its own reference.
    pub(super) cancel: unsafe fn(NonNull<Header>),
    /// Moves the output to `*mut JoinResult<T>`; the caller is the `JoinHandle` of a complete task.
    pub(super) read_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Drops the output; the caller was the `JoinHandle` of a complete task.
    pub(super) drop_output: unsafe fn(NonNull<Header>),
    /// The slot of the join waker.
    pub(super) join_waker: unsafe fn(NonNull<Header>) -> NonNull<UnsafeCell<JoinWaker>>,
    /// Gives the block back; no reference is left.
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
                unsafe { (self.header().facts.vtable.schedule)(self.0) }
            }
            Wake::Done => {}
            Wake::Free => unreachable!("an abort gives no reference up"),
        }
    }

    /// Takes a task for its owner, who is shutting down: to [`cancel`](TaskRef::cancel). Or marks it as
    /// aborted, if it is being polled right now, or is in a queue with its runnable; whoever polls, or
    /// takes that, drops its future. Or there is no task.
    ///
    /// # Safety
    /// `task` is a block of a page, which is there, and the block has been used.
    pub(super) unsafe fn shut_down(task: NonNull<Header>) -> Option<TaskRef> {
        // SAFETY: the state word comes first, and is one whether or not there is a task.
        let state = unsafe { task.cast::<State>().as_ref() };
        // It has counted a reference.
        state.shut_down().then(|| TaskRef(task))
    }

    /// Drops the future of a task that [`shut_down`](TaskRef::shut_down) has taken.
    pub(super) fn cancel(&self) {
        // SAFETY: `shut_down` gave us `RUNNING`, and `self` is a reference.
        unsafe { (self.header().facts.vtable.cancel)(self.0) }
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
            let free = self.header().facts.vtable.free;
            // SAFETY: that was the last reference, so nobody else can reach the task.
            unsafe { free(self.0) }
        }
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        f.debug_struct("Task")
            .field("id", &header.facts.id)
            .field("spawned_at", &format_args!("{}", header.facts.spawned_at))
            .field("state", &header.state)
            .finish()
    }
}

impl Header {
    pub(crate) fn id(&self) -> Id {
        self.facts.id
    }

    pub(crate) fn spawned_at(&self) -> &'static Location<'static> {
        self.facts.spawned_at
    }

    /// Whether one of the task's last polls was slow, so that the next may be.
    #[inline]
    pub(crate) fn is_suspect(&self) -> bool {
        self.facts.suspicion.load(Ordering::Relaxed) > 0
    }

    #[inline]
    pub(super) fn is_on_course(&self, mark: u8) -> bool {
        self.facts.course.load(Ordering::Relaxed) & mark != 0
    }

    /// The caller has `RUNNING`.
    #[inline]
    pub(super) fn enter_course(&self, mark: u8) {
        let course = &self.facts.course;
        course.store(course.load(Ordering::Relaxed) | mark, Ordering::Relaxed);
    }

    /// The caller has `RUNNING`.
    #[inline]
    pub(super) fn leave_course(&self, mark: u8) {
        let course = &self.facts.course;
        course.store(course.load(Ordering::Relaxed) & !mark, Ordering::Relaxed);
    }

    /// Remembers how a poll went. The caller has `RUNNING`.
    #[inline]
    pub(super) fn note_poll(&self, was_slow: bool) {
        if was_slow {
            self.facts.suspicion.store(SUSPECT, Ordering::Relaxed);
        } else if self.is_suspect() {
            let suspicion = self.facts.suspicion.load(Ordering::Relaxed);
            self.facts.suspicion.store(suspicion - 1, Ordering::Relaxed);
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
        let run = self.header().facts.vtable.run;
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
        if self.header().is_on_course(IN_RUNNABLE) {
            // SAFETY: `RUNNING` is ours, and `self` is a reference of our own.
            unsafe { (self.header().facts.vtable.cancel)(self.0.as_ptr()) }
        }
    }
}
