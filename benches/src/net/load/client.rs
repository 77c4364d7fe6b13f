//! One connection of the load generator.

use crate::net::command::ACK;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

/// A connection with one request in flight at most; what is due meanwhile waits in line.
pub(super) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    /// When the request in flight was due.
    in_flight: Option<Instant>,
    waiting: VecDeque<Instant>,
    /// What has arrived of the answer.
    answer: Vec<u8>,
}

/// An answer that is complete.
pub(super) struct Answered {
    /// When its request was due.
    pub(super) due: Instant,
    /// The number in an answer such as `late 17`; none in `ACK`.
    pub(super) number: Option<u64>,
}

impl Client {
    /// Connects, waits until that is done, and registers with `token`.
    pub(super) fn connect(
        addr: SocketAddr,
        request: &str,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Client> {
        let stream = std::net::TcpStream::connect(addr)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let mut stream = TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE)?;
        Ok(Client::over(stream, request))
    }

    /// A client over a stream that is registered.
    pub(super) fn over(stream: TcpStream, request: &str) -> Client {
        Client {
            stream,
            request: format!("{request}\n").into_bytes(),
            in_flight: None,
            waiting: VecDeque::new(),
            answer: Vec::with_capacity(ACK.len()),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// When each request without an answer was due.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = Instant> {
        self.in_flight.into_iter().chain(self.waiting.iter().copied())
    }

    /// Sends the request that was due at `due`, or puts it in line.
    pub(super) fn send(&mut self, due: Instant) -> io::Result<()> {
        if self.in_flight.is_some() {
            self.waiting.push_back(due);
            return Ok(());
        }
        self.in_flight = Some(due);
        // A few bytes into an empty socket are written whole.
        self.stream.write_all(&self.request)
    }

    /// Reads what is there; the request that it answered, if it is complete now. The next in line
    /// is sent.
    pub(super) fn receive(&mut self) -> io::Result<Option<Answered>> {
        let mut buf = [0; 64];
        loop {
            match self.stream.read(&mut buf) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(read) => {
                    self.answer.extend_from_slice(&buf[..read]);
                    if read < buf.len() {
                        return self.complete();
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.complete(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn complete(&mut self) -> io::Result<Option<Answered>> {
        if self.answer.last() != Some(&b'\n') {
            return Ok(None);
        }
        let number = parse(&self.answer)?;
        self.answer.clear();
        let due = self.in_flight.take().ok_or_else(|| io::Error::other("an answer too many"))?;
        if let Some(next) = self.waiting.pop_front() {
            self.send(next)?;
        }
        Ok(Some(Answered { due, number }))
    }
}

/// The number of a `late` answer; anything else must be `ACK`.
fn parse(answer: &[u8]) -> io::Result<Option<u64>> {
    if answer == ACK {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(answer);
    let number = text.strip_prefix("late ").and_then(|number| number.trim_end().parse().ok());
    number.map(Some).ok_or_else(|| io::Error::other(format!("an answer that is none: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        assert_eq!(parse(b"ACK\n").expect("an answer"), None);
        assert_eq!(parse(b"late 17\n").expect("an answer"), Some(17));
        for wrong in [&b"ACK\nACK\n"[..], b"NAK\n", b"late\n", b"\n"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
