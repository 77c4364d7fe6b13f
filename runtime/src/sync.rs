//! The concurrency primitives of this crate: the real ones, or a model checker's: loom's under
//! `--cfg windlass_loom`, shuttle's under `--cfg windlass_shuttle`.
//!
//! All have the shape of `parking_lot` (no poisoning, `lock` returns a guard) and of loom's
//! `UnsafeCell` (access through a closure), so that the protocols are written once. `Arc` is always
//! std's: its counting is not what the models are about.
//!
//! Both checkers run all threads of a model on one of the system's. Under shuttle threads and
//! thread-locals are its own, so that a whole runtime can be a model; loom's models start no threads
//! of the runtime, and play them.

#[cfg(not(any(windlass_loom, windlass_shuttle)))]
mod imp {
    pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
    pub(crate) use std::sync::atomic;

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

#[cfg(not(windlass_loom))]
mod cell {
    /// A cell whose borrows are visible to loom; here it is only a pointer, but that a sanitizer's build
    /// ends the process where two borrows overlap that must not.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T> {
        value: std::cell::UnsafeCell<T>,
        #[cfg(windlass_sanitizer)]
        borrows: Borrows,
    }

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell {
                value: std::cell::UnsafeCell::new(value),
                #[cfg(windlass_sanitizer)]
                borrows: Borrows::none(),
            }
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            #[cfg(windlass_sanitizer)]
            let _borrow = self.borrows.begin(1);
            f(self.value.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            #[cfg(windlass_sanitizer)]
            let _borrow = self.borrows.begin(Borrows::UNIQUE);
            f(self.value.get())
        }
    }

    #[cfg(windlass_sanitizer)]
    pub(crate) use borrows::Borrows;

    #[cfg(windlass_sanitizer)]
    mod borrows {
        use std::sync::atomic::{AtomicIsize, Ordering};

        /// The borrows of a cell that last: how many are shared, or that there is a unique one. Relaxed, to
        /// give no order to what ThreadSanitizer is to find without one.
        #[derive(Debug)]
        pub(crate) struct Borrows(AtomicIsize);

        impl Borrows {
            pub(crate) const UNIQUE: isize = -1;

            pub(crate) const fn none() -> Borrows {
                Borrows(AtomicIsize::new(0))
            }

            /// Begins a shared borrow, which is 1, or a unique one.
            pub(crate) fn begin(&self, kind: isize) -> Borrow<'_> {
                let before = self.0.fetch_add(kind, Ordering::Relaxed);
                if before != 0 && (kind == Borrows::UNIQUE || before < 0) {
                    // No panic, which could be caught.
                    eprintln!("windlass: borrows of one cell overlap");
                    std::process::abort();
                }
                Borrow { borrows: self, kind }
            }
        }

        pub(crate) struct Borrow<'a> {
            borrows: &'a Borrows,
            kind: isize,
        }

        impl Drop for Borrow<'_> {
            fn drop(&mut self) {
                self.borrows.0.fetch_sub(self.kind, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(any(windlass_loom, windlass_shuttle))]
mod imp {
    use std::ops::{Deref, DerefMut};
    use std::time::Duration;

    #[cfg(windlass_loom)]
    use loom as checker;
    #[cfg(windlass_shuttle)]
    use shuttle as checker;

    pub(crate) use checker::sync::atomic;

    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(checker::sync::Mutex<T>);

    pub(crate) struct MutexGuard<'a, T> {
        /// In an `Option`, so that a wait can take it out and put it back.
        inner: Option<checker::sync::MutexGuard<'a, T>>,
        #[cfg(windlass_shuttle)]
        mutex: &'a Mutex<T>,
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Mutex<T> {
            Mutex(checker::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            let inner = Some(self.0.lock().expect("no model panics while it holds a lock"));
            MutexGuard {
                inner,
                #[cfg(windlass_shuttle)]
                mutex: self,
            }
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.inner.as_ref().expect("empty only during a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.inner.as_mut().expect("empty only during a wait")
        }
    }

    #[derive(Debug)]
    pub(crate) struct Condvar(checker::sync::Condvar);

    impl Default for Condvar {
        fn default() -> Condvar {
            Condvar::new()
        }
    }

    impl Condvar {
        pub(crate) fn new() -> Condvar {
            Condvar(checker::sync::Condvar::new())
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Loom has no time: a wait ends by a notification or not at all. Under shuttle one that may time
    /// out does, whether or not it is notified: the others run meanwhile as far as shuttle lets them,
    /// and the clock goes on by the timeout.
    pub(crate) fn wait_for<T>(
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        timeout: Option<Duration>,
    ) {
        let inner = guard.inner.take().expect("empty only during a wait");
        #[cfg(windlass_shuttle)]
        if let Some(timeout) = timeout.filter(|timeout| timeout.as_secs() < u64::from(u32::MAX)) {
            drop(inner);
            checker::thread::yield_now();
            timer::pass(timeout);
            *guard = guard.mutex.lock();
            return;
        }
        #[cfg(windlass_loom)]
        let _ = timeout;
        guard.inner = Some(condvar.0.wait(inner).expect("no model panics while it holds a lock"));
    }
}

#[cfg(not(windlass_shuttle))]
mod threads {
    pub(crate) use std::thread;

    /// Whether a join would not have to wait.
    pub(crate) fn has_ended(handle: &thread::JoinHandle<()>) -> bool {
        handle.is_finished()
    }

    /// Thread-locals whose first values cost nothing to make.
    macro_rules! thread_local_const {
        ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)+) => {
            std::thread_local! {
                $($(#[$attribute])* static $name: $type = const { $value };)+
            }
        };
    }
    pub(crate) use thread_local_const;

    /// The same, for what loom's threads, which are all one thread of the system, must not share.
    macro_rules! thread_local_of_a_model {
        ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
            #[cfg(not(windlass_loom))]
            std::thread_local! { $(#[$attribute])* static $name: $type = const { $value }; }
            #[cfg(windlass_loom)]
            loom::thread_local! { $(#[$attribute])* static $name: $type = $value; }
        };
    }
    pub(crate) use thread_local_of_a_model;
}

#[cfg(windlass_shuttle)]
mod threads {
    pub(crate) use shuttle::thread;

    /// Nobody can tell; it is joined in the end.
    pub(crate) fn has_ended(_handle: &thread::JoinHandle<()>) -> bool {
        false
    }

    macro_rules! thread_local_const {
        ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)+) => {
            shuttle::thread_local! { $($(#[$attribute])* static $name: $type = $value;)+ }
        };
    }
    pub(crate) use thread_local_const;
    pub(crate) use thread_local_const as thread_local_of_a_model;
}

#[cfg(not(windlass_loom))]
pub(crate) use cell::UnsafeCell;
pub(crate) use imp::*;
#[cfg(windlass_loom)]
pub(crate) use loom::cell::UnsafeCell;
pub(crate) use threads::*;
