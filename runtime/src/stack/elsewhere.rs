//! What stands in for `stack` on Linux where no stack can be captured: anything but x86-64 and
//! aarch64.

use std::fmt;

/// What identifies a thread that may be captured later, made *on* that thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    tid: i32,
}

impl Thread {
    /// Describes the calling thread.
    pub(crate) fn current() -> Thread {
        Thread { tid: rustix::thread::gettid().as_raw_nonzero().get() }
    }

    /// The kernel's number of the thread.
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }
}

/// The stack of a thread at one moment, of which there is none.
#[derive(Debug, Clone)]
pub(crate) enum Stack {}

impl fmt::Display for Stack {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

/// No name is looked up.
pub(crate) struct Names(());

impl Names {
    pub(crate) fn borrow() -> Names {
        Names(())
    }
}

/// Always `None`.
pub(crate) fn capture(_thread: &Thread) -> Option<Stack> {
    None
}
