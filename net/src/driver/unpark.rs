//! The token by which other threads end a wait.

use crate::sync::{AtomicU8, Ordering};

const EMPTY: u8 = 0;
const SLEEPING: u8 = 1;
const NOTIFIED: u8 = 2;

/// The token by which other threads end a wait.
///
/// It keeps the system call away from all but the first unpark of a sleep: whoever finds nobody
/// asleep leaves the token and goes.
///
/// ```text
///              begin_sleep                unpark: write the eventfd
///     EMPTY ---------------> SLEEPING ------------------------------> NOTIFIED
///       ^ ^--------------------'  end_sleep                            |  ^
///       '--------------------------------------------------------------'  | unpark
///         begin_sleep (which then must not sleep), end_sleep   EMPTY -----'
/// ```
///
/// # No unpark is lost
/// The sleeper: (1) swaps EMPTY for SLEEPING, (2) waits in the poller. The unparker: (a) swaps in
/// NOTIFIED, (b) if that replaced SLEEPING, writes the eventfd. All changes of one word have one
/// order. If (a) is before (1), (1) fails and there is no sleep. If it is after, it replaced
/// SLEEPING, so (b) happens, and the eventfd is registered in the poller: (2) returns, whether it
/// had begun or not. A write of (b) that comes late, after the sleep ended for another reason, ends
/// nothing: the next sleeper finds that its state is still SLEEPING and goes on. The model is in
/// `model`.
pub(crate) struct Unpark {
    /// The states above. Written by the thread that waits in the poller (`begin_sleep`,
    /// `end_sleep`) and by any that unparks it.
    ///
    /// `unpark` is a release and the sleeper's changes are acquires: what the unparker wrote before
    /// is visible after the wait that it ended.
    state: AtomicU8,
}

impl Unpark {
    pub(crate) fn new() -> Unpark {
        Unpark { state: AtomicU8::new(EMPTY) }
    }

    /// Leaves the token; `true` if somebody sleeps and must be woken by an event.
    #[must_use]
    pub(crate) fn unpark(&self) -> bool {
        self.state.swap(NOTIFIED, Ordering::AcqRel) == SLEEPING
    }

    /// Announces a sleep; `false` if a token was there, which is now taken: do not sleep.
    #[must_use]
    pub(crate) fn begin_sleep(&self) -> bool {
        let begun =
            self.state.compare_exchange(EMPTY, SLEEPING, Ordering::AcqRel, Ordering::Acquire);
        if begun.is_err() {
            self.end_sleep();
        }
        begun.is_ok()
    }

    /// Whether the sleep that was announced has been ended by a token.
    pub(crate) fn is_notified(&self) -> bool {
        self.state.load(Ordering::Acquire) == NOTIFIED
    }

    /// Withdraws the announcement and takes the token, if there is one.
    pub(crate) fn end_sleep(&self) {
        self.state.swap(EMPTY, Ordering::AcqRel);
    }
}
