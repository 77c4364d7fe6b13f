//! Reading a directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::PathError;
use super::paths::with_path;
use crate::coop;
use crate::handle::Handle;
use crate::io::call::Call;
use crate::sync::Mutex;

/// How many entries one call reads. About 100 us of a blocking thread's time, beside which the
/// hand-over is little.
const BATCH: usize = 256;

/// The entries of a directory, in no particular order, without `.` and `..`.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`NotADirectory`](io::ErrorKind::NotADirectory),
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and others of the operating system.
///
/// # Panics
/// When it is polled outside of a runtime.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build()?.block_on(async {
/// let mut entries = runtime::fs::read_dir("/").await?;
/// let mut names = Vec::new();
/// while let Some(entry) = entries.next_entry().await? {
///     names.push(entry.file_name());
/// }
/// assert!(names.contains(&"tmp".into()));
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let handle = Handle::require("fs::read_dir");
    let open = |path: &Path| {
        let mut entries = std::fs::read_dir(path)?;
        // The first entries come with the opening.
        let batch = read_batch(&mut entries);
        Ok((entries, batch))
    };
    let what = "fs::read_dir";
    let (entries, batch) = with_path(what, "read the directory", path.as_ref(), open).await?;
    let mut dir = ReadDir::new(handle, entries);
    dir.accept(batch);
    Ok(dir)
}

/// The entries of a directory: the result of [`read_dir`], and a
/// [`Stream`](futures_core::Stream) of `io::Result<DirEntry>`.
pub struct ReadDir {
    handle: Handle,
    batch: VecDeque<io::Result<DirEntry>>,
    rest: Rest,
}

/// Shared with the call that reads on: if it is refused or dropped, they are still here. Locked by it
/// alone.
type Entries = Arc<Mutex<std::fs::ReadDir>>;

/// Where the entries after the batch are.
enum Rest {
    /// Nobody has asked for them yet.
    Unread(Entries),
    Reading(Entries, Call<Batch>),
    End,
}

/// Some entries, and whether they are the last.
struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    is_last: bool,
}

fn read_batch(entries: &mut std::fs::ReadDir) -> Batch {
    let batch: VecDeque<_> = entries.take(BATCH).map(|entry| entry.map(DirEntry::new)).collect();
    // An error is an item and does not end the directory, but `std` ends it after most of them.
    Batch { is_last: batch.len() < BATCH, entries: batch }
}

impl ReadDir {
    fn new(handle: Handle, entries: std::fs::ReadDir) -> ReadDir {
        let rest = Rest::Unread(Arc::new(Mutex::new(entries)));
        ReadDir { handle, batch: VecDeque::new(), rest }
    }

    /// The next entry; `None` after the last.
    ///
    /// **Cancel safety**: safe, no entry is lost.
    ///
    /// # Errors
    /// Those of the operating system, and that the runtime has been shut down. The next call goes on
    /// with the next entry.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            if let Some(entry) = self.batch.pop_front() {
                return Poll::Ready(entry.map(Some));
            }
            match &mut self.rest {
                Rest::End => return Poll::Ready(Ok(None)),
                Rest::Reading(entries, call) => {
                    let result = ready!(Pin::new(call).poll(cx));
                    self.rest = Rest::Unread(entries.clone());
                    self.accept(result?);
                }
                Rest::Unread(entries) => {
                    // Where no thread can be started, who skips errors would ask for ever.
                    ready!(coop::poll_proceed(cx));
                    let entries = entries.clone();
                    let theirs = entries.clone();
                    let read = move || Ok(read_batch(&mut theirs.lock()));
                    self.rest = Rest::Reading(entries, Call::start(&self.handle, read)?);
                }
            }
        }
    }

    fn accept(&mut self, batch: Batch) {
        self.batch = batch.entries;
        if batch.is_last {
            self.rest = Rest::End;
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx).map(Result::transpose)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").field("batch", &self.batch.len()).finish_non_exhaustive()
    }
}

/// An entry of a directory: a name, and the way to what it names.
#[derive(Clone)]
pub struct DirEntry {
    std: Arc<std::fs::DirEntry>,
    /// Found on the blocking thread: most file systems tell it together with the name, others have to
    /// look it up.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(std: std::fs::DirEntry) -> DirEntry {
        DirEntry { file_type: std.file_type().ok(), std: Arc::new(std) }
    }

    /// The name, without the directory.
    #[must_use]
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// The path: that given to [`read_dir`] with the name behind it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// Whether it is a file, a directory, a symbolic link or something else. Normally known without
    /// another system call.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound) if it has been removed meanwhile, and others of the
    /// operating system.
    ///
    /// # Panics
    /// As [`metadata`](DirEntry::metadata), if it is not known.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.metadata().await.map(|metadata| metadata.file_type()),
        }
    }

    /// What is known about the file; does not follow a symbolic link.
    ///
    /// # Errors
    /// As [`file_type`](DirEntry::file_type).
    ///
    /// # Panics
    /// When it is polled outside of a runtime.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        let std = self.std.clone();
        let work = move || {
            std.metadata()
                .map_err(|error| PathError::wrap(error, "read the metadata of", &std.path(), None))
        };
        crate::io::call::call("DirEntry::metadata", work).await
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use super::*;
    use crate::{Builder, Scheduler};

    #[test]
    fn a_directory_does_not_end_where_no_thread_can_be_started() {
        for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
            let runtime = Builder::new().scheduler(scheduler).build().expect("a runtime");
            // It needs no thread itself, and no system has so much memory for the stack of one.
            let poor = Builder::new().scheduler(Scheduler::SingleThreaded).stack_size(1 << 50);
            let poor = poor.build().expect("a runtime");
            let entries = std::fs::read_dir("/proc/self").expect("this is Linux");
            let mut dir = ReadDir::new(poor.handle().clone(), entries);
            for _ in 0..2 {
                poor.block_on(dir.next_entry()).expect_err("no thread");
            }
            dir.handle = runtime.handle().clone();
            assert!(runtime.block_on(dir.next_entry()).expect("a thread").is_some());
        }
    }
}
