//! The examples, and other programs, as processes.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A program of `runtime/examples`, built if need be, in the profile of this test.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn example(name: &str) -> Command {
    let profile = profile_folder();
    let same = if profile.ends_with("release") { "release" } else { "dev" };
    build(&["--example", name, "--profile", same]);
    Command::new(profile.join("examples").join(name))
}

/// A program of `tests/src/bin`, built if need be, in which a panic ends the process.
///
/// # Panics
/// When it does not compile.
#[must_use]
pub fn aborting(name: &str) -> Command {
    build(&["--bin", name, "--profile", "abort"]);
    Command::new(profile_folder().with_file_name("abort").join(name))
}

/// How long the builds that are over took, and when one began that is not.
static BUILDS: Mutex<(Duration, Option<Instant>)> = Mutex::new((Duration::ZERO, None));

/// As long as a build may take for what it builds; then it hangs.
const LONGEST_BUILD: Duration = Duration::from_secs(20 * 60);

/// How long this process has had cargo at work so far.
pub(crate) fn time_for_builds() -> Duration {
    let (over, begun) = *BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    over + begun.map_or(Duration::ZERO, |begun| begun.elapsed().min(LONGEST_BUILD))
}

/// Has cargo build what these arguments say, once, into the target folder of this test: with the
/// features that it has among all packages, as it was built for all tests.
fn build(what: &[&str]) {
    /// What this process has had built. Held while something is, for cargo would wait anyway.
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let what_text = what.join(" ");
    // A build that failed says so in each test that needs it.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if built.contains(&what_text) {
        return;
    }
    let profile = profile_folder();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--workspace"]).args(what).arg("--manifest-path");
    build.arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml"));
    let mut target = profile.parent().expect("a profile is in a target folder");
    // Where cargo was told for which system it builds, it is told so again by the environment.
    if env::var_os("CARGO_BUILD_TARGET").is_some_and(|triple| target.ends_with(triple)) {
        target = target.parent().expect("that of a system is in the target folder");
    }
    build.arg("--target-dir").arg(target);
    BUILDS.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
    let status = build.status();
    let mut builds = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = builds.1.take().expect("set above, and one is built at a time");
    builds.0 += begun.elapsed().min(LONGEST_BUILD);
    drop(builds);
    let status = status.expect("cargo, which started this test, can be started");
    assert!(status.success(), "cargo build {what_text} fails");
    built.insert(what_text);
}

/// `target/debug` or `target/release`; a test lies in its folder `deps`.
fn profile_folder() -> PathBuf {
    let test = env::current_exe().expect("Linux knows where a program lies");
    let deps = test.parent().expect("a program is in a folder");
    deps.parent().expect("the folder is in one of cargo's").to_owned()
}

/// The path of a tool that this machine may have. Without it the test that needs it should return;
/// that it was skipped is printed here.
#[must_use]
pub fn find_tool(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        say(&format!("skipped what needs `{name}`, which this machine has not"));
    }
    found
}

/// `strace` of a process with all that it starts; none, which is printed, where it is not or may
/// not trace.
#[must_use]
pub fn strace(log: impl AsRef<Path>) -> Option<Command> {
    let mut command = Command::new(find_tool("strace")?);
    command.args(["-f", "-qq", "-o"]).arg(log.as_ref());
    let mut trial = Command::new(command.get_program());
    let trial = trial.args(["-o", "/dev/null", "true"]).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        say("skipped what needs `strace`, which may not trace here");
        return None;
    }
    // The search for leaks stops threads as `strace` does, and cannot where that has done so.
    command.env("LSAN_OPTIONS", "detect_leaks=0");
    Some(command)
}

/// Prints a line that is seen although the test passes: past the harness, which keeps what
/// `println` prints.
pub fn say(line: &str) {
    let test = thread::current().name().unwrap_or("test").to_owned();
    let _ = writeln!(io::stderr(), "{test}: {line}");
}

/// The servers that run, for [`kill_servers`].
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Kills all servers, because this process is about to be aborted: they would live on, and whoever
/// reads our output would wait for theirs.
pub(crate) fn kill_servers() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for &server in running.iter() {
        let _ = kill_process(server, Signal::KILL);
    }
}

/// A server in a process of its own, which is killed in the end.
#[derive(Debug)]
pub struct Server {
    process: Child,
    output: BufReader<ChildStdout>,
    addr: SocketAddr,
    greeting: String,
}

impl Server {
    /// Starts a server that prints `listening on <address>`, and whatever it likes after a comma.
    ///
    /// # Panics
    /// When it does not start, or prints something else first.
    #[track_caller]
    #[must_use]
    pub fn start(mut command: Command) -> Server {
        // A report of a task that a busy machine makes slow would load the names of functions: memory.
        command.env("WINDLASS_BLOCKED", "0").stdout(Stdio::piped());
        let mut process = command.spawn().expect("the server's program can be started");
        let id = Pid::from_child(&process);
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut greeting = String::new();
        output.read_line(&mut greeting).expect("the server prints text");
        let addr = greeting.strip_prefix("listening on ").and_then(|rest| {
            let addr = rest.trim_end().split(',').next()?;
            addr.parse().ok()
        });
        let Some(addr) = addr else {
            let _ = process.kill();
            panic!("{command:?} printed {greeting:?} instead of where it listens");
        };
        Server { process, output, addr, greeting }
    }

    /// The example `ack_server` on a port that the system chooses, in one of the modes.
    ///
    /// # Panics
    /// As [`Server::start`].
    #[track_caller]
    #[must_use]
    pub fn ack(scheduler: &str, more: &[&str]) -> Server {
        let mut command = example("ack_server");
        command.args(["--addr", "127.0.0.1:0", "--scheduler", scheduler]).args(more);
        Server::start(command)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The line with which it said so.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it prints to stderr, if the command had that piped.
    ///
    /// # Panics
    /// When it had not, or the second time.
    #[track_caller]
    #[must_use]
    pub fn take_errors(&mut self) -> ChildStderr {
        self.process.stderr.take().expect("stderr is piped, and taken once")
    }

    /// A connection to it.
    ///
    /// # Panics
    /// When it does not accept any.
    #[track_caller]
    #[must_use]
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).expect("the server listens")
    }

    /// The next line that it prints, without its end.
    ///
    /// # Panics
    /// When it has closed its output.
    #[track_caller]
    #[must_use]
    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line).expect("the server prints text");
        assert!(read > 0, "the server has closed its output");
        line.trim_end().to_owned()
    }

    /// Presses Ctrl-C, and waits for its end; returns how it ended and the rest of its output.
    ///
    /// # Panics
    /// When it is gone already.
    #[track_caller]
    #[must_use]
    pub fn interrupt(mut self) -> (ExitStatus, String) {
        self.press_ctrl_c();
        self.wait()
    }

    /// Presses Ctrl-C, and does not wait.
    ///
    /// # Panics
    /// When it is gone already.
    #[track_caller]
    pub fn press_ctrl_c(&mut self) {
        let id = Pid::from_child(&self.process);
        kill_process(id, Signal::INT).expect("the server runs");
    }

    /// Waits for its end; returns how it ended and the rest of its output.
    ///
    /// # Panics
    /// When what it prints is not text.
    #[track_caller]
    #[must_use]
    pub fn wait(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("the server prints text");
        (self.process.wait().expect("it is our child"), rest)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Once it has been waited for, its number may become another process's.
        let id = Pid::from_child(&self.process);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|&running| running != id);
        drop(running);
        // After `wait` there is nobody left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
