//! Copying one stream into another.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};

use crate::coop;

/// Large enough that the calls cost little beside the bytes, and a small part of a core's cache.
const BUFFER: usize = 64 * 1024;

/// Copies all of `reader` to `writer`, until the end, and returns the number of bytes.
///
/// The writer is flushed at the end, and whenever the reader makes it wait, so that a buffering
/// writer does not sit on what the other side is waiting for. It is not closed. Memory: 64 KiB.
///
/// **Cancel safety**: none; bytes that have been read and not yet written are lost.
///
/// # Errors
/// Those of the reader and the writer; [`WriteZero`](io::ErrorKind::WriteZero) if the writer takes no
/// more.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build()?.block_on(async {
/// let mut reader = &b"hello"[..];
/// let mut writer = Vec::new();
/// assert_eq!(runtime::io::copy(&mut reader, &mut writer).await?, 5);
/// assert_eq!(writer, b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut copying = Copying::new(BUFFER);
    poll_fn(|cx| copying.poll(cx, Pin::new(&mut *reader), Pin::new(&mut *writer))).await
}

/// A copy under way, in one direction.
pub(super) struct Copying {
    buffer: Box<[u8]>,
    /// The bytes of `buffer` that have been read and not written.
    start: usize,
    end: usize,
    copied: u64,
    /// Whether bytes were written since the last flush.
    is_unflushed: bool,
    is_at_end: bool,
}

impl Copying {
    pub(super) fn new(buffer: usize) -> Copying {
        Copying {
            buffer: vec![0; buffer].into(),
            start: 0,
            end: 0,
            copied: 0,
            is_unflushed: false,
            is_at_end: false,
        }
    }

    /// Copies until the reader ends; all has been written and flushed then.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut reader: Pin<&mut R>,
        mut writer: Pin<&mut W>,
    ) -> Poll<io::Result<u64>>
    where
        R: AsyncRead + ?Sized,
        W: AsyncWrite + ?Sized,
    {
        loop {
            if self.start < self.end {
                let bytes = &self.buffer[self.start..self.end];
                let written = ready!(writer.as_mut().poll_write(cx, bytes))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += written;
                self.copied += written as u64;
                self.is_unflushed = true;
            } else if self.is_at_end {
                ready!(writer.as_mut().poll_flush(cx))?;
                return Poll::Ready(Ok(self.copied));
            } else {
                match reader.as_mut().poll_read(cx, &mut self.buffer) {
                    Poll::Ready(read) => {
                        (self.start, self.end) = (0, read?);
                        self.is_at_end = self.end == 0;
                    }
                    Poll::Pending => {
                        if self.is_unflushed {
                            ready!(writer.as_mut().poll_flush(cx))?;
                            self.is_unflushed = false;
                        }
                        return Poll::Pending;
                    }
                }
            }
            // Readers and writers that are always ready, such as memory, would never let go. Afterwards:
            // one unit that is left may be what the reader or the writer needs.
            ready!(coop::poll_proceed(cx));
        }
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    /// Gives and takes a little at a time, with pauses, and counts flushes.
    #[derive(Default)]
    struct Slow {
        bytes: Vec<u8>,
        position: usize,
        random: u64,
        flushed: usize,
    }

    impl Slow {
        fn step(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
            self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            if self.random >> 62 == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(1 + (self.random >> 40) as usize % 50_000)
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let most = ready!(self.step(cx));
            let rest = &self.bytes[self.position..];
            let count = rest.len().min(most).min(buf.len());
            buf[..count].copy_from_slice(&rest[..count]);
            self.position += count;
            Poll::Ready(Ok(count))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = ready!(self.step(cx)).min(buf.len());
            self.bytes.extend_from_slice(&buf[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            ready!(self.step(cx));
            self.flushed = self.bytes.len();
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            panic!("a copy closes nothing");
        }
    }

    #[test]
    fn all_bytes_arrive_in_order_and_are_flushed() {
        let runtime = crate::Builder::new().workers(1).build().expect("a runtime");
        for seed in 1..20_u64 {
            let bytes: Vec<u8> = (0..seed * 20_011).map(|index| (index % 251) as u8).collect();
            let mut reader = Slow { bytes: bytes.clone(), random: seed, ..Slow::default() };
            let mut writer = Slow { random: seed << 32, ..Slow::default() };
            let copied = runtime.block_on(copy(&mut reader, &mut writer)).expect("no error");
            assert_eq!(copied, bytes.len() as u64, "seed {seed}");
            assert!(writer.bytes == bytes && writer.flushed == bytes.len(), "seed {seed}");
        }
    }

    /// The answer to a request sits in the writer's buffer while the reader waits for the next one.
    #[test]
    fn a_waiting_reader_makes_the_writer_flush() {
        let mut copying = Copying::new(BUFFER);
        let (reader, mut peer) = std::os::unix::net::UnixStream::pair().expect("sockets");
        reader.set_nonblocking(true).expect("it is a socket");
        std::io::Write::write_all(&mut peer, b"hello").expect("there is room");
        let runtime = crate::Builder::new().workers(1).build().expect("a runtime");
        let reader = net::Registered::new(reader, &runtime.handle().shared().net);
        let mut reader = Socket(reader);
        let mut writer = futures_util::io::BufWriter::new(futures_util::io::Cursor::new(vec![]));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let copied = copying.poll(&mut cx, Pin::new(&mut reader), Pin::new(&mut writer));
        assert!(copied.is_pending());
        assert_eq!(writer.get_ref().get_ref(), b"hello");
    }

    struct Socket(net::Registered<std::os::unix::net::UnixStream>);

    impl AsyncRead for Socket {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let read =
                |mut socket: &std::os::unix::net::UnixStream| std::io::Read::read(&mut socket, buf);
            self.0.poll_io(cx, net::Interest::READABLE, read)
        }
    }

    #[test]
    fn endless_memory_lets_the_others_run() {
        let scheduler = crate::Scheduler::SingleThreaded;
        let runtime = crate::Builder::new().scheduler(scheduler).build().expect("a runtime");
        runtime.block_on(async {
            let endless = crate::spawn(async {
                let mut zeros = futures_util::io::repeat(0);
                copy(&mut zeros, &mut futures_util::io::sink()).await
            });
            for _ in 0..10 {
                crate::task::yield_now().await;
            }
            endless.abort();
            assert!(endless.await.expect_err("it has no end").is_cancelled());
        });
    }
}
