//! A runtime takes its files, threads and memory with it.
//!
//! The tests here take turns, and have the process for themselves, because they count what it has.

use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use runtime::net::TcpListener;
use runtime::time::timeout;
use runtime::{Builder, Scheduler};
use windlass_tests::{memory_kib, open_files, runs_long, threads_named, watch};

fn run_once(scheduler: Scheduler) {
    // A report would load the names of functions, which stay.
    let builder = Builder::new().scheduler(scheduler).thread_name("flat");
    let builder = builder.blocked_after(Duration::MAX);
    let builder = if scheduler == Scheduler::WorkStealing { builder.workers(2) } else { builder };
    let runtime = builder.build().expect("the system has threads and files for a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let accepted = timeout(Duration::from_millis(1), listener.accept()).await;
        accepted.expect_err("nobody connects");
        runtime::spawn_blocking(|| ()).await.expect("it does not panic");
        runtime::spawn(async move { listener.accept().await.map(drop) });
    });
}

/// Makes so many runtimes, one after the other.
fn leave_nothing(scheduler: Scheduler, runtimes: usize) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = watch();
    let files = open_files();
    // The allocator's arenas, one per thread that it has seen at once, come with the first.
    (0..50).for_each(|_| run_once(scheduler));
    let memory = memory_kib(process::id(), "VmRSS");
    (0..runtimes).for_each(|_| run_once(scheduler));
    // A thread that has been waited for may still be on its last steps.
    while open_files() != files || threads_named("flat") != 0 {
        thread::yield_now();
    }
    let grown = memory_kib(process::id(), "VmRSS").saturating_sub(memory);
    // However many there were.
    assert!(grown < 2048, "{scheduler}: {runtimes} runtimes have left {grown} KiB");
}

#[test]
fn a_thousand_runtimes_leave_no_file_thread_or_memory_behind() {
    leave_nothing(Scheduler::SingleThreaded, 500);
    leave_nothing(Scheduler::WorkStealing, 500);
}

#[test]
fn nor_do_five_thousand_in_single_threaded_mode() {
    if runs_long() {
        leave_nothing(Scheduler::SingleThreaded, 5000);
    }
}

#[test]
fn nor_do_five_thousand_in_work_stealing_mode() {
    if runs_long() {
        leave_nothing(Scheduler::WorkStealing, 5000);
    }
}
