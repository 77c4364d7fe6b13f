//! Accepting and connecting with no file descriptor left. Alone in their program, and one after the
//! other, since the limit is the process's.

mod support;

use net::{TcpListener, TcpStream};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use support::{driver, poll_now, settle, watchdog};

static TURN: Mutex<()> = Mutex::new(());

fn without_files(test: impl FnOnce()) {
    let limit = getrlimit(Resource::Nofile);
    let used = std::fs::read_dir("/dev/fd").expect("the system shows its files").count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(used), maximum: limit.maximum })
        .expect("it may be lowered");
    let mut fillers = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fillers.push(file);
    }
    test();
    setrlimit(Resource::Nofile, limit).expect("it may be raised again");
}

/// The connection stays in the backlog, and no event will come when files are free: the next call
/// has to find it by itself.
#[test]
fn accept_without_files_is_an_error_and_recovers_without_an_event() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = watchdog();
    let driver = driver();
    let listener = driver.block_on(TcpListener::bind("127.0.0.1:0")).expect("a listener");
    let addr = listener.local_addr().expect("it is bound");
    assert!(poll_now(&mut pin!(listener.accept())).is_pending(), "registers the listener");
    let _client = std::net::TcpStream::connect(addr).expect("it listens");

    without_files(|| {
        settle(&driver);
        for _ in 0..3 {
            let Poll::Ready(Err(error)) = poll_now(&mut pin!(listener.accept())) else {
                panic!("it neither waits nor succeeds");
            };
            let errno = rustix::io::Errno::from_io_error(&error);
            assert_eq!(errno, Some(rustix::io::Errno::MFILE), "{error}");
        }
    });
    let accepted = poll_now(&mut pin!(listener.accept()));
    assert!(matches!(accepted, Poll::Ready(Ok(_))), "{accepted:?}");
}

/// For want of files here; elsewhere, a system without IPv6 has sockets for the other addresses.
#[test]
fn an_address_that_no_socket_can_be_made_for_is_one_of_those_that_fail() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let _watchdog = watchdog();
    let driver = driver();
    let addrs = ["[::1]:1", "127.0.0.1:2"].map(|text| text.parse().expect("it is an address"));
    without_files(|| {
        let error = driver.block_on(TcpStream::connect(addrs)).expect_err("there are no files");
        let message = error.to_string();
        let is_told = |addr: &SocketAddr| message.contains(&addr.to_string());
        assert!(addrs.iter().all(is_told), "{message}");
    });
}
