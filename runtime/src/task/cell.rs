//! A task's allocation, and the functions that know the type of its future.

use std::alloc::Layout;
use std::any::Any;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe, Location};
use std::pin::Pin;
use std::ptr::{self, NonNull};
use std::task::{Context, Poll};

use super::header::{Header, Links, TaskRef, Vtable};
use super::join::JoinHandle;
use super::one_word::OneWordWaker;
use super::state::{Complete, Finish, Start, State};
use super::{Current, Id, JoinError, Runnable, Schedule, Watch, memory, waker};
use crate::panics::{contain, drop_quietly};
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// One allocation per task. `repr(C)` puts the header first, so that the pointers are the same.
#[repr(C)]
struct Cell<F: Future, S> {
    header: Header,
    /// Moved out when the cell is freed.
    scheduler: ManuallyDrop<S>,
    /// Belongs to whoever holds `RUNNING`; after `COMPLETE` to the `JoinHandle`.
    stage: UnsafeCell<Stage<F>>,
    /// Belongs to the `JoinHandle` while `JOIN_WAKER` is clear, else to the completing thread. That one
    /// moves the waker out without writing here, since the handle may be comparing it with another
    /// at this moment. Either has emptied it, so it is not dropped with the cell.
    join_waker: UnsafeCell<JoinWaker>,
}

pub(super) type JoinWaker = ManuallyDrop<Option<OneWordWaker>>;

enum Stage<F: Future> {
    Running(F),
    Finished(F::Output),
    Panicked(Box<dyn Any + Send>),
    Cancelled { by_shutdown: bool },
    Consumed,
}

/// What a task is born with, besides its future and its scheduler.
pub(crate) struct Birth {
    pub(crate) id: Id,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) is_named: bool,
}

/// A future that is larger than this gets a box of its own, in which it is from then on. Each move
/// of it costs, and unoptimised code moves it in every call on the way, and needs stack for that.
const LARGE: usize = if cfg!(debug_assertions) { 2 << 10 } else { 16 << 10 };

/// Makes a task: its first `Runnable` and its `JoinHandle`. A third reference is the task's own,
/// until it enters a list of live tasks or is complete.
///
/// That `future` and its output stay on the threads they may be on is the scheduler's promise, see
/// [`Schedule`].
#[inline]
pub(crate) fn new_task<F, S>(
    future: F,
    scheduler: S,
    birth: Birth,
) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + 'static,
    S: Schedule,
{
    if size_of::<F>() > LARGE {
        new_cell(Box::pin(future), scheduler, birth)
    } else {
        new_cell(future, scheduler, birth)
    }
}

fn new_cell<F, S>(future: F, scheduler: S, birth: Birth) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + 'static,
    S: Schedule,
{
    let memory = memory::allocate(Layout::new::<Cell<F, S>>()).cast::<Cell<F, S>>();
    let cell = Cell {
        header: Header {
            state: State::new(),
            vtable: &Cell::<F, S>::VTABLE,
            id: birth.id,
            spawned_at: birth.spawned_at,
            links: UnsafeCell::new(Links::default()),
            shard: AtomicU32::new(0),
            is_named: birth.is_named,
            suspicion: AtomicU8::new(0),
            runnable_has_running: AtomicBool::new(true),
            is_listed: AtomicBool::new(false),
        },
        scheduler: ManuallyDrop::new(scheduler),
        stage: UnsafeCell::new(Stage::Running(future)),
        join_waker: UnsafeCell::new(ManuallyDrop::new(None)),
    };
    // SAFETY: the memory is new and has the layout of a cell.
    unsafe { memory.write(cell) }
    let header = memory.cast::<Header>();
    // SAFETY: a new task counts three references; this is one, and the state starts out with
    // `RUNNING`, which goes with it.
    let runnable = unsafe { Runnable::from_raw(header) };
    // SAFETY: this is another one, and the state starts out with `JOIN_INTEREST`.
    let join = unsafe { JoinHandle::from_raw(header) };
    (runnable, join)
}

impl<F, S> Cell<F, S>
where
    F: Future + 'static,
    S: Schedule,
{
    const VTABLE: Vtable = Vtable {
        run: Self::run,
        schedule: Self::schedule,
        cancel: Self::cancel,
        read_output: Self::read_output,
        drop_output: Self::drop_output,
        join_waker: Self::join_waker,
        free: Self::free,
    };

    /// # Safety
    /// `header` is the header of a live `Cell<F, S>`, and stays so for `'a`.
    unsafe fn of<'a>(header: NonNull<Header>) -> &'a Cell<F, S> {
        // SAFETY: the header is the first field of the `repr(C)` cell it was made with.
        unsafe { header.cast::<Cell<F, S>>().as_ref() }
    }

    unsafe fn run(header: NonNull<Header>, watch: &Watch) -> Option<Runnable> {
        // SAFETY: the vtable belongs to this type, and the `Runnable`'s reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        // SAFETY: the `Runnable`'s reference keeps the task until it is given back below; after that
        // no foreign code runs in here.
        let current = unsafe { Current::enter(header) };
        let start = if cell.header.runnable_has_running.load(Ordering::Relaxed) {
            cell.header.runnable_has_running.store(false, Ordering::Relaxed);
            cell.header.state.go_on_running()
        } else {
            cell.header.state.start_running()
        };
        match start {
            Start::Poll => {}
            Start::Cancel => {
                cell.cancel_future();
                // SAFETY: the future is gone, and the `Runnable`'s reference is given up here.
                unsafe { Self::complete(header, Some(watch)) }
                return None;
            }
            Start::Stale => {
                // SAFETY: the `Runnable`'s reference, of which this function disposes.
                drop(unsafe { TaskRef::from_raw(header) });
                return None;
            }
        }
        watch.begin(&cell.header);
        let polled = cell.poll_future(header);
        cell.header.note_poll(watch.end());
        if polled.is_ready() {
            // SAFETY: the stage holds the output, and the `Runnable`'s reference is given up here.
            unsafe { Self::complete(header, Some(watch)) }
            return None;
        }
        let finish = if current.has_woken_itself() {
            cell.header.state.finish_woken()
        } else if cell.header.is_listed.load(Ordering::Relaxed) || cell.enter_list(header, watch) {
            cell.header.state.finish_pending()
        } else {
            Finish::Cancel
        };
        match finish {
            Finish::Idle => {}
            Finish::GoOn => {
                cell.header.runnable_has_running.store(true, Ordering::Relaxed);
                // SAFETY: the `Runnable`'s reference lives on in the new one, and `RUNNING` with it.
                return cell.scheduler.again(unsafe { Runnable::from_raw(header) });
            }
            Finish::Requeue => {
                // SAFETY: the `Runnable`'s reference lives on in the new one; `NOTIFIED` is set.
                return cell.scheduler.again(unsafe { Runnable::from_raw(header) });
            }
            Finish::Cancel => {
                cell.cancel_future();
                // SAFETY: as above.
                unsafe { Self::complete(header, Some(watch)) }
            }
            // SAFETY: the transition gave the last reference back.
            Finish::Free => unsafe { Self::free(header) },
        }
        None
    }

    /// Polls and, when that was the last poll, puts the output or the panic into the stage.
    /// The caller holds `RUNNING`.
    fn poll_future(&self, header: NonNull<Header>) -> Poll<()> {
        // SAFETY: the `Runnable`'s reference outlives the poll.
        let waker = unsafe { waker::borrowed(header) };
        let mut cx = Context::from_waker(&waker);
        let polled = panic::catch_unwind(AssertUnwindSafe(|| {
            self.stage.with_mut(|stage| {
                // SAFETY: `RUNNING` is set by us, so no other thread reaches the stage.
                let Stage::Running(future) = (unsafe { &mut *stage }) else {
                    unreachable!("a task with RUNNING that is not COMPLETE has its future");
                };
                // SAFETY: the future is inside a heap cell and is dropped in place.
                unsafe { Pin::new_unchecked(future) }.poll(&mut cx)
            })
        }));
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => self.drop_future(Stage::Finished(output)),
            Err(payload) => self.drop_future(Stage::Panicked(payload)),
        }
        Poll::Ready(())
    }

    /// Drops the future in place and puts `next` where it was. A panic in the future's own `Drop`
    /// is the task's panic, unless it has another one already. The caller holds `RUNNING`.
    fn drop_future(&self, next: Stage<F>) {
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| {
            self.stage.with_mut(|stage| {
                // SAFETY: the caller holds `RUNNING`. What was here is not looked at again, also if
                // its `Drop` panics, but overwritten below.
                unsafe { ptr::drop_in_place(stage) }
            });
        }));
        self.stage.with_mut(|stage| {
            // SAFETY: the caller holds `RUNNING`, and nothing is here to be dropped.
            unsafe { stage.write(next) }
        });
        if let Err(payload) = dropped {
            self.future_panicked_in_drop(payload);
        }
    }

    /// The caller holds `RUNNING`.
    #[cold]
    fn future_panicked_in_drop(&self, payload: Box<dyn Any + Send>) {
        self.stage.with_mut(|stage| {
            // SAFETY: the caller holds `RUNNING`, so no other thread reaches the stage.
            let stage = unsafe { &mut *stage };
            if let Stage::Panicked(_) = stage {
                drop_quietly(payload);
            } else {
                drop_quietly(std::mem::replace(stage, Stage::Panicked(payload)));
            }
        });
    }

    /// Drops the future of a task that was aborted, or that its runtime's end has caught running.
    fn cancel_future(&self) {
        self.drop_future(Stage::Cancelled { by_shutdown: self.scheduler.is_shut_down() });
    }

    /// Publishes the output and gives back the references of the `Runnable` and of the owned list:
    /// with the same change of the state word, where nobody waits. Takes a pointer, because the last
    /// of them may free the cell. `watch` is that of the task's last poll, if this follows it.
    ///
    /// # Safety
    /// - The caller holds `RUNNING`, and the future has been dropped.
    /// - One counted reference belongs to the caller, who gives it up.
    unsafe fn complete(header: NonNull<Header>, watch: Option<&Watch>) {
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive until
        // it is given back below.
        let cell = unsafe { Self::of(header) };
        // Whoever has dropped the handle does not want it again.
        let is_unread = !cell.header.state.load().has_join_interest();
        if is_unread {
            cell.drop_unread_output();
        }
        cell.scheduler.count_end(watch);
        let references = 1 + usize::from(cell.take_own_reference(header));
        // A report may need the name until the output is dropped.
        let is_named = cell.header.is_named;
        match cell.header.state.complete(is_unread, if is_named { 0 } else { references }) {
            Complete::Done if is_named => {}
            Complete::Done => return,
            // SAFETY: the transition gave the last reference back.
            Complete::Free => return unsafe { Self::free(header) },
            Complete::WakeJoin => cell.wake_join(),
            Complete::DropOutput => cell.drop_unread_output(),
        }
        if is_named {
            cell.scheduler.forget_name(&cell.header);
        }
        if cell.header.state.drop_refs(references) {
            // SAFETY: those were the last references.
            unsafe { Self::free(header) }
        }
    }

    /// Enters a list of live tasks, since the task is about to be idle and nothing else would find
    /// it. False: the list is closed. The caller has `RUNNING`.
    fn enter_list(&self, header: NonNull<Header>, watch: &Watch) -> bool {
        // SAFETY: a task that is in no list has a reference of its own, which is the list's now.
        let task = unsafe { TaskRef::from_raw(header) };
        match self.scheduler.bind(task, watch) {
            Ok(()) => {
                self.header.is_listed.store(true, Ordering::Relaxed);
                true
            }
            Err(refused) => {
                // The reference is the task's own again.
                let _ = refused.into_raw();
                false
            }
        }
    }

    /// Takes the reference that the task has for a list of live tasks, from there if it is in one.
    /// False: whoever has taken it out has the reference. The caller has `RUNNING`.
    #[inline]
    fn take_own_reference(&self, header: NonNull<Header>) -> bool {
        if !self.header.is_listed.load(Ordering::Relaxed) {
            return true;
        }
        // SAFETY: the caller's reference keeps the task alive, and is not given up by this one.
        let task = ManuallyDrop::new(unsafe { TaskRef::from_raw(header) });
        self.scheduler.release(&task).map(TaskRef::into_raw).is_some()
    }

    fn wake_join(&self) {
        // SAFETY: `JOIN_WAKER` is set and the task is complete, so the waker is ours: once, since
        // one thread completes a task once, and the bit stays, so that nobody writes or drops what
        // is left here.
        let waker = self.join_waker.with(|slot| unsafe { slot.read() });
        if let Some(waker) = ManuallyDrop::into_inner(waker) {
            contain(|| waker.wake());
        }
    }

    /// Nobody will read the output: drop it here, and report it if it is a panic.
    fn drop_unread_output(&self) {
        self.stage.with_mut(|stage| {
            // SAFETY: the output is the caller's, and so is the stage.
            if let Stage::Panicked(payload) = unsafe { &*stage } {
                self.scheduler.unhandled_panic(&self.header, &**payload);
            }
            // SAFETY: as above; what was here is not looked at again, but overwritten.
            contain(|| unsafe { ptr::drop_in_place(stage) });
            // SAFETY: as above, and nothing is here to be dropped.
            unsafe { stage.write(Stage::Consumed) }
        });
    }

    /// The caller has exclusive access to the stage.
    fn take_stage(&self) -> Stage<F> {
        self.stage.with_mut(|stage| {
            // SAFETY: exclusive access; the future itself was dropped in place before.
            std::mem::replace(unsafe { &mut *stage }, Stage::Consumed)
        })
    }

    /// Tells a model that nobody may be at the parts that change any more, which it would not see
    /// otherwise, if a reference were dropped without order: a write to each. Else it does nothing.
    fn track_end(&self) {
        self.header.links.with_mut(|_| ());
        self.stage.with_mut(|_| ());
        self.join_waker.with_mut(|_| ());
    }

    unsafe fn schedule(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type; the counted reference is the new `Runnable`'s.
        let place = unsafe { Self::of(header) }.scheduler.place();
        // SAFETY: the caller's transition set `NOTIFIED` and counted the reference.
        let runnable = unsafe { Runnable::from_raw(header) };
        // From here on the cell may be run, completed and freed by another thread.
        S::schedule(place, runnable);
    }

    unsafe fn cancel(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        // SAFETY: the caller's reference outlives this function.
        let _current = unsafe { Current::enter(header) };
        cell.drop_future(Stage::Cancelled { by_shutdown: true });
        cell.header.state.add_ref();
        // SAFETY: the future is gone; the reference that was just counted is given up here, and the
        // caller keeps its own.
        unsafe { Self::complete(header, None) }
    }

    unsafe fn read_output(header: NonNull<Header>, to: *mut ()) {
        // SAFETY: the vtable belongs to this type, and the handle's reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        let id = cell.header.id;
        let result = match cell.take_stage() {
            Stage::Finished(output) => Ok(output),
            Stage::Panicked(payload) => Err(JoinError::panicked(id, payload)),
            Stage::Cancelled { by_shutdown } => Err(JoinError::cancelled(id, by_shutdown)),
            Stage::Running(_) => unreachable!("a COMPLETE task has no future"),
            Stage::Consumed => panic!(
                "runtime: the `JoinHandle` of task {id} was polled again after it had returned its \
                 result.\n  help: await a handle once; in a `select!` loop, use `FutureExt::fuse`"
            ),
        };
        // SAFETY: the caller passes a place for this very type, see `Vtable::read_output`.
        unsafe { *to.cast::<Option<Result<F::Output, JoinError>>>() = Some(result) };
    }

    unsafe fn drop_output(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type, and the handle's reference keeps it alive.
        unsafe { Self::of(header) }.drop_unread_output();
    }

    unsafe fn join_waker(header: NonNull<Header>) -> NonNull<UnsafeCell<JoinWaker>> {
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive.
        NonNull::from(&unsafe { Self::of(header) }.join_waker)
    }

    unsafe fn free(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type, and the cell is still there.
        let cell = unsafe { Self::of(header) };
        cell.track_end();
        // The scheduler is all that is left to be dropped: a task keeps a reference of its own until
        // it is complete, and then it is freed after its output was taken out or dropped.
        debug_assert!(cell.stage.with(|stage| {
            // SAFETY: no reference is left, and so nobody else to touch the stage.
            matches!(unsafe { &*stage }, Stage::Consumed)
        }));
        // SAFETY: as above, so this is the only one that moves the scheduler out.
        let scheduler = unsafe { ptr::read(&cell.scheduler) };
        // SAFETY: the cell came from `allocate` with this layout, and nobody looks at it again.
        unsafe { memory::free(header.cast(), Layout::new::<Cell<F, S>>()) }
        drop_quietly(ManuallyDrop::into_inner(scheduler));
    }
}
