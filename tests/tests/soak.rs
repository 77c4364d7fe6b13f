//! A runtime's hard life: connections, timers, aborts, blocking calls, files, signals, and runtimes
//! that start and stop, at random. What is checked is said in `src/bin/soak/main.rs`.

use std::env;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use windlass_tests::{say, watch};

/// Runs it, and returns what it printed; its errors go where ours do.
fn soak(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_soak"));
    command.args(args).env_remove("WINDLASS_BLOCKED");
    let output = command.output();
    let output = output.expect("cargo has built it");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {}\n{text}\n{errors}", output.status);
    text
}

/// For `WINDLASS_SOAK_SECONDS` seconds, or 20, from the seed `WINDLASS_SOAK_SEED`, or a new one.
#[test]
fn random_runtimes_doing_random_things_lose_nothing_and_leave_nothing_behind() {
    let _watchdog = watch();
    let seconds = env::var("WINDLASS_SOAK_SECONDS").unwrap_or("20".to_owned());
    let seed = env::var("WINDLASS_SOAK_SEED").unwrap_or_else(|_| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.subsec_nanos().to_string()
    });
    // Known even if it hangs.
    say(&format!("soak --seconds {seconds} --seed {seed}"));
    let text = soak(&["--seconds", &seconds, "--seed", &seed]);
    say(text.lines().last().expect("it prints what it has done"));
}

#[test]
fn a_seed_gives_the_same_actions_again_and_each_round_by_itself() {
    let _watchdog = watch();
    // Without the last line, which has times in it.
    let rounds = |args: &[&str]| {
        let text = soak(args);
        let rounds = text.lines().filter(|line| line.starts_with("round "));
        rounds.map(str::to_owned).collect::<Vec<_>>()
    };
    let first = rounds(&["--seed", "7", "--rounds", "3"]);
    assert_eq!(first.len(), 4, "three rounds, and the one in which each action is played once");
    assert_eq!(first, rounds(&["--seed", "7", "--rounds", "3"]));
    let third = rounds(&["--seed", "7", "--rounds", "1", "--from", "3"]);
    assert_eq!(third, [first[0].clone(), first[3].clone()]);
    assert_ne!(first, rounds(&["--seed", "8", "--rounds", "3"]));
}
