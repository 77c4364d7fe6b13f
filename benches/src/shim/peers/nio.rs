//! nio with tasks that may move (`NioMt`), with tasks pinned to a worker (`NioPin`), and with one
//! worker (`NioCt`).
//!
//! Its timers and sockets are not `Send`, so `start` pins the task to a worker in every mode.

use crate::shim::{Remote, Shim};
use nio::{JoinHandle, LocalRuntime, RuntimeBuilder, RuntimeContext};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// nio's workers, tasks spawned with `nio::spawn`.
pub(crate) struct NioMt;

/// nio's workers, tasks spawned with `nio::spawn_pinned`.
pub(crate) struct NioPin;

/// nio with a single worker on the calling thread.
pub(crate) struct NioCt;

fn run_threaded<M, F>(workers: usize, main: M) -> F::Output
where
    M: FnOnce() -> F + Send,
    F: Future,
    F::Output: Send,
{
    let workers = u8::try_from(workers).expect("nio has at most 255 workers");
    let runtime = RuntimeBuilder::new().worker_threads(workers).rt();
    runtime.expect("threads and epoll instances are available").block_on(main)
}

impl NioMt {
    pub(crate) fn run<M, F>(workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F + Send,
        F: Future,
        F::Output: Send,
    {
        run_threaded(workers, main)
    }
}

impl NioPin {
    pub(crate) fn run<M, F>(workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F + Send,
        F: Future,
        F::Output: Send,
    {
        run_threaded(workers, main)
    }
}

impl NioCt {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        let runtime: io::Result<LocalRuntime> = RuntimeBuilder::new().worker_threads(1).build();
        let mut runtime = runtime.expect("an epoll instance is available");
        let task = runtime.spawn_local(main());
        runtime.block_on(task).expect("the workload does not panic")
    }
}

macro_rules! shim {
    ($runtime:ty, $is_restartable:expr, |$future:ident| $spawn:expr) => {
        impl $runtime {
            pub(crate) fn start<M, F>(make: M) -> JoinHandle<F::Output>
            where
                M: FnOnce() -> F + Send,
                F: Future + 'static,
                F::Output: Send + 'static,
            {
                nio::spawn_pinned(make)
            }
        }

        impl Shim for $runtime {
            type Join<T: Send + 'static> = JoinHandle<T>;
            const IS_RESTARTABLE: bool = $is_restartable;

            fn spawn<F>($future: F) -> JoinHandle<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                $spawn
            }

            fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
                nio::sleep(duration)
            }

            fn timeout<F: Future + 'static>(
                duration: Duration,
                future: F,
            ) -> impl Future<Output = bool> + 'static {
                let timeout = nio::timeout(duration, future);
                async move { timeout.await.is_some() }
            }
        }
    };
}

shim!(NioMt, false, |future| nio::spawn(future));
shim!(NioPin, false, |future| nio::spawn_pinned(move || future));
shim!(NioCt, true, |future| nio::spawn_local(future));

macro_rules! remote {
    ($runtime:ty, |$handle:ident, $future:ident| $spawn:expr) => {
        impl Remote for $runtime {
            type Handle = Arc<RuntimeContext>;

            fn handle() -> Arc<RuntimeContext> {
                RuntimeContext::current()
            }

            fn spawn_from_outside<F>($handle: &Arc<RuntimeContext>, $future: F)
            where
                F: Future<Output = ()> + Send + 'static,
            {
                drop($spawn);
            }
        }
    };
}

remote!(NioMt, |handle, future| handle.spawn(future));
remote!(NioPin, |handle, future| handle.spawn_pinned(move || future));
