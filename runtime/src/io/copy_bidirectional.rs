//! Copying between two streams in both directions.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::io::{AsyncRead, AsyncWrite};

use super::copy::Copying;

/// A proxy holds two of these per connection for as long as that lives.
const BUFFER: usize = 16 * 1024;

/// Copies from `a` to `b` and from `b` to `a`, until both directions have ended, and returns the
/// number of bytes of each.
///
/// When one side ends, the other's outgoing direction is closed (for a socket: shut down), and the
/// reverse direction lives on until it ends itself: a client may send its request, close its half,
/// and still get the answer. Memory: twice 16 KiB.
///
/// **Cancel safety**: none; bytes that have been read and not yet written are lost.
///
/// # Errors
/// The first that any of the four directions meets; both copies end then, and nothing is closed.
///
/// # Examples
/// ```no_run
/// use runtime::net::{TcpListener, TcpStream};
///
/// # runtime::Builder::new().build()?.block_on(async {
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// loop {
///     let (mut client, _) = listener.accept().await?;
///     runtime::spawn(async move {
///         let mut server = TcpStream::connect("127.0.0.1:80").await?;
///         runtime::io::copy_bidirectional(&mut client, &mut server).await
///     });
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn copy_bidirectional<A, B>(a: &mut A, b: &mut B) -> io::Result<(u64, u64)>
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut to_b = Direction::Copying(Copying::new(BUFFER));
    let mut to_a = Direction::Copying(Copying::new(BUFFER));
    let mut is_b_first = false;
    poll_fn(|cx| {
        let (mut a, mut b) = (Pin::new(&mut *a), Pin::new(&mut *b));
        let (a_to_b, b_to_a);
        if is_b_first {
            b_to_a = to_a.poll(cx, b.as_mut(), a.as_mut())?;
            a_to_b = to_b.poll(cx, a, b)?;
        } else {
            a_to_b = to_b.poll(cx, a.as_mut(), b.as_mut())?;
            b_to_a = to_a.poll(cx, b, a)?;
        }
        // The first may have used up the budget of the task, so that the second could do nothing.
        is_b_first = !is_b_first;
        Poll::Ready(Ok((ready!(a_to_b), ready!(b_to_a))))
    })
    .await
}

enum Direction {
    Copying(Copying),
    /// The source has ended; so many bytes were copied.
    Closing(u64),
    Done(u64),
}

impl Direction {
    fn poll<R, W>(
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
            match self {
                Direction::Copying(copying) => {
                    let copied = ready!(copying.poll(cx, reader.as_mut(), writer.as_mut()))?;
                    *self = Direction::Closing(copied);
                }
                Direction::Closing(copied) => {
                    ready!(writer.as_mut().poll_close(cx))?;
                    *self = Direction::Done(*copied);
                }
                Direction::Done(copied) => return Poll::Ready(Ok(*copied)),
            }
        }
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::coop;
    use crate::time::timeout;
    use crate::{Builder, Scheduler};
    use futures_util::io::{AsyncReadExt, AsyncWriteExt};
    use net::{TcpListener, TcpStream};
    use std::future::Future;
    use std::pin::pin;
    use std::task::Waker;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(30);

    async fn pair() -> io::Result<(TcpStream, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = TcpStream::connect(listener.local_addr()?).await?;
        Ok((client, listener.accept().await?.0))
    }

    /// A client that closes its half and waits, a server that answers after it has seen that.
    #[test]
    fn one_direction_ends_and_the_other_lives_on() {
        for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
            let runtime = Builder::new().scheduler(scheduler).build().expect("a runtime");
            let check = async {
                let (mut client, mut near) = pair().await?;
                let (mut far, mut server) = pair().await?;
                let proxy =
                    crate::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
                let request = vec![1; 3_000_000];
                let sent = request.clone();
                let serve = crate::spawn(async move {
                    let mut bytes = Vec::new();
                    server.read_to_end(&mut bytes).await?;
                    assert!(bytes == sent, "the request, then its end");
                    server.write_all(b"answer").await?;
                    server.close().await
                });
                client.write_all(&request).await?;
                client.close().await?;
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await?;
                assert_eq!(answer, b"answer", "{scheduler}");
                serve.await??;
                assert_eq!(proxy.await??, (3_000_000, 6), "{scheduler}");
                io::Result::Ok(())
            };
            runtime.block_on(timeout(LIMIT, check)).expect("it does not hang").expect("no error");
        }
    }

    /// Memory, which is always ready.
    struct Memory {
        /// What is read: so many bytes, or zeros without end.
        left: Option<usize>,
        written: usize,
    }

    impl AsyncRead for Memory {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let Some(left) = &mut self.left else { return Poll::Ready(Ok(buf.len())) };
            let read = buf.len().min(*left);
            *left -= read;
            Poll::Ready(Ok(read))
        }
    }

    impl AsyncWrite for Memory {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written += buf.len();
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn an_endless_direction_leaves_the_other_its_turn() {
        for is_a_endless in [true, false] {
            let mut endless = Memory { left: None, written: 0 };
            let mut short = Memory { left: Some(5), written: 0 };
            {
                let (a, b) = match is_a_endless {
                    true => (&mut endless, &mut short),
                    false => (&mut short, &mut endless),
                };
                let mut copy = pin!(copy_bidirectional(a, b));
                let mut cx = Context::from_waker(Waker::noop());
                // A turn for each.
                for _ in 0..2 {
                    assert!(coop::with_budget(|| copy.as_mut().poll(&mut cx)).is_pending());
                }
            }
            assert_eq!(endless.written, 5, "is_a_endless: {is_a_endless}");
            assert!(short.written > 0, "is_a_endless: {is_a_endless}");
        }
    }

    #[test]
    fn an_error_ends_both_directions() {
        let runtime = Builder::new().workers(1).build().expect("a runtime");
        let check = async {
            let (client, mut near) = pair().await?;
            let (mut far, _server) = pair().await?;
            // Closed with bytes unread: a reset.
            near.write_all(b"unread").await?;
            client.readable().await?;
            drop(client);
            let error = copy_bidirectional(&mut near, &mut far).await.expect_err("a reset");
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            io::Result::Ok(())
        };
        runtime.block_on(timeout(LIMIT, check)).expect("it does not hang").expect("no error");
    }
}
