//! A task's allocation, and the functions that know the type of its future.

use std::alloc::Layout;
use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{self, AssertUnwindSafe, Location};
use std::ptr::NonNull;
use std::task::{Context, Poll};

use super::header::{Facts, Header, IN_RUNNABLE, TaskRef, Vtable, WAS_IDLE};
use super::heap::{self, Heap};
use super::join::{Cancelled, JoinHandle};
use super::one_word::OneWordWaker;
use super::page::{Page, PagePtr};
use super::stage::{Kind, Stage};
use super::state::{Complete, Finish, Start};
use super::{Current, Id, JoinError, OwnedTasks, Runnable, Schedule, Watch, waker};
use crate::panics::{contain, drop_quietly};
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicU8, Ordering};

/// One block of a page per task. `repr(C)` puts the header first, so that the pointers are the same. The
/// scheduler is the page's.
#[repr(C)]
struct Cell<F: Future, S> {
    header: Header,
    /// Belongs to whoever holds `RUNNING`; after `COMPLETE` to the `JoinHandle`.
    stage: UnsafeCell<Stage<F>>,
    /// Belongs to the `JoinHandle` while `JOIN_WAKER` is clear, else to the completing thread. That one
    /// moves the waker out without writing here, since the handle may be comparing it with another
    /// at this moment. Either has emptied it, so it is not dropped with the cell.
    join_waker: UnsafeCell<JoinWaker>,
    scheduler: PhantomData<S>,
}

pub(super) type JoinWaker = ManuallyDrop<Option<OneWordWaker>>;

/// What a task is born with, besides its future and its place.
pub(crate) struct Birth {
    pub(crate) id: Id,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) is_named: bool,
}

/// A future that is larger than this gets a box of its own, in which it is from then on. Each move
/// of it costs, and unoptimised code moves it in every call on the way, and needs stack for that.
const LARGE: usize = if cfg!(debug_assertions) { 2 << 10 } else { 16 << 10 };

/// Makes a task: its first `Runnable` and its `JoinHandle`. A third reference is the task's own, until it
/// is complete. `heap` is that of this thread, if the scheduler has given it one.
///
/// That `future` and its output stay on the threads they may be on is the scheduler's promise, see
/// [`Schedule`].
#[inline]
pub(crate) fn new_task<F, S>(
    future: F,
    scheduler: &S,
    heap: Option<&Heap<S>>,
    birth: Birth,
) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + 'static,
    S: Schedule,
{
    if size_of::<F>() > LARGE {
        new_cell(Box::pin(future), scheduler, heap, birth)
    } else {
        new_cell(future, scheduler, heap, birth)
    }
}

#[inline]
fn new_cell<F, S>(
    future: F,
    scheduler: &S,
    heap: Option<&Heap<S>>,
    birth: Birth,
) -> (Runnable, JoinHandle<F::Output>)
where
    F: Future + 'static,
    S: Schedule,
{
    let (page, slot) = heap::allocate(heap, scheduler, Cell::<F, S>::LAYOUT);
    // SAFETY: the page has a blank block there, which is ours.
    let header = unsafe { Page::task(page, Cell::<F, S>::LAYOUT, slot) };
    let cell = header.cast::<Cell<F, S>>().as_ptr();
    let facts = Facts {
        vtable: &Cell::<F, S>::VTABLE,
        id: birth.id,
        spawned_at: birth.spawned_at,
        slot,
        is_named: birth.is_named,
        suspicion: AtomicU8::new(0),
        stage: AtomicU8::new(Kind::Running as u8),
        course: AtomicU8::new(IN_RUNNABLE),
    };
    // SAFETY: the block has the layout of a cell.
    let facts_place = unsafe { &raw mut (*cell).header.facts };
    // SAFETY: nobody else looks at more of the block than its state word as long as that counts no
    // reference.
    unsafe { facts_place.write(facts) }
    // SAFETY: as above.
    let stage_place = unsafe { &raw mut (*cell).stage };
    // SAFETY: as above.
    unsafe { stage_place.write(UnsafeCell::new(Stage::running(future))) }
    // SAFETY: as above.
    let waker_place = unsafe { &raw mut (*cell).join_waker };
    // SAFETY: as above.
    unsafe { waker_place.write(UnsafeCell::new(ManuallyDrop::new(None))) }
    // SAFETY: with its blank state the cell is complete.
    unsafe { header.as_ref() }.state.begin();
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
    const LAYOUT: Layout = Layout::new::<Cell<F, S>>();

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

    /// # Safety
    /// As for [`Cell::of`].
    #[inline]
    unsafe fn page(header: NonNull<Header>) -> PagePtr<S> {
        // SAFETY: as the caller says.
        let slot = unsafe { header.as_ref() }.facts.slot;
        // SAFETY: the cell is in this block of a page with blocks of its layout.
        unsafe { Page::of(header, Self::LAYOUT, slot) }
    }

    /// # Safety
    /// As for [`Cell::of`].
    #[inline]
    unsafe fn scheduler<'a>(header: NonNull<Header>) -> &'a S {
        // SAFETY: as the caller says.
        let page = unsafe { Self::page(header) };
        // SAFETY: the block that the cell is in is not free.
        unsafe { Page::scheduler(page) }
    }

    unsafe fn run(header: NonNull<Header>, watch: &Watch) -> Option<Runnable> {
        // SAFETY: the vtable belongs to this type, and the `Runnable`'s reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        // SAFETY: the `Runnable`'s reference keeps the task until it is given back below; after that
        // no foreign code runs in here.
        let current = unsafe { Current::enter(header) };
        // SAFETY: as above.
        let scheduler = unsafe { Self::scheduler(header) };
        let start = if cell.header.is_on_course(IN_RUNNABLE) {
            cell.header.leave_course(IN_RUNNABLE);
            cell.header.state.go_on_running()
        } else {
            cell.header.state.start_running()
        };
        if start == Start::Stale {
            // SAFETY: the `Runnable`'s reference, of which this function disposes.
            drop(unsafe { TaskRef::from_raw(header) });
            return None;
        }
        if start == Start::Cancel {
            // SAFETY: the `Runnable`'s reference is given up here, with what it permits.
            unsafe { Self::cancel_run(header, scheduler, watch) }
            return None;
        }
        watch.begin_poll(&cell.header);
        let polled = cell.poll_future(header);
        if polled.is_ready() {
            // The poll is over when the output is where it belongs: to drop it may take as long.
            let _polling = watch.end_later();
            // SAFETY: the stage holds the output, and the `Runnable`'s reference is given up here.
            unsafe { Self::complete(header, Some(watch)) }
            return None;
        }
        cell.header.note_poll(watch.end());
        let finish = if current.has_woken_itself() {
            cell.header.state.finish_woken()
        } else if cell.header.is_on_course(WAS_IDLE) || cell.may_become_idle(scheduler) {
            cell.header.state.finish_pending()
        } else {
            Finish::Cancel
        };
        match finish {
            Finish::Idle => {}
            Finish::GoOn => {
                cell.header.enter_course(IN_RUNNABLE);
                // SAFETY: the `Runnable`'s reference lives on in the new one, and `RUNNING` with it.
                return scheduler.again(unsafe { Runnable::from_raw(header) });
            }
            Finish::Requeue => {
                // SAFETY: the `Runnable`'s reference lives on in the new one; `NOTIFIED` is set.
                return scheduler.again(unsafe { Runnable::from_raw(header) });
            }
            // SAFETY: the `Runnable`'s reference is given up here, and the task is `RUNNING`.
            Finish::Cancel => unsafe { Self::cancel_run(header, scheduler, watch) },
        }
        None
    }

    /// Drops the future of a task instead of a poll, or after its last, under the eyes of the watch: a
    /// destructor may take as long as a poll.
    ///
    /// # Safety
    /// The caller holds `RUNNING`, and one counted reference, which it gives up; `scheduler` is that of
    /// the task.
    unsafe fn cancel_run(header: NonNull<Header>, scheduler: &S, watch: &Watch) {
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        watch.begin_drop(&cell.header);
        let _dropping = watch.end_later();
        cell.cancel_future(scheduler);
        // SAFETY: the future is gone; the reference is the caller's, who gives it up.
        unsafe { Self::complete(header, Some(watch)) }
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
                let stage = unsafe { &mut *stage };
                // SAFETY: a task with `RUNNING` that is not `COMPLETE` has its future there, which is
                // dropped in place.
                unsafe { stage.future() }.poll(&mut cx)
            })
        }));
        match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => self.replace_future(Kind::Finished, Stage::finished(output)),
            Err(payload) => self.replace_future(Kind::Panicked, Stage::panicked(payload)),
        }
        Poll::Ready(())
    }

    /// Drops the future in place and puts `next` where it was. A panic in the future's own `Drop`
    /// is the task's panic, unless it has another one already. The caller holds `RUNNING`.
    fn replace_future(&self, kind: Kind, next: Stage<F>) {
        let dropped = panic::catch_unwind(AssertUnwindSafe(|| {
            self.stage.with_mut(|stage| {
                // SAFETY: the caller holds `RUNNING`.
                let stage = unsafe { &mut *stage };
                // SAFETY: what was here is not looked at again, also if its `Drop` panics, but
                // overwritten below.
                unsafe { stage.drop_future() }
            });
        }));
        self.put(kind, next);
        if let Err(payload) = dropped {
            self.future_panicked_in_drop(payload);
        }
    }

    /// The caller holds `RUNNING`.
    #[cold]
    fn future_panicked_in_drop(&self, payload: Box<dyn Any + Send>) {
        if self.kind() == Kind::Panicked {
            return drop_quietly(payload);
        }
        self.drop_result();
        self.put(Kind::Panicked, Stage::panicked(payload));
    }

    /// Drops the future of a task that was aborted, or that its runtime's end has caught running.
    fn cancel_future(&self, scheduler: &S) {
        let by_shutdown = scheduler.is_shut_down();
        let kind = if by_shutdown { Kind::CancelledByShutdown } else { Kind::Aborted };
        self.replace_future(kind, Stage::nothing());
    }

    /// What is in the stage, for whoever it belongs to.
    fn kind(&self) -> Kind {
        Kind::from_u8(self.header.facts.stage.load(Ordering::Relaxed))
    }

    /// Puts something into the stage, which belongs to the caller, and has nothing in it to be dropped.
    fn put(&self, kind: Kind, next: Stage<F>) {
        // SAFETY: the stage belongs to the caller.
        self.stage.with_mut(|stage| unsafe { stage.write(next) });
        self.header.facts.stage.store(kind as u8, Ordering::Relaxed);
    }

    /// Uses up what is in the stage, which belongs to the caller: there is nothing in it then.
    fn consume<R>(&self, f: impl FnOnce(Kind, &mut Stage<F>) -> R) -> R {
        let kind = self.kind();
        self.header.facts.stage.store(Kind::Consumed as u8, Ordering::Relaxed);
        // SAFETY: the stage belongs to the caller.
        self.stage.with_mut(|stage| f(kind, unsafe { &mut *stage }))
    }

    /// Drops what is in the stage, which belongs to the caller, and is not the future.
    #[inline]
    fn drop_result(&self) {
        self.consume(|kind, stage| match kind {
            // SAFETY: the output is there, as the kind says, and is used up.
            Kind::Finished => contain(|| unsafe { stage.drop_output() }),
            // SAFETY: the panic is there, in the same way.
            Kind::Panicked => drop_quietly(unsafe { stage.take_panic() }),
            Kind::Aborted
            | Kind::CancelledByShutdown
            | Kind::CancelledWithoutThread
            | Kind::Consumed => {}
            Kind::Running => unreachable!("the future of this task is dropped before"),
        });
    }

    /// Takes the result, which belongs to the caller.
    fn take_result(&self) -> Result<F::Output, JoinError> {
        let id = self.header.id();
        self.consume(|kind, stage| match kind {
            // SAFETY: the output is there, as the kind says, and is used up.
            Kind::Finished => Ok(unsafe { stage.take_output() }),
            // SAFETY: the panic is there, in the same way.
            Kind::Panicked => Err(JoinError::panicked(id, unsafe { stage.take_panic() })),
            Kind::Aborted => Err(JoinError::cancelled(id, Cancelled::Aborted)),
            Kind::CancelledByShutdown => Err(JoinError::cancelled(id, Cancelled::ByShutdown)),
            Kind::CancelledWithoutThread => Err(JoinError::cancelled(id, Cancelled::WithoutThread)),
            Kind::Consumed => panic!(
                "runtime: the `JoinHandle` of task {id} was polled again after it had returned its \
                 result.\n  help: await a handle once; in a `select!` loop, use `FutureExt::fuse`"
            ),
            Kind::Running => unreachable!("a COMPLETE task has no future"),
        })
    }

    /// Publishes the output and gives back the references of the `Runnable` and of the task itself: with
    /// the same change of the state word, where nobody waits. Takes a pointer, because the last of them
    /// may free the cell. `watch` is that of the task's last poll, if this follows it.
    ///
    /// # Safety
    /// - The caller holds `RUNNING`, and the future has been dropped.
    /// - One counted reference belongs to the caller, who gives it up.
    unsafe fn complete(header: NonNull<Header>, watch: Option<&Watch>) {
        const REFERENCES: usize = 2;
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive until
        // it is given back below.
        let cell = unsafe { Self::of(header) };
        // SAFETY: as above.
        let scheduler = unsafe { Self::scheduler(header) };
        // Whoever has dropped the handle does not want it again.
        let is_unread = !cell.header.state.load().has_join_interest();
        if is_unread {
            cell.drop_unread_output(scheduler);
        }
        scheduler.count_end(watch);
        // A report may need the name until the output is dropped.
        let is_named = cell.header.facts.is_named;
        match cell.header.state.complete(is_unread, if is_named { 0 } else { REFERENCES }) {
            Complete::Done if is_named => {}
            Complete::Done => return,
            // SAFETY: the transition gave the last reference back.
            Complete::Free => return unsafe { Self::free(header) },
            Complete::WakeJoin => cell.wake_join(scheduler),
            Complete::DropOutput => cell.drop_unread_output(scheduler),
        }
        if is_named {
            scheduler.forget_name(&cell.header);
        }
        if cell.header.state.drop_refs(REFERENCES) {
            // SAFETY: those were the last references.
            unsafe { Self::free(header) }
        }
    }

    /// Asks for the task to be idle for the first time. False: its scheduler shuts down, and has perhaps
    /// looked for tasks before this one was there. The caller has `RUNNING`.
    fn may_become_idle(&self, scheduler: &S) -> bool {
        let may = !scheduler.owned().is_some_and(OwnedTasks::is_closed);
        self.header.enter_course(WAS_IDLE);
        may
    }

    #[inline(never)]
    fn wake_join(&self, scheduler: &S) {
        // SAFETY: `JOIN_WAKER` is set and the task is complete, so the waker is ours: once, since
        // one thread completes a task once, and the bit stays, so that nobody writes or drops what
        // is left here.
        let waker = self.join_waker.with(|slot| unsafe { slot.read() });
        if let Some(waker) = ManuallyDrop::into_inner(waker) {
            contain(|| scheduler.wake_joiner(|| waker.wake()));
        }
    }

    /// Nobody will read the output, which is the caller's: drop it here, and report it if it is a panic.
    #[inline]
    fn drop_unread_output(&self, scheduler: &S) {
        if self.kind() == Kind::Panicked {
            self.report_panic(scheduler);
        }
        self.drop_result();
    }

    /// Nobody will read the panic in the stage, which is the caller's.
    #[cold]
    fn report_panic(&self, scheduler: &S) {
        self.stage.with(|stage| {
            // SAFETY: the stage is the caller's.
            let stage = unsafe { &*stage };
            // SAFETY: there is a panic in it.
            scheduler.unhandled_panic(&self.header, unsafe { stage.panic() });
        });
    }

    /// Tells a model that nobody may be at the parts that change any more, which it would not see
    /// otherwise, if a reference were dropped without order: a write to each. Else it does nothing.
    fn track_end(&self) {
        self.stage.with_mut(|_| ());
        self.join_waker.with_mut(|_| ());
    }

    unsafe fn schedule(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type; the counted reference is the new `Runnable`'s.
        let place = unsafe { Self::scheduler(header) }.place();
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
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive.
        let by_shutdown = unsafe { Self::scheduler(header) }.is_shut_down();
        let kind =
            if by_shutdown { Kind::CancelledByShutdown } else { Kind::CancelledWithoutThread };
        cell.replace_future(kind, Stage::nothing());
        cell.header.state.add_ref();
        // SAFETY: the future is gone; the reference that was just counted is given up here, and the
        // caller keeps its own.
        unsafe { Self::complete(header, None) }
    }

    unsafe fn read_output(header: NonNull<Header>, to: *mut ()) {
        // SAFETY: the vtable belongs to this type, and the handle's reference keeps it alive.
        let result = unsafe { Self::of(header) }.take_result();
        // SAFETY: the caller passes a place for this very type, see `Vtable::read_output`.
        unsafe { *to.cast::<Option<Result<F::Output, JoinError>>>() = Some(result) };
    }

    unsafe fn drop_output(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type, and the handle's reference keeps it alive.
        let cell = unsafe { Self::of(header) };
        // SAFETY: as above.
        cell.drop_unread_output(unsafe { Self::scheduler(header) });
    }

    unsafe fn join_waker(header: NonNull<Header>) -> NonNull<UnsafeCell<JoinWaker>> {
        // SAFETY: the vtable belongs to this type, and the caller's reference keeps it alive.
        NonNull::from(&unsafe { Self::of(header) }.join_waker)
    }

    unsafe fn free(header: NonNull<Header>) {
        // SAFETY: the vtable belongs to this type, and the cell is still there.
        let cell = unsafe { Self::of(header) };
        // SAFETY: as above.
        let page = unsafe { Self::page(header) };
        cell.track_end();
        // Nothing is left to be dropped: a task keeps a reference of its own until it is complete, and
        // then it is freed after its output was taken out or dropped.
        debug_assert_eq!(cell.kind(), Kind::Consumed);
        let slot = cell.header.facts.slot;
        // SAFETY: the cell is in a block that is not free yet.
        let home = unsafe { Page::scheduler(page) }.home();
        let heap = home.as_ref().map(AsRef::as_ref);
        // SAFETY: nobody looks at the cell again.
        unsafe { Heap::free(heap, page, Self::LAYOUT, slot) }
    }
}
