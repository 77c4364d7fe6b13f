//! Sends messages to `ack_server` over many connections at once, checks every answer, and reports.
//!
//! ```text
//! cargo run --release --example ack_client -- --connections 1000 --messages 100
//! ```

use std::io;
use std::net::Shutdown;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use runtime::net::TcpStream;
use runtime::time::Instant;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Sends messages over many connections at once, and expects `ACK` after each.
#[derive(Parser)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many connections to open; all stay open until the end.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// How many messages to send over each, one after the other.
    #[arg(long, default_value_t = 1000)]
    messages: usize,
}

/// How many connections are being opened at the same time. Servers keep only so many waiting.
const CONNECTING: usize = 100;

#[runtime::main]
async fn main() -> ExitCode {
    raise_file_limit();
    match run(&Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ack_client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> io::Result<()> {
    let Arguments { addr, connections, messages } = arguments;
    let began = Instant::now();
    let streams: Vec<TcpStream> = stream::iter(0..*connections)
        .map(|_| TcpStream::connect(addr.as_str()))
        .buffer_unordered(CONNECTING)
        .try_collect()
        .await
        .map_err(|error| {
            io::Error::new(error.kind(), format!("cannot connect to {addr}: {error}"))
        })?;
    println!("{} connections open after {:.2?}", streams.len(), began.elapsed());

    let began = Instant::now();
    let messages = *messages;
    let exchanges: Vec<_> =
        streams.into_iter().map(|stream| runtime::spawn(exchange(stream, messages))).collect();
    let mut latencies = Vec::with_capacity(connections * messages);
    for exchange in exchanges {
        latencies.append(&mut exchange.await??);
    }
    report(latencies, began.elapsed());
    Ok(())
}

/// Sends `messages` messages, and returns how long each answer took.
async fn exchange(mut stream: TcpStream, messages: usize) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(messages);
    for message in 0..messages {
        let text = format!("message {message}\n");
        let sent_at = Instant::now();
        stream.write_all(text.as_bytes()).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        latencies.push(sent_at.elapsed());
        if answer != *b"ACK\n" {
            let answer = answer.escape_ascii();
            return Err(io::Error::other(format!(
                "message {message} was answered by \"{answer}\""
            )));
        }
    }
    // The server has answered everything, so after our end nothing but its own may follow.
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0; 1]).await? {
        0 => Ok(latencies),
        _ => Err(io::Error::other("the server sent more than one answer per message")),
    }
}

fn report(mut latencies: Vec<Duration>, took: Duration) {
    latencies.sort_unstable();
    let Some(&slowest) = latencies.last() else {
        return println!("no messages were sent");
    };
    let at = |percent: usize| latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
    let count = latencies.len();
    let rate = count as f64 / took.as_secs_f64();
    println!("{count} messages answered in {took:.2?}: {rate:.0} per second");
    println!(
        "latency: p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, slowest {slowest:.1?}",
        at(50),
        at(90),
        at(99)
    );
}

/// Each connection takes a file; many systems let a process have 1024 unless it asks for more.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused only where the limit cannot be changed at all; then it stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
