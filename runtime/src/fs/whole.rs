//! The whole of a small file, read on the worker where nothing waits for a disk.
//!
//! Opening a file may wait for the directories of its path. Linux 5.12 opens one only if it need not
//! (`RESOLVE_CACHED`, see openat2(2)), which is what `io_uring` tries first too; then what is in the
//! page cache is read as by [`Cached`](super::cached::Cached). In all other cases, and for all
//! errors, a blocking thread begins anew.
//!
//! The flag is about the path: the `open` of a file system may wait after that, as those of FUSE and of
//! networks do, and `fstat` for new attributes. `fstatfs` could tell where it is safe, but waits there
//! itself; the documents of [`fs`](super) say what to do.

use std::io;
use std::path::Path;

/// The longest file that is read so: about 10 us of the worker's time.
const MOST: usize = 128 * 1024;

/// The content of the file, if it is a regular one, not long, and in memory with its path.
#[cfg(target_os = "linux")]
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    use rustix::fs::{FileType, OFlags, fstat};

    // Opening what is no regular file has effects: a FIFO has a reader then, a device may do
    // anything. This finds out what it is without opening it.
    let file = fstat(open(path, OFlags::PATH)?).ok()?;
    if FileType::from_raw_mode(file.st_mode) != FileType::RegularFile {
        return None;
    }
    let length = usize::try_from(file.st_size).ok().filter(|length| *length <= MOST)?;
    let file = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    // One more byte than there should be: a file of the kernel's says that it is empty, and another
    // may have grown.
    let mut bytes = vec![0; length + 1];
    let mut read = 0;
    while read < bytes.len() {
        match read_nowait(&file, &mut bytes[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    // Nothing at all may be a kernel that says so where the page is not there, or the kernel's file.
    let is_whole = read == length && length > 0;
    bytes.truncate(read);
    is_whole.then_some(bytes)
}

#[cfg(target_os = "linux")]
fn open(path: &Path, flags: rustix::fs::OFlags) -> Option<rustix::fd::OwnedFd> {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};

    openat2(CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED).ok()
}

#[cfg(target_os = "linux")]
fn read_nowait(file: &rustix::fd::OwnedFd, buf: &mut [u8], offset: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};

    preadv2(file, &mut [io::IoSliceMut::new(buf)], offset, ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &Path) -> Option<Vec<u8>> {
    None
}
