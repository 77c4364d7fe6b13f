//! The standard streams, when the other end has gone or is slow, and when a waker panics.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use runtime::Runtime;
use runtime::io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use runtime::time::timeout;
use windlass_tests::{Scene, scene};

use super::{MODES, alone, assert_sleeps};

/// Writes to an output that nobody reads any more, in each way that there is.
pub(super) fn closed_output(runtime: &Runtime) {
    runtime.block_on(async {
        let mut output = io::stdout();
        // The test closes the pipe when it has seen this.
        output.write_all(b"-ready\n").await.expect("it is read");
        let error = loop {
            if let Err(error) = output.write_all(&[b'x'; 65_536]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        for _ in 0..3 {
            let error = output.write_all(b"x").await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        AsyncWriteExt::write_all(&mut output, b"accepted").await.expect("it is accepted first");
        assert_eq!(output.flush().await.expect_err("told").kind(), ErrorKind::BrokenPipe);
        output.flush().await.expect("told once");
        io::stderr().write_all(b"-broken\n").await.expect("it is read");
    });
    assert_sleeps(runtime);
}

#[test]
fn an_output_that_nobody_reads_any_more_is_a_broken_pipe() {
    let _alone = alone();
    for mode in MODES {
        let mut child = scene("closed_output", mode).spawn().expect("this program can be started");
        let output = child.stdout.take().expect("it is piped");
        let mut lines = BufRead::lines(BufReader::new(output));
        while !lines.next().expect("it prints").expect("text").contains("-ready") {}
        drop(lines);
        let output = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode}, {}: {errors}", output.status);
        assert!(errors.contains("-broken"), "{mode}: {errors}");
    }
}

/// Reads the end of the input again and again.
pub(super) fn empty_input(runtime: &Runtime) {
    runtime.block_on(async {
        let mut input = io::stdin();
        for _ in 0..1000 {
            assert_eq!(input.read(&mut [0; 100]).await.expect("the end is no error"), 0);
        }
        let mut rest = Vec::new();
        AsyncReadExt::read_to_end(&mut input, &mut rest).await.expect("the end is no error");
        assert_eq!(rest, b"");
    });
    assert_sleeps(runtime);
}

#[test]
fn an_input_that_is_empty_or_closed_is_at_its_end() {
    let _alone = alone();
    for mode in MODES {
        let null = || Stdio::null();
        let played = scene("empty_input", mode).stdin(null()).output().expect("it can be started");
        assert!(played.status.success(), "{mode}: {}", String::from_utf8_lossy(&played.stderr));
        // Closed altogether: the standard library puts something empty there.
        let plain = scene("empty_input", mode);
        let mut closed = Command::new("sh");
        closed.args(["-c", "exec \"$0\" \"$@\" <&- >&-"]);
        closed.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                closed.env(name, value);
            }
        }
        let played = closed.stderr(Stdio::piped()).output().expect("it can be started");
        assert!(played.status.success(), "{mode}: {}", String::from_utf8_lossy(&played.stderr));
    }
}

/// Writes to a full pipe that must not be waited for, until it takes three letters.
pub(super) fn full_output(runtime: &Runtime) {
    let stdout = std::io::stdout();
    rustix::io::ioctl_fionbio(&stdout, true).expect("it is a pipe");
    for size in [4096, 1] {
        while rustix::io::write(&stdout, &[b'x'; 4096][..size]).is_ok() {}
    }
    print!("-before");
    runtime.block_on(async {
        let mut output = io::stdout();
        let error = output.write_all(b"-abc").await.expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        // The test begins to read when it has seen this.
        io::stderr().write_all(b"-refused\n").await.expect("it is read");
        while let Err(error) = output.write_all(b"-abc").await {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    });
}

#[test]
fn what_a_full_output_refused_arrives_once_when_it_is_written_again() {
    let _alone = alone();
    for mode in MODES {
        let mut child = scene("full_output", mode).spawn().expect("this program can be started");
        let mut errors = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut said = String::new();
        while !said.ends_with("-refused\n") {
            assert!(errors.read_line(&mut said).expect("text") > 0, "{mode}: {said}");
        }
        let output = child.wait_with_output().expect("it ends");
        errors.read_to_string(&mut said).expect("text");
        assert!(output.status.success(), "{mode}, {}: {said}", output.status);
        let text = String::from_utf8_lossy(&output.stdout);
        let (_, text) = text.split_once('-').expect("it was written in the end");
        assert_eq!(text, "before-abc", "{mode}");
    }
}

struct PanicOnWake;

impl Wake for PanicOnWake {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics");
    }
}

/// Far above what is waited for on a loaded machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Has wakers that panic wait for room in the output, and for its end.
pub(super) fn panicking_writer(runtime: &Runtime) {
    let write = async {
        let mut output = io::stdout();
        let waker = Waker::from(Arc::new(PanicOnWake));
        let mut cx = Context::from_waker(&waker);
        let mut accepted = 0;
        while let Poll::Ready(written) =
            Pin::new(&mut output).poll_write(&mut cx, &[b'\n'; 64 * 1024])
        {
            accepted += written.expect("a pipe");
        }
        assert!(Pin::new(&mut output).poll_flush(&mut cx).is_pending(), "nobody reads");
        // The test begins to read when it has seen this.
        let accepted = format!("-accepted {accepted}\n");
        io::stderr().write_all(accepted.as_bytes()).await.expect("it is read");
        output.flush().await.expect("a pipe");
        output.write_all(b"-after").await.expect("a pipe");
    };
    runtime.block_on(timeout(LIMIT, write)).expect("it does not hang");
}

#[test]
fn a_writer_whose_waker_panics_loses_nothing_and_can_go_on() {
    let _alone = alone();
    for mode in MODES {
        let mut scene = Scene::start(scene("panicking_writer", mode));
        let accepted: usize = scene.wait_for_error("-accepted ").parse().expect("a number");
        let (output, _) = scene.end();
        let (bytes, _) = output.split_once("-after").expect("all of it arrived");
        let bytes = bytes.bytes().rev().take_while(|&byte| byte == b'\n').count();
        assert_eq!(bytes, accepted, "{mode}");
    }
}

/// Has a waker that panics wait for the first line of the input, and reads two.
pub(super) fn panicking_reader(runtime: &Runtime) {
    let read = async {
        let mut input = io::stdin();
        let waker = Waker::from(Arc::new(PanicOnWake));
        let read = Pin::new(&mut input).poll_read(&mut Context::from_waker(&waker), &mut [0; 8]);
        assert!(read.is_pending(), "nothing has been written yet");
        let mut lines = io::BufReader::new(input).lines();
        for _ in 0..2 {
            io::stdout().write_all(b"-next\n").await.expect("it is read");
            let line = futures_util::StreamExt::next(&mut lines).await;
            assert_eq!(line.expect("no end yet").expect("a pipe"), "line");
        }
    };
    runtime.block_on(timeout(LIMIT, read)).expect("it does not hang");
}

#[test]
fn a_reader_whose_waker_panics_leaves_the_input_to_others() {
    let _alone = alone();
    for mode in MODES {
        let mut scene = Scene::start(scene("panicking_reader", mode));
        for _ in 0..2 {
            scene.wait_for("-next");
            scene.say("line");
        }
        scene.end();
    }
}
