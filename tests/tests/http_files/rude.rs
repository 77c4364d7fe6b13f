//! Clients that do what no browser does.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;
use windlass_tests::{Server, memory_kib, open_files_of, watch};

use super::{Answer, ask, with_site};

const GET: &[u8] = b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n";

/// Waits for a condition in another process, of which no event tells.
fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

#[track_caller]
fn send(mut client: &TcpStream, bytes: &[u8]) {
    client.write_all(bytes).expect("the server reads");
}

/// The end of the connection, without a reset.
#[track_caller]
fn assert_closed(mut client: &TcpStream) {
    assert_eq!(client.read(&mut [0]).expect("it is closed, not reset"), 0);
}

#[track_caller]
fn assert_served(server: &Server) {
    assert_eq!(ask(server, "GET /small.txt HTTP/1.1").status, 200);
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let _watchdog = watch();
    with_site(&[], |_, server| {
        let client = server.connect();
        client.set_nodelay(true).expect("a socket option");
        GET.iter().for_each(|&byte| send(&client, &[byte]));
        assert_eq!(Answer::read(&client, false).body, b"hello, file\n");
        send(&client, GET);
        assert_eq!(Answer::read(&client, false).status, 200);
    });
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let client = server.connect();
        let requests = "HEAD /large.bin HTTP/1.1\r\nHost: x\r\n\r\n\
                        GET /none HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
                        GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n\
                        GET /small.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
                        GET /small.txt HTTP/1.0\r\n\r\n\
                        GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
        send(&client, requests.as_bytes());
        assert_eq!(Answer::read(&client, true).status, 200);
        assert_eq!(Answer::read(&client, false).status, 404);
        assert!(Answer::read(&client, false).body == site.content("large.bin"));
        assert_eq!(Answer::read(&client, false).header("connection"), Some("keep-alive"));
        assert_eq!(Answer::read(&client, false).header("connection"), Some("close"));
        // What comes after the last request is not answered.
        assert!(matches!((&client).read(&mut [0]), Ok(0) | Err(_)));
    });
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let client = server.connect();
        send(&client, b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert!(Answer::read(&client, false).body == site.content("large.bin"));
        assert_closed(&client);
    });
}

/// It gets to read why, although it has sent more than the server wants to read.
#[test]
fn a_giant_head_is_refused_and_not_kept() {
    let _watchdog = watch();
    with_site(&[], |_, server| {
        assert_served(server);
        let before = memory_kib(server.id(), "VmHWM");
        let cases = [
            (format!("GET /{}", "x".repeat(100_000)), 414),
            (format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}", "x".repeat(100_000)), 431),
            (format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(100)), 431),
        ];
        for (head, status) in cases {
            let client = server.connect();
            send(&client, head.as_bytes());
            assert_eq!(Answer::read(&client, false).status, status);
            client.shutdown(Shutdown::Write).expect("it is connected");
            assert_closed(&client);
        }
        // A whole head can be too long as well.
        let client = server.connect();
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\r\n", "x".repeat(8200));
        send(&client, head.as_bytes());
        assert_eq!(Answer::read(&client, false).status, 431);
        let more = memory_kib(server.id(), "VmHWM") - before;
        assert!(more < 4 * 1024, "{more} KiB for a few heads");
        assert_served(server);
    });
}

#[test]
fn a_head_that_takes_too_long_is_given_up() {
    let _watchdog = watch();
    with_site(&["--header-timeout", "0.3"], |_, server| {
        let client = server.connect();
        let began = Instant::now();
        client.set_nodelay(true).expect("a socket option");
        client.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket option");
        // A byte now and then does not prolong the time.
        let mut answered = [0];
        loop {
            send(&client, b"x");
            match client.peek(&mut answered) {
                Ok(_) => break,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
        }
        assert!(began.elapsed() >= Duration::from_millis(300));
        assert_eq!(Answer::read(&client, false).status, 408);
    });
}

#[test]
fn a_connection_without_requests_is_closed_after_a_while() {
    let _watchdog = watch();
    with_site(&["--idle-timeout", "2"], |_, server| {
        let client = server.connect();
        assert_closed(&client);
        let client = server.connect();
        send(&client, GET);
        assert_eq!(Answer::read(&client, false).status, 200);
        assert_closed(&client);
    });
}

/// Those who read nothing are many, and the others do not notice.
#[test]
fn clients_that_do_not_read_stop_nobody_and_are_given_up() {
    let _watchdog = watch();
    with_site(&["--stall-timeout", "2"], |_, server| {
        assert_served(server);
        let files = open_files_of(server.id());
        let slow: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
        for client in &slow {
            // So that an answer does not fit into what the kernel takes in their place.
            SockRef::from(client).set_recv_buffer_size(4096).expect("a socket option");
            for _ in 0..4 {
                send(client, b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
            }
        }
        for _ in 0..20 {
            assert_served(server);
        }
        wait_until(|| open_files_of(server.id()) <= files);
        drop(slow);
        assert_served(server);
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_costs_nothing() {
    let _watchdog = watch();
    with_site(&[], |_, server| {
        assert_served(server);
        let files = open_files_of(server.id());
        for number in 0..100 {
            let client = server.connect();
            send(&client, b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
            if number % 2 == 0 {
                (&client).read_exact(&mut [0; 1000]).expect("the answer begins");
            }
            if number % 3 == 0 {
                // It resets the connection.
                SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("a socket option");
            }
        }
        assert_served(server);
        wait_until(|| open_files_of(server.id()) <= files);
    });
}

#[test]
fn a_body_that_nobody_wants_is_skipped_or_refused() {
    let _watchdog = watch();
    with_site(&[], |_, server| {
        let client = server.connect();
        send(&client, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
        send(&client, &[b'G'; 60_000]);
        send(&client, GET);
        assert_eq!(Answer::read(&client, false).status, 405);
        assert_eq!(Answer::read(&client, false).status, 200);

        // One that waits for leave to send its body hears at once that it need not.
        let client = server.connect();
        let head = "PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n";
        send(&client, head.as_bytes());
        let answer = Answer::read(&client, false);
        assert_eq!((answer.status, answer.header("connection")), (405, Some("close")));
        assert_closed(&client);

        // The refusal is readable although the body comes all the same.
        let client = server.connect();
        send(&client, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
        send(&client, &[b'x'; 200_000]);
        client.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(Answer::read(&client, false).status, 413);
        assert_closed(&client);
    });
}

/// What is promised by the length cannot be delivered, and must not look as if it were.
#[test]
fn a_file_that_shrinks_while_it_is_sent_breaks_the_connection() {
    let _watchdog = watch();
    with_site(&[], |site, server| {
        let huge = site.root().join("huge");
        let file = std::fs::File::create(&huge).expect("a temporary folder");
        file.set_len(1 << 30).expect("a sparse file");
        let mut client = server.connect();
        send(&client, b"GET /huge HTTP/1.1\r\nHost: x\r\n\r\n");
        client.read_exact(&mut [0; 1000]).expect("the answer begins");
        file.set_len(0).expect("it is ours");
        let mut buffer = vec![0; 1 << 16];
        let mut read = 0;
        while let Ok(more @ 1..) = client.read(&mut buffer) {
            read += more;
        }
        assert!(read < 1 << 30, "{read} bytes of a file that has none");
        assert_served(server);
    });
}
