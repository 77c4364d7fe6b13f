//! What moves the cursor of a file: reads, writes and seeks, in order.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::pin::Pin;
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
}

enum Move {
    Read(Call<(Vec<u8>, usize)>),
    Seek(SeekFrom, Call<u64>),
}

/// How a call ended.
enum Moved {
    Read(io::Result<usize>),
    Sought(SeekFrom, io::Result<u64>),
}

impl Cursor {
    /// Waits for the call that is under way, if one is.
    fn poll_still(&mut self, cx: &mut Context<'_>) -> Poll<Option<Moved>> {
        let moved = match &mut self.call {
            None => return Poll::Ready(None),
            Some(Move::Read(call)) => {
                let result = ready!(Pin::new(call).poll(cx));
                Moved::Read(result.map(|(buffer, read)| {
                    self.buffer = buffer;
                    self.unread = 0..read;
                    read
                }))
            }
            Some(Move::Seek(to, call)) => Moved::Sought(*to, ready!(Pin::new(call).poll(cx))),
        };
        self.call = None;
        Poll::Ready(Some(moved))
    }

    /// Gives out what is unread.
    fn take(&mut self, buf: &mut [u8]) -> usize {
        let count = buf.len().min(self.unread.len());
        let start = self.unread.start;
        buf[..count].copy_from_slice(&self.buffer[start..start + count]);
        self.unread.start += count;
        count
    }

    /// Moves the cursor back to before what is unread. A pipe or a terminal has no cursor; there it
    /// stays unread.
    ///
    /// Moving by an amount changes a number in the kernel and waits for nothing, so it is done here.
    fn put_back(&mut self, mut file: &std::fs::File) {
        if self.unread.is_empty() {
            return;
        }
        let count = i64::try_from(self.unread.len()).expect("a buffer is shorter than i64::MAX");
        if file.seek(SeekFrom::Current(-count)).is_ok() {
            self.unread = 0..0;
        }
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
    /// As [`read`](File::read).
    pub async fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.settle().await;
        let behind = self.behind.clone();
        let call = move || {
            let mut buffer = Vec::new();
            let read = behind.target().read_to_end(&mut buffer)?;
            Ok((buffer, read))
        };
        let before = self.cursor.unread.len();
        bytes.extend_from_slice(&self.cursor.buffer[self.cursor.unread.clone()]);
        self.cursor.unread = 0..0;
        self.cursor.call = Some(Move::Read(Call::start(&self.handle, call)?));
        let cursor = &mut self.cursor;
        let Some(Moved::Read(read)) = poll_fn(|cx| cursor.poll_still(cx)).await else {
            unreachable!("it is the read that was started above");
        };
        let read = read?;
        self.cursor.unread = 0..0;
        bytes.append(&mut std::mem::take(&mut self.cursor.buffer));
        Ok(before + read)
    }

    /// Appends all that follows the cursor to `text`, and returns how many bytes that was. One call,
    /// on a blocking thread.
    ///
    /// **Cancel safety**: safe, the next read returns what a dropped one has read.
    ///
    /// # Errors
    /// [`InvalidData`](ErrorKind::InvalidData) if it is not UTF-8, and `text` is unchanged then; and
    /// those of [`read`](File::read).
    pub async fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        let read = self.read_to_end(&mut bytes).await?;
        let more = String::from_utf8(bytes)
            .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        text.push_str(&more);
        Ok(read)
    }

    /// Writes some of the bytes at the cursor, up to 256 KiB, and returns how many: when the operating
    /// system has them.
    ///
    /// **Cancel safety**: none; when the future has been polled, the bytes are written, whether it is
    /// dropped or not.
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
        self.cursor.put_back(self.behind.target());
        Poll::Ready(())
    }

    /// Starts a read of about `wanted` bytes on a blocking thread.
    fn start_read(&mut self, wanted: usize) -> io::Result<()> {
        let behind = self.behind.clone();
        let mut buffer = std::mem::take(&mut self.cursor.buffer);
        let wanted = wanted.min(MOST_PER_CALL);
        let read = move || {
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            let read = retry_interrupted(|| behind.target().read(&mut buffer[..wanted]))?;
            Ok((buffer, read))
        };
        self.cursor.call = Some(Move::Read(Call::start(&self.handle, read)?));
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
            match ready!(this.cursor.poll_still(cx)) {
                Some(Moved::Read(Err(error))) => return Poll::Ready(Err(error)),
                Some(Moved::Read(Ok(0))) => return Poll::Ready(Ok(0)),
                Some(_) | None => {}
            }
            if !this.cursor.unread.is_empty() {
                return Poll::Ready(Ok(this.cursor.take(buf)));
            }
            ready!(this.behind.poll_settled(cx));
            ready!(Cached::poll_proceed(cx, buf.len()));
            if let Some(result) = this.cached.read(this.behind.target(), buf, None) {
                return Poll::Ready(result);
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
        this.cursor.put_back(this.behind.target());
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
                if was_to == to {
                    return Poll::Ready(result);
                }
            }
            ready!(this.poll_settle(cx));
            let SeekFrom::End(_) = to else {
                // As in `put_back`: a number changes, nothing waits.
                ready!(coop::poll_proceed(cx));
                return Poll::Ready(this.behind.target().seek(to));
            };
            // Where the end is, a network file system may have to ask.
            let behind = this.behind.clone();
            let seek = move || behind.target().seek(to);
            this.cursor.call = Some(Move::Seek(to, Call::start(&this.handle, seek)?));
        }
    }
}
