//! smol with a static executor and threads that run it (`SmolMt`), as `smol::spawn` sets itself up,
//! and with a `LocalExecutor` (`SmolLocal`).

use crate::shim::{Remote, Shim};
use smol::future::FutureExt as _;
use smol::{Executor, LocalExecutor, Task, Timer};
use std::future::{Future, pending};
use std::thread;
use std::time::Duration;

/// What `smol::spawn` uses, except that the number of threads is an argument and not `SMOL_THREADS`.
static EXECUTOR: Executor<'static> = Executor::new();

thread_local! {
    static LOCAL: &'static LocalExecutor<'static> = Box::leak(Box::new(LocalExecutor::new()));
}

/// smol's executor on several threads.
pub(crate) struct SmolMt;

/// smol's executor on one thread.
pub(crate) struct SmolLocal;

impl SmolMt {
    pub(crate) fn run<M, F>(workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        for worker in 0..workers {
            thread::Builder::new()
                .name(format!("smol-{worker}"))
                .spawn(|| smol::block_on(EXECUTOR.run(pending::<()>())))
                .expect("a thread is available");
        }
        smol::block_on(EXECUTOR.spawn(main()))
    }

    pub(crate) fn start<M, F>(make: M) -> Task<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(make())
    }
}

impl SmolLocal {
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        LOCAL.with(|executor| smol::block_on(executor.run(executor.spawn(main()))))
    }

    pub(crate) fn start<M, F>(make: M) -> Task<F::Output>
    where
        M: FnOnce() -> F,
        F: Future + 'static,
        F::Output: 'static,
    {
        LOCAL.with(|executor| executor.spawn(make()))
    }
}

macro_rules! shim {
    ($runtime:ty, $is_restartable:expr) => {
        impl Shim for $runtime {
            type Join<T: Send + 'static> = Task<T>;
            const IS_RESTARTABLE: bool = $is_restartable;

            fn spawn<F>(future: F) -> Task<F::Output>
            where
                F: Future + Send + 'static,
                F::Output: Send + 'static,
            {
                <$runtime>::start(move || future)
            }

            fn detach<T: Send + 'static>(join: Task<T>) {
                join.detach();
            }

            fn yield_now() -> impl Future<Output = ()> + Send + 'static {
                smol::future::yield_now()
            }

            fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static {
                let timer = Timer::after(duration);
                async move {
                    timer.await;
                }
            }

            /// The future first, the timer second, as smol's documentation shows it.
            fn timeout<F: Future + 'static>(
                duration: Duration,
                future: F,
            ) -> impl Future<Output = bool> + 'static {
                let finished = async move {
                    future.await;
                    true
                };
                finished.or(async move {
                    Timer::after(duration).await;
                    false
                })
            }
        }
    };
}

shim!(SmolMt, false);
shim!(SmolLocal, true);

impl Remote for SmolMt {
    type Handle = ();

    fn handle() {}

    fn spawn_from_outside<F>(_handle: &(), future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        EXECUTOR.spawn(future).detach();
    }
}
