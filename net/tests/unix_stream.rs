//! `UnixListener` and `UnixStream`: what differs from TCP, and that the rest does not.

mod support;

use futures_util::future::{join, join_all};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use net::{Interest, UnixListener, UnixStream};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use support::{
    Count, TempPath, a_long_stream_arrives, driver, poll, poll_now, run, settle, turn_until,
    watchdog,
};

/// A stream, and its peer, which is a blocking one of the standard library.
fn pair() -> (UnixStream, std::os::unix::net::UnixStream) {
    let (own, peer) = std::os::unix::net::UnixStream::pair().expect("a pair of sockets");
    own.set_nonblocking(true).expect("it is a socket");
    (UnixStream::from_std(own).expect("it does not block"), peer)
}

#[test]
fn a_client_finds_the_listener_by_its_path() {
    run(async {
        let path = TempPath::new("sock");
        let listener = UnixListener::bind(&path).expect("the path is free");
        let addr = listener.local_addr().expect("it is bound");
        assert_eq!(addr.as_pathname(), Some(path.as_ref()));
        let (client, server) = join(UnixStream::connect(&path), listener.accept()).await;
        let mut client = client.expect("it listens");
        let (mut server, peer) = server.expect("a connection");
        assert!(peer.is_unnamed());
        assert_eq!(client.peer_addr().expect("it is connected").as_pathname(), Some(path.as_ref()));
        assert!(client.local_addr().expect("it can be asked").is_unnamed());

        client.write_all(b"ping").await.expect("it is connected");
        let mut buf = [0; 4];
        server.read_exact(&mut buf).await.expect("it is connected");
        server.write_all(b"pong").await.expect("it is connected");
        client.read_exact(&mut buf).await.expect("it is connected");
        assert_eq!(&buf, b"pong");
        drop(server);
        assert_eq!(client.read(&mut buf).await.expect("the end is no error"), 0);
        let error = client.write(b"x").await.expect_err("nobody reads");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_need_no_file() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    run(async {
        // One with a NUL byte inside, which is a byte like any other.
        let name = format!("windlass-net-{}\0x", std::process::id());
        let listener = UnixListener::bind(format!("\0{name}")).expect("the name is free");
        let addr = SocketAddr::from_abstract_name(&name).expect("it is short enough");
        let bound = listener.local_addr().expect("it is bound");
        assert_eq!(bound.as_abstract_name(), Some(name.as_bytes()));

        let by_addr = UnixStream::connect_addr(&addr).await.expect("it listens");
        let by_path = UnixStream::connect(format!("\0{name}")).await.expect("it listens");
        for stream in [by_addr, by_path] {
            let peer = stream.peer_addr().expect("it is connected");
            assert_eq!(peer.as_abstract_name(), Some(name.as_bytes()));
        }
        let error = UnixListener::bind_addr(&addr).expect_err("it is in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        drop(listener);
        UnixListener::bind_addr(&addr).expect("the name went with its listener");
    });
}

#[test]
fn the_peer_has_credentials() {
    run(async {
        let (left, right) = UnixStream::pair().expect("a pair of sockets");
        let cred = left.peer_cred().expect("the system tells it");
        assert_eq!(cred.uid(), rustix::process::geteuid().as_raw());
        assert_eq!(cred.gid(), rustix::process::getegid().as_raw());
        #[cfg(target_os = "linux")]
        assert_eq!(cred.pid(), i32::try_from(std::process::id()).ok());
        assert_eq!(right.peer_cred().expect("the system tells it"), cred);

        let path = TempPath::new("sock");
        let listener = UnixListener::bind(&path).expect("the path is free");
        let client = UnixStream::connect(&path).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("a connection");
        assert_eq!(client.peer_cred().expect("the system tells it"), cred);
        assert_eq!(server.peer_cred().expect("the system tells it"), cred);
    });
}

/// A socket without a peer has none to tell of; Linux answers with process 0, as it does for a peer
/// outside of the PID namespace.
#[cfg(target_os = "linux")]
#[test]
fn an_unknown_process_is_no_error() {
    run(async {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_nonblocking(true).expect("it is a socket");
        let stream = UnixStream::from_std(std::os::fd::OwnedFd::from(socket).into());
        let cred = stream.expect("it does not block").peer_cred().expect("the system answers");
        assert_eq!(cred.pid(), None);
    });
}

#[test]
fn what_cannot_be_connected_to_is_the_systems_error() {
    run(async {
        let path = TempPath::new("sock");
        let error = UnixStream::connect(&path).await.expect_err("there is no file");
        assert_eq!(error.kind(), ErrorKind::NotFound);

        drop(UnixListener::bind(&path).expect("the path is free"));
        let error = UnixStream::connect(&path).await.expect_err("nobody listens any more");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert_eq!(
            text,
            format!("cannot connect to {:?}: Connection refused (os error 111)", path.as_ref())
        );
        let error = UnixListener::bind(&path).expect_err("the stale file is there");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&format!("{:?}", path.as_ref())), "{error}");
        let source = error.get_ref().and_then(std::error::Error::source).expect("the system's");
        let source = source.downcast_ref::<std::io::Error>().expect("the system's");
        assert_eq!(source.kind(), ErrorKind::AddrInUse);
        std::fs::remove_file(&path).expect("the stale file is there");
        UnixListener::bind(&path).expect("the path is free again");

        let error = UnixListener::bind("/nowhere/at/all.sock").expect_err("there is no folder");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn too_long_a_path_is_an_error_that_names_it_and_the_limit() {
    run(async {
        let long = Path::new("/tmp").join("x".repeat(200));
        let errors = [
            UnixListener::bind(&long).expect_err("it is too long"),
            UnixStream::connect(&long).await.expect_err("it is too long"),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let message = error.to_string();
            assert!(message.contains("/tmp/xxx") && message.contains("205 bytes"), "{message}");
        }
        let error = UnixStream::connect("").await.expect_err("it is no path");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

/// The system connects at once or not at all; it announces no room.
#[cfg(target_os = "linux")]
#[test]
fn a_full_queue_of_connections_is_an_error_and_not_a_hang() {
    run(async {
        let path = TempPath::new("sock");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let addr = socket2::SockAddr::unix(&path).expect("it is short");
        socket.bind(&addr).expect("the path is free");
        socket.listen(0).expect("it is bound");
        let _first = UnixStream::connect(&path).await.expect("there is room for one");
        let error = UnixStream::connect(&path).await.expect_err("there is no room");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn several_tasks_accept_at_once_and_a_dropped_one_loses_nothing() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let path = TempPath::new("sock");
    let listener = UnixListener::bind(&path).expect("the path is free");
    let count = Count::new();
    let mut dropped = Box::pin(listener.accept());
    let mut kept = Box::pin(listener.accept());
    assert!(poll(&mut dropped, &count).is_pending());
    assert!(poll(&mut kept, &count).is_pending());
    let _client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    turn_until(&driver, || count.get() == 2);
    drop(dropped);
    assert!(matches!(poll(&mut kept, &count), Poll::Ready(Ok(_))));

    let clients: Vec<_> = (0..20)
        .map(|_| std::os::unix::net::UnixStream::connect(&path).expect("it listens"))
        .collect();
    driver.block_on(async {
        let mut incoming = listener.incoming();
        for _ in &clients {
            let accepted = incoming.next().await.expect("it never ends");
            accepted.expect("a connection");
        }
    });
    assert!(poll_now(&mut pin!(listener.accept())).is_pending());
}

#[test]
fn a_long_stream_arrives_whole_and_in_order() {
    run(async {
        let (left, right) = UnixStream::pair().expect("a pair of sockets");
        a_long_stream_arrives(left, right).await;
    });
}

/// A read ends with a message that came with a file, and the next message has no event of its own.
#[test]
fn a_message_with_a_file_does_not_hide_the_next_one() {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;

    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (mut stream, mut peer) = pair();
    let count = Count::new();
    let mut buf = [0; 64];
    let mut reading = Box::pin(UnixStream::read(&mut stream, &mut buf));
    assert!(poll(&mut reading, &count).is_pending());
    settle(&driver);

    let file = std::io::stdin();
    let files = [file.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
    let bytes = [IoSlice::new(b"abc")];
    sendmsg(&peer, &bytes, &mut control, SendFlags::empty()).expect("it is connected");
    peer.write_all(b"def").expect("it is connected");
    turn_until(&driver, || count.get() > 0);
    settle(&driver);
    assert!(matches!(poll(&mut reading, &count), Poll::Ready(Ok(3))));
    drop(reading);
    let rest = driver.block_on(UnixStream::read(&mut stream, &mut buf));
    assert_eq!(rest.expect("it is there"), 3);
    assert_eq!(&buf[..3], b"def");
}

#[test]
fn half_of_a_connection_can_be_closed() {
    run(async {
        let (mut stream, mut peer) = pair();
        peer.shutdown(Shutdown::Write).expect("it is connected");
        let ready = stream.ready(Interest::READABLE).await.expect("it is ready");
        assert!(ready.is_read_closed() && !ready.is_write_closed());
        assert_eq!(UnixStream::read(&mut stream, &mut [0; 4]).await.expect("the end"), 0);
        UnixStream::write_all(&mut stream, b"late").await.expect("this direction is open");
        stream.shutdown(Shutdown::Write).expect("it is connected");
        let mut text = String::new();
        peer.read_to_string(&mut text).expect("it ends");
        assert_eq!(text, "late");
    });
}

#[test]
fn a_peer_that_leaves_wakes_readers_and_writers() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (stream, peer) = pair();
    while stream.try_write(&[0; 65_536]).is_ok() {}
    let (reader, writer) = (Count::new(), Count::new());
    let mut readable = pin!(stream.readable());
    let mut writable = pin!(stream.writable());
    assert!(poll(&mut readable, &reader).is_pending());
    assert!(poll(&mut writable, &writer).is_pending());
    settle(&driver);
    assert!(poll(&mut writable, &writer).is_pending());
    drop(peer);
    turn_until(&driver, || reader.get() > 0 && writer.get() > 0);
    assert!(matches!(poll(&mut writable, &writer), Poll::Ready(Ok(()))));
    let error = stream.try_write(b"x").expect_err("nobody reads");
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn borrowed_and_owned_halves_work_as_those_of_tcp() {
    run(async {
        let (mut stream, mut peer) = pair();
        let (mut read, mut write) = UnixStream::split(&mut stream);
        peer.write_all(b"abc").expect("it is connected");
        assert_eq!(read.peek(&mut [0; 8]).await.expect("it is connected"), 3);
        read.readable().await.expect("it is connected");
        assert_eq!(read.try_read(&mut [0; 8]).expect("they are there"), 3);
        write.write_all(b"def").await.expect("it is connected");
        assert!(read.local_addr().expect("it can be asked").is_unnamed());
        assert!(write.peer_addr().expect("it can be asked").is_unnamed());

        let (mut read, mut write) = stream.into_split();
        write.write_all(b"ghi").await.expect("it is connected");
        let (_, foreign) = UnixStream::pair().expect("a pair of sockets").0.into_split();
        let error = read.reunite(foreign).expect_err("they are of two connections");
        read = error.0;
        drop(error.1);
        let mut stream = read.reunite(write).expect("they are of one");
        UnixStream::write_all(&mut stream, b"jkl").await.expect("reuniting ends nothing");

        let (mut read, write) = stream.into_split();
        drop(write);
        let mut text = String::new();
        peer.read_to_string(&mut text).expect("it ends with the half");
        assert_eq!(text, "defghijkl");
        peer.write_all(b"still").expect("the other direction is open");
        drop(peer);
        let mut text = String::new();
        read.read_to_string(&mut text).await.expect("it ends");
        assert_eq!(text, "still");
    });
}

#[test]
fn the_traits_of_futures_io_work_through_values_and_references() {
    run(async {
        let (mut left, mut right) = UnixStream::pair().expect("a pair of sockets");
        AsyncWriteExt::write_all(&mut left, b"abc").await.expect("it is connected");
        let mut reference = &left;
        AsyncWriteExt::write_all(&mut reference, b"def").await.expect("it is connected");
        let bufs = [IoSlice::new(b"g"), IoSlice::new(b"h")];
        assert_eq!(reference.write_vectored(&bufs).await.expect("it is connected"), 2);
        AsyncWriteExt::flush(&mut left).await.expect("it does nothing");
        let (mut first, mut rest) = ([0; 3], [0; 8]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut rest)];
        let mut reference = &right;
        assert_eq!(reference.read_vectored(&mut bufs).await.expect("it is connected"), 8);
        assert_eq!((&first, &rest[..5]), (b"abc", &b"defgh"[..]));
        left.close().await.expect("it is connected");
        left.close().await.expect("it is closed already");
        let mut text = String::new();
        right.read_to_string(&mut text).await.expect("it ends");
    });
}

#[test]
fn sockets_of_the_standard_library_must_not_block() {
    run(async {
        let (stream, mut peer) = pair();
        let back = stream.into_std().expect("it is a stream");
        back.set_nonblocking(false).expect("it is a socket");
        let clone = back.try_clone().expect("a second descriptor");
        let error = UnixStream::from_std(back).expect_err("it would block a thread");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("`UnixStream::from_std`"), "{error}");
        clone.set_nonblocking(true).expect("it is a socket");
        let stream = UnixStream::from_std(clone).expect("it does not block now");
        peer.write_all(b"x").expect("it is connected");
        stream.readable().await.expect("it is connected");
        assert_eq!(stream.try_read(&mut [0; 4]).expect("it is there"), 1);
        assert!(stream.take_error().expect("it can be asked").is_none());

        let path = TempPath::new("sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("the path is free");
        let clone = listener.try_clone().expect("a second descriptor");
        UnixListener::from_std(listener).expect_err("it would block a thread");
        clone.set_nonblocking(true).expect("it is a socket");
        let listener = UnixListener::from_std(clone).expect("it does not block now");
        assert!(listener.take_error().expect("it can be asked").is_none());
        assert!(format!("{listener:?} {stream:?}").contains("UnixListener"));
        let back = listener.into_std().expect("it is a listener");
        assert_eq!(back.accept().expect_err("nobody").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn a_hundred_connections_echo_at_once() {
    run(async {
        let path = TempPath::new("sock");
        let listener = UnixListener::bind(&path).expect("the path is free");
        let path = &path;
        let clients = join_all((0..100_u8).map(|number| async move {
            let mut stream = UnixStream::connect(path).await.expect("it listens");
            for round in 0..50 {
                let sent = [number, round];
                UnixStream::write_all(&mut stream, &sent).await.expect("it is connected");
                let mut received = [0; 2];
                UnixStream::read_exact(&mut stream, &mut received).await.expect("it is connected");
                assert_eq!(received, sent);
            }
        }));
        let servers = join_all((0..100).map(|_| async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buf = [0; 64];
            while let Ok(read @ 1..) = UnixStream::read(&mut stream, &mut buf).await {
                UnixStream::write_all(&mut stream, &buf[..read]).await.expect("it is connected");
            }
        }));
        join(clients, servers).await;
    });
}
