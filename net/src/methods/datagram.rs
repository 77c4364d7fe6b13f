//! Sending and receiving whole datagrams.
//!
//! They go through [`Registered::io`](crate::Registered::io): that a datagram is shorter than the
//! buffer says nothing about whether another one is waiting, and an empty one is no end.

use rustix::io::Errno;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// Methods of a datagram socket whose field `io` has a source of the standard library.
macro_rules! datagram_methods {
    ($addr:ty) => {
        /// Sends a datagram to the connected peer and returns its size in bytes.
        ///
        /// **Cancel safety**: safe, nothing has been sent unless the future is done.
        ///
        /// # Errors
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if the datagram is larger than the
        /// socket can send at once: the message says what was tried, and its
        /// [source](std::error::Error::source) is the operating system's own error (`EMSGSIZE`).
        /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) if an earlier datagram
        /// found nobody at that address, `NotConnected` or `EDESTADDRREQ` if the socket is not
        /// connected, and others of the operating system.
        pub fn send(&self, buf: &[u8]) -> impl Future<Output = std::io::Result<usize>> {
            self.io.io(Interest::WRITABLE, move |socket| {
                sent(socket.send(buf), buf, "the connected peer")
            })
        }

        /// Sends a datagram to the connected peer, without waiting.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is no room for it, and those of
        /// [`send`](Self::send).
        pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
            self.io.try_io(Interest::WRITABLE, |socket| {
                sent(socket.send(buf), buf, "the connected peer")
            })
        }

        /// Polls to send a datagram to the connected peer; keeps only the waker of the last call.
        ///
        /// # Errors
        /// As [`send`](Self::send).
        pub fn poll_send(
            &self,
            context: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.io.poll_io(context, Interest::WRITABLE, |socket| {
                sent(socket.send(buf), buf, "the connected peer")
            })
        }

        /// Receives a datagram and returns its size in bytes, which may be 0.
        ///
        /// What does not fit into the buffer is dropped. On a connected socket, only datagrams of
        /// the peer arrive.
        ///
        /// **Cancel safety**: safe, no datagram is lost.
        ///
        /// # Errors
        /// [`ConnectionRefused`](std::io::ErrorKind::ConnectionRefused) if a datagram that was sent
        /// to the connected peer found nobody there: it is reported once and the socket stays
        /// usable. Others of the operating system.
        pub fn recv(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
            self.io.io(Interest::READABLE, move |socket| socket.recv(buf))
        }

        /// Receives a datagram that is there, without waiting.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if none is, and those of
        /// [`recv`](Self::recv).
        pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.io.try_io(Interest::READABLE, |socket| socket.recv(buf))
        }

        /// Polls for a datagram; keeps only the waker of the last call.
        ///
        /// # Errors
        /// As [`recv`](Self::recv).
        pub fn poll_recv(
            &self,
            context: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            self.io.poll_io(context, Interest::READABLE, |socket| socket.recv(buf))
        }

        /// Receives a datagram and returns its size in bytes and the address of its sender.
        ///
        /// What does not fit into the buffer is dropped.
        ///
        /// **Cancel safety**: safe, no datagram is lost.
        ///
        /// # Errors
        /// As [`recv`](Self::recv).
        pub fn recv_from(
            &self,
            buf: &mut [u8],
        ) -> impl Future<Output = std::io::Result<(usize, $addr)>> {
            self.io.io(Interest::READABLE, move |socket| socket.recv_from(buf))
        }

        /// Receives a datagram that is there with the address of its sender, without waiting.
        ///
        /// # Errors
        /// As [`try_recv`](Self::try_recv).
        pub fn try_recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $addr)> {
            self.io.try_io(Interest::READABLE, |socket| socket.recv_from(buf))
        }

        /// Polls for a datagram and its sender; keeps only the waker of the last call.
        ///
        /// # Errors
        /// As [`recv`](Self::recv).
        pub fn poll_recv_from(
            &self,
            context: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<(usize, $addr)>> {
            self.io.poll_io(context, Interest::READABLE, |socket| socket.recv_from(buf))
        }
    };
}

pub(crate) use datagram_methods;

/// The outcome of sending `buf`, where "too large" says what was.
pub(crate) fn sent(
    result: io::Result<usize>,
    buf: &[u8],
    target: impl fmt::Display,
) -> io::Result<usize> {
    result.map_err(|error| {
        if Errno::from_io_error(&error) != Some(Errno::MSGSIZE) {
            return error;
        }
        let too_large = TooLarge { bytes: buf.len(), target: target.to_string(), error };
        io::Error::new(ErrorKind::InvalidInput, too_large)
    })
}

/// A datagram that the operating system refused for its size.
#[derive(Debug)]
struct TooLarge {
    bytes: usize,
    target: String,
    error: io::Error,
}

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a datagram of {} bytes to {} is larger than the socket can send at once: {}",
            self.bytes, self.target, self.error
        )
    }
}

impl Error for TooLarge {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
