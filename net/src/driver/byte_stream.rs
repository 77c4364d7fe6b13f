//! Reading and writing sources that are streams of bytes: what TCP, Unix sockets and pipes share.
//!
//! The futures are made by hand and not `async`: an `async fn` around another keeps every argument
//! twice, and idle connections are made of these. Nor do they keep what is easily found again.

use super::registered::{Registered, Waiter};
use super::waiters::WaiterId;
use crate::interest::Interest;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::task::{Context, Poll, ready};

/// A source that is a stream of bytes in one direction or both.
pub trait ByteSource: AsFd {
    /// Whether a read that returns fewer bytes than asked for has taken all there were.
    ///
    /// True of TCP alone. A Unix socket ends a read after a message that came with files, or,
    /// with `SO_PASSCRED`, from another sender; a pipe after a packet, if its writer has set
    /// `O_DIRECT`. More may be left then, which no event would announce again.
    const SHORT_READ_TAKES_ALL: bool;

    fn reader(&self) -> impl Read;
    fn writer(&self) -> impl Write;
}

impl ByteSource for TcpStream {
    const SHORT_READ_TAKES_ALL: bool = true;

    fn reader(&self) -> impl Read {
        Socket(self)
    }

    fn writer(&self) -> impl Write {
        Socket(self)
    }
}

impl ByteSource for UnixStream {
    const SHORT_READ_TAKES_ALL: bool = false;

    fn reader(&self) -> impl Read {
        Socket(self)
    }

    fn writer(&self) -> impl Write {
        Socket(self)
    }
}

/// A connected socket, read and written without the C library: as soon as a process has two threads,
/// that makes a place to be cancelled at of every call, for 30 instructions.
struct Socket<'a, S>(&'a S);

impl<S: AsFd> Read for Socket<'_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self.0, buf, RecvFlags::empty())?.0)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Ok(rustix::io::readv(self.0, bufs)?)
    }
}

impl<S: AsFd> Write for Socket<'_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, buf, NO_SIGNAL)?)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let bufs = &bufs[..bufs.len().min(MOST_BUFFERS)];
        let mut nothing = SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(self.0, bufs, &mut nothing, NO_SIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How many buffers one system call takes. `rustix` sees to that in `readv`, but not in `sendmsg`.
const MOST_BUFFERS: usize = 1024;

/// A broken pipe is an error, also in a program that has not ignored the signal. On Apple's systems
/// that is an option of the socket.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// One end of a pipe.
impl ByteSource for File {
    const SHORT_READ_TAKES_ALL: bool = false;

    fn reader(&self) -> impl Read {
        self
    }

    fn writer(&self) -> impl Write {
        self
    }
}

impl<S: AsFd> Registered<S> {
    /// Reads from a socket and leaves the bytes there.
    pub(crate) fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io(Interest::READABLE, move |source| {
            Ok(rustix::net::recv(source, &mut *buf, RecvFlags::PEEK)?.0)
        })
    }
}

impl<S: ByteSource> Registered<S> {
    pub(crate) fn read(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        let mut waiter = Waiter::new(self);
        poll_fn(move |context| {
            let wanted = buf.len();
            let read = |source: &S| source.reader().read(buf);
            waiter.poll_transfer(context, Interest::READABLE, wanted, read)
        })
    }

    pub(crate) fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        self.transfer(Interest::READABLE, wanted, move |source| source.reader().read_vectored(bufs))
    }

    pub(crate) fn read_exact(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<()>> {
        let mut waiter = Waiter::new(self);
        let mut filled = 0;
        poll_fn(move |context| {
            while filled < buf.len() {
                let rest = &mut buf[filled..];
                let wanted = rest.len();
                let read = |source: &S| source.reader().read(rest);
                match ready!(waiter.poll_transfer(context, Interest::READABLE, wanted, read))? {
                    0 => return Poll::Ready(Err(ended(filled, buf.len()))),
                    read => filled += read,
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = buf.len();
        self.try_transfer(Interest::READABLE, wanted, |source| source.reader().read(buf))
    }

    pub(crate) fn try_read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        self.try_transfer(Interest::READABLE, wanted, |source| source.reader().read_vectored(bufs))
    }

    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let wanted = buf.len();
        let read = |source: &S| source.reader().read(buf);
        self.poll_transfer(context, &mut Some(WaiterId::SHARED), Interest::READABLE, wanted, read)
    }

    pub(crate) fn poll_read_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        let read = |source: &S| source.reader().read_vectored(bufs);
        self.poll_transfer(context, &mut Some(WaiterId::SHARED), Interest::READABLE, wanted, read)
    }
}

impl<S: ByteSource> Registered<S> {
    pub(crate) fn write(&self, buf: &[u8]) -> impl Future<Output = io::Result<usize>> {
        let mut waiter = Waiter::new(self);
        poll_fn(move |context| {
            let write = |source: &S| source.writer().write(buf);
            waiter.poll_transfer(context, Interest::WRITABLE, buf.len(), write)
        })
    }

    pub(crate) fn write_vectored(
        &self,
        bufs: &[IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        self.transfer(Interest::WRITABLE, wanted, move |source| {
            source.writer().write_vectored(bufs)
        })
    }

    pub(crate) fn write_all(&self, buf: &[u8]) -> impl Future<Output = io::Result<()>> {
        let mut waiter = Waiter::new(self);
        let mut rest = buf;
        poll_fn(move |context| {
            while !rest.is_empty() {
                let write = |source: &S| source.writer().write(rest);
                let wanted = rest.len();
                match ready!(waiter.poll_transfer(context, Interest::WRITABLE, wanted, write))? {
                    0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    written => rest = &rest[written..],
                }
            }
            Poll::Ready(Ok(()))
        })
    }

    pub(crate) fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_transfer(Interest::WRITABLE, buf.len(), |source| source.writer().write(buf))
    }

    pub(crate) fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        self.try_transfer(Interest::WRITABLE, wanted, |source| source.writer().write_vectored(bufs))
    }

    pub(crate) fn poll_write(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let write = |source: &S| source.writer().write(buf);
        let id = &mut Some(WaiterId::SHARED);
        self.poll_transfer(context, id, Interest::WRITABLE, buf.len(), write)
    }

    pub(crate) fn poll_write_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = total(bufs.iter().map(|buf| buf.len()));
        let write = |source: &S| source.writer().write_vectored(bufs);
        self.poll_transfer(context, &mut Some(WaiterId::SHARED), Interest::WRITABLE, wanted, write)
    }
}

/// A transfer moves at most `wanted` bytes. Moving fewer can show that the source is drained, or
/// full, which saves the system call that would say so; wanting none never waits.
impl<S: ByteSource> Registered<S> {
    fn transfer(
        &self,
        interest: Interest,
        wanted: usize,
        mut operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> impl Future<Output = io::Result<usize>> {
        let mut waiter = Waiter::new(self);
        poll_fn(move |context| waiter.poll_transfer(context, interest, wanted, &mut operation))
    }

    fn poll_transfer(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
        wanted: usize,
        operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let is_drained = |moved: &usize| is_partial::<S>(interest, *moved, wanted);
        self.poll_attempts(context, id, interest, operation, is_drained)
    }

    fn try_transfer(
        &self,
        interest: Interest,
        wanted: usize,
        operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> io::Result<usize> {
        if wanted == 0 {
            return Ok(0);
        }
        self.try_attempts(interest, operation, |moved| is_partial::<S>(interest, *moved, wanted))
    }
}

impl<S: ByteSource> Waiter<'_, S> {
    fn poll_transfer(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
        wanted: usize,
        operation: impl FnMut(&S) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.registered.poll_transfer(context, &mut self.id, interest, wanted, operation)
    }
}

fn ended(filled: usize, wanted: usize) -> io::Error {
    let message = format!("the stream ended after {filled} of {wanted} bytes");
    io::Error::new(ErrorKind::UnexpectedEof, message)
}

/// The number of bytes that several buffers ask for; `usize::MAX`, from which nothing is concluded,
/// if there are more of them than one system call takes.
fn total(lengths: impl ExactSizeIterator<Item = usize>) -> usize {
    if lengths.len() > MOST_BUFFERS { usize::MAX } else { lengths.fold(0, usize::saturating_add) }
}

/// Whether a transfer of `moved` bytes shows that a byte stream is drained, or full.
///
/// Moving nothing is the end of the stream. Beyond `MOST`, the kernel itself moves less than asked.
/// Only pollers that report every later arrival as a new event allow the conclusion.
///
/// A peer that sends urgent data can make a read short with more to come; what it delays is its own
/// stream, until its next segment.
fn is_partial<S: ByteSource>(interest: Interest, moved: usize, wanted: usize) -> bool {
    const MOST: usize = 1 << 30;
    const EDGE_TRIGGERED: bool = cfg!(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "openbsd",
        target_os = "dragonfly",
    ));
    let tells = EDGE_TRIGGERED && (S::SHORT_READ_TAKES_ALL || interest == Interest::WRITABLE);
    tells && 0 < moved && moved < wanted && wanted <= MOST
}

#[cfg(all(test, not(windlass_loom), target_os = "linux"))]
mod tests {
    use super::*;

    const READ: Interest = Interest::READABLE;

    #[test]
    fn only_some_but_fewer_bytes_than_wanted_prove_anything() {
        assert!(is_partial::<TcpStream>(READ, 1, 2));
        assert!(!is_partial::<TcpStream>(READ, 2, 2));
        assert!(!is_partial::<TcpStream>(READ, 0, 2), "the end of the stream");
        assert!(
            !is_partial::<TcpStream>(READ, 1 << 30, (1 << 30) + 1),
            "the system moves no more at once"
        );
        assert!(!is_partial::<TcpStream>(READ, 1, usize::MAX), "nobody knows how many were wanted");
    }

    #[test]
    fn what_may_have_messages_in_it_is_full_after_a_short_write_but_not_drained_after_a_read() {
        assert!(!is_partial::<UnixStream>(READ, 1, 2));
        assert!(is_partial::<UnixStream>(Interest::WRITABLE, 1, 2));
        assert!(!is_partial::<File>(READ, 1, 2));
        assert!(is_partial::<File>(Interest::WRITABLE, 1, 2));
    }
}
