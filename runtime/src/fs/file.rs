//! An open file.

use std::fmt;
use std::fs::{Metadata, Permissions};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::OpenOptions;
use super::cached::Cached;
use super::file_io::Cursor;
use super::under_way::UnderWay;
use crate::blocking::Duty;
use crate::handle::Handle;
use crate::io::call::{Call, retry_interrupted};
use crate::io::write_behind::WriteBehind;

/// The most that one call on a blocking thread reads; a larger buffer is filled in part.
pub(super) const MOST_PER_CALL: usize = 2 * 1024 * 1024;

/// An open file.
///
/// It is read, written and positioned with its own methods or through the traits of
/// [`runtime::io`](crate::io). What is in the page cache is read on the worker where Linux can tell;
/// all else goes to the blocking pool of the runtime in which the file was opened.
///
/// **Writes.** [`write`](File::write) and its kind return when the operating system has the bytes:
/// other processes see them, no `flush` is needed, and nothing is lost if the file is dropped or the
/// runtime shut down. [`sync_all`](File::sync_all) brings them to the disk. Through the trait
/// [`AsyncWrite`](crate::io::AsyncWrite) bytes are accepted at once, up to 256 KiB, and written behind
/// the caller's back; they are not lost either, but a failure is reported by the next write,
/// `flush`, `close` or `sync`. Who drops the file without one of these never hears of it.
///
/// **Order.** Reads, writes and seeks take effect in the order of the calls, also when a future was
/// dropped before it was done: the next call waits for what the dropped one had started. Calls that
/// are under way at once, such as two of [`write_at`](File::write_at), have no order between them, and
/// neither have [clones](File::try_clone), which share the cursor.
///
/// **Memory.** Reads and writes that go to the pool need a copy of the bytes, whose buffers are kept
/// for the next ones: as large as the largest read, at most 2 MiB, and twice 256 KiB for writes. What
/// a dropped [`read_to_end`](File::read_to_end) has read is kept until the next call.
///
/// Dropping it closes the file, after what is under way.
///
/// # Examples
/// ```
/// use runtime::fs::File;
///
/// # runtime::Builder::new().build()?.block_on(async {
/// # let path = std::env::temp_dir().join(format!("runtime-file-{}", std::process::id()));
/// let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
/// file.write_all(b"hello, file").await?;
/// file.rewind().await?;
/// let mut text = String::new();
/// file.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello, file");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    pub(super) handle: Handle,
    pub(super) behind: Arc<WriteBehind<std::fs::File>>,
    pub(super) cached: Cached,
    pub(super) cursor: Cursor,
    /// How many calls of `write_at` and `set_len` there have been, which may have changed what a
    /// dropped read has read. Relaxed: who looks at it has the file for itself, so that all of them
    /// happened before.
    pub(super) changes: AtomicU64,
    /// Whether a clone may use the cursor. Then all that does goes to the blocking pool: the system
    /// lets one at a time have a cursor, and a clone's read may have it for as long as a disk takes.
    /// Set by `try_clone` and never cleared. Relaxed: who uses the cursor has the file for itself, so
    /// that making the clone happened before.
    is_shared: AtomicBool,
}

impl File {
    pub(super) fn new(std: std::fs::File, handle: Handle) -> File {
        File {
            handle,
            behind: Arc::new(WriteBehind::new(std)),
            cached: Cached::new(),
            cursor: Cursor::default(),
            changes: AtomicU64::new(0),
            is_shared: AtomicBool::new(false),
        }
    }

    /// Whether a clone may use the cursor too.
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Opens a file for reading.
    ///
    /// A directory can be opened; reading it fails with
    /// [`IsADirectory`](io::ErrorKind::IsADirectory).
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied),
    /// and others of the operating system, with the path; see [`PathError`](crate::fs::PathError).
    ///
    /// # Panics
    /// When it is polled outside of a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file for writing; it is made if it is not there, and emptied if it is.
    ///
    /// **Cancel safety**: none, see [`OpenOptions::open`].
    ///
    /// # Errors
    /// As [`File::open`], and [`IsADirectory`](io::ErrorKind::IsADirectory).
    ///
    /// # Panics
    /// When it is polled outside of a runtime.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().write(true).create(true).truncate(true).open(path).await
    }

    /// Makes a file that must not exist, for reading and writing.
    ///
    /// **Cancel safety**: none, see [`OpenOptions::open`].
    ///
    /// # Errors
    /// As [`File::open`], and [`AlreadyExists`](io::ErrorKind::AlreadyExists).
    ///
    /// # Panics
    /// When it is polled outside of a runtime.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(path).await
    }

    /// The options of a file to be opened; all are off.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of the standard library. Makes no system call.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    #[must_use]
    pub fn from_std(std: std::fs::File) -> File {
        File::new(std, Handle::require("File::from_std"))
    }

    /// The file as one of the standard library, when all that was under way is done.
    ///
    /// Its descriptor may be a duplicate, if a thread is just about to let go of the original. What a
    /// dropped read has taken from a pipe, a socket or a terminal is lost: they take nothing back.
    ///
    /// # Errors
    /// Those of writes that nobody has been told of; those of duplicating the descriptor.
    pub async fn into_std(mut self) -> io::Result<std::fs::File> {
        self.settle().await;
        self.flush().await?;
        match Arc::try_unwrap(self.behind) {
            Ok(behind) => Ok(behind.into_target()),
            Err(shared) => shared.target().try_clone(),
        }
    }

    /// Another handle to the same open file, which shares the cursor.
    ///
    /// The system lets one call at a time use a cursor, so from then on all reads and seeks at it go to
    /// the blocking pool, for both handles, also of what is in the page cache. [`read_at`](File::read_at)
    /// needs no cursor. Who shares a cursor without this method, by a file of the standard library and
    /// [`from_std`](File::from_std) or with another process, should not read at it from both sides: a
    /// worker may wait for the read of the other one.
    ///
    /// # Errors
    /// Those of the operating system, such as too many open files.
    pub async fn try_clone(&self) -> io::Result<File> {
        self.is_shared.store(true, Ordering::Relaxed);
        let std = self.ordered(Duty::Optional, std::fs::File::try_clone).await?;
        let clone = File::new(std, self.handle.clone());
        clone.is_shared.store(true, Ordering::Relaxed);
        Ok(clone)
    }

    /// Reads at an offset in bytes and returns how many; 0 is the end of the file, or an empty
    /// buffer. The cursor stays.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        poll_fn(|cx| Cached::poll_proceed(cx, buf.len())).await;
        if self.behind.is_settled() {
            if let Some(result) = self.cached.read(self.behind.target(), buf, Some(offset)) {
                return result;
            }
        }
        let mut bytes = vec![0; buf.len().min(MOST_PER_CALL)];
        let read = move |file: &std::fs::File| {
            let read = retry_interrupted(|| file.read_at(&mut bytes, offset))?;
            Ok((bytes, read))
        };
        let (bytes, read) = self.ordered(Duty::Optional, read).await?;
        buf[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    /// Writes at an offset in bytes and returns how many. The cursor stays; a file that was opened to
    /// append is appended to all the same, on Linux.
    ///
    /// **Cancel safety**: the bytes may be written after the future was dropped, and nobody is told if
    /// that fails. The next call waits for it.
    ///
    /// # Errors
    /// Those of the operating system, and that the runtime has been shut down.
    pub async fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        let bytes = buf[..buf.len().min(MOST_PER_CALL)].to_vec();
        let write = move |file: &std::fs::File| retry_interrupted(|| file.write_at(&bytes, offset));
        self.ordered(Duty::Mandatory, write).await
    }

    /// Waits until the content and the metadata are on the disk.
    ///
    /// # Errors
    /// Those of earlier writes that nobody has been told of, and those of the operating system. If
    /// there are both, or the future was dropped, the next write, `flush` or `sync` reports what this
    /// one has not.
    pub async fn sync_all(&self) -> io::Result<()> {
        self.sync(std::fs::File::sync_all).await
    }

    /// Waits until the content is on the disk, and of the metadata what is needed to read it.
    ///
    /// # Errors
    /// As [`sync_all`](File::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        self.sync(std::fs::File::sync_data).await
    }

    async fn sync(&self, sync: fn(&std::fs::File) -> io::Result<()>) -> io::Result<()> {
        let behind = self.behind.clone();
        let sync = move |file: &std::fs::File| Ok(Untold { error: sync(file).err(), behind });
        let synced = self.ordered(Duty::Optional, sync).await;
        if let Some(error) = self.behind.take_error() {
            return Err(error);
        }
        synced?.error.take().map_or(Ok(()), Err)
    }

    /// Makes the file `size` bytes long, by cutting it off or by adding zeros. The cursor stays.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is not open for writing, and others of the
    /// operating system.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.ordered(Duty::Optional, move |file| file.set_len(size)).await
    }

    /// What is known about the file: size, permissions, times. Earlier writes count.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        self.ordered(Duty::Optional, std::fs::File::metadata).await
    }

    /// Changes who may read, write and execute the file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.ordered(Duty::Optional, move |file| file.set_permissions(permissions)).await
    }

    /// Runs `work` on a blocking thread, after the calls whose futures were dropped and the bytes that
    /// were accepted before.
    async fn ordered<T: Send + 'static>(
        &self,
        duty: Duty,
        work: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        poll_fn(|cx| self.behind.poll_none_abandoned(cx)).await;
        let (_ours, theirs) = UnderWay::new(&self.behind);
        let behind = self.behind.clone();
        let work = move || {
            behind.drain();
            // If nobody takes the result, it is dropped before the call has ended for the next one.
            Ok((work(behind.target()), theirs))
        };
        let call = match duty {
            Duty::Optional => Call::start(&self.handle, work),
            Duty::Mandatory => Call::start_mandatory(&self.handle, work),
        };
        let (result, _theirs) = call?.await?;
        result
    }
}

/// The failure of a sync, which the system tells once: if nobody hears of it, it is kept.
struct Untold {
    error: Option<io::Error>,
    behind: Arc<WriteBehind<std::fs::File>>,
}

impl Drop for Untold {
    fn drop(&mut self) {
        if let Some(error) = self.error.take() {
            self.behind.keep_later_error(error);
        }
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.behind.target().as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.behind.target().as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("file", self.behind.target())
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use std::future::Future;
    use std::io::SeekFrom;
    use std::pin::{Pin, pin};
    use std::sync::mpsc;
    use std::task::{Context, Waker};

    use futures_util::poll;

    use super::*;
    use crate::{Builder, Scheduler};

    type Next = fn(&mut File) -> Pin<Box<dyn Future<Output = io::Result<()>> + '_>>;

    /// What a call may be, by name and with the first byte of the file afterwards; 1 is that of the
    /// call before.
    const ALL: [(&str, Next, u8); 12] = [
        ("write_at", |file| Box::pin(async { file.write_at(b"2", 0).await.map(drop) }), b'2'),
        ("sync_all", |file| Box::pin(file.sync_all()), b'1'),
        ("sync_data", |file| Box::pin(file.sync_data()), b'1'),
        ("metadata", |file| Box::pin(async { file.metadata().await.map(drop) }), b'1'),
        ("set_len", |file| Box::pin(async { file.set_len(0).await.and(file.set_len(1).await) }), 0),
        ("try_clone", |file| Box::pin(async { file.try_clone().await.map(drop) }), b'1'),
        ("read_at", |file| Box::pin(read_at(file)), b'1'),
        ("read", |file| Box::pin(read(file)), b'1'),
        ("read_to_end", |file| Box::pin(read_to_end(file)), b'1'),
        ("write", |file| Box::pin(async { file.write(b"2").await.map(drop) }), b'2'),
        ("seek", |file| Box::pin(async { file.seek(SeekFrom::End(0)).await.map(drop) }), b'1'),
        ("into_std", |file| Box::pin(into_std(file)), b'1'),
    ];

    async fn read_at(file: &File) -> io::Result<()> {
        let mut buf = [0];
        assert_eq!((file.read_at(&mut buf, 0).await?, &buf), (1, b"1"));
        Ok(())
    }

    async fn read(file: &mut File) -> io::Result<()> {
        let mut buf = [0];
        assert_eq!((file.read(&mut buf).await?, &buf), (1, b"1"));
        Ok(())
    }

    async fn read_to_end(file: &mut File) -> io::Result<()> {
        let mut bytes = Vec::new();
        assert_eq!((file.read_to_end(&mut bytes).await?, &bytes[..]), (1, &b"1"[..]));
        Ok(())
    }

    async fn into_std(file: &mut File) -> io::Result<()> {
        let null = File::from_std(std::fs::File::open("/dev/null")?);
        *file = File::from_std(std::mem::replace(file, null).into_std().await?);
        Ok(())
    }

    /// A call that a thread does not end before the test says so, and one behind it on another.
    #[test]
    fn a_call_waits_for_the_one_before_though_its_future_was_dropped() {
        for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
            let runtime = Builder::new().scheduler(scheduler).max_blocking_threads(2).build();
            runtime.expect("a runtime").block_on(async {
                let path = std::env::temp_dir().join(format!("runtime-way-{}", std::process::id()));
                let mut options = File::options();
                let options = options.read(true).write(true).create(true).truncate(true);
                let mut file = options.open(&path).await.expect("a temporary file");
                std::fs::remove_file(path).expect("it was made");
                for (name, next, expected) in ALL {
                    file.set_len(1).await.expect("ours");
                    file.rewind().await.expect("a file");
                    let (release, is_released) = mpsc::channel::<()>();
                    let held = file.ordered(Duty::Mandatory, move |file| {
                        let _ = is_released.recv();
                        file.write_at(b"1", 0)
                    });
                    let mut cx = Context::from_waker(Waker::noop());
                    assert!(pin!(held).poll(&mut cx).is_pending());

                    let mut next = next(&mut file);
                    assert!(poll!(&mut next).is_pending(), "{name}, {scheduler}");
                    // The other thread takes one after the other, so it has been through here.
                    crate::spawn_blocking(|| ()).await.expect("no panic");
                    assert!(poll!(&mut next).is_pending(), "{name}, {scheduler}");
                    drop(release);
                    next.await.expect("ours");
                    let mut first = [0];
                    file.behind.target().read_exact_at(&mut first, 0).expect("ours");
                    assert_eq!(first[0], expected, "{name}, {scheduler}");
                }
            });
        }
    }
}
