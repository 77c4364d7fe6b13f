//! The example `ack_server` when it cannot do what it is asked: wrong flags, a taken address, and no
//! files left.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use windlass_tests::{Server, example, watch};

const MODES: [&str; 2] = ["single-threaded", "work-stealing"];

fn run(arguments: &[&str]) -> Output {
    example("ack_server").args(arguments).output().expect("the server can be started")
}

/// Runs it with flags that it must refuse, with exit code 2; returns what it says.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("it prints text")
}

#[test]
fn a_taken_address_is_one_line_and_exit_code_2() {
    let _watchdog = watch();
    for mode in MODES {
        let server = Server::ack(mode, &[]);
        let addr = server.addr().to_string();
        let text = refused(&["--addr", &addr, "--scheduler", mode]);
        let expected = format!("ack_server: cannot listen on {addr}: Address already in use");
        assert!(text.starts_with(&expected), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn an_address_that_is_none_is_one_line_and_exit_code_2() {
    let _watchdog = watch();
    for addr in ["nonsense", "127.0.0.1", "127.0.0.1:99999", ":80"] {
        let text = refused(&["--addr", addr]);
        assert!(text.starts_with(&format!("ack_server: cannot listen on {addr}: ")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn wrong_flags_are_refused_with_a_reason() {
    let _watchdog = watch();
    let text = refused(&["--scheduler", "multi"]);
    assert!(text.contains("it is `work-stealing` or `single-threaded`"), "{text}");
    let text = refused(&["--workers", "0"]);
    assert!(text.contains("needs at least one worker") && text.contains("help:"), "{text}");
    let text = refused(&["--workers", "4", "--scheduler", "single-threaded"]);
    assert!(text.contains("has one worker") && text.contains("help:"), "{text}");
    let text = refused(&["--workers", "many"]);
    assert!(text.contains("--workers"), "{text}");
    let text = refused(&["--port", "80"]);
    assert!(text.contains("--port"), "{text}");
}

/// The processor time that a process has used, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
    // `utime` and `stime` are the fields 14 and 15; the name was the second.
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<u64>().expect("it is a number")).sum()
}

fn is_answered(mut client: &TcpStream, timeout: Duration) -> bool {
    let mut answer = [0; 4];
    client.set_read_timeout(Some(timeout)).expect("a socket option");
    match client.read_exact(&mut answer) {
        Ok(()) => answer == *b"ACK\n",
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("the connection was lost: {error}"),
    }
}

#[test]
fn without_files_it_serves_whom_it_has_and_accepts_again_when_some_are_free() {
    let _watchdog = watch();
    for mode in MODES {
        let server = example("ack_server");
        let mut command = Command::new("sh");
        command.args(["-c", r#"ulimit -n 32 && exec "$0" "$@""#]).arg(server.get_program());
        command.args(["--addr", "127.0.0.1:0", "--scheduler", mode]).stderr(Stdio::piped());
        let mut server = Server::start(command);
        let mut errors = BufReader::new(server.take_errors());

        let clients: Vec<_> = (0..64).map(|_| server.connect()).collect();
        for mut client in &clients {
            client.write_all(b"hello\n").expect("the kernel has connected it");
        }
        let mut complaint = String::new();
        errors.read_line(&mut complaint).expect("it prints text");
        assert!(
            complaint.starts_with("ack_server: cannot accept, will go on trying: Too many open")
        );

        // While one that waits is not served, one that is connected is, and nothing spins.
        assert!(is_answered(&clients[0], Duration::from_secs(30)));
        let before = cpu_ticks(server.id());
        assert!(!is_answered(&clients[63], Duration::from_millis(500)));
        let used = cpu_ticks(server.id()) - before;
        assert!(used <= 10, "it used {used} of 50 ticks while it had nothing to do");
        (&clients[0]).write_all(b"still here\n").expect("the server reads");
        assert!(is_answered(&clients[0], Duration::from_secs(30)));

        // Everybody is served in the end, as those before them leave.
        for client in &clients[1..] {
            assert!(is_answered(client, Duration::from_secs(30)));
            client.shutdown(std::net::Shutdown::Both).expect("it is connected");
        }
        let (status, output) = server.interrupt();
        assert_eq!((status.code(), &*output), (Some(0), "server stopped\n"));
        let mut more = String::new();
        errors.read_to_string(&mut more).expect("it prints text");
        assert_eq!(more, "", "it says so once");
    }
}
