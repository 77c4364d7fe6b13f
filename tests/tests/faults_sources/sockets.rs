//! Datagrams and Unix sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;
use std::time::Duration;

use runtime::net::{AsyncFd, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use runtime::process::Command;
use runtime::time::timeout;
use runtime::{Runtime, spawn};
use windlass_tests::{Dir, Scene, scene_under};

use super::{MODES, alone, assert_sleeps, both_modes, pattern, strace};

async fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("the loopback has ports");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr)
}

/// One task sends, another receives; the network's message may reach either.
#[test]
fn a_peer_that_is_away_for_a_while_is_refused_and_then_heard() {
    let _alone = alone();
    both_modes(|runtime| {
        let (socket, addr, gone) = runtime.block_on(async {
            let ((socket, addr), (peer, gone)) = (bound().await, bound().await);
            socket.connect(gone).await.expect("it is on the loopback");
            drop(peer);
            (std::sync::Arc::new(socket), addr, gone)
        });
        runtime.block_on(async {
            let receiver = socket.clone();
            let receiving = spawn(async move {
                let (mut refused, mut buf) = (0, [0; 8]);
                loop {
                    match receiver.recv(&mut buf).await {
                        Ok(length) => return (refused, buf[..length].to_vec()),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionRefused),
                    }
                    refused += 1;
                }
            });
            let mut refused = 0;
            for _ in 0..1000 {
                if let Err(error) = socket.send(b"anybody?").await {
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                    refused += 1;
                }
                runtime::task::yield_now().await;
            }
            let peer = UdpSocket::bind(gone).await.expect("the port is free again");
            peer.send_to(b"here", addr).await.expect("there is room");
            let (heard, last) = receiving.await.expect("no panic");
            assert_eq!(last, b"here");
            assert!(refused + heard > 0, "nobody was told");
            // What was said to nobody is gone; what is said now arrives, once.
            while socket.send(b"hello").await.is_err() {}
            let mut buf = [0; 16];
            assert_eq!(peer.recv_from(&mut buf).await.expect("it arrived"), (5, addr));
            peer.try_recv(&mut buf).expect_err("there is no other");
        });
        assert_sleeps(runtime);
    });
}

/// A server hears of none of its clients' ends, and goes on.
#[test]
fn clients_that_leave_before_the_answer_stop_no_server() {
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            let (server, addr) = bound().await;
            let serving = spawn(async move {
                let (mut served, mut buf) = (0, [0; 64]);
                loop {
                    let (length, client) = server.recv_from(&mut buf).await?;
                    if &buf[..length] == b"end" {
                        return Ok::<_, std::io::Error>(served);
                    }
                    server.send_to(&buf[..length], client).await?;
                    served += 1;
                }
            });
            for _ in 0..200 {
                // Bound before the other leaves, whose port and answer it might get.
                let (stays, _) = bound().await;
                let (leaves, _) = bound().await;
                leaves.send_to(b"", addr).await.expect("there is room");
                drop(leaves);
                stays.send_to(b"stays", addr).await.expect("there is room");
                assert_eq!(stays.recv_from(&mut [0; 8]).await.expect("the answer"), (5, addr));
            }
            let (last, _) = bound().await;
            last.send_to(b"end", addr).await.expect("there is room");
            assert_eq!(serving.await.expect("no panic").expect("it goes on"), 400);
        });
    });
}

/// Sends a hundred datagrams to itself, in which the system refuses some, and says what was heard.
pub(super) fn send(runtime: &Runtime) {
    runtime.block_on(async {
        let (socket, addr) = bound().await;
        let (mut errors, mut sent) = (Vec::new(), Vec::new());
        for number in 0..100_u8 {
            match socket.send_to(&[number], addr).await {
                Ok(length) => {
                    assert_eq!(length, 1);
                    sent.push(number);
                }
                Err(error) => errors.push(error.raw_os_error()),
            }
        }
        let mut received = Vec::new();
        for _ in 0..sent.len() {
            let mut byte = [0];
            socket.recv_from(&mut byte).await.expect("it arrived");
            received.push(byte[0]);
        }
        assert_eq!(received, sent, "none lost, none doubled");
        socket.try_recv_from(&mut [0]).expect_err("there is no other");
        println!("-errors {errors:?}");
    });
}

/// The loopback is never full, so the errors are strace's.
#[test]
fn a_full_send_queue_is_waited_for_or_told() {
    let _alone = alone();
    for mode in MODES {
        for (injected, told) in [
            // The device has no room: the datagram is dropped, and its sender is told.
            ("ENOBUFS:when=10+20", "[Some(105), Some(105), Some(105), Some(105), Some(105)]"),
            // The socket has none, for a moment: waited for.
            ("EAGAIN:when=10", "[]"),
            ("EINTR:when=10+2", "[]"),
        ] {
            let injected = format!("--inject=sendto:error={injected}");
            let Some(command) = strace(&["-e", "trace=sendto", &injected]) else { return };
            let mut scene = Scene::start(scene_under(command, "send", mode));
            assert_eq!(scene.wait_for("-errors "), told, "{injected}, {mode}");
            scene.end();
        }
    }
}

/// Sends datagrams to a path whose queue is full of another's.
pub(super) fn send_to_a_full_queue(runtime: &Runtime) {
    runtime.block_on(async {
        let dir = Dir::new();
        let path = dir.file("queue");
        let receiver = UnixDatagram::bind(&path).expect("the path is free");
        let greedy = UnixDatagram::unbound().expect("a socket");
        let mut waiting = 0;
        while greedy.try_send_to(b"x", &path).is_ok() {
            waiting += 1;
        }
        let sending = spawn(async move {
            let sender = UnixDatagram::unbound().expect("a socket");
            let mut errors = Vec::new();
            for _ in 0..100 {
                while let Err(error) = sender.send_to(b"yy", &path).await {
                    errors.push(error.raw_os_error());
                }
            }
            errors
        });
        for _ in 0..waiting + 100 {
            runtime::task::yield_now().await;
            receiver.recv(&mut [0; 4]).await.expect("it arrived");
        }
        let errors = sending.await.expect("no panic");
        receiver.try_recv(&mut [0]).expect_err("there is no other");
        println!("-errors {errors:?}");
    });
}

/// A signal that arrives while the system is asked for room interrupts even a `poll` that does not
/// wait; here every second one, as strace does it.
#[test]
fn an_interrupted_look_for_room_is_no_error() {
    let _alone = alone();
    for mode in MODES {
        let injected = "--inject=/^p?poll$:error=EINTR:when=1+2";
        let Some(command) = strace(&["-e", "trace=/^p?poll$", injected]) else { return };
        let mut scene = Scene::start(scene_under(command, "send_to_a_full_queue", mode));
        assert_eq!(scene.wait_for("-errors "), "[]", "{mode}");
        scene.end();
    }
}

/// What the victim has read, it has written to a file: a piece of the beginning, and whole.
#[test]
fn a_peer_killed_in_the_middle_of_a_write_is_a_broken_pipe() {
    const TAKEN: usize = 1_000_000;
    let _alone = alone();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("read");
        let bytes = pattern(4 << 20);
        let written = runtime.block_on(async {
            let (mut own, peer) = UnixStream::pair().expect("a pair of sockets");
            let peer = peer.into_std().expect("a socket");
            peer.set_nonblocking(false).expect("a socket");
            let mut command = Command::new("sh");
            // It takes some, and then no more.
            let script = format!("head -c {TAKEN} > \"$0\"; exec sleep 100");
            command.args(["-c", &script]).arg(&path).stdin(Stdio::from(OwnedFd::from(peer)));
            let mut victim = command.kill_on_drop(true).spawn().expect("sh is there");
            drop(command);
            let mut written = 0;
            // Until it sleeps, and the socket is full.
            while written < TAKEN {
                written += own.write(&bytes[written..]).await.expect("the victim lives");
            }
            while let Ok(more) =
                timeout(Duration::from_millis(500), own.write(&bytes[written..])).await
            {
                written += more.expect("the victim lives");
            }
            let rest = bytes[written..].to_vec();
            let blocked = spawn(async move { (own.write_all(&rest).await, own) });
            runtime::task::yield_now().await;
            victim.kill().await.expect("it is our child");
            let (outcome, mut own) = blocked.await.expect("no panic");
            let error = outcome.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            for _ in 0..3 {
                let error = own.write(b"x").await.expect_err("nobody reads");
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            }
            written
        });
        let read = std::fs::read(&path).expect("the victim made it");
        assert_eq!(read.len(), TAKEN);
        assert!(written >= read.len() && read == bytes[..read.len()]);
    });
}

#[test]
fn an_address_in_use_is_an_error_that_names_it_and_abstract_ones_are_free_at_once() {
    let _alone = alone();
    both_modes(|runtime| {
        let dir = Dir::new();
        let _entered = runtime.enter();
        let path = dir.file("sock");
        let first = UnixListener::bind(&path).expect("the path is free");
        for _ in 0..2 {
            let error = UnixListener::bind(&path).expect_err("the file is there");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
            let error = runtime::net::UnixDatagram::bind(&path).expect_err("the file is there");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
        }
        drop(first);
        let error = runtime.block_on(UnixStream::connect(&path)).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
        let name = format!("\0windlass-{}", std::process::id());
        for _ in 0..100 {
            let listener = UnixListener::bind(&name).expect("the name is free at once");
            let error = UnixListener::bind(&name).expect_err("it is in use");
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
            assert!(error.to_string().contains(&name[1..]), "{error}");
            drop(listener);
        }
    });
}

/// The number of a file that is closed goes to the next one that is opened: with old events, a task
/// of the old one would wake for the new, or the new one miss its own.
#[test]
fn a_descriptor_that_is_used_again_at_once_brings_no_old_events() {
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            for number in 0..500_u32 {
                let (mut old, mut old_peer) = UnixStream::pair().expect("a pair of sockets");
                let waits = spawn(async move { old.read(&mut [0; 4]).await });
                runtime::task::yield_now().await;
                if number % 2 == 0 {
                    old_peer.write_all(b"old").await.expect("it is connected");
                }
                waits.abort();
                drop(old_peer);
                let _ = waits.await;
                let (mut new, mut peer) = UnixStream::pair().expect("a pair of sockets");
                let read = spawn(async move {
                    let mut bytes = [0; 4];
                    new.read_exact(&mut bytes).await.map(|()| u32::from_le_bytes(bytes))
                });
                for byte in number.to_le_bytes() {
                    runtime::task::yield_now().await;
                    peer.write_all(&[byte]).await.expect("it is connected");
                }
                assert_eq!(read.await.expect("no panic").expect("four bytes"), number);
            }
        });
    });
}

/// Whether a poller of this process has the file with this inode.
fn is_polled(inode: u64) -> bool {
    let files = std::fs::read_dir("/proc/self/fdinfo").expect("this is Linux");
    let infos = files.flatten().map(|file| std::fs::read_to_string(file.path()));
    let polled = format!(" ino:{inode:x} ");
    infos
        .flatten()
        .any(|info| info.lines().any(|line| line.starts_with("tfd:") && line.contains(&polled)))
}

/// A duplicate in another process keeps the file open: only taking it out of the poller ends its
/// events, each of which would wake somebody for nothing.
#[test]
fn what_another_process_keeps_open_wakes_nobody_once_dropped_here() {
    let _alone = alone();
    both_modes(|runtime| {
        let (own, mut peer) = StdUnixStream::pair().expect("a pair of sockets");
        own.set_nonblocking(true).expect("a socket");
        let kept = Stdio::from(OwnedFd::from(own.try_clone().expect("a second descriptor")));
        let mut keeper = std::process::Command::new("sleep")
            .arg("100")
            .stdin(kept)
            .spawn()
            .expect("every Unix has it");
        let back = runtime.block_on(async {
            let fd = AsyncFd::try_new(own).expect("it has events");
            peer.write_all(b"x").expect("it is connected");
            fd.readable().await.expect("the byte is there");
            let path = format!("/proc/self/fd/{}", fd.get_ref().as_raw_fd());
            assert!(is_polled(std::fs::metadata(path).expect("it is open").ino()));
            fd.into_inner()
        });
        let path = format!("/proc/self/fd/{}", back.as_raw_fd());
        let inode = std::fs::metadata(path).expect("it is open").ino();
        let mut byte = [0];
        assert_eq!((&back).read(&mut byte).expect("the byte is there"), 1);
        drop(back);
        // The keeper's is the same open file.
        assert!(!is_polled(inode), "each byte for the keeper would wake this process");
        keeper.kill().expect("it is our child");
        keeper.wait().expect("it is our child");
    });
}
