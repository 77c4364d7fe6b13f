//! When a paused clock may jump: as soon as nothing else can happen.

use std::time::Duration;

use super::{Shared, wake_all};
use crate::sync::atomic::Ordering;

impl Shared {
    /// Counts something that a thread in `block_on` does, or has yet to see.
    pub(crate) fn add_wakeup(&self) {
        self.awake_roots.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn remove_wakeup(&self) {
        let before = self.awake_roots.fetch_sub(1, Ordering::SeqCst);
        debug_assert!(before > 0);
    }

    /// Whether nothing at all happens: all workers and all other threads in `block_on` are asleep,
    /// and no blocking call is under way. Then a paused clock may jump.
    fn is_quiet(&self) -> bool {
        let all_sleep = || self.idle.all_parked() && self.awake_roots.load(Ordering::SeqCst) == 0;
        // The blocking calls first, for one that ends wakes somebody before. And the sleepers once more
        // after the queues: who took the last runnable was awake before that.
        self.blocking.is_quiet() && all_sleep() && !self.has_visible_work() && all_sleep()
    }

    /// Lets the paused clock jump to the next timer, if nothing else can happen before that. The
    /// caller counts as asleep already; if the clock has jumped, `wake_up` counts it as awake again
    /// before anybody else can think that all is quiet. True: it has been called.
    ///
    /// A worker also looks at the I/O driver before. A thread that is none must not hold that, not
    /// even for a moment: the last worker that goes to sleep would find it taken.
    pub(super) fn advance_if_quiet(&self, is_worker: bool, wake_up: impl FnOnce()) -> bool {
        if !self.clock.is_paused() {
            return false;
        }
        let mut wakers = Vec::new();
        let advancing = self.advancing.lock();
        if !self.is_quiet() {
            return false;
        }
        if is_worker {
            let look = || Some(Duration::ZERO);
            self.poller.try_turn(&mut || true, &look, &mut wakers);
        }
        if wakers.is_empty() && !self.clock.advance_to_next(&mut wakers) {
            return false;
        }
        wake_up();
        drop(advancing);
        // Not before: a waker may wait for another thread, which may come by here.
        wake_all(&mut wakers);
        true
    }

    /// Something has ended that kept a paused clock from jumping: somebody must look again.
    pub(crate) fn look_again_if_paused(&self) {
        if self.clock.is_paused() {
            self.unpark_all();
        }
    }
}
