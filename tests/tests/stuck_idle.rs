//! An idle runtime does nothing at all: not one system call, in any of its threads.

#![cfg(target_os = "linux")]

use std::env;
use std::fs;
use std::io::{BufRead, Write, stdin};
use std::thread;
use std::time::Duration;

use runtime::net::{TcpListener, TcpStream};
use runtime::time::{sleep, timeout};
use runtime::{Runtime, Scheduler};
use windlass_tests::{
    Scene, StuckTask, current_scene, named, scene_under, strace, threads_named, watch,
};

/// How long a runtime may take to come to rest: the monitor 10 ms.
const SETTLE: f64 = 1.5;

/// How long it must then do nothing: 3 s, or as many as `WINDLASS_IDLE_SECONDS` says.
fn idle_time() -> Duration {
    let seconds = env::var("WINDLASS_IDLE_SECONDS").ok();
    let seconds = seconds.map(|text| text.parse().expect("it is a number of seconds"));
    Duration::from_secs(seconds.unwrap_or(3))
}

#[test]
fn scenes() {
    let Some((name, mode)) = current_scene() else { return };
    let _watchdog = watch();
    assert_eq!(name, "idle");
    let runtime = named("idle", mode).blocked_after(Duration::MAX).build().expect("threads");
    idle(&runtime);
    // Past the harness, which prints too.
    std::process::exit(0);
}

/// Uses all that may keep a thread awake, and then waits for a line from the test.
fn idle(runtime: &Runtime) {
    let (stop, is_stopped) = async_channel::bounded::<()>(1);
    runtime.spawn(async {
        sleep(Duration::from_secs(3600)).await;
    });
    if runtime.handle().scheduler() == Scheduler::WorkStealing {
        let stuck = [0; 2].map(|_| StuckTask::spawn(runtime.handle()));
        runtime.block_on(runtime.spawn(async {})).expect("the spare worker runs it");
        for task in stuck {
            runtime.block_on(task.release()).expect("no panic");
        }
        // The spare worker leaves after a second.
        while threads_named("idle-worker") > 2 {
            thread::yield_now();
        }
    }
    runtime.block_on(async {
        // Both ends stay open, with nothing to read.
        let (_client, _server) = runtime::spawn(talk()).await.expect("no panic");
        let input = thread::spawn(move || {
            let mut line = String::new();
            println!("-idle");
            std::io::stdout().flush().expect("a pipe");
            stdin().lock().read_line(&mut line).expect("a pipe");
            println!("-busy");
            drop(stop);
        });
        let _ = is_stopped.recv().await;
        input.join().expect("no panic");
    });
}

async fn talk() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let mut client = TcpStream::connect(addr).await.expect("it listens");
    let (mut server, _) = listener.accept().await.expect("somebody has connected");
    for _ in 0..50 {
        client.write_all(b"x").await.expect("it is read");
        server.read_exact(&mut [0]).await.expect("a byte comes");
        sleep(Duration::from_millis(1)).await;
        let never = timeout(Duration::from_millis(1), server.read_exact(&mut [0])).await;
        never.expect_err("nothing was written");
    }
    (client, server)
}

#[test]
fn an_idle_runtime_makes_no_system_call() {
    let _watchdog = watch();
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let log = env::temp_dir().join(format!("windlass-{}-{mode}", std::process::id()));
        let Some(mut command) = strace(&log) else { return };
        command.arg("-ttt");
        let mut scene = Scene::start(scene_under(command, "idle", mode));
        scene.wait_for("-idle");
        // That nothing happens for a while is the subject.
        thread::sleep(Duration::from_secs_f64(SETTLE) + idle_time());
        scene.say("go on");
        scene.wait_for("-busy");
        scene.end();
        let text = fs::read_to_string(&log).expect("strace has written it");
        fs::remove_file(&log).expect("it is ours");
        let calls = calls_while_idle(&text);
        assert!(calls.is_empty(), "{mode}: {} system calls, {calls:#?}", calls.len());
    }
}

/// The lines of strace's log between the time that the scene said it was idle, and a little, and
/// the time that the test's line has reached it. The watchdog of the scene sleeps all the while.
fn calls_while_idle(log: &str) -> Vec<&str> {
    // `<thread> <seconds> <call>`
    let lines = log.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let time: f64 = fields.nth(1)?.parse().ok()?;
        Some((time, line))
    });
    let lines: Vec<_> = lines.collect();
    let begin = lines.iter().position(|(_, line)| line.contains("-idle")).expect("it was printed");
    let begun = lines[begin].0;
    let end = lines[begin..]
        .iter()
        .position(|(_, line)| line.contains("go on"))
        .expect("the scene has read it");
    lines[begin..begin + end]
        .iter()
        .filter(|(time, _)| *time > begun + SETTLE)
        .map(|&(_, line)| line)
        .collect()
}
