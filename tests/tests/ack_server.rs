//! The example `ack_server` gives its clients what the `select` server of C and the asyncio server of
//! Python give them, in both modes.
//!
//! Each conversation is held with all four servers, and the same is expected of each. Where there
//! is no C compiler or no Python, theirs are left out.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use windlass_tests::{Server, find_tool, watch};

const MODES: [&str; 2] = ["single-threaded", "work-stealing"];

/// Holds a conversation with each of the servers.
fn with_each_server(converse: impl Fn(&Server)) {
    for mode in MODES {
        eprintln!("server: ack_server, {mode}");
        converse(&Server::ack(
            mode,
            &["--workers", if mode == "work-stealing" { "2" } else { "1" }],
        ));
    }
    if let Some(program) = select_server() {
        eprintln!("server: select, in C");
        converse(&Server::start(Command::new(program)));
    }
    if let Some(python) = find_tool("python3") {
        eprintln!("server: asyncio, in Python");
        let mut command = Command::new(python);
        command.arg(source("asyncio_server.py"));
        converse(&Server::start(command));
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ack_server").join(name)
}

/// The server in C, compiled.
fn select_server() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("select_server");
        let mut cc = Command::new(find_tool("cc")?);
        cc.arg("-O1").arg(source("select.c")).arg("-o").arg(&program);
        let status = cc.status().expect("the compiler can be started");
        assert!(status.success(), "the server in C does not compile");
        Some(program)
    };
    PROGRAM.get_or_init(compile).as_deref()
}

/// Says `message`, and reads one answer.
#[track_caller]
fn ask(mut client: &TcpStream, message: &[u8]) -> [u8; 4] {
    let mut answer = [0; 4];
    client.write_all(message).expect("the server reads");
    client.read_exact(&mut answer).expect("the server answers");
    answer
}

/// What comes until the server closes the connection.
#[track_caller]
fn rest(mut client: &TcpStream) -> Vec<u8> {
    let mut answers = Vec::new();
    client
        .read_to_end(&mut answers)
        .expect("the server closes the connection, and does not reset it");
    answers
}

#[track_caller]
fn assert_served(server: &Server) {
    assert_eq!(&ask(&server.connect(), b"hello\n"), b"ACK\n");
}

#[test]
fn a_message_is_answered_by_ack() {
    let _watchdog = watch();
    with_each_server(|server| {
        let client = server.connect();
        assert_eq!(&ask(&client, b"hello\n"), b"ACK\n");
        assert_eq!(&ask(&client, &[0xff; 1024]), b"ACK\n");
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(rest(&client), b"");
    });
}

#[test]
fn a_client_that_half_closes_gets_its_answer_and_then_the_end() {
    let _watchdog = watch();
    with_each_server(|server| {
        let mut client = server.connect();
        client.write_all(b"hello\n").expect("the server reads");
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(rest(&client), b"ACK\n");
    });
}

#[test]
fn a_client_that_says_nothing_gets_the_end() {
    let _watchdog = watch();
    with_each_server(|server| {
        let client = server.connect();
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(rest(&client), b"");
        assert_served(server);
    });
}

#[test]
fn five_thousand_bytes_in_one_go_are_five_reads() {
    let _watchdog = watch();
    with_each_server(|server| {
        let mut client = server.connect();
        client.write_all(&[b'x'; 5000]).expect("the server reads");
        client.shutdown(Shutdown::Write).expect("it is connected");
        let answers = rest(&client);
        // More than five if they arrive in pieces, never fewer: a read takes 1024 at most.
        assert!(answers.chunks(4).all(|answer| answer == b"ACK\n"), "{answers:?}");
        assert!((5..=5000).contains(&(answers.len() / 4)), "{} answers", answers.len() / 4);
    });
}

#[test]
fn single_bytes_are_answered_one_by_one() {
    let _watchdog = watch();
    with_each_server(|server| {
        let client = server.connect();
        for byte in b"hello" {
            assert_eq!(&ask(&client, &[*byte]), b"ACK\n");
        }
        drop(client);
        assert_served(server);
    });
}

#[test]
fn a_client_that_resets_harms_nobody() {
    let _watchdog = watch();
    with_each_server(|server| {
        let bystander = server.connect();
        assert_eq!(&ask(&bystander, b"hello\n"), b"ACK\n");
        for has_spoken in [false, true] {
            let client = server.connect();
            if has_spoken {
                assert_eq!(&ask(&client, b"hello\n"), b"ACK\n");
                (&client).write_all(b"unanswered\n").expect("the server reads");
            }
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket option");
            drop(client);
        }
        assert_eq!(&ask(&bystander, b"still here\n"), b"ACK\n");
        assert_served(server);
    });
}

#[test]
fn two_hundred_clients_at_once_are_all_answered() {
    let _watchdog = watch();
    with_each_server(|server| {
        let clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
        for round in 0..5 {
            for mut client in &clients {
                write!(client, "round {round}").expect("the server reads");
            }
            for mut client in &clients {
                let mut answer = [0; 4];
                client.read_exact(&mut answer).expect("the server answers");
                assert_eq!(&answer, b"ACK\n");
            }
        }
    });
}

#[test]
fn nc_prints_ack() {
    let _watchdog = watch();
    let Some(nc) = find_tool("nc") else { return };
    with_each_server(|server| {
        let port = server.addr().port().to_string();
        let start = || {
            let mut command = Command::new(&nc);
            command.args(["-q1", "127.0.0.1", &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut client = command.spawn().expect("nc can be started");
            client.stdin.as_mut().expect("it is piped").write_all(b"hello\n").expect("nc reads");
            client
        };
        let mut clients: Vec<_> = (0..200).map(|_| start()).collect();
        for client in &mut clients {
            let mut answer = [0; 4];
            client.stdout.as_mut().expect("it is piped").read_exact(&mut answer).expect("4 bytes");
            assert_eq!(&answer, b"ACK\n");
            // Only now: it goes a second after the end of its input, answered or not.
            client.stdin = None;
        }
        for client in clients {
            let output = client.wait_with_output().expect("nc ends");
            assert_eq!(output.stdout, b"");
        }
    });
}

#[test]
fn an_asyncio_client_gets_an_answer_for_each_message() {
    let _watchdog = watch();
    let Some(python) = find_tool("python3") else { return };
    with_each_server(|server| {
        let mut command = Command::new(&python);
        command.arg(source("asyncio_client.py")).arg(server.addr().port().to_string());
        let output = command.output().expect("python can be started");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, b"ACK\n".repeat(1000));
    });
}

#[test]
fn it_says_where_it_listens_and_how() {
    let _watchdog = watch();
    let server = Server::ack("work-stealing", &["--workers", "3"]);
    let rest = format!("listening on {}, scheduler work-stealing, 3 workers\n", server.addr());
    assert_eq!(server.greeting(), rest);
    let server = Server::ack("single-threaded", &[]);
    let rest = format!("listening on {}, scheduler single-threaded, 1 worker\n", server.addr());
    assert_eq!(server.greeting(), rest);
}

#[test]
fn verbose_prints_connects_messages_and_disconnects() {
    let _watchdog = watch();
    for mode in MODES {
        let mut server = Server::ack(mode, &["--verbose"]);
        let client = server.connect();
        let name = client.local_addr().expect("it is connected");
        assert_eq!(server.next_line(), format!("{name} connected"));
        ask(&client, b"hello\n\xff");
        assert_eq!(server.next_line(), format!(r#"{name} sent 7 bytes: "hello\n\xff""#));
        drop(client);
        assert_eq!(server.next_line(), format!("{name} disconnected"));
        let client = server.connect();
        let name = client.local_addr().expect("it is connected");
        assert_eq!(server.next_line(), format!("{name} connected"));
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket option");
        drop(client);
        let line = server.next_line();
        assert!(line.starts_with(&format!("{name} disconnected: Connection reset")), "{line}");
    }
}

#[test]
fn ctrl_c_lets_answers_finish_and_stops_the_server() {
    let _watchdog = watch();
    for mode in MODES {
        let mut server = Server::ack(mode, &[]);
        let (addr, idle) = (server.addr(), server.connect());
        assert_eq!(&ask(&idle, b"hello\n"), b"ACK\n");
        let busy = server.connect();
        assert_eq!(&ask(&busy, b"hello\n"), b"ACK\n");
        // Talks as fast as it can, until the server is gone, and keeps what it hears.
        let talker = thread::spawn(move || {
            let mut answers = Vec::new();
            loop {
                let mut answer = [0; 4];
                match (&busy).write_all(b"hello\n").and_then(|()| (&busy).read(&mut answer)) {
                    Ok(0) | Err(_) => return answers,
                    Ok(read) => answers.extend_from_slice(&answer[..read]),
                }
            }
        });
        server.press_ctrl_c();
        assert_eq!(rest(&idle), b"");
        let (status, output) = server.wait();
        assert_eq!(output, "server stopped\n");
        assert_eq!(status.code(), Some(0));
        let answers = talker.join().expect("it does not panic");
        assert_eq!(answers.len() % 4, 0, "an answer was cut off");
        assert!(answers.chunks(4).all(|answer| answer == b"ACK\n"));
        let refused = TcpStream::connect(addr).expect_err("nobody listens any more");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}
