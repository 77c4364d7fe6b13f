//! The task that this thread polls, or whose future it drops.

use std::cell::Cell;
use std::panic::Location;
use std::ptr::{self, NonNull};

use super::Id;
use super::header::{Facts, Header};
use crate::sync::thread_local_of_a_model;

/// What others may know of the current task.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    pub(crate) id: Id,
    pub(crate) spawned_at: &'static Location<'static>,
    pub(crate) is_named: bool,
}

struct Place {
    /// Null, or the task for which the innermost [`CurrentGuard`] of this thread was made.
    task: Cell<*const Header>,
    /// Whether that task was woken by reference on this thread since then.
    is_woken: Cell<bool>,
}

thread_local_of_a_model! {
    static PLACE: Place = Place { task: Cell::new(ptr::null()), is_woken: Cell::new(false) };
}

impl Current {
    /// Makes a task the current one of this thread, until the guard is dropped.
    ///
    /// # Safety
    /// `task` points to a task whose header is there until the guard is dropped, or until the last
    /// foreign code before that has run.
    #[inline]
    pub(super) unsafe fn enter(task: NonNull<Header>) -> CurrentGuard {
        PLACE.with(|place| CurrentGuard {
            outer: place.task.replace(task.as_ptr()),
            was_woken: place.is_woken.replace(false),
        })
    }

    pub(crate) fn get() -> Option<Current> {
        let task = PLACE.try_with(|place| place.task.get()).ok()?;
        // SAFETY: null, or entered by a guard that is still there, and this is asked by foreign code
        // or for it: the header is there as well.
        let task = unsafe { task.as_ref() }?;
        let Facts { id, spawned_at, is_named, .. } = task.facts;
        Some(Current { id, spawned_at, is_named })
    }
}

/// Notes that `task` was woken by reference, if it is the current one of this thread: then the
/// thread that polls it is this one, which sees the note when the poll is over, and nobody else
/// needs to know.
#[inline]
pub(super) fn is_woken_by_itself(task: NonNull<Header>) -> bool {
    let note = |place: &Place| {
        let is_current = ptr::eq(place.task.get(), task.as_ptr());
        if is_current {
            place.is_woken.set(true);
        }
        is_current
    };
    PLACE.try_with(note).unwrap_or(false)
}

/// Restores what was current before, which is another task when tasks nest.
pub(super) struct CurrentGuard {
    outer: *const Header,
    was_woken: bool,
}

impl CurrentGuard {
    /// Whether the task was woken by reference on this thread since it was entered.
    #[inline]
    pub(super) fn has_woken_itself(&self) -> bool {
        PLACE.with(|place| place.is_woken.get())
    }
}

impl Drop for CurrentGuard {
    #[inline]
    fn drop(&mut self) {
        PLACE.with(|place| {
            place.task.set(self.outer);
            place.is_woken.set(self.was_woken);
        });
    }
}
