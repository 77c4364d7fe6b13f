//! `TcpListener`: binding, accepting, and what goes wrong.

mod support;

use futures_util::future::join_all;
use net::{Interest, TcpListener, TcpSocket, TcpStream};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use support::{Count, driver, poll, run, turn_until, watchdog};

const LOOPBACK: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 0);

fn connect(listener: &TcpListener) -> std::net::TcpStream {
    let addr = listener.local_addr().expect("it is bound");
    std::net::TcpStream::connect(addr).expect("it listens")
}

#[test]
fn every_kind_of_address_binds() {
    run(async {
        let addr = SocketAddr::from(LOOPBACK);
        TcpListener::bind(addr).await.expect("an address");
        TcpListener::bind(LOOPBACK).await.expect("an IPv4 number and a port");
        TcpListener::bind((IpAddr::from(LOOPBACK.0), 0)).await.expect("a number and a port");
        TcpListener::bind("127.0.0.1:0").await.expect("text");
        TcpListener::bind(&String::from("127.0.0.1:0")).await.expect("owned text");
        TcpListener::bind(("127.0.0.1", 0)).await.expect("text and a port");
        TcpListener::bind((String::from("127.0.0.1"), 0)).await.expect("owned text and a port");
        TcpListener::bind([addr]).await.expect("an array");
        TcpListener::bind(&[addr, addr][..]).await.expect("a slice");
        TcpListener::bind(vec![addr]).await.expect("a vector");
        TcpListener::bind("localhost:0").await.expect("a name");
        // Not every machine has IPv6; where it has, brackets work.
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).await.is_ok() {
            TcpListener::bind("[::1]:0").await.expect("IPv6 text");
        }
    });
}

#[test]
fn of_several_addresses_the_first_that_works_is_used() {
    run(async {
        // 192.0.2.0/24 is for documentation: no machine has such an address.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        let own = SocketAddr::from(LOOPBACK);
        let listener = TcpListener::bind([foreign, own]).await.expect("one of them is ours");
        assert_eq!(listener.local_addr().expect("it is bound").ip(), own.ip());

        let error = TcpListener::bind(foreign).await.expect_err("it is not ours");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.raw_os_error().is_some(), "a single failure is the system's own");

        let error = TcpListener::bind([foreign; 2]).await.expect_err("neither is ours");
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
        let inner = error.get_ref().and_then(std::error::Error::source).expect("it has a source");
        let inner = inner.downcast_ref::<std::io::Error>().expect("the system's");
        assert!(inner.raw_os_error().is_some());

        let error = TcpListener::bind(&[][..]).await.expect_err("there is nothing to try");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_used_port_is_an_error_and_one_of_a_closed_listener_is_not() {
    run(async {
        let first = TcpListener::bind(LOOPBACK).await.expect("the loopback has ports");
        let addr = first.local_addr().expect("it is bound");
        let error = TcpListener::bind(addr).await.expect_err("it is in use");
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // A connection that was closed on this side lingers in TIME_WAIT.
        let client = connect(&first);
        drop(first.accept().await.expect("it is there"));
        drop((client, first));
        TcpListener::bind(addr).await.expect("reuse is set");
    });
}

#[test]
fn several_tasks_accept_at_once_and_all_are_woken() {
    let _watchdog = watchdog();
    let driver = driver();
    let listener = driver.block_on(TcpListener::bind(LOOPBACK)).expect("a listener");
    let count = Count::new();
    let mut first = Box::pin(listener.accept());
    let mut second = Box::pin(listener.accept());
    assert!(poll(&mut first, &count).is_pending());
    assert!(poll(&mut second, &count).is_pending());
    let _clients = [connect(&listener), connect(&listener)];
    turn_until(&driver, || count.get() == 2);
    assert!(poll(&mut first, &count).is_ready());
    assert!(poll(&mut second, &count).is_ready());

    // Through the tasks of one executor too, whatever their number.
    let accepting = join_all((0..20).map(|_| listener.accept()));
    let clients: Vec<_> = (0..20).map(|_| connect(&listener)).collect();
    let accepted = driver.block_on(accepting);
    let mut peers: Vec<_> =
        accepted.into_iter().map(|accepted| accepted.expect("a connection").1).collect();
    let mut expected: Vec<_> =
        clients.iter().map(|client| client.local_addr().expect("it is bound")).collect();
    peers.sort();
    expected.sort();
    assert_eq!(peers, expected);
}

#[test]
fn a_dropped_accept_loses_no_connection() {
    let _watchdog = watchdog();
    let driver = driver();
    let listener = driver.block_on(TcpListener::bind(LOOPBACK)).expect("a listener");
    let count = Count::new();
    let mut dropped = Box::pin(listener.accept());
    assert!(poll(&mut dropped, &count).is_pending());
    let client = connect(&listener);
    turn_until(&driver, || count.get() == 1);
    drop(dropped);
    let (_stream, peer) = driver.block_on(listener.accept()).expect("it is still there");
    assert_eq!(peer, client.local_addr().expect("it is bound"));
}

#[test]
fn the_stream_of_connections_goes_on() {
    run(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        let clients = [connect(&listener), connect(&listener)];
        let mut incoming = listener.incoming();
        for client in &clients {
            let stream = incoming.next().await.expect("it never ends").expect("a connection");
            let peer = stream.peer_addr().expect("it is connected");
            assert_eq!(peer, client.local_addr().expect("it is bound"));
        }
    });
}

#[test]
fn a_listener_of_the_standard_library_must_not_block() {
    run(async {
        let std_listener = std::net::TcpListener::bind(LOOPBACK).expect("a listener");
        let clone = std_listener.try_clone().expect("a second descriptor");
        let error = TcpListener::from_std(std_listener).expect_err("it would block a thread");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("set_nonblocking(true)"), "{error}");

        clone.set_nonblocking(true).expect("it is a socket");
        let listener = TcpListener::from_std(clone).expect("it does not block now");
        let client = connect(&listener);
        let (_stream, peer) = listener.accept().await.expect("a connection");
        assert_eq!(peer, client.local_addr().expect("it is bound"));
        let back = listener.into_std().expect("it is a listener");
        assert_eq!(back.accept().expect_err("nobody is there").kind(), ErrorKind::WouldBlock);
    });
}

#[test]
fn options_can_be_set_and_read() {
    run(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        listener.set_ttl(17).expect("it is a number of hops");
        assert_eq!(listener.ttl().expect("it was set"), 17);
        assert!(listener.take_error().expect("it can be asked").is_none());
        assert!(format!("{listener:?}").contains("TcpListener"));

        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option");
        socket.set_reuseport(true).expect("an option");
        socket.set_nodelay(true).expect("an option");
        socket.set_keepalive(Some(std::time::Duration::from_secs(77))).expect("an option");
        socket.set_send_buffer_size(20_000).expect("an option");
        socket.set_recv_buffer_size(20_000).expect("an option");
        assert!(socket.reuseaddr().expect("it can be asked"));
        assert!(socket.reuseport().expect("it can be asked"));
        assert!(socket.nodelay().expect("it can be asked"));
        let keepalive = socket.keepalive().expect("it can be asked");
        assert_eq!(keepalive, Some(std::time::Duration::from_secs(77)));
        socket.set_keepalive(None).expect("an option");
        assert_eq!(socket.keepalive().expect("it can be asked"), None);
        assert!(socket.send_buffer_size().expect("it can be asked") >= 20_000);
        assert!(socket.recv_buffer_size().expect("it can be asked") >= 20_000);
        assert!(socket.take_error().expect("it can be asked").is_none());
        socket.bind(LOOPBACK.into()).expect("the loopback has ports");
        let addr = socket.local_addr().expect("it is bound");
        let listener = socket.listen(u32::MAX).expect("the system caps the backlog");
        assert_eq!(listener.local_addr().expect("it is bound"), addr);

        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(LOOPBACK.into()).expect("the loopback has ports");
        let own = socket.local_addr().expect("it is bound");
        let stream = socket.connect(addr).await.expect("it listens");
        assert_eq!(stream.local_addr().expect("it is connected"), own);
        let (_server, peer) = listener.accept().await.expect("a connection");
        assert_eq!(peer, own);
    });
}

#[test]
fn accepted_and_connected_sockets_neither_block_nor_survive_exec() {
    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::{FdFlags, fcntl_getfd};
    use std::os::fd::AsFd;

    run(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        let client = TcpStream::connect(listener.local_addr().expect("it is bound")).await;
        let (server, _) = listener.accept().await.expect("a connection");
        let client = client.expect("it listens");
        for socket in [listener.as_fd(), client.as_fd(), server.as_fd()] {
            assert!(fcntl_getfl(socket).expect("its flags").contains(OFlags::NONBLOCK));
            assert!(fcntl_getfd(socket).expect("its flags").contains(FdFlags::CLOEXEC));
        }
        let error = server.try_io(Interest::READABLE, || {
            std::io::Result::<()>::Err(ErrorKind::WouldBlock.into())
        });
        assert_eq!(error.expect_err("it says so").kind(), ErrorKind::WouldBlock);
    });
}

/// The connection is reset while it waits to be accepted: on Linux it can be accepted all the same,
/// and elsewhere it is skipped.
#[test]
fn a_connection_that_is_gone_does_not_end_the_accepting() {
    run(async {
        let listener = TcpListener::bind(LOOPBACK).await.expect("a listener");
        let gone = connect(&listener);
        socket2::SockRef::from(&gone)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option");
        drop(gone);
        let client = connect(&listener);
        let expected = client.local_addr().expect("it is bound");
        let mut accept = pin!(async {
            while listener.accept().await.expect("the listener is well").1 != expected {}
        });
        accept.as_mut().await;
    });
}
