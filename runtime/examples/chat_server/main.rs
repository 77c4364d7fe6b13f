//! A chat with names and rooms, on top of what `ack_server` does: lines come in, and go out to all.
//!
//! ```text
//! cargo run --release -p windlass --example chat_server
//! nc 127.0.0.1 7000
//! ```
//!
//! Commands: `/nick name`, `/join room`, `/who`, `/quit`. Everything else is said in the room. The
//! files: `hub` (who is where, and who hears what), `name` (what may be one), `client` (lines to and
//! from one connection), and this one (accepting, stopping).

#![forbid(unsafe_code)]

mod client;
mod hub;
mod name;

use std::fmt;
use std::io::{self, Write};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_channel::Sender;
use clap::Parser;
use futures_util::future::select;
use runtime::net::TcpListener;
use runtime::signal::{SignalKind, signal};
use runtime::time::{Instant, sleep, timeout};
use runtime::{Builder, Scheduler};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use hub::{Event, Hub};

/// A chat with names and rooms, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:7000")]
    addr: String,
    /// `work-stealing` or `single-threaded`.
    #[arg(long, default_value_t)]
    scheduler: Scheduler,
    /// How many workers; one per core if it is left out.
    #[arg(long)]
    workers: Option<usize>,
    /// How many lines may wait for a client. One that lets more come together is disconnected.
    #[arg(long, default_value_t = 1024, value_name = "LINES")]
    queue: usize,
}

/// How many events may wait for the hub. When there are more, clients are no longer read, and their
/// systems make them wait: all of them alike, as each has at most one event that waits.
const EVENTS: usize = 64;
/// How long clients may take to receive their last lines when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat_server: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    raise_file_limit();
    let mut builder = Builder::new().scheduler(arguments.scheduler);
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers);
    }
    builder.build()?.block_on(serve(arguments))
}

async fn serve(arguments: &Arguments) -> io::Result<()> {
    // From here on Ctrl-C no longer ends the process by itself.
    let mut ctrl_c = signal(SignalKind::interrupt())?;
    let addr = &arguments.addr;
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
    })?;
    let addr = listener.local_addr()?;
    say(format_args!("listening on {addr}, scheduler {}", arguments.scheduler));

    let (events, to_hub) = async_channel::bounded(EVENTS);
    // Nothing is ever sent over this: that it is closed is the message.
    let (open, all_closed) = async_channel::bounded::<()>(1);
    runtime::spawn(Hub::new(arguments.queue).run(to_hub));
    let accepting = accept_all(&listener, &events, &open);
    select(pin!(accepting), pin!(ctrl_c.recv())).await;

    // The hub says goodbye to all, and forgets them; that ends their connections.
    drop(listener);
    drop(open);
    let _ = events.send(Event::Stop).await;
    let _ = timeout(GRACE, all_closed.recv()).await;
    say(format_args!("server stopped"));
    Ok(())
}

/// Gives each client a task of its own. Never returns.
async fn accept_all(listener: &TcpListener, events: &Sender<Event>, open: &Sender<()>) {
    let mut last_complaint: Option<Instant> = None;
    let mut accepted = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => {
                accepted += 1;
                let (id, events, open) = (accepted, events.clone(), open.clone());
                runtime::spawn(async move {
                    client::attend(stream, id, &events).await;
                    drop(open);
                });
            }
            Err(error) => {
                // Mostly: too many open files. Those who are connected go on chatting.
                if last_complaint.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    eprintln!("chat_server: cannot accept, will go on trying: {error}");
                    last_complaint = Some(Instant::now());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Prints a line. That nobody reads it, because the pipe is closed, is no reason to stop serving.
fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Each client takes a file; many systems let a process have 1024 unless it asks for more.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused only where the limit cannot be changed at all; then it stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
