//! Blocks are in use by one task at a time, find their way back, and there are never many of them.

use std::any::Any;
use std::collections::HashSet;
use std::sync::{Arc, mpsc};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::task::page::{BYTES, Page};
use crate::task::{Header, OwnedTasks, Runnable};

/// A scheduler that has tasks, and runs none.
#[derive(Clone)]
struct Owner(Arc<OwnedTasks<Owner>>);

impl Owner {
    fn new() -> Owner {
        Owner(Arc::new(OwnedTasks::new()))
    }

    /// Each page holds on to it once.
    fn pages(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

impl Schedule for Owner {
    type Home = Box<Heap<Owner>>;
    type Place = ();

    fn place(&self) {}

    fn schedule((): (), _runnable: Runnable) {}

    fn owned(&self) -> Option<&OwnedTasks<Owner>> {
        Some(&self.0)
    }

    fn home(&self) -> Option<Box<Heap<Owner>>> {
        None
    }

    fn forget_name(&self, _task: &Header) {}

    fn is_shut_down(&self) -> bool {
        false
    }

    fn unhandled_panic(&self, _task: &Header, _payload: &(dyn Any + Send)) {}
}

/// A block in use. In its last word is its address.
struct Block {
    page: PagePtr<Owner>,
    layout: Layout,
    slot: u32,
}

// SAFETY: memory is bound to no thread.
unsafe impl Send for Block {}

impl Block {
    fn allocate(heap: Option<&Heap<Owner>>, owner: &Owner, words: usize) -> Block {
        let layout = Layout::array::<usize>(words).expect("it is small");
        let (page, slot) = allocate(heap, owner, layout);
        let block = Block { page, layout, slot };
        // SAFETY: the block is ours, and no other's.
        unsafe { block.last_word().write(block.address()) }
        block
    }

    fn address(&self) -> usize {
        // SAFETY: the page is there, with this block.
        unsafe { Page::task(self.page, self.layout, self.slot) }.addr().get()
    }

    fn last_word(&self) -> *mut usize {
        // SAFETY: as above.
        let block = unsafe { Page::task(self.page, self.layout, self.slot) };
        // SAFETY: the block is as long as its layout.
        unsafe { block.as_ptr().cast::<usize>().add(self.layout.size() / size_of::<usize>() - 1) }
    }

    fn free(self, heap: Option<&Heap<Owner>>) {
        // SAFETY: the block is ours.
        assert_eq!(unsafe { self.last_word().read() }, self.address(), "by its owner alone");
        // SAFETY: as above, and this gives it up.
        unsafe { Heap::free(heap, self.page, self.layout, self.slot) }
    }
}

fn several(heap: Option<&Heap<Owner>>, owner: &Owner, words: usize, count: usize) -> Vec<Block> {
    (0..count).map(|_| Block::allocate(heap, owner, words)).collect()
}

fn free_all(heap: Option<&Heap<Owner>>, blocks: Vec<Block>) {
    blocks.into_iter().for_each(|block| block.free(heap));
}

fn addresses(blocks: &[Block]) -> HashSet<usize> {
    blocks.iter().map(Block::address).collect()
}

#[test]
fn a_heap_uses_its_blocks_again() {
    let owner = Owner::new();
    let heap = Heap::new(1);
    for count in [1, 10, 1000, 5000] {
        let first = several(Some(&heap), &owner, 40, count);
        let seen = addresses(&first);
        assert_eq!(seen.len(), count);
        free_all(Some(&heap), first);
        let second = several(Some(&heap), &owner, 40, count);
        let again = addresses(&second).intersection(&seen).count();
        assert!(again * 10 >= count * 9, "{again} of {count}");
        free_all(Some(&heap), second);
    }
    drop(heap);
    assert_eq!(owner.pages(), 0);
}

#[test]
fn blocks_go_home_and_none_is_given_twice() {
    const BLOCKS: usize = 1000;
    const ROUNDS: usize = 100;
    let owner = Owner::new();
    let (send, receive) = mpsc::channel::<Vec<Block>>();
    let (done, is_done) = mpsc::channel();
    let consumer = thread::spawn(move || {
        let heap = Heap::new(2);
        for blocks in receive {
            free_all(Some(&heap), blocks);
            done.send(()).expect("the producer waits");
        }
    });
    let heap = Heap::new(1);
    let mut seen = HashSet::new();
    for _ in 0..ROUNDS {
        let blocks = several(Some(&heap), &owner, 40, BLOCKS);
        assert_eq!(addresses(&blocks).len(), BLOCKS);
        seen.extend(addresses(&blocks));
        send.send(blocks).expect("the consumer waits");
        is_done.recv().expect("the consumer lives");
    }
    drop(send);
    consumer.join().expect("no panic");
    // A page may be on its way, and one is the heap's.
    assert!(seen.len() <= BLOCKS + 3 * BYTES / (40 * 8), "{} different blocks", seen.len());
    drop(heap);
    assert_eq!(owner.pages(), 0);
}

#[test]
fn a_page_goes_with_its_last_block_whoever_brings_it() {
    let owner = Owner::new();
    let (mut ours, theirs) = (Heap::new(1), Heap::new(2));
    let mut blocks = several(Some(&ours), &owner, 100, 50);
    blocks.extend(several(None, &owner, 100, 50));
    blocks.extend(several(Some(&ours), &owner, 5000, 2));
    assert!(owner.pages() >= 4);
    // What was never used is not waited for.
    drop(std::mem::replace(&mut ours, Heap::new(3)));
    owner.0.close();
    blocks.extend(several(None, &owner, 100, 3));
    let (rest, last) = (blocks.split_off(1), blocks);
    for (index, block) in rest.into_iter().enumerate() {
        block.free([None, Some(&ours), Some(&theirs)][index % 3]);
    }
    drop((ours, theirs));
    assert_eq!(owner.pages(), 1);
    free_all(None, last);
    assert_eq!(owner.pages(), 0);
}

#[test]
fn a_page_that_is_mostly_free_is_used_again_before_there_is_a_new_one() {
    let owner = Owner::new();
    let heap = Heap::new(1);
    let per_page = BYTES / 800;
    let blocks = several(Some(&heap), &owner, 100, 50 * per_page);
    let pages = owner.pages();
    let (mut kept, mut others) = (Vec::new(), Vec::new());
    for (index, block) in blocks.into_iter().enumerate() {
        if index % per_page == 0 { kept.push(block) } else { others.push(block) }
    }
    let count = others.len();
    free_all(None, others);
    let others = several(Some(&heap), &owner, 100, count);
    assert!(owner.pages() <= pages + 3, "{} pages, {pages} before", owner.pages());
    free_all(None, others);
    free_all(None, kept);
    drop(heap);
    assert_eq!(owner.pages(), 0);
}

/// Blocks that are replaced at random, by two heaps, beside some that stay and fill their pages.
fn pages_after_churn(words: usize, staying: usize, live: usize, newest: usize) -> (usize, usize) {
    let owner = Owner::new();
    let heaps = [Some(Heap::new(1)), Some(Heap::new(2))];
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let stay = several(heaps[0].as_ref(), &owner, words, staying);
    let mut blocks = several(heaps[0].as_ref(), &owner, words, live);
    let least = owner.pages();
    for _ in 0..100 * live {
        // Mostly one of the newest.
        let among = if random(1000) == 0 { live } else { newest };
        let block = blocks.remove(live - 1 - random(among));
        block.free(heaps[random(2)].as_ref());
        blocks.push(Block::allocate(heaps[random(2)].as_ref(), &owner, words));
    }
    let pages = owner.pages();
    free_all(None, blocks);
    free_all(None, stay);
    drop(heaps);
    assert_eq!(owner.pages(), 0);
    (least, pages)
}

#[test]
fn churn_does_not_spread_over_ever_more_pages() {
    for (words, staying, live, newest) in
        [(100, 0, 2000, 2000), (100, 20_000, 2000, 2000), (20, 0, 4000, 80), (100, 2000, 1000, 50)]
    {
        let (least, pages) = pages_after_churn(words, staying, live, newest);
        assert!(pages * 2 <= least * 3, "{pages} pages where {least} would do");
    }
}

#[test]
fn few_empty_pages_are_kept_and_none_after_the_end() {
    let owner = Owner::new();
    let heap = Heap::new(1);
    for words in [10, 50, 250] {
        let blocks = several(Some(&heap), &owner, words, (8 << 20) / (words * 8));
        free_all(Some(&heap), blocks);
        assert!((1..=2 << 20).contains(&owner.0.spare_bytes()), "{}", owner.0.spare_bytes());
    }
    drop(heap);
    owner.0.close();
    assert_eq!((owner.0.spare_bytes(), owner.pages()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_taken_and_given_back_no_block_is_in_use_twice(
        steps in prop::collection::vec((0usize..3, 0usize..3, 0usize..400, any::<bool>()), 1..300)
    ) {
        let owner = Owner::new();
        let heaps = [Some(Heap::new(1)), Some(Heap::new(2)), None];
        let mut blocks: Vec<Block> = Vec::new();
        for (heap, size, count, takes) in steps {
            let heap = heaps[heap].as_ref();
            if takes {
                blocks.extend(several(heap, &owner, [9, 200, 600][size], count / (1 + size)));
                prop_assert_eq!(addresses(&blocks).len(), blocks.len());
            } else {
                // Some in the order in which they were taken, some in the other.
                let count = count.min(blocks.len());
                let freed = match size {
                    0 => blocks.drain(..count).collect(),
                    _ => blocks.split_off(blocks.len() - count),
                };
                free_all(heap, freed);
            }
        }
        free_all(None, blocks);
        owner.0.close();
        drop(heaps);
        prop_assert_eq!(owner.pages(), 0);
    }
}
