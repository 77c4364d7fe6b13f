//! Blocks are given to one task at a time, and there are never many of them.

use std::collections::HashSet;
use std::sync::mpsc;
use std::thread;

use parking_lot::MutexGuard;

use super::*;

/// A pointer to another thread.
struct Sent(NonNull<u8>);
// SAFETY: memory is bound to no thread.
unsafe impl Send for Sent {}

/// Blocks of a size that nobody else in this program has, while there is a runtime.
struct Blocks {
    layout: Layout,
    _runtime: KeepsMemory,
}

impl Blocks {
    fn of(words: usize) -> Blocks {
        let layout = Layout::array::<u64>(words).expect("it is small");
        Blocks { layout, _runtime: KeepsMemory::new() }
    }

    fn allocate(&self, count: usize) -> Vec<Sent> {
        (0..count).map(|_| Sent(allocate(self.layout))).collect()
    }

    fn free(layout: Layout, blocks: Vec<Sent>) {
        for Sent(block) in blocks {
            // SAFETY: each test gives back what it was given, with its layout, once.
            unsafe { free(block, layout) }
        }
    }

    fn size(&self) -> Size {
        Size::of(self.layout).expect("it is kept")
    }

    fn on_the_shelf(&self) -> usize {
        SHELVES[self.size().0].count.load(Ordering::Relaxed)
    }
}

/// The tests take turns, because the depot is one for all, and begin with an empty one.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock();
    trim();
    turn
}

fn addresses(blocks: &[Sent]) -> HashSet<usize> {
    blocks.iter().map(|block| block.0.as_ptr().addr()).collect()
}

#[test]
fn a_thread_uses_its_blocks_again() {
    let _alone = alone();
    let of = Blocks::of(121);
    for count in [1, MAGAZINE, 2 * MAGAZINE] {
        let first = of.allocate(count);
        let seen = addresses(&first);
        assert_eq!(seen.len(), count);
        Blocks::free(of.layout, first);
        let second = of.allocate(count);
        assert_eq!(addresses(&second), seen);
        Blocks::free(of.layout, second);
    }
}

#[test]
fn blocks_go_home_through_the_depot_and_none_is_given_twice() {
    let _alone = alone();
    const BLOCKS: usize = 6 * MAGAZINE;
    const ROUNDS: usize = 100;
    let of = Blocks::of(40);
    let layout = of.layout;
    let (send, receive) = mpsc::channel::<Vec<Sent>>();
    let (done, is_done) = mpsc::channel();
    let consumer = thread::spawn(move || {
        for blocks in receive {
            for Sent(block) in &blocks {
                // SAFETY: it is ours, and large enough.
                let written = unsafe { block.cast::<usize>().read() };
                assert_eq!(written, block.as_ptr().addr(), "by its owner alone");
            }
            Blocks::free(layout, blocks);
            done.send(()).expect("the producer waits");
        }
    });
    let mut seen = HashSet::new();
    for _ in 0..ROUNDS {
        let blocks = of.allocate(BLOCKS);
        assert_eq!(addresses(&blocks).len(), BLOCKS);
        for Sent(block) in &blocks {
            // SAFETY: as above.
            unsafe { block.cast::<usize>().write(block.as_ptr().addr()) }
        }
        seen.extend(addresses(&blocks));
        send.send(blocks).expect("the consumer waits");
        is_done.recv().expect("the consumer lives");
    }
    drop(send);
    consumer.join().expect("no panic");
    // What the consumer keeps never comes back; the rest does.
    assert!(seen.len() <= BLOCKS + 3 * MAGAZINE, "{} different blocks", seen.len());
}

#[test]
fn the_depot_and_the_thread_have_bounds() {
    let _alone = alone();
    let of = Blocks::of(80);
    let blocks = of.allocate(4 * DEPOT / of.layout.size());
    Blocks::free(of.layout, blocks);
    // Other tests of this program may each have added a magazine to what was counted.
    assert!(KEPT.load(Ordering::Relaxed) <= DEPOT + 16 * MAGAZINE * LARGEST);
    assert!(of.on_the_shelf() * MAGAZINE * of.layout.size() <= DEPOT);
    let many: Vec<_> = (60..SIZES).map(Blocks::of).collect();
    for of in &many {
        Blocks::free(of.layout, of.allocate(2 * MAGAZINE));
    }
    assert!(CACHE.with(|cache| cache.bytes.get()) <= CACHED);
}

#[test]
fn a_thread_counts_what_it_keeps_and_gives_all_of_it_back() {
    let _alone = alone();
    let of = Blocks::of(123);
    thread::spawn(move || {
        let counted = || CACHE.with(|cache| cache.bytes.get());
        let found = |blocks: *mut Block| {
            let next = |block: &NonNull<Block>| {
                // SAFETY: a block in a magazine of this thread.
                NonNull::new(unsafe { block.as_ref() }.next)
            };
            std::iter::successors(NonNull::new(blocks), next).count()
        };
        for count in [1, 3, MAGAZINE, MAGAZINE + 1, 2 * MAGAZINE, 2 * MAGAZINE + 1, 5 * MAGAZINE] {
            Blocks::free(of.layout, of.allocate(count));
            let kept = CACHE.with(|cache| {
                let blocks = &cache.blocks[of.size().0];
                assert_eq!(found(blocks.loaded.get()), blocks.count.get());
                blocks.count.get() + found(blocks.full.get())
            });
            assert_eq!(counted(), kept * of.layout.size());
        }
        CACHE.with(Cache::clear);
        assert_eq!(counted(), 0);
        assert!(CACHE.with(|cache| cache.blocks[of.size().0].loaded.get().is_null()));
    })
    .join()
    .expect("no panic");
}
