//! The queues of runnables: one per worker, from which the others steal, and the injector.
//!
//! They are `crossbeam-deque`'s. The model checkers cannot look into those, so the models use a
//! locked queue of the same shape: what they check is the protocol around the queues.

#[cfg(not(any(windlass_loom, windlass_shuttle)))]
mod imp {
    use crossbeam_deque::{Steal, Stealer, Worker};

    use crate::task::Runnable;

    /// The runnables of one worker, first in, first out, without limit.
    pub(crate) struct LocalQueue(Worker<Runnable>);

    /// The end of a [`LocalQueue`] that the other workers take from.
    pub(crate) struct QueueStealer(Stealer<Runnable>);

    /// The runnables that come from outside of the workers.
    pub(crate) struct Injector(crossbeam_deque::Injector<Runnable>);

    impl LocalQueue {
        pub(crate) fn new() -> LocalQueue {
            LocalQueue(Worker::new_fifo())
        }

        pub(crate) fn stealer(&self) -> QueueStealer {
            QueueStealer(self.0.stealer())
        }

        #[inline]
        pub(crate) fn push(&self, runnable: Runnable) {
            self.0.push(runnable);
        }

        #[inline]
        pub(crate) fn pop(&self) -> Option<Runnable> {
            self.0.pop()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }
    }

    impl QueueStealer {
        /// Moves up to half of the queue to `to` and gives back one.
        pub(crate) fn steal_into(&self, to: &LocalQueue) -> Option<Runnable> {
            settle(|| self.0.steal_batch_and_pop(&to.0))
        }

        /// Takes one.
        pub(crate) fn steal(&self) -> Option<Runnable> {
            settle(|| self.0.steal())
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.is_empty()
        }

        pub(crate) fn len(&self) -> usize {
            self.0.len()
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
            settle(|| self.0.steal_batch_and_pop(&to.0))
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
        pub(crate) fn new() -> LocalQueue {
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
