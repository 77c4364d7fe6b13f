//! tokio with two workers (`TokioMt`) and on the current thread (`TokioCt`).

use super::{Remote, Shim};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// tokio's multi-thread scheduler.
pub(crate) struct TokioMt;

/// tokio's current-thread scheduler.
pub(crate) struct TokioCt;

impl TokioMt {
    pub(crate) fn run<M, F>(workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
        let runtime = runtime.expect("threads and an epoll instance are available");
        let task = runtime.spawn(main());
        runtime.block_on(task).expect("the workload does not panic")
    }

    pub(crate) fn start<M, F>(make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(make())
    }
}

impl TokioCt {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("an epoll instance is available");
        let task = runtime.spawn(main());
        runtime.block_on(task).expect("the workload does not panic")
    }

    pub(crate) fn start<M, F>(make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(make())
    }
}

macro_rules! shim {
    ($runtime:ty) => {
        impl Shim for $runtime {
            type Join<T: Send + 'static> = JoinHandle<T>;

            fn spawn<F>(future: F) -> JoinHandle<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                tokio::spawn(future)
            }

            fn yield_now() -> impl Future<Output = ()> + Send + 'static {
                tokio::task::yield_now()
            }

            fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
                tokio::time::sleep(duration)
            }

            fn timeout<F: Future + 'static>(
                duration: Duration,
                future: F,
            ) -> impl Future<Output = bool> + 'static {
                let timeout = tokio::time::timeout(duration, future);
                async move { timeout.await.is_ok() }
            }
        }
    };
}

shim!(TokioMt);
shim!(TokioCt);

impl Remote for TokioMt {
    type Handle = Handle;

    fn handle() -> Handle {
        Handle::current()
    }

    fn spawn_from_outside<F>(handle: &Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(handle.spawn(future));
    }
}
