//! A server without a boss: each thread has a runtime, a listener and connections of its own, and the
//! kernel deals the clients out among the listeners (`SO_REUSEPORT`). Threads share nothing.
//!
//! ```text
//! cargo run --release --example reuseport -- --workers 2
//! cargo run --release --example ack_client
//! ```

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use clap::Parser;
use futures_util::future::{Either, select};
use runtime::net::{TcpListener, TcpSocket, TcpStream};
use runtime::signal::ctrl_c;
use runtime::{Builder, Runtime, Scheduler};

/// Answers `ACK` to each read of at most 1024 bytes, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: SocketAddr,
    /// How many threads, each with a listener.
    #[arg(long, default_value = "2")]
    workers: NonZero<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("reuseport: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    // All listen before the first client is told where, so that each gets its share.
    let mut workers: Vec<(Runtime, TcpListener)> = Vec::new();
    let mut addr = arguments.addr;
    for _ in 0..arguments.workers.get() {
        let runtime = Builder::new().scheduler(Scheduler::SingleThreaded).build()?;
        let listener = listen(&runtime, addr)?;
        // The others share the port that the system chose for the first.
        addr = listener.local_addr()?;
        workers.push((runtime, listener));
    }
    println!("listening on {addr}, {} workers", workers.len());

    let mut threads = Vec::new();
    for (number, (runtime, listener)) in workers.into_iter().enumerate() {
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || runtime.block_on(serve(number, listener)))?);
    }
    for thread in threads {
        thread.join().expect("a worker does not panic")?;
    }
    Ok(())
}

fn listen(runtime: &Runtime, addr: SocketAddr) -> io::Result<TcpListener> {
    let _entered = runtime.enter();
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(addr)?;
    socket.listen(1024)
}

/// Serves the clients that the kernel sends to this listener. Each runtime hears of Ctrl-C itself.
async fn serve(number: usize, listener: TcpListener) -> io::Result<()> {
    let messages = Rc::new(Cell::new(0_u64));
    let mut served = 0_u64;
    let mut ctrl_c = pin!(ctrl_c());
    loop {
        let accepted = match select(pin!(listener.accept()), ctrl_c.as_mut()).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right((pressed, _)) => {
                pressed?;
                break;
            }
        };
        let (stream, _addr) = accepted?;
        served += 1;
        let messages = messages.clone();
        runtime::spawn_local(async move {
            // A client that resets its connection ends its own task, and nothing else.
            let _ = answer(stream, &messages).await;
        });
    }
    let messages = messages.get();
    println!("worker {number} served {served} connections, {messages} messages");
    Ok(())
}

/// Answers until the client has nothing more to say.
async fn answer(mut client: TcpStream, messages: &Cell<u64>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while client.read(&mut buffer).await? > 0 {
        client.write_all(b"ACK\n").await?;
        messages.set(messages.get() + 1);
    }
    Ok(())
}
