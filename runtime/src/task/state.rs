//! The state word of a task: one atomic that says who may touch the future, and how many references exist.
//!
//! ```text
//!            wake                   start_running                 complete
//!   IDLE ----------> NOTIFIED ----------------------> RUNNING ---------------> COMPLETE
//!    ^                  ^                              |   |
//!    |                  |  finish_pending, was woken   |   |
//!    |                  +------------------------------+   |
//!    +-----------------------------------------------------+
//!                          finish_pending
//!
//!   a new task ------> RUNNING, in a queue -----------> RUNNING
//!   RUNNING ------------^                 go_on_running
//!         finish_woken
//! ```
//!
//! - `RUNNING`: one thread has exclusive access to the stage (the future or its output). Set by
//!   [`State::start_running`] or [`State::shut_down`], cleared by whoever has it then. A new task is
//!   born with it, and one that wakes itself by reference in its poll, as by `yield_now`, keeps it: it
//!   goes through the queue with the [`Runnable`](super::Runnable), to the thread that takes that, so
//!   that neither the first poll nor yielding writes this word.
//! - `NOTIFIED`: a [`Runnable`](super::Runnable) exists, in some queue or in the hands of the thread
//!   that is about to queue it; or, while `RUNNING`, the task was woken during its poll and the
//!   thread that polls it must queue it again.
//! - `COMPLETE`: the future is gone. The stage belongs to the `JoinHandle` while `JOIN_INTEREST` is set.
//! - `ABORTED`: whoever has `RUNNING` next, or has it now, drops the future instead of polling it.
//! - `JOIN_INTEREST`: the `JoinHandle` is alive. It is the only one that clears this bit.
//! - `JOIN_WAKER`: the join waker's slot is filled and belongs to the thread that completes the task,
//!   which takes the waker and leaves the bit; while it is clear the slot belongs to the `JoinHandle`.
//! - the rest of the word counts references: the task itself, until it is complete, the `Runnable`, the
//!   `JoinHandle`, each `AbortHandle` and each `Waker` hold one. A reference keeps the memory, not the
//!   future. A word that counts none is that of free memory.
//!
//! Every change of a task is a read-modify-write. A plain store would end the release sequence of earlier
//! wake-ups, and the poll that follows would not see what the wakers' threads wrote. For the same
//! reason a wake-up that finds `NOTIFIED` already set still writes the word (with release): the poll
//! that is about to start acquires it. Checked by the models `wake_against_poll`,
//! `abort_against_complete`, `join_against_complete` in `crate::model`.

use crate::sync::atomic::{AtomicUsize, Ordering};

const RUNNING: usize = 1;
const NOTIFIED: usize = 1 << 1;
const COMPLETE: usize = 1 << 2;
const ABORTED: usize = 1 << 3;
const JOIN_INTEREST: usize = 1 << 4;
const JOIN_WAKER: usize = 1 << 5;
const REF_ONE: usize = 1 << 6;
const REF_MASK: usize = !(REF_ONE - 1);

/// Fresh tasks are in a `Runnable`, with `RUNNING`, are held by a `JoinHandle`, and by themselves.
const INITIAL: usize = RUNNING | JOIN_INTEREST | (3 * REF_ONE);

/// The atomic word. Release on every change, acquire on every read that leads to access.
pub(crate) struct State(AtomicUsize);

/// The word as it was at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(usize);

/// What the holder of a `Runnable` must do with it.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// Poll the future.
    Poll,
    /// Drop the future and complete as cancelled.
    Cancel,
    /// Somebody else has shut the task down: drop the `Runnable`'s reference.
    Stale,
}

/// What the thread that polled must do after `Pending`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// Nothing: the `Runnable`'s reference has been given back and others remain.
    Idle,
    /// Queue the `Runnable` again: the task was woken while it ran.
    Requeue,
    /// Queue the `Runnable` again, and `RUNNING` with it: the task has woken itself.
    GoOn,
    /// Drop the future: the task was aborted while it ran. `RUNNING` is still set.
    Cancel,
}

/// What a wake-up or an abort must do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// Nothing, somebody else has taken care of it.
    Done,
    /// Queue a `Runnable`; its reference is already counted.
    Submit,
    /// The reference given up was the last one: free the task.
    Free,
}

/// What the thread that completed a task must still do.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complete {
    /// Nothing: its references have been given back, and others remain.
    Done,
    /// The references given back were the last: free the task.
    Free,
    /// Take the join waker and wake it, then give the references back.
    WakeJoin,
    /// The `JoinHandle` is gone since the last look: drop the output, then give the references back.
    DropOutput,
}

/// What the `JoinHandle` must still do when it is dropped.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DropJoin {
    /// Nothing: its reference has been given back, and others remain.
    Done,
    /// Empty the slot of the join waker, then give the reference back.
    EmptySlot,
    /// Drop the output, empty the slot unless the completing thread does, then call
    /// [`State::leave_complete`].
    Complete { slot_is_ours: bool },
}

impl State {
    /// That of a block of memory in which no task is.
    pub(crate) fn blank() -> State {
        State(AtomicUsize::new(0))
    }

    /// A task is in the block now, all of it. Nobody changes a word that counts no reference but whoever
    /// has the block.
    #[inline]
    pub(crate) fn begin(&self) {
        debug_assert_eq!(self.0.load(Ordering::Relaxed) & REF_MASK, 0);
        self.0.store(INITIAL, Ordering::Release);
    }

    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Ordering::Acquire))
    }

    /// Applies `change` until it sticks. `change` returns the new word and what to do.
    #[inline(always)]
    fn update<R>(&self, mut change: impl FnMut(Snapshot) -> (usize, R)) -> R {
        let mut current = self.0.load(Ordering::Relaxed);
        loop {
            let (next, result) = change(Snapshot(current));
            match self.0.compare_exchange_weak(current, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return result,
                Err(actual) => current = actual,
            }
        }
    }

    /// `NOTIFIED` to `RUNNING`, by the holder of the `Runnable`.
    #[inline]
    pub(crate) fn start_running(&self) -> Start {
        self.update(|now| {
            debug_assert!(now.0 & NOTIFIED != 0 || now.0 & (RUNNING | COMPLETE) != 0);
            if now.0 & (RUNNING | COMPLETE) != 0 {
                // `shut_down` took the task from under the `Runnable`.
                return (now.0, Start::Stale);
            }
            let next = (now.0 & !NOTIFIED) | RUNNING;
            (next, if now.0 & ABORTED != 0 { Start::Cancel } else { Start::Poll })
        })
    }

    /// The `Runnable` was queued with `RUNNING`, and the task is about to be polled.
    ///
    /// If a wake-up has come meanwhile this poll is for it, and acquires what the waker's thread
    /// wrote. One that the load does not see yet is found by the next look at the word.
    #[inline]
    pub(crate) fn go_on_running(&self) -> Start {
        let mut now = self.0.load(Ordering::Acquire);
        if now & NOTIFIED != 0 {
            now = self.0.fetch_and(!NOTIFIED, Ordering::AcqRel);
        }
        debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
        if now & ABORTED != 0 { Start::Cancel } else { Start::Poll }
    }

    /// The poll returned `Pending`, and the task has woken itself meanwhile. An abort that the load
    /// does not see yet is found by the next poll's.
    #[inline]
    pub(crate) fn finish_woken(&self) -> Finish {
        let now = self.0.load(Ordering::Acquire);
        debug_assert!(now & RUNNING != 0 && now & COMPLETE == 0);
        if now & ABORTED != 0 { Finish::Cancel } else { Finish::GoOn }
    }

    /// The poll returned `Pending`; gives the `Runnable`'s reference back unless it is needed again.
    #[inline]
    pub(crate) fn finish_pending(&self) -> Finish {
        self.update(|now| {
            debug_assert!(now.0 & RUNNING != 0 && now.0 & COMPLETE == 0);
            if now.0 & ABORTED != 0 {
                return (now.0, Finish::Cancel);
            }
            if now.0 & NOTIFIED != 0 {
                return (now.0 & !RUNNING, Finish::Requeue);
            }
            let next = (now.0 & !RUNNING) - REF_ONE;
            debug_assert!(next & REF_MASK != 0, "the task has a reference of its own");
            (next, Finish::Idle)
        })
    }

    /// `RUNNING` to `COMPLETE`, after the stage holds the output, or what is left if `is_unread`: the
    /// caller found no `JoinHandle`, and dropped it. Gives back `references`, unless there is more to do.
    #[inline]
    pub(crate) fn complete(&self, is_unread: bool, references: usize) -> Complete {
        self.update(|now| {
            debug_assert!(now.0 & RUNNING != 0 && now.0 & COMPLETE == 0);
            debug_assert!(!(is_unread && now.has_join_interest()));
            let complete = now.0 ^ (RUNNING | COMPLETE);
            if now.has_join_waker() {
                return (complete, Complete::WakeJoin);
            }
            if !is_unread && !now.has_join_interest() {
                return (complete, Complete::DropOutput);
            }
            let next = complete - references * REF_ONE;
            (next, if next & REF_MASK == 0 { Complete::Free } else { Complete::Done })
        })
    }

    /// A wake-up by reference.
    #[inline]
    pub(crate) fn wake_by_ref(&self) -> Wake {
        self.update(|now| {
            if now.0 & COMPLETE != 0 {
                (now.0, Wake::Done)
            } else if now.0 & (RUNNING | NOTIFIED) != 0 {
                (now.0 | NOTIFIED, Wake::Done)
            } else {
                (now.add_ref() | NOTIFIED, Wake::Submit)
            }
        })
    }

    /// A wake-up that consumes the waker's reference, or hands it to the new `Runnable`.
    #[inline]
    pub(crate) fn wake_by_value(&self) -> Wake {
        self.update(|now| {
            let idle = now.0 & (RUNNING | NOTIFIED | COMPLETE) == 0;
            if idle {
                return (now.0 | NOTIFIED, Wake::Submit);
            }
            let bits = if now.0 & COMPLETE != 0 { 0 } else { NOTIFIED };
            let next = (now.0 | bits) - REF_ONE;
            (next, if next & REF_MASK == 0 { Wake::Free } else { Wake::Done })
        })
    }

    /// Asks for the future to be dropped by whoever runs the task next.
    pub(crate) fn abort(&self) -> Wake {
        self.update(|now| {
            if now.0 & (COMPLETE | ABORTED) != 0 {
                (now.0, Wake::Done)
            } else if now.0 & (RUNNING | NOTIFIED) != 0 {
                (now.0 | ABORTED, Wake::Done)
            } else {
                (now.add_ref() | ABORTED | NOTIFIED, Wake::Submit)
            }
        })
    }

    /// Takes the task for its owner, who is shutting down, and counts a reference for that. True: the
    /// caller has both, and `RUNNING`, and must cancel the task. False: somebody else has it, who will
    /// find `ABORTED`, or it is complete, or there is none.
    pub(crate) fn shut_down(&self) -> bool {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let is_running = now & RUNNING != 0;
            if now & REF_MASK == 0 || now & COMPLETE != 0 || is_running && now & ABORTED != 0 {
                return false;
            }
            let next = if is_running { now } else { Snapshot(now).add_ref() | RUNNING } | ABORTED;
            match self.0.compare_exchange_weak(now, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return !is_running,
                Err(actual) => now = actual,
            }
        }
    }

    /// The `JoinHandle` goes away. Before the completion that is one change: the slot is empty while
    /// `JOIN_WAKER` is clear, and comes back to the handle when this clears it. A complete task is
    /// left as it is, since its output is the handle's.
    #[inline]
    pub(crate) fn drop_join(&self) -> DropJoin {
        let now = self.load();
        if now.is_complete() {
            return DropJoin::Complete { slot_is_ours: !now.has_join_waker() };
        }
        self.update(|now| {
            debug_assert!(now.has_join_interest());
            if now.is_complete() {
                return (now.0, DropJoin::Complete { slot_is_ours: !now.has_join_waker() });
            }
            let next = now.0 & !JOIN_INTEREST;
            if now.has_join_waker() {
                return (next & !JOIN_WAKER, DropJoin::EmptySlot);
            }
            let next = next - REF_ONE;
            debug_assert!(next & REF_MASK != 0, "the task has a reference of its own");
            (next, DropJoin::Done)
        })
    }

    /// The `JoinHandle` of a complete task has dropped the output and gives its reference back.
    /// True: it was the last one.
    #[inline]
    pub(crate) fn leave_complete(&self) -> bool {
        let before = self.0.fetch_sub(JOIN_INTEREST | REF_ONE, Ordering::AcqRel);
        debug_assert!(before & COMPLETE != 0 && before & JOIN_INTEREST != 0);
        before & REF_MASK == REF_ONE
    }

    /// The `JoinHandle` has filled the waker's slot. False: the task has completed meanwhile and
    /// the slot still belongs to the handle.
    pub(crate) fn set_join_waker(&self) -> bool {
        self.update(|now| {
            debug_assert!(now.0 & JOIN_INTEREST != 0 && now.0 & JOIN_WAKER == 0);
            let complete = now.0 & COMPLETE != 0;
            (if complete { now.0 } else { now.0 | JOIN_WAKER }, !complete)
        })
    }

    /// The `JoinHandle` takes the waker's slot back to change it. False: the task has completed.
    pub(crate) fn take_join_waker(&self) -> bool {
        self.update(|now| {
            debug_assert!(now.0 & JOIN_INTEREST != 0 && now.0 & JOIN_WAKER != 0);
            let complete = now.0 & COMPLETE != 0;
            (if complete { now.0 } else { now.0 & !JOIN_WAKER }, !complete)
        })
    }

    pub(crate) fn add_ref(&self) {
        // Relaxed: a new reference is made from one that its holder already has.
        let before = self.0.fetch_add(REF_ONE, Ordering::Relaxed);
        abort_on_overflow(before);
    }

    /// True: this was the last reference.
    #[inline]
    pub(crate) fn drop_ref(&self) -> bool {
        self.drop_refs(1)
    }

    /// True: these were the last references.
    #[inline]
    pub(crate) fn drop_refs(&self, references: usize) -> bool {
        let before = self.0.fetch_sub(references * REF_ONE, Ordering::AcqRel);
        debug_assert!(before & REF_MASK >= references * REF_ONE);
        before & REF_MASK == references * REF_ONE
    }
}

impl Snapshot {
    pub(crate) fn is_complete(self) -> bool {
        self.0 & COMPLETE != 0
    }

    pub(crate) fn has_join_interest(self) -> bool {
        self.0 & JOIN_INTEREST != 0
    }

    pub(crate) fn has_join_waker(self) -> bool {
        self.0 & JOIN_WAKER != 0
    }

    #[cfg(all(test, not(windlass_loom)))]
    pub(crate) fn references(self) -> usize {
        (self.0 & REF_MASK) / REF_ONE
    }

    fn add_ref(self) -> usize {
        abort_on_overflow(self.0);
        self.0 + REF_ONE
    }
}

/// Half the range is left as a margin: no number of racing threads gets from here to a wrap.
fn abort_on_overflow(before: usize) {
    if before > isize::MAX as usize {
        std::process::abort();
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.load().fmt(f)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = [
            (RUNNING, "RUNNING"),
            (NOTIFIED, "NOTIFIED"),
            (COMPLETE, "COMPLETE"),
            (ABORTED, "ABORTED"),
            (JOIN_INTEREST, "JOIN_INTEREST"),
            (JOIN_WAKER, "JOIN_WAKER"),
        ];
        let set = names.iter().filter(|(bit, _)| self.0 & bit != 0).map(|(_, name)| name);
        f.debug_set().entries(set).entry(&(self.0 / REF_ONE)).finish()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests;
