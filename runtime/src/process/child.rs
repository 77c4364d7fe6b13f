//! A process that was started.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::process::{ExitStatus, Output};
use std::task::{Context, Poll, ready};

use futures_util::future::try_join3;
use futures_util::io::{AsyncRead, AsyncReadExt};
use rustix::io::Errno;

use super::exit::Exit;
use super::{ChildStderr, ChildStdin, ChildStdout, orphans};

/// A child process.
///
/// Dropping it lets the process go on, unless
/// [`kill_on_drop`](crate::process::Command::kill_on_drop) was set; either way no zombie is left when
/// it ends.
///
/// A child that fills the pipe of an output which nobody reads waits, and so does who waits for it:
/// read [`stdout`](Child::stdout) and [`stderr`](Child::stderr) meanwhile, or use
/// [`wait_with_output`](Child::wait_with_output).
pub struct Child {
    /// The other end of its standard input, if that is piped. Take it out to own it.
    pub stdin: Option<ChildStdin>,
    /// The other end of its standard output, if that is piped.
    pub stdout: Option<ChildStdout>,
    /// The other end of its standard error output, if that is piped.
    pub stderr: Option<ChildStderr>,
    process: Process,
}

/// The process itself, and the duty to reap it.
struct Process {
    /// Taken only by `drop`.
    std: Option<std::process::Child>,
    exit: Option<Exit>,
    /// If there is one, the number of the process may be that of another, and is used no more.
    end: Option<End>,
    kills_on_drop: bool,
}

/// That the process has ended and been reaped.
#[derive(Debug)]
enum End {
    Status(ExitStatus),
    /// By somebody else: a C library that waits for any child, or the system where `SIGCHLD` is
    /// ignored.
    Unknown,
}

impl End {
    fn status(&self) -> io::Result<ExitStatus> {
        match self {
            End::Status(status) => Ok(*status),
            End::Unknown => Err(Errno::CHILD.into()),
        }
    }
}

impl Child {
    /// # Errors
    /// When no file descriptor is left; the process is killed then.
    pub(super) fn new(
        mut std: std::process::Child,
        net: &net::Handle,
        kills_on_drop: bool,
    ) -> io::Result<Child> {
        let (stdin, stdout, stderr) = (std.stdin.take(), std.stdout.take(), std.stderr.take());
        // From here on an error drops it.
        let mut process = Process { std: Some(std), exit: None, end: None, kills_on_drop: true };
        let stdin = stdin.map(|pipe| ChildStdin::new(pipe, net)).transpose()?;
        let stdout = stdout.map(|pipe| ChildStdout::new(pipe, net)).transpose()?;
        let stderr = stderr.map(|pipe| ChildStderr::new(pipe, net)).transpose()?;
        process.exit = Some(Exit::of(process.std(), net)?);
        process.kills_on_drop = kills_on_drop;
        Ok(Child { stdin, stdout, stderr, process })
    }

    /// The number of the process; `None` when its end has been waited for, also if that failed because
    /// somebody else has reaped it, since the system may give the number to another one then.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        match self.process.end {
            Some(_) => None,
            None => self.process.std.as_ref().map(std::process::Child::id),
        }
    }

    /// Waits for the end of the process. Its input, if it is still here, is closed first: a child
    /// that reads until the end would wait for ever.
    ///
    /// Can be called again afterwards, with the same result.
    ///
    /// **Cancel safety**: safe, apart from the input that is closed.
    ///
    /// # Errors
    /// Those of the operating system (somebody else has reaped the child), and that the runtime has
    /// been shut down.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        poll_fn(|cx| self.process.poll_wait(cx)).await
    }

    /// The status of the process, if it has ended. Closes nothing.
    ///
    /// # Errors
    /// As [`wait`](Child::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// Closes the input, collects what the process writes to those outputs that are piped and still
    /// here, and waits for its end.
    ///
    /// It ends when the outputs end, which a process that the child has started may delay.
    ///
    /// **Cancel safety**: none, what was collected is lost; and the child is dropped.
    ///
    /// # Errors
    /// As [`wait`](Child::wait).
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let stdout = read_to_end(self.stdout.take());
        let stderr = read_to_end(self.stderr.take());
        let (status, stdout, stderr) = try_join3(self.wait(), stdout, stderr).await?;
        Ok(Output { status, stdout, stderr })
    }

    /// Kills the process (`SIGKILL`) without waiting for its end. One that has ended is no error,
    /// whoever has reaped it.
    ///
    /// # Errors
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for a process that runs as somebody else.
    pub fn start_kill(&mut self) -> io::Result<()> {
        self.process.kill()
    }

    /// Kills the process (`SIGKILL`) and waits for its end. One that has ended is no error, whoever has
    /// reaped it.
    ///
    /// **Cancel safety**: the process is killed when the future has been polled.
    ///
    /// # Errors
    /// As [`start_kill`](Child::start_kill), and that the runtime has been shut down.
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        let waited = self.wait().await;
        match self.process.end {
            Some(_) => Ok(()),
            None => waited.map(drop),
        }
    }
}

async fn read_to_end<R: AsyncRead + Unpin>(pipe: Option<R>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

impl Process {
    fn std(&self) -> &std::process::Child {
        self.std.as_ref().expect("only `drop` takes it")
    }

    fn std_mut(&mut self) -> &mut std::process::Child {
        self.std.as_mut().expect("only `drop` takes it")
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if let Some(end) = &self.end {
            return end.status().map(Some);
        }
        let result = self.std_mut().try_wait().transpose();
        if let Some(result) = &result {
            self.remember(result);
        }
        result.transpose()
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        if let Some(end) = &self.end {
            return Poll::Ready(end.status());
        }
        let std = self.std.as_mut().expect("only `drop` takes it");
        let exit = self.exit.as_mut().expect("it is there until the child has been reaped");
        let result = ready!(exit.poll(cx, || std.try_wait()));
        self.remember(&result);
        Poll::Ready(result)
    }

    /// Remembers the end, if the system has told of it.
    fn remember(&mut self, result: &io::Result<ExitStatus>) {
        self.end = match result {
            Ok(status) => Some(End::Status(*status)),
            Err(error) if Errno::from_io_error(error) == Some(Errno::CHILD) => Some(End::Unknown),
            Err(_) => return,
        };
        // Its descriptor is of no more use.
        self.exit = None;
    }

    fn kill(&mut self) -> io::Result<()> {
        if self.end.is_some() || self.exit.as_ref().is_some_and(Exit::kill) {
            return Ok(());
        }
        // By its number. If somebody else has reaped it, that may be another's.
        match self.try_wait() {
            Ok(None) => self.std_mut().kill(),
            Ok(Some(_)) => Ok(()),
            Err(_) if self.end.is_some() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Answers that of a child that somebody else has reaped is an error too: nothing to do.
        if !matches!(self.try_wait(), Ok(None)) {
            return;
        }
        if self.kills_on_drop {
            // Fails only for a process that runs as somebody else; then it goes on.
            let _ = self.kill();
        }
        orphans::adopt(self.std.take().expect("it is taken here only"));
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("end", &self.process.end)
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use rustix::process::{Pid, WaitOptions, waitpid};

    use super::*;
    use crate::{Builder, Scheduler};

    /// The way that is taken where the system has no file descriptors of processes.
    #[test]
    fn children_are_waited_for_by_signal_too() {
        for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
            let runtime = Builder::new().scheduler(scheduler).build().expect("a runtime");
            runtime.block_on(async {
                let start = |code: usize| {
                    let mut command = crate::process::Command::new("sh");
                    let mut child =
                        command.args(["-c", &format!("exit {code}")]).spawn().expect("sh starts");
                    child.process.exit = Some(Exit::of_any_child().expect("a listener"));
                    crate::spawn(async move {
                        let limit = std::time::Duration::from_secs(30);
                        crate::time::timeout(limit, child.wait()).await.expect("it does not hang")
                    })
                };
                let waits: Vec<_> = (0..20).map(start).collect();
                for (code, wait) in waits.into_iter().enumerate() {
                    let status = wait.await.expect("no panic").expect("it ends");
                    assert_eq!(status.code(), Some(code as i32));
                }
            });
        }
    }

    /// Where a number is all there is, the system is asked before it is used.
    #[test]
    fn a_child_that_somebody_else_has_reaped_is_not_killed_by_its_number() {
        let runtime = Builder::new().scheduler(Scheduler::SingleThreaded).build();
        runtime.expect("a runtime").block_on(async {
            let mut child = crate::process::Command::new("true").spawn().expect("it starts");
            child.process.exit = Some(Exit::of_any_child().expect("a listener"));
            let number = Pid::from_child(child.process.std());
            waitpid(Some(number), WaitOptions::empty()).expect("nobody else has yet");
            child.start_kill().expect("it has ended");
            assert_eq!(child.id(), None);
            child.kill().await.expect("it has ended");
        });
    }
}
