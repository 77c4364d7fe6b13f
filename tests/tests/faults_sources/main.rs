//! What goes wrong at the sources of events, at the level of the whole runtime: no byte is lost or
//! doubled, the error is the right one, nothing spins, hangs or stays open.
//!
//! What one source promises by itself is tested beside it; `docs/src/testing.md` has the table.

mod files;
mod pipes;
mod processes;
mod signals;
mod sockets;
mod streams;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use runtime::{Builder, Runtime, Scheduler};
use rustix::time::{ClockId, clock_gettime};
use windlass_tests::{Watchdog, current_scene, open_files, watch};

const MODES: [Scheduler; 2] = [Scheduler::SingleThreaded, Scheduler::WorkStealing];

/// Not a test by itself: what the other tests start.
#[test]
fn scenes() {
    let Some((scene, mode)) = current_scene() else { return };
    let runtime = in_mode(mode);
    match scene.as_str() {
        "send" => sockets::send(&runtime),
        "send_to_a_full_queue" => sockets::send_to_a_full_queue(&runtime),
        "copy" => files::copy(&runtime),
        "broken_disk" => files::broken_disk(&runtime),
        "small_disk" => files::small_disk(runtime),
        "closed_output" => streams::closed_output(&runtime),
        "no_files" => processes::no_files(&runtime),
        "no_threads" => processes::no_threads(&runtime),
        "empty_input" => streams::empty_input(&runtime),
        "full_output" => streams::full_output(&runtime),
        "panicking_writer" => streams::panicking_writer(&runtime),
        "panicking_reader" => streams::panicking_reader(&runtime),
        scene => panic!("there is no scene {scene:?}"),
    }
    // Past the harness, which prints too.
    std::process::exit(0);
}

/// A runtime that does not report stuck tasks: where the machine is busy, or a sanitizer slow, there
/// may be some, and to find out where they are takes files and processor time, which are counted here.
fn in_mode(mode: Scheduler) -> Runtime {
    let builder = Builder::new().scheduler(mode).blocked_after(Duration::MAX);
    let builder = if mode == Scheduler::WorkStealing { builder.workers(2) } else { builder };
    builder.build().expect("the system has threads and files for a runtime")
}

/// Runs a test in both modes, and sees that no file is left open.
fn both_modes(test: impl Fn(&Runtime)) {
    for mode in MODES {
        eprintln!("mode: {mode}");
        let before = open_files();
        let runtime = in_mode(mode);
        test(&runtime);
        drop(runtime);
        wait_until(|| open_files() <= before, "files are left open");
    }
}

/// Waits for the test's turn, and watches it from then on. Files and processor time are counted for
/// the whole process, and a test that has others run beside it would see theirs.
#[track_caller]
fn alone() -> (MutexGuard<'static, ()>, Watchdog) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    (turn, watch())
}

/// Waits for what other threads or processes do.
#[track_caller]
fn wait_until(is_so: impl Fn() -> bool, otherwise: &str) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{otherwise}");
        thread::yield_now();
    }
}

/// The processor time of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Sees that the runtime sleeps while nothing happens but a timer: no thread of this process uses the
/// time that passes, and no task is polled. The latter shows also where other programs leave little
/// time to spin in.
#[track_caller]
fn assert_sleeps(runtime: &Runtime) {
    let busy = || (processor_time(), runtime.metrics().polls() + runtime.metrics().parks());
    let began = Instant::now();
    let (used, turns) = busy();
    runtime.block_on(runtime::time::sleep(Duration::from_millis(200)));
    let (passed, now) = (began.elapsed(), busy());
    let (used, turns) = (now.0 - used, now.1 - turns);
    assert!(used < passed / 2, "it spins: {used:?} of processor time in {passed:?}");
    assert!(turns < 100, "it spins: {turns} polls and parks in {passed:?}");
}

/// Bytes that differ from their neighbours, and from those a page away.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// `strace` with these flags, in front of a program; none where it is not, or may not trace.
fn strace(flags: &[&str]) -> Option<std::process::Command> {
    let mut command = windlass_tests::strace("/dev/null")?;
    command.args(flags);
    Some(command)
}
