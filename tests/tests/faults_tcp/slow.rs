//! Peers that are slow: one byte at a time, hardly reading, or stopped.

use std::future::{Future, poll_fn};
use std::io::{Read, Write, stdin};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::net::{TcpSocket, TcpStream};
use runtime::time::sleep;
use rustix::process::Signal;
use socket2::{Domain, Socket, Type};
use windlass_tests::{Scene, scene};

use super::bytes::{Random, assert_bytes, bytes};
use super::{Bystander, in_both_modes, pair, stays_calm};

/// Takes what comes over each of its connections, stream 0 from its beginning, until the input is
/// closed; says how much that was once a connection has ended.
pub(crate) fn sink() {
    // Of all addresses, since it may stand at the far end of a cable.
    let listener = listener("0.0.0.0:0", 65_536);
    println!("-port {}", listener.local_addr().expect("it is bound").port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.expect("one connects");
            thread::spawn(move || take_all(stream));
        }
    });
    let mut line = String::new();
    stdin().read_line(&mut line).expect("the input is a pipe");
}

/// A listener whose connections hold about so many bytes that were not read.
fn listener(addr: &str, room: usize) -> TcpListener {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the system has sockets");
    socket.set_recv_buffer_size(room).expect("a socket option");
    let addr: SocketAddr = addr.parse().expect("it is an address");
    socket.bind(&addr.into()).expect("there are ports");
    socket.listen(8).expect("it is bound");
    socket.into()
}

fn take_all(mut stream: std::net::TcpStream) {
    let mut received = 0;
    let mut buf = vec![0; 65_536];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return println!("-received {received}"),
            Ok(read) => {
                assert_bytes(0, received, &buf[..read]);
                received += read;
            }
            Err(error) => return println!("-lost after {received}: {error}"),
        }
    }
}

/// How far one has come who sends.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) sent: AtomicUsize,
    waits: AtomicBool,
}

/// Waits until one who has sent something waits, and has not gone on for a while.
pub(crate) async fn until_stalled(progress: &Progress) {
    let mut seen = 0;
    loop {
        let now = progress.sent.load(Ordering::Relaxed);
        if now > 0 && now == seen && progress.waits.load(Ordering::Relaxed) {
            return;
        }
        seen = now;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends stream 0 and ends it.
pub(crate) async fn send_all(mut stream: TcpStream, length: usize, progress: &Progress) {
    const PIECE: usize = 8192;
    for from in (0..length).step_by(PIECE) {
        let piece = bytes(0, from, PIECE.min(length - from));
        let mut write = pin!(stream.write_all(&piece));
        let written = poll_fn(|cx| {
            let poll = write.as_mut().poll(cx);
            progress.waits.store(poll.is_pending(), Ordering::Relaxed);
            poll
        });
        written.await.expect("the connection lives");
        progress.sent.fetch_add(piece.len(), Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Write).expect("it is connected");
    assert_eq!(stream.read(&mut [0]).await.expect("no error"), 0, "the sink says nothing");
}

#[test]
fn single_bytes_arrive_in_order_in_both_directions() {
    const LENGTH: usize = 2000;
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let one = |id: u64| async move {
                let (stream, peer) = pair().await;
                peer.set_nodelay(true).expect("a socket option");
                stream.set_nodelay(true).expect("a socket option");
                let mut sends = peer.try_clone().expect("there are files");
                let sender = thread::spawn(move || {
                    for byte in bytes(id, 0, LENGTH) {
                        sends.write_all(&[byte]).expect("it is connected");
                    }
                    sends.shutdown(Shutdown::Write).expect("it is connected");
                });
                let receiver = thread::spawn(move || {
                    let mut back = Vec::new();
                    (&peer).read_to_end(&mut back).expect("it is closed, and not reset");
                    assert_eq!(back.len(), LENGTH);
                    assert_bytes(!id, 0, &back);
                });
                let (mut reader, mut writer) = stream.into_split();
                let reads = runtime::spawn(async move {
                    let mut random = Random::new(id);
                    let mut received = 0;
                    loop {
                        let mut buf = vec![0; random.between(1, 9)];
                        match reader.read(&mut buf).await.expect("no error") {
                            0 => return assert_eq!(received, LENGTH),
                            read => {
                                assert_bytes(id, received, &buf[..read]);
                                received += read;
                            }
                        }
                    }
                });
                let writes = runtime::spawn(async move {
                    for byte in bytes(!id, 0, LENGTH) {
                        writer.write_all(&[byte]).await.expect("it is connected");
                    }
                    // The end comes when both halves are gone.
                });
                reads.await.expect("no panic");
                writes.await.expect("no panic");
                sender.join().expect("no panic");
                receiver.join().expect("no panic");
            };
            join_all((0..10).map(one)).await;
        });
    });
}

/// Small buffers make for writes that are taken in part, which strace cannot: it would only say so.
#[test]
fn writes_that_a_slow_reader_takes_in_parts_lose_and_double_nothing() {
    const LENGTH: usize = 400_000;
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let listener = listener("127.0.0.1:0", 4096);
            let addr = listener.local_addr().expect("it is bound");
            let socket = TcpSocket::new_v4().expect("the system has sockets");
            socket.set_send_buffer_size(4096).expect("a socket option");
            let mut stream = socket.connect(addr).await.expect("it listens");
            let (mut peer, _) = listener.accept().expect("one has connected");

            let (go, may_go) = mpsc::channel::<()>();
            let reader = thread::spawn(move || {
                let mut random = Random::new(0x510);
                let _ = may_go.recv();
                let mut received = 0;
                loop {
                    let mut buf = vec![0; random.between(1, 2000)];
                    match peer.read(&mut buf).expect("no error") {
                        0 => return received,
                        read => {
                            assert_bytes(9, received, &buf[..read]);
                            received += read;
                        }
                    }
                    thread::yield_now();
                }
            });
            // It takes its time, which is not to be counted below.
            let all = bytes(9, 0, LENGTH);
            let writer = runtime::spawn(async move {
                let (mut written, mut in_parts) = (0, 0);
                while written < LENGTH {
                    let wanted = 50_000.min(LENGTH - written);
                    let piece = &all[written..written + wanted];
                    let taken = stream.write(piece).await.expect("it is connected");
                    in_parts += usize::from(taken < wanted);
                    written += taken;
                }
                in_parts
            });
            stays_calm().await;
            assert!(!writer.is_finished(), "nobody has read");
            drop(go);
            let in_parts = writer.await.expect("no panic");
            assert!(in_parts > 8, "{in_parts} writes were taken in part");
            assert_eq!(reader.join().expect("no panic"), LENGTH);
        });
    });
}

/// Each of them has had its event, and taken exactly what there was: the next attempt must end the
/// readiness, or it is made again and again.
#[test]
fn those_who_wait_for_a_second_byte_or_a_second_connection_are_calm() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let (told, is_told) = async_channel::unbounded();
            let accepts = runtime::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let addr = accepts.local_addr().expect("it is bound");
            let tell = told.clone();
            let accepting = runtime::spawn(async move {
                loop {
                    let (stream, _) = accepts.accept().await.expect("there are files");
                    tell.send(Some(stream)).await.expect("the test waits");
                }
            });
            let (mut stream, mut peer) = pair().await;
            let reading = runtime::spawn(async move {
                loop {
                    stream.read_exact(&mut [0; 4]).await.expect("it is connected");
                    told.send(None).await.expect("the test waits");
                }
            });
            // Twice, since the first time they may not have waited for an event.
            let mut kept = Vec::new();
            for _ in 0..2 {
                kept.push(std::net::TcpStream::connect(addr).expect("it listens"));
                peer.write_all(&[0; 4]).expect("it is connected");
                for _ in 0..2 {
                    let accepted = is_told.recv().await.expect("one is accepted or read");
                    drop(accepted);
                }
                stays_calm().await;
            }
            for task in [accepting, reading] {
                task.abort();
                assert!(task.await.expect_err("it waits for ever").is_cancelled());
            }
        });
    });
}

/// More than the two kernels' buffers take, so that the writer has to wait.
const MUCH: usize = 8 << 20;

#[test]
fn a_stopped_peer_holds_up_its_own_connection_alone_and_gets_all_when_it_goes_on() {
    in_both_modes(|runtime| {
        let mut sink = Scene::start(scene("sink", runtime.handle().scheduler()));
        let port: u16 = sink.wait_for("-port ").parse().expect("it is a port");
        sink.signal(Signal::STOP);
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            // Its kernel answers in its place.
            let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("it listens");
            let progress = Arc::new(Progress::default());
            let counter = progress.clone();
            let sending = runtime::spawn(async move { send_all(stream, MUCH, &counter).await });
            until_stalled(&progress).await;
            stays_calm().await;
            bystander.is_served().await;
            assert!(!sending.is_finished());
            sink.signal(Signal::CONT);
            sending.await.expect("no panic");
            bystander.is_served().await;
        });
        assert_eq!(sink.wait_for("-received "), MUCH.to_string());
        sink.end();
    });
}
