//! A test program as a child of itself, for what only a whole process can show.
//!
//! Each file that needs that has a test `scenes`, which does nothing unless the program was started
//! by [`Scene::start`].

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use runtime::Scheduler;
use rustix::process::{Pid, Signal, kill_process};

const NAME: &str = "WINDLASS_SCENE";
const MODE: &str = "WINDLASS_MODE";

/// The scene that this process is to play, and in which mode; `None` in a test run.
///
/// # Panics
/// When the mode is none.
#[must_use]
pub fn current_scene() -> Option<(String, Scheduler)> {
    let mode = env::var(MODE).ok()?;
    Some((env::var(NAME).ok()?, mode.parse().expect("the mode is one")))
}

/// The command that starts this program again, to play a scene; its streams are piped.
///
/// # Panics
/// Where a program cannot know its path.
#[must_use]
pub fn scene(name: &str, mode: Scheduler) -> Command {
    let mut command = Command::new(env::current_exe().expect("Linux knows where a program lies"));
    command.args(["--exact", "scenes", "--nocapture", "--test-threads=1"]);
    piped(&mut command, name, mode);
    command
}

/// As [`scene`], under a tool that runs the program at the end of its arguments.
#[must_use]
pub fn scene_under(mut tool: Command, name: &str, mode: Scheduler) -> Command {
    let scene = scene(name, mode);
    tool.arg(scene.get_program()).args(scene.get_args());
    piped(&mut tool, name, mode);
    tool
}

fn piped(command: &mut Command, name: &str, mode: Scheduler) {
    // What the person who runs the tests has set is not meant for the scene.
    command.env(NAME, name).env(MODE, mode.to_string()).env_remove("WINDLASS_BLOCKED");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
}

/// A scene that plays. It is killed in the end.
#[derive(Debug)]
pub struct Scene {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    errors: BufReader<ChildStderr>,
}

impl Scene {
    /// Starts it.
    ///
    /// # Panics
    /// When the program cannot be started.
    #[track_caller]
    #[must_use]
    pub fn start(mut command: Command) -> Scene {
        let mut process = command.spawn().expect("the program can be started");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let errors = BufReader::new(process.stderr.take().expect("it is piped"));
        Scene { input: process.stdin.take(), process, output, errors }
    }

    /// Reads lines until one that contains `text`, and returns what follows it in that line.
    ///
    /// # Panics
    /// When the scene ends without.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) -> String {
        find(&mut self.output, text)
    }

    /// As [`Scene::wait_for`], in what the scene prints to stderr.
    ///
    /// # Panics
    /// When the scene ends without.
    #[track_caller]
    pub fn wait_for_error(&mut self, text: &str) -> String {
        find(&mut self.errors, text)
    }

    /// Writes a line to the scene.
    ///
    /// # Panics
    /// When it has ended, or its input was closed.
    #[track_caller]
    pub fn say(&mut self, line: &str) {
        let input = self.input.as_mut().expect("the input is open");
        writeln!(input, "{line}").expect("the scene plays");
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("the scene plays");
    }

    /// Closes its input, and waits for its end; returns the rest of what it prints, both ways.
    ///
    /// # Panics
    /// When it fails, with that.
    #[track_caller]
    pub fn end(mut self) -> (String, String) {
        drop(self.input.take());
        let (mut output, mut errors) = (String::new(), String::new());
        // One after the other is enough for what fits into a pipe.
        self.output.read_to_string(&mut output).expect("the scene prints text");
        self.errors.read_to_string(&mut errors).expect("the scene prints text");
        let status = self.process.wait().expect("it is our child");
        assert!(status.success(), "the scene failed, {status}: {output}\n{errors}");
        (output, errors)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A stopped process is killed all the same. After `end` there is nobody left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[track_caller]
fn find(from: &mut impl BufRead, text: &str) -> String {
    let mut seen = String::new();
    loop {
        let start = seen.len();
        let read = from.read_line(&mut seen).expect("the scene prints text");
        assert!(read > 0, "no {text:?} in what it printed:\n{seen}");
        if let Some((_, rest)) = seen[start..].split_once(text) {
            return rest.trim_end().to_owned();
        }
    }
}
