//! Which worker this thread is.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Shared;
use super::worker::Worker;
use crate::coop;
use crate::sync::thread_local_const;

thread_local_const! {
    /// The worker that this thread is, as long as it is one.
    static WORKER: RefCell<Option<Rc<Worker>>> = RefCell::new(None);
}

/// Runs `f` with this thread's worker, if it is one. `f` runs no foreign code.
#[inline]
pub(super) fn with_current<R>(f: impl FnOnce(Option<&Worker>) -> R) -> R {
    let mut f = Some(f);
    let result = WORKER.try_with(|worker| {
        let f = f.take().expect("it is called once");
        match worker.try_borrow() {
            Ok(worker) => f(worker.as_deref()),
            Err(_) => f(None),
        }
    });
    match result {
        Ok(result) => result,
        Err(_) => f.take().expect("`try_with` has not called it")(None),
    }
}

/// This thread's worker, if it is one of `shared`'s. The reference ends before the call that asked.
#[inline]
pub(super) fn current_of(shared: &Arc<Shared>) -> Option<Rc<Worker>> {
    let is_its_own = |worker: &&Rc<Worker>| Arc::ptr_eq(&worker.shared, shared);
    let current = |worker: &RefCell<Option<Rc<Worker>>>| {
        worker.try_borrow().ok()?.as_ref().filter(is_its_own).cloned()
    };
    WORKER.try_with(current).ok().flatten()
}

/// This thread's worker, of whatever runtime. The reference ends before the call that asked.
pub(super) fn current() -> Option<Rc<Worker>> {
    WORKER.try_with(|worker| worker.try_borrow().ok()?.clone()).ok().flatten()
}

/// The index of the worker that this thread is, of whatever runtime.
pub(crate) fn is_worker() -> Option<usize> {
    with_current(|worker| worker.map(|worker| worker.index))
}

/// Makes this thread `worker`, or none, and returns which one it was. In the destructor of a
/// thread-local it cannot become a worker.
pub(super) fn replace_current(worker: Option<Rc<Worker>>) -> Option<Rc<Worker>> {
    let before = WORKER.try_with(|current| current.replace(worker)).ok().flatten();
    // What has been counted on this thread is that of the worker that it was, or nobody's.
    match &before {
        Some(before) => before.remote().metrics.publish_forced_yields(),
        None => drop(coop::take_forced_yields()),
    }
    before
}
