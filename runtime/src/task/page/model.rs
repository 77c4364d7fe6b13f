//! Who has a page, and its blocks, and who ends it.

use std::ptr;
use std::sync::Arc;

use loom::thread;

use super::*;
use crate::model::Queue;

const BLOCK: Layout = Layout::new::<[u64; 8]>();
const SIZE: Size = Size(8);

/// A page, and what its blocks hold.
struct Scene {
    queue: Queue,
    page: PagePtr<Queue>,
    contents: Vec<UnsafeCell<()>>,
}

// SAFETY: that the page goes from thread to thread is what the models are about.
unsafe impl Send for Scene {}
// SAFETY: as above.
unsafe impl Sync for Scene {}

impl Scene {
    /// With so many blocks, all in use, and heap 1 the owner.
    fn new(blocks: usize) -> Arc<Scene> {
        let queue = Queue::new();
        let page = Page::with_blocks(BLOCK, blocks, 1, queue.clone());
        queue.owned().expect("it has tasks").add(SIZE, page);
        let contents = (0..blocks).map(|_| UnsafeCell::new(())).collect();
        let scene = Scene { queue, page, contents };
        (0..blocks).for_each(|slot| assert_eq!(scene.take(), Some(slot as u32)));
        assert_eq!(scene.take(), None);
        Arc::new(scene)
    }

    /// Takes a block, and uses it.
    fn take(&self) -> Option<u32> {
        // SAFETY: the models call this where they own the page.
        let slot = unsafe { Page::take(self.page, BLOCK) }?;
        self.write(slot);
        Some(slot)
    }

    fn write(&self, slot: u32) {
        self.contents[slot as usize].with_mut(|_| ());
    }

    /// Whether there is something to take, by the owner. If not, the page is left.
    fn reclaim_or_leave(&self) -> bool {
        // SAFETY: the models call this where they own the page and have taken its blocks.
        unsafe { Page::reclaim_or_leave(self.page) }
    }

    fn give_back(&self, slot: u32) {
        self.give_back_run(&[slot]);
    }

    /// Gives blocks back that follow each other.
    fn give_back_run(&self, slots: &[u32]) {
        slots.iter().for_each(|&slot| self.write(slot));
        // As the end of a task does. SAFETY: the models have the blocks.
        let _ = unsafe { Page::scheduler(self.page) };
        let (first, last) = (slots[0], slots[slots.len() - 1]);
        for pair in slots.windows(2) {
            // SAFETY: as above.
            unsafe { Page::link(self.page, BLOCK, pair[0], pair[1]) }
        }
        let run = Run { first, last, count: slots.len() as u32 };
        // SAFETY: as above.
        self.finish(unsafe { Page::give_back(self.page, run) });
    }

    fn leave(&self) {
        // SAFETY: the models call this where they own the page.
        self.finish(unsafe { Page::leave(self.page) });
    }

    fn finish(&self, then: Then) {
        match then {
            Then::Nothing => {}
            // SAFETY: the page is ours.
            Then::Offer => unsafe { Page::offer(self.page) },
            Then::End => {
                // Nobody has a block of it any more.
                (0..self.contents.len()).for_each(|slot| self.write(slot as u32));
                // SAFETY: the page is ours.
                unsafe { Page::end(self.page) }
            }
        }
    }
}

/// Gives blocks back on threads of their own, while `f` runs. In the end the page has ended, once.
fn giving_back(scene: &Arc<Scene>, runs: &[&'static [u32]], f: impl FnOnce()) {
    let give = |&run: &&'static [u32]| {
        let scene = scene.clone();
        thread::spawn(move || scene.give_back_run(run))
    };
    let threads: Vec<_> = runs.iter().map(give).collect();
    f();
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    scene.queue.assert_alone();
}

#[test]
fn the_last_block_that_comes_back_ends_a_page_that_was_left() {
    loom::model(|| {
        let scene = Scene::new(2);
        assert!(!scene.reclaim_or_leave(), "none is back yet");
        giving_back(&scene, &[&[0]], || scene.give_back(1));
    });
}

#[test]
fn leaving_a_page_against_blocks_that_come_back() {
    loom::model(|| {
        let scene = Scene::new(2);
        giving_back(&scene, &[&[0], &[1]], || scene.leave());
    });
}

#[test]
fn taking_what_has_come_back_or_leaving_the_page_is_one_decision() {
    loom::model(|| {
        let scene = Scene::new(2);
        giving_back(&scene, &[&[0]], || {
            if scene.reclaim_or_leave() {
                let slot = scene.take().expect("something was reclaimed");
                // SAFETY: the block is ours, and so is the page.
                unsafe { Page::put(scene.page, BLOCK, slot) }
                scene.leave();
            }
            scene.give_back(1);
        });
    });
}

/// Gives the blocks back that are left, while another heap looks for a page twice.
fn taking_over(scene: &Arc<Scene>, runs: &[&'static [u32]]) {
    giving_back(scene, runs, || {
        for heap in [2, 3] {
            let owned = scene.queue.owned().expect("it has tasks");
            let Some(page) = owned.adopt(SIZE, heap) else { continue };
            assert!(ptr::eq(page.as_ptr(), scene.page.as_ptr()));
            let slot = scene.take().expect("enough of it is free");
            scene.give_back(slot);
            scene.leave();
        }
    });
}

#[test]
fn another_heap_takes_a_page_over_or_finds_that_it_ends() {
    loom::model(|| {
        let scene = Scene::new(2);
        assert!(!scene.reclaim_or_leave(), "none is back yet");
        scene.give_back(0);
        taking_over(&scene, &[&[1]]);
    });
}

#[test]
fn a_page_is_offered_taken_over_or_ends_as_its_blocks_come_back() {
    loom::model(|| {
        let scene = Scene::new(2);
        assert!(!scene.reclaim_or_leave(), "none is back yet");
        taking_over(&scene, &[&[0], &[1]]);
    });
}

/// It is worth taking over with two, and then gets more.
#[test]
fn a_page_of_five_is_offered_taken_over_or_ends_as_its_blocks_come_back() {
    loom::model(|| {
        let scene = Scene::new(5);
        assert!(!scene.reclaim_or_leave(), "none is back yet");
        scene.give_back(0);
        assert_eq!(scene.queue.owned().expect("it has tasks").adopt(SIZE, 2), None, "too few");
        taking_over(&scene, &[&[1], &[2, 3, 4]]);
    });
}

#[test]
fn leaving_a_page_that_was_never_full_against_blocks_that_come_back() {
    loom::model(|| {
        let scene = Scene::new(3);
        scene.give_back(0);
        assert!(scene.reclaim_or_leave());
        giving_back(&scene, &[&[1], &[2]], || scene.leave());
    });
}

/// A block without a task, its first task, and the next one there.
#[test]
fn a_look_for_tasks_finds_whole_ones_whoever_is_in_the_block() {
    use crate::task::state::{Complete, Finish, Start};
    loom::model(|| {
        let block = Arc::new((State::blank(), UnsafeCell::new(())));
        let (state, content) = &*block;
        let other = block.clone();
        let looks = thread::spawn(move || {
            let (state, content) = &*other;
            if state.shut_down() {
                content.with(|_| ());
                assert!(!state.drop_ref(), "the task has one of its own");
            }
        });
        content.with_mut(|_| ());
        state.begin();
        // It is polled once, and is ready; its handle has gone before.
        let _ = state.drop_join();
        if state.go_on_running() == Start::Poll {
            assert_eq!(state.complete(true, 2), Complete::Free);
            content.with_mut(|_| ());
            state.begin();
            // The next one becomes idle.
            if state.go_on_running() == Start::Poll {
                let _: Finish = state.finish_pending();
            }
        }
        looks.join().expect("it does not panic");
    });
}
