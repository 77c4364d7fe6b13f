//! The standard streams: nothing waits for them but who reads and writes them.
//!
//! A test's own streams belong to the harness, so the programs that are tested are this one, started
//! again with the name of a scene.

use std::future::Future;
use std::io::{BufRead, BufReader, Read, Write};
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::poll;
use runtime::Runtime;
use runtime::io::{self, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt};
use windlass_tests::{open_files, single_threaded, watch, work_stealing};

/// Starts a scene, in one of the modes, with piped streams.
fn start(scene: &str, mode: &str) -> Child {
    let this = std::env::current_exe().expect("Linux knows where a program lies");
    Command::new(this)
        .args(["--exact", "scenes", "--nocapture", "--test-threads=1"])
        .env("WINDLASS_SCENE", scene)
        .env("WINDLASS_MODE", mode)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started")
}

const MODES: [&str; 2] = ["single-threaded", "work-stealing"];

/// Not a test by itself: what the other tests start.
#[test]
fn scenes() {
    let Ok(scene) = std::env::var("WINDLASS_SCENE") else { return };
    let runtime = match std::env::var("WINDLASS_MODE").as_deref() {
        Ok("single-threaded") => single_threaded(),
        _ => work_stealing(2),
    };
    match scene.as_str() {
        "echo" => echo(&runtime),
        "stuck" => stuck(runtime),
        "left" => left(runtime),
        "behind" => behind(runtime),
        "ticks" => ticks(&runtime),
        scene => panic!("there is no scene {scene:?}"),
    }
    // Past the harness, which prints too.
    std::process::exit(0);
}

/// Writes each line of the input to the output and, in capitals, to the error output.
fn echo(runtime: &Runtime) {
    runtime.block_on(async {
        let mut input = io::BufReader::new(io::stdin());
        let mut line = String::new();
        while input.read_line(&mut line).await.expect("a pipe") > 0 {
            io::stdout().write_all(format!("-{line}").as_bytes()).await.expect("a pipe");
            io::stderr().write_all(line.to_uppercase().as_bytes()).await.expect("a pipe");
            line.clear();
        }
        // The end stays the end.
        assert_eq!(io::stdin().read(&mut [0; 8]).await.expect("a pipe"), 0);
    });
}

/// Ends its runtime while a read is stuck, and then reads what comes in another one.
fn stuck(runtime: Runtime) {
    runtime.block_on(async {
        let read = runtime::spawn(async { io::stdin().read(&mut [0; 64]).await });
        let early = runtime::time::timeout(Duration::from_millis(20), read).await;
        assert!(early.is_err(), "nothing has been written yet");
    });
    drop(runtime);
    println!("-dropped");
    let mut text = String::new();
    single_threaded().block_on(io::stdin().read_to_string(&mut text)).expect("a pipe");
    println!("-{text}");
}

/// Waits for input and no longer, with a counted waker and in runtimes that end.
fn left(runtime: Runtime) {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }

    let wakers = [Arc::new(Nothing), Arc::new(Nothing), Arc::new(Nothing)];
    let [first, last, trait_s] = wakers.clone().map(Waker::from);
    let mut buf = [0; 8];
    {
        let mut input = io::stdin();
        let mut read = pin!(input.read(&mut buf));
        for waker in [&first, &last] {
            assert!(read.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
    }
    {
        let mut input = pin!(io::stdin());
        let read = input.as_mut().poll_read(&mut Context::from_waker(&trait_s), &mut buf);
        assert!(read.is_pending());
    }
    drop((first, last, trait_s));
    assert_eq!(wakers.map(|waker| Arc::strong_count(&waker)), [1; 3], "nobody waits any more");

    drop(runtime);
    let before = open_files();
    let is_single_threaded = std::env::var("WINDLASS_MODE").as_deref() == Ok(MODES[0]);
    for _ in 0..50 {
        let runtime = if is_single_threaded { single_threaded() } else { work_stealing(2) };
        runtime.block_on(async {
            let mut input = io::stdin();
            assert!(poll!(pin!(input.read(&mut buf))).is_pending());
            assert!(poll!(pin!(AsyncReadExt::read(&mut input, &mut buf))).is_pending());
        });
    }
    // The runtimes' monitors may have some open for a moment.
    let began = Instant::now();
    while open_files() > before {
        let open = open_files();
        assert!(began.elapsed() < Duration::from_secs(20), "{open} files, and before {before}");
        thread::yield_now();
    }
    println!("-left");
}

/// Has more accepted than the pipe holds, and ends the runtime.
fn behind(runtime: Runtime) {
    runtime.block_on(async {
        let mut output = io::stdout();
        for number in 0..20_000 {
            let line = format!("-line {number}\n");
            AsyncWriteExt::write_all(&mut output, line.as_bytes()).await.expect("a pipe");
        }
    });
    drop(runtime);
}

/// Timers go on while nothing is typed and nobody reads the output.
fn ticks(runtime: &Runtime) {
    runtime.block_on(async {
        drop(runtime::spawn(async { io::stdin().read(&mut [0; 8]).await }));
        drop(runtime::spawn(async { io::stdout().write_all(&[b'x'; 1 << 20]).await }));
        let mut ticks = runtime::time::interval(Duration::from_millis(1));
        for _ in 0..50 {
            ticks.tick().await;
        }
        io::stderr().write_all(b"-ticked\n").await.expect("a pipe");
    });
}

/// The lines of a scene; the harness prints others.
fn scene_lines(output: impl Read) -> impl Iterator<Item = String> {
    let lines = BufReader::new(output).lines().map(|line| line.expect("text"));
    lines.filter_map(|line| Some(line.split_once('-')?.1.to_owned()))
}

#[test]
fn lines_come_back_and_the_end_is_seen() {
    let _watchdog = watch();
    for mode in MODES {
        let mut child = start("echo", mode);
        let mut input = child.stdin.take().expect("it is piped");
        let mut lines = scene_lines(child.stdout.take().expect("it is piped"));
        for number in 0..100 {
            writeln!(input, "line {number}").expect("it reads");
            assert_eq!(lines.next(), Some(format!("line {number}")), "{mode}");
        }
        drop(input);
        let output = child.wait_with_output().expect("it ends");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{mode}: {errors}");
        assert!(errors.contains("LINE 99\n"), "{mode}: {errors}");
    }
}

#[test]
fn a_stuck_read_does_not_keep_the_runtime_and_loses_nothing() {
    let _watchdog = watch();
    for mode in MODES {
        let mut child = start("stuck", mode);
        let mut lines = scene_lines(child.stdout.take().expect("it is piped"));
        assert_eq!(lines.next().as_deref(), Some("dropped"), "{mode}");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(b"late").expect("it reads");
        drop(input);
        assert_eq!(lines.next().as_deref(), Some("late"), "{mode}");
        assert!(child.wait().expect("it ends").success(), "{mode}");
    }
}

/// The pipe stays open, and nothing comes: what is kept until something does is kept for ever.
#[test]
fn a_dropped_read_keeps_no_task_and_no_runtime() {
    let _watchdog = watch();
    for mode in MODES {
        let mut child = start("left", mode);
        let input = child.stdin.take().expect("it is piped");
        let output = child.wait_with_output().expect("it ends");
        let mut lines = scene_lines(&output.stdout[..]);
        assert_eq!(lines.next().as_deref(), Some("left"), "{mode}: {output:?}");
        drop(input);
    }
}

#[test]
fn what_was_accepted_is_written_before_the_runtime_ends() {
    let _watchdog = watch();
    for mode in MODES {
        let mut child = start("behind", mode);
        let lines = scene_lines(child.stdout.take().expect("it is piped"));
        let expected = (0..20_000).map(|number| format!("line {number}"));
        assert!(lines.eq(expected), "{mode}");
        assert!(child.wait().expect("it ends").success(), "{mode}");
    }
}

#[test]
fn nothing_else_waits_for_the_streams() {
    let _watchdog = watch();
    for mode in MODES {
        let mut child = start("ticks", mode);
        let mut lines = scene_lines(child.stderr.take().expect("it is piped"));
        assert_eq!(lines.next().as_deref(), Some("ticked"), "{mode}");
        // Its output was never read, and is accepted now.
        let mut output = Vec::new();
        child.stdout.take().expect("it is piped").read_to_end(&mut output).expect("a pipe");
        assert!(child.wait().expect("it ends").success(), "{mode}");
    }
}
