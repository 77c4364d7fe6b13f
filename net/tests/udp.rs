//! `UdpSocket`: datagrams one by one, and what the network says of them.

mod support;

use futures_util::future::join;
use net::{Interest, UdpSocket};
use rustix::io::Errno;
use std::error::Error;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use support::{Count, driver, poll, poll_now, run, settle, turn_until, watchdog};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

async fn bound() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(LOOPBACK).await.expect("the loopback has ports");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr)
}

/// Two sockets, connected to each other.
async fn pair() -> (UdpSocket, UdpSocket) {
    let ((left, left_addr), (right, right_addr)) = (bound().await, bound().await);
    left.connect(right_addr).await.expect("it is on the loopback");
    right.connect(left_addr).await.expect("it is on the loopback");
    (left, right)
}

#[test]
fn datagrams_go_both_ways_with_their_senders_address() {
    run(async {
        let ((left, left_addr), (right, right_addr)) = (bound().await, bound().await);
        let mut buf = [0; 64];
        assert_eq!(left.send_to(b"ping", right_addr).await.expect("there is room"), 4);
        assert_eq!(right.recv_from(&mut buf).await.expect("it arrived"), (4, left_addr));
        assert_eq!(&buf[..4], b"ping");
        // Text and pairs are addresses too.
        let target = format!("localhost:{}", left_addr.port());
        assert_eq!(right.send_to(b"pong!", &target).await.expect("there is room"), 5);
        assert_eq!(left.recv_from(&mut buf).await.expect("it arrived"), (5, right_addr));
        assert!(left.recv(&mut []).now().is_none(), "there is no other");
        assert_eq!(
            left.peer_addr().expect_err("it is not connected").kind(),
            ErrorKind::NotConnected
        );
    });
}

/// What a future has at its first poll.
trait Now: Future + Sized {
    fn now(self) -> Option<Self::Output> {
        match poll_now(&mut pin!(self)) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }
}

impl<F: Future> Now for F {}

#[test]
fn a_connected_socket_hears_its_peer_alone() {
    run(async {
        let (left, right) = pair().await;
        let (stranger, _) = bound().await;
        let left_addr = left.local_addr().expect("it is bound");
        assert_eq!(left.peer_addr().ok(), right.local_addr().ok());
        stranger.send_to(b"strange", left_addr).await.expect("there is room");
        right.send(b"known").await.expect("it is connected");
        let mut buf = [0; 64];
        assert_eq!(left.recv(&mut buf).await.expect("it arrived"), 5);
        assert_eq!(&buf[..5], b"known");
        assert_eq!(
            left.try_recv(&mut buf).expect_err("the other is dropped").kind(),
            ErrorKind::WouldBlock
        );
        // Connecting again changes the peer.
        left.connect(stranger.local_addr().expect("it is bound")).await.expect("it is there");
        stranger.send_to(b"now", left_addr).await.expect("there is room");
        assert_eq!(left.recv(&mut buf).await.expect("it arrived"), 3);
    });
}

/// Each is shorter than the buffer and some are empty: none of that says that there is no other, and
/// all have arrived in one event.
#[test]
fn short_and_empty_datagrams_leave_the_readiness() {
    let _watchdog = watchdog();
    let driver = driver();
    let (left, right) = driver.block_on(pair());
    let count = Count::new();
    let mut readable = pin!(right.readable());
    assert!(poll(&mut readable, &count).is_pending());
    for size in [0, 1, 2, 0, 7] {
        assert_eq!(left.try_send(&[b'x'; 7][..size]).expect("there is room"), size);
    }
    turn_until(&driver, || count.get() > 0);
    settle(&driver);
    for size in [0, 1, 2, 0, 7] {
        let received = right.recv(&mut [0; 64]).now().expect("it is there");
        assert_eq!(received.expect("it arrived"), size);
    }
    assert!(right.recv(&mut [0; 64]).now().is_none());
    // One that does not fit is cut, and gone.
    left.try_send(b"long").expect("there is room");
    turn_until(&driver, || matches!(right.peek(&mut [0; 1]).now(), Some(Ok(1))));
    assert_eq!(right.try_recv(&mut [0; 2]).expect("it arrived"), 2);
    assert!(right.try_recv(&mut [0; 2]).is_err());
}

#[test]
fn peeking_leaves_the_datagram_and_the_readiness() {
    run(async {
        let (left, right) = pair().await;
        let left_addr = left.local_addr().expect("it is bound");
        let mut buf = [0; 64];
        let (peeked, sent) = join(right.peek_from(&mut buf), left.send(b"abc")).await;
        assert_eq!(peeked.expect("it arrived"), (3, left_addr));
        sent.expect("there is room");
        for _ in 0..3 {
            assert_eq!(right.peek(&mut buf).await.expect("it is there"), 3);
            assert_eq!(right.try_peek_from(&mut buf).expect("it is there").0, 3);
        }
        let mut context = Context::from_waker(Waker::noop());
        let polled = right.poll_peek_from(&mut context, &mut buf);
        assert!(matches!(polled, Poll::Ready(Ok((3, _)))), "{polled:?}");
        assert_eq!(right.recv(&mut buf).await.expect("it is there"), 3);
        assert!(right.poll_peek_from(&mut context, &mut buf).is_pending());
    });
}

/// A waiting receiver is woken by the network's message, gets it once, and hears the next datagram.
#[test]
fn that_nobody_listens_is_told_once_to_the_one_who_waits() {
    let _watchdog = watchdog();
    let driver = driver();
    let (socket, addr) = driver.block_on(bound());
    let (gone, gone_addr) = driver.block_on(bound());
    drop(gone);
    driver.block_on(socket.connect(gone_addr)).expect("it is on the loopback");
    let count = Count::new();
    let mut buf = [0; 8];
    let mut receiving = Box::pin(socket.recv(&mut buf));
    assert!(poll(&mut receiving, &count).is_pending());
    settle(&driver);
    socket.try_send(b"anybody?").expect("there is room");
    turn_until(&driver, || count.get() > 0);
    let Poll::Ready(Err(error)) = poll(&mut receiving, &count) else {
        panic!("nobody is there");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.raw_os_error().is_some(), "the system's own");
    drop(receiving);
    assert!(socket.recv(&mut [0; 8]).now().is_none(), "told once");

    let peer = driver.block_on(UdpSocket::bind(gone_addr)).expect("the port is free");
    driver.block_on(peer.send_to(b"here", addr)).expect("there is room");
    assert_eq!(driver.block_on(socket.recv(&mut [0; 8])).expect("it arrived"), 4);
}

/// The event of an error must reach whoever asks for readiness first and then for the error.
#[test]
fn readiness_tells_of_an_error_too() {
    run(async {
        let (socket, _) = bound().await;
        let (gone, gone_addr) = bound().await;
        drop(gone);
        socket.connect(gone_addr).await.expect("it is on the loopback");
        assert!(socket.readable().now().is_none());
        socket.send(b"anybody?").await.expect("there is room");
        let ready = socket.ready(Interest::READABLE).await.expect("it is ready");
        assert!(ready.is_error(), "{ready:?}");
        let error = socket.take_error().expect("it can be asked").expect("there is one");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = socket.try_recv(&mut [0; 8]).expect_err("there is nothing left");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(socket.readable().now().is_none());
    });
}

#[test]
fn a_datagram_that_is_too_large_is_an_error_that_says_so() {
    run(async {
        let (left, right) = pair().await;
        let (free, _) = bound().await;
        let right_addr = right.local_addr().expect("it is bound");
        let large = vec![0; 70_000];
        let errors = [
            left.send(&large).await.expect_err("no datagram has as much"),
            left.try_send(&large).expect_err("no datagram has as much"),
            free.send_to(&large, right_addr).await.expect_err("no datagram has as much"),
            free.try_send_to(&large, right_addr).expect_err("no datagram has as much"),
        ];
        for error in &errors {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("70000 bytes"), "{error}");
            let source = error.get_ref().and_then(Error::source).expect("the system's");
            let source = source.downcast_ref::<std::io::Error>().expect("the system's");
            assert_eq!(Errno::from_io_error(source), Some(Errno::MSGSIZE));
        }
        assert!(errors[2].to_string().contains(&right_addr.to_string()), "{}", errors[2]);
        // The largest that there is.
        assert_eq!(left.send(&large[..65_507]).await.expect("it is allowed"), 65_507);
        let mut buf = vec![0; 70_000];
        assert_eq!(right.recv(&mut buf).await.expect("it arrived"), 65_507);
    });
}

#[test]
fn a_dropped_receive_loses_nothing_and_all_waiters_are_woken() {
    let _watchdog = watchdog();
    let driver = driver();
    let (left, right) = driver.block_on(pair());
    let count = Count::new();
    let (mut first, mut second) = ([0; 8], [0; 8]);
    let mut dropped = Box::pin(right.recv(&mut first));
    let mut kept = Box::pin(right.recv_from(&mut second));
    assert!(poll(&mut dropped, &count).is_pending());
    assert!(poll(&mut kept, &count).is_pending());
    left.try_send(b"abc").expect("there is room");
    turn_until(&driver, || count.get() == 2);
    drop(dropped);
    assert!(matches!(poll(&mut kept, &count), Poll::Ready(Ok((3, _)))));
}

#[test]
fn the_poll_methods_send_and_receive() {
    run(async {
        let (left, right) = pair().await;
        let right_addr = right.local_addr().expect("it is bound");
        let mut context = Context::from_waker(Waker::noop());
        let mut buf = [0; 8];
        assert!(right.poll_recv(&mut context, &mut buf).is_pending());
        assert!(matches!(left.poll_send(&mut context, b"a"), Poll::Ready(Ok(1))));
        let received = std::future::poll_fn(|context| right.poll_recv(context, &mut buf)).await;
        assert_eq!(received.expect("it arrived"), 1);
        assert!(right.poll_recv_from(&mut context, &mut buf).is_pending());
        let (free, free_addr) = bound().await;
        let sent = free.poll_send_to(&mut context, b"bc", right_addr);
        assert!(matches!(sent, Poll::Ready(Ok(2))), "{sent:?}");
        left.send(b"def").await.expect("it is connected");
        let received = std::future::poll_fn(|context| right.poll_recv_from(context, &mut buf));
        let (size, sender) = received.await.expect("it arrived");
        assert_eq!(size, 3, "not that of {free_addr}, to whom it is not connected");
        assert_eq!(Some(sender), left.local_addr().ok());
        assert!(right.poll_readable(&mut context).is_ready(), "until it is tried");
        assert!(right.try_recv(&mut buf).is_err());
        assert!(right.poll_readable(&mut context).is_pending());
        left.writable().await.expect("there is room");
        let sent = left.try_io(Interest::WRITABLE, || Ok(7)).expect("it is ready");
        assert_eq!(sent, 7);
    });
}

#[test]
fn what_is_sent_to_a_group_reaches_its_members() {
    run(async {
        let group = Ipv4Addr::new(239, 255, 77, 66);
        let member = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.expect("a port");
        member.join_multicast_v4(group, Ipv4Addr::LOCALHOST).expect("the loopback takes groups");
        let port = member.local_addr().expect("it is bound").port();
        let (sender, sender_addr) = bound().await;
        socket2::SockRef::from(&sender)
            .set_multicast_if_v4(&Ipv4Addr::LOCALHOST)
            .expect("an option");
        sender.set_multicast_loop_v4(true).expect("an option");
        assert!(sender.multicast_loop_v4().expect("it can be asked"));
        sender.send_to(b"all", (group, port)).await.expect("there is room");
        let mut buf = [0; 8];
        assert_eq!(member.recv_from(&mut buf).await.expect("it arrived"), (3, sender_addr));
        member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).expect("it is a member");
        let error = member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).expect_err("no longer");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        member.join_multicast_v4(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST).expect_err("no group");

        // Not every machine has IPv6.
        if let Ok(member) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).await {
            let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x7766);
            if member.join_multicast_v6(&group, 1).is_ok() {
                member.leave_multicast_v6(&group, 1).expect("it is a member");
            }
            member.set_multicast_loop_v6(false).expect("an option");
            assert!(!member.multicast_loop_v6().expect("it can be asked"));
        }
    });
}

#[test]
fn options_can_be_set_and_read() {
    run(async {
        let (socket, _) = bound().await;
        let refused = socket.send_to(b"x", "255.255.255.255:9").await.expect_err("not allowed yet");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(!socket.broadcast().expect("it can be asked"));
        socket.set_broadcast(true).expect("an option");
        assert!(socket.broadcast().expect("it can be asked"));
        socket.set_ttl(17).expect("an option");
        assert_eq!(socket.ttl().expect("it can be asked"), 17);
        socket.set_multicast_ttl_v4(3).expect("an option");
        assert_eq!(socket.multicast_ttl_v4().expect("it can be asked"), 3);
        assert!(format!("{socket:?}").contains("UdpSocket"));
    });
}

#[test]
fn a_socket_of_the_standard_library_must_not_block() {
    run(async {
        let blocking = std::net::UdpSocket::bind(LOOPBACK).expect("the loopback has ports");
        let clone = blocking.try_clone().expect("a second descriptor");
        let error = UdpSocket::from_std(blocking).expect_err("it would block a thread");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("`UdpSocket::from_std`"), "{error}");
        clone.set_nonblocking(true).expect("it is a socket");
        let socket = UdpSocket::from_std(clone).expect("it does not block now");
        let (peer, _) = bound().await;
        let addr = socket.local_addr().expect("it is bound");
        peer.send_to(b"x", addr).await.expect("there is room");
        assert_eq!(socket.recv(&mut [0; 4]).await.expect("it arrived"), 1);
        let back = socket.into_std().expect("it is a socket");
        assert_eq!(back.recv(&mut [0; 4]).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn addresses_that_cannot_be_used_are_errors() {
    run(async {
        let (socket, addr) = bound().await;
        let error = UdpSocket::bind(addr).await.expect_err("it is in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let error = UdpSocket::bind("192.0.2.1:0").await.expect_err("not our address");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        let error = socket.send_to(b"x", "no port").await.expect_err("not an address");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = socket.connect(&[][..]).await.expect_err("nothing to connect to");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        socket.send(b"x").await.expect_err("it is not connected");
        // Of several addresses the first that works is used, here the one of the right family.
        let both = [SocketAddr::from((Ipv6Addr::LOCALHOST, 9)), addr];
        assert_eq!(socket.send_to(b"x", both).await.expect("one of them works"), 1);
    });
}

/// More than the receiver's queue holds may be lost; the sender must go on all the same.
#[test]
fn a_flood_stops_nobody() {
    run(async {
        let (left, right) = pair().await;
        let send = async {
            for number in 0..20_000_u32 {
                left.send(&number.to_le_bytes()).await.expect("there is room in the end");
            }
            loop {
                left.send(b"end").await.expect("there is room in the end");
                yield_once().await;
            }
        };
        let receive = async {
            let (mut buf, mut last) = ([0; 8], None);
            while right.recv(&mut buf).await.expect("it arrived") == 4 {
                let number = u32::from_le_bytes([buf[0], buf[1], buf[2], buf[3]]);
                assert!(last < Some(number), "in order");
                last = Some(number);
            }
            last
        };
        let (send, receive) = (pin!(send), pin!(receive));
        match futures_util::future::select(send, receive).await {
            futures_util::future::Either::Right((last, _)) => assert!(last.is_some()),
            futures_util::future::Either::Left(((), _)) => unreachable!("it has no end"),
        }
    });
}

async fn yield_once() {
    let mut is_first = true;
    std::future::poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
