//! A server with small requests that are due at once and big ones that compute, in five ways; and
//! what each way does to those who wait for the small ones.
//!
//! ```text
//! cargo run --release -p windlass --example cpu_heavy
//! cargo run --release -p windlass --example cpu_heavy -- --scheduler single-threaded
//! ```

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rayon::slice::ParallelSliceMut;
use runtime::net::{TcpListener, TcpStream};
use runtime::time::{Instant, interval, sleep};
use runtime::{Builder, Scheduler};

/// Answers small requests while it computes, in one way or another, and prints how long they took.
#[derive(Parser, Clone)]
struct Arguments {
    /// `work-stealing` or `single-threaded`.
    #[arg(long, default_value_t)]
    scheduler: Scheduler,
    /// How many workers; one per core if it is left out.
    #[arg(long)]
    workers: Option<usize>,
    /// Only these ways, in this order.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Way::ALL)]
    ways: Vec<Way>,
    /// How many seconds each way is measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many connections send small requests, one every 5 ms each.
    #[arg(long, default_value_t = 20)]
    small: usize,
    /// How many connections send big requests, each the next one when it has got its answer.
    #[arg(long, default_value_t = 4)]
    big: usize,
    /// How many numbers a big request sorts and hashes.
    #[arg(long, default_value_t = 1_000_000)]
    numbers: usize,
}

/// Where a big request is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// No big requests at all, for comparison.
    Idle,
    /// In the task itself, as if nothing were the matter.
    Nothing,
    /// In the task, on a worker that hands its duties over before.
    BlockInPlace,
    /// On a thread of the blocking pool.
    SpawnBlocking,
    /// On the threads of `rayon`, of which there are as many as cores.
    Rayon,
}

impl Way {
    const ALL: [Way; 5] =
        [Way::Idle, Way::Nothing, Way::BlockInPlace, Way::SpawnBlocking, Way::Rayon];

    fn is_possible(self, scheduler: Scheduler) -> bool {
        self != Way::BlockInPlace || scheduler == Scheduler::WorkStealing
    }

    /// Computes the answer to a big request.
    async fn compute(self, numbers: usize) -> io::Result<u64> {
        match self {
            Way::Idle | Way::Nothing => Ok(work(numbers, <[u64]>::sort_unstable)),
            Way::BlockInPlace => {
                Ok(runtime::task::block_in_place(|| work(numbers, <[u64]>::sort_unstable)))
            }
            Way::SpawnBlocking => {
                let work = runtime::spawn_blocking(move || work(numbers, <[u64]>::sort_unstable));
                Ok(work.await?)
            }
            Way::Rayon => {
                // Its threads belong to no runtime; a channel brings the result back.
                let (sender, receiver) = async_channel::bounded(1);
                rayon::spawn(move || {
                    // Fails if the client has left meanwhile.
                    let _ = sender.try_send(work(numbers, <[u64]>::par_sort_unstable));
                });
                receiver.recv().await.map_err(io::Error::other)
            }
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Way::Idle => "idle",
            Way::Nothing => "nothing",
            Way::BlockInPlace => "block-in-place",
            Way::SpawnBlocking => "spawn-blocking",
            Way::Rayon => "rayon",
        })
    }
}

/// Sorts numbers that look random, and hashes them: some tens of milliseconds on one core.
fn work(numbers: usize, sort: impl FnOnce(&mut [u64])) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut list: Vec<u64> = Vec::with_capacity(numbers);
    list.resize_with(numbers, || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    sort(&mut list);
    let mut hasher = std::hash::DefaultHasher::new();
    list.iter().for_each(|&number| hasher.write_u64(number));
    hasher.finish()
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cpu_heavy: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let seconds = Duration::try_from_secs_f64(arguments.seconds)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let expected = work(arguments.numbers, <[u64]>::sort_unstable);
    let began = Instant::now();
    work(arguments.numbers, <[u64]>::sort_unstable);
    let alone = began.elapsed();
    println!("one big request takes {alone:.1?} of one core, scheduler {}", arguments.scheduler);
    println!(
        "{:<15} {:>9} {:>9} {:>9} {:>9} {:>8} {:>7}",
        "way", "small p50", "p99", "slowest", "requests", "big/s", "stalls"
    );
    for &way in &arguments.ways {
        if !way.is_possible(arguments.scheduler) {
            println!("{way:<15} not possible in single-threaded mode: there is no other worker");
            continue;
        }
        measure(arguments, way, seconds, expected)?.print(way);
    }
    Ok(())
}

/// What was seen of one way.
struct Outcome {
    latencies: Vec<Duration>,
    big_per_second: f64,
    stalls: u64,
}

impl Outcome {
    fn print(mut self, way: Way) {
        self.latencies.sort_unstable();
        let count = self.latencies.len();
        let at = |percent: usize| {
            let latency = self.latencies.get((count * percent / 100).min(count.saturating_sub(1)));
            latency.map_or("-".to_owned(), |it| format!("{:.2}ms", it.as_secs_f64() * 1e3))
        };
        let (p50, p99, slowest) = (at(50), at(99), at(100));
        let Outcome { big_per_second, stalls, .. } = self;
        println!(
            "{way:<15} {p50:>9} {p99:>9} {slowest:>9} {count:>9} {big_per_second:>8.1} {stalls:>7}"
        );
    }
}

/// Runs the server on a runtime of its own, and its clients on another, with a thread of their own.
fn measure(
    arguments: &Arguments,
    way: Way,
    seconds: Duration,
    expected: u64,
) -> io::Result<Outcome> {
    let stalls = Arc::new(AtomicU64::new(0));
    let counter = stalls.clone();
    let mut builder = Builder::new().scheduler(arguments.scheduler).on_blocked(move |_| {
        // A number to be printed: it publishes nothing.
        counter.fetch_add(1, Ordering::Relaxed);
    });
    if let Some(workers) = arguments.workers {
        builder = builder.workers(workers);
    }
    let server = builder.build()?;
    let clients = Builder::new().scheduler(Scheduler::SingleThreaded).build()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let numbers = arguments.numbers;
    let (small, big) = (arguments.small, if way == Way::Idle { 0 } else { arguments.big });

    thread::scope(|scope| {
        let load = scope.spawn(move || {
            clients.block_on(async move {
                let outcome = ask_all(addr, small, big, seconds, expected).await;
                // The server below waits for this connection, and stops.
                TcpStream::connect(addr).await?.write_all(b"stop").await?;
                outcome
            })
        });
        server.block_on(serve(listener, way, numbers))?;
        let (latencies, answered) = load.join().expect("the clients do not panic")?;
        let big_per_second = answered as f64 / seconds.as_secs_f64();
        Ok(Outcome { latencies, big_per_second, stalls: stalls.load(Ordering::Relaxed) })
    })
}

/// Runs all clients to their end; returns how long the small requests took, and how many big ones
/// were answered.
async fn ask_all(
    addr: SocketAddr,
    small: usize,
    big: usize,
    seconds: Duration,
    expected: u64,
) -> io::Result<(Vec<Duration>, u64)> {
    let until = Instant::now() + seconds;
    let small = (0..small).map(|number| runtime::spawn(ask_small(addr, number, until)));
    let big = (0..big).map(|_| runtime::spawn(ask_big(addr, until, expected)));
    let (small, big): (Vec<_>, Vec<_>) = (small.collect(), big.collect());
    let mut latencies = Vec::new();
    for client in small {
        latencies.append(&mut client.await??);
    }
    let mut answered = 0;
    for client in big {
        answered += client.await??;
    }
    Ok((latencies, answered))
}

/// Accepts connections until one says that it is over.
async fn serve(listener: std::net::TcpListener, way: Way, numbers: usize) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let accepting = runtime::spawn(async move {
        loop {
            let (stream, _peer) = listener.accept().await?;
            let stop = stop.clone();
            let answering = async move {
                if let Ok(false) = answer(stream, way, numbers).await {
                    stop.close();
                }
            };
            let _detached = runtime::task::Builder::new().name("connection").spawn(answering);
        }
    });
    let _ = stopped.recv().await;
    accepting.abort();
    match accepting.await {
        Ok(outcome) => outcome,
        Err(_aborted) => Ok(()),
    }
}

/// Answers requests of four bytes with eight each. False: the client wants the server to stop.
async fn answer(mut stream: TcpStream, way: Way, numbers: usize) -> io::Result<bool> {
    let mut request = [0; 4];
    stream.set_nodelay(true)?;
    loop {
        stream.read_exact(&mut request).await?;
        let answer = match &request {
            b"tiny" => 0,
            b"huge" => way.compute(numbers).await?,
            _ => return Ok(false),
        };
        stream.write_all(&answer.to_le_bytes()).await?;
    }
}

/// Sends a small request every 5 ms, and returns how long each answer took, counted from when the
/// request was due: a late answer delays the next request, and that counts as its delay too.
async fn ask_small(addr: SocketAddr, number: usize, until: Instant) -> io::Result<Vec<Duration>> {
    const PERIOD: Duration = Duration::from_millis(5);
    let mut stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    // Not all at the same time.
    sleep(Duration::from_micros(250 * number as u64 % 5000)).await;
    let mut ticks = interval(PERIOD);
    let mut latencies = Vec::new();
    loop {
        let due = ticks.tick().await;
        if due >= until {
            return Ok(latencies);
        }
        let mut answer = [0; 8];
        stream.write_all(b"tiny").await?;
        stream.read_exact(&mut answer).await?;
        latencies.push(due.elapsed());
    }
}

/// Sends a big request whenever the last one is answered; returns how many were in time.
async fn ask_big(addr: SocketAddr, until: Instant, expected: u64) -> io::Result<u64> {
    let mut stream = TcpStream::connect(addr).await?;
    let mut answered = 0;
    loop {
        let mut answer = [0; 8];
        stream.write_all(b"huge").await?;
        stream.read_exact(&mut answer).await?;
        if u64::from_le_bytes(answer) != expected {
            return Err(io::Error::other("a big request was answered wrongly"));
        }
        if Instant::now() >= until {
            return Ok(answered);
        }
        answered += 1;
    }
}
