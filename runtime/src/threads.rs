//! The threads of a runtime that run tasks or watch them: started, counted, and waited for.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sync::{Condvar, Mutex, has_ended, thread, thread_local_of_a_model, wait_for};

/// The workers' threads and the monitor's, from their start to their end.
pub(crate) struct Threads {
    /// Of no others in this process, before or after: a thread may outlive its runtime.
    number: u64,
    alive: Mutex<usize>,
    /// Notified when a thread has left.
    one_left: Condvar,
    handles: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn new() -> Arc<Threads> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Threads {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            alive: Mutex::new(0),
            one_left: Condvar::new(),
            handles: Mutex::new(Vec::new()),
        })
    }

    /// Runs `f` on a new thread.
    pub(crate) fn start(
        self: &Arc<Threads>,
        thread: thread::Builder,
        f: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let threads = self.clone();
        *self.alive.lock() += 1;
        let started = thread.spawn(move || {
            STARTED_BY.with(|started_by| started_by.set(threads.number));
            let _left = Left(&threads);
            f();
        });
        match started {
            Ok(handle) => {
                let mut handles = self.handles.lock();
                // Spare workers come and go; those that are gone need no join.
                handles.retain(|handle| !has_ended(handle));
                handles.push(handle);
                Ok(())
            }
            Err(error) => {
                drop(Left(self));
                Err(error)
            }
        }
    }

    /// Whether the calling thread is one of them: it would wait for itself.
    pub(crate) fn is_member(&self) -> bool {
        STARTED_BY.with(Cell::get) == self.number
    }

    /// Waits until every thread has left, and without a limit, joins it. False: some have not, in time.
    pub(crate) fn join(&self, timeout: Option<Duration>) -> bool {
        // In the destructor of a thread-local it has been counted out, but cannot be joined.
        if self.is_member() || !self.wait_until_left(0, timeout) {
            return false;
        }
        let handles = std::mem::take(&mut *self.handles.lock());
        if timeout.is_some() {
            // The destructors of thread-locals come after that, and no join ends before they do.
            return true;
        }
        for handle in handles {
            // A panic that ended a thread has been printed by the panic hook.
            let _ = handle.join();
        }
        true
    }

    /// Waits until no more than `count` threads are left. False: there are more, in time.
    pub(crate) fn wait_until_left(&self, count: usize, timeout: Option<Duration>) -> bool {
        let began = timer::real_now();
        let mut alive = self.alive.lock();
        while *alive > count {
            let left = timeout.map(|timeout| timeout.saturating_sub(timer::real_now() - began));
            if left == Some(Duration::ZERO) {
                return false;
            }
            wait_for(&self.one_left, &mut alive, left);
        }
        true
    }
}

thread_local_of_a_model! {
    /// The number of the [`Threads`] that started this thread, to its very end; 0 if none did.
    static STARTED_BY: Cell<u64> = Cell::new(0);
}

/// Counts a thread out, however it ends.
struct Left<'a>(&'a Threads);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        *self.0.alive.lock() -= 1;
        self.0.one_left.notify_all();
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;

    /// Tells, when its thread is torn down, whether that is a member of any new runtime's.
    struct Late(std::sync::mpsc::Sender<bool>);

    impl Drop for Late {
        fn drop(&mut self) {
            // One of them is where the old ones were.
            let others: Vec<_> = (0..64).map(|_| Threads::new()).collect();
            let is_member = others.iter().any(|threads| threads.is_member());
            self.0.send(is_member).expect("the test listens");
        }
    }

    #[test]
    fn a_thread_that_outlives_its_runtime_is_no_member_of_the_next() {
        thread_local! {
            static LATE: std::cell::RefCell<Option<Late>> = const { std::cell::RefCell::new(None) };
        }
        let (tell, told) = std::sync::mpsc::channel();
        let threads = Threads::new();
        let late = move || LATE.set(Some(Late(tell)));
        threads.start(thread::Builder::new(), late).expect("the system has threads");
        drop(threads);
        assert_eq!(told.recv(), Ok(false));
    }
}
