//! Connections whose peers, cables and kernels misbehave: no byte is lost or doubled where the
//! connection lives, the error is the right one where it does not, nothing spins, and no file is left.

#![cfg(target_os = "linux")]

mod bytes;
mod cable;
mod connects;
mod descriptors;
mod ends;
mod forks;
mod injected;
mod proxy;
mod slow;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use runtime::net::TcpStream;
use runtime::time::sleep;
use runtime::{Runtime, Scheduler};
use rustix::time::{ClockId, clock_gettime};
use socket2::SockRef;
use windlass_tests::{current_scene, named, open_files, watch};

const MODES: [Scheduler; 2] = [Scheduler::SingleThreaded, Scheduler::WorkStealing];

/// Not a test by itself: what the other tests start.
#[test]
fn scenes() {
    let Some((name, mode)) = current_scene() else { return };
    let _watchdog = watch();
    match name.as_str() {
        "sink" => slow::sink(),
        "near end" => cable::near_end(mode),
        "conversation" => injected::conversation(mode),
        "accepting" => injected::accepting(mode),
        "sending" => injected::sending(mode),
        "scarce" => injected::scarce(mode),
        scene => panic!("there is no scene {scene:?}"),
    }
    // Past the harness, which prints too.
    std::process::exit(0);
}

/// A runtime that does not report stuck tasks: on a busy machine there may be some, and to find out
/// where they are takes processor time and files, which are counted here.
fn runtime_of(mode: Scheduler) -> Runtime {
    let builder = named("faults", mode).blocked_after(Duration::MAX);
    builder.build().expect("the system has threads and files for a runtime")
}

/// Files and processor time are counted for the whole process, so these tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test in both modes; no file may be left in the end.
#[track_caller]
fn in_both_modes(test: impl Fn(&Runtime)) {
    let _alone = alone();
    let _watchdog = watch();
    for mode in MODES {
        eprintln!("mode: {mode}");
        let files = open_files();
        let runtime = runtime_of(mode);
        test(&runtime);
        drop(runtime);
        wait_for_files(files);
    }
}

/// Waits until this process has no more files open than `before`.
#[track_caller]
fn wait_for_files(before: usize) {
    let began = Instant::now();
    while open_files() > before {
        let open = open_files();
        let limit = Duration::from_secs(20);
        assert!(began.elapsed() < limit, "{open} files are open, and were {before}");
        thread::yield_now();
    }
}

/// The processor time that this process has used, in all its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.try_into().expect("it is not negative"),
        time.tv_nsec.try_into().expect("it is below a second"),
    )
}

/// Looks on for a while in which everybody waits. Whoever spins uses up the processor; so the limit
/// is far from both, and a busy machine can only make it easier to keep.
async fn stays_calm() {
    const WHILE: Duration = Duration::from_millis(300);
    let before = cpu_time();
    sleep(WHILE).await;
    let used = cpu_time() - before;
    assert!(used < WHILE / 4, "{used:?} of processor time in {WHILE:?} with nothing to do");
}

/// A connection: the runtime's end, and one of the standard library.
async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let addr = listener.local_addr().expect("it is bound");
    let stream = TcpStream::connect(addr).await.expect("it listens");
    let (peer, _) = listener.accept().expect("one has connected");
    (stream, peer)
}

/// Closes a connection with a reset.
fn reset(peer: std::net::TcpStream) {
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("a socket option");
    drop(peer);
}

/// A connection that nothing is done to, and that must work before, meanwhile and afterwards.
struct Bystander {
    stream: TcpStream,
    peer: std::net::TcpStream,
    asked: u32,
}

impl Bystander {
    async fn new() -> Bystander {
        let (stream, peer) = pair().await;
        let mut bystander = Bystander { stream, peer, asked: 0 };
        bystander.is_served().await;
        bystander
    }

    /// Sends a number there and back.
    async fn is_served(&mut self) {
        self.asked += 1;
        let number = self.asked.to_be_bytes();
        let mut received = [0; 4];
        self.peer.write_all(&number).expect("it is connected");
        self.stream.read_exact(&mut received).await.expect("it is connected");
        assert_eq!(received, number);
        self.stream.write_all(&received).await.expect("it is connected");
        self.peer.read_exact(&mut received).expect("it is connected");
        assert_eq!(received, number);
    }
}
