//! The example `chat_server`: everybody hears everything, in one order, and nobody waits for the slow.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use async_channel::Receiver;
use futures_util::StreamExt;
use futures_util::stream;
use runtime::io::AsyncBufReadExt;
use socket2::SockRef;
use windlass_tests::{
    Server, example, find_tool, memory_kib, open_sockets_of, raise_file_limit, say, watch,
};

/// Runs a test against a server in each mode, with more flags.
fn with_chat(flags: &[&str], test: impl Fn(&mut Server)) {
    for mode in ["single-threaded", "work-stealing"] {
        eprintln!("mode: {mode}");
        let mut command = example("chat_server");
        command.args(["--addr", "127.0.0.1:0", "--scheduler", mode]).args(flags);
        test(&mut Server::start(command));
    }
}

/// A person at a terminal.
struct Person {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Person {
    /// Comes in and takes a name; what happens until then has been read.
    #[track_caller]
    fn named(server: &Server, name: &str) -> Person {
        let stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a socket option");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        let mut person = Person { stream, lines };
        person.say(&format!("/nick {name}"));
        while !person.hear().ends_with(&format!("is now {name}")) {}
        person
    }

    #[track_caller]
    fn say(&self, line: &str) {
        (&self.stream).write_all(format!("{line}\n").as_bytes()).expect("the server reads");
    }

    /// The next line; empty at the end.
    #[track_caller]
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("the server goes on");
        line.trim_end().to_owned()
    }

    #[track_caller]
    fn hears(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.hear(), *line);
        }
    }
}

#[test]
fn what_one_says_the_others_in_the_room_hear() {
    let _watchdog = watch();
    with_chat(&[], |server| {
        let mut ann = Person::named(server, "ann");
        let mut bob = Person::named(server, "bob");
        ann.hears(&["* guest-2 has joined lobby", "* guest-2 is now bob"]);
        ann.say("hello");
        ann.hears(&["<ann> hello"]);
        bob.hears(&["<ann> hello"]);

        bob.say("/join kitchen");
        bob.hears(&["* bob has joined kitchen"]);
        ann.hears(&["* bob has gone to kitchen"]);
        ann.say("anybody here?");
        bob.say("/who");
        bob.hears(&["* in kitchen: bob"]);
        ann.hears(&["<ann> anybody here?"]);
        ann.say("/join kitchen");
        bob.hears(&["* ann has joined kitchen"]);
        bob.say("/who");
        bob.hears(&["* in kitchen: ann, bob"]);
        ann.say("/quit");
        bob.hears(&["* ann has left"]);
        ann.hears(&["* ann has joined kitchen", ""]);
        // The name is free again.
        bob.say("/nick ann");
        bob.hears(&["* bob is now ann"]);
    });
}

#[test]
fn a_wrong_command_is_answered_to_its_author_only() {
    let _watchdog = watch();
    with_chat(&[], |server| {
        let mut ann = Person::named(server, "ann");
        let mut bob = Person::named(server, "bob");
        for (command, answer) in [
            ("/nick ann", "* somebody has this name"),
            ("/nick", "* a name has 1 to 20 characters"),
            ("/nick an n", "* a name consists of letters, digits, `-` and `_`"),
            ("/join <b>", "* a name consists of letters, digits, `-` and `_`"),
            ("/join lobby", "* you are in lobby"),
            ("/fly", "* there is no command /fly"),
        ] {
            bob.say(command);
            bob.hears(&[answer]);
        }
        // Nothing that moves other people's cursors gets through; empty lines are not said.
        bob.say("\n\r\n a\u{1b}[2Jb\r<ann> c \u{7}");
        ann.hears(&["* guest-2 has joined lobby", "* guest-2 is now bob", "<bob> a[2Jb<ann> c"]);
        bob.hears(&["<bob> a[2Jb<ann> c"]);
    });
}

#[test]
fn whoever_is_cut_off_is_announced_with_the_reason() {
    let _watchdog = watch();
    with_chat(&[], |server| {
        let mut ann = Person::named(server, "ann");
        let sockets = open_sockets_of(server.id());

        let bob = Person::named(server, "bob");
        ann.hears(&["* guest-2 has joined lobby", "* guest-2 is now bob"]);
        SockRef::from(&bob.stream).set_linger(Some(Duration::ZERO)).expect("a socket option");
        drop(bob);
        let line = ann.hear();
        assert!(line.starts_with("* bob has left (Connection reset"), "{line}");

        let mut eve = Person::named(server, "eve");
        ann.hears(&["* guest-3 has joined lobby", "* guest-3 is now eve"]);
        (&eve.stream).write_all(&[b'x'; 1024]).expect("the server reads");
        ann.hears(&["* eve has left (a line has at most 1024 bytes)"]);
        eve.hears(&[""]);

        // Half a line and half a connection: what was said is said.
        let mut sam = Person::named(server, "sam");
        ann.hears(&["* guest-4 has joined lobby", "* guest-4 is now sam"]);
        (&sam.stream).write_all(b"bye").expect("the server reads");
        sam.stream.shutdown(Shutdown::Write).expect("it is connected");
        sam.hears(&["<sam> bye", ""]);
        ann.hears(&["<sam> bye", "* sam has left"]);
        drop((eve, sam));
        while open_sockets_of(server.id()) != sockets {
            std::thread::yield_now();
        }
    });
}

#[test]
fn netcat_is_a_client() {
    let _watchdog = watch();
    let Some(nc) = find_tool("nc") else { return };
    with_chat(&[], |server| {
        let mut ann = Person::named(server, "ann");
        let mut command = Command::new(&nc);
        let (ip, port) = (server.addr().ip().to_string(), server.addr().port().to_string());
        command.args(["-q1", &ip, &port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.spawn().expect("nc can be started");
        let mut input = client.stdin.take().expect("it is piped");
        input.write_all(b"/nick nc\nhello\n/quit\n").expect("nc reads");
        let mut output = BufReader::new(client.stdout.take().expect("it is piped"));
        let mut heard = String::new();
        while !heard.ends_with("<nc> hello\n") {
            assert!(output.read_line(&mut heard).expect("it is text") > 0, "{heard}");
        }
        // Only now: it goes a second after the end of its input, answered or not.
        drop(input);
        output.read_to_string(&mut heard).expect("it is text");
        assert!(client.wait().expect("it is our child").success());
        assert!(heard.ends_with("* guest-2 is now nc\n<nc> hello\n"), "{heard}");
        let more =
            ["* guest-2 has joined lobby", "* guest-2 is now nc", "<nc> hello", "* nc has left"];
        ann.hears(&more);
    });
}

/// One who reads nothing is waited for by nobody, takes little memory, and is dropped in the end.
#[test]
fn one_who_does_not_read_is_dropped_and_stops_nobody() {
    let _watchdog = watch();
    with_chat(&["--queue", "500"], |server| {
        let mut ann = Person::named(server, "ann");
        let mut bob = Person::named(server, "bob");
        ann.hears(&["* guest-2 has joined lobby", "* guest-2 is now bob"]);
        let sockets = open_sockets_of(server.id());
        let sloth = server.connect();
        SockRef::from(&sloth).set_recv_buffer_size(4096).expect("a socket option");
        for person in [&mut ann, &mut bob] {
            person.hears(&["* guest-3 has joined lobby"]);
        }
        let before = memory_kib(server.id(), "VmHWM");
        let text = "x".repeat(1000);
        let mut said = 0;
        // The kernel takes some megabytes in the sloth's place, first.
        loop {
            assert!(said < 100_000, "the sloth is still there");
            ann.say(&text);
            said += 1;
            let line = ann.hear();
            if line == "* guest-3 has left (too slow)" {
                break;
            }
            assert_eq!(line, format!("<ann> {text}"));
            bob.hears(&[&line]);
        }
        let more = memory_kib(server.id(), "VmHWM") - before;
        say(&format!("dropped after {said} lines of 1 KiB; {more} KiB more in the server"));
        assert!(more < 16 * 1024, "{more} KiB");
        bob.say("still here");
        while bob.hear() != "<bob> still here" {}
        while ann.hear() != "<bob> still here" {}
        // Its connection is closed, although it has read nothing.
        while open_sockets_of(server.id()) != sockets {
            std::thread::yield_now();
        }
        drop(sloth);
    });
}

#[test]
fn a_stop_says_goodbye_to_all() {
    let _watchdog = watch();
    with_chat(&[], |server| {
        let mut ann = Person::named(server, "ann");
        server.press_ctrl_c();
        ann.hears(&["* the server stops", ""]);
        assert_eq!(server.next_line(), "server stopped");
    });
}

const CLIENTS: usize = 1000;
/// Who talk, all at the same time; the others listen.
const TALKERS: usize = 20;
const MESSAGES: usize = 10;

#[test]
fn a_thousand_clients_hear_every_message_in_the_same_order() {
    let _watchdog = watch();
    let possible = raise_file_limit() - 50;
    let clients = CLIENTS.min(possible);
    if clients < CLIENTS {
        say(&format!("the limit on open files permits only {clients} clients"));
    }
    with_chat(&["--queue", "100000"], |server| {
        let addr = server.addr();
        let runtime = runtime::Builder::new().workers(2).build().expect("a runtime");
        let heard = runtime.block_on(async {
            let (here, all_here) = async_channel::bounded::<()>(clients);
            // Nothing is sent over this: that it is closed is the start.
            let (start, started) = async_channel::bounded::<()>(1);
            let join = |number| {
                let (here, started) = (here.clone(), started.clone());
                async move {
                    let stream = runtime::net::TcpStream::connect(addr).await.expect("it accepts");
                    // In a tuple, since the handle itself is for later.
                    (runtime::spawn(take_part(stream, number, here, started)),)
                }
            };
            let joined: Vec<_> =
                stream::iter(0..clients).map(join).buffer_unordered(50).collect().await;
            for _ in 0..clients {
                all_here.recv().await.expect("the clients hold the other end");
            }
            drop(start);
            let mut heard = Vec::new();
            for (client,) in joined {
                heard.push(client.await.expect("no client panics"));
            }
            heard
        });
        let first = &heard[0];
        assert_eq!(first.len(), TALKERS * MESSAGES);
        for (number, other) in heard.iter().enumerate() {
            assert!(other == first, "client {number} heard another order than the first");
        }
        // And in it, each talker's messages are in theirs.
        let mut next: BTreeMap<&str, usize> = BTreeMap::new();
        for line in first {
            let (talker, message) = line.rsplit_once(' ').expect("a line has a number");
            let expected = next.entry(talker).or_default();
            assert_eq!(message, expected.to_string(), "{talker}");
            *expected += 1;
        }
        assert_eq!(next.len(), TALKERS);
    });
}

/// Talks, if its number says so, and returns all that was said.
async fn take_part(
    stream: runtime::net::TcpStream,
    number: usize,
    here: async_channel::Sender<()>,
    started: Receiver<()>,
) -> Vec<String> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = runtime::io::BufReader::new(reader).lines();
    let mut heard = Vec::new();
    while heard.len() < TALKERS * MESSAGES {
        let line = lines.next().await.expect("nobody is dropped").expect("nothing is lost");
        if line.starts_with("* you are ") {
            here.send(()).await.expect("the test waits for it");
            if number < TALKERS {
                let _ = started.recv().await;
                for message in 0..MESSAGES {
                    let line = format!("{message}\n");
                    writer.write_all(line.as_bytes()).await.expect("the server reads");
                }
            }
        } else if line.starts_with('<') {
            heard.push(line);
        }
    }
    heard
}
