//! The examples for who comes from another system do what the original does: each is run beside its
//! twin in C, Python or JavaScript, where that can be run here.
//!
//! A test asks for its example before it is watched, because that may compile it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use windlass_tests::{Server, c_program, example, find_tool, watch};

fn twin(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/coming_from").join(name)
}

fn compiled(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("coming_from");
    c_program(&twin(&format!("{name}.c")), &folder, name, &[])
}

/// What a program prints that ends by itself.
#[track_caller]
fn printed(mut command: Command) -> String {
    let output = command.output().expect("the program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}, {errors}", output.status);
    String::from_utf8(output.stdout).expect("it prints text")
}

const TIMER_QUEUE: &str = "\
0 s: three events are queued
2 s: the first event
4 s: the second event
4 s: the queue is empty
";

/// The lines without the times.
fn whats(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| Some(line.split_once(": ")?.1)).collect()
}

#[test]
fn the_timer_queue_fires_in_order_and_on_time() {
    let mut ours = example("timer_queue");
    let _watchdog = watch();
    // The clock is paused: exact on any machine, and at once.
    ours.arg("--paused");
    assert_eq!(printed(ours), TIMER_QUEUE);
}

#[test]
fn the_timer_queue_keeps_real_time_too() {
    let ours = example("timer_queue");
    let _watchdog = watch();
    let ours = printed(ours);
    assert_eq!(whats(&ours), whats(TIMER_QUEUE));
    // Late as the machine is, but never early.
    for (line, due) in ours.lines().zip([0, 2, 4, 4]) {
        let seconds = line.split_once(' ').and_then(|(seconds, _)| seconds.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds >= due), "{line:?} is early");
    }
}

#[test]
fn the_timer_queue_in_c_prints_the_same() {
    let _watchdog = watch();
    let Some(program) = compiled("timer_queue") else { return };
    let mut theirs = Command::new(program);
    // Its seconds have 100 ms, so the seconds that it prints may be off on a busy machine.
    theirs.arg("100");
    assert_eq!(whats(&printed(theirs)), whats(TIMER_QUEUE));
}

/// What the two tours print until they listen.
const ASYNCIO_TOUR: &str = "\
create_task: it has not begun
create_task: the task runs
create_task: its result
sleep: awake
gather: second, first, third
as_completed: first
as_completed: second
as_completed: third
wait_for: gave up
wait_for: in time
cancel: the task waits
cancel: the task tidies up
cancel: the task was cancelled
to_thread: 500500
";

/// Runs a tour: reads to the line that says where it listens, talks to it, presses Ctrl-C.
#[track_caller]
fn tour(mut command: Command) -> String {
    let mut process = command.stdout(Stdio::piped()).spawn().expect("the tour can be started");
    let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
    let mut text = String::new();
    let addr = loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).expect("it prints text") > 0, "it ended after {text}");
        match line.strip_prefix("listening on ") {
            Some(addr) => break addr.trim_end().to_owned(),
            None => text += &line,
        }
    };

    let mut client = TcpStream::connect(addr).expect("it listens");
    client.write_all(b"hello").expect("it reads");
    client.shutdown(Shutdown::Write).expect("it is connected");
    let mut echo = String::new();
    client.read_to_string(&mut echo).expect("it answers");
    assert_eq!(echo, "hello");
    output.read_line(&mut text).expect("it prints text");
    kill_process(Pid::from_child(&process), Signal::INT).expect("it runs");
    output.read_to_string(&mut text).expect("it prints text");
    assert!(process.wait().expect("it is our child").success());
    text
}

#[test]
fn the_asyncio_tour_prints_what_python_prints() {
    let ours = example("asyncio_tour");
    let _watchdog = watch();
    let expected = format!("{ASYNCIO_TOUR}a client left\ninterrupted\n");
    assert_eq!(tour(ours), expected);
    let Some(python) = find_tool("python3") else { return };
    let mut theirs = Command::new(python);
    theirs.arg("-u").arg(twin("asyncio_tour.py"));
    assert_eq!(tour(theirs), expected);
}

const NODE_ORDER: &str = "\
phases: the file is read
phases: all are queued
phases: next tick
phases: promise
phases: immediate
phases: timer
queues: promise, queued first
queues: next tick, queued second
call: the caller goes on
call: it begins
call: it goes on
chain: the timer of 5 ms
chain: its end after 20 steps of 1 ms
pool: four calls are stuck
pool: a fifth is answered
pool: the four are let go
";

/// The same five questions, and Node's answers: the first as ours, the others as the page says.
const ORDER_IN_NODE: &str = "\
phases: the file is read
phases: all are queued
phases: next tick
phases: promise
phases: immediate
phases: timer
queues: next tick, queued second
queues: promise, queued first
call: it begins
call: the caller goes on
call: it goes on
chain: its end after 20 steps of 1 ms
chain: the timer of 5 ms
pool: four calls are stuck
pool: the four are let go
pool: a fifth is answered
";

#[test]
fn the_order_of_events_is_as_told() {
    let ours = example("node_order");
    let _watchdog = watch();
    assert_eq!(printed(ours), NODE_ORDER);
}

#[test]
fn the_order_of_events_in_node_is_as_told() {
    let _watchdog = watch();
    let Some(node) = find_tool("node") else { return };
    let mut theirs = Command::new(node);
    // Whatever the environment says, the pool has the four threads that it has by default.
    theirs.arg(twin("node_order.js")).env_remove("UV_THREADPOOL_SIZE");
    assert_eq!(printed(theirs), ORDER_IN_NODE);
}

/// Sends what the five kinds of waiting wait for; what is printed, sorted.
#[track_caller]
fn five_events(command: Command) -> Vec<String> {
    let mut server = Server::start(command);
    let mut lines: Vec<_> = (0..3).map(|_| server.next_line()).collect();
    match find_tool("nc") {
        Some(nc) => {
            let mut client = Command::new(nc);
            client.args(["-q1", "127.0.0.1", &server.addr().port().to_string()]);
            let mut client = client.stdin(Stdio::piped()).spawn().expect("nc can be started");
            // The end of what it is to send comes when this is dropped.
            let mut input = client.stdin.take().expect("it is piped");
            input.write_all(b"hello").expect("nc reads");
            drop(input);
            lines.push(server.next_line());
            assert!(client.wait().expect("it is our child").success());
        }
        None => {
            server.connect().write_all(b"hello").expect("it reads");
            lines.push(server.next_line());
        }
    }
    let id = Pid::from_raw(server.id().try_into().expect("a number of a process"));
    kill_process(id.expect("it is not 0"), Signal::USR1).expect("it runs");
    lines.push(server.next_line());
    assert_eq!(lines[3], "socket: \"hello\"");
    assert_eq!(lines[4], "signal: SIGUSR1");
    let (status, rest) = server.wait();
    assert!(status.success(), "{status}");
    assert_eq!(rest, "");
    lines[..3].sort();
    lines
}

#[test]
fn one_select_waits_for_five_kinds_of_events() {
    let mut ours = example("one_select");
    let _watchdog = watch();
    let file = twin("one_select.c");
    let bytes = file.metadata().expect("it is in the source tree").len();
    let expected = [
        "child: \"hello\\n\", exit status: 0".to_owned(),
        format!("file: {bytes} bytes"),
        "timer: 50 ms are over".to_owned(),
        "socket: \"hello\"".to_owned(),
        "signal: SIGUSR1".to_owned(),
    ];
    ours.arg(&file).arg("127.0.0.1:0");
    assert_eq!(five_events(ours), expected);
    if let Some(program) = compiled("one_select") {
        let mut theirs = Command::new(program);
        theirs.arg(&file);
        assert_eq!(five_events(theirs), expected);
    }
}

#[test]
fn one_select_says_what_it_cannot_read() {
    let mut ours = example("one_select");
    let _watchdog = watch();
    ours.args(["/nobody/has/this", "127.0.0.1:0"]);
    let output = ours.output().expect("it can be started");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("/nobody/has/this"), "{errors}");
}
