//! The pages from which one thread takes the memory of its tasks.

use std::alloc::Layout;
use std::cell::{Cell, OnceCell};

use super::Schedule;
use super::page::{Page, PagePtr, Run, SIZES, Size, Then};

/// The pages of one worker, one for each size at most, and blocks of another page that are on their way
/// back to it.
///
/// Tasks that came together mostly end one after the other, and lie in the same page. So their blocks
/// are collected, and go back with one change when one of another page comes.
pub(crate) struct Heap<S: Schedule> {
    /// By which pages know it among all heaps of their scheduler.
    number: u32,
    /// By size; none before the first task.
    pages: OnceCell<Box<Pages<S>>>,
    returning: Cell<Option<PagePtr<S>>>,
    run: Cell<Run>,
}

type Pages<S> = [Cell<Option<PagePtr<S>>>; SIZES];

// SAFETY: its pages are its own, and the blocks on their way too; none of that is bound to a thread. A
// scheduler is `Send` and `Sync`.
unsafe impl<S: Schedule> Send for Heap<S> {}

impl<S: Schedule> Heap<S> {
    /// No two heaps of a scheduler have the same number.
    pub(crate) fn new(number: usize) -> Heap<S> {
        Heap {
            number: number as u32,
            pages: OnceCell::new(),
            returning: Cell::new(None),
            run: Cell::new(Run::one(0)),
        }
    }

    #[inline(always)]
    pub(super) fn allocate(&self, scheduler: &S, block: Layout) -> (PagePtr<S>, u32) {
        let Some(size) = Size::of(block) else { return alone(scheduler, block) };
        if let Some(page) = self.pages.get().and_then(|pages| pages[size.0].get()) {
            // SAFETY: the heap's pages are there, and are its own.
            if let Some(slot) = unsafe { Page::take(page, block) } {
                return (page, slot);
            }
        }
        self.refill(scheduler, block, size)
    }

    #[cold]
    fn refill(&self, scheduler: &S, block: Layout, size: Size) -> (PagePtr<S>, u32) {
        // Not made on the stack.
        let none = || (0..SIZES).map(|_| Cell::new(None)).collect::<Box<[_]>>();
        let pages = self.pages.get_or_init(|| none().try_into().expect("so many there are"));
        let current = &pages[size.0];
        if let Some(page) = current.take() {
            // SAFETY: the heap's pages are there, and are its own; all blocks of this one are taken.
            if unsafe { Page::reclaim_or_leave(page) } {
                current.set(Some(page));
            }
        }
        if current.get().is_none() {
            // This may empty a page, which is used again then.
            self.flush();
            let Some(owned) = scheduler.owned() else { return alone(scheduler, block) };
            current.set(Some(owned.page(size, block, self.number, scheduler)));
        }
        let page = current.get().expect("set above");
        // SAFETY: the page is the heap's own.
        let slot =
            unsafe { Page::take(page, block) }.expect("a page that is given has a free block");
        (page, slot)
    }

    /// Gives the memory of a task back. The caller may be on no worker, and have no heap.
    ///
    /// # Safety
    /// The block is in use, by the caller alone, who gives it up. The page's blocks have this layout.
    #[inline(always)]
    pub(super) unsafe fn free(heap: Option<&Heap<S>>, page: PagePtr<S>, block: Layout, slot: u32) {
        match heap {
            // SAFETY: as the caller says.
            Some(heap) => unsafe { heap.put(page, block, slot) },
            // SAFETY: as above.
            None => unsafe { give_back(page, Run::one(slot)) },
        }
    }

    /// # Safety
    /// As for [`Heap::free`].
    #[inline(always)]
    unsafe fn put(&self, page: PagePtr<S>, block: Layout, slot: u32) {
        if self.returning.get() == Some(page) {
            let run = self.run.get();
            // SAFETY: the block is ours.
            unsafe { Page::link(page, block, slot, run.first) }
            return self.run.set(Run { first: slot, count: run.count + 1, ..run });
        }
        // SAFETY: a page is there as long as one of its blocks is in use.
        let this = unsafe { page.as_ref() };
        if this.is_owned_by(self.number) {
            // SAFETY: the page and the block are ours.
            return unsafe { Page::put(page, block, slot) };
        }
        // SAFETY: as the caller says.
        unsafe { self.begin_run(page, slot) }
    }

    /// # Safety
    /// As for [`Heap::free`].
    unsafe fn begin_run(&self, page: PagePtr<S>, slot: u32) {
        // SAFETY: a page is there as long as one of its blocks is in use.
        if unsafe { page.as_ref() }.has_one_block() {
            // SAFETY: as the caller says.
            return unsafe { give_back(page, Run::one(slot)) };
        }
        self.flush();
        self.returning.set(Some(page));
        self.run.set(Run::one(slot));
    }

    /// Lets the blocks that are on their way arrive.
    fn flush(&self) {
        if let Some(page) = self.returning.take() {
            // SAFETY: the blocks are ours, and of this page.
            unsafe { give_back(page, self.run.get()) }
        }
    }

    /// Leaves all pages.
    pub(crate) fn leave_all(&self) {
        self.flush();
        for page in self.pages.get().into_iter().flat_map(|pages| pages.iter()) {
            if let Some(page) = page.take() {
                // SAFETY: the page is there, and ours, who forget it.
                let then = unsafe { Page::leave(page) };
                // SAFETY: that is what comes then.
                unsafe { finish(page, then) }
            }
        }
    }
}

impl<S: Schedule> Drop for Heap<S> {
    fn drop(&mut self) {
        self.leave_all();
    }
}

/// Memory for a task: a blank block of this page. `heap` is that of the thread, if it has one.
#[inline(always)]
pub(super) fn allocate<S: Schedule>(
    heap: Option<&Heap<S>>,
    scheduler: &S,
    block: Layout,
) -> (PagePtr<S>, u32) {
    match (heap, scheduler.owned()) {
        (Some(heap), _) => heap.allocate(scheduler, block),
        (None, Some(owned)) => owned.allocate(scheduler, block),
        (None, None) => alone(scheduler, block),
    }
}

/// A block in a page of its own.
fn alone<S: Schedule>(scheduler: &S, block: Layout) -> (PagePtr<S>, u32) {
    let page = match scheduler.owned() {
        Some(owned) => owned.single(block, scheduler),
        None => Page::single(block, scheduler.clone()),
    };
    // SAFETY: the page is new, and nobody else's.
    let slot = unsafe { Page::take(page, block) }.expect("it is new");
    (page, slot)
}

/// # Safety
/// As for [`Page::give_back`].
unsafe fn give_back<S: Schedule>(page: PagePtr<S>, run: Run) {
    // SAFETY: as the caller says.
    let then = unsafe { Page::give_back(page, run) };
    // SAFETY: that is what comes then.
    unsafe { finish(page, then) }
}

/// # Safety
/// `then` is the answer of this page to this caller.
unsafe fn finish<S: Schedule>(page: PagePtr<S>, then: Then) {
    match then {
        Then::Nothing => {}
        // SAFETY: the page is the caller's, with all that is free among what came back.
        Then::Offer => unsafe { Page::offer(page) },
        // SAFETY: the page is empty, and the caller's.
        Then::End => unsafe { Page::end(page) },
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests;
