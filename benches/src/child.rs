//! Processes of this program that the harness starts, reads and ends.

use crate::micro::measure::{Metrics, from_json};
use crate::net::server::ServeArgs;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A child that is killed when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // Both fail only for a child that has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs `command` for `limit` at most and returns what it printed to stdout.
///
/// # Errors
/// `TimedOut` after `limit`, `Other` with the end of stderr if it fails; whatever starting it gives.
pub(crate) fn output(command: &mut Command, limit: Duration) -> io::Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let name = command.get_program().to_string_lossy().into_owned();
    let spawned = command.spawn();
    let mut child =
        Killed(spawned.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?);
    let (mut stdout, mut stderr) =
        (child.0.stdout.take().expect("piped"), child.0.stderr.take().expect("piped"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        let result = stdout.read_to_end(&mut text).map(|_| text);
        // Nobody listens after the limit.
        let _ = sender.send(result);
    });
    let complaints = thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read is enough to complain with.
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let text = receiver.recv_timeout(limit).map_err(|_| {
        io::Error::new(io::ErrorKind::TimedOut, format!("{name}: over {limit:?}"))
    })??;
    let status = child.0.wait()?;
    if !status.success() {
        let complaints = complaints.join().unwrap_or_default();
        let last = complaints.lines().last().unwrap_or_default();
        return Err(io::Error::other(format!("{status}: {last}")));
    }
    String::from_utf8(text).map_err(io::Error::other)
}

/// Runs this program, or the one beside it called `program`, and reads the metrics that it prints.
pub(crate) fn metrics<I, S>(program: &Path, arguments: I, limit: Duration) -> io::Result<Metrics>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let text = output(Command::new(program).args(arguments), limit)?;
    let line = text.lines().last().unwrap_or_default();
    Ok(from_json(&serde_json::from_str(line).map_err(io::Error::other)?))
}

/// This program.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// The program called `name` of this package; built first if cargo started us.
///
/// # Errors
/// `NotFound`, with the command that builds it, if it is not there.
pub(crate) fn sibling(name: &str) -> io::Result<PathBuf> {
    let this = this_program()?;
    let folder = this.parent().expect("a program lies in a folder");
    if let Some(cargo) = std::env::var_os("CARGO") {
        let profile = match folder.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        };
        let target = folder.parent().expect("a profile's folder lies in the target folder");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--package", "windlass-benches", "--bin", name]);
        build.args(["--profile", profile]).arg("--target-dir").arg(target);
        let status = build.status()?;
        if !status.success() {
            return Err(io::Error::other(format!("building `{name}` failed")));
        }
    }
    let path = folder.join(name);
    if path.exists() {
        return Ok(path);
    }
    let help = "run `cargo build --release --package windlass-benches --bins`";
    let text = format!("`{name}` is not beside this program; {help}");
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// A server in a process of its own, ended when this is dropped.
pub(crate) struct Server {
    child: Killed,
    stdout: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts it, under `wrapper` if there is one, such as `strace` with its arguments.
    pub(crate) fn start(args: &ServeArgs, wrapper: &[String]) -> io::Result<Server> {
        let this = this_program()?;
        let mut command = match wrapper {
            [] => Command::new(this),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(this);
                command
            }
        };
        command.args(["serve", "--runtime", args.runtime.name()]);
        command.arg(format!("--workers={}", args.workers));
        command.args(args.cpu.map(|cpu| format!("--cpu={cpu}")));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let stderr = if wrapper.is_empty() { Stdio::inherit() } else { Stdio::null() };
        let mut child = Killed(command.stderr(stderr).spawn()?);
        let stdout = child.0.stdout.take().expect("piped");
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let addr = line.trim().strip_prefix("listening on ").and_then(|addr| addr.parse().ok());
        let addr = addr.ok_or_else(|| io::Error::other("the server did not start"))?;
        Ok(Server { child, stdout, addr })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Asks it to end and waits for that, not for ever.
    pub(crate) fn quit(mut self) -> io::Result<()> {
        TcpStream::connect(self.addr)?.write_all(b"!quit\n")?;
        let (sender, receiver) = mpsc::channel();
        let mut stdout = self.stdout;
        thread::spawn(move || {
            // Its end of the pipe closes when the process is gone, whatever it printed before.
            let _ = sender.send(io::copy(&mut stdout, &mut io::sink()));
        });
        let ended = receiver.recv_timeout(Duration::from_secs(30));
        ended.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the server does not end"))??;
        self.child.0.wait()?;
        Ok(())
    }
}
