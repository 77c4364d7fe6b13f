//! `block_in_place`: blocking on a worker, with leave.

use std::rc::Rc;
use std::sync::Arc;

use super::{Scheduler, Shared, Worker, current};
use crate::coop;
use crate::handle::{AsyncGuard, refusal};

/// Runs a closure that blocks on this very thread, after leaving the worker's duties to others.
///
/// Its queue, its timers and the I/O driver are taken over by another worker, or by a spare one if
/// all are busy, so nobody waits for this task but itself. That holds for as many calls at once as
/// there are workers; more of them wait for each other. It costs less than
/// [`spawn_blocking`](crate::spawn_blocking) when the closure is likely to be quick, and the closure
/// may borrow. Local tasks of this thread wait. `block_on` is allowed inside. On a thread that is
/// no worker the closure is just called.
///
/// # Panics
/// On the worker of a single-threaded runtime, whose duties nobody else could take over.
///
/// # Examples
/// ```
/// # runtime::Builder::new().workers(2).build().unwrap().block_on(async {
/// let text = runtime::spawn(async {
///     runtime::task::block_in_place(|| std::fs::read_to_string("/proc/self/comm"))
/// });
/// assert!(text.await.unwrap().is_ok());
/// # });
/// ```
#[track_caller]
pub fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    let place = match current::current() {
        Some(worker) => Place::enter(worker),
        None => None,
    };
    if let Some(place) = &place {
        place.find_a_substitute();
    }
    let _not_async = AsyncGuard::suspend();
    coop::without_budget(f)
}

/// A worker in `block_in_place`; it is back when this is dropped.
struct Place {
    shared: Arc<Shared>,
    index: usize,
}

impl Place {
    /// None: the worker is in place already, and has nothing left to hand over.
    #[track_caller]
    fn enter(worker: Rc<Worker>) -> Option<Place> {
        if worker.shared.config.scheduler == Scheduler::SingleThreaded {
            panic!(
                "{}",
                refusal("block_in_place", "stall").replace(
                    "use `.await`; in code that must wait: \
                     `runtime::spawn_blocking(move || handle.block_on(..))`",
                    "use `runtime::spawn_blocking`, or a work-stealing runtime"
                )
            );
        }
        if worker.remote().is_in_place() {
            return None;
        }
        worker.stop_searching();
        worker.shared.set_in_place(worker.index(), true);
        worker.hand_over();
        Some(Place { shared: worker.shared.clone(), index: worker.index() })
    }

    fn find_a_substitute(&self) {
        // Its wheel too must be turned by somebody: the monitor does that from now on.
        self.shared.monitor.look_now();
        self.shared.relieve(self.index);
        if !self.shared.is_polled() {
            self.shared.start_spare();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.set_in_place(self.index, false);
    }
}
