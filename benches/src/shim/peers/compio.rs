//! compio over epoll: without its feature for io_uring.

use crate::shim::Shim;
use compio::runtime::{JoinHandle, Runtime};
use std::future::Future;
use std::time::Duration;

/// compio on the calling thread.
pub(crate) struct Compio;

impl Compio {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        let runtime = Runtime::new().expect("an epoll instance is available");
        let task = runtime.spawn(main());
        runtime.block_on(task).expect("the workload does not panic")
    }

    pub(crate) fn start<M, F>(make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        compio::runtime::spawn(make())
    }
}

impl Shim for Compio {
    type Join<T: Send + 'static> = JoinHandle<T>;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        compio::runtime::spawn(future)
    }

    fn detach<T: Send + 'static>(join: JoinHandle<T>) {
        join.detach();
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        compio::time::sleep(duration)
    }

    fn timeout<F: Future + 'static>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = bool> + 'static {
        let timeout = compio::time::timeout(duration, future);
        async move { timeout.await.is_ok() }
    }
}
