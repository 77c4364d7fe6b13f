//! The way to the I/O driver of a runtime.

use crate::driver::Shared;
use crate::sync::thread_local_const;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// A reference to the I/O driver of a runtime, with which sockets are created.
///
/// Each thread has at most one current handle, the one [entered](Handle::enter) last; the runtime
/// enters it on its own threads. A socket keeps the handle it was created with, so afterwards it
/// works on any thread. Cloning is cheap.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

thread_local_const! {
    /// The handle that was entered last, and how many guards there are.
    static CURRENT: (RefCell<Option<Handle>>, Cell<usize>) = (RefCell::new(None), Cell::new(0));
}

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Handle {
        Handle(shared)
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Makes this the current handle of the thread until the guard is dropped.
    ///
    /// Guards are dropped in reverse order; the previous handle is current again then.
    ///
    /// ```
    /// use net::{Driver, Handle, Hooks};
    ///
    /// let driver = Driver::new(Hooks::none()).expect("the kernel has files for a driver");
    /// assert!(Handle::try_current().is_none());
    /// let guard = driver.handle().enter();
    /// assert!(Handle::try_current().is_some());
    /// drop(guard);
    /// assert!(Handle::try_current().is_none());
    /// ```
    #[must_use = "the handle is current only as long as the guard lives"]
    pub fn enter(&self) -> EnterGuard {
        let entered = CURRENT.try_with(|(current, depth)| {
            depth.set(depth.get() + 1);
            (current.borrow_mut().replace(self.clone()), depth.get())
        });
        // In the destructor of a thread-local nothing can be entered; depth 0 marks a guard that
        // has no effect.
        let (previous, depth) = entered.unwrap_or((None, 0));
        EnterGuard { previous, depth, thread: PhantomData }
    }

    /// The current handle of this thread.
    ///
    /// # Panics
    /// When there is none: the thread belongs to no runtime and has entered none.
    #[track_caller]
    pub fn current() -> Handle {
        Handle::current_for("Handle::current")
    }

    /// The current handle of this thread, if there is one.
    pub fn try_current() -> Option<Handle> {
        // While the thread ends, its values are gone: no handle either.
        CURRENT.try_with(|(current, _)| current.borrow().clone()).ok().flatten()
    }

    /// The current handle, for the public function `what`.
    #[track_caller]
    pub(crate) fn current_for(what: &str) -> Handle {
        match Handle::try_current() {
            Some(handle) => handle,
            None => panic!(
                "runtime: `{what}` needs a running runtime, but this thread has none.\n{HELP}"
            ),
        }
    }
}

const HELP: &str = "  help: call it inside `#[runtime::main]`, `Runtime::block_on` or a spawned task; \
on your own thread: `let _guard = handle.enter();`";

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("is_shut_down", &self.0.is_shut_down())
            .finish_non_exhaustive()
    }
}

/// Keeps a [`Handle`] current; dropping it restores the previous one.
///
/// It stays on its thread:
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<net::EnterGuard>();
/// ```
///
/// # Panics
/// Dropping panics if a guard that was created later still lives, unless the thread is panicking.
/// The handle that was current before both is current then.
#[must_use = "the handle is current only as long as the guard lives"]
pub struct EnterGuard {
    previous: Option<Handle>,
    /// How many guards there were with this one.
    depth: usize,
    /// The guard belongs to the thread whose value it restores.
    thread: PhantomData<*const ()>,
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        // While the thread ends there is nothing to restore.
        let is_last = CURRENT.try_with(|(current, depth)| {
            let is_last = depth.get() == self.depth;
            if self.depth == 0 || depth.get() < self.depth {
                // Without effect, or ended already together with an outer guard.
                return true;
            }
            depth.set(self.depth - 1);
            let entered = std::mem::replace(&mut *current.borrow_mut(), self.previous.take());
            // Outside of the borrow: the last handle closes the driver's files.
            drop(entered);
            is_last
        });
        if is_last == Ok(false) && !std::thread::panicking() {
            panic!("runtime: `EnterGuard`s must be dropped in the reverse order of their creation");
        }
    }
}

impl fmt::Debug for EnterGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterGuard").field("depth", &self.depth).finish_non_exhaustive()
    }
}

/// The handle of a public function that returns a future.
///
/// Taken where the function is called, if the thread has one there; else where the future is first
/// polled, so that a future can be made outside of a runtime and awaited inside.
pub(crate) struct LateHandle {
    handle: Option<Handle>,
    what: &'static str,
    caller: &'static Location<'static>,
}

impl LateHandle {
    #[track_caller]
    pub(crate) fn capture(what: &'static str) -> LateHandle {
        LateHandle { handle: Handle::try_current(), what, caller: Location::caller() }
    }

    /// To be called at the first poll.
    ///
    /// # Panics
    /// When there was no handle at the call and there is none now.
    pub(crate) fn get(self) -> Handle {
        let LateHandle { handle, what, caller } = self;
        match handle.or_else(Handle::try_current) {
            Some(handle) => handle,
            None => panic!(
                "runtime: `{what}`, called at {caller}, needs a running runtime, but the thread that \
                 polls it has none.\n{HELP}"
            ),
        }
    }
}
