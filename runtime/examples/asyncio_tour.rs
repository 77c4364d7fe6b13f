//! What `asyncio` programs do, one thing after the other, in the words of Rust. It prints line by line
//! what `tests/tests/coming_from/asyncio_tour.py` prints.
//!
//! ```text
//! cargo run --release --example asyncio_tour
//! ```

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use runtime::net::{TcpListener, TcpStream};
use runtime::signal::ctrl_c;
use runtime::time::{sleep, timeout};

const STEP: Duration = Duration::from_millis(100);

/// `asyncio.run(main())`. One thread, as in Python; without the argument there is one per core, and
/// nothing else changes.
#[runtime::main(scheduler = "single-threaded")]
async fn main() -> io::Result<()> {
    create_task().await;
    sleep_with_result().await;
    gather().await;
    as_completed().await;
    wait_for().await;
    cancel().await;
    to_thread().await;
    start_server().await
}

/// `await asyncio.sleep(delay, result)`.
async fn sleep_for<T>(delay: Duration, result: T) -> T {
    sleep(delay).await;
    result
}

/// `asyncio.create_task`: the task runs when the one that spawned it first waits.
async fn create_task() {
    let task = runtime::spawn(async {
        println!("create_task: the task runs");
        "its result"
    });
    println!("create_task: it has not begun");
    let result = task.await.expect("it does not panic");
    println!("create_task: {result}");
}

/// `asyncio.sleep(result=)`: a future is a value, so any block can end with one.
async fn sleep_with_result() {
    let result = sleep_for(STEP, "awake").await;
    println!("sleep: {result}");
}

/// `asyncio.gather`: results come in the order of the arguments.
async fn gather() {
    let words = [(2, "second"), (1, "first"), (3, "third")];
    let results = join_all(words.map(|(steps, word)| sleep_for(STEP * steps, word))).await;
    println!("gather: {}", results.join(", "));
}

/// `asyncio.as_completed`: results come as they are ready.
async fn as_completed() {
    let words = [(2, "second"), (1, "first"), (3, "third")];
    let mut completed: FuturesUnordered<_> =
        words.into_iter().map(|(steps, word)| sleep_for(STEP * steps, word)).collect();
    while let Some(word) = completed.next().await {
        println!("as_completed: {word}");
    }
}

/// `asyncio.wait_for`: what is too late is dropped, which cancels it.
async fn wait_for() {
    match timeout(STEP, sleep_for(100 * STEP, "too late")).await {
        Ok(word) => println!("wait_for: {word}"),
        Err(_elapsed) => println!("wait_for: gave up"),
    }
    match timeout(100 * STEP, sleep_for(STEP, "in time")).await {
        Ok(word) => println!("wait_for: {word}"),
        Err(_elapsed) => println!("wait_for: gave up"),
    }
}

/// `task.cancel()`: here the task sees no exception. Its variables are dropped where it waits, and
/// that is where it tidies up.
async fn cancel() {
    struct Finally;
    impl Drop for Finally {
        fn drop(&mut self) {
            println!("cancel: the task tidies up");
        }
    }
    let task = runtime::spawn(async {
        let _finally = Finally;
        println!("cancel: the task waits");
        sleep(100 * STEP).await;
    });
    sleep(STEP).await;
    task.abort();
    match task.await {
        Err(error) if error.is_cancelled() => println!("cancel: the task was cancelled"),
        other => println!("cancel: {other:?}"),
    }
}

/// `asyncio.to_thread`.
async fn to_thread() {
    let sum = runtime::spawn_blocking(|| (1..=1000).sum::<u64>()).await;
    println!("to_thread: {}", sum.expect("it does not panic"));
}

/// `asyncio.start_server`, `serve_forever`, and `KeyboardInterrupt`.
async fn start_server() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?);
    match select(pin!(serve_forever(&listener)), pin!(ctrl_c())).await {
        Either::Left((failed, _ctrl_c)) => failed,
        Either::Right((pressed, _serve_forever)) => {
            pressed?;
            println!("interrupted");
            Ok(())
        }
    }
}

/// Ends only when it fails.
async fn serve_forever(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _addr) = listener.accept().await?;
        runtime::spawn(echo(stream));
    }
}

/// The callback of `start_server`: one call per client.
async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
    println!("a client left");
    Ok(())
}
