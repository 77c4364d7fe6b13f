//! Reads of what is in the page cache, which do not wait for a disk.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use crate::coop;

/// The most that one read copies on a worker: about 10 us of its time. The rest of a larger buffer is
/// left to the next read.
const MOST: usize = 128 * 1024;

/// How much of a read costs one unit of the task's budget, so that a poll full of one future's reads
/// copies little over 2 MiB.
const PER_UNIT: usize = 16 * 1024;

/// Reads without waiting, where the system and the file can.
pub(super) struct Cached {
    /// Whether the file can. Cleared by the first read that finds out that it cannot, and never set
    /// again. Relaxed: it is a hint that publishes nothing; a late reader asks once too often.
    is_possible: AtomicBool,
}

impl Cached {
    pub(super) fn new() -> Cached {
        Cached { is_possible: AtomicBool::new(true) }
    }

    /// Takes the units of the task's budget that a read into so large a buffer may cost.
    pub(super) fn poll_proceed(cx: &mut Context<'_>, length: usize) -> Poll<()> {
        coop::poll_proceed_many(cx, length.min(MOST).div_ceil(PER_UNIT) as u8)
    }

    /// Reads what is cached at `offset`, or at the cursor, which it moves then.
    ///
    /// `None`: the read has to wait, or cannot be known not to; a blocking thread must do it. The
    /// kernel has begun to read ahead then. It may be given less than there is.
    pub(super) fn read(
        &self,
        file: &File,
        buf: &mut [u8],
        offset: Option<u64>,
    ) -> Option<io::Result<usize>> {
        if !self.is_possible.load(Ordering::Relaxed) {
            return None;
        }
        let most = buf.len().min(MOST);
        match read_nowait(file, &mut buf[..most], offset) {
            // Linux 5.9 and 5.10 also said 0 where the page was not there.
            Ok(0) if !is_at_end(file, offset) => None,
            Ok(read) => Some(Ok(read)),
            Err(Refusal::NotNow) => None,
            Err(Refusal::Never) => {
                self.is_possible.store(false, Ordering::Relaxed);
                None
            }
            Err(Refusal::Failed(error)) => Some(Err(error)),
        }
    }
}

enum Refusal {
    NotNow,
    Never,
    Failed(io::Error),
}

#[cfg(target_os = "linux")]
fn read_nowait(file: &File, buf: &mut [u8], offset: Option<u64>) -> Result<usize, Refusal> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    /// Means the cursor to the system call.
    const CURSOR: u64 = u64::MAX;
    if offset.is_some_and(|offset| i64::try_from(offset).is_err()) {
        // Would be a negative number to the kernel; the blocking read says so.
        return Err(Refusal::NotNow);
    }
    let mut bufs = [io::IoSliceMut::new(buf)];
    let offset = offset.unwrap_or(CURSOR);
    preadv2(file, &mut bufs, offset, ReadWriteFlags::NOWAIT).map_err(|error| match error {
        Errno::AGAIN | Errno::INTR => Refusal::NotNow,
        // The file system does not know the flag, the kernel not the call, or a sandbox forbids it.
        // What else these may mean, the blocking read will say.
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::SPIPE => {
            Refusal::Never
        }
        error => Refusal::Failed(error.into()),
    })
}

#[cfg(not(target_os = "linux"))]
fn read_nowait(_: &File, _: &mut [u8], _: Option<u64>) -> Result<usize, Refusal> {
    Err(Refusal::Never)
}

/// Whether `offset`, or the cursor, is at the end of a regular file, whose metadata is in memory
/// because it has just been read.
fn is_at_end(mut file: &File, offset: Option<u64>) -> bool {
    use std::io::Seek;

    let position = match offset {
        Some(offset) => Ok(offset),
        None => file.stream_position(),
    };
    let length = file.metadata().map(|metadata| metadata.len());
    matches!((position, length), (Ok(position), Ok(length)) if position >= length)
}
