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

/// How many pages are looked at for free blocks before a new one is made.
const LOOKS: usize = 8;

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

struct List<S> {
    first: Option<PagePtr<S>>,
    /// Empty pages, in no list but this.
    spare: Option<PagePtr<S>>,
    /// Where to look for free blocks next.
    next_look: Option<PagePtr<S>>,
}

impl<S> Default for List<S> {
    fn default() -> List<S> {
        List { first: None, spare: None, next_look: None }
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
        if let Some(page) = pages.take_spare(size) {
            // SAFETY: a spare page is empty and was in no list, and is ours now.
            unsafe { Page::use_again(page, heap, scheduler.clone()) }
            pages.push(size.0, page);
            return page;
        }
        if let Some(page) = pages.adopt(size, heap) {
            return page;
        }
        drop(pages);
        let page = Page::new(size, block, heap, scheduler.clone());
        self.pages.lock().push(size.0, page);
        page
    }

    #[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
    pub(super) fn spare_bytes(&self) -> usize {
        self.pages.lock().spare_bytes
    }

    #[cfg(all(test, windlass_loom))]
    pub(super) fn adopt(&self, size: Size, heap: u32) -> Option<PagePtr<S>> {
        self.pages.lock().adopt(size, heap)
    }

    /// A page for one task.
    pub(super) fn single(&self, block: Layout, scheduler: &S) -> PagePtr<S> {
        let page = Page::single(block, scheduler.clone());
        self.pages.lock().push(SIZES, page);
        page
    }

    /// Takes an empty page out of its list, and keeps it, if there is room: then this is true.
    ///
    /// # Safety
    /// The page is in a list of these tasks, empty, and the caller's alone, who gives it up if this is
    /// true.
    pub(super) unsafe fn take_back(&self, page: PagePtr<S>) -> bool {
        // SAFETY: as the caller says.
        let size = unsafe { page.as_ref() }.size();
        let mut pages = self.pages.lock();
        pages.unlink(size.map_or(SIZES, |size| size.0), page);
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
        debug_assert!(pages.lists.iter().all(|list| list.first.is_none()));
    }
}

impl<S: Schedule> Pages<S> {
    fn push(&mut self, list: usize, page: PagePtr<S>) {
        if self.lists.is_empty() {
            self.lists.resize_with(SIZES + 1, List::default);
        }
        let old_first = self.lists[list].first.replace(page);
        Self::links(page, |links| links.next = old_first);
        if let Some(next) = old_first {
            Self::links(next, |links| links.previous = Some(page));
        }
    }

    fn unlink(&mut self, list: usize, page: PagePtr<S>) {
        let list = &mut self.lists[list];
        let links = Self::links(page, std::mem::take);
        match links.previous {
            Some(previous) => Self::links(previous, |before| before.next = links.next),
            None => list.first = links.next,
        }
        if let Some(next) = links.next {
            Self::links(next, |after| after.previous = links.previous);
        }
        if list.next_look == Some(page) {
            list.next_look = links.next;
        }
    }

    /// Reads or writes the links of a page, under the lock.
    fn links<R>(page: PagePtr<S>, f: impl FnOnce(&mut Links<S>) -> R) -> R {
        // SAFETY: callers pass pages that are in a list, or that are the caller's.
        unsafe { page.as_ref() }.links.with_mut(|links| {
            // SAFETY: links are only touched by the methods of `Pages`, each under the lock.
            f(unsafe { &mut *links })
        })
    }

    /// A page that was left, and of which enough is free. What comes back makes some page such a one
    /// sooner or later; not every page is looked at each time.
    fn adopt(&mut self, size: Size, heap: u32) -> Option<PagePtr<S>> {
        for _ in 0..LOOKS {
            let list = self.lists.get_mut(size.0)?;
            let page = list.next_look.or(list.first)?;
            list.next_look = Self::links(page, |links| links.next);
            // SAFETY: a page in a list is there.
            if unsafe { Page::adopt(page, heap) } {
                return Some(page);
            }
        }
        None
    }

    fn take_spare(&mut self, size: Size) -> Option<PagePtr<S>> {
        let spare = &mut self.lists.get_mut(size.0)?.spare;
        let page = (*spare)?;
        *spare = Self::links(page, std::mem::take).next;
        self.spare_bytes -= BYTES;
        Some(page)
    }

    /// Keeps an empty page that is in no list. False: there are enough.
    fn keep(&mut self, size: Size, page: PagePtr<S>) -> bool {
        if self.spare_bytes + BYTES > SPARE {
            return false;
        }
        let next = self.lists[size.0].spare.replace(page);
        Self::links(page, |links| links.next = next);
        self.spare_bytes += BYTES;
        true
    }

    fn free_spares(&mut self) {
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
                place.page = self.lists.get(place.next_list)?.first;
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
            place.page = Self::links(page, |links| links.next);
            place.slot = 0;
        }
    }
}
