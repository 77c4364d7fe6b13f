//! Where a panic ends the process it does so from wherever it happens, and the last line names the
//! task that it happened in.

use std::io;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;
use windlass_tests::{aborting, watch};

/// What panics, what it says, and whether it does so inside of a task.
const PLACES: [(&str, &str, bool); 13] = [
    ("poll", "in a poll", true),
    ("poll-with-a-hook", "the hook of the program", true),
    ("local-poll", "in a poll", true),
    ("block-on", "in a poll", false),
    ("future-drop", "in a drop", true),
    ("future-drop-by-abort", "in a drop", true),
    ("future-drop-by-shutdown", "in a drop", true),
    ("output-drop", "in a drop", true),
    // It is called by the task that is done.
    ("waker-of-a-handle", "in a wake-up", true),
    ("waker-of-a-timer", "in a wake-up", false),
    ("blocking", "in a call", true),
    ("start-hook", "in a hook", false),
    ("stop-hook", "in a hook", false),
];

#[test]
fn the_process_ends_and_its_last_line_names_the_task() -> io::Result<()> {
    // Built before the time runs: this is the first that needs it all in this way.
    let _ = aborting("last_words");
    let _watchdog = watch();
    for mode in ["single-threaded", "work-stealing"] {
        for (place, words, is_in_a_task) in PLACES {
            let output = aborting("last_words").args([place, mode]).output()?;
            let errors = String::from_utf8_lossy(&output.stderr);
            let status = output.status;
            assert_eq!(
                status.signal(),
                Some(Signal::ABORT.as_raw()),
                "{place}, {mode}: {status}: {errors}"
            );
            assert!(output.stdout.is_empty(), "{place}, {mode} goes on");
            let mut lines = errors.lines();
            assert!(lines.any(|line| line == words), "{place}, {mode}: {errors}");
            let last = lines.last().unwrap_or("");
            let names = last.contains("(\"victim\", spawned at tests/src/bin/last_words.rs:");
            assert_eq!(names, is_in_a_task, "{place}, {mode}: {errors}");
            let inside = last.starts_with("runtime: this was inside task ");
            assert_eq!(inside, is_in_a_task, "{place}, {mode}: {errors}");
        }
    }
    Ok(())
}
