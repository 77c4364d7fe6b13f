//! Under load, while workers get stuck in turn: every request is answered and no task is lost.
//!
//! A stuck task is let go only when every client has had new answers and every other task new turns,
//! so without a rescue this hangs. In work-stealing mode alone: nobody rescues the one worker of the
//! other.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::Scheduler;
use runtime::net::{TcpListener, TcpStream};
use runtime::task::yield_now;
use runtime::time::sleep;
use windlass_tests::{StuckTask, named, single_threaded, wait_until, watch};

const CLIENTS: usize = 64;
const TASKS: usize = 200;

/// What each client and each task has done so far, and whether it is to finish. All relaxed: they
/// publish nothing but themselves.
struct Load {
    answers: [AtomicU64; CLIENTS],
    turns: [AtomicU64; TASKS],
    is_over: AtomicBool,
}

impl Load {
    fn new() -> Arc<Load> {
        Arc::new(Load {
            answers: [const { AtomicU64::new(0) }; CLIENTS],
            turns: [const { AtomicU64::new(0) }; TASKS],
            is_over: AtomicBool::new(false),
        })
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Waits until each has done what it began after this was called: one thing was under way.
    fn wait_for_all(&self) {
        let all = || self.answers.iter().chain(&self.turns);
        let before: Vec<_> = all().map(|count| count.load(Ordering::Relaxed)).collect();
        for (count, before) in all().zip(before) {
            while count.load(Ordering::Relaxed) < before + 2 {
                thread::yield_now();
            }
        }
    }
}

/// Answers each number with the next one, each connection in a task of its own, until all clients
/// are gone. Returns how many it has answered.
async fn serve(listener: TcpListener) -> io::Result<u64> {
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        let (mut stream, _) = listener.accept().await?;
        connections.push(runtime::spawn(async move {
            let mut answered = 0;
            let mut number = [0; 8];
            while stream.read_exact(&mut number).await.is_ok() {
                let answer = u64::from_be_bytes(number) + 1;
                stream.write_all(&answer.to_be_bytes()).await.expect("the client reads");
                answered += 1;
            }
            answered
        }));
    }
    let answered = join_all(connections).await;
    Ok(answered.into_iter().map(|count| count.expect("no panic")).sum())
}

/// Asks one question after the other. Returns how many there were.
async fn ask(addr: SocketAddr, client: usize, load: Arc<Load>) -> u64 {
    let mut stream = TcpStream::connect(addr).await.expect("it listens");
    let mut asked = 0_u64;
    while load.goes_on() {
        let mut answer = [0; 8];
        stream.write_all(&asked.to_be_bytes()).await.expect("the server reads");
        stream.read_exact(&mut answer).await.expect("the server answers");
        asked += 1;
        assert_eq!(u64::from_be_bytes(answer), asked);
        load.answers[client].fetch_add(1, Ordering::Relaxed);
    }
    asked
}

/// Yields, sleeps and spawns, over and over.
async fn take_turns(task: usize, load: Arc<Load>) {
    while load.goes_on() {
        yield_now().await;
        sleep(Duration::from_millis(1)).await;
        runtime::spawn(async { yield_now().await }).await.expect("no panic");
        load.turns[task].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn while_workers_get_stuck_in_turn_all_are_answered_and_no_task_is_lost() {
    let _watchdog = watch();
    let builder = named("load", Scheduler::WorkStealing).blocked_after(Duration::MAX);
    let runtime = builder.build().expect("the system has threads");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let load = Load::new();
    let server = runtime.spawn(serve(listener));
    let tasks: Vec<_> =
        (0..TASKS).map(|task| runtime.spawn(take_turns(task, load.clone()))).collect();
    // The clients are no part of what is under test, and have a runtime of their own.
    let asking: Vec<_> = (0..CLIENTS).map(|client| ask(addr, client, load.clone())).collect();
    let clients =
        thread::spawn(|| single_threaded().block_on(join_all(asking)).into_iter().sum::<u64>());

    load.wait_for_all();
    for round in 0..12 {
        // One of the two workers, then both, when a spare one has to come.
        let rescues = runtime.metrics().rescues;
        let stuck: Vec<_> =
            (0..1 + round % 2).map(|_| StuckTask::spawn(runtime.handle())).collect();
        load.wait_for_all();
        wait_until(runtime.handle(), |now| now.rescues >= rescues + stuck.len() as u64);
        // Again, now that others have their duties for sure.
        load.wait_for_all();
        let released: Vec<_> = stuck.into_iter().map(StuckTask::release).collect();
        for task in released {
            runtime.block_on(task).expect("no panic");
        }
    }
    assert!(runtime.metrics().spare_starts > 0, "both were stuck");

    load.is_over.store(true, Ordering::Relaxed);
    for end in runtime.block_on(join_all(tasks)) {
        end.expect("no panic");
    }
    let asked = clients.join().expect("all were answered");
    let answered = runtime.block_on(server).expect("no panic").expect("no error");
    assert_eq!(answered, asked);
    wait_until(runtime.handle(), |now| now.live_tasks == 0);
}
