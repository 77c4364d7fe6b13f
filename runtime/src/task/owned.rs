//! The tasks of one scheduler: where their memory is, and with that where they are.
//!
//! Shutdown has to drop the future of every task that is idle, and looks for them in the pages in which
//! they lie. So a task needs no place in a list, and nothing is locked where one is spawned or ends.

use std::alloc::Layout;

use super::Schedule;
use super::header::TaskRef;
use super::heap::Heap;
use super::page::{BYTES, Links, Page, PagePtr, SIZES, Size};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// How many bytes of empty pages are kept for the next burst: that of some ten thousand tasks.
const SPARE: usize = 2 << 20;

/// The number of the heap for threads that have none.
const OUTSIDE: usize = u32::MAX as usize - 1;

/// The pages of all tasks of one scheduler.
pub(crate) struct OwnedTasks<S: Schedule> {
    /// No task becomes idle any more. A fence between this and a look at the tasks, and one between the
    /// word of a new task and a look at this: one of the two sees the other.
    is_closed: AtomicBool,
    pages: Mutex<Pages<S>>,
    /// For threads that have no heap.
    outside: Mutex<Heap<S>>,
}

struct Pages<S> {
    /// By size; the last is of pages with one block of another layout. None before the first page.
    lists: Vec<List<S>>,
    spare_bytes: usize,
}

/// The first pages of the lists of one size.
struct List<S> {
    all: Option<PagePtr<S>>,
    /// Those that are worth taking over.
    offered: Option<PagePtr<S>>,
    /// Empty pages, in no list but this.
    spare: Option<PagePtr<S>>,
}

impl<S> Default for List<S> {
    fn default() -> List<S> {
        List { all: None, offered: None, spare: None }
    }
}

// SAFETY: a page is bound to no thread, and the scheduler in it is `Send` and `Sync`.
unsafe impl<S: Send + Sync> Send for Pages<S> {}

/// How far somebody has looked for tasks: to this block of this page, and after the page, and those that
/// follow it in its list, comes the next list.
struct Place<S> {
    page: Option<PagePtr<S>>,
    slot: u32,
    next_list: usize,
}

impl<S: Schedule> OwnedTasks<S> {
    pub(crate) fn new() -> OwnedTasks<S> {
        let pages = Pages { lists: Vec::new(), spare_bytes: 0 };
        OwnedTasks {
            is_closed: AtomicBool::new(false),
            pages: Mutex::new(pages),
            outside: Mutex::new(Heap::new(OUTSIDE)),
        }
    }

    /// Memory for a task that is spawned by a thread without a heap: a blank block of this page.
    pub(super) fn allocate(&self, scheduler: &S, block: Layout) -> (PagePtr<S>, u32) {
        let outside = self.outside.lock();
        let allocated = outside.allocate(scheduler, block);
        // Under the lock: nobody else would leave the page any more.
        if self.is_closed.load(Ordering::SeqCst) {
            outside.leave_all();
        }
        allocated
    }

    /// A page for `heap`, in which it finds a free block.
    pub(super) fn page(&self, size: Size, block: Layout, heap: u32, scheduler: &S) -> PagePtr<S> {
        let mut pages = self.pages.lock();
        // Before an empty page, so that survivors of many pages come together in few.
        if let Some(page) = pages.adopt(size, heap) {
            return page;
        }
        if let Some(page) = pages.take_spare(size) {
            // SAFETY: a spare page is empty and was in no list, and is ours now.
            unsafe { Page::use_again(page, heap, scheduler.clone()) }
            pages.add(size.0, page);
            return page;
        }
        drop(pages);
        let page = Page::new(size, block, heap, scheduler.clone());
        self.pages.lock().add(size.0, page);
        page
    }

    #[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
    pub(super) fn spare_bytes(&self) -> usize {
        self.pages.lock().spare_bytes
    }

    #[cfg(all(test, windlass_loom))]
    pub(super) fn add(&self, size: Size, page: PagePtr<S>) {
        self.pages.lock().add(size.0, page);
    }

    #[cfg(all(test, windlass_loom))]
    pub(super) fn adopt(&self, size: Size, heap: u32) -> Option<PagePtr<S>> {
        self.pages.lock().adopt(size, heap)
    }

    /// A page for one task.
    pub(super) fn single(&self, block: Layout, scheduler: &S) -> PagePtr<S> {
        let page = Page::single(block, scheduler.clone());
        self.pages.lock().add(SIZES, page);
        page
    }

    /// Puts a page where heaps find it, and leaves it. True: it is empty, and the caller's still, to
    /// [`end`](Page::end).
    ///
    /// # Safety
    /// As for [`Page::offer`]. The page is one of these, and has several blocks.
    #[must_use]
    pub(super) unsafe fn offer(&self, page: PagePtr<S>) -> bool {
        // SAFETY: as the caller says.
        let size = unsafe { page.as_ref() }.size().expect("it has several blocks");
        let mut pages = self.pages.lock();
        // SAFETY: as the caller says.
        if unsafe { Page::leave_offered(page) } {
            return true;
        }
        // It is there still: who brings its last block takes it out of its lists first, with the lock.
        push(&mut pages.lists[size.0].offered, page, OFFERED);
        false
    }

    /// Takes an empty page out of its lists, and keeps it, if there is room: then this is true.
    ///
    /// # Safety
    /// The page is in a list of these tasks, empty, and the caller's alone, who gives it up if this is
    /// true.
    pub(super) unsafe fn take_back(&self, page: PagePtr<S>) -> bool {
        // SAFETY: as the caller says.
        let size = unsafe { page.as_ref() }.size();
        let mut pages = self.pages.lock();
        pages.remove(size.map_or(SIZES, |size| size.0), page);
        match size {
            Some(size) if !self.is_closed.load(Ordering::SeqCst) => pages.keep(size, page),
            _ => false,
        }
    }

    /// Whether no task may become idle any more. Asked with a reference to one that never was.
    pub(super) fn is_closed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Lets no task become idle that never was. Those that were can still.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.outside.lock().leave_all();
        self.pages.lock().free_spares();
    }

    /// Closes, and drops the future of each task on this thread, except of those that another thread
    /// polls at this moment, or that are in a queue with their runnables: who polls or takes them drops
    /// them.
    pub(crate) fn close_and_shut_down(&self) {
        self.close();
        let mut place = Place { page: None, slot: 0, next_list: 0 };
        // Keeps the page that the place is in.
        let mut _last = None;
        loop {
            // One at a time, because a future's `Drop` may spawn, abort and wake.
            let next = self.pages.lock().shut_down_next(&mut place);
            let Some(task) = next else { return };
            task.cancel();
            _last = Some(task);
        }
    }
}

impl<S: Schedule> Drop for OwnedTasks<S> {
    fn drop(&mut self) {
        // Each page has the scheduler, and that these tasks: no page is left.
        let mut pages = self.pages.lock();
        pages.free_spares();
        debug_assert!(pages.lists.iter().all(|list| list.all.is_none() && list.offered.is_none()));
    }
}

impl<S: Schedule> Pages<S> {
    /// Enters a new page.
    fn add(&mut self, list: usize, page: PagePtr<S>) {
        if self.lists.is_empty() {
            self.lists.resize_with(SIZES + 1, List::default);
        }
        push(&mut self.lists[list].all, page, ALL);
    }

    /// Takes out a page that ends.
    fn remove(&mut self, list: usize, page: PagePtr<S>) {
        let list = &mut self.lists[list];
        unlink(&mut list.all, page, ALL);
        if list.offered == Some(page) || links(page, OFFERED, |links| links.previous.is_some()) {
            unlink(&mut list.offered, page, OFFERED);
        }
    }

    /// A page that was left, and of which enough is free.
    fn adopt(&mut self, size: Size, heap: u32) -> Option<PagePtr<S>> {
        let offered = &mut self.lists.get_mut(size.0)?.offered;
        let mut next = *offered;
        while let Some(page) = next {
            // SAFETY: a page is offered and left under the lock, which we have.
            if unsafe { Page::adopt(page, heap) } {
                unlink(offered, page, OFFERED);
                return Some(page);
            }
            // It ends. Who ends it waits for the lock.
            next = links(page, OFFERED, |links| links.next);
        }
        None
    }

    fn take_spare(&mut self, size: Size) -> Option<PagePtr<S>> {
        let spare = &mut self.lists.get_mut(size.0)?.spare;
        let page = (*spare)?;
        *spare = links(page, ALL, std::mem::take).next;
        self.spare_bytes -= BYTES;
        Some(page)
    }

    /// Keeps an empty page that is in no list. False: there are enough.
    fn keep(&mut self, size: Size, page: PagePtr<S>) -> bool {
        if self.spare_bytes + BYTES > SPARE {
            return false;
        }
        let next = self.lists[size.0].spare.replace(page);
        links(page, ALL, |links| links.next = next);
        self.spare_bytes += BYTES;
        true
    }

    fn free_spares(&mut self) {
        if self.spare_bytes == 0 {
            return;
        }
        for size in (0..SIZES).map(Size) {
            while let Some(page) = self.take_spare(size) {
                // SAFETY: a spare page is empty, in no list, and without its scheduler.
                unsafe { Page::deallocate(page) }
            }
        }
    }

    /// Marks all tasks from `place` on as aborted, to the next that nobody polls or has in a queue with
    /// its runnable: that one is the caller's, to cancel. `place` is behind it then.
    fn shut_down_next(&self, place: &mut Place<S>) -> Option<TaskRef> {
        loop {
            let Some(page) = place.page else {
                place.page = self.lists.get(place.next_list)?.all;
                place.next_list += 1;
                continue;
            };
            // SAFETY: the page is in a list, whose lock we have: it has been since then, or has a block
            // of which the caller holds the task.
            let this = unsafe { page.as_ref() };
            let (used, block) = (this.used(), this.block_layout());
            while place.slot < used {
                // SAFETY: the page is there, and the block has been used.
                let task = unsafe { Page::task(page, block, place.slot) };
                place.slot += 1;
                // SAFETY: a block that has been used has a state word, whatever else is in it.
                if let Some(task) = unsafe { TaskRef::shut_down(task) } {
                    return Some(task);
                }
            }
            place.page = links(page, ALL, |links| links.next);
            place.slot = 0;
        }
    }
}

/// Of the two places of a page in lists: that in the list of all of its size.
const ALL: usize = 0;

/// That in the list of those that are offered.
const OFFERED: usize = 1;

fn push<S>(first: &mut Option<PagePtr<S>>, page: PagePtr<S>, list: usize) {
    let old_first = first.replace(page);
    links(page, list, |links| links.next = old_first);
    if let Some(next) = old_first {
        links(next, list, |links| links.previous = Some(page));
    }
}

fn unlink<S>(first: &mut Option<PagePtr<S>>, page: PagePtr<S>, list: usize) {
    let taken = links(page, list, std::mem::take);
    match taken.previous {
        Some(previous) => links(previous, list, |before| before.next = taken.next),
        None => *first = taken.next,
    }
    if let Some(next) = taken.next {
        links(next, list, |after| after.previous = taken.previous);
    }
}

/// Reads or writes the links of a page in one of the lists, under the lock.
fn links<S, R>(page: PagePtr<S>, list: usize, f: impl FnOnce(&mut Links<S>) -> R) -> R {
    // SAFETY: callers pass pages that are in a list, or that are the caller's.
    unsafe { page.as_ref() }.links[list].with_mut(|links| {
        // SAFETY: links are only touched under the lock, by the methods of `Pages`.
        f(unsafe { &mut *links })
    })
}
