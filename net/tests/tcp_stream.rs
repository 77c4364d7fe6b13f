//! `TcpStream`: reading, writing, and the ways in which connections end.

mod support;

use futures_util::future::join;
use net::{Driver, Interest, TcpListener, TcpSocket, TcpStream};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::os::fd::AsFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use support::{
    Count, a_long_stream_arrives, driver, poll, poll_now, run, settle, turn_until, watchdog,
};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

/// A connection, whose peer is a blocking socket of the standard library.
async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind(LOOPBACK).expect("the loopback has ports");
    let addr = listener.local_addr().expect("it is bound");
    let stream = TcpStream::connect(addr).await.expect("it listens");
    (stream, listener.accept().expect("it is connected").0)
}

#[test]
fn bytes_go_both_ways() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        stream.write_all(b"ping").await.expect("it is connected");
        stream.flush().await.expect("it does nothing");
        let mut buf = [0; 8];
        assert_eq!(peer.read(&mut buf).expect("it is connected"), 4);
        peer.write_all(b"pong").expect("it is connected");
        assert_eq!(stream.read(&mut buf).await.expect("it is connected"), 4);
        assert_eq!(&buf[..4], b"pong");
        assert_eq!(stream.read(&mut []).await.expect("nothing is asked for"), 0);
        assert_eq!(stream.local_addr().expect("an address"), peer.peer_addr().expect("an address"));
        assert_eq!(stream.peer_addr().expect("an address"), peer.local_addr().expect("an address"));
    });
}

#[test]
fn a_long_stream_arrives_whole_and_in_order() {
    run(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        let addr = listener.local_addr().expect("it is bound");
        let (client, server) = join(TcpStream::connect(addr), listener.accept()).await;
        let (server, _) = server.expect("a connection");
        a_long_stream_arrives(client.expect("it listens"), server).await;
    });
}

/// The read takes exactly what is there, so it proves nothing about the end, which came with the
/// same event: it must not have been forgotten.
#[test]
fn the_end_is_seen_after_reads_of_the_exact_size_and_of_less() {
    let _watchdog = watchdog();
    for size in [1, 3, 4, 5, 64] {
        let driver = driver();
        driver.block_on(async {
            let (mut stream, mut peer) = pair().await;
            assert!(poll_now(&mut pin!(stream.read(&mut [0; 4]))).is_pending());
            peer.write_all(b"data").expect("it is connected");
            drop(peer);
            let mut buf = vec![0; size];
            let mut total = 0;
            loop {
                match stream.read(&mut buf).await.expect("the end is no error") {
                    0 => break,
                    read => total += read,
                }
            }
            assert_eq!(total, 4);
            assert_eq!(stream.read(&mut buf).await.expect("the end stays"), 0);
        });
    }
}

/// A short read clears the readiness: the next attempt makes no system call, and the next byte's
/// event sets it again.
#[test]
fn after_a_short_read_the_next_byte_is_still_seen() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut stream, mut peer) = driver.block_on(pair());
    for _ in 0..100 {
        peer.write_all(b"abc").expect("it is connected");
        let read = driver.block_on(stream.read(&mut [0; 64])).expect("it is connected");
        assert_eq!(read, 3);
        let count = Count::new();
        let mut buf = [0; 64];
        let mut reading = pin!(stream.read(&mut buf));
        assert!(poll(&mut reading, &count).is_pending());
        settle(&driver);
        assert_eq!(count.get(), 0);
        peer.write_all(b"d").expect("it is connected");
        turn_until(&driver, || count.get() > 0);
        assert!(matches!(poll(&mut reading, &count), Poll::Ready(Ok(1))));
    }
}

#[test]
fn half_of_a_connection_can_be_closed() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        peer.shutdown(Shutdown::Write).expect("it is connected");
        assert_eq!(stream.read(&mut [0; 4]).await.expect("the end is no error"), 0);
        stream.write_all(b"late").await.expect("this direction is open");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut text = String::new();
        peer.read_to_string(&mut text).expect("it ends");
        assert_eq!(text, "late");
        let error = stream.write(b"x").await.expect_err("this direction is closed now");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_reset_is_an_error_once_and_then_the_end() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut stream, peer) = driver.block_on(pair());
    assert!(poll_now(&mut pin!(stream.read(&mut [0; 4]))).is_pending());
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(peer);
    driver.block_on(async {
        let ready = stream.ready(Interest::READABLE).await.expect("it is ready");
        assert!(ready.is_readable() && ready.is_read_closed() && ready.is_error());
        let error = stream.read(&mut [0; 4]).await.expect_err("the peer reset it");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.read(&mut [0; 4]).await.expect("nothing more comes"), 0);
        let error = stream.write(b"x").await.expect_err("nobody would read it");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        stream.peer_addr().expect_err("it is gone");
    });
}

#[test]
fn a_reset_wakes_readers_and_writers() {
    let _watchdog = watchdog();
    let driver = driver();
    let (stream, peer) = driver.block_on(pair());
    while stream.try_write(&[0; 65_536]).is_ok() {}
    let (reader, writer) = (Count::new(), Count::new());
    let mut readable = pin!(stream.readable());
    let mut writable = pin!(stream.writable());
    assert!(poll(&mut readable, &reader).is_pending());
    assert!(poll(&mut writable, &writer).is_pending());
    settle(&driver);
    assert!(poll(&mut writable, &writer).is_pending());
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("an option");
    drop(peer);
    turn_until(&driver, || reader.get() > 0 && writer.get() > 0);
}

#[test]
fn a_refused_connection_is_the_systems_error() {
    run(async {
        let listener = std::net::TcpListener::bind(LOOPBACK).expect("the loopback has ports");
        let closed = listener.local_addr().expect("it is bound");
        drop(listener);
        let error = TcpStream::connect(closed).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.raw_os_error().is_some());

        let listener = std::net::TcpListener::bind(LOOPBACK).expect("the loopback has ports");
        let open = listener.local_addr().expect("it is bound");
        let stream = TcpStream::connect([closed, open]).await.expect("the second listens");
        assert_eq!(stream.peer_addr().expect("it is connected"), open);
        let error = TcpStream::connect(&[closed; 2][..]).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains(&closed.to_string()), "{error}");
    });
}

/// With its backlog full, a listener leaves connections unanswered.
#[cfg(target_os = "linux")]
#[test]
fn an_unanswered_connection_stays_pending_and_can_be_dropped() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(LOOPBACK.into()).expect("the loopback has ports");
    let listener = socket.listen(0).expect("it is bound");
    let addr = listener.local_addr().expect("it is bound");
    let mut done = Vec::new();
    let mut pending = Vec::new();
    for _ in 0..6 {
        let mut connecting = Box::pin(TcpStream::connect(addr));
        match poll_now(&mut connecting) {
            Poll::Ready(stream) => done.push(stream.expect("there was room")),
            Poll::Pending => pending.push(connecting),
        }
    }
    settle(&driver);
    assert!(!pending.is_empty());
    let count = Count::new();
    let last = pending.last_mut().expect("one is unanswered");
    assert!(poll(last, &count).is_pending());
    assert!(driver.registrations() >= pending.len());
    drop(pending);
    assert_eq!(driver.registrations(), 0);
}

#[test]
fn read_exact_says_how_much_was_missing() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        peer.write_all(b"abcde").expect("it is connected");
        let mut buf = [0; 2];
        stream.read_exact(&mut buf).await.expect("there is enough");
        drop(peer);
        let error = stream.read_exact(&mut [0; 10]).await.expect_err("there is not enough");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("3 of 10 bytes"), "{error}");
        stream.read_exact(&mut []).await.expect("nothing is asked for");
    });
}

#[test]
fn peeking_leaves_the_bytes_and_the_readiness() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        assert!(poll_now(&mut pin!(stream.peek(&mut [0; 64]))).is_pending());
        peer.write_all(b"abc").expect("it is connected");
        let mut buf = [0; 64];
        for _ in 0..3 {
            assert_eq!(stream.peek(&mut buf).await.expect("it is connected"), 3);
        }
        assert_eq!(stream.read(&mut buf).await.expect("it is connected"), 3);
    });
}

#[test]
fn several_buffers_are_one_stream() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        assert_eq!(stream.write_vectored(&bufs).await.expect("it is connected"), 5);
        assert_eq!(stream.try_write_vectored(&bufs).expect("there is room"), 5);
        let mut received = [0; 10];
        peer.read_exact(&mut received).expect("it is connected");
        assert_eq!(&received, b"abcdeabcde");

        peer.write_all(b"12345").expect("it is connected");
        let (mut first, mut second) = ([0; 2], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(stream.read_vectored(&mut bufs).await.expect("it is connected"), 5);
        assert_eq!((&first, &second[..3]), (b"12", &b"345"[..]));
        peer.write_all(b"6").expect("it is connected");
        stream.readable().await.expect("it is connected");
        let mut bufs = [IoSliceMut::new(&mut first)];
        assert_eq!(stream.try_read_vectored(&mut bufs).expect("there is a byte"), 1);
    });
}

/// One call takes 1024 buffers; that it wrote less than all does not mean that there is no room.
#[test]
fn more_buffers_than_one_call_takes_do_not_stop_the_stream() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        let byte = [7_u8];
        let bufs = vec![IoSlice::new(&byte); 3000];
        stream.writable().await.expect("it is connected");
        let mut written = 0;
        while written < 3000 {
            written += stream.write_vectored(&bufs[written..]).await.expect("it is connected");
        }
        let mut received = vec![0; 3000];
        peer.read_exact(&mut received).expect("it is connected");

        peer.write_all(&received).expect("it is connected");
        let mut bytes = vec![[0_u8]; 3000];
        let mut bufs: Vec<_> = bytes.iter_mut().map(|byte| IoSliceMut::new(byte)).collect();
        let mut read = 0;
        while read < 3000 {
            read += stream.read_vectored(&mut bufs[read..]).await.expect("it is connected");
        }
        assert!(bytes.iter().all(|byte| *byte == [7]));
    });
}

#[test]
fn attempts_do_not_wait() {
    run(async {
        let (stream, mut peer) = pair().await;
        let mut buf = [0; 8];
        assert_eq!(stream.try_read(&mut buf).expect_err("nothing").kind(), ErrorKind::WouldBlock);
        peer.write_all(b"abc").expect("it is connected");
        stream.readable().await.expect("it is connected");
        assert_eq!(stream.try_read(&mut buf).expect("there is something"), 3);
        assert_eq!(stream.try_read(&mut buf).expect_err("nothing").kind(), ErrorKind::WouldBlock);
        let mut written = 0;
        let error = loop {
            match stream.try_write(&[1; 10_000]) {
                Ok(more) => written += more,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        let mut received = vec![0; written];
        peer.read_exact(&mut received).expect("it is connected");
        stream.writable().await.expect("there is room again");
        assert_eq!(stream.try_write(b"x").expect("there is room"), 1);
        let taken = stream.try_io(Interest::WRITABLE, || Ok(5)).expect("it is ready");
        assert_eq!(taken, 5);
    });
}

#[test]
fn a_dropped_read_loses_nothing() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut stream, mut peer) = driver.block_on(pair());
    let count = Count::new();
    {
        let mut buf = [0; 8];
        let mut reading = pin!(stream.read(&mut buf));
        assert!(poll(&mut reading, &count).is_pending());
        peer.write_all(b"abc").expect("it is connected");
        turn_until(&driver, || count.get() > 0);
    }
    assert_eq!(driver.block_on(stream.read(&mut [0; 8])).expect("they are there"), 3);
}

#[test]
fn options_can_be_set_and_read() {
    run(async {
        let (stream, _peer) = pair().await;
        assert!(!stream.nodelay().expect("it can be asked"));
        stream.set_nodelay(true).expect("an option");
        assert!(stream.nodelay().expect("it can be asked"));
        stream.set_ttl(33).expect("an option");
        assert_eq!(stream.ttl().expect("it can be asked"), 33);
        assert_eq!(stream.linger().expect("it can be asked"), None);
        stream.set_linger(Some(Duration::from_secs(2))).expect("an option");
        assert_eq!(stream.linger().expect("it can be asked"), Some(Duration::from_secs(2)));
        stream.set_linger(None).expect("an option");
        assert_eq!(stream.keepalive().expect("it can be asked"), None);
        stream.set_keepalive(Some(Duration::from_secs(90))).expect("an option");
        assert_eq!(stream.keepalive().expect("it can be asked"), Some(Duration::from_secs(90)));
        assert!(stream.take_error().expect("it can be asked").is_none());
        assert!(format!("{stream:?}").contains("TcpStream"));
    });
}

#[test]
fn a_stream_of_the_standard_library_must_not_block() {
    run(async {
        let (stream, mut peer) = pair().await;
        let back = stream.into_std().expect("it is a stream");
        back.set_nonblocking(false).expect("it is a socket");
        let clone = back.try_clone().expect("a second descriptor");
        let error = TcpStream::from_std(back).expect_err("it would block a thread");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("set_nonblocking(true)"), "{error}");
        clone.set_nonblocking(true).expect("it is a socket");
        let mut stream = TcpStream::from_std(clone).expect("it does not block now");
        peer.write_all(b"x").expect("it is connected");
        assert_eq!(stream.read(&mut [0; 4]).await.expect("it is connected"), 1);
    });
}

#[test]
fn a_socket_made_elsewhere_can_be_connected() {
    run(async {
        let listener = std::net::TcpListener::bind(LOOPBACK).expect("the loopback has ports");
        let raw = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = TcpSocket::from_std(raw.expect("a socket").into()).expect("it is a socket");
        let addr: SocketAddr = listener.local_addr().expect("it is bound");
        let stream = socket.connect(addr).await.expect("it listens");
        assert_eq!(stream.peer_addr().expect("it is connected"), addr);
    });
}

/// Neither the runtime nor what it depends on has these options, so another program sets them on the
/// socket, which is its standard input.
#[cfg(target_os = "linux")]
fn set_fast_open(socket: &TcpSocket) -> bool {
    const SCRIPT: &str = "my ($FASTOPEN_CONNECT, $FASTOPEN_NO_COOKIE) = (30, 34);
        for ($FASTOPEN_CONNECT, $FASTOPEN_NO_COOKIE) {
            setsockopt(STDIN, 6, $_, pack('i', 1)) or die $!;
        }";
    let shared = socket.as_fd().try_clone_to_owned().expect("a descriptor");
    let perl = std::process::Command::new("perl").args(["-e", SCRIPT]).stdin(shared).status();
    perl.is_ok_and(|status| status.success())
        && std::fs::read_to_string("/proc/sys/net/ipv4/tcp_fastopen")
            .is_ok_and(|flags| flags.trim().parse::<u32>().is_ok_and(|flags| flags & 1 != 0))
}

/// With TCP Fast Open the connection is made by the first write.
#[cfg(target_os = "linux")]
#[test]
fn a_connection_that_the_first_write_makes_is_not_waited_for() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    if !set_fast_open(&socket) {
        let skipped = "skipped what needs `perl` and TCP Fast Open, which this machine has not";
        writeln!(std::io::stderr(), "{skipped}").expect("somebody reads");
        return;
    }
    let listener = std::net::TcpListener::bind(LOOPBACK).expect("the loopback has ports");
    let addr = listener.local_addr().expect("it is bound");
    let connected = poll_now(&mut pin!(socket.connect(addr)));
    let Poll::Ready(Ok(mut stream)) = connected else { panic!("{connected:?}") };
    driver.block_on(async {
        stream.write_all(b"hello").await.expect("it listens");
        let (mut peer, _) = listener.accept().expect("it is connected");
        let mut buf = [0; 8];
        assert_eq!(peer.read(&mut buf).expect("it is connected"), 5);
        peer.write_all(b"ACK").expect("it is connected");
        assert_eq!(stream.read(&mut buf).await.expect("it is connected"), 3);
    });
}

/// Many connections, few bytes: the wake-ups of one must not be taken for those of another.
#[test]
fn a_hundred_connections_echo_at_once() {
    let _watchdog = watchdog();
    let driver: Driver = driver();
    driver.block_on(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        let addr = listener.local_addr().expect("it is bound");
        let conversations = (0..100_u8).map(|number| async move {
            let mut stream = TcpStream::connect(addr).await.expect("it listens");
            for round in 0..50 {
                let sent = [number, round];
                stream.write_all(&sent).await.expect("it is connected");
                let mut received = [0; 2];
                stream.read_exact(&mut received).await.expect("it is connected");
                assert_eq!(received, sent);
            }
        });
        let clients = futures_util::future::join_all(conversations);
        let servers = futures_util::future::join_all((0..100).map(|_| async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buf = [0; 64];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..read]).await.expect("it is connected");
            }
        }));
        join(clients, servers).await;
    });
}
