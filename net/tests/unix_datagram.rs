//! `UnixDatagram`: datagrams that are never lost, and senders that wait.

mod support;

use futures_util::future::join;
use net::{Driver, Hooks, UnixDatagram};
use std::cell::Cell;
use std::error::Error;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use support::{Count, TempPath, driver, poll, poll_now, run, settle, turn_until, watchdog};

fn send_buffer(socket: &UnixDatagram) -> usize {
    rustix::net::sockopt::socket_send_buffer_size(socket).expect("it can be asked")
}

#[test]
fn datagrams_go_to_a_path_and_back() {
    run(async {
        let (server_path, client_path) = (TempPath::new("dgram"), TempPath::new("dgram"));
        let server = UnixDatagram::bind(&server_path).expect("the path is free");
        let client = UnixDatagram::bind(&client_path).expect("the path is free");
        let mut buf = [0; 64];
        assert_eq!(client.send_to(b"ping", &server_path).await.expect("there is room"), 4);
        let (size, sender) = server.recv_from(&mut buf).await.expect("it arrived");
        assert_eq!((size, sender.as_pathname()), (4, Some(client_path.as_ref())));

        client.connect(&server_path).expect("it is there");
        assert_eq!(client.send(b"again").await.expect("there is room"), 5);
        assert_eq!(server.recv(&mut buf).await.expect("it arrived"), 5);
        let sender = sender.as_pathname().expect("it is bound");
        assert_eq!(server.try_send_to(b"pong", sender).expect("there is room"), 4);
        assert_eq!(client.recv(&mut buf).await.expect("it arrived"), 4);

        let unbound = UnixDatagram::unbound().expect("a socket");
        unbound.send_to(b"", &server_path).await.expect("there is room");
        let (size, sender) = server.recv_from(&mut buf).await.expect("it arrived");
        assert!(size == 0 && sender.is_unnamed());
        assert!(unbound.local_addr().expect("it can be asked").is_unnamed());
        assert!(unbound.peer_addr().is_err());
        assert!(format!("{unbound:?}").contains("UnixDatagram"));
    });
}

#[cfg(target_os = "linux")]
#[test]
fn abstract_names_need_no_file() {
    use std::os::linux::net::SocketAddrExt;

    run(async {
        let name = format!("\0windlass-net-dgram-{}", std::process::id());
        let server = UnixDatagram::bind(&name).expect("the name is free");
        let client = UnixDatagram::unbound().expect("a socket");
        client.send_to(b"x", &name).await.expect("there is room");
        assert_eq!(server.recv(&mut [0; 4]).await.expect("it arrived"), 1);
        client.connect(&name).expect("it is there");
        let peer = client.peer_addr().expect("it is connected");
        assert_eq!(peer.as_abstract_name(), Some(&name.as_bytes()[1..]));
    });
}

#[test]
fn short_and_empty_datagrams_leave_the_readiness() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (left, right) = UnixDatagram::pair().expect("a pair of sockets");
    let count = Count::new();
    let mut readable = pin!(right.readable());
    assert!(poll(&mut readable, &count).is_pending());
    for size in [0, 1, 2, 0, 7] {
        assert_eq!(left.try_send(&[b'x'; 7][..size]).expect("there is room"), size);
    }
    turn_until(&driver, || count.get() > 0);
    settle(&driver);
    for size in [0, 1, 2, 0, 7] {
        let received = poll_now(&mut pin!(right.recv(&mut [0; 64])));
        assert!(matches!(received, Poll::Ready(Ok(received)) if received == size));
    }
    assert!(poll_now(&mut pin!(right.recv(&mut [0; 64]))).is_pending());
}

#[test]
fn a_connected_sender_waits_for_room() {
    run(async {
        let (left, right) = UnixDatagram::pair().expect("a pair of sockets");
        let send = async {
            for number in 0..2000_u32 {
                left.send(&number.to_le_bytes()).await.expect("there is room in the end");
            }
        };
        let receive = async {
            for number in 0..2000_u32 {
                let mut buf = [0; 4];
                right.recv(&mut buf).await.expect("it arrived");
                assert_eq!(u32::from_le_bytes(buf), number, "none is lost");
            }
        };
        join(send, receive).await;
    });
}

/// The queue is full of somebody else's datagrams, so nothing that belongs to the sender itself
/// changes when there is room: the system wakes only those who are connected.
#[test]
fn a_sender_waits_for_room_that_another_has_taken() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let path = TempPath::new("dgram");
    let server = UnixDatagram::bind(&path).expect("the path is free");
    let greedy = UnixDatagram::unbound().expect("a socket");
    while greedy.try_send_to(b"x", &path).is_ok() {}
    let modest = UnixDatagram::unbound().expect("a socket");
    let error = modest.try_send_to(b"yy", &path).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    for _ in 0..3 {
        let count = Count::new();
        let mut sending = Box::pin(modest.send_to(b"yy", &path));
        assert!(poll(&mut sending, &count).is_pending());
        settle(&driver);
        assert_eq!(count.get(), 0, "there is no room yet");
        server.try_recv(&mut [0; 4]).expect("it is full of them");
        turn_until(&driver, || count.get() > 0);
        // Before the wake-up is used, the greedy one takes the place.
        greedy.try_send_to(b"x", &path).expect("there is room for one");
        assert!(poll(&mut sending, &count).is_pending());
        settle(&driver);
        let before = count.get();
        while server.try_recv(&mut [0; 4]).is_ok() {}
        turn_until(&driver, || count.get() > before);
        assert!(matches!(poll(&mut sending, &count), Poll::Ready(Ok(2))));
        while greedy.try_send_to(b"x", &path).is_ok() {}
    }
    // Not that one's own socket counts as full meanwhile.
    let other_path = TempPath::new("dgram");
    let _other = UnixDatagram::bind(&other_path).expect("the path is free");
    let elsewhere = poll_now(&mut pin!(modest.send_to(b"z", &other_path)));
    assert!(matches!(elsewhere, Poll::Ready(Ok(1))), "{elsewhere:?}");
    assert_eq!(driver.registrations(), 0, "the scouts are gone, and nothing else had to wait");
}

/// What the system calls writable is a buffer of which three quarters are free; it sends as long as
/// any of it is.
#[test]
fn what_one_receiver_leaves_unread_stops_nothing_for_another() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (stalled_path, path) = (TempPath::new("dgram"), TempPath::new("dgram"));
    let _stalled = UnixDatagram::bind(&stalled_path).expect("the path is free");
    let server = UnixDatagram::bind(&path).expect("the path is free");
    let greedy = UnixDatagram::unbound().expect("a socket");
    while greedy.try_send_to(b"x", &path).is_ok() {}
    let sender = UnixDatagram::unbound().expect("a socket");
    let half = send_buffer(&sender) / 2;
    assert_eq!(sender.try_send_to(&vec![0; half], &stalled_path).expect("there is room"), half);

    let count = Count::new();
    let mut sending = Box::pin(sender.send_to(b"yy", &path));
    assert!(poll(&mut sending, &count).is_pending());
    settle(&driver);
    assert_eq!(count.get(), 0, "there is no room yet");
    while server.try_recv(&mut [0; 4]).is_ok() {}
    turn_until(&driver, || count.get() > 0);
    assert!(matches!(poll(&mut sending, &count), Poll::Ready(Ok(2))));
}

#[test]
fn a_full_peer_stops_nothing_for_others() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (peer_path, path) = (TempPath::new("dgram"), TempPath::new("dgram"));
    let _peer = UnixDatagram::bind(&peer_path).expect("the path is free");
    let server = UnixDatagram::bind(&path).expect("the path is free");
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.connect(&peer_path).expect("it is there");
    while sender.try_send(b"x").is_ok() {}
    let mut waiting = Box::pin(sender.send(b"x"));
    assert!(poll_now(&mut waiting).is_pending());
    settle(&driver);
    assert!(poll_now(&mut waiting).is_pending());

    assert_eq!(sender.try_send_to(b"yy", &path).expect("there is room"), 2);
    let sent = poll_now(&mut pin!(sender.send_to(b"yy", &path)));
    assert!(matches!(sent, Poll::Ready(Ok(2))), "{sent:?}");
    // Nor when there is none at first.
    while sender.try_send_to(b"yy", &path).is_ok() {}
    let count = Count::new();
    let mut sending = Box::pin(sender.send_to(b"yy", &path));
    assert!(poll(&mut sending, &count).is_pending());
    settle(&driver);
    server.try_recv(&mut [0; 4]).expect("it is full of them");
    turn_until(&driver, || count.get() > 0);
    assert!(matches!(poll(&mut sending, &count), Poll::Ready(Ok(2))));
}

#[test]
fn a_sender_waits_for_room_in_its_own_buffer() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let paths = [0, 1, 2].map(|_| TempPath::new("dgram"));
    let [slow, server, peer] =
        [0, 1, 2].map(|at: usize| UnixDatagram::bind(&paths[at]).expect("the path is free"));
    let sender = UnixDatagram::unbound().expect("a socket");
    sender.connect(&paths[2]).expect("it is there");
    let half = vec![0; send_buffer(&sender) / 2];
    while sender.try_send_to(&half, &paths[0]).is_ok() {}

    let count = Count::new();
    let mut sending = Box::pin(sender.send_to(b"yy", &paths[1]));
    for _ in 0..3 {
        assert!(poll(&mut sending, &count).is_pending());
        settle(&driver);
    }
    let before = count.get();
    while slow.try_recv(&mut [0; 4]).is_ok() {}
    turn_until(&driver, || count.get() > before);
    // Before the wake-up is used, the sender is found unable to send, but to its peer only.
    let greedy = UnixDatagram::unbound().expect("a socket");
    while greedy.try_send_to(b"x", &paths[2]).is_ok() {}
    assert!(poll_now(&mut pin!(sender.send(b"x"))).is_pending());
    assert!(matches!(poll(&mut sending, &count), Poll::Ready(Ok(2))));
    assert_eq!(server.try_recv(&mut [0; 4]).expect("it arrived"), 2);
    drop(peer);

    // One who only attempts is told of it too.
    while sender.try_send_to(&half, &paths[0]).is_ok() {}
    let count = Count::new();
    let mut writable = pin!(sender.writable());
    assert!(poll(&mut writable, &count).is_pending());
    while slow.try_recv(&mut [0; 4]).is_ok() {}
    turn_until(&driver, || count.get() > 0);
    sender.try_send_to(b"yy", &paths[1]).expect("there is room");
}

/// The queue that is waited for is gone, and the one that has followed it is full as well.
#[test]
fn a_sender_waits_for_whoever_has_the_path_now() {
    thread_local!(static ATTEMPTS_LEFT: Cell<u32> = const { Cell::new(100) });
    let _watchdog = watchdog();
    let budget = |context: &mut Context<'_>| {
        let left = ATTEMPTS_LEFT.get();
        if left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ATTEMPTS_LEFT.set(left - 1);
        Poll::Ready(())
    };
    let driver = Driver::new(Hooks { budget, ..Hooks::none() }).expect("a driver");
    let _entered = driver.handle().enter();
    let path = TempPath::new("dgram");
    let old = UnixDatagram::bind(&path).expect("the path is free");
    let greedy = UnixDatagram::unbound().expect("a socket");
    while greedy.try_send_to(b"x", &path).is_ok() {}
    let sender = UnixDatagram::unbound().expect("a socket");
    let count = Count::new();
    let mut sending = Box::pin(sender.send_to(b"yy", &path));
    assert!(poll(&mut sending, &count).is_pending());
    settle(&driver);

    std::fs::remove_file(&path).expect("it is there");
    let new = UnixDatagram::bind(&path).expect("the path is free");
    while greedy.try_send_to(b"x", &path).is_ok() {}
    drop(old);
    turn_until(&driver, || count.get() > 0);
    assert!(poll(&mut sending, &count).is_pending());
    settle(&driver);
    assert_ne!(ATTEMPTS_LEFT.get(), 0, "it tries again and again instead of waiting");
    let before = count.get();
    new.try_recv(&mut [0; 4]).expect("it is full of them");
    turn_until(&driver, || count.get() > before);
    assert!(matches!(poll(&mut sending, &count), Poll::Ready(Ok(2))));
}

/// Three senders, one of which is connected, and a queue that is full most of the time.
#[test]
fn senders_that_share_a_queue_all_get_through() {
    run(async {
        let path = TempPath::new("dgram");
        let server = UnixDatagram::bind(&path).expect("the path is free");
        let sockets = [0, 1, 2].map(|_| UnixDatagram::unbound().expect("a socket"));
        sockets[0].connect(&path).expect("it is there");
        let sends =
            futures_util::future::join_all(sockets.iter().enumerate().map(|(number, socket)| {
                let path = &path;
                async move {
                    for _ in 0..2000 {
                        let sent = match number {
                            0 => socket.send(b"x").await,
                            _ => socket.send_to(b"x", path).await,
                        };
                        sent.expect("there is room in the end");
                    }
                }
            }));
        let receive = async {
            for _ in 0..6000 {
                server.recv(&mut [0; 4]).await.expect("it arrived");
            }
        };
        join(sends, receive).await;
        assert!(server.try_recv(&mut [0; 4]).is_err(), "there are no more");
    });
}

#[test]
fn a_datagram_that_is_too_large_is_an_error_that_says_so() {
    run(async {
        let path = TempPath::new("dgram");
        let _server = UnixDatagram::bind(&path).expect("the path is free");
        let client = UnixDatagram::unbound().expect("a socket");
        let large = vec![0; 8 << 20];
        let error = client.send_to(&large, &path).await.expect_err("no socket takes as much");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.to_string();
        assert!(message.contains("8388608 bytes") && message.contains(".dgram"), "{message}");
        assert!(error.get_ref().and_then(Error::source).is_some());
    });
}

#[test]
fn who_is_not_there_is_the_systems_error() {
    run(async {
        let path = TempPath::new("dgram");
        let client = UnixDatagram::unbound().expect("a socket");
        let error = client.send_to(b"x", &path).await.expect_err("there is no file");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        drop(UnixDatagram::bind(&path).expect("the path is free"));
        let error = client.send_to(b"x", &path).await.expect_err("nobody is there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(client.connect(&path).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
        assert_eq!(UnixDatagram::bind(&path).expect_err("stale").kind(), ErrorKind::AddrInUse);
        let long = "x".repeat(200);
        for error in [
            client.send_to(b"x", &long).await.expect_err("too long"),
            client.try_send_to(b"x", &long).expect_err("too long"),
            client.connect(&long).expect_err("too long"),
            UnixDatagram::bind(&long).expect_err("too long"),
        ] {
            assert!(error.to_string().contains("200 bytes"), "{error}");
        }
    });
}

#[test]
fn the_poll_methods_send_and_receive_and_shutdown_ends_it() {
    run(async {
        let path = TempPath::new("dgram");
        let server = UnixDatagram::bind(&path).expect("the path is free");
        let client = UnixDatagram::unbound().expect("a socket");
        let mut context = Context::from_waker(Waker::noop());
        let mut buf = [0; 4];
        assert!(server.poll_recv(&mut context, &mut buf).is_pending());
        client.send_to(b"x", &path).await.expect("there is room");
        let received = std::future::poll_fn(|context| server.poll_recv_from(context, &mut buf));
        assert_eq!(received.await.expect("it arrived").0, 1);
        client.connect(&path).expect("it is there");
        assert!(matches!(client.poll_send(&mut context, b"xy"), Poll::Ready(Ok(2))));
        server.readable().await.expect("it arrived");
        assert_eq!(server.try_recv_from(&mut buf).expect("it arrived").0, 2);

        let (left, right) = UnixDatagram::pair().expect("a pair of sockets");
        left.shutdown(Shutdown::Write).expect("it is connected");
        let error = left.send(b"x").await.expect_err("this direction is closed");
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        right.send(b"x").await.expect("the other is open");
        assert_eq!(left.recv(&mut buf).await.expect("it arrived"), 1);
        let back = left.into_std().expect("it is a socket");
        back.set_nonblocking(false).expect("it is a socket");
        UnixDatagram::from_std(back).expect_err("it would block a thread");
    });
}
