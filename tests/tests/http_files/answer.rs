//! Requests as bytes, and answers taken apart.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use windlass_tests::Server;

/// One answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        value
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is text")
    }

    /// Reads one answer, and not a byte more.
    #[track_caller]
    pub(super) fn read(mut client: &TcpStream, is_head: bool) -> Answer {
        client.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket option");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap_or_else(|error| {
                panic!("no answer: {error}, after \"{}\"", head.escape_ascii())
            });
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3));
        let status = status.and_then(|status| status.parse().ok()).expect("it has a status");
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").expect("a header has a colon");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let mut answer = Answer { status, headers: headers.collect(), body: Vec::new() };
        let length = answer.header("content-length").map(|it| it.parse().expect("a number"));
        answer.body = vec![0; if is_head { 0 } else { length.unwrap_or(0) }];
        client.read_exact(&mut answer.body).expect("the body is as long as it says");
        answer
    }
}

/// Sends a request on a connection of its own, and reads the answer and the end after it.
#[track_caller]
pub(super) fn ask(server: &Server, line: &str) -> Answer {
    ask_with(server, line, "")
}

/// As [`ask`], with more headers.
#[track_caller]
pub(super) fn ask_with(server: &Server, line: &str, headers: &str) -> Answer {
    let mut client = server.connect();
    let request = format!("{line}\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
    client.write_all(request.as_bytes()).expect("the server reads");
    let answer = Answer::read(&client, line.starts_with("HEAD"));
    assert_eq!(answer.header("connection"), Some("close"));
    let end = client.read(&mut [0]).expect("the server closes the connection, and resets it not");
    assert_eq!(end, 0, "{line}: more than one answer");
    answer
}
