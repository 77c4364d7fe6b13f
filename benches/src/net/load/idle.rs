//! Connections that wait: what the server keeps in memory for each, and what it does meanwhile.

use super::LoadArgs;
use super::client::Client;
use crate::micro::measure::Metrics;
use crate::process::{Usage, resident_bytes};
use mio::{Events, Poll, Token};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// Opens all connections, exchanges one message on each, and compares the server's memory; then sends
/// nothing, and reads the CPU time of a second.
///
/// A few connections go ahead, so that what the server needs only once is in the first figure.
pub(super) fn run(args: &LoadArgs) -> io::Result<Metrics> {
    const AHEAD: usize = 16;
    let pid = args.server_pid.ok_or_else(|| io::Error::other("--idle needs --server-pid"))?;
    let (process, pid) = (pid, pid.to_string());
    let mut poll = Poll::new()?;
    let ahead = converse(args, &mut poll, AHEAD)?;
    let before = resident_bytes(&pid)?;
    let mut poll_rest = Poll::new()?;
    let rest = converse(args, &mut poll_rest, args.connections)?;
    let bytes = resident_bytes(&pid)?.saturating_sub(before);
    // What the last messages left to do is done by then.
    thread::sleep(Duration::from_millis(500));
    let before = Usage::of(process)?;
    thread::sleep(Duration::from_secs(1));
    let idle = Usage::of(process)?.since(&before);
    drop((ahead, rest));
    Ok(Metrics::from([
        ("rss_bytes_per_connection".to_owned(), bytes as f64 / args.connections as f64),
        ("idle_cpu_us".to_owned(), idle.cpu_ns as f64 / 1e3),
        ("connections".to_owned(), args.connections as f64),
    ]))
}

/// Opens `connections`, and returns them when each has had an answer.
fn converse(args: &LoadArgs, poll: &mut Poll, connections: usize) -> io::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(connections);
    let mut events = Events::with_capacity(1024);
    for index in 0..connections {
        let mut client = Client::connect(args.addr, "ping", poll.registry(), Token(index))?;
        client.send(Instant::now())?;
        clients.push(client);
    }
    let mut answers = 0;
    while answers < connections {
        poll.poll(&mut events, None)?;
        for event in &events {
            answers += usize::from(clients[event.token().0].receive()?.is_some());
        }
    }
    Ok(clients)
}
