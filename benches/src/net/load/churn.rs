//! Connections that come and go: connect, one request, close, again.

use super::LoadArgs;
use super::alarm::Alarm;
use super::client::Client;
use super::recorder::Recorder;
use crate::micro::measure::Metrics;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, ErrorKind};
use std::time::Instant;

const ALARM: Token = Token(usize::MAX);

/// One place for a connection, refilled for ever.
struct Slot {
    client: Client,
    connecting_since: Option<Instant>,
}

impl Slot {
    fn open(args: &LoadArgs, poll: &Poll, token: Token) -> io::Result<Slot> {
        let now = Instant::now();
        let mut stream = TcpStream::connect(args.addr)?;
        poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Slot { client: Client::over(stream, "ping"), connecting_since: Some(now) })
    }
}

pub(super) fn run(args: &LoadArgs) -> io::Result<Metrics> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut alarm = Alarm::new(poll.registry(), ALARM)?;
    let mut recorder = Recorder::new(args.server_pid);
    let begin = Instant::now() + args.warm_up();
    let end = begin + args.duration();
    let open = |index| Slot::open(args, &poll, Token(index));
    let mut slots = (0..args.connections).map(open).collect::<io::Result<Vec<Slot>>>()?;
    loop {
        let now = Instant::now();
        if now >= end {
            break;
        }
        if now >= begin && !recorder.has_begun() {
            recorder.begin()?;
        }
        alarm.arm(if recorder.has_begun() { end } else { begin })?;
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in events.iter().filter(|event| event.token() != ALARM) {
            let slot = &mut slots[event.token().0];
            if event.is_writable() {
                if let Some(since) = slot.connecting_since.take() {
                    slot.client.send(since)?;
                }
            }
            if event.is_readable() {
                if let Some(answered) = slot.client.receive()? {
                    recorder.answered(answered.due, Instant::now());
                    *slot = Slot::open(args, &poll, event.token())?;
                }
            }
        }
    }
    let window = recorder.end()?;
    Ok(recorder.metrics(&window))
}
