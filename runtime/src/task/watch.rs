//! What one thread polls at the moment, for others to see.

use std::panic::Location;
use std::ptr;

use super::Id;
use super::header::Header;
use crate::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The poll that a thread is in, published by that thread alone, with plain stores.
///
/// It is a sequence lock whose counter is `phase`. The thread that polls writes, in this order: an
/// even `phase`, the task, an odd `phase`; each with release, which costs nothing on x86. A reader
/// that finds the same odd `phase` before and after it reads the task (acquire) has the task of
/// that poll: had it seen a later poll's task, it would see the even `phase` before it too.
pub(crate) struct Watch {
    /// Twice the number of polls begun, and of drops without a poll, less one while one is under way.
    phase: AtomicU64,
    /// The number of the task; zero, which no task has, for the future of a `block_on`.
    task: AtomicU64,
    spawned_at: AtomicPtr<Location<'static>>,
    /// How many of the polls were of tasks. Written by the polling thread; relaxed, a number on its
    /// own.
    polls: AtomicU64,
    /// How many tasks were complete after a poll on this thread. Written by it, with release: see
    /// [`Watch::ended`].
    ended: AtomicU64,
    /// The `phase` of the poll that a monitor found slow last. Written by the monitor, read by the
    /// polling thread after the poll, and by workers that may steal meanwhile; relaxed, since a mark
    /// that comes a poll late does no harm.
    slow: AtomicU64,
}

/// Ends a poll when it is dropped.
pub(super) struct EndLater<'a>(&'a Watch);

impl Drop for EndLater<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The poll that a [`Watch`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) phase: u64,
    /// `None`: it is the future of a `block_on`.
    pub(crate) task: Option<Id>,
    pub(crate) spawned_at: &'static Location<'static>,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch {
            phase: AtomicU64::new(0),
            task: AtomicU64::new(0),
            spawned_at: AtomicPtr::new(ptr::null_mut()),
            polls: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            // No phase of a poll: those are odd.
            slow: AtomicU64::new(u64::MAX - 1),
        }
    }

    /// A poll of `task` begins on this thread.
    #[inline]
    pub(super) fn begin_poll(&self, task: &Header) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.begin_drop(task);
    }

    /// The future of `task` is about to be dropped on this thread. In all but its count that is a poll.
    #[inline]
    pub(super) fn begin_drop(&self, task: &Header) {
        self.begin(task.facts.id.as_u64(), task.facts.spawned_at);
    }

    /// A poll of the future of a `block_on` begins on this thread.
    pub(crate) fn begin_root(&self, called_at: &'static Location<'static>) {
        self.begin(0, called_at);
    }

    #[inline]
    fn begin(&self, task: u64, spawned_at: &'static Location<'static>) {
        self.task.store(task, Ordering::Release);
        self.spawned_at.store(ptr::from_ref(spawned_at).cast_mut(), Ordering::Release);
        let phase = self.phase.load(Ordering::Relaxed);
        self.phase.store(phase + 1, Ordering::Release);
    }

    /// The poll is over. True: it was found slow.
    #[inline]
    pub(crate) fn end(&self) -> bool {
        let phase = self.phase.load(Ordering::Relaxed);
        self.phase.store(phase + 1, Ordering::Release);
        self.slow.load(Ordering::Relaxed) == phase
    }

    /// The poll is over when what is returned is dropped.
    #[inline]
    pub(super) fn end_later(&self) -> EndLater<'_> {
        EndLater(self)
    }

    /// Whether the poll under way was found slow. Any thread may ask.
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) == self.phase.load(Ordering::Relaxed)
    }

    /// Whether the poll that ended last was found slow. For the polling thread.
    #[inline]
    pub(crate) fn last_was_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed) + 1 == self.phase.load(Ordering::Relaxed)
    }

    /// How many polls of tasks have begun.
    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Relaxed)
    }

    /// A task is about to be complete, after a poll on this thread.
    #[inline]
    pub(crate) fn count_end(&self) {
        self.ended.store(self.ended.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    /// How many tasks were complete after a poll. Acquires: whoever reads this and then how many were
    /// spawned finds each of those among these.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether a poll is under way. Any thread may ask.
    pub(crate) fn is_in_poll(&self) -> bool {
        self.phase.load(Ordering::Relaxed) % 2 == 1
    }

    /// The poll under way, if there is one. Any thread may ask.
    pub(crate) fn read(&self) -> Option<Watched> {
        let phase = self.phase.load(Ordering::Acquire);
        if phase % 2 == 0 {
            return None;
        }
        let task = self.task.load(Ordering::Acquire);
        let spawned_at = self.spawned_at.load(Ordering::Acquire);
        if self.phase.load(Ordering::Relaxed) != phase {
            return None;
        }
        // SAFETY: the pointer was made from a `&'static Location` in `begin`, and an odd phase says
        // that it was stored.
        let spawned_at = unsafe { spawned_at.as_ref() }?;
        let task = (task != 0).then_some(Id(task));
        Some(Watched { phase, task, spawned_at })
    }

    /// Tells the thread that this poll, if it still is in it, is a slow one.
    pub(crate) fn mark_slow(&self, poll: &Watched) {
        self.slow.store(poll.phase, Ordering::Relaxed);
    }
}
