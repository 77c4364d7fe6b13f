//! The tasks of one runtime, counted by themselves: what its own counters are compared with.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use runtime::{Handle, JoinHandle};

/// How often futures were made, polled, and dropped.
#[derive(Debug, Default)]
pub(crate) struct Census {
    made: AtomicU64,
    polls: AtomicU64,
    dropped: AtomicU64,
}

impl Census {
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    pub(crate) fn polls(&self) -> u64 {
        self.polls.load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::SeqCst)
    }

    /// A future that is counted.
    pub(crate) fn count<F: Future>(self: &Arc<Census>, future: F) -> Counted<F> {
        self.made.fetch_add(1, Ordering::SeqCst);
        Counted { future: Box::pin(future), census: self.clone(), is_done: false }
    }

    /// Spawns a task on the runtime of this thread.
    pub(crate) fn spawn<F>(self: &Arc<Census>, future: F) -> Owned<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Owned(runtime::spawn(self.count(future)))
    }

    /// Spawns a task from any thread.
    pub(crate) fn spawn_on<F>(
        self: &Arc<Census>,
        handle: &Handle,
        future: F,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.spawn(self.count(future))
    }
}

/// A future that is counted.
#[derive(Debug)]
pub(crate) struct Counted<F> {
    future: Pin<Box<F>>,
    census: Arc<Census>,
    is_done: bool,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        assert!(!self.is_done, "a future is polled after its end");
        self.census.polls.fetch_add(1, Ordering::SeqCst);
        // A panic is an end as well.
        self.is_done = true;
        let poll = self.future.as_mut().poll(cx);
        self.is_done = poll.is_ready();
        poll
    }
}

impl<F> Drop for Counted<F> {
    fn drop(&mut self) {
        self.census.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A task that is aborted when this is dropped, so that nothing of an aborted action stays.
#[derive(Debug)]
pub(crate) struct Owned<T>(pub(crate) JoinHandle<T>);

impl<T> Owned<T> {
    /// Its output.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) async fn join(mut self) -> T {
        (&mut self.0).await.expect("nobody aborts it while it is joined")
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
