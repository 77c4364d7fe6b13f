//! A `Waker` in one word, where two would make each task larger.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::{RawWakerVTable, Waker};

use super::header::Header;
use super::waker;

/// The data of a waker, which says by its two lowest bits whose: a task's, one of `block_on`, or any
/// other, which lies in a box.
pub(super) struct OneWordWaker(NonNull<()>);

const BOXED: usize = 1;
const OF_BLOCK_ON: usize = 2;
const TAGS: usize = BOXED | OF_BLOCK_ON;

enum Kind {
    Task(NonNull<Header>),
    OfBlockOn(NonNull<()>),
    Boxed(NonNull<Waker>),
}

/// The vtable of the wakers of `block_on`, which the standard library makes, perhaps in several copies:
/// one of them. Relaxed: what it points to was always there.
static BLOCK_ON: AtomicPtr<RawWakerVTable> = AtomicPtr::new(ptr::null_mut());

/// Makes the wakers of `block_on` known, of which this is one. All have the same type of data.
pub(crate) fn know_block_on(waker: &Waker) {
    BLOCK_ON.store(ptr::from_ref(waker.vtable()).cast_mut(), Ordering::Relaxed);
}

fn is_of_block_on(waker: &Waker) -> bool {
    ptr::eq(waker.vtable(), BLOCK_ON.load(Ordering::Relaxed))
}

impl OneWordWaker {
    pub(super) fn new(waker: Waker) -> OneWordWaker {
        const { assert!(align_of::<Header>() > TAGS && align_of::<Waker>() > TAGS) }
        let waker = match waker::into_task(waker) {
            Ok(header) => return OneWordWaker(header.cast()),
            Err(waker) => waker,
        };
        match NonNull::new(waker.data().cast_mut()) {
            Some(data) if is_of_block_on(&waker) && data.addr().get() & TAGS == 0 => {
                std::mem::forget(waker);
                OneWordWaker(data.map_addr(|address| address | OF_BLOCK_ON))
            }
            _ => {
                let boxed = NonNull::from(Box::leak(Box::new(waker))).cast::<()>();
                OneWordWaker(boxed.map_addr(|address| address | BOXED))
            }
        }
    }

    fn kind(&self) -> Kind {
        let tag = self.0.addr().get() & TAGS;
        let data = self.0.as_ptr().map_addr(|address| address & !TAGS);
        let data = NonNull::new(data).expect("what is tagged is aligned, and not null");
        match tag {
            BOXED => Kind::Boxed(data.cast()),
            OF_BLOCK_ON => Kind::OfBlockOn(data),
            _ => Kind::Task(data.cast()),
        }
    }

    /// Whether both surely wake the same task. This looks at nothing behind the word, so that it is
    /// right also if another thread has moved the waker out of its place by a copy.
    pub(super) fn will_wake(&self, other: &Waker) -> bool {
        match self.kind() {
            Kind::Task(header) => waker::is_of_task(other, header),
            Kind::OfBlockOn(data) => ptr::eq(other.data(), data.as_ptr()) && is_of_block_on(other),
            Kind::Boxed(_) => false,
        }
    }

    pub(super) fn wake(self) {
        ManuallyDrop::new(self).take().wake();
    }

    /// The waker itself; `self` is not used again.
    fn take(&mut self) -> Waker {
        match self.kind() {
            Kind::Task(header) => {
                // SAFETY: the word was made from the waker of this task, and has its reference.
                let waker = unsafe { waker::borrowed(header) };
                ManuallyDrop::into_inner(waker)
            }
            Kind::OfBlockOn(data) => {
                // SAFETY: there was one when the word was made, and it is never taken away; it lies in
                // memory that lasts as long as the program.
                let vtable = unsafe { &*BLOCK_ON.load(Ordering::Relaxed) };
                // SAFETY: the data is that of a waker of `block_on`, which the word has consumed, and
                // the vtable that of another one, for the same type.
                unsafe { Waker::new(data.as_ptr(), vtable) }
            }
            // SAFETY: the word was made from this box, whose only owner it is.
            Kind::Boxed(boxed) => *unsafe { Box::from_raw(boxed.as_ptr()) },
        }
    }
}

impl Drop for OneWordWaker {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Count>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_waker_that_is_no_tasks_is_woken_or_dropped_once() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let (woken, dropped) = (OneWordWaker::new(waker.clone()), OneWordWaker::new(waker.clone()));
        assert_eq!(Arc::strong_count(&count), 4);
        assert!(!woken.will_wake(&waker), "it does not look into the box");
        woken.wake();
        drop(dropped);
        assert_eq!((count.0.load(Ordering::Relaxed), Arc::strong_count(&count)), (1, 2));
    }

    #[test]
    fn a_word_is_all_that_it_takes() {
        assert_eq!(size_of::<Option<OneWordWaker>>(), size_of::<usize>());
    }
}
