//! A place for one `Runnable`, readable by other threads.

use std::ptr::{self, NonNull};

use super::Runnable;
use super::header::Header;
use crate::sync::atomic::{AtomicPtr, Ordering};

/// At most one `Runnable`, put there by a worker and taken by it or, when it is stuck, by others.
///
/// The word is null or a `Runnable::into_raw`. Every access that moves a runnable is a swap, so one
/// thread gets it; release and acquire carry what the putting thread wrote to the task.
pub(crate) struct Slot(AtomicPtr<Header>);

impl Slot {
    pub(crate) fn new() -> Slot {
        Slot(AtomicPtr::new(ptr::null_mut()))
    }

    /// Puts `runnable` in and gives back what was there.
    #[inline]
    pub(crate) fn replace(&self, runnable: Runnable) -> Option<Runnable> {
        Self::own(self.0.swap(runnable.into_raw().as_ptr(), Ordering::AcqRel))
    }

    #[inline]
    pub(crate) fn take(&self) -> Option<Runnable> {
        // An empty slot is the common case and costs no locked instruction.
        if self.is_empty() {
            return None;
        }
        Self::own(self.0.swap(ptr::null_mut(), Ordering::Acquire))
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    #[inline]
    fn own(raw: *mut Header) -> Option<Runnable> {
        // SAFETY: a non-null word came from `into_raw`, and the swap took it out for us alone.
        NonNull::new(raw).map(|header| unsafe { Runnable::from_raw(header) })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.take());
    }
}
