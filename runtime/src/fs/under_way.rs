//! A call for a file whose future may be dropped.

use std::mem;
use std::sync::Arc;

use crate::io::write_behind::WriteBehind;
use crate::sync::Mutex;

/// One of the two sides of a call that is under way: its future, and what a blocking thread runs.
///
/// If the future is dropped before the call has ended, or was dropped itself by a shutdown, it is
/// abandoned until then, and what comes next waits for it.
pub(super) struct UnderWay {
    behind: Arc<WriteBehind<std::fs::File>>,
    /// Shared by the two.
    is_one_gone: Arc<Mutex<bool>>,
    is_future: bool,
}

impl UnderWay {
    /// The side of the future and the side of the thread.
    pub(super) fn new(behind: &Arc<WriteBehind<std::fs::File>>) -> (UnderWay, UnderWay) {
        let is_one_gone = Arc::new(Mutex::new(false));
        let side = |is_future| UnderWay {
            behind: behind.clone(),
            is_one_gone: is_one_gone.clone(),
            is_future,
        };
        (side(true), side(false))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut is_one_gone = self.is_one_gone.lock();
        let is_last = mem::replace(&mut *is_one_gone, true);
        if self.is_future && !is_last {
            // Under the lock, so that it is counted in before it is counted out.
            self.behind.abandon();
        }
        drop(is_one_gone);
        // Calls wakers.
        if !self.is_future && is_last {
            self.behind.end_abandoned();
        }
    }
}
