//! Answers `ACK` to whatever its clients send, as the `select` server of C and the asyncio server of
//! Python tutorials do, to any number of clients at once.
//!
//! ```text
//! cargo run --release --example ack_server -- --verbose
//! printf 'hello\n' | nc -q1 127.0.0.1 8080
//! ```

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use clap::Parser;
use futures_util::future::{Either, select};
use runtime::net::{TcpListener, TcpStream};
use runtime::signal::{SignalKind, signal};
use runtime::time::{Instant, sleep, timeout};
use runtime::{Builder, Scheduler};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Answers `ACK` to each read of at most 1024 bytes, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// `work-stealing` or `single-threaded`.
    #[arg(long, default_value_t)]
    scheduler: Scheduler,
    /// How many workers; one per core if it is left out.
    #[arg(long)]
    workers: Option<usize>,
    /// Say who connects, what they send, and who leaves.
    #[arg(long)]
    verbose: bool,
}

/// How long clients may take to receive the answers that are under way when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ack_server: {error}");
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
    let runtime = builder.build()?;
    runtime.block_on(serve(arguments, runtime.metrics().workers.len()))
}

async fn serve(arguments: &Arguments, workers: usize) -> io::Result<()> {
    // From here on Ctrl-C no longer ends the process by itself.
    let mut ctrl_c = signal(SignalKind::interrupt())?;
    let addr = &arguments.addr;
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}"))
    })?;
    let (addr, scheduler) = (listener.local_addr()?, arguments.scheduler);
    let plural = if workers == 1 { "" } else { "s" };
    say(format_args!("listening on {addr}, scheduler {scheduler}, {workers} worker{plural}"));

    // Nothing is ever sent over these two: that they are closed is the message.
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let (open, all_closed) = async_channel::bounded::<()>(1);
    let accepting = accept_all(&listener, arguments.verbose, &stopped, &open);
    select(pin!(accepting), pin!(ctrl_c.recv())).await;

    // New clients are refused, and those that wait for nothing leave; each holds a clone of `open`.
    drop(listener);
    drop(open);
    stop.close();
    let _ = timeout(GRACE, all_closed.recv()).await;
    say(format_args!("server stopped"));
    Ok(())
}

/// Gives each client a task of its own. Never returns.
async fn accept_all(
    listener: &TcpListener,
    verbose: bool,
    stopped: &Receiver<()>,
    open: &Sender<()>,
) {
    let mut last_complaint: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (stopped, open) = (stopped.clone(), open.clone());
                runtime::spawn(async move {
                    attend(stream, peer, verbose, &stopped).await;
                    drop(open);
                });
            }
            Err(error) => {
                // Mostly: too many open files. Those who are connected are served meanwhile, and
                // the others wait in the kernel's queue.
                if last_complaint.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    eprintln!("ack_server: cannot accept, will go on trying: {error}");
                    last_complaint = Some(Instant::now());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one client to its end.
async fn attend(stream: TcpStream, peer: SocketAddr, verbose: bool, stopped: &Receiver<()>) {
    if verbose {
        say(format_args!("{peer} connected"));
    }
    let outcome = answer(stream, peer, verbose, stopped).await;
    if verbose {
        match outcome {
            Ok(()) => say(format_args!("{peer} disconnected")),
            Err(error) => say(format_args!("{peer} disconnected: {error}")),
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    peer: SocketAddr,
    verbose: bool,
    stopped: &Receiver<()>,
) -> io::Result<()> {
    let mut stop = pin!(stopped.recv());
    let mut buf = [0; 1024];
    loop {
        // The client comes first: the stop ends the wait of one that has nothing to say.
        let read = match select(pin!(stream.read(&mut buf)), stop.as_mut()).await {
            Either::Left((read, _)) => read?,
            Either::Right(_) => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        if verbose {
            let message = buf[..read].escape_ascii();
            say(format_args!("{peer} sent {read} bytes: \"{message}\""));
        }
        stream.write_all(b"ACK\n").await?;
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
