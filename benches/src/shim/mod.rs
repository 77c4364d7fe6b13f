//! One thin layer per runtime, so that a workload is written once.
//!
//! [`Shim`] holds what every runtime has: spawn, join, yield, sleep, timeout. Two things cannot be
//! said in a trait, because a runtime decides whether its own futures are `Send`: each shim has
//! them as inherent functions of the same name and shape, and the tables in [`crate::micro`] call
//! them with the runtime spelled out.
//!
//! - `run(workers, main)` builds the runtime, runs the future that `main` makes *as a task* of it,
//!   because the future that a thread blocks on is woken differently, and returns what that future returned.
//! - `start(make)` spawns the future that `make` makes, which may hold this runtime's timers.

#[cfg(feature = "peers")]
pub(crate) mod peers;
pub(crate) mod threads;
pub(crate) mod windlass;

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// What the workloads need of a runtime; all functions are called inside it.
pub(crate) trait Shim: Sized + 'static {
    /// The handle of a task, of the runtime's own type: nothing is wrapped around it.
    type Join<T: Send + 'static>: Future + Send + 'static;

    /// Whether `run` may be called again in one process: smol's and nio's threads never end.
    const IS_RESTARTABLE: bool = true;

    /// Spawns a task.
    fn spawn<F>(future: F) -> Self::Join<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static;

    /// Lets the task run on without its handle.
    fn detach<T: Send + 'static>(join: Self::Join<T>) {
        drop(join);
    }

    /// Gives way to other tasks once, in the runtime's own manner if it has one.
    fn yield_now() -> impl Future<Output = ()> + Send + 'static {
        wake_self()
    }

    /// Waits for `duration`.
    fn sleep(duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Runs `future` for `duration` at most; whether it finished.
    fn timeout<F: Future + 'static>(
        duration: Duration,
        future: F,
    ) -> impl Future<Output = bool> + 'static;
}

/// A runtime into which other threads can spawn.
pub(crate) trait Remote: Shim {
    /// What spawns from outside.
    type Handle: Clone + Send + 'static;

    /// The handle of the runtime that the caller runs in.
    fn handle() -> Self::Handle;

    /// Spawns a task from any thread and detaches it.
    fn spawn_from_outside<F>(handle: &Self::Handle, future: F)
    where
        F: Future<Output = ()> + Send + 'static;
}

/// What the workloads on files need of a runtime, or of what stands in for one.
///
/// The futures are `Send`, so that the workloads can be tasks of any runtime.
pub(crate) trait Files: 'static {
    /// An open file.
    type File: Send + 'static;

    /// Opens a file for reading.
    fn open(path: &Path) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Makes a file, for writing.
    fn create(path: &Path) -> impl Future<Output = io::Result<Self::File>> + Send;

    /// Fills the buffer from the cursor on.
    fn read_exact(
        file: &mut Self::File,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Fills the buffer from `offset` on, with or without the cursor.
    fn read_exact_at(
        file: &mut Self::File,
        buf: &mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Writes all bytes; the operating system has them at the end.
    fn write_all(
        file: &mut Self::File,
        bytes: &[u8],
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Has all bytes written; only [`flush`](Files::flush) promises that the operating system has them.
    fn write_behind(
        file: &mut Self::File,
        bytes: &[u8],
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits until the operating system has what was written.
    fn flush(file: &mut Self::File) -> impl Future<Output = io::Result<()>> + Send;

    /// Waits until the disk has what was written.
    fn sync(file: &mut Self::File) -> impl Future<Output = io::Result<()>> + Send;

    /// The content of a file.
    fn read(path: &Path) -> impl Future<Output = io::Result<Vec<u8>>> + Send;

    /// The content of a file, as text.
    fn read_to_string(path: &Path) -> impl Future<Output = io::Result<String>> + Send;

    /// Copies a file and returns its length.
    fn copy(from: &Path, to: &Path) -> impl Future<Output = io::Result<u64>> + Send;

    /// Goes through a folder and counts.
    fn count_entries(path: &Path) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Wakes itself and is pending once, the same on every runtime.
///
/// It is also the yield of runtimes that offer none. Where one is offered it may do more, as tokio's
/// does, which lets the I/O driver have a turn.
pub(crate) fn wake_self() -> WakeSelf {
    WakeSelf { yielded: false }
}

/// What [`wake_self`] returns.
pub(crate) struct WakeSelf {
    yielded: bool,
}

impl Future for WakeSelf {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
