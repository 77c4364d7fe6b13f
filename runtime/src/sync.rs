//! The concurrency primitives of this crate: the real ones, or loom's under `--cfg windlass_loom`.
//!
//! Both halves have the shape of `parking_lot` (no poisoning, `lock` returns a guard) and of loom's
//! `UnsafeCell` (access through a closure), so that the protocols are written once. `Arc` is always
//! std's: its counting is not what the models are about.

#[cfg(not(windlass_loom))]
mod imp {
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::atomic;

    /// A cell whose borrows are visible to loom; here it is only a pointer.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// Waits on `condvar`, at most `timeout` long where one is given.
    pub(crate) fn wait_for<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        timeout: Option<std::time::Duration>,
    ) {
        match timeout {
            // A wait of centuries is a wait without end; the sum must not overflow the clock.
            Some(timeout) if timeout.as_secs() < u64::from(u32::MAX) => {
                condvar.wait_for(guard, timeout);
            }
            _ => condvar.wait(guard),
        }
    }
}

#[cfg(windlass_loom)]
mod imp {
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// Loom's guard in an `Option`, so that a wait can take it out and put it back.
    pub(crate) struct MutexGuard<'a, T>(Option<loom::sync::MutexGuard<'a, T>>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().expect("no model panics while it holds a lock")))
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("empty only during a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("empty only during a wait")
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Default for Condvar {
        fn default() -> Condvar {
            Condvar::new()
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(loom::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Loom has no time: a wait ends by a notification or not at all.
    pub(crate) fn wait_for<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        _timeout: Option<Duration>,
    ) {
        let inner = guard.0.take().expect("empty only during a wait");
        guard.0 = Some(condvar.0.wait(inner).expect("no model panics while it holds a lock"));
    }
}

pub(crate) use imp::*;
