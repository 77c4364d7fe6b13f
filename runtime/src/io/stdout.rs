//! The standard output and the standard error output.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::io::AsyncWrite;
use rustix::io::Errno;

use super::call::retry_interrupted;
use super::write_behind::WriteBehind;
use crate::handle::Handle;

/// The standard output of this process, which may be slow: a terminal, or a pipe that nobody reads.
///
/// The methods return when the operating system has the bytes. Through the trait
/// [`AsyncWrite`](crate::io::AsyncWrite), up to 256 KiB are accepted at once and written behind the
/// caller's back. Either way bytes that were accepted are not lost when the value is dropped or the
/// runtime shut down; the shutdown waits for them as long as it may.
///
/// Each value writes in order. Between values, and `println!`, there is no order, but what one write
/// passes to the blocking thread, up to 256 KiB, is not torn apart by another, and what `print!` has
/// buffered by then comes before it.
pub struct Stdout {
    handle: Handle,
    behind: Arc<WriteBehind<Unbuffered>>,
}

/// The standard error output of this process. As [`Stdout`].
pub struct Stderr {
    handle: Handle,
    behind: Arc<WriteBehind<io::Stderr>>,
}

/// The standard output of this process; see [`Stdout`].
///
/// # Panics
/// Outside of a runtime.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build()?.block_on(async {
/// runtime::io::stdout().write_all(b"hello\n").await?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
#[must_use]
pub fn stdout() -> Stdout {
    let behind = Arc::new(WriteBehind::new(Unbuffered));
    Stdout { handle: Handle::require("io::stdout"), behind }
}

/// The standard error output of this process; see [`Stdout`].
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
#[must_use]
pub fn stderr() -> Stderr {
    let behind = Arc::new(WriteBehind::new(io::stderr()));
    Stderr { handle: Handle::require("io::stderr"), behind }
}

/// The standard output without the buffer that std puts in front of it. That keeps what it could not
/// write, and would write it after the caller, who was told of the error, has written it again.
///
/// An error in writing what `print!` has left there is the caller's too, whose bytes come after that
/// or not at all.
struct Unbuffered;

impl Write for &Unbuffered {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        stdout.flush()?;
        match rustix::io::write(&stdout, buf) {
            // As std does: a closed output takes everything.
            Err(Errno::BADF) => Ok(buf.len()),
            result => Ok(result?),
        }
    }

    fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        // Nothing comes between two parts. The same thread may lock it again.
        let _whole = io::stdout().lock();
        while !buf.is_empty() {
            match retry_interrupted(|| self.write(buf))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => buf = &buf[written..],
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The methods and traits of one of the two, which differ in nothing but the target.
macro_rules! write_methods {
    ($Output:ident) => {
        impl $Output {
            /// Writes some of the bytes, up to 256 KiB, and returns how many: when the operating
            /// system has them.
            ///
            /// **Cancel safety**: none; when the future has been polled, the bytes are written.
            ///
            /// # Errors
            /// [`BrokenPipe`](io::ErrorKind::BrokenPipe), others of the operating system, and that
            /// the runtime has been shut down. Some of the bytes may have been written; the others
            /// are dropped.
            pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                let written = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await?;
                self.flush().await?;
                Ok(written)
            }

            /// Writes all of the bytes, and returns when the operating system has them.
            ///
            /// **Cancel safety**: none, some of the bytes may be written.
            ///
            /// # Errors
            /// As [`write`](Self::write).
            pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
                while !buf.is_empty() {
                    let accepted = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await?;
                    buf = &buf[accepted..];
                }
                self.flush().await
            }

            /// Waits until the operating system has what was written through the trait
            /// [`AsyncWrite`](crate::io::AsyncWrite).
            ///
            /// **Cancel safety**: safe.
            ///
            /// # Errors
            /// Those of earlier writes that nobody has been told of.
            pub async fn flush(&mut self) -> io::Result<()> {
                poll_fn(|cx| self.behind.poll_flush(cx)).await
            }
        }

        impl AsyncWrite for $Output {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.behind.poll_write(cx, &self.handle, buf)
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.behind.poll_flush(cx)
            }

            /// As `poll_flush`; the output stays open.
            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.behind.poll_flush(cx)
            }
        }

        impl fmt::Debug for $Output {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Output)).finish_non_exhaustive()
            }
        }
    };
}

write_methods!(Stdout);
write_methods!(Stderr);
