//! The locks and atomics of the crate: the real ones, or a model checker's: loom's under
//! `--cfg windlass_loom`, shuttle's under `--cfg windlass_shuttle`.

#[cfg(not(any(windlass_loom, windlass_shuttle)))]
pub(crate) use parking_lot::{Mutex, MutexGuard};
#[cfg(not(any(windlass_loom, windlass_shuttle)))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

#[cfg(any(windlass_loom, windlass_shuttle))]
pub(crate) use self::modelled::*;

#[cfg(any(windlass_loom, windlass_shuttle))]
mod modelled {
    #[cfg(windlass_loom)]
    use loom as checker;
    #[cfg(windlass_shuttle)]
    use shuttle as checker;

    pub(crate) use checker::sync::MutexGuard;
    pub(crate) use checker::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

    /// The checker's mutex behind the interface of parking_lot's, which knows no poison.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Mutex<T> {
            Mutex::new(T::default())
        }
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(checker::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model that panics under a lock has failed already")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}

#[cfg(not(windlass_shuttle))]
macro_rules! thread_local_const {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        std::thread_local! { $(#[$attribute])* static $name: $type = const { $value }; }
    };
}
#[cfg(windlass_shuttle)]
macro_rules! thread_local_const {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        shuttle::thread_local! { $(#[$attribute])* static $name: $type = $value; }
    };
}
/// A thread-local whose first value costs nothing to make.
pub(crate) use thread_local_const;
