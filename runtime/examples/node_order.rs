//! In which order things happen, told by a program; `tests/tests/coming_from/node_order.js` tells how
//! it is in Node.
//!
//! ```text
//! cargo run --release --example node_order
//! ```

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::{join_all, ready, try_join_all};
use runtime::fs::{self, File};
use runtime::process::Command;
use runtime::spawn_local;
use runtime::task::yield_now;
use runtime::time::{Instant, sleep};

#[runtime::main(scheduler = "single-threaded")]
async fn main() -> io::Result<()> {
    phases().await?;
    queues().await;
    call().await;
    chain().await;
    pool().await
}

/// After a file has been read: what runs when the current function is done, what runs when all that
/// was ready has run, and what runs later.
async fn phases() -> io::Result<()> {
    fs::read(std::env::current_exe()?).await?;
    println!("phases: the file is read");
    let tasks = [
        // process.nextTick, Promise.then
        spawn_local(async { println!("phases: next tick") }),
        spawn_local(async { println!("phases: promise") }),
        // setImmediate
        spawn_local(async {
            yield_now().await;
            println!("phases: immediate");
        }),
        // setTimeout
        spawn_local(async {
            sleep(Duration::from_millis(10)).await;
            println!("phases: timer");
        }),
    ];
    println!("phases: all are queued");
    join_all(tasks).await;
    Ok(())
}

/// Node empties the queue of `nextTick` before that of the promises. Here is one queue, and what is
/// queued first runs first.
async fn queues() {
    let promise = spawn_local(async { println!("queues: promise, queued first") });
    let next_tick = spawn_local(async { println!("queues: next tick, queued second") });
    join_all([promise, next_tick]).await;
}

/// An async function in JavaScript runs when it is called and pauses at each `await`. Here it runs
/// when it is awaited, and an `.await` on what is ready does not pause.
async fn call() {
    async fn function() {
        println!("call: it begins");
        ready(()).await;
        println!("call: it goes on");
    }
    let future = function();
    println!("call: the caller goes on");
    future.await;
}

/// Each step queues the next one. In Node nothing else happens before the chain ends; here timers and
/// sockets are looked at between two steps.
async fn chain() {
    let timer = spawn_local(async {
        sleep(Duration::from_millis(5)).await;
        println!("chain: the timer of 5 ms");
    });
    let chain = spawn_local(async {
        for _step in 0..20 {
            compute_for(Duration::from_millis(1));
            yield_now().await;
        }
        println!("chain: its end after 20 steps of 1 ms");
    });
    join_all([timer, chain]).await;
}

fn compute_for(duration: Duration) {
    let began = Instant::now();
    while began.elapsed() < duration {
        std::hint::spin_loop();
    }
}

/// Four calls that block for as long as nobody writes to the named pipes that they open. Node's pool
/// has four threads, so nothing that needs it happens meanwhile; this one has as many as are needed.
async fn pool() -> io::Result<()> {
    let folder = std::env::temp_dir().join(format!("node_order-{}", std::process::id()));
    fs::create_dir(&folder).await?;
    let pipes: Vec<PathBuf> = (0..4).map(|pipe| folder.join(pipe.to_string())).collect();
    let made = Command::new("mkfifo").args(&pipes).status().await?;
    if !made.success() {
        return Err(io::Error::other(format!("mkfifo: {made}")));
    }
    let stuck: Vec<_> = pipes.iter().map(|pipe| spawn_local(File::open(pipe.clone()))).collect();
    yield_now().await;
    println!("pool: four calls are stuck");

    fs::metadata(&folder).await?;
    println!("pool: a fifth is answered");

    println!("pool: the four are let go");
    let let_go = pipes.iter().map(|pipe| OpenOptions::new().read(true).write(true).open(pipe));
    let _writers = let_go.collect::<io::Result<Vec<_>>>()?;
    for opened in try_join_all(stuck).await? {
        opened?;
    }
    fs::remove_dir_all(&folder).await
}
