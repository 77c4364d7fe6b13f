//! Where the memory of tasks comes from, and where it goes.
//!
//! Tasks come and go by the million, most of them in a few sizes, and many end on another thread
//! than the one that spawned them: there an allocator has to find a way back for each block. So a
//! thread keeps the blocks of the tasks that were freed on it for those that it spawns next, in
//! magazines of [`MAGAZINE`] blocks, two at most for each size. A thread with too many gives a whole
//! magazine to the depot, which is shared by all; one without takes it from there. What there is no
//! room for goes back to the allocator. The scheme is that of J. Bonwick and J. Adams, "Magazines
//! and Vmem", USENIX 2001.
//!
//! Blocks of up to [`LARGEST`] bytes are kept, if they have the common alignment, each for tasks of
//! exactly its size, so that it goes back to the allocator as it came from there. The depot keeps at
//! most [`DEPOT`] bytes, first come, first served, and a thread [`CACHED`], and above that what is
//! left of a magazine that it took from the depot. When the last runtime of the process is gone,
//! with its tasks and handles, the depot is emptied and nothing is kept any more; a thread of the
//! program that has freed tasks has its blocks until it ends, or spawns again.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Blocks in a magazine.
const MAGAZINE: usize = 64;

/// The largest block that is kept.
const LARGEST: usize = 1024;

/// Sizes are multiples of this, which is also the alignment of every block that is kept: that of the
/// state word.
const GRAIN: usize = 8;

/// Different sizes, from zero.
const SIZES: usize = LARGEST / GRAIN + 1;

/// What a thread keeps at most, in bytes.
const CACHED: usize = 256 << 10;

/// What the depot keeps at most, in bytes: the tasks of a burst of some ten thousand.
const DEPOT: usize = 2 << 20;

/// A block that holds no task.
struct Block {
    /// In the same magazine.
    next: *mut Block,
    /// Of the first block of a magazine in the depot: the first one of another.
    next_magazine: *mut Block,
}

/// A size that is kept: the index of everything below.
#[derive(Clone, Copy)]
struct Size(usize);

impl Size {
    /// The size of blocks of this layout, if they are kept.
    #[inline]
    fn of(layout: Layout) -> Option<Size> {
        let fits = (size_of::<Block>()..=LARGEST).contains(&layout.size());
        // Other alignments have sizes in common with this one.
        let is_common = layout.align() == GRAIN && align_of::<Block>() <= GRAIN;
        // Models and sanitizers are to see each task come and go.
        let is_seen =
            cfg!(any(windlass_loom, windlass_shuttle)) || cfg!(windlass_sanitizer) && !cfg!(test);
        (fits && is_common && !is_seen).then_some(Size(layout.size() / GRAIN))
    }

    fn bytes(self) -> usize {
        self.0 * GRAIN
    }

    fn layout(self) -> Layout {
        Layout::from_size_align(self.bytes(), GRAIN).expect("it was made from one")
    }
}

/// Memory for a task. It holds anything.
#[inline]
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    let take = |size| CACHE.try_with(|cache| cache.take(size)).ok().flatten();
    match Size::of(layout).and_then(take) {
        Some(block) => block.cast(),
        None => from_allocator(layout),
    }
}

fn from_allocator(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0, "a task has a header");
    // SAFETY: the size is not zero.
    let block = unsafe { alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives the memory of a task back.
///
/// # Safety
/// - `block` came from [`allocate`] with the same `layout`.
/// - Nobody uses it any more.
#[inline]
pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    if let Some(size) = Size::of(layout) {
        // SAFETY: the caller leaves us the block, which has this size.
        let put = |cache: &Cache| unsafe { cache.put(block.cast(), size) };
        // In the destructor of a thread-local there may be no cache any more.
        if CACHE.try_with(put) == Ok(true) {
            return;
        }
    }
    // SAFETY: it came from `alloc`, now or in its first use, with this layout.
    unsafe { dealloc(block.as_ptr(), layout) }
}

/// How many runtimes there are. Relaxed: it only says whether keeping blocks is of use.
static RUNTIMES: AtomicUsize = AtomicUsize::new(0);

/// What each runtime has as long as there is anything of it, so that memory is kept.
pub(crate) struct KeepsMemory(());

impl KeepsMemory {
    pub(crate) fn new() -> KeepsMemory {
        RUNTIMES.fetch_add(1, Ordering::Relaxed);
        KeepsMemory(())
    }
}

impl Drop for KeepsMemory {
    fn drop(&mut self) {
        if RUNTIMES.fetch_sub(1, Ordering::Relaxed) == 1 {
            trim();
        }
    }
}

/// Gives the blocks of the depot and of this thread back to the allocator.
fn trim() {
    for size in (0..SIZES).map(Size) {
        while let Some(magazine) = take_from_depot(size) {
            // SAFETY: the blocks of this shelf have this size, and are ours.
            unsafe { free_all(magazine.as_ptr(), size) }
        }
    }
    // In the destructor of a thread-local there may be no cache any more.
    let _ = CACHE.try_with(Cache::clear);
}

thread_local! {
    static CACHE: Cache = const { Cache::new() };
}

/// What a thread keeps.
struct Cache {
    bytes: Cell<usize>,
    /// By size.
    blocks: [Blocks; SIZES],
}

/// The blocks of one size.
struct Blocks {
    /// How many `loaded` has.
    count: Cell<usize>,
    loaded: Cell<*mut Block>,
    /// Another magazine, full, or none.
    full: Cell<*mut Block>,
}

impl Blocks {
    const fn none() -> Blocks {
        Blocks {
            count: Cell::new(0),
            loaded: Cell::new(ptr::null_mut()),
            full: Cell::new(ptr::null_mut()),
        }
    }
}

impl Cache {
    const fn new() -> Cache {
        Cache { bytes: Cell::new(0), blocks: [const { Blocks::none() }; SIZES] }
    }

    #[inline]
    fn take(&self, size: Size) -> Option<NonNull<Block>> {
        let blocks = &self.blocks[size.0];
        let block = match NonNull::new(blocks.loaded.get()) {
            Some(block) => block,
            None => self.reload(size)?,
        };
        // SAFETY: a block in a magazine holds no task, and belongs to this thread.
        blocks.loaded.set(unsafe { block.as_ref() }.next);
        blocks.count.set(blocks.count.get() - 1);
        self.bytes.set(self.bytes.get() - size.bytes());
        Some(block)
    }

    /// `loaded` is empty.
    fn reload(&self, size: Size) -> Option<NonNull<Block>> {
        let blocks = &self.blocks[size.0];
        let magazine = match NonNull::new(blocks.full.replace(ptr::null_mut())) {
            Some(full) => full,
            None => {
                let magazine = take_from_depot(size)?;
                self.bytes.set(self.bytes.get() + MAGAZINE * size.bytes());
                magazine
            }
        };
        blocks.loaded.set(magazine.as_ptr());
        blocks.count.set(MAGAZINE);
        Some(magazine)
    }

    /// True: the block is kept. False: there is no room, or no runtime.
    ///
    /// # Safety
    /// `block` has this size, came from the allocator, and is the caller's, who leaves it to the
    /// cache if this is true.
    #[inline]
    unsafe fn put(&self, block: NonNull<Block>, size: Size) -> bool {
        let bytes = self.bytes.get() + size.bytes();
        if bytes > CACHED || RUNTIMES.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let blocks = &self.blocks[size.0];
        if blocks.count.get() == MAGAZINE && !self.unload(size) {
            return false;
        }
        let next = blocks.loaded.replace(block.as_ptr());
        // SAFETY: the caller leaves the block to us; those that are kept are large enough.
        unsafe { block.write(Block { next, next_magazine: ptr::null_mut() }) }
        blocks.count.set(blocks.count.get() + 1);
        // Less again, if a magazine went to the depot.
        self.bytes.set(self.bytes.get() + size.bytes());
        true
    }

    /// Makes room in `loaded`, which is full. False: there is none in the depot.
    fn unload(&self, size: Size) -> bool {
        let blocks = &self.blocks[size.0];
        if let Some(magazine) = NonNull::new(blocks.full.get()) {
            // SAFETY: it is full, has blocks of this size, and is this thread's, which forgets it.
            if !unsafe { put_into_depot(magazine, size) } {
                return false;
            }
            self.bytes.set(self.bytes.get() - MAGAZINE * size.bytes());
        }
        blocks.full.set(blocks.loaded.replace(ptr::null_mut()));
        blocks.count.set(0);
        true
    }

    /// Gives all blocks back to the allocator.
    fn clear(&self) {
        self.bytes.set(0);
        for (index, blocks) in self.blocks.iter().enumerate() {
            blocks.count.set(0);
            for blocks in [&blocks.loaded, &blocks.full] {
                // SAFETY: the blocks have this size, and nobody but this thread knew of them.
                unsafe { free_all(blocks.replace(ptr::null_mut()), Size(index)) }
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Gives the blocks of a magazine, if it has any, back to the allocator.
///
/// # Safety
/// They are the caller's, have this size, and came from the allocator.
unsafe fn free_all(mut block: *mut Block, size: Size) {
    while !block.is_null() {
        // SAFETY: a block in a magazine holds no task, and is the caller's.
        let next = unsafe { (*block).next };
        // SAFETY: as the caller says; all blocks of a size have one layout.
        unsafe { dealloc(block.cast(), size.layout()) }
        block = next;
    }
}

/// The depot's full magazines of one size.
struct Shelf {
    magazines: Mutex<Magazines>,
    /// How many there are, written under the lock. Relaxed: who reads a number that is out of date
    /// does without a magazine, or finds none.
    count: AtomicUsize,
}

struct Magazines(*mut Block);

// SAFETY: blocks that hold no task belong to whoever has the pointer to the first of them, and no
// block is bound to a thread.
unsafe impl Send for Magazines {}

static SHELVES: [Shelf; SIZES] = [const {
    Shelf {
        magazines: parking_lot::Mutex::new(Magazines(ptr::null_mut())),
        count: AtomicUsize::new(0),
    }
}; SIZES];

/// The bytes on all shelves. Relaxed, a limit that may be passed by a magazine for each thread.
static KEPT: AtomicUsize = AtomicUsize::new(0);

fn take_from_depot(size: Size) -> Option<NonNull<Block>> {
    let shelf = &SHELVES[size.0];
    if shelf.count.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let mut magazines = shelf.magazines.lock();
    let magazine = NonNull::new(magazines.0)?;
    // SAFETY: a block on the shelf holds no task, and belongs to who has the lock.
    magazines.0 = unsafe { magazine.as_ref() }.next_magazine;
    let count = shelf.count.load(Ordering::Relaxed);
    shelf.count.store(count - 1, Ordering::Relaxed);
    KEPT.fetch_sub(MAGAZINE * size.bytes(), Ordering::Relaxed);
    Some(magazine)
}

/// True: the depot has it. False: there is no room.
///
/// # Safety
/// The magazine is full, its blocks have this size, and it is the caller's, who leaves it to the
/// depot if this is true.
unsafe fn put_into_depot(mut magazine: NonNull<Block>, size: Size) -> bool {
    let bytes = MAGAZINE * size.bytes();
    if KEPT.load(Ordering::Relaxed) + bytes > DEPOT {
        return false;
    }
    KEPT.fetch_add(bytes, Ordering::Relaxed);
    let shelf = &SHELVES[size.0];
    let mut magazines = shelf.magazines.lock();
    // SAFETY: the block holds no task, and is the caller's, who leaves it to us.
    unsafe { magazine.as_mut() }.next_magazine = magazines.0;
    magazines.0 = magazine.as_ptr();
    let count = shelf.count.load(Ordering::Relaxed);
    shelf.count.store(count + 1, Ordering::Relaxed);
    true
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests;
