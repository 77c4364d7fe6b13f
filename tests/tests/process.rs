//! Child processes: streams, ends, and no zombie.

use std::future::Future;
use std::io::{BufRead, BufReader, ErrorKind};
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use runtime::fs::PathError;
use runtime::io::{AsyncReadExt, AsyncWriteExt};
use runtime::process::{Child, Command};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use windlass_tests::{both_modes, find_tool, open_files, single_threaded, watch};

/// Children, files and zombies are counted for the whole process, so these tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The states of this process' children: `Z` is a zombie.
fn children() -> Vec<char> {
    let me = std::process::id().to_string();
    let all = std::fs::read_dir("/proc").expect("this is Linux");
    let stats =
        all.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            // After the name, which may hold anything: state, parent.
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            let state = fields.next()?.chars().next()?;
            (fields.next()? == me).then_some(state)
        })
        .collect()
}

/// Waits until this process has no more files open than `before`. The runtime's monitor opens some
/// for a moment, when a test is so slow that it reports a stuck task.
fn wait_for_files(before: usize) {
    let began = Instant::now();
    while open_files() > before {
        let (open, limit) = (open_files(), Duration::from_secs(20));
        assert!(began.elapsed() < limit, "{open} files are open, and were {before}");
        thread::yield_now();
    }
}

/// Waits until no child is left, dead or alive.
fn wait_for_no_children() {
    let began = Instant::now();
    while !children().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(20), "children are left: {:?}", children());
        thread::yield_now();
    }
}

fn poll_and_drop<F: Future>(future: F) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn kill(child: &Child, signal: Signal) {
    let id = child.id().expect("it has not been waited for");
    let id = Pid::from_raw(id as i32).expect("no process has the number 0");
    kill_process(id, signal).expect("it has not been waited for");
}

#[test]
fn output_and_status_are_those_of_the_program() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let script = "echo out; echo err >&2; cat; exit 7";
            let output = sh(script).output().await.expect("sh is there");
            assert_eq!(output.stdout, b"out\n");
            assert_eq!(output.stderr, b"err\n");
            assert_eq!(output.status.code(), Some(7));
            assert_eq!(sh("exit 3").status().await.expect("sh is there").code(), Some(3));
            // Chosen streams are left alone.
            let output = sh("echo x").stdout(Stdio::null()).output().await.expect("sh is there");
            assert_eq!(output.stdout, b"");
            let mut command = sh("echo $0 $ONE $TWO; pwd");
            command.env_clear().env("ONE", "1").envs([("TWO", "2")]).env_remove("TWO");
            let output = command.arg("name").current_dir("/").output().await.expect("sh is there");
            assert_eq!(output.stdout, b"name 1\n/\n");
        });
        assert_eq!(children(), []);
    });
}

/// Also where that fails, a later call finds the streams as they were.
#[test]
fn output_chooses_streams_for_itself_only() {
    let _alone = alone();
    let _watchdog = watch();
    let ours = [0, 1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")));
    let ours = ours.map(|link| link.expect("it is open").display().to_string() + "\n");
    both_modes(|runtime| {
        let dir = windlass_tests::Dir::new();
        let path = dir.file("streams");
        let fd = "/proc/$$/fd";
        let links = format!("$(readlink {fd}/0 {fd}/1 {fd}/2)");
        let mut command = sh(&format!("links=\"{links}\"; echo \"$links\" > \"$0\""));
        command.arg(&path);
        let streams = || std::fs::read_to_string(&path).expect("sh wrote it");
        runtime.block_on(async {
            command.current_dir("/no/such").output().await.expect_err("no directory");
            assert!(command.current_dir("/").status().await.expect("sh is there").success());
            assert_eq!(streams(), ours.concat());
            assert!(command.output().await.expect("sh is there").status.success());
            assert!(streams().starts_with("/dev/null\npipe:["), "{}", streams());
            let mut child = command.spawn().expect("sh is there");
            assert!(child.stdin.is_none() && child.stdout.is_none() && child.stderr.is_none());
            assert!(child.wait().await.expect("it ends").success());
            assert_eq!(streams(), ours.concat());
            // What the user has chosen stays.
            command.stderr(Stdio::null()).output().await.expect("sh is there");
            assert!(command.status().await.expect("sh is there").success());
            assert_eq!(streams(), format!("{}{}/dev/null\n", ours[0], ours[1]));
        });
    });
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        let before = open_files();
        runtime.block_on(async {
            let error = Command::new("no-such-program").spawn().expect_err("it is not there");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = "cannot run \"no-such-program\": No such file or directory (os error 2)";
            assert_eq!(error.to_string(), text);
            let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<PathError>());
            assert_eq!(inside.and_then(PathError::raw_os_error), Some(2));
            let error = Command::new("/").output().await.expect_err("a directory");
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
            let error = sh("").current_dir("/no/such").status().await.expect_err("no directory");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        });
        assert_eq!(children(), []);
        wait_for_files(before);
    });
}

#[test]
fn a_child_that_fills_its_pipes_goes_on_when_they_are_read() {
    const SIZE: usize = 2_000_000;
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let script = format!("head -c {SIZE} /dev/zero; head -c {SIZE} /dev/zero >&2");
            let mut child = sh(&script)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("sh is there");
            assert!(!poll_and_drop(child.wait()), "nobody reads, so it waits");
            let output = child.wait_with_output().await.expect("it ends");
            assert_eq!((output.stdout.len(), output.stderr.len()), (SIZE, SIZE));
            // In the other direction: it reads and writes, and so must we, at once.
            let mut cat = Command::new("cat");
            let mut child =
                cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("cat is there");
            let mut stdin = child.stdin.take().expect("it is piped");
            let writer = runtime::spawn(async move {
                stdin.write_all(&vec![1; SIZE]).await?;
                stdin.close().await
            });
            let mut bytes = Vec::new();
            let mut stdout = child.stdout.take().expect("it is piped");
            stdout.read_to_end(&mut bytes).await.expect("it ends");
            assert!(bytes == vec![1; SIZE]);
            writer.await.expect("no panic").expect("cat reads");
            assert!(child.wait().await.expect("it ends").success());
        });
        assert_eq!(children(), []);
    });
}

#[test]
fn waiting_closes_the_input_and_can_be_repeated() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
            assert!(child.id().is_some());
            assert!(child.try_wait().expect("it is ours").is_none());
            for _ in 0..3 {
                assert!(child.wait().await.expect("it ends").success());
                assert!(child.try_wait().expect("it is ours").is_some());
                assert_eq!(child.id(), None);
                child.start_kill().expect("it has ended");
                child.kill().await.expect("it has ended");
            }
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
            child.kill().await.expect("it is ours");
            assert_eq!(child.wait().await.expect("it ended").code(), None);
            let mut child =
                Command::new("true").stdin(Stdio::piped()).spawn().expect("it is there");
            let mut stdin = child.stdin.take().expect("it is piped");
            child.wait().await.expect("it ends");
            let error = stdin.write_all(b"x").await.expect_err("nobody reads");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
        assert_eq!(children(), []);
    });
}

#[test]
fn children_are_piped_into_each_other() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut first = sh("printf 'b\\na\\n'").stdout(Stdio::piped()).spawn().expect("sh");
            let stdout = first.stdout.take().expect("it is piped");
            let stdin = Stdio::try_from(stdout).expect("it is open");
            let output = Command::new("sort").stdin(stdin).output().await.expect("it is there");
            assert_eq!(output.stdout, b"a\nb\n");
            first.wait().await.expect("it ends");
        });
        assert_eq!(children(), []);
    });
}

/// 200 at once, half of them awaited by tasks, the others collected.
#[test]
fn two_hundred_children_at_once() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        // What the driver opens, it keeps.
        runtime.block_on(async { sh("").status().await.expect("sh is there") });
        let before = open_files();
        runtime.block_on(async {
            let tasks = (0..200).map(|number| {
                runtime::spawn(async move {
                    let code = number % 100;
                    let mut command = sh(&format!("echo {number}; exit {code}"));
                    if number % 2 == 0 {
                        let output = command.output().await?;
                        assert_eq!(output.stdout, format!("{number}\n").into_bytes());
                        assert_eq!(output.status.code(), Some(code));
                    } else {
                        let status = command.stdout(Stdio::null()).status().await?;
                        assert_eq!(status.code(), Some(code));
                    }
                    Ok::<(), std::io::Error>(())
                })
            });
            for result in join_all(tasks).await {
                result.expect("no panic").expect("sh is there");
            }
        });
        assert_eq!(children(), []);
        wait_for_files(before);
    });
}

#[test]
fn a_dropped_child_goes_on_and_leaves_no_zombie() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut stdins = Vec::new();
            for _ in 0..50 {
                let mut child =
                    Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
                stdins.push(child.stdin.take());
            }
            assert_eq!(children().len(), 50);
            assert!(!children().contains(&'Z'));
            // Not in the order in which they were dropped: each is reaped while others live.
            while let Some(stdin) = stdins.pop() {
                drop(stdin);
                let began = Instant::now();
                while children().len() > stdins.len() {
                    assert!(began.elapsed() < Duration::from_secs(20), "a zombie is left");
                    thread::yield_now();
                }
            }
        });
        assert_eq!(children(), []);
    });
}

#[test]
fn kill_on_drop_kills_and_leaves_no_zombie() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let start = |_| Command::new("sleep").arg("100").kill_on_drop(true).spawn();
            let children: Vec<_> = (0..50).map(start).collect();
            assert!(children.iter().all(Result::is_ok));
            drop(children);
            // A future of `output` that is dropped takes its child along.
            let mut command = Command::new("sleep");
            assert!(!poll_and_drop(command.arg("100").kill_on_drop(true).output()));
        });
        wait_for_no_children();
    });
}

#[test]
fn a_dropped_runtime_leaves_no_zombie() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        let (waits, is_waiting) = async_channel::unbounded();
        let ids: Vec<_> = (0..10)
            .map(|_| {
                let _entered = runtime.enter();
                let mut child = Command::new("sleep").arg("100").spawn().expect("it is there");
                let id = child.id().expect("it runs");
                let waits = waits.clone();
                runtime.spawn(async move {
                    waits.try_send(()).expect("the channel has no limit");
                    child.wait().await
                });
                id
            })
            .collect();
        let mut outlives = {
            let _entered = runtime.enter();
            Command::new("sleep").arg("100").spawn().expect("it is there")
        };
        for _ in 0..10 {
            runtime.block_on(is_waiting.recv()).expect("each task says so");
        }
        drop(runtime);
        let error = single_threaded().block_on(outlives.wait()).expect_err("no runtime");
        assert!(error.to_string().contains("shut down"), "{error}");
        assert_eq!(children().len(), 11, "they go on");
        for id in ids {
            let id = Pid::from_raw(id as i32).expect("no process has the number 0");
            kill_process(id, Signal::TERM).expect("it runs");
        }
        kill(&outlives, Signal::KILL);
        drop(outlives);
        wait_for_no_children();
    });
}

/// The processor time that the thread which reaps has used; `None` when there is none.
fn time_of_the_reaper() -> Option<Duration> {
    let mut threads = std::fs::read_dir("/proc/self/task").expect("this is Linux");
    threads.find_map(|thread| {
        let thread = thread.ok()?.path();
        let name = std::fs::read_to_string(thread.join("comm")).ok()?;
        let times = std::fs::read_to_string(thread.join("schedstat")).ok()?;
        let used = times.split(' ').next()?.parse().ok()?;
        (name.trim_end() == "runtime-reaper").then(|| Duration::from_nanos(used))
    })
}

/// It has ended, as its file says, but nobody gets it until the tracer has taken notice.
#[test]
fn an_orphan_that_a_tracer_holds_makes_nobody_spin() {
    const TRACE: &str = "import ctypes, sys
PTRACE_SEIZE = 0x4206
failed = ctypes.CDLL(None).ptrace(PTRACE_SEIZE, int(sys.argv[1]), 0, 0)
print('refused' if failed else 'traces', flush=True)
sys.stdin.read()";
    let _alone = alone();
    let _watchdog = watch();
    if find_tool("python3").is_none() {
        return println!("skipped: python3, which traces, is not installed");
    }
    let runtime = single_threaded();
    let child = runtime.block_on(async { Command::new("sleep").arg("100").spawn() });
    let child = child.expect("sleep is there");
    let id = child.id().expect("it runs").to_string();
    let mut tracer = std::process::Command::new("python3")
        .args(["-c", TRACE, &id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut said = String::new();
    let stdout = tracer.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut said).expect("it says a line");
    let is_traced = said.trim_end() == "traces";
    kill(&child, Signal::KILL);
    drop(child);
    if is_traced {
        // It has its name when it has had a core.
        while !children().contains(&'Z') || time_of_the_reaper().is_none() {
            thread::yield_now();
        }
        let time = || time_of_the_reaper().expect("it has an orphan");
        let (began, before) = (Instant::now(), time());
        // Looks on for a while. A busy machine can only make the limit easier to keep.
        thread::sleep(Duration::from_millis(500));
        let (elapsed, used) = (began.elapsed(), time() - before);
        assert!(used < elapsed / 4, "{used:?} of {elapsed:?}");
    } else {
        println!("skipped: the system refuses to trace");
    }
    drop(tracer.stdin.take());
    tracer.wait().expect("it ends");
    wait_for_no_children();
}

/// As a C library does that waits for any child, or the system where `SIGCHLD` is ignored.
#[test]
fn a_child_that_somebody_else_has_reaped_has_ended() {
    let _alone = alone();
    let _watchdog = watch();
    let start = || {
        let child = Command::new("true").spawn().expect("it is there");
        let id = Pid::from_raw(child.id().expect("it runs") as i32).expect("not 0");
        waitpid(Some(id), WaitOptions::empty()).expect("nobody else has yet");
        child
    };
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut child = start();
            child.start_kill().expect("it has ended");
            child.kill().await.expect("it has ended");
            assert_eq!(child.id(), None);

            let mut child = start();
            for _ in 0..3 {
                let error = child.wait().await.expect_err("its status is lost");
                assert_eq!(Errno::from_io_error(&error), Some(Errno::CHILD));
                assert_eq!(child.id(), None);
            }
            child.start_kill().expect("it has ended");
            child.kill().await.expect("it has ended");

            let error = start().try_wait().expect_err("its status is lost");
            assert_eq!(Errno::from_io_error(&error), Some(Errno::CHILD));
        });
    });
}

/// A child that stops and goes on has not ended.
#[test]
fn a_stopped_child_is_waited_for_until_it_ends() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
            let stdin = child.stdin.take();
            kill(&child, Signal::STOP);
            let mut wait = Box::pin(child.wait());
            for _ in 0..100 {
                assert!(futures_util::poll!(&mut wait).is_pending());
                runtime::task::yield_now().await;
            }
            drop(wait);
            kill(&child, Signal::CONT);
            assert!(!poll_and_drop(child.wait()));
            drop(stdin);
            assert!(child.wait().await.expect("it ends").success());
        });
    });
}

/// The pipes of one child must not be inherited by the next, or its end is never seen.
#[test]
fn a_child_inherits_nothing_but_its_streams() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let list = ["-c", "ls /proc/self/fd | wc -l"];
            let plain = std::process::Command::new("sh").args(list).output().expect("sh is there");
            let mut first =
                Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat is there");
            let output = Command::new("sh").args(list).output().await.expect("sh is there");
            assert_eq!(output.stdout, plain.stdout);
            first.wait().await.expect("it ends");
        });
    });
}
