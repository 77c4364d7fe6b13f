//! The threads of a runtime that run tasks or watch them: started, counted, and waited for.

use std::cell::Cell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::sync::{Condvar, Mutex, has_ended, thread, thread_local_of_a_model, wait_for};

/// The workers' threads and the monitor's, from their start to their end.
pub(crate) struct Threads {
    alive: Mutex<usize>,
    /// Notified when a thread has left.
    one_left: Condvar,
    handles: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Threads {
    pub(crate) fn new() -> Arc<Threads> {
        Arc::new(Threads {
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
            STARTED_BY.with(|started_by| started_by.set(Arc::as_ptr(&threads).addr()));
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
        STARTED_BY.with(Cell::get) == std::ptr::from_ref(self).addr()
    }

    /// Waits until every thread has left, and joins it. False: some have not, in time.
    pub(crate) fn join(&self, timeout: Option<Duration>) -> bool {
        // In the destructor of a thread-local it has been counted out, but cannot be joined.
        if self.is_member() || !self.wait_until_left(0, timeout) {
            return false;
        }
        for handle in std::mem::take(&mut *self.handles.lock()) {
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
    /// The address of the [`Threads`] that started this thread, to its very end; 0 if none did.
    static STARTED_BY: Cell<usize> = Cell::new(0);
}

/// Counts a thread out, however it ends.
struct Left<'a>(&'a Threads);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        *self.0.alive.lock() -= 1;
        self.0.one_left.notify_all();
    }
}
