//! Accepting with no file descriptor left. Alone in its program, since the limit is the process's.

mod support;

use net::TcpListener;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::pin::pin;
use std::task::Poll;
use support::{driver, poll_now, settle, watchdog};

/// The connection stays in the backlog, and no event will come when files are free: the next call
/// has to find it by itself.
#[test]
fn accept_without_files_is_an_error_and_recovers_without_an_event() {
    let _watchdog = watchdog();
    let driver = driver();
    let listener = driver.block_on(TcpListener::bind("127.0.0.1:0")).expect("a listener");
    let addr = listener.local_addr().expect("it is bound");
    assert!(poll_now(&mut pin!(listener.accept())).is_pending(), "registers the listener");
    let _client = std::net::TcpStream::connect(addr).expect("it listens");

    let limit = getrlimit(Resource::Nofile);
    let used = std::fs::read_dir("/dev/fd").expect("the system shows its files").count() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(used), maximum: limit.maximum })
        .expect("it may be lowered");
    let mut fillers = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        fillers.push(file);
    }
    settle(&driver);
    for _ in 0..3 {
        let Poll::Ready(Err(error)) = poll_now(&mut pin!(listener.accept())) else {
            panic!("it neither waits nor succeeds");
        };
        let errno = rustix::io::Errno::from_io_error(&error);
        assert_eq!(errno, Some(rustix::io::Errno::MFILE), "{error}");
    }

    setrlimit(Resource::Nofile, limit).expect("it may be raised again");
    drop(fillers);
    let accepted = poll_now(&mut pin!(listener.accept()));
    assert!(matches!(accepted, Poll::Ready(Ok(_))), "{accepted:?}");
}
