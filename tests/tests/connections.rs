//! Ten thousand connections at once, from another process: each is answered, and none is lost.

use std::process::Command;

use windlass_tests::{Server, example, memory_kib, open_files_of, raise_file_limit, say, watch};

const CONNECTIONS: usize = 10_000;
const MESSAGES: usize = 2;

/// How many connections the two processes may have; fewer than wanted if the system permits no more.
fn connections() -> usize {
    // Besides its connections each process has its standard streams, the listener and the poller.
    let possible = raise_file_limit() - 50;
    if possible < CONNECTIONS {
        say(&format!("the limit on open files permits only {possible} connections"));
    }
    possible.min(CONNECTIONS)
}

fn client(server: &Server, connections: usize) -> Command {
    let mut command = example("ack_client");
    command.args(["--addr", &server.addr().to_string()]);
    command.args(["--connections", &connections.to_string()]);
    command.args(["--messages", &MESSAGES.to_string()]);
    command
}

#[track_caller]
fn hold(mode: &str, connections: usize) {
    let server = Server::ack(mode, &[]);
    // Whatever the first connection costs only once is paid.
    let status = client(&server, 1).output().expect("the client can be started").status;
    assert!(status.success());
    let (files, memory) = (open_files_of(server.id()), memory_kib(server.id(), "VmHWM"));

    let output = client(&server, connections).output().expect("the client can be started");
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains(&format!("{connections} connections open after ")), "{text}");
    assert!(text.contains(&format!("{} messages answered in ", connections * MESSAGES)), "{text}");

    let most = memory_kib(server.id(), "VmHWM") - memory;
    let each = most * 1024 / connections;
    say(&format!("{mode}: {connections} connections, {each} bytes each in the server"));
    // The server's 1 KiB buffer, the task, the readiness: far below a thread's stack.
    assert!(each < 8 * 1024, "{each} bytes per connection");
    // The client has seen the end of each of its connections.
    assert_eq!(open_files_of(server.id()), files, "the server has lost track of connections");
    let (status, rest) = server.interrupt();
    assert!(status.success());
    assert_eq!(rest, "server stopped\n");
}

#[test]
fn ten_thousand_at_once_are_answered_in_single_threaded_mode() {
    let _watchdog = watch();
    hold("single-threaded", connections());
}

#[test]
fn ten_thousand_at_once_are_answered_in_work_stealing_mode() {
    let _watchdog = watch();
    hold("work-stealing", connections());
}
