//! Pipes: to and from other programs, and full ones.

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use runtime::net::pipe::{self, Receiver, Sender};
use runtime::process::Command;
use runtime::spawn;
use rustix::process::{Pid, Signal, kill_process};

use super::{alone, assert_sleeps, both_modes, pattern};

/// The end that a program gets, which may block.
fn give(end: std::io::Result<OwnedFd>) -> Stdio {
    Stdio::from(end.expect("a pipe"))
}

fn ends() -> (Sender, Receiver) {
    pipe::pipe().expect("a pipe")
}

async fn read_to_end(mut receiver: Receiver) -> Vec<u8> {
    let (mut bytes, mut buf) = (Vec::new(), [0; 1000]);
    loop {
        match receiver.read(&mut buf).await.expect("a pipe") {
            0 => return bytes,
            read => bytes.extend_from_slice(&buf[..read]),
        }
    }
}

#[test]
fn a_writer_of_single_bytes_is_heard_whole_and_in_order() {
    // More than a pipe holds.
    const LENGTH: usize = 100_000;
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            let (mut to, from) = ends();
            let (sender, receiver) = ends();
            let mut command = Command::new("dd");
            command.args(["bs=1", "status=none"]);
            command.stdin(give(from.into_blocking_fd())).stdout(give(sender.into_blocking_fd()));
            let mut child = command.spawn().expect("every Unix has it");
            // It holds the ends of the program, whose closing is to be seen.
            drop(command);
            let writer = spawn(async move { to.write_all(&pattern(LENGTH)).await });
            assert!(read_to_end(receiver).await == pattern(LENGTH));
            writer.await.expect("no panic").expect("dd reads");
            assert!(child.wait().await.expect("it ends").success());
        });
    });
}

#[test]
fn what_a_killed_writer_has_written_is_read_to_the_end() {
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            let (sender, mut receiver) = ends();
            let mut command = Command::new("sh");
            command.args(["-c", "printf 'half a li'; kill -KILL $$"]);
            command.stdout(give(sender.into_blocking_fd()));
            let mut child = command.spawn().expect("sh is there");
            drop(command);
            child.wait().await.expect("it ends");
            let mut bytes = [0; 9];
            receiver.read_exact(&mut bytes).await.expect("they are in the pipe");
            assert_eq!(&bytes, b"half a li");
            for _ in 0..3 {
                assert_eq!(receiver.read(&mut bytes).await.expect("the end"), 0);
            }
            let error = receiver.read_exact(&mut bytes).await.expect_err("no more");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        });
    });
}

/// The reader of a full pipe first stops, then goes on, then is killed.
#[test]
fn a_full_pipe_is_waited_for_without_spinning_and_its_end_is_told() {
    let _alone = alone();
    both_modes(|runtime| {
        let (mut sender, receiver) = {
            let _entered = runtime.enter();
            ends()
        };
        let bytes = pattern(300_000);
        let (mut reader, mut counted) = runtime.block_on(async {
            let (counts, counted) = ends();
            let mut command = Command::new("sh");
            // As many bytes as were written, and nothing after them.
            command.args(["-c", "read go < /dev/stderr; head -c 300000 | cksum; exec sleep 100"]);
            command.stdin(give(receiver.into_blocking_fd()));
            command.stdout(give(counts.into_blocking_fd()));
            let (go, gate) = ends();
            command.stderr(give(gate.into_blocking_fd()));
            let reader = command.kill_on_drop(true).spawn().expect("sh is there");
            drop(command);
            ((reader, go), counted)
        });
        let data = bytes.clone();
        let mut writing = runtime.spawn(async move { (sender.write_all(&data).await, sender) });
        assert_sleeps(runtime);
        runtime.block_on(async {
            assert!(futures_util::poll!(&mut writing).is_pending(), "the pipe is full");
            reader.1.write_all(b"go\n").await.expect("sh reads");
            let (outcome, mut sender) = writing.await.expect("no panic");
            outcome.expect("the reader goes on");
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let mut byte = [0];
                counted.read_exact(&mut byte).await.expect("cksum prints");
                line.push(byte[0]);
            }
            assert_eq!(String::from_utf8_lossy(&line), cksum(&bytes).await);
            let blocked = spawn(async move {
                loop {
                    if let Err(error) = sender.write_all(&[0; 65_536]).await {
                        return error.kind();
                    }
                }
            });
            runtime::task::yield_now().await;
            reader.0.kill().await.expect("it is our child");
            assert_eq!(blocked.await.expect("no panic"), ErrorKind::BrokenPipe);
        });
    });
}

/// What the same program says of the same bytes, from a file of the standard library.
async fn cksum(bytes: &[u8]) -> String {
    let dir = windlass_tests::Dir::new();
    let path = dir.file("bytes");
    std::fs::write(&path, bytes).expect("a new file");
    let file = std::fs::File::open(path).expect("it was made");
    let output = Command::new("cksum").stdin(file).output().await.expect("every Unix has it");
    String::from_utf8(output.stdout).expect("numbers")
}

/// Stopped and going on again: no error, and nothing twice.
#[test]
fn a_writer_that_is_stopped_and_goes_on_is_heard_once() {
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            let (sender, receiver) = ends();
            let mut command = Command::new("sh");
            let script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done";
            command.args(["-c", script]).stdout(give(sender.into_blocking_fd()));
            let mut child = command.spawn().expect("sh is there");
            drop(command);
            let id = child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
            let reading = spawn(read_to_end(receiver));
            for _ in 0..20 {
                kill_process(id, Signal::STOP).expect("it has not been waited for");
                runtime::task::yield_now().await;
                kill_process(id, Signal::CONT).expect("it has not been waited for");
            }
            let lines = (0..3000).map(|number| format!("{number}\n"));
            let expected: String = lines.collect();
            let text = reading.await.expect("no panic");
            assert!(text == expected.as_bytes(), "{}", String::from_utf8_lossy(&text));
            assert!(child.wait().await.expect("it ends").success());
        });
    });
}
