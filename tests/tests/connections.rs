//! Ten thousand connections at once, from another process: each is answered, and none is lost. In
//! long runs twenty thousand, and then as many again, in the memory of the first.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use windlass_tests::{
    Server, example, memory_kib, open_sockets_of, raise_file_limit, runs_long, say, watch,
};

const MESSAGES: usize = 2;

/// How many connections the two processes may have; fewer than wanted if the system permits no more.
fn at_most(wanted: usize) -> usize {
    // Besides its connections each process has its standard streams, the listener and the poller.
    let possible = raise_file_limit() - 50;
    if possible < wanted {
        say(&format!("the limit on open files permits only {possible} connections"));
    }
    possible.min(wanted)
}

fn client(server: &Server, connections: usize) -> Command {
    let mut command = example("ack_client");
    command.args(["--addr", &server.addr().to_string()]);
    command.args(["--connections", &connections.to_string()]);
    command.args(["--messages", &MESSAGES.to_string()]);
    command
}

/// Opens the connections, says something over each, and closes them.
#[track_caller]
fn come_and_go(server: &Server, connections: usize) {
    let output = client(server, connections).output().expect("the client can be started");
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains(&format!("{connections} connections open after ")), "{text}");
    assert!(text.contains(&format!("{} messages answered in ", connections * MESSAGES)), "{text}");
}

#[track_caller]
fn hold(mode: &str, connections: usize, waves: usize) {
    let server = Server::ack(mode, &[]);
    // Whatever the first connection costs only once is paid.
    let status = client(&server, 1).output().expect("the client can be started").status;
    assert!(status.success());
    let (sockets, memory) = (open_sockets_of(server.id()), memory_kib(server.id(), "VmHWM"));

    come_and_go(&server, connections);
    let most = memory_kib(server.id(), "VmHWM") - memory;
    let each = most * 1024 / connections;
    say(&format!("{mode}: {connections} connections, {each} bytes each in the server"));
    // The server's 1 KiB buffer, the task, the readiness: far below a thread's stack.
    assert!(each < 8 * 1024, "{each} bytes per connection");
    // The client has seen the end of each of its connections.
    assert_eq!(open_sockets_of(server.id()), sockets, "the server has lost track of connections");

    for _ in 1..waves {
        come_and_go(&server, connections);
        let more = memory_kib(server.id(), "VmHWM") - memory - most;
        say(&format!("{mode}: {connections} connections again, {more} KiB more at the most"));
        assert!(more < most / 4, "{more} KiB more for as many connections again");
        assert_eq!(
            open_sockets_of(server.id()),
            sockets,
            "the server has lost track of connections"
        );
    }
    let (status, rest) = server.interrupt();
    assert!(status.success());
    assert_eq!(rest, "server stopped\n");
}

/// One test after the other, since together they might take longer than the watchdog waits.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn ten_thousand_at_once_are_answered_in_single_threaded_mode() {
    let _alone = alone();
    let _watchdog = watch();
    hold("single-threaded", at_most(10_000), 1);
}

#[test]
fn ten_thousand_at_once_are_answered_in_work_stealing_mode() {
    let _alone = alone();
    let _watchdog = watch();
    hold("work-stealing", at_most(10_000), 1);
}

#[test]
fn twenty_thousand_leave_room_for_as_many_again_in_single_threaded_mode() {
    let _alone = alone();
    let _watchdog = watch();
    if runs_long() {
        hold("single-threaded", at_most(20_000), 2);
    }
}

#[test]
fn twenty_thousand_leave_room_for_as_many_again_in_work_stealing_mode() {
    let _alone = alone();
    let _watchdog = watch();
    if runs_long() {
        hold("work-stealing", at_most(20_000), 2);
    }
}
