//! Serves the files of a folder over HTTP/1.1 and 1.0, to any number of clients at once.
//!
//! ```text
//! cargo run --release -p windlass --example http_files -- --root .
//! curl -i http://127.0.0.1:8000/
//! ```
//!
//! It knows `GET` and `HEAD`, keep-alive and pipelining, a single range, `ETag` and
//! `If-Modified-Since`, index pages and listings. Every wait for a client has a limit. The files:
//! `request` (what was asked), `target` (which file that means), `served` (opening it), `response`
//! (what is answered), `connection` (one client after the other's bytes), and this one (accepting,
//! stopping).

#![forbid(unsafe_code)]

mod connection;
mod limits;
mod listing;
mod media_type;
mod range;
mod request;
mod response;
mod served;
mod status;
mod target;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use clap::Parser;
use futures_util::future::select;
use runtime::net::TcpListener;
use runtime::signal::{SignalKind, signal};
use runtime::time::{Instant, sleep, timeout};
use runtime::{Builder, Scheduler};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use connection::Connection;
use limits::Limits;

/// Serves the files of a folder over HTTP, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// The folder. Nothing outside of it is served, also not through symbolic links.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:8000")]
    addr: String,
    /// `work-stealing` or `single-threaded`.
    #[arg(long, default_value_t)]
    scheduler: Scheduler,
    /// How many workers; one per core if it is left out.
    #[arg(long)]
    workers: Option<usize>,
    #[command(flatten)]
    limits: Limits,
    /// Print a line for each answer.
    #[arg(long)]
    verbose: bool,
}

/// What all connections share.
pub(crate) struct Site {
    /// The folder that is served, open: it stays this one, whatever is renamed.
    pub(crate) root: File,
    pub(crate) limits: Limits,
    pub(crate) verbose: bool,
}

/// How long the answers that are under way may take when the server is stopped.
const GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("http_files: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    raise_file_limit();
    let mut builder = Builder::new().scheduler(arguments.scheduler);
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers);
    }
    let runtime = builder.build()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> io::Result<()> {
    // From here on these no longer end the process by themselves.
    let mut ctrl_c = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let Arguments { root, addr, scheduler, limits, verbose, .. } = arguments;
    let context = |what: String| {
        move |error: io::Error| io::Error::new(error.kind(), format!("{what}: {error}"))
    };
    let folder = served::open_root(&root).map_err(context(format!("cannot serve {root:?}")))?;
    let listener = TcpListener::bind(&addr).await;
    let listener = listener.map_err(context(format!("cannot listen on {addr}")))?;
    let addr = listener.local_addr()?;
    say(format_args!("listening on {addr}, scheduler {scheduler}, root {root:?}"));

    // Nothing is ever sent over these two: that they are closed is the message.
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let (open, all_closed) = async_channel::bounded::<()>(1);
    let site = Arc::new(Site { root: folder, limits, verbose });
    let accepting = accept_all(&listener, &site, &stopped, &open);
    let told_to_stop = async { _ = select(pin!(ctrl_c.recv()), pin!(terminate.recv())).await };
    select(pin!(accepting), pin!(told_to_stop)).await;

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
    site: &Arc<Site>,
    stopped: &Receiver<()>,
    open: &Sender<()>,
) {
    let mut last_complaint: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (site, stopped, open) = (site.clone(), stopped.clone(), open.clone());
                runtime::spawn(async move {
                    Connection::new(&site, stream, peer).serve(&stopped).await;
                    drop(open);
                });
            }
            Err(error) => {
                // Mostly: too many open files. Those who are connected are served meanwhile, and
                // the others wait in the kernel's queue.
                if last_complaint.is_none_or(|at| at.elapsed() > Duration::from_secs(60)) {
                    eprintln!("http_files: cannot accept, will go on trying: {error}");
                    last_complaint = Some(Instant::now());
                }
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Prints a line. That nobody reads it, because the pipe is closed, is no reason to stop serving.
pub(crate) fn say(line: fmt::Arguments<'_>) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Each client takes a file, and what it is sent another; many systems let a process have 1024
/// unless it asks for more.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Refused only where the limit cannot be changed at all; then it stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
