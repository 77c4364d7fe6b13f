//! Children that are forked and go on without `exec`. They make system calls and `_exit`: all else
//! may need a lock that a thread which does not exist in the child has taken.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::net::TcpStream;
use runtime::signal::{SignalKind, signal};
use runtime::time::sleep;
use rustix::io::{read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use super::descriptors::{is_polled, socket_inode};
use super::{Bystander, in_both_modes, pair, stays_calm};

/// A child that waits for a byte, sends it back, and is gone.
struct ForkedChild {
    id: Pid,
    go: OwnedFd,
    answer: OwnedFd,
}

impl ForkedChild {
    /// The child begins with `first`, which must make system calls alone.
    fn new(first: impl FnOnce()) -> ForkedChild {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("there are files");
        let ((go_end, go), (answer, answer_end)) = (pipe(), pipe());
        // SAFETY: the child makes system calls alone, and ends below. It takes no lock and allocates
        // nothing, as the closures of this file do not either.
        match unsafe { libc::fork() } {
            0 => {
                first();
                let mut byte = [0];
                let is_told = read(&go_end, &mut byte) == Ok(1);
                let answers = is_told && write(&answer_end, &byte) == Ok(1);
                // SAFETY: it ends this process, and runs nothing before.
                unsafe { libc::_exit(if answers { 0 } else { 1 }) }
            }
            id => {
                let id = Pid::from_raw(id).filter(|_| id > 0).expect("there may be more processes");
                ForkedChild { id, go, answer }
            }
        }
    }

    /// Lets the child go, and waits for its end.
    fn end(self) {
        write(&self.go, b"?").expect("the child waits");
        let mut byte = [0];
        assert_eq!(read(&self.answer, &mut byte), Ok(1), "the child answers");
        assert_eq!(&byte, b"?");
        let status = waitpid(Some(self.id), WaitOptions::empty()).expect("it is our child");
        let (_, status) = status.expect("it has ended");
        assert_eq!(status.exit_status(), Some(0), "{status:?}");
    }
}

/// Numbers that go to a task and back, in other tasks, with a timer between them.
async fn talks_until(is_over: Arc<AtomicBool>) -> u32 {
    let (mut stream, peer) = pair().await;
    peer.set_nonblocking(true).expect("a socket option");
    let mut peer = TcpStream::from_std(peer).expect("it does not block");
    let echo = runtime::spawn(async move {
        let mut bytes = [0; 4];
        while peer.read_exact(&mut bytes).await.is_ok() {
            peer.write_all(&bytes).await.expect("it is connected");
        }
    });
    let mut rounds: u32 = 0;
    while !is_over.load(Ordering::Relaxed) || rounds < 20 {
        let mut bytes = [0; 4];
        stream.write_all(&rounds.to_be_bytes()).await.expect("it is connected");
        stream.read_exact(&mut bytes).await.expect("it is connected");
        assert_eq!(bytes, rounds.to_be_bytes());
        sleep(Duration::from_millis(1)).await;
        rounds += 1;
    }
    drop(stream);
    echo.await.expect("it hears the end");
    rounds
}

#[test]
fn children_that_read_and_exit_disturb_no_connection_and_no_timer() {
    in_both_modes(|runtime| {
        let is_over = Arc::new(AtomicBool::new(false));
        let talking: Vec<_> = (0..8).map(|_| runtime.spawn(talks_until(is_over.clone()))).collect();
        let forking = thread::spawn(move || {
            for _ in 0..10 {
                // Three at a time, which end in the order in which they did not begin.
                let children = [(); 3].map(|()| ForkedChild::new(|| ()));
                children.into_iter().rev().for_each(ForkedChild::end);
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for rounds in runtime.block_on(join_all(talking)) {
            assert!(rounds.expect("no panic") >= 20);
        }
        forking.join().expect("all children answer");
    });
}

/// The child is the second owner of each file, of the poller too.
#[test]
fn a_child_keeps_closed_connections_open_and_takes_none_of_their_events() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            let (mut stream, mut peer) = pair().await;
            let mut byte = [0];
            // This registers it.
            assert!(futures_util::poll!(Box::pin(stream.read(&mut byte))).is_pending());
            let inode = socket_inode(&stream);
            assert!(is_polled(inode));
            let child = ForkedChild::new(|| ());
            drop(stream);
            assert!(!is_polled(inode), "its events would go on");
            peer.set_nonblocking(true).expect("a socket option");
            let end = peer.read(&mut byte).expect_err("the child has it open");
            assert_eq!(end.kind(), ErrorKind::WouldBlock);
            // What is written now is an event of a socket that is nobody's here.
            peer.write_all(b"more").expect("the child has it open");
            stays_calm().await;
            bystander.is_served().await;
            child.end();
            peer.set_nonblocking(false).expect("a socket option");
            // It was closed with bytes that nobody had read.
            let end = peer.read(&mut byte).expect_err("nobody has it open any more");
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            bystander.is_served().await;
        });
    });
}

/// The handler is inherited with its bell, the count is the child's own.
#[test]
fn a_signal_to_a_child_is_none_to_its_parent() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut listener = signal(SignalKind::user_defined1()).expect("it can be listened for");
            let child = ForkedChild::new(|| {
                let _ = kill_process(getpid(), Signal::USR1);
            });
            // The child has had the signal when it answers.
            child.end();
            let mut hearing = Box::pin(listener.recv());
            assert!(futures_util::poll!(&mut hearing).is_pending());
            stays_calm().await;
            assert!(
                futures_util::poll!(&mut hearing).is_pending(),
                "nobody sent it to this process"
            );
            kill_process(getpid(), Signal::USR1).expect("this process runs");
            hearing.await;
        });
    });
}
