//! File descriptors with a past or a second owner: numbers used again at once, duplicates, children.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use futures_util::future::join_all;
use futures_util::poll;
use runtime::net::TcpStream;
use runtime::task::yield_now;
use rustix::process::getuid;

use super::{Bystander, alone, in_both_modes, pair, reset, stays_calm};

/// Whether a poller of this process has the file with this inode.
pub(super) fn is_polled(inode: u64) -> bool {
    let files = fs::read_dir("/proc/self/fdinfo").expect("the kernel shows its files");
    files.flatten().any(|file| {
        let info = fs::read_to_string(file.path()).unwrap_or_default();
        info.lines()
            .any(|line| line.starts_with("tfd:") && line.contains(&format!("ino:{inode:x} ")))
    })
}

pub(super) fn socket_inode(file: impl AsFd) -> u64 {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    let name = fs::read_link(path).expect("it is open").display().to_string();
    let number = name.trim_start_matches("socket:[").trim_end_matches(']');
    number.parse().expect("it is a socket")
}

/// A connection whose events are on their way when its number goes to another one.
#[test]
fn events_of_a_closed_connection_do_not_reach_the_next_owner_of_its_number() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
            let addr = listener.local_addr().expect("it is bound");
            let mut bystander = Bystander::new().await;
            let mut used_again = 0;
            for round in 0..500_u32 {
                let mut old = TcpStream::connect(addr).await.expect("it listens");
                let (mut old_peer, _) = listener.accept().expect("one has connected");
                let number = old.as_raw_fd();
                let mut buf = [0; 8];
                assert!(poll!(Box::pin(old.read(&mut buf))).is_pending(), "that registers it");
                old_peer.write_all(b"old").expect("it is connected");
                drop(old);

                let mut new = TcpStream::connect(addr).await.expect("it listens");
                let (mut new_peer, _) = listener.accept().expect("one has connected");
                used_again += u32::from(new.as_raw_fd() == number);
                let mut reading = Box::pin(new.read(&mut buf));
                assert!(poll!(&mut reading).is_pending());
                match round % 3 {
                    0 => reset(old_peer),
                    1 => drop(old_peer),
                    _ => drop(old_peer.write(b"more of the old")),
                }
                yield_now().await;
                assert!(poll!(&mut reading).is_pending(), "round {round}: it was not written to");
                new_peer.write_all(&round.to_be_bytes()).expect("it is connected");
                assert_eq!(reading.await.expect("it is connected"), 4);
                assert_eq!(buf[..4], round.to_be_bytes());
            }
            assert!(used_again > 250, "{used_again} numbers were used again");
            bystander.is_served().await;
        });
    });
}

/// The duplicate keeps the socket open, so closing the stream's own number ends nothing by itself.
#[test]
fn a_duplicate_that_outlives_its_stream_has_all_bytes_and_wakes_nobody() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let (mut stream, mut peer) = pair().await;
            assert!(poll!(Box::pin(stream.read(&mut [0]))).is_pending(), "that registers it");
            let duplicate = stream.as_fd().try_clone_to_owned().expect("there are files");
            let inode = socket_inode(&duplicate);
            assert!(is_polled(inode));
            drop(stream);
            assert!(!is_polled(inode), "its events would go on");
            for _ in 0..100 {
                peer.write_all(b"0123456789").expect("it is still connected");
            }
            stays_calm().await;
            peer.shutdown(Shutdown::Write).expect("it is connected");
            // It can be taken over again, by the same runtime.
            let mut again = TcpStream::from_std(duplicate.into()).expect("it does not block");
            let mut all = Vec::new();
            loop {
                let mut buf = [0; 64];
                match again.read(&mut buf).await.expect("no error") {
                    0 => break,
                    read => all.extend_from_slice(&buf[..read]),
                }
            }
            assert_eq!(all, b"0123456789".repeat(100));
        });
    });
}

/// Makes the standard library fork, which it does not do for commands that `posix_spawn` can start.
fn forked(command: &mut Command) -> Child {
    command.uid(getuid().as_raw()).spawn().expect("the program can be started")
}

#[test]
fn a_child_that_keeps_a_connection_open_gets_its_bytes_and_the_runtime_none() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            let (mut stream, mut peer) = pair().await;
            assert!(poll!(Box::pin(stream.read(&mut [0]))).is_pending(), "that registers it");
            let given = stream.as_fd().try_clone_to_owned().expect("there are files");
            let inode = socket_inode(&given);
            drop(stream);
            let given = std::net::TcpStream::from(given);
            given.set_nonblocking(false).expect("it is a socket");
            let mut cat = Command::new("cat");
            let given = std::os::fd::OwnedFd::from(given);
            let mut child = forked(cat.stdin(given).stdout(Stdio::piped()));
            // The command keeps what it has given until it is gone.
            drop(cat);
            let open = fs::read_dir("/proc/self/fd").expect("this is Linux").flatten();
            let names = open.filter_map(|file| fs::read_link(file.path()).ok());
            let name = format!("socket:[{inode}]");
            assert_eq!(names.filter(|path| path.as_os_str() == &*name).count(), 0);
            assert!(!is_polled(inode), "the child's copy would keep the events coming");

            let sent = b"to the child".repeat(500);
            peer.write_all(&sent).expect("the child has it");
            stays_calm().await;
            bystander.is_served().await;
            peer.shutdown(Shutdown::Write).expect("it is connected");
            let mut received = Vec::new();
            let mut output = child.stdout.take().expect("it is piped");
            output.read_to_end(&mut received).expect("cat copies");
            assert_eq!(received, sent);
            assert!(child.wait().expect("it is our child").success());
            assert_eq!(peer.read(&mut [0]).expect("the last owner has closed it"), 0);
            bystander.is_served().await;
        });
    });
}

/// Between fork and exec the child has everything: pollers, timers, sockets.
#[test]
fn forks_while_connections_talk_disturb_none_and_inherit_nothing() {
    fn list() -> Vec<u8> {
        let mut sh = Command::new("sh");
        sh.args(["-c", "ls /proc/self/fd | wc -l"]);
        let child = forked(sh.stdin(Stdio::null()).stdout(Stdio::piped()));
        child.wait_with_output().expect("it is our child").stdout
    }
    // What the test's own parent has left open, before there is a runtime.
    let open = {
        let _alone = alone();
        list()
    };
    in_both_modes(|runtime| {
        let is_over = Arc::new(AtomicBool::new(false));
        let stop = is_over.clone();
        let talking = runtime.spawn(async move {
            let one = || async {
                let mut bystander = Bystander::new().await;
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) || rounds < 100 {
                    bystander.is_served().await;
                    yield_now().await;
                    rounds += 1;
                }
                rounds
            };
            join_all((0..8).map(|_| one())).await
        });
        let forking = thread::spawn(move || {
            let lists: Vec<_> = (0..30).map(|_| list()).collect();
            is_over.store(true, Ordering::Relaxed);
            lists
        });
        let rounds = runtime.block_on(talking).expect("no panic");
        let lists = forking.join().expect("no panic");
        assert!(lists.iter().all(|list| *list == open), "{lists:?} instead of {open:?}");
        assert!(rounds.iter().all(|&rounds| rounds >= 100), "{rounds:?}");
    });
}
