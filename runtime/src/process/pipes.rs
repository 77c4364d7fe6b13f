//! The streams of a child process.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use futures_util::io::{AsyncRead, AsyncWrite};
use net::{Interest, Registered};
use rustix::io::ioctl_fionbio;

/// The writing end of a child's standard input. Dropping or closing it ends the input.
pub struct ChildStdin {
    /// `None` when it has been closed.
    pipe: Option<Registered<OwnedFd>>,
}

/// The reading end of a child's standard output.
pub struct ChildStdout {
    pipe: Registered<OwnedFd>,
}

/// The reading end of a child's standard error output.
pub struct ChildStderr {
    pipe: Registered<OwnedFd>,
}

/// Our end of a pipe; the child's end stays in blocking mode.
fn register(pipe: OwnedFd, net: &net::Handle) -> io::Result<Registered<OwnedFd>> {
    ioctl_fionbio(&pipe, true)?;
    Ok(Registered::new(pipe, net))
}

/// Our end, for another child.
fn into_stdio(pipe: Registered<OwnedFd>) -> io::Result<Stdio> {
    let pipe = pipe.into_inner();
    ioctl_fionbio(&pipe, false)?;
    Ok(pipe.into())
}

impl ChildStdin {
    pub(super) fn new(pipe: std::process::ChildStdin, net: &net::Handle) -> io::Result<ChildStdin> {
        Ok(ChildStdin { pipe: Some(register(pipe.into(), net)?) })
    }

    /// Writes some of the bytes and returns how many.
    ///
    /// **Cancel safety**: safe, nothing has been written unless the future is done.
    ///
    /// # Errors
    /// [`BrokenPipe`](io::ErrorKind::BrokenPipe) if the child has closed its input or has ended, or
    /// this end has been closed; that the runtime has been shut down.
    pub async fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, buf)).await
    }

    /// Writes all of the bytes.
    ///
    /// **Cancel safety**: none, some of the bytes may have been written.
    ///
    /// # Errors
    /// As [`write`](ChildStdin::write).
    pub async fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
        while !buf.is_empty() {
            let written = self.write(buf).await?;
            buf = &buf[written..];
        }
        Ok(())
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &self.pipe {
            Some(pipe) => {
                let write = |pipe: &OwnedFd| Ok(rustix::io::write(pipe, buf)?);
                pipe.poll_io(cx, Interest::WRITABLE, write)
            }
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the child's input.
    fn poll_close(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}

impl TryFrom<ChildStdin> for Stdio {
    type Error = io::Error;

    /// Makes it an output of another child.
    fn try_from(stdin: ChildStdin) -> io::Result<Stdio> {
        into_stdio(stdin.pipe.ok_or(io::ErrorKind::BrokenPipe)?)
    }
}

impl fmt::Debug for ChildStdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildStdin").field(&self.pipe).finish()
    }
}

/// The methods and traits of one of the two outputs, which differ in nothing but the name.
macro_rules! read_methods {
    ($Output:ident) => {
        impl $Output {
            pub(super) fn new(
                pipe: std::process::$Output,
                net: &net::Handle,
            ) -> io::Result<$Output> {
                Ok($Output { pipe: register(pipe.into(), net)? })
            }

            /// Reads some bytes and returns how many; 0 is the end, or an empty buffer.
            ///
            /// **Cancel safety**: safe, nothing is lost.
            ///
            /// # Errors
            /// That the runtime has been shut down.
            pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, buf)).await
            }
        }

        impl AsyncRead for $Output {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut [u8],
            ) -> Poll<io::Result<usize>> {
                let read = |pipe: &OwnedFd| Ok(rustix::io::read(pipe, &mut *buf)?);
                self.pipe.poll_io(cx, Interest::READABLE, read)
            }
        }

        impl AsFd for $Output {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.pipe.as_fd()
            }
        }

        impl TryFrom<$Output> for Stdio {
            type Error = io::Error;

            /// Makes it the input of another child.
            fn try_from(output: $Output) -> io::Result<Stdio> {
                into_stdio(output.pipe)
            }
        }

        impl fmt::Debug for $Output {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($Output)).field(&self.pipe).finish()
            }
        }
    };
}

read_methods!(ChildStdout);
read_methods!(ChildStderr);
