//! Which driver the current thread arms its timers in.

use crate::driver::Handle;
use crate::sync::thread_local_const;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::task::{Context, Poll};

/// What a thread has entered.
#[derive(Clone, Debug)]
pub(crate) struct Current {
    pub(crate) driver: Handle,
    /// Whether this thread turns the driver and so needs no unpark.
    pub(crate) is_owner: bool,
    /// Whether what this thread polls is polled here no more once the driver is closed.
    pub(crate) leaves_when_closed: bool,
}

struct Stack {
    current: Option<Current>,
    /// A second handle of `current`'s driver, for the next timer: one that was disarmed has left it.
    ///
    /// It spares both of them the driver's reference count. It goes when `current` does, so it keeps
    /// no driver alive that its thread has not entered.
    spare: Option<Handle>,
    /// Guards of this thread that are alive.
    depth: usize,
}

thread_local_const! {
    static STACK: RefCell<Stack> = RefCell::new(Stack { current: None, spare: None, depth: 0 });
}

/// What this thread has entered last, if it is still entered.
///
/// `None` also in the destructors of thread-locals, where there is nothing to enter any more.
pub(crate) fn current() -> Option<Current> {
    let current = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let spare = stack.spare.take();
        let current = stack.current.as_ref()?;
        Some(Current { driver: spare.unwrap_or_else(|| current.driver.clone()), ..*current })
    });
    current.ok().flatten()
}

/// Leaves a handle for the next call of [`current`], if it is of the driver that is entered.
pub(crate) fn give_back(handle: Handle) {
    let mut unneeded = Some(handle);
    // What is not kept is dropped after the borrow has ended, for the reason given at `EnterGuard`.
    let _ = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        let is_current = match (&stack.current, &unneeded) {
            (Some(current), Some(handle)) => current.driver.is(handle),
            _ => false,
        };
        if is_current {
            std::mem::swap(&mut stack.spare, &mut unneeded);
        }
    });
}

/// Takes one unit of the current task's budget; outside of a runtime there is none.
pub(crate) fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    let budget = STACK.try_with(|stack| {
        let stack = stack.borrow();
        stack.current.as_ref().map(|current| current.driver.budget())
    });
    match budget {
        Ok(Some(budget)) => budget(cx),
        _ => Poll::Ready(()),
    }
}

/// Makes `current` the thread's current driver until the guard is dropped.
pub(crate) fn enter(current: Current) -> EnterGuard {
    let entered = STACK.try_with(|stack| {
        let mut stack = stack.borrow_mut();
        stack.depth += 1;
        (stack.current.replace(current), stack.depth, stack.spare.take())
    });
    // In a thread-local's destructor nothing can be entered; depth 0 marks a guard without effect.
    let (previous, depth, _spare) = entered.unwrap_or((None, 0, None));
    EnterGuard { previous, depth, ends_later_ones: false, not_send: PhantomData }
}

/// Keeps a driver entered on this thread; dropping it restores what was entered before.
///
/// It stays on its thread:
///
/// ```compile_fail,E0277
/// fn check<T: Send>() {}
/// check::<timer::EnterGuard>();
/// ```
///
/// # Panics
/// Guards must be dropped in the reverse order of their making. Dropping one while a later one is
/// alive ends both, and panics, unless the thread is panicking already.
#[must_use = "dropping the guard leaves the driver at once"]
#[derive(Debug)]
pub struct EnterGuard {
    previous: Option<Current>,
    /// How many guards the thread had with this one.
    depth: usize,
    ends_later_ones: bool,
    not_send: PhantomData<*const ()>,
}

impl EnterGuard {
    /// Makes the order not matter for this guard: dropping it while later ones are alive ends those
    /// too, and does not panic. For a loop that runs code which may keep guards of its own.
    pub fn ends_later_ones(mut self) -> EnterGuard {
        self.ends_later_ones = true;
        self
    }
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let depth = self.depth;
        let previous = self.previous.take();
        // What was entered is dropped after the borrow has ended: it may be the last handle of its
        // driver, and with that drop wakers, whose code is not ours.
        let left = STACK.try_with(|stack| {
            let mut stack = stack.borrow_mut();
            if depth == 0 || stack.depth < depth {
                return (previous, None, true);
            }
            let is_innermost = stack.depth == depth;
            stack.depth = depth - 1;
            let left = std::mem::replace(&mut stack.current, previous);
            (left, stack.spare.take(), is_innermost)
        });
        let is_innermost = left.map_or(true, |(_left, _spare, is_innermost)| is_innermost);
        assert!(
            is_innermost || self.ends_later_ones || std::thread::panicking(),
            "runtime: an `EnterGuard` was dropped before one that was made after it.\n  \
             help: drop guards in the reverse order of `enter`, best by leaving their scopes"
        );
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::{Clock, Driver, Hooks};
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn handle() -> Handle {
        Driver::new(&Clock::new(), Hooks::none()).handle()
    }

    fn is_current(handle: &Handle) -> bool {
        Handle::try_current().is_some_and(|current| current.is(handle))
    }

    #[test]
    fn guards_nest() {
        let (outer, inner) = (handle(), handle());
        assert!(Handle::try_current().is_none());
        let first = outer.enter_as_owner();
        {
            let _second = inner.enter();
            assert!(is_current(&inner));
            let _third = outer.enter();
            assert!(is_current(&outer));
            assert!(current().is_some_and(|current| !current.is_owner));
        }
        assert!(current().is_some_and(|current| current.is_owner));
        drop(first);
        assert!(Handle::try_current().is_none());
    }

    #[test]
    fn a_guard_dropped_out_of_order_panics_and_ends_the_later_ones() {
        let (outer, inner) = (handle(), handle());
        let first = outer.enter();
        let second = inner.enter();
        let panic = catch_unwind(AssertUnwindSafe(|| drop(first)));
        let panic = panic.expect_err("the second guard is alive");
        let message = panic.downcast_ref::<&str>().expect("the message has no arguments");
        assert!(message.starts_with("runtime: an `EnterGuard` was dropped before"), "{message}");
        assert!(Handle::try_current().is_none());
        drop(second);
        assert!(Handle::try_current().is_none());
    }

    #[test]
    fn a_guard_of_a_loop_ends_the_later_ones() {
        let (outer, inner) = (handle(), handle());
        let first = outer.enter_as_owner().ends_later_ones();
        let second = inner.enter();
        drop(first);
        assert!(Handle::try_current().is_none());
        drop(second);
        assert!(Handle::try_current().is_none());
    }

    #[test]
    fn a_handle_that_was_given_back_is_kept_no_longer_than_its_driver_is_entered() {
        let (outer, inner) = (handle(), handle());
        let alone = outer.references();
        let guard = outer.enter_as_owner();
        give_back(outer.clone());
        assert_eq!(outer.references(), alone + 2, "the current one and the spare");
        let taken = current().expect("it is entered");
        assert!(taken.driver.is(&outer) && taken.is_owner);
        assert_eq!(outer.references(), alone + 2, "the spare was taken");
        give_back(taken.driver);
        give_back(outer.clone());
        assert_eq!(outer.references(), alone + 2, "there is one spare");
        {
            let _inner = inner.enter();
            assert_eq!(outer.references(), alone + 1, "the spare goes when another is entered");
            give_back(outer.clone());
            assert_eq!(outer.references(), alone + 1, "that of another driver is not kept");
            assert!(is_current(&inner));
        }
        give_back(outer.clone());
        drop(guard);
        assert_eq!(outer.references(), alone);
        give_back(outer.clone());
        assert_eq!(outer.references(), alone, "none is kept where none is entered");
    }

    /// Enters a driver and arms nothing, when its thread is torn down.
    struct Late(Handle);

    impl Drop for Late {
        fn drop(&mut self) {
            let _guard = self.0.enter();
            let _ = Handle::try_current();
        }
    }

    #[test]
    fn the_destructors_of_thread_locals_may_enter() {
        thread_local! {
            static BEFORE: RefCell<Option<Late>> = const { RefCell::new(None) };
            static AFTER: RefCell<Option<Late>> = const { RefCell::new(None) };
        }
        let handle = handle();
        let thread = std::thread::spawn(move || {
            BEFORE.set(Some(Late(handle.clone())));
            drop(handle.enter());
            AFTER.set(Some(Late(handle)));
        });
        thread.join().expect("neither order panics");
    }

    #[test]
    fn unwinding_restores_what_was_entered_before_the_first_guard() {
        let (outer, inner) = (handle(), handle());
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            // A pair is dropped in the order of its fields, which is the wrong one.
            let _guards = (outer.enter(), inner.enter());
            panic!("unwind");
        }));
        unwound.expect_err("it panics");
        assert!(Handle::try_current().is_none());
    }

    #[test]
    #[should_panic(expected = "runtime: `Handle::current` needs a running runtime")]
    fn current_without_a_runtime_says_what_to_do() {
        Handle::current();
    }
}
