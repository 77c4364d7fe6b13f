//! windlass with worker threads (`WindlassWs`) and on one thread (`WindlassSt`).

use super::{Remote, Shim};
use runtime::task::JoinHandle;
use runtime::{Builder, Handle, Scheduler};
use std::future::Future;
use std::time::Duration;

/// windlass, `Scheduler::WorkStealing`.
pub(crate) struct WindlassWs;

/// windlass, `Scheduler::SingleThreaded`.
pub(crate) struct WindlassSt;

impl WindlassWs {
    pub(crate) fn run<M, F>(workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = Builder::new().scheduler(Scheduler::WorkStealing).workers(workers).build();
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
        runtime::spawn(make())
    }
}

impl WindlassSt {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = Builder::new().scheduler(Scheduler::SingleThreaded).build();
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
        runtime::spawn(make())
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
                runtime::spawn(future)
            }

            fn yield_now() -> impl Future<Output = ()> + Send + 'static {
                runtime::task::yield_now()
            }

            fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
                runtime::time::sleep(duration)
            }

            fn timeout<F: Future + 'static>(
                duration: Duration,
                future: F,
            ) -> impl Future<Output = bool> + 'static {
                let timeout = runtime::time::timeout(duration, future);
                async move { timeout.await.is_ok() }
            }
        }
    };
}

shim!(WindlassWs);
shim!(WindlassSt);

impl Remote for WindlassWs {
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
