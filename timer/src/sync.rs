//! The concurrency primitives of this crate: parking_lot and std, or a model checker's: loom's under
//! `windlass_loom`, shuttle's under `windlass_shuttle`.
//!
//! `Arc` is always std's: the checkers need not see reference counts, and a `Weak` has no twin there.

#[cfg(any(windlass_loom, windlass_shuttle))]
pub(crate) use self::modelled::*;
#[cfg(not(any(windlass_loom, windlass_shuttle)))]
pub(crate) use self::native::*;
#[cfg(windlass_shuttle)]
pub use self::time::pass;
pub(crate) use self::time::system_now;

#[cfg(not(any(windlass_loom, windlass_shuttle)))]
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

#[cfg(any(windlass_loom, windlass_shuttle))]
mod modelled {
    #[cfg(windlass_loom)]
    use loom as checker;
    #[cfg(windlass_shuttle)]
    use shuttle as checker;

    pub(crate) use checker::sync::MutexGuard;
    pub(crate) use checker::sync::atomic::{AtomicU8, AtomicU64, Ordering};

    /// The checker's mutex in the shape of parking_lot's.
    pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(checker::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("a model stops at its first panic, so no lock is poisoned")
        }
    }

    #[cfg(windlass_loom)]
    macro_rules! thread_local_const {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
            loom::thread_local! { $(#[$attribute])* static $name: $type = $value; }
        };
    }
    #[cfg(windlass_shuttle)]
    macro_rules! thread_local_const {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
            shuttle::thread_local! { $(#[$attribute])* static $name: $type = $value; }
        };
    }
    pub(crate) use thread_local_const;
}

#[cfg(not(windlass_shuttle))]
mod time {
    /// What the system's monotonic clock shows.
    pub(crate) fn system_now() -> std::time::Instant {
        std::time::Instant::now()
    }
}

/// A model must take the same way each time that it is run with the same schedule, so its time is
/// not the system's: it goes on only where a thread has waited for that.
#[cfg(windlass_shuttle)]
mod time {
    use std::cell::Cell;
    use std::time::{Duration, Instant};

    std::thread_local! {
        /// The time of the models of this thread, of which shuttle runs one at a time.
        static NOW: Cell<Instant> = Cell::new(Instant::now());
    }

    pub(crate) fn system_now() -> Instant {
        NOW.get()
    }

    /// Lets time pass.
    #[doc(hidden)]
    pub fn pass(duration: Duration) {
        NOW.set(NOW.get() + duration);
    }
}
