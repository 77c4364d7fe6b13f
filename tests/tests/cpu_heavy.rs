//! The example `cpu_heavy` measures what it says it does.

use std::process::Output;

use windlass_tests::{example, watch};

/// Runs it; each row is a way, with its cells.
fn rows(arguments: &[&str]) -> Vec<Vec<String>> {
    let Output { status, stdout, stderr } =
        example("cpu_heavy").args(arguments).output().expect("it can be started");
    let (text, errors) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{text}{errors}");
    // The first line says how long a big request takes, the second is the head.
    let rows = text.lines().skip(2);
    rows.map(|row| row.split_whitespace().map(str::to_owned).collect()).collect()
}

/// A cell with a time, in milliseconds.
fn ms(cell: &str) -> f64 {
    cell.trim_end_matches("ms").parse().expect("it is a number of milliseconds")
}

const SHORT: [&str; 6] = ["--seconds", "0.4", "--numbers", "20000", "--small", "4"];

#[test]
fn each_way_answers_everybody_rightly() {
    let _watchdog = watch();
    // That big answers are right, it checks itself.
    let rows = rows(&[&SHORT[..], &["--workers", "2"]].concat());
    let ways: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
    assert_eq!(ways, ["idle", "nothing", "block-in-place", "spawn-blocking", "rayon"]);
    for row in &rows {
        let requests: u64 = row[4].parse().expect("a number");
        assert!(requests > 0 && ms(&row[1]) <= ms(&row[2]), "{row:?}");
        let big: f64 = row[5].parse().expect("a number");
        assert_eq!(big > 0.0, row[0] != "idle", "{row:?}");
    }
}

/// With one thread there is nobody to take over: whoever computes in a task keeps all others
/// waiting, and whoever hands the work to another thread does not.
#[test]
fn on_one_thread_computing_in_a_task_keeps_the_others_waiting() {
    let _watchdog = watch();
    let flags = ["--scheduler", "single-threaded", "--seconds", "0.6", "--numbers", "50000"];
    let rows = rows(&[&flags[..], &["--small", "4", "--big", "1"]].concat());
    let row = |way: &str| rows.iter().find(|row| row[0] == way).expect("each way has a row");
    assert!(row("block-in-place").join(" ").contains("not possible in single-threaded mode"));
    let nothing = ms(&row("nothing")[1]);
    for way in ["idle", "spawn-blocking", "rayon"] {
        let other = ms(&row(way)[1]);
        assert!(
            other < nothing,
            "{way}: p50 {other} ms, but {nothing} ms if it is the task's work"
        );
    }
}

#[test]
fn wrong_flags_are_refused_with_a_reason() {
    let _watchdog = watch();
    for (flags, reason) in [
        (["--ways", "hope"], "possible values"),
        (["--seconds", "nan"], "seconds"),
        (["--workers", "0"], "at least one worker"),
    ] {
        let output = example("cpu_heavy").args(flags).output().expect("it can be started");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && text.contains(reason), "{flags:?}: {text}");
    }
}
