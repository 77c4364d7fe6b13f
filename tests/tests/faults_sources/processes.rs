//! Child processes that end badly, or not at all.

use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;

use futures_util::future::join_all;
use runtime::io::AsyncReadExt;
use runtime::process::{Child, ChildStdin, Command};
use runtime::{Runtime, Scheduler, spawn};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::process::{kill_process, test_kill_process};
use windlass_tests::{Scene, scene};

use super::{MODES, alone, assert_sleeps, both_modes, wait_until};

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn pid(text: &str) -> Pid {
    let id = text.trim().parse().ok().and_then(Pid::from_raw);
    id.expect("a process has a number")
}

/// How many children this process has, dead ones too.
fn children() -> usize {
    let me = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").expect("this is Linux");
    let stats =
        all.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    // After the name, which may hold anything: state, parent.
    let parents = stats
        .filter_map(|stat| Some(stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.to_owned()));
    parents.filter(|parent| *parent == me).count()
}

/// 200 at once, by signals of all kinds; the tasks that wait learn of the right one.
#[test]
fn a_child_that_a_signal_ends_says_which_and_two_hundred_do_at_once() {
    let _alone = alone();
    both_modes(|runtime| {
        runtime.block_on(async {
            // None that a shell or `nohup` makes its children ignore.
            let numbers = [Signal::KILL, Signal::TERM, Signal::USR1, Signal::USR2, Signal::ALARM];
            let mut waiting = Vec::new();
            let mut ids = Vec::new();
            for index in 0..200 {
                let mut child = Command::new("sleep").arg("100").spawn().expect("it is there");
                let id = child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
                ids.push((id, numbers[index % numbers.len()]));
                waiting.push(spawn(async move { child.wait().await }));
            }
            for (id, number) in &ids {
                kill_process(*id, *number).expect("it has not been waited for");
            }
            let ends = join_all(waiting).await;
            for (end, (id, number)) in ends.into_iter().zip(ids) {
                let status = end.expect("no panic").expect("it is our child");
                assert_eq!((status.code(), status.signal()), (None, Some(number.as_raw())));
                // Reaped: there is no such process, not even a dead one.
                test_kill_process(id).expect_err("it was reaped");
            }
        });
    });
}

#[test]
fn a_child_that_closes_its_streams_and_lives_on_costs_nothing() {
    let _alone = alone();
    both_modes(|runtime| {
        let mut child = runtime.block_on(async {
            let mut command = sh("exec 0<&- 1>&- 2>&-; exec sleep 100");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.kill_on_drop(true).spawn().expect("sh is there");
            let (mut output, mut errors) = (Vec::new(), Vec::new());
            let mut stdout = child.stdout.take().expect("it is piped");
            let mut stderr = child.stderr.take().expect("it is piped");
            stdout.read_to_end(&mut output).await.expect("the end");
            stderr.read_to_end(&mut errors).await.expect("the end");
            assert_eq!((output.len(), errors.len()), (0, 0));
            let mut stdin = child.stdin.take().expect("it is piped");
            let error = stdin.write_all(b"x").await.expect_err("nobody reads");
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
            assert!(child.try_wait().expect("it is our child").is_none(), "it lives on");
            child
        });
        let waiting = runtime.spawn(async move {
            let status = child.wait().await;
            (status, child)
        });
        assert_sleeps(runtime);
        assert!(!waiting.is_finished());
        waiting.abort();
        let error = runtime.block_on(waiting).expect_err("it was aborted, and its child killed");
        assert!(error.is_cancelled(), "{error}");
    });
}

/// The pipe is the grandchild's now: the child's end is told all the same, and the pipe's later.
#[test]
fn a_grandchild_that_holds_the_pipe_open_delays_the_output_and_not_the_end() {
    let _alone = alone();
    both_modes(|runtime| {
        let (stdout, id) = runtime.block_on(async {
            let mut command = sh("sleep 100 & echo $!; exit 5");
            let mut child = command.stdout(Stdio::piped()).spawn().expect("sh is there");
            let mut stdout = child.stdout.take().expect("it is piped");
            let status = child.wait().await.expect("it is our child");
            assert_eq!(status.code(), Some(5));
            let mut line = Vec::new();
            while line.last() != Some(&b'\n') {
                let mut byte = [0];
                AsyncReadExt::read_exact(&mut stdout, &mut byte).await.expect("it was printed");
                line.push(byte[0]);
            }
            (stdout, pid(&String::from_utf8(line).expect("a number")))
        });
        let mut stdout = stdout;
        let mut rest = runtime.spawn(async move {
            let mut rest = Vec::new();
            stdout.read_to_end(&mut rest).await.map(|_| rest)
        });
        assert_sleeps(runtime);
        runtime.block_on(async {
            assert!(futures_util::poll!(&mut rest).is_pending(), "the grandchild has it open");
            kill_process(id, Signal::KILL).expect("it sleeps");
            assert_eq!(rest.await.expect("no panic").expect("the end"), b"");
        });
    });
}

/// `output` waits for the pipe's end, so whoever has no time drops it: nothing is left.
#[test]
fn an_output_that_never_ends_can_be_given_up() {
    let _alone = alone();
    both_modes(|runtime| {
        let dir = windlass_tests::Dir::new();
        let path = dir.file("id");
        runtime.block_on(async {
            let mut command =
                sh("sleep 100 & echo $! > \"$0.new\"; mv \"$0.new\" \"$0\"; exec sleep 0.3");
            let mut output = Box::pin(command.arg(&path).output());
            while !path.exists() {
                assert!(futures_util::poll!(&mut output).is_pending());
                runtime::task::yield_now().await;
            }
            drop(output);
        });
        let id = pid(&std::fs::read_to_string(&path).expect("sh wrote it"));
        kill_process(id, Signal::KILL).expect("it sleeps, with nobody at its pipe");
        wait_until(|| children() == 0, "a child is left");
    });
}

/// A child, its number, and what it ends without.
fn start(runtime: &Runtime) -> (Child, Pid, ChildStdin) {
    let _entered = runtime.enter();
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
    let id = child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
    let stdin = child.stdin.take().expect("it is piped");
    (child, id, stdin)
}

/// Drops two children while this process can open nothing. One ends then, the other one later.
pub(super) fn no_files(runtime: &Runtime) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum }).expect("less is allowed");
    let (first, first_id, first_stdin) = start(runtime);
    let (second, second_id, second_stdin) = start(runtime);
    let mut files = Vec::new();
    let mut open_all = || {
        while let Ok(file) = std::fs::File::open("/dev/null") {
            files.push(file);
        }
    };
    open_all();
    // Each of these has a file, and whoever found two of them free could be woken.
    drop(first);
    open_all();
    drop(second);
    open_all();
    drop(first_stdin);
    open_all();
    wait_until(|| test_kill_process(first_id).is_err(), "a zombie is left without files");
    drop(files);
    drop(second_stdin);
    wait_until(|| test_kill_process(second_id).is_err(), "a zombie is left");
}

/// Drops a child while this process can have no further thread.
pub(super) fn no_threads(runtime: &Runtime) {
    std::thread::Builder::new().spawn(|| ()).expect_err("no stack is so large");
    let (child, id, stdin) = start(runtime);
    drop(child);
    drop(stdin);
    let run = || runtime.block_on(async { Command::new("true").status().await }).expect("true");
    let is_reaped = || run().success() && test_kill_process(id).is_err();
    wait_until(is_reaped, "a zombie is left after further commands");
}

#[test]
fn a_child_that_is_dropped_without_files_left_is_reaped() {
    let _alone = alone();
    for mode in MODES {
        Scene::start(scene("no_files", mode)).end();
    }
}

/// The workers of the other mode are threads, which this process cannot have.
#[test]
fn a_child_that_is_dropped_without_threads_left_is_reaped_with_later_commands() {
    let _alone = alone();
    let mut command = scene("no_threads", Scheduler::SingleThreaded);
    command.env("RUST_MIN_STACK", (1_u64 << 50).to_string());
    Scene::start(command).end();
}
