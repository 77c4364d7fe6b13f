//! One thread around epoll serves, without any runtime: the least that the kernel asks for.
//!
//! It has no timers and no tasks, so `!sleep` and `!hog` are answered without being done.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind, Read as _, Write as _};

const LISTENER: Token = Token(usize::MAX);

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::from_std(listener);
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut streams = Vec::new();
    let mut free = Vec::new();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&listener, &poll, &mut streams, &mut free)?,
                Token(index) => {
                    let is_open = streams[index]
                        .as_mut()
                        .is_none_or(|stream| answer(stream, event.is_read_closed()));
                    if !is_open {
                        streams[index] = None;
                        free.push(index);
                    }
                }
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &Poll,
    streams: &mut Vec<Option<TcpStream>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _peer)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        stream.set_nodelay(true)?;
        let index = free.pop().unwrap_or_else(|| {
            streams.push(None);
            streams.len() - 1
        });
        poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
        streams[index] = Some(stream);
    }
}

/// Reads until the socket is empty, answering each read; whether it is still open.
///
/// A read that does not fill the buffer has emptied the socket: its next bytes bring a new event.
/// Not so if the event already told of the end, which is then still to be read.
fn answer(stream: &mut TcpStream, is_read_closed: bool) -> bool {
    let mut buf = [0; READ_AT_MOST];
    loop {
        let read = match stream.read(&mut buf) {
            Ok(0) => return false,
            Ok(read) => read,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        };
        if let Some(command) = Command::parse(&buf[..read]) {
            command.perform_blocking();
        }
        // Four bytes fit into a socket whose client waits for them.
        if stream.write_all(ACK).is_err() {
            return false;
        }
        if read < buf.len() && !is_read_closed {
            return true;
        }
    }
}
