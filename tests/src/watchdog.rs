//! The end of tests that hang.

use std::fs;
use std::io::{self, Write};
use std::panic::Location;
use std::process::abort;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{kill_servers, time_for_builds};

/// Far above what any test takes on a loaded machine: a limit for hangs, not for slowness.
const LIMIT: Duration = Duration::from_secs(180);

/// Lets its test run for so long and no longer; made by [`watch`].
#[derive(Debug)]
#[must_use = "the test is watched as long as this lives"]
pub struct Watchdog {
    /// Dropped with the test, which ends the watching thread.
    _alive: Sender<()>,
}

/// Ends the process, naming the calling test, if the watchdog is not dropped within 180 s, without
/// the time in which cargo builds what the tests of this process need.
///
/// Only that helps against a thread that never returns: a test cannot be ended from outside.
#[track_caller]
pub fn watch() -> Watchdog {
    watch_for(LIMIT)
}

/// As [`watch`], with another limit: for a program that a test waits for.
#[track_caller]
pub fn watch_for(limit: Duration) -> Watchdog {
    let caller = Location::caller();
    let test = thread::current().name().unwrap_or("without a name").to_owned();
    let (alive, ended) = mpsc::channel::<()>();
    let (begun, built_before) = (Instant::now(), time_for_builds());
    thread::spawn(move || {
        loop {
            let allowed = limit + time_for_builds() - built_before;
            let left = allowed.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            if ended.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
        // Not `eprintln`: the harness keeps that until the end of the test, which never comes.
        let _ = writeln!(
            io::stderr(),
            "watchdog: the test `{test}` at {caller} hangs: it has run for {:?}",
            begun.elapsed()
        );
        print_threads();
        kill_servers();
        abort();
    });
    Watchdog { _alive: alive }
}

/// Where all threads of this process are, as far as the kernel says so.
fn print_threads() {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return };
    for task in tasks.flatten() {
        let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, sleeps_in, call) = (read("comm"), read("wchan"), read("syscall"));
        let call = call.split(' ').next().unwrap_or_default();
        let name = name.trim_end();
        let _ =
            writeln!(io::stderr(), "  thread {name}: in {sleeps_in}, system call {}", call.trim());
    }
}
