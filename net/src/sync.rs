//! The locks and atomics of the crate: the real ones, or loom's under `--cfg windlass_loom`.

#[cfg(not(windlass_loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(windlass_loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

#[cfg(windlass_loom)]
pub(crate) use loom::sync::MutexGuard;
#[cfg(windlass_loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// Loom's mutex behind the interface of parking_lot's, which knows no poison.
#[cfg(windlass_loom)]
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(windlass_loom)]
impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

#[cfg(windlass_loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a model that panics under a lock has failed already")
    }

    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock().ok()
    }
}
