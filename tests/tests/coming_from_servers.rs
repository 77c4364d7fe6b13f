//! The servers for who comes from `select` and from Netty answer real clients, and more of them than
//! `select` can.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use windlass_tests::{
    Server, Watchdog, c_program, example, find_tool, raise_file_limit, say, watch,
};

/// Above `FD_SETSIZE`, which is 1024.
const MANY: usize = 1100;

/// Compiles the examples, which may take a while, and watches the test from then on.
#[track_caller]
fn watch_the_servers() -> Watchdog {
    for name in ["select_ack", "boss_worker", "reuseport"] {
        let _compiled = example(name);
    }
    watch()
}

fn select_ack() -> Server {
    let mut command = example("select_ack");
    command.arg("127.0.0.1:0");
    Server::start(command)
}

fn with_workers(name: &str, workers: &str) -> Server {
    let mut command = example(name);
    command.args(["--addr", "127.0.0.1:0", "--workers", workers]);
    Server::start(command)
}

/// Says hello, and reads the answer.
#[track_caller]
fn greet(mut client: &TcpStream) {
    let mut answer = [0; 4];
    client.write_all(b"hello\n").expect("the server reads");
    client.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"ACK\n");
}

/// Leaves, and waits for the server's end of the connection, so that it has counted everything.
#[track_caller]
fn leave(mut client: TcpStream) {
    client.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(client.read(&mut [0; 1]).expect("the server says that it ends"), 0);
}

#[test]
fn nc_gets_its_answer_from_each() {
    let _watchdog = watch_the_servers();
    let Some(nc) = find_tool("nc") else { return };
    for server in [select_ack(), with_workers("boss_worker", "2"), with_workers("reuseport", "2")] {
        let mut command = Command::new(&nc);
        command.args(["-q1", "127.0.0.1", &server.addr().port().to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.spawn().expect("nc can be started");
        let mut input = client.stdin.take().expect("it is piped");
        input.write_all(b"hello\n").expect("nc reads");
        let mut answer = [0; 4];
        client.stdout.as_mut().expect("it is piped").read_exact(&mut answer).expect("4 bytes");
        assert_eq!(&answer, b"ACK\n");
        // Only now: it goes a second after the end of its input, answered or not.
        drop(input);
        let output = client.wait_with_output().expect("nc ends");
        assert_eq!(output.stdout, b"");
    }
}

#[test]
fn more_clients_than_fd_setsize_are_answered() {
    let _watchdog = watch_the_servers();
    if raise_file_limit() < MANY + 50 {
        return say("skipped: the system permits too few open files");
    }
    let server = select_ack();
    let clients: Vec<TcpStream> = (0..MANY).map(|_| server.connect()).collect();
    clients.iter().for_each(greet);
}

/// What the page says of the C program. `select` writes beyond its set from the 1024th file on; where
/// the C library checks for it, as compilers of distributions have it do, that ends the program.
#[test]
fn select_in_c_does_not_survive_fd_setsize() {
    let _watchdog = watch_the_servers();
    if raise_file_limit() < MANY + 50 {
        return say("skipped: the system permits too few open files");
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ack_server/select.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("coming_from");
    let flags = ["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"];
    let Some(program) = c_program(&source, &folder, "select_ack", &flags) else { return };
    let mut command = Command::new(program);
    command.stderr(Stdio::piped());
    let server = Server::start(command);
    let addr = server.addr();
    // Refused from the moment when it is gone.
    let clients: Vec<TcpStream> = (0..MANY).map_while(|_| TcpStream::connect(addr).ok()).collect();
    let mut last = clients.last().expect("the first are below the limit");
    let answered = last.write_all(b"hello\n").and_then(|()| last.read_exact(&mut [0; 4]));
    if answered.is_ok() {
        if cfg!(target_env = "gnu") {
            panic!("it has served {} clients", clients.len());
        }
        return say("skipped: this C library does not check `FD_SET`");
    }
    let (status, _rest) = server.wait();
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
}

/// How many connections and messages each worker says, at the end, that it had.
#[track_caller]
fn shares(text: &str) -> Vec<(usize, usize)> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let share = |(number, line): (usize, &str)| {
        let rest = line.strip_prefix(&format!("worker {number} served "))?;
        let (connections, rest) = rest.split_once(" connections, ")?;
        let messages = rest.strip_suffix(" messages")?;
        Some((connections.parse().ok()?, messages.parse().ok()?))
    };
    let shares: Option<Vec<_>> = lines.into_iter().enumerate().map(share).collect();
    shares.unwrap_or_else(|| panic!("it printed {text}"))
}

/// A hundred clients at once, two messages each; what each worker says in the end.
#[track_caller]
fn serve_a_hundred(server: Server) -> Vec<(usize, usize)> {
    let clients: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    for _ in 0..2 {
        clients.iter().for_each(greet);
    }
    clients.into_iter().for_each(leave);
    let (status, text) = server.interrupt();
    assert!(status.success(), "{status}");
    shares(&text)
}

#[test]
fn the_boss_deals_connections_out_in_turn() {
    let _watchdog = watch_the_servers();
    assert_eq!(serve_a_hundred(with_workers("boss_worker", "1")), [(100, 200)]);
    assert_eq!(serve_a_hundred(with_workers("boss_worker", "4")), [(25, 50); 4]);
}

#[test]
fn without_a_boss_the_kernel_deals_connections_out() {
    let _watchdog = watch_the_servers();
    assert_eq!(serve_a_hundred(with_workers("reuseport", "1")), [(100, 200)]);
    let shares = serve_a_hundred(with_workers("reuseport", "2"));
    assert_eq!(shares.iter().map(|share| share.0).sum::<usize>(), 100, "{shares:?}");
    // By a hash of the addresses: that all hundred go to one has a probability of 2 to the -99.
    assert!(shares.iter().all(|share| share.0 > 0 && share.1 == 2 * share.0), "{shares:?}");
}

#[test]
fn a_client_that_resets_harms_nobody() {
    let _watchdog = watch_the_servers();
    for server in [select_ack(), with_workers("boss_worker", "1"), with_workers("reuseport", "1")] {
        let bystander = server.connect();
        greet(&bystander);
        let client = server.connect();
        greet(&client);
        let socket = socket2::SockRef::from(&client);
        socket.set_linger(Some(std::time::Duration::ZERO)).expect("a socket option");
        drop(client);
        greet(&bystander);
        greet(&server.connect());
    }
}

#[test]
fn an_address_that_is_taken_is_reported() {
    let _watchdog = watch_the_servers();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let addr = taken.local_addr().expect("it is bound").to_string();
    for name in ["boss_worker", "reuseport"] {
        let mut command = example(name);
        let output = command.args(["--addr", &addr]).output().expect("it can be started");
        assert_eq!(output.status.code(), Some(2), "{name}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("Address already in use"), "{errors}");
    }
}
