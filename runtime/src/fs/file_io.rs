//! What moves the cursor of a file: reads, writes and seeks, in order.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncSeek, AsyncWrite};

use super::File;
use super::cached::Cached;
use super::file::MOST_PER_CALL;
use crate::coop;
use crate::io::call::{Call, retry_interrupted};

/// What goes on at the cursor of a [`File`], apart from writes that were accepted.
///
/// At most one call is under way. It outlives the future that started it, and whatever comes next
/// waits for it first: so a dropped future does not disturb the order, and what a dropped read has
/// read is given to the next one, or put back by moving the cursor.
#[derive(Default)]
pub(super) struct Cursor {
    call: Option<Move>,
    /// Lent to each read; its length is what has been initialised, not what is of use.
    buffer: Vec<u8>,
    /// What of `buffer` has been read from the file and not by the user.
    unread: Range<usize>,
    /// What the file failed with behind what is unread.
    error: Option<io::Error>,
    /// Whether what is unread, and the error, could not be put back. They stay until they are read.
    stays: bool,
    /// Whether a blocking thread has not put it back: the next time it is done where it is asked for.
    goes_back_here: bool,
    /// [`File::changes`] when the last call was started. If there are more now, what it has found out
    /// is of no use.
    seen: u64,
}

enum Move {
    Read(Call<Got>),
    Seek(SeekFrom, Call<u64>),
    /// Back to before what is unread.
    Back(Call<u64>),
}

/// What a read got: the first `read` bytes of `buffer`, and then the error.
struct Got {
    buffer: Vec<u8>,
    read: usize,
    error: Option<io::Error>,
}

/// How a call ended.
enum Moved {
    Read(usize),
    Sought(SeekFrom, io::Result<u64>),
    Back,
}

impl Cursor {
    /// Waits for the call that is under way, if one is.
    fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moved>> {
        let moved = match &mut self.call {
            None => return Poll::Ready(None),
            Some(Move::Read(call)) => {
                let result = ready!(Pin::new(call).poll(cx));
                self.stays = false;
                match result {
                    Ok(got) => {
                        self.buffer = got.buffer;
                        self.set_unread(0..got.read);
                        self.error = got.error;
                        Moved::Read(got.read)
                    }
                    Err(error) => {
                        self.error = Some(error);
                        Moved::Read(0)
                    }
                }
            }
            Some(Move::Seek(to, call)) => {
                let (to, result) = (*to, ready!(Pin::new(call).poll(cx)));
                if result.is_ok() {
                    self.forget();
                }
                Moved::Sought(to, result)
            }
            Some(Move::Back(call)) => {
                match ready!(Pin::new(call).poll(cx)) {
                    Ok(_) => self.forget(),
                    // Perhaps it was never made, as after a shutdown.
                    Err(_) => self.goes_back_here = true,
                }
                Moved::Back
            }
        };
        self.call = None;
        Poll::Ready(Some(moved))
    }

    /// Gives out what is unread.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.unread.len());
        let start = self.unread.start;
        buf[..count].copy_from_slice(&self.buffer[start..start + count]);
        self.set_unread(start + count..self.unread.end);
        count
    }

    /// How far the cursor is to be moved back, to before what is unread and the error behind it.
    fn way_back(&self) -> Option<SeekFrom> {
        if self.stays || self.unread.is_empty() && self.error.is_none() {
            return None;
        }
        let count = i64::try_from(self.unread.len()).expect("a buffer is shorter than i64::MAX");
        Some(SeekFrom::Current(-count))
    }

    /// The cursor is elsewhere than where the last read has left it.
    fn forget(&mut self) {
        self.set_unread(0..0);
        self.error = None;
        self.stays = false;
        self.goes_back_here = false;
    }

    /// What `read_to_end` has read can be of any size, and is not kept when it is of no use.
    fn set_unread(&mut self, unread: Range<usize>) {
        if unread.is_empty() && self.buffer.capacity() > MOST_PER_CALL {
            self.buffer = Vec::new();
        }
        self.unread = unread;
    }
}

impl File {
    /// Reads some bytes at the cursor and returns how many; 0 is the end of the file, or an empty
    /// buffer.
    ///
    /// **Cancel safety**: safe, the next read returns what a dropped one has read.
    ///
    /// # Errors
    /// [`IsADirectory`](ErrorKind::IsADirectory), and others of the operating system.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buf)).await
    }

    /// Fills the buffer.
    ///
    /// **Cancel safety**: none, the bytes that were read before are lost.
    ///
    /// # Errors
    /// [`UnexpectedEof`](ErrorKind::UnexpectedEof) if the file ends before, and those of
    /// [`read`](File::read).
    pub async fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.read(&mut buf[filled..]).await? {
                0 => {
                    let wanted = buf.len();
                    let message = format!("the file ended after {filled} of {wanted} bytes");
                    return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
                }
                read => filled += read,
            }
        }
        Ok(())
    }

    /// Appends all that follows the cursor to `bytes`, and returns how much that was. One call, on a
    /// blocking thread.
    ///
    /// **Cancel safety**: safe, the next read returns what a dropped one has read.
    ///
    /// # Errors
    /// As [`read`](File::read). What was read before is appended then.
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.settle().await;
        let behind = self.behind.clone();
        // What a pipe did not take back comes first. It stays unread until the call is done.
        let mut buffer = self.cursor.buffer[self.cursor.unread.clone()].to_vec();
        let failed = self.cursor.error.take();
        let read = move || {
            let read_on = || behind.target().read_to_end(&mut buffer).err();
            let error = failed.or_else(read_on);
            Ok(Got { read: buffer.len(), buffer, error })
        };
        let call = Call::start(&self.handle, read)?;
        self.begin(Move::Read(call));
        let cursor = &mut self.cursor;
        poll_fn(|cx| cursor.poll_still(cx)).await;
        let read = cursor.unread.len();
        bytes.extend_from_slice(&cursor.buffer[cursor.unread.clone()]);
        cursor.set_unread(0..0);
        cursor.error.take().map_or(Ok(read), Err)
    }

    /// Appends all that follows the cursor to `text`, and returns how many bytes that was. One call,
    /// on a blocking thread.
    ///
    /// **Cancel safety**: safe, the next read returns what a dropped one has read.
    ///
    /// # Errors
    /// [`InvalidData`](ErrorKind::InvalidData) if it is not UTF-8, and `text` is unchanged then; and
    /// those of [`read`](File::read), and what was read before is appended then if it is UTF-8.
    pub async fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let read = self.read_to_end(&mut bytes).await;
        match String::from_utf8(bytes) {
            Ok(more) => {
                text.push_str(&more);
                read
            }
            Err(error) => read.and(Err(io::Error::new(ErrorKind::InvalidData, error))),
        }
    }

    /// Writes some of the bytes at the cursor, up to 256 KiB, and returns how many: when the operating
    /// system has them.
    ///
    /// **Cancel safety**: none; when the future has been polled, the bytes may be written, whether it
    /// is dropped or not, and the next call waits for that.
    ///
    /// # Errors
    /// [`StorageFull`](ErrorKind::StorageFull), others of the operating system, and that the runtime
    /// has been shut down. Of the bytes some may have been written.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await?;
        self.flush().await?;
        Ok(written)
    }

    /// Writes all of the bytes at the cursor, and returns when the operating system has them.
    ///
    /// **Cancel safety**: none, some of the bytes may have been written, or be written later.
    ///
    /// # Errors
    /// As [`write`](File::write).
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let accepted = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await?;
            buf = &buf[accepted..];
        }
        self.flush().await
    }

    /// Waits until the operating system has all bytes that were written through the trait
    /// [`AsyncWrite`]. The methods of this type need no flush.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// Those of earlier writes that nobody has been told of.
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.behind.poll_flush(cx)).await
    }

    /// Moves the cursor, and returns where it is then, in bytes from the start.
    ///
    /// **Cancel safety**: the cursor may be where it was, or where it was to go.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a place before the start,
    /// [`NotSeekable`](ErrorKind::NotSeekable) for a pipe or a terminal, and others of the operating
    /// system.
    pub async fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // A seek that was dropped has found the end as it was then.
        self.settle().await;
        poll_fn(|cx| Pin::new(&mut *self).poll_seek(cx, to)).await
    }

    /// Moves the cursor to the start.
    ///
    /// # Errors
    /// As [`seek`](File::seek).
    pub async fn rewind(&mut self) -> io::Result<()> {
        self.seek(SeekFrom::Start(0)).await.map(drop)
    }

    /// Where the cursor is, in bytes from the start.
    ///
    /// # Errors
    /// As [`seek`](File::seek).
    pub async fn stream_position(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::Current(0)).await
    }

    /// Waits for all that is under way, and puts back what was read and is unread.
    pub(super) async fn settle(&mut self) {
        poll_fn(|cx| self.poll_settle(cx)).await;
    }

    /// As [`settle`](File::settle). The results of the calls that end here are those of futures that
    /// were dropped; errors of writes are kept.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.cursor.poll_still(cx));
        ready!(self.behind.poll_settled(cx));
        self.poll_put_back(cx)
    }

    /// Moves the cursor back to before what is unread and the error behind it, which the next read meets
    /// again. A pipe or a terminal has no cursor; there both stay.
    ///
    /// Moving by an amount changes a number in the kernel and waits for nothing, so it is done here, but
    /// for a cursor that a clone's read may have.
    fn poll_put_back(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(way) = self.cursor.way_back() else { return Poll::Ready(()) };
        if self.is_shared() && !self.cursor.goes_back_here {
            let behind = self.behind.clone();
            let back = move || behind.target().seek(way);
            if let Ok(call) = Call::start(&self.handle, back) {
                self.cursor.call = Some(Move::Back(call));
                ready!(self.cursor.poll_still(cx));
            }
        }
        // If there is no thread: better that the worker waits than that bytes land elsewhere.
        if let Some(way) = self.cursor.way_back() {
            match self.behind.target().seek(way) {
                Ok(_) => self.cursor.forget(),
                Err(_) => self.cursor.stays = true,
            }
        }
        Poll::Ready(())
    }

    /// Remembers a call that has been started.
    fn begin(&mut self, call: Move) {
        self.cursor.seen = self.changes.load(Ordering::Relaxed);
        self.cursor.call = Some(call);
    }

    /// Whether the file has been changed since the last call was started.
    fn is_stale(&self) -> bool {
        self.cursor.seen != self.changes.load(Ordering::Relaxed)
    }

    /// Starts a read of about `wanted` bytes on a blocking thread.
    fn start_read(&mut self, wanted: usize) -> io::Result<()> {
        let behind = self.behind.clone();
        let mut buffer = std::mem::take(&mut self.cursor.buffer);
        let wanted = wanted.min(MOST_PER_CALL);
        let read = move || {
            if buffer.len() < wanted {
                buffer.reserve_exact(wanted - buffer.len());
                buffer.resize(wanted, 0);
            }
            let read = retry_interrupted(|| behind.target().read(&mut buffer[..wanted]))?;
            Ok(Got { buffer, read, error: None })
        };
        let call = Call::start(&self.handle, read)?;
        self.begin(Move::Read(call));
        Ok(())
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let this = &mut *self;
        loop {
            let moved = ready!(this.cursor.poll_still(cx));
            let is_stale = this.is_stale();
            if is_stale {
                ready!(this.poll_put_back(cx));
            }
            if !this.cursor.unread.is_empty() {
                return Poll::Ready(Ok(this.cursor.take(buf)));
            }
            if let Some(error) = this.cursor.error.take() {
                return Poll::Ready(Err(error));
            }
            if matches!(moved, Some(Moved::Read(0))) && !is_stale {
                return Poll::Ready(Ok(0));
            }
            ready!(this.behind.poll_settled(cx));
            ready!(Cached::poll_proceed(cx, buf.len()));
            if !this.is_shared() {
                if let Some(result) = this.cached.read(this.behind.target(), buf, None) {
                    return Poll::Ready(result);
                }
            }
            this.start_read(buf.len())?;
        }
    }
}

/// Bytes are accepted at once and written by a blocking thread; see [`File`].
impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.cursor.poll_still(cx));
        ready!(this.behind.poll_none_abandoned(cx));
        ready!(this.poll_put_back(cx));
        this.behind.poll_write(cx, &this.handle, buf)
    }

    /// Waits until the operating system has the bytes, and reports the errors of earlier writes.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.behind.poll_flush(cx)
    }

    /// As `poll_flush`; the file is closed when it is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.behind.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        let this = &mut *self;
        loop {
            if let Some(Moved::Sought(was_to, result)) = ready!(this.cursor.poll_still(cx)) {
                if was_to == to && !this.is_stale() {
                    return Poll::Ready(result);
                }
            }
            ready!(this.poll_settle(cx));
            if !matches!(to, SeekFrom::End(_)) && !this.is_shared() {
                // As in `poll_put_back`: a number changes, nothing waits.
                ready!(coop::poll_proceed(cx));
                let result = this.behind.target().seek(to);
                if result.is_ok() {
                    this.cursor.forget();
                }
                return Poll::Ready(result);
            }
            // Where the end is, a network file system may have to ask.
            let behind = this.behind.clone();
            let seek = move || behind.target().seek(to);
            let call = Call::start(&this.handle, seek)?;
            this.begin(Move::Seek(to, call));
        }
    }
}

#[cfg(all(test, not(any(windlass_loom, windlass_shuttle))))]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Waker;

    use super::*;
    use crate::{Builder, Scheduler};

    #[test]
    fn what_a_dropped_read_to_end_has_read_is_not_kept_for_nothing() {
        for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
            let runtime = Builder::new().scheduler(scheduler).max_blocking_threads(1).build();
            runtime.expect("a runtime").block_on(async {
                let length = 3 * MOST_PER_CALL;
                let path =
                    std::env::temp_dir().join(format!("runtime-kept-{}", std::process::id()));
                let mut options = File::options();
                let options = options.read(true).write(true).create(true);
                let mut file = options.open(&path).await.expect("a temporary file");
                std::fs::remove_file(path).expect("it was made");
                file.set_len(length as u64).await.expect("a hole needs no space");
                let (release, is_released) = mpsc::channel::<()>();
                drop(crate::spawn_blocking(move || is_released.recv()));
                let mut bytes = Vec::new();
                let mut cx = Context::from_waker(Waker::noop());
                assert!(pin!(file.read_to_end(&mut bytes)).poll(&mut cx).is_pending());
                drop(release);
                let mut buf = vec![0; length - 1];
                file.read_exact(&mut buf).await.expect("so much was read");
                assert_eq!(file.cursor.buffer.len(), length, "one byte is unread, {scheduler}");
                file.rewind().await.expect("a file");
                assert_eq!(file.cursor.buffer.capacity(), 0, "{scheduler}");
            });
        }
    }
}
