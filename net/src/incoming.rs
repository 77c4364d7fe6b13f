//! Accepting connections: the stream of them, and what goes wrong.

use crate::tcp_listener::TcpListener;
use futures_core::Stream;
use sealed::Listener;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

pub(crate) mod sealed {
    use std::io;
    use std::task::{Context, Poll};

    pub trait Listener {
        type Stream;

        fn poll_next(&self, context: &mut Context<'_>) -> Poll<io::Result<Self::Stream>>;
    }
}

/// The connections of a listener, as a stream that never ends.
///
/// Made by [`TcpListener::incoming`] and [`UnixListener::incoming`](crate::UnixListener::incoming).
#[must_use = "a stream does nothing unless it is polled"]
#[derive(Debug)]
pub struct Incoming<'a, L = TcpListener> {
    listener: &'a L,
}

impl<'a, L: Listener> Incoming<'a, L> {
    pub(crate) fn new(listener: &'a L) -> Incoming<'a, L> {
        Incoming { listener }
    }

    /// Waits for the next connection; never `None`.
    ///
    /// **Cancel safety**: safe, no connection is lost.
    ///
    /// # Errors
    /// As [`TcpListener::accept`], with the same need for a pause.
    pub async fn next(&mut self) -> Option<io::Result<L::Stream>> {
        Some(poll_fn(|context| self.listener.poll_next(context)).await)
    }
}

impl<L: Listener> Stream for Incoming<'_, L> {
    type Item = io::Result<L::Stream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.listener.poll_next(context).map(Some)
    }
}

/// The outcome of one attempt, where what concerns only the connection that was found counts as an
/// interruption: the next one is tried.
pub(crate) fn skip_failed<T>(accepted: io::Result<T>) -> io::Result<T> {
    accepted.map_err(
        |error| {
            if is_of_connection(&error) { ErrorKind::Interrupted.into() } else { error }
        },
    )
}

/// Whether an error of `accept` belongs to the connection, which is gone, and not to the listener.
///
/// Linux passes on errors that were already pending on the new socket; accept(2) lists them and
/// says to try again. `EOPNOTSUPP` is on that list and not here: a socket that cannot listen
/// returns it for ever.
fn is_of_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;

    const OTHERS: [Errno; 3] = [Errno::PROTO, Errno::NOPROTOOPT, Errno::HOSTDOWN];
    match error.kind() {
        ErrorKind::ConnectionAborted
        | ErrorKind::ConnectionReset
        | ErrorKind::NetworkDown
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable => true,
        _ => OTHERS.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())),
    }
}
