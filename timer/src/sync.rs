//! The concurrency primitives of this crate: parking_lot and std, or loom's under `windlass_loom`.
//!
//! `Arc` is std's in both: loom need not see reference counts, and a `Weak` has no twin there.

#[cfg(windlass_loom)]
pub(crate) use self::modelled::*;
#[cfg(not(windlass_loom))]
pub(crate) use self::native::*;

#[cfg(not(windlass_loom))]
mod native {
    pub(crate) use parking_lot::Mutex;
    pub(crate) use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// A thread-local whose first value costs nothing to make.
    macro_rules! thread_local_const {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
            std::thread_local! { $(#[$attribute])* static $name: $type = const { $value }; }
        };
    }
    pub(crate) use thread_local_const;
}

#[cfg(windlass_loom)]
mod modelled {
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// loom's mutex in the shape of parking_lot's.
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model stops at its first panic, so no lock is poisoned")
        }
    }

    macro_rules! thread_local_const {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
            loom::thread_local! { $(#[$attribute])* static $name: $type = $value; }
        };
    }
    pub(crate) use thread_local_const;
}
