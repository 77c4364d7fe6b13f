//! What to run.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use super::{Child, orphans};
use crate::fs::PathError;
use crate::handle::Handle;

/// A program to run, with its arguments, environment and streams: a mirror of
/// [`std::process::Command`].
///
/// # Examples
/// A pipe in both directions:
/// ```
/// use runtime::process::{Command, Stdio};
///
/// # runtime::Builder::new().build()?.block_on(async {
/// let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
/// let mut stdin = child.stdin.take().expect("it was piped");
/// stdin.write_all(b"hello").await?;
/// drop(stdin);
/// let output = child.wait_with_output().await?;
/// assert_eq!(output.stdout, b"hello");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Command {
    std: std::process::Command,
    kills_on_drop: bool,
    /// Which streams the user has chosen; the others have defaults that depend on the method.
    has_stdin: bool,
    has_stdout: bool,
    has_stderr: bool,
}

impl From<std::process::Command> for Command {
    /// The streams count as chosen.
    fn from(std: std::process::Command) -> Command {
        Command { std, kills_on_drop: false, has_stdin: true, has_stdout: true, has_stderr: true }
    }
}

impl Command {
    /// Runs `program`, which is looked for in `PATH` unless it contains a `/`, without arguments and
    /// with the environment of this process.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        Command {
            std: std::process::Command::new(program),
            kills_on_drop: false,
            has_stdin: false,
            has_stdout: false,
            has_stderr: false,
        }
    }

    /// The command of the standard library, for what has no method here.
    #[must_use]
    pub fn as_std(&self) -> &std::process::Command {
        &self.std
    }

    /// The command of the standard library, for what has no method here.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.std
    }

    /// Adds an argument, as it is: no shell looks at it.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// What the program sees as its own name, instead of `program`.
    pub fn arg0(&mut self, name: impl AsRef<OsStr>) -> &mut Command {
        self.std.arg0(name);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.std.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<I, K, V>(&mut self, variables: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(variables);
        self
    }

    /// Removes a variable of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Begins with an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// The directory that the program starts in. Default: that of this process.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// The user that the program runs as.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// The group that the program runs as.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// The process group that the program joins; 0 makes a new one, which Ctrl-C does not reach.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.std.process_group(group);
        self
    }

    /// The standard input. Default: inherited from this process, and empty with
    /// [`output`](Command::output).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.std.stdin(stdin);
        self.has_stdin = true;
        self
    }

    /// The standard output. Default: inherited from this process, and piped with
    /// [`output`](Command::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.std.stdout(stdout);
        self.has_stdout = true;
        self
    }

    /// The standard error output. Default: as [`stdout`](Command::stdout).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.std.stderr(stderr);
        self.has_stderr = true;
        self
    }

    /// Whether the child is killed when its [`Child`] is dropped before it has ended. Default: no, it
    /// goes on.
    ///
    /// With [`output`](Command::output) and [`status`](Command::status) that is when the future is
    /// dropped. Only the child itself is killed, not what it has started.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kills_on_drop = kill;
        self
    }

    /// Starts the program.
    ///
    /// This blocks for the millisecond or so that the operating system needs.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied), and others of the operating system, with
    /// the name of the program; see [`PathError`]. No process is left running then.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn(&mut self) -> io::Result<Child> {
        let handle = Handle::require("Command::spawn");
        orphans::try_again();
        let std = self.std.spawn().map_err(|error| {
            PathError::wrap(error, "run", Path::new(self.std.get_program()), None)
        })?;
        Child::new(std, &handle.shared().net, self.kills_on_drop)
    }

    /// Starts the program and waits for its end.
    ///
    /// **Cancel safety**: the child goes on when the future is dropped, unless it is
    /// [killed on drop](Command::kill_on_drop).
    ///
    /// # Errors
    /// As [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async move {
            let mut child = child?;
            // Nobody would read them.
            child.stdout = None;
            child.stderr = None;
            child.wait().await
        }
    }

    /// Starts the program, and collects what it writes until its end.
    ///
    /// **Cancel safety**: as [`status`](Command::status).
    ///
    /// # Errors
    /// As [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.default_streams(Stdio::null, Stdio::piped);
        let child = self.spawn();
        // Those of `spawn` again, or the next one would pipe what nobody reads.
        self.default_streams(Stdio::inherit, Stdio::inherit);
        async move { child?.wait_with_output().await }
    }

    fn default_streams(&mut self, input: fn() -> Stdio, output: fn() -> Stdio) {
        if !self.has_stdin {
            self.std.stdin(input());
        }
        if !self.has_stdout {
            self.std.stdout(output());
        }
        if !self.has_stderr {
            self.std.stderr(output());
        }
    }
}
