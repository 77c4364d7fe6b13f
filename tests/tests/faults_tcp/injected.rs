//! System calls that fail, by strace: interrupted ones, and those that the kernel has no memory or
//! files for.
//!
//! Short writes are not among them, because strace would skip the call and only claim that a part
//! was written; `slow.rs` has true ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::Scheduler;
use runtime::net::{TcpListener, TcpStream};
use runtime::time::sleep;
use windlass_tests::{Scene, named, open_files, scene_under, strace, watch};

use super::bytes::{Random, assert_bytes, bytes};
use super::{MODES, alone, pair, runtime_of, wait_for_files};

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;

/// Plays a scene in which these calls fail. A `?` stands before calls that some systems have not.
fn injected(name: &str, mode: Scheduler, calls: &str, fault: &str) -> Option<Scene> {
    let mut command = strace("/dev/null")?;
    command.args(["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:{fault}")]);
    Some(Scene::start(scene_under(command, name, mode)))
}

/// Echoes over several connections, in odd sizes; every byte is compared.
async fn converse(rounds: usize) -> Result<(), std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let server = runtime::spawn(async move {
        for _ in 0..4 {
            let (mut stream, _) = listener.accept().await?;
            runtime::spawn(async move {
                let mut buf = [0; 3000];
                while let Ok(read @ 1..) = stream.read(&mut buf).await {
                    if stream.write_all(&buf[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
        Ok::<_, std::io::Error>(())
    });
    let one = |id: u64| async move {
        let mut random = Random::new(id);
        let mut stream = TcpStream::connect(addr).await?;
        let mut at = 0;
        for _ in 0..rounds {
            let mut piece = bytes(id, at, random.between(1, 5000));
            stream.write_all(&piece).await?;
            piece.fill(0);
            stream.read_exact(&mut piece).await?;
            assert_bytes(id, at, &piece);
            at += piece.len();
        }
        Ok::<_, std::io::Error>(())
    };
    let outcomes = join_all((0..4).map(one)).await;
    server.abort();
    outcomes.into_iter().collect()
}

pub(crate) fn conversation(mode: Scheduler) {
    runtime_of(mode).block_on(converse(50)).expect("no call may fail for good");
    println!("-done");
}

#[test]
fn interrupted_calls_are_made_again_and_nobody_sees_it() {
    let _alone = alone();
    let _watchdog = watch();
    for mode in MODES {
        for calls in ["recvfrom,sendto", "accept4", "?epoll_wait,?epoll_pwait,?epoll_pwait2"] {
            let fault = "error=EINTR:when=1+3";
            let Some(mut scene) = injected("conversation", mode, calls, fault) else { return };
            scene.wait_for("-done");
            scene.end();
        }
    }
}

/// Accepts five connections, and prints what `accept` fails with.
pub(crate) fn accepting(mode: Scheduler) {
    let runtime = runtime_of(mode);
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let clients = thread::spawn(move || (0..5).map(|byte| ask(addr, byte)).collect::<Vec<_>>());
        for _ in 0..5 {
            let mut stream = loop {
                match listener.accept().await {
                    Ok((stream, _)) => break stream,
                    Err(error) => {
                        println!("-failed {}", error.raw_os_error().expect("it is the system's"));
                        // As the documentation of `accept` asks.
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            };
            let mut byte = [0];
            stream.read_exact(&mut byte).await.expect("it is connected");
            stream.write_all(&byte).await.expect("it is connected");
        }
        assert_eq!(clients.join().expect("no panic"), [0, 1, 2, 3, 4]);
        println!("-failed no more");
    });
}

fn ask(addr: SocketAddr, byte: u8) -> u8 {
    let mut stream = std::net::TcpStream::connect(addr).expect("it listens");
    stream.write_all(&[byte]).expect("it is connected");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("it is answered");
    answer[0]
}

#[test]
fn accept_tells_what_the_system_has_run_out_of_and_recovers() {
    let _alone = alone();
    let _watchdog = watch();
    let shortages =
        [("ENOBUFS", ENOBUFS), ("ENOMEM", ENOMEM), ("EMFILE", EMFILE), ("ENFILE", ENFILE)];
    for mode in MODES {
        for (name, number) in shortages {
            let fault = format!("error={name}:when=1..2");
            let Some(mut scene) = injected("accepting", mode, "accept4", &fault) else { return };
            let mut failures = 0;
            while scene.wait_for("-failed ") == number.to_string() {
                failures += 1;
            }
            // Each thread that accepts has its own two.
            assert!((2..=6).contains(&failures), "{name}: {failures} failures");
            scene.end();
        }
    }
}

#[test]
fn connections_that_fail_before_they_are_accepted_are_skipped() {
    let _alone = alone();
    let _watchdog = watch();
    for mode in MODES {
        for name in ["ECONNABORTED", "EPROTO", "ENETDOWN"] {
            let fault = format!("error={name}:when=1..3");
            let Some(mut scene) = injected("accepting", mode, "accept4", &fault) else { return };
            assert_eq!(scene.wait_for("-failed "), "no more", "{name}");
            scene.end();
        }
    }
}

/// Sends pieces, again where the system had no room for one, and prints how often that was.
pub(crate) fn sending(mode: Scheduler) {
    const PIECE: usize = 1000;
    let runtime = runtime_of(mode);
    let task = runtime.spawn(async {
        let (mut stream, mut peer) = pair().await;
        let reader = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).expect("it is closed, and not reset");
            all
        });
        let mut failures = 0;
        for from in (0..50 * PIECE).step_by(PIECE) {
            let piece = bytes(3, from, PIECE);
            while let Err(error) = stream.write_all(&piece).await {
                assert_eq!(error.raw_os_error(), Some(ENOBUFS), "{error}");
                failures += 1;
            }
        }
        drop(stream);
        let all = reader.join().expect("no panic");
        assert_eq!(all.len(), 50 * PIECE);
        assert_bytes(3, 0, &all);
        println!("-failed {failures}");
    });
    runtime.block_on(task).expect("no panic");
}

/// A piece is smaller than the socket's buffer, so one that failed was not sent in part.
#[test]
fn a_write_without_buffers_is_an_error_and_the_next_one_works() {
    let _alone = alone();
    let _watchdog = watch();
    for mode in MODES {
        let fault = "error=ENOBUFS:when=2+5";
        let Some(mut scene) = injected("sending", mode, "sendto", fault) else { return };
        let failures: usize = scene.wait_for("-failed ").parse().expect("it is a number");
        assert!((5..=15).contains(&failures), "{failures} of 50 writes failed");
        scene.end();
    }
}

/// Builds runtimes and converses, again and again, until enough of both have failed.
pub(crate) fn scarce(mode: Scheduler) {
    let files = open_files();
    let (mut unbuilt, mut broken) = (0, 0_usize);
    for round in 0.. {
        if broken >= 2 && unbuilt >= 2 {
            break;
        }
        // Every seventh call of a thread fails, in each round another one of a build.
        for _ in 0..round % 7 {
            drop(UdpSocket::bind(("127.0.0.1", 0)));
        }
        let runtime = match named("scarce", mode).build() {
            Ok(runtime) => runtime,
            Err(error) => {
                // It names the call too, so it is not the system's error any more.
                assert!(error.to_string().contains("Too many open files"), "{error}");
                unbuilt += 1;
                wait_for_files(files);
                continue;
            }
        };
        // None may ever succeed: each makes more calls than seven.
        for _ in 0..3 {
            let outcome = runtime.block_on(converse(2));
            let Err(error) = outcome else { break };
            // Where the other end was refused, this one sees a connection that ends, or, if it comes
            // late, nobody who listens.
            let is_end = matches!(
                error.kind(),
                ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::BrokenPipe
            );
            assert!(is_end || error.raw_os_error() == Some(EMFILE), "{error}");
            broken += usize::from(!is_end);
        }
        drop(runtime);
        wait_for_files(files);
    }
    println!("-done");
}

/// Every call that makes a file fails now and then, and so does that which registers one.
#[test]
fn a_runtime_that_cannot_be_built_or_cannot_connect_leaves_no_file() {
    let _alone = alone();
    let _watchdog = watch();
    for mode in MODES {
        let calls = "?epoll_create1,?eventfd2,?timerfd_create,socket,?epoll_ctl";
        let fault = "error=EMFILE:when=3+7";
        let Some(mut scene) = injected("scarce", mode, calls, fault) else { return };
        scene.wait_for("-done");
        scene.end();
    }
}
