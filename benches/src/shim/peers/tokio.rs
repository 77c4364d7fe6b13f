//! tokio with two workers (`TokioMt`) and on the current thread (`TokioCt`).

use crate::shim::{Files, Remote, Shim};
use std::future::Future;
use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
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

macro_rules! files {
    ($runtime:ty) => {
        impl Files for $runtime {
            type File = File;

            async fn open(path: &Path) -> io::Result<File> {
                File::open(path).await
            }

            async fn create(path: &Path) -> io::Result<File> {
                File::create(path).await
            }

            async fn read_exact(file: &mut File, buf: &mut [u8]) -> io::Result<()> {
                file.read_exact(buf).await.map(drop)
            }

            /// There are no reads at an offset; the cursor has to be moved.
            async fn read_exact_at(file: &mut File, buf: &mut [u8], offset: u64) -> io::Result<()> {
                file.seek(SeekFrom::Start(offset)).await?;
                file.read_exact(buf).await.map(drop)
            }

            async fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
                file.write_all(bytes).await?;
                file.flush().await
            }

            async fn write_behind(file: &mut File, bytes: &[u8]) -> io::Result<()> {
                file.write_all(bytes).await
            }

            async fn flush(file: &mut File) -> io::Result<()> {
                file.flush().await
            }

            async fn sync(file: &mut File) -> io::Result<()> {
                file.sync_all().await
            }

            async fn read(path: &Path) -> io::Result<Vec<u8>> {
                fs::read(path).await
            }

            async fn read_to_string(path: &Path) -> io::Result<String> {
                fs::read_to_string(path).await
            }

            async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
                fs::copy(from, to).await
            }

            async fn count_entries(path: &Path) -> io::Result<usize> {
                let mut entries = fs::read_dir(path).await?;
                let mut count = 0;
                while entries.next_entry().await?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }
    };
}

files!(TokioMt);
files!(TokioCt);
