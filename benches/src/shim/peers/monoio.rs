//! monoio over epoll: its `legacy` driver with timers.

use crate::shim::Shim;
use monoio::task::JoinHandle;
use monoio::{LegacyDriver, RuntimeBuilder};
use std::future::Future;
use std::time::Duration;

/// monoio on the calling thread.
pub(crate) struct Monoio;

impl Monoio {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future,
    {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build();
        runtime.expect("an epoll instance is available").block_on(main())
    }

    pub(crate) fn start<M, F>(make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        monoio::spawn(make())
    }
}

impl Shim for Monoio {
    type Join<T: Send + 'static> = JoinHandle<T>;

    fn spawn<F>(future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        monoio::spawn(future)
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
        monoio::time::sleep(duration)
    }

    fn timeout<F: Future + 'static>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = bool> + 'static {
        let timeout = monoio::time::timeout(duration, future);
        async move { timeout.await.is_ok() }
    }
}
