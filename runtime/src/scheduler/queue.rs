//! The queues of runnables: one per worker, from which the others steal, and the injector.
//!
//! They are `crossbeam-deque`'s, but for a worker without peers, whose queue nobody else takes from.
//! The model checkers cannot look into those, so the models use a locked queue of the same shape:
//! what they check is the protocol around the queues.

#[cfg(not(any(windlass_loom, windlass_shuttle)))]
mod imp {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crossbeam_deque::{Steal, Stealer, Worker};

    use crate::task::Runnable;

    /// The runnables of one worker, first in, first out, without limit.
    pub(crate) enum LocalQueue {
        Shared(Worker<Runnable>),
        Alone(Alone),
    }

    /// A queue without thieves, and so without atomic read-modify-writes.
    pub(crate) struct Alone {
        runnables: RefCell<VecDeque<Runnable>>,
        /// For others to read. Written by the owner alone; relaxed, a hint.
        len: Arc<AtomicUsize>,
    }

    /// The end of a [`LocalQueue`] that the other workers take from.
    pub(crate) enum QueueStealer {
        Shared(Stealer<Runnable>),
        /// Nothing to take, only to see how many there are.
        Alone(Arc<AtomicUsize>),
    }

    /// The runnables that come from outside of the workers.
    pub(crate) struct Injector(crossbeam_deque::Injector<Runnable>);

    /// A queue without thieves that was four times as long, and shrinks to this, gives memory back:
    /// a burst of a million runnables takes 8 MiB.
    const KEPT: usize = 1024;

    /// How many at most a worker without peers takes from the injector at once: as many as
    /// `crossbeam-deque` moves.
    const BATCH: usize = 32;

    impl LocalQueue {
        pub(crate) fn new(has_peers: bool) -> LocalQueue {
            match has_peers {
                true => LocalQueue::Shared(Worker::new_fifo()),
                false => {
                    LocalQueue::Alone(Alone { runnables: RefCell::default(), len: Arc::default() })
                }
            }
        }

        pub(crate) fn stealer(&self) -> QueueStealer {
            match self {
                LocalQueue::Shared(queue) => QueueStealer::Shared(queue.stealer()),
                LocalQueue::Alone(queue) => QueueStealer::Alone(queue.len.clone()),
            }
        }

        #[inline]
        pub(crate) fn push(&self, runnable: Runnable) {
            match self {
                LocalQueue::Shared(queue) => queue.push(runnable),
                LocalQueue::Alone(queue) => queue.push(runnable),
            }
        }

        #[inline]
        pub(crate) fn pop(&self) -> Option<Runnable> {
            match self {
                LocalQueue::Shared(queue) => queue.pop(),
                LocalQueue::Alone(queue) => queue.pop(),
            }
        }

        #[inline]
        pub(crate) fn is_empty(&self) -> bool {
            match self {
                LocalQueue::Shared(queue) => queue.is_empty(),
                LocalQueue::Alone(queue) => queue.runnables.borrow().is_empty(),
            }
        }
    }

    impl Alone {
        #[inline(always)]
        fn push(&self, runnable: Runnable) {
            let mut runnables = self.runnables.borrow_mut();
            runnables.push_back(runnable);
            self.len.store(runnables.len(), Ordering::Relaxed);
        }

        #[inline]
        fn pop(&self) -> Option<Runnable> {
            let mut runnables = self.runnables.borrow_mut();
            let runnable = runnables.pop_front()?;
            let len = runnables.len();
            self.len.store(len, Ordering::Relaxed);
            if len == KEPT {
                give_memory_back(&mut runnables);
            }
            Some(runnable)
        }
    }

    #[cold]
    fn give_memory_back(runnables: &mut VecDeque<Runnable>) {
        if runnables.capacity() >= 4 * KEPT {
            runnables.shrink_to(2 * KEPT);
        }
    }

    impl QueueStealer {
        /// Moves up to half of the queue to `to` and gives back one.
        pub(crate) fn steal_into(&self, to: &LocalQueue) -> Option<Runnable> {
            match (self, to) {
                (QueueStealer::Shared(from), LocalQueue::Shared(to)) => {
                    settle(|| from.steal_batch_and_pop(to))
                }
                _ => None,
            }
        }

        /// Takes one.
        pub(crate) fn steal(&self) -> Option<Runnable> {
            match self {
                QueueStealer::Shared(queue) => settle(|| queue.steal()),
                QueueStealer::Alone(_) => None,
            }
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(crate) fn len(&self) -> usize {
            match self {
                QueueStealer::Shared(queue) => queue.len(),
                QueueStealer::Alone(len) => len.load(Ordering::Relaxed),
            }
        }
    }

    impl Injector {
        pub(crate) fn new() -> Injector {
            Injector(crossbeam_deque::Injector::new())
        }

        pub(crate) fn push(&self, runnable: Runnable) {
            self.0.push(runnable);
        }

        pub(crate) fn pop(&self) -> Option<Runnable> {
            settle(|| self.0.steal())
        }

        /// Moves a batch to `to` and gives back one.
        pub(crate) fn pop_into(&self, to: &LocalQueue) -> Option<Runnable> {
            match to {
                LocalQueue::Shared(to) => settle(|| self.0.steal_batch_and_pop(to)),
                LocalQueue::Alone(to) => {
                    let first = self.pop()?;
                    for _ in 1..BATCH {
                        let Some(runnable) = self.pop() else { break };
                        to.push(runnable);
                    }
                    Some(first)
                }
            }
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
        }
    }

    /// `Retry` means that another thread got something, so this ends.
    fn settle(mut attempt: impl FnMut() -> Steal<Runnable>) -> Option<Runnable> {
        loop {
            match attempt() {
                Steal::Success(runnable) => return Some(runnable),
                Steal::Empty => return None,
                Steal::Retry => {}
            }
        }
    }
}

#[cfg(any(windlass_loom, windlass_shuttle))]
mod imp {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use crate::sync::Mutex;
    use crate::task::Runnable;

    pub(crate) struct LocalQueue(Arc<Mutex<VecDeque<Runnable>>>);
    pub(crate) struct QueueStealer(Arc<Mutex<VecDeque<Runnable>>>);
    pub(crate) struct Injector(Mutex<VecDeque<Runnable>>);

    impl LocalQueue {
        pub(crate) fn new(_has_peers: bool) -> LocalQueue {
            LocalQueue(Arc::new(Mutex::new(VecDeque::new())))
        }

        pub(crate) fn stealer(&self) -> QueueStealer {
            QueueStealer(self.0.clone())
        }

        pub(crate) fn push(&self, runnable: Runnable) {
            self.0.lock().push_back(runnable);
        }

        pub(crate) fn pop(&self) -> Option<Runnable> {
            self.0.lock().pop_front()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }
    }

    impl QueueStealer {
        pub(crate) fn steal_into(&self, to: &LocalQueue) -> Option<Runnable> {
            move_half(&self.0, to)
        }

        pub(crate) fn steal(&self) -> Option<Runnable> {
            self.0.lock().pop_front()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }

    impl Injector {
        pub(crate) fn new() -> Injector {
            Injector(Mutex::new(VecDeque::new()))
        }

        pub(crate) fn push(&self, runnable: Runnable) {
            self.0.lock().push_back(runnable);
        }

        pub(crate) fn pop(&self) -> Option<Runnable> {
            self.0.lock().pop_front()
        }

        pub(crate) fn pop_into(&self, to: &LocalQueue) -> Option<Runnable> {
            move_half(&self.0, to)
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.lock().len()
        }
    }

    /// Moves up to half of `from` to `to` and gives back one. As in the real queues, what is on the
    /// way is in neither for a moment.
    fn move_half(from: &Mutex<VecDeque<Runnable>>, to: &LocalQueue) -> Option<Runnable> {
        let mut batch = {
            let mut from = from.lock();
            let half = from.len().div_ceil(2);
            from.drain(..half).collect::<VecDeque<_>>()
        };
        let first = batch.pop_front();
        if !batch.is_empty() {
            to.0.lock().append(&mut batch);
        }
        first
    }
}

pub(crate) use imp::*;
