//! Netty's two groups: a boss that accepts, and workers that each own their connections for good.
//! Every one of them is a runtime of its own, single-threaded, on a thread of its own.
//!
//! ```text
//! cargo run --release --example boss_worker -- --workers 2
//! cargo run --release --example ack_client
//! ```

use std::cell::Cell;
use std::io;
use std::num::NonZero;
use std::pin::pin;
use std::process::ExitCode;
use std::rc::Rc;
use std::thread;

use async_channel::{Receiver, Sender};
use clap::Parser;
use futures_util::future::{Either, select};
use runtime::net::{TcpListener, TcpStream};
use runtime::signal::ctrl_c;
use runtime::{Builder, Scheduler};

/// Answers `ACK` to each read of at most 1024 bytes, until Ctrl-C.
#[derive(Parser)]
struct Arguments {
    /// Where to listen; with port 0 the system chooses one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    addr: String,
    /// How many workers, beside the boss.
    #[arg(long, default_value = "2")]
    workers: NonZero<usize>,
}

/// A connection on its way from the boss to a worker. It belongs to no runtime meanwhile.
type Connection = std::net::TcpStream;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("boss_worker: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let mut workers = Vec::new();
    let mut threads = Vec::new();
    for number in 0..arguments.workers.get() {
        let (worker, connections) = async_channel::unbounded();
        workers.push(worker);
        let thread = thread::Builder::new().name(format!("worker-{number}"));
        threads.push(thread.spawn(move || work(number, &connections))?);
    }
    let boss = Builder::new().scheduler(Scheduler::SingleThreaded).build()?;
    // When the boss stops, it drops the channels, and that stops the workers.
    boss.block_on(accept(arguments, workers))?;
    for thread in threads {
        thread.join().expect("a worker does not panic")?;
    }
    Ok(())
}

/// The boss: hands each connection to the next worker, until Ctrl-C.
async fn accept(arguments: &Arguments, workers: Vec<Sender<Connection>>) -> io::Result<()> {
    let listener = TcpListener::bind(arguments.addr.as_str()).await?;
    let addr = listener.local_addr()?;
    println!("listening on {addr}, {} workers", workers.len());
    let mut ctrl_c = pin!(ctrl_c());
    let mut turns = workers.iter().cycle();
    loop {
        let accepted = match select(pin!(listener.accept()), ctrl_c.as_mut()).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right((pressed, _)) => return pressed,
        };
        let (stream, _addr) = accepted?;
        // A socket belongs to the runtime that it was made in; this takes it out of the boss's.
        let connection = stream.into_std()?;
        let worker = turns.next().expect("there is a worker, and turns have no end");
        worker.try_send(connection).map_err(io::Error::other)?;
    }
}

/// A worker: serves the connections that it is sent, until no more can come.
fn work(number: usize, connections: &Receiver<Connection>) -> io::Result<()> {
    let runtime = Builder::new().scheduler(Scheduler::SingleThreaded).build()?;
    runtime.block_on(async {
        // One thread sees all that these connections share, so no lock is needed.
        let messages = Rc::new(Cell::new(0_u64));
        let mut served = 0_u64;
        while let Ok(connection) = connections.recv().await {
            served += 1;
            let stream = TcpStream::from_std(connection)?;
            let messages = messages.clone();
            runtime::spawn_local(async move {
                // A client that resets its connection ends its own task, and nothing else.
                let _ = answer(stream, &messages).await;
            });
        }
        let messages = messages.get();
        println!("worker {number} served {served} connections, {messages} messages");
        Ok(())
    })
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
