//! A page: memory for tasks of one size, and the way back for it.
//!
//! All tasks of a scheduler lie in its pages. A page is a header, with what each of its tasks needs of
//! the scheduler, and blocks behind that. At each moment it is either *owned*, by a [`Heap`] mostly,
//! whose thread alone takes blocks from it, or *left*: its heap found no free block in it, and went on to
//! another. Blocks come back from any thread, a run of them with one change of the word `returned`, from
//! where the owner takes them. In the life of a page that was left that word decides two things. Who
//! brings enough blocks back for the page to be worth taking over owns it for a moment, in which he puts
//! it where heaps look for such pages. And who brings the last one back has the page, to end it.
//!
//! That free blocks lie in lists by page, one of the owner's and one of the others', is from D. Leijen,
//! B. Zorn and L. de Moura, "Mimalloc: Free List Sharding in Action", 2019.
//!
//! The state word of a task comes first in its block and stays an atomic while the block is free: then
//! it counts no reference. So whoever has a page can look for its tasks at any time.
//!
//! [`Heap`]: super::heap::Heap

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};

use super::Schedule;
use super::header::Header;
use super::state::State;
use crate::panics::drop_quietly;
use crate::sync::UnsafeCell;
use crate::sync::atomic::{AtomicU32, Ordering};

/// About how large a page is.
pub(super) const BYTES: usize = 32 << 10;

/// The largest block that shares its page with others.
const LARGEST: usize = 2048;

/// Sizes are multiples of this.
const GRAIN: usize = align_of::<Header>();

/// The alignment of a page, and the largest of blocks that share theirs.
const ALIGN: usize = 16;

/// Different sizes of blocks that share their pages, from zero.
pub(super) const SIZES: usize = LARGEST / GRAIN + 1;

/// No heap: the owner of a page that was left.
const NOBODY: u32 = u32::MAX;

/// No block, in lists of blocks.
const NONE: u32 = 0x7fff;

/// A page of which at most so many of four blocks are in use is worth taking over.
const USED_OF_FOUR: u32 = 3;

/// A size of blocks that share their pages: the index of everything by size.
#[derive(Clone, Copy)]
pub(super) struct Size(pub(super) usize);

impl Size {
    /// None: a block of this layout has a page to itself.
    #[inline]
    pub(super) fn of(layout: Layout) -> Option<Size> {
        let fits = layout.align() <= ALIGN && layout.size() <= LARGEST;
        // Sanitizers are to see the memory of each task come and go.
        let is_seen = cfg!(windlass_sanitizer) && !cfg!(test);
        (fits && !is_seen).then_some(Size(layout.size() / GRAIN))
    }
}

/// A pointer to a page, by which its blocks are reached too.
pub(super) type PagePtr<S> = NonNull<Page<S>>;

/// The blocks follow the header.
#[repr(align(16))]
pub(super) struct Page<S> {
    returned: Returned,
    /// The owner's list of free blocks: the first. Here, and in `used`, only the owner writes;
    /// relaxed: a page gets to another owner by `returned`, which acquires and releases.
    free: AtomicU32,
    /// How many blocks have ever been used. With release, after the word of the block was set; read with
    /// acquire by who looks for tasks.
    used: AtomicU32,
    /// The number of the heap that owns the page. Relaxed: who finds its own number has written it.
    owner: AtomicU32,
    block: Layout,
    blocks: u32,
    /// The page's places in two lists of [`OwnedTasks`](super::OwnedTasks), under the lock of that: that
    /// of all pages, and that of those that are worth taking over.
    pub(super) links: [UnsafeCell<Links<S>>; 2],
    /// Moved out when the last block has come back.
    scheduler: UnsafeCell<ManuallyDrop<S>>,
}

pub(super) struct Links<S> {
    pub(super) previous: Option<PagePtr<S>>,
    pub(super) next: Option<PagePtr<S>>,
}

impl<S> Default for Links<S> {
    fn default() -> Links<S> {
        Links { previous: None, next: None }
    }
}

/// The blocks that have come back to a page: the first of a list, their number, and whether the page was
/// left by its owner.
///
/// Only the owner takes blocks out, and makes a page one that was left. Release with each block that comes
/// back, acquire by whoever takes blocks or the page.
struct Returned(AtomicU32);

/// What is to be done with a page in which there are more free blocks now.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing: the page is not the caller's, and may be gone.
    Nothing,
    /// The page is the caller's, to [`offer`](Page::offer).
    Offer,
    /// The page is empty, and the caller's, to [`end`](Page::end).
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u32);

impl Word {
    const LEFT: u32 = 1 << 31;
    const EMPTY: Word = Word(NONE);

    fn new(first: u32, count: u32) -> Word {
        debug_assert!(first <= NONE && count <= 0xffff);
        Word(first | count << 15)
    }

    fn first(self) -> u32 {
        self.0 & NONE
    }

    fn count(self) -> u32 {
        (self.0 & !Word::LEFT) >> 15
    }

    fn is_left(self) -> bool {
        self.0 & Word::LEFT != 0
    }

    fn with(self, run: Run) -> Word {
        Word(Word::new(run.first, self.count() + run.count).0 | self.0 & Word::LEFT)
    }
}

impl Returned {
    /// Applies `change` until it sticks, or until it is none. Acquires either way: `None` may mean that
    /// all blocks are back.
    fn update(&self, mut change: impl FnMut(Word) -> Option<Word>) -> Option<Word> {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let next = change(Word(now))?.0;
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Word(now)),
                Err(actual) => now = actual,
            }
        }
    }
}

/// Free blocks of one page, in a list.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u32,
}

impl Run {
    pub(super) fn one(slot: u32) -> Run {
        Run { first: slot, last: slot, count: 1 }
    }
}

/// The beginning of a block without a task.
#[repr(C)]
struct Free {
    state: State,
    /// The next in a list of free blocks; for whoever has the list. No atomic of a model: in between
    /// something else is here.
    next: std::sync::atomic::AtomicU32,
}

impl<S: Schedule> Page<S> {
    /// How many blocks of this layout a page has that is not for one alone.
    const fn blocks(block: Layout) -> usize {
        if cfg!(any(windlass_loom, windlass_shuttle)) {
            2
        } else {
            (BYTES - size_of::<Page<S>>()) / block.size()
        }
    }

    /// From the start of a page to its first block.
    const fn offset(block: Layout) -> usize {
        size_of::<Page<S>>().next_multiple_of(block.align())
    }

    fn layout(block: Layout, blocks: usize) -> Layout {
        let align = block.align().max(align_of::<Page<S>>());
        Layout::from_size_align(Self::offset(block) + blocks * block.size(), align)
            .expect("a page is small, or has one block, which has a layout")
    }

    /// A page that `owner` owns, in no list.
    pub(super) fn new(size: Size, block: Layout, owner: u32, scheduler: S) -> PagePtr<S> {
        debug_assert!(size.0 * GRAIN == block.size());
        Self::with_blocks(block, Self::blocks(block), owner, scheduler)
    }

    /// A page for one task, which is left already, in no list.
    pub(super) fn single(block: Layout, scheduler: S) -> PagePtr<S> {
        let page = Self::with_blocks(block, 1, NOBODY, scheduler);
        // SAFETY: it is new, and nobody else knows of it.
        unsafe { page.as_ref() }.returned.0.store(Word::EMPTY.0 | Word::LEFT, Ordering::Relaxed);
        page
    }

    fn with_blocks(block: Layout, blocks: usize, owner: u32, scheduler: S) -> PagePtr<S> {
        let layout = Self::layout(block, blocks);
        // SAFETY: the size is not zero: there is a header.
        let memory = unsafe { alloc(layout) };
        let page = NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout)).cast();
        let header = Page {
            returned: Returned(AtomicU32::new(Word::EMPTY.0)),
            free: AtomicU32::new(NONE),
            used: AtomicU32::new(0),
            owner: AtomicU32::new(owner),
            block,
            blocks: blocks as u32,
            links: [UnsafeCell::new(Links::default()), UnsafeCell::new(Links::default())],
            scheduler: UnsafeCell::new(ManuallyDrop::new(scheduler)),
        };
        // SAFETY: the memory is new, and large enough for the header and what follows it.
        unsafe { page.write(header) }
        page
    }

    /// Where a block is.
    ///
    /// # Safety
    /// The page is there, and has such a block, with this layout.
    #[inline(always)]
    unsafe fn at(page: PagePtr<S>, block: Layout, slot: u32) -> NonNull<Free> {
        let offset = Self::offset(block) + slot as usize * block.size();
        // SAFETY: the page's memory goes on to the end of its last block.
        unsafe { page.byte_add(offset) }.cast()
    }

    /// The task in a block, or what is left of one: nothing but its state word.
    ///
    /// # Safety
    /// The page is there, and the block has been used, and has this layout.
    #[inline(always)]
    pub(super) unsafe fn task(page: PagePtr<S>, block: Layout, slot: u32) -> NonNull<Header> {
        // SAFETY: as the caller says.
        unsafe { Self::at(page, block, slot) }.cast()
    }

    /// The page of a task.
    ///
    /// # Safety
    /// The task is in this slot of a page with blocks of this layout.
    #[inline]
    pub(super) unsafe fn of(task: NonNull<Header>, block: Layout, slot: u32) -> PagePtr<S> {
        let offset = Self::offset(block) + slot as usize * block.size();
        // SAFETY: that many bytes before its block a page begins.
        unsafe { task.byte_sub(offset) }.cast()
    }

    /// # Safety
    /// The page has a block that is not free, or is the caller's, for as long as the scheduler is used.
    #[inline]
    pub(super) unsafe fn scheduler<'a>(page: PagePtr<S>) -> &'a S {
        // SAFETY: as the caller says, the page is there, and its scheduler as well.
        unsafe { page.as_ref() }.scheduler.with(|scheduler| unsafe { &*scheduler })
    }

    pub(super) fn block_layout(&self) -> Layout {
        self.block
    }

    /// How many blocks have ever been used, so that there is a task, or was.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }

    #[inline]
    pub(super) fn is_owned_by(&self, heap: u32) -> bool {
        self.owner.load(Ordering::Relaxed) == heap
    }

    pub(super) fn has_one_block(&self) -> bool {
        self.blocks == 1
    }

    /// The size of its blocks; none, if it has one of any layout.
    pub(super) fn size(&self) -> Option<Size> {
        (!self.has_one_block()).then_some(Size(self.block.size() / GRAIN))
    }

    /// Takes a block, which is blank: it counts no reference. None: none is left, but some may have come
    /// back.
    ///
    /// # Safety
    /// The page is there, with blocks of this layout, and the caller owns it.
    #[inline(always)]
    pub(super) unsafe fn take(page: PagePtr<S>, block: Layout) -> Option<u32> {
        // SAFETY: as the caller says.
        let this = unsafe { page.as_ref() };
        let slot = this.free.load(Ordering::Relaxed);
        if slot != NONE {
            // SAFETY: a block in the owner's list is free, and the caller's.
            let block = unsafe { Self::at(page, block, slot) };
            // SAFETY: as above.
            let next = unsafe { block.as_ref() }.next.load(Ordering::Relaxed);
            this.free.store(next, Ordering::Relaxed);
            return Some(slot);
        }
        let used = this.used.load(Ordering::Relaxed);
        if used == this.blocks {
            return None;
        }
        // SAFETY: the page has this block.
        let block = unsafe { Self::at(page, block, used) };
        // SAFETY: nobody has used it yet, and so nobody looks at it.
        unsafe { block.write(Free { state: State::blank(), next: NONE.into() }) }
        this.used.store(used + 1, Ordering::Release);
        Some(used)
    }

    /// Puts a block back.
    ///
    /// # Safety
    /// The page is there, with blocks of this layout, and the caller owns it, and the block, which is in
    /// use by nobody else.
    #[inline(always)]
    pub(super) unsafe fn put(page: PagePtr<S>, block: Layout, slot: u32) {
        // SAFETY: as the caller says.
        let this = unsafe { page.as_ref() };
        // SAFETY: as the caller says.
        unsafe { Self::link(page, block, slot, this.free.load(Ordering::Relaxed)) }
        this.free.store(slot, Ordering::Relaxed);
    }

    /// Makes one free block the one before another.
    ///
    /// # Safety
    /// The page is there, with blocks of this layout, and `slot` is a free one that is the caller's.
    #[inline(always)]
    pub(super) unsafe fn link(page: PagePtr<S>, block: Layout, slot: u32, next: u32) {
        // SAFETY: as the caller says.
        let block = unsafe { Self::at(page, block, slot) };
        // SAFETY: as the caller says.
        unsafe { block.as_ref() }.next.store(next, Ordering::Relaxed);
    }

    /// Takes what has come back, or leaves the page. True: there is something to take. False: the page is
    /// not the caller's any more, and may be gone.
    ///
    /// # Safety
    /// The page is there, and the caller owns it, and has taken all its blocks.
    pub(super) unsafe fn reclaim_or_leave(page: PagePtr<S>) -> bool {
        // SAFETY: as the caller says; not used after the page was left.
        let this = unsafe { page.as_ref() };
        let owner = this.owner.load(Ordering::Relaxed);
        this.owner.store(NOBODY, Ordering::Relaxed);
        let before = this.returned.update(|now| {
            let is_reclaimed = now.count() > 0;
            Some(if is_reclaimed { Word::EMPTY } else { Word(now.0 | Word::LEFT) })
        });
        let before = before.expect("it is always changed");
        if before.count() == 0 {
            return false;
        }
        this.owner.store(owner, Ordering::Relaxed);
        this.free.store(before.first(), Ordering::Relaxed);
        true
    }

    /// How many free blocks make a page worth taking over.
    fn enough(&self) -> u32 {
        self.blocks - self.blocks * USED_OF_FOUR / 4
    }

    /// Leaves a page in which there may be something to take.
    ///
    /// # Safety
    /// The page is there, and the caller owns it.
    pub(super) unsafe fn leave(page: PagePtr<S>) -> Then {
        // SAFETY: as the caller says; not used after the page was left.
        let this = unsafe { page.as_ref() };
        let first = this.free.load(Ordering::Relaxed);
        // Blocks that were never used count as having come back.
        let mut count = this.blocks - this.used.load(Ordering::Relaxed);
        let mut last = NONE;
        let mut slot = first;
        while slot != NONE {
            (last, count) = (slot, count + 1);
            // SAFETY: a block in the owner's list is free, and the caller's.
            let block = unsafe { Self::at(page, this.block, slot) };
            // SAFETY: as above.
            slot = unsafe { block.as_ref() }.next.load(Ordering::Relaxed);
        }
        this.free.store(NONE, Ordering::Relaxed);
        this.owner.store(NOBODY, Ordering::Relaxed);
        let run = (last != NONE).then_some(Run { first, last, count });
        let (blocks, block, enough) = (this.blocks, this.block, this.enough());
        let mut then = Then::Nothing;
        let _ = this.returned.update(|now| {
            let next = match run {
                Some(run) => {
                    // SAFETY: the block is free, and the caller's until the change.
                    unsafe { Self::link(page, block, last, now.first()) }
                    now.with(run)
                }
                None => Word::new(now.first(), now.count() + count),
            };
            then = match next.count() {
                count if count == blocks => Then::End,
                count if count >= enough => Then::Offer,
                _ => Then::Nothing,
            };
            Some(if then == Then::Nothing { Word(next.0 | Word::LEFT) } else { next })
        });
        then
    }

    /// Brings blocks back.
    ///
    /// # Safety
    /// The blocks are linked, are those of this page, and the caller's, who gives them up.
    pub(super) unsafe fn give_back(page: PagePtr<S>, run: Run) -> Then {
        // SAFETY: a page is there as long as a block of it has not come back; not used after that.
        let this = unsafe { page.as_ref() };
        let (blocks, block, enough) = (this.blocks, this.block, this.enough());
        let mut then = Then::Nothing;
        let _ = this.returned.update(|now| {
            // SAFETY: the block is the caller's until the change.
            unsafe { Self::link(page, block, run.last, now.first()) }
            let next = now.with(run);
            let is_offered = now.count() >= enough;
            then = match next.count() {
                _ if !now.is_left() => Then::Nothing,
                count if count == blocks => Then::End,
                count if count >= enough && !is_offered => Then::Offer,
                _ => Then::Nothing,
            };
            // Who is to offer it owns it. One that ends stays as if left, so that no heap takes it.
            Some(if then == Then::Offer { Word(next.0 & !Word::LEFT) } else { next })
        });
        then
    }

    /// Puts a page where heaps find it, and leaves it.
    ///
    /// # Safety
    /// The page is there, and the caller owns it, who has put all its free blocks to those that came
    /// back.
    #[cold]
    pub(super) unsafe fn offer(page: PagePtr<S>) {
        // Of our own: as soon as it is left, the page may end, and its scheduler with it.
        // SAFETY: the page is ours.
        let scheduler = unsafe { Self::scheduler(page) }.clone();
        let owned = scheduler.owned().expect("a page with several blocks is one of these");
        // SAFETY: as the caller says.
        if unsafe { owned.offer(page) } {
            // SAFETY: it is empty, and ours still.
            unsafe { Self::end(page) }
        }
        drop_quietly(scheduler);
    }

    /// Leaves a page that is about to be offered. True: it is empty, and the caller's still, to
    /// [`end`](Page::end).
    ///
    /// # Safety
    /// As for [`Page::offer`].
    pub(super) unsafe fn leave_offered(page: PagePtr<S>) -> bool {
        // SAFETY: as the caller says; not used after the page was left.
        let this = unsafe { page.as_ref() };
        let blocks = this.blocks;
        let left = this.returned.update(|now| {
            debug_assert!(!now.is_left());
            (now.count() < blocks).then_some(Word(now.0 | Word::LEFT))
        });
        left.is_none()
    }

    /// Makes a page that was offered this heap's. False: all its blocks have come back, and somebody is
    /// about to end it.
    ///
    /// # Safety
    /// The page is among those that are offered, whose lock the caller has.
    pub(super) unsafe fn adopt(page: PagePtr<S>, heap: u32) -> bool {
        // SAFETY: as the caller says.
        let this = unsafe { page.as_ref() };
        let blocks = this.blocks;
        let adopted = this.returned.update(|now| {
            debug_assert!(now.is_left());
            (now.count() < blocks).then_some(Word::EMPTY)
        });
        let Some(before) = adopted else { return false };
        this.free.store(before.first(), Ordering::Relaxed);
        this.owner.store(heap, Ordering::Relaxed);
        true
    }

    /// Makes an empty page this heap's, with all its blocks unused.
    ///
    /// # Safety
    /// The page is the caller's alone, in no list, and its scheduler has been taken out.
    pub(super) unsafe fn use_again(page: PagePtr<S>, heap: u32, scheduler: S) {
        // SAFETY: as the caller says.
        let this = unsafe { page.as_ref() };
        this.returned.0.store(Word::EMPTY.0, Ordering::Relaxed);
        this.free.store(NONE, Ordering::Relaxed);
        this.used.store(0, Ordering::Relaxed);
        this.owner.store(heap, Ordering::Relaxed);
        // SAFETY: the page is the caller's alone.
        this.scheduler.with_mut(|place| unsafe { place.write(ManuallyDrop::new(scheduler)) });
    }

    /// Ends a page that is empty: gives it back to its scheduler's tasks, or to the allocator.
    ///
    /// # Safety
    /// All blocks have come back, and the page is the caller's alone, who gives it up.
    #[cold]
    pub(super) unsafe fn end(page: PagePtr<S>) {
        // SAFETY: nobody else uses it, and it is not looked at again before there is another.
        let scheduler =
            unsafe { page.as_ref() }.scheduler.with_mut(|place| unsafe { ptr::read(place) });
        let scheduler = ManuallyDrop::into_inner(scheduler);
        let is_kept = scheduler.owned().is_some_and(|owned| {
            // SAFETY: as the caller says.
            unsafe { owned.take_back(page) }
        });
        if !is_kept {
            // SAFETY: as the caller says, and it is in no list any more.
            unsafe { Self::deallocate(page) }
        }
        // Perhaps the last reference to all of it.
        drop_quietly(scheduler);
    }

    /// # Safety
    /// The page is empty, without its scheduler, in no list, and the caller's alone.
    pub(super) unsafe fn deallocate(page: PagePtr<S>) {
        // SAFETY: as the caller says.
        let this = unsafe { page.as_ref() };
        let layout = Self::layout(this.block, this.blocks as usize);
        // SAFETY: it came from `alloc` with this layout.
        unsafe { dealloc(page.as_ptr().cast(), layout) }
    }
}

#[cfg(all(test, windlass_loom))]
mod model;
