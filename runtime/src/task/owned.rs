//! The lists of live tasks, kept so that shutdown can drop every future.
//!
//! A task enters one when it is about to be idle for the first time. Until then it is being polled, or
//! its `Runnable` is in some queue, and whoever empties that drops the future: so a task that ends
//! with its first poll, or that only ever yields, is never listed.

use std::ptr::NonNull;

use crossbeam_utils::CachePadded;

use super::header::{Header, Links, TaskRef};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Every task of one scheduler that has been idle, in one intrusive list per shard.
///
/// A worker binds what it polls to its own shard, so that the lock is uncontended unless a task
/// ends on another worker. The list holds one reference to each task in it.
pub(crate) struct OwnedTasks {
    shards: Box<[CachePadded<Shard>]>,
}

struct Shard {
    list: Mutex<List>,
    /// The length of the list, written under its lock, read without it: relaxed, a number on its own
    /// that publishes nothing.
    len: AtomicUsize,
}

#[derive(Default)]
struct List {
    head: Option<NonNull<Header>>,
    is_closed: bool,
}

// SAFETY: the pointers of a list are counted references to tasks, which are `Send`.
unsafe impl Send for List {}

impl OwnedTasks {
    pub(crate) fn new(shards: usize) -> OwnedTasks {
        let shard = || Shard { list: Mutex::new(List::default()), len: AtomicUsize::new(0) };
        OwnedTasks { shards: (0..shards).map(|_| CachePadded::new(shard())).collect() }
    }

    /// Binds a task to `shard`. The caller has `RUNNING`.
    ///
    /// # Errors
    /// When the list is closed: the task.
    pub(crate) fn bind(&self, task: TaskRef, shard: usize) -> Result<(), TaskRef> {
        task.header().shard.store(shard as u32, Ordering::Relaxed);
        let shard = &self.shards[shard];
        let mut list = shard.list.lock();
        if list.is_closed {
            return Err(task);
        }
        list.push(task);
        let len = shard.len.load(Ordering::Relaxed);
        shard.len.store(len + 1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes a task out that was bound, and with it the list's reference. `None`: somebody else has
    /// taken it out. The caller has `RUNNING`.
    pub(crate) fn remove(&self, task: &TaskRef) -> Option<TaskRef> {
        let shard = &self.shards[task.header().shard()];
        let mut list = shard.list.lock();
        let task = list.unlink(task.as_ptr())?;
        let len = shard.len.load(Ordering::Relaxed);
        shard.len.store(len - 1, Ordering::Relaxed);
        Some(task)
    }

    /// Refuses tasks that would enter `shard`.
    pub(crate) fn close(&self, shard: usize) {
        self.shards[shard].list.lock().is_closed = true;
    }

    /// Closes `shard` and drops the future of each of its tasks on this thread, except of those
    /// that another thread polls at this moment, or that are in a queue with their runnables: who
    /// polls or takes them drops them.
    pub(crate) fn close_and_shut_down(&self, shard: usize) {
        self.close(shard);
        loop {
            // One at a time, because a future's `Drop` may spawn, abort and wake.
            let mut list = self.shards[shard].list.lock();
            let Some(head) = list.head else { return };
            let task = list.unlink(head).expect("the head is in the list");
            let len = self.shards[shard].len.load(Ordering::Relaxed);
            self.shards[shard].len.store(len - 1, Ordering::Relaxed);
            drop(list);
            task.shut_down();
        }
    }

    /// Whether no task is in any list. Relaxed, a hint to all but the thread that binds and removes.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.len.load(Ordering::Relaxed) == 0)
    }
}

impl Drop for OwnedTasks {
    fn drop(&mut self) {
        for shard in 0..self.shards.len() {
            self.close_and_shut_down(shard);
        }
    }
}

impl List {
    fn push(&mut self, task: TaskRef) {
        let node = task.into_raw();
        let old_head = self.head.replace(node);
        Self::links(node, |links| links.next = old_head);
        if let Some(next) = old_head {
            Self::links(next, |links| links.previous = Some(node));
        }
    }

    /// `node` is a task that the caller holds a reference to, or one that is in this list.
    fn unlink(&mut self, node: NonNull<Header>) -> Option<TaskRef> {
        let links = Self::links(node, std::mem::take);
        match links.previous {
            Some(previous) => Self::links(previous, |links_before| links_before.next = links.next),
            None if self.head == Some(node) => self.head = links.next,
            None => return None,
        }
        if let Some(next) = links.next {
            Self::links(next, |links_after| links_after.previous = links.previous);
        }
        // SAFETY: the task was in the list, whose reference the caller takes over.
        Some(unsafe { TaskRef::from_raw(node) })
    }

    /// Reads or writes the links of a task, under the list's lock.
    fn links<R>(node: NonNull<Header>, f: impl FnOnce(&mut Links) -> R) -> R {
        // SAFETY: callers pass tasks that are in the list, or that they have a reference to.
        let header = unsafe { node.as_ref() };
        header.links.with_mut(|links| {
            // SAFETY: links are only touched by the methods of `List`, each under the lock.
            f(unsafe { &mut *links })
        })
    }
}
