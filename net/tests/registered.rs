//! `Registered`: waiters, readiness, deregistration.

mod support;

use futures_util::future::join;
use net::{Driver, Interest, Registered};
use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use support::{Count, driver, poll, poll_now, settle, turn_until, watchdog};

const READ: Interest = Interest::READABLE;

fn pair(driver: &Driver) -> (UnixStream, Registered<UnixStream>) {
    let (peer, source) = UnixStream::pair().expect("a pair of sockets");
    source.set_nonblocking(true).expect("it is a socket");
    (peer, Registered::new(source, &driver.handle()))
}

fn read_byte(mut source: &UnixStream) -> io::Result<u8> {
    let mut byte = [0];
    source.read_exact(&mut byte).map(|()| byte[0])
}

#[test]
fn nothing_is_registered_before_something_blocks() {
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    peer.write_all(b"x").expect("the peer writes");
    assert!(matches!(poll_now(&mut pin!(registered.io(READ, read_byte))), Poll::Ready(Ok(b'x'))));
    assert_eq!(driver.registrations(), 0);
    assert!(poll_now(&mut pin!(registered.io(READ, read_byte))).is_pending());
    assert_eq!(driver.registrations(), 1);
    drop(registered);
    assert_eq!(driver.registrations(), 0);
}

/// What arrives between the failed attempt and the registration is reported by the registration.
#[test]
fn bytes_that_arrive_just_before_the_registration_are_not_lost() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    let mut is_first = true;
    let read = driver.block_on(registered.io(READ, |source| {
        let result = read_byte(source);
        if std::mem::take(&mut is_first) {
            assert_eq!(result.as_ref().map_err(io::Error::kind), Err(ErrorKind::WouldBlock));
            peer.write_all(b"x").expect("the peer writes");
        }
        result
    }));
    assert_eq!(read.expect("the byte is there"), b'x');
}

#[test]
fn the_first_wait_for_readiness_waits_for_a_true_event() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    let count = Count::new();
    let mut readable = pin!(registered.readable());
    assert!(poll(&mut readable, &count).is_pending());
    settle(&driver);
    assert_eq!(count.get(), 0, "being writable does not make it readable");
    peer.write_all(b"x").expect("the peer writes");
    turn_until(&driver, || count.get() > 0);
    assert!(matches!(poll(&mut readable, &count), Poll::Ready(Ok(()))));
    let ready = driver.block_on(registered.ready(Interest::BOTH)).expect("it is ready");
    assert!(ready.is_readable() && ready.is_writable());
    assert!(!ready.is_read_closed() && !ready.is_write_closed() && !ready.is_error());
}

#[test]
fn all_waiters_of_a_direction_are_woken_and_only_of_that() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    // Fill it, so that writers wait too.
    while registered.try_io(Interest::WRITABLE, |mut source| source.write(&[0; 4096])).is_ok() {}
    let (readers, writer) = (Count::new(), Count::new());
    let mut reads: Vec<_> = (0..5).map(|_| Box::pin(registered.io(READ, read_byte))).collect();
    let mut write = pin!(registered.io(Interest::WRITABLE, |mut source| source.write(b"y")));
    for read in &mut reads {
        assert!(poll(read, &readers).is_pending());
    }
    assert!(poll(&mut write, &writer).is_pending());
    settle(&driver);

    peer.write_all(b"xx").expect("the peer writes");
    turn_until(&driver, || readers.get() == 5);
    assert_eq!(writer.get(), 0);
    let mut done = 0;
    for read in &mut reads {
        done += usize::from(poll(read, &readers).is_ready());
    }
    assert_eq!(done, 2, "one byte each, and the others wait again");
}

#[test]
fn a_future_that_is_dropped_takes_its_waker_along() {
    let driver = driver();
    let (_peer, registered) = pair(&driver);
    let (stays, leaves) = (Count::new(), Count::new());
    let mut first = Box::pin(registered.readable());
    let mut second = Box::pin(registered.readable());
    let mut third = Box::pin(registered.ready(Interest::BOTH));
    assert!(poll(&mut first, &leaves).is_pending());
    assert!(poll(&mut second, &stays).is_pending());
    // Polled again with another waker, only the newer one is kept.
    assert!(poll(&mut second, &leaves).is_pending());
    assert_eq!(Arc::strong_count(&stays), 1);
    assert!(poll(&mut third, &leaves).is_pending());
    assert_eq!(Arc::strong_count(&leaves), 5, "the third waits in both directions");
    drop((first, second, third));
    assert_eq!(Arc::strong_count(&leaves), 1);
}

#[test]
fn of_the_poll_methods_the_last_caller_wins() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    let (first, last) = (Count::new(), Count::new());
    for count in [&first, &last] {
        let waker = Waker::from(Arc::clone(count));
        assert!(registered.poll_readable(&mut Context::from_waker(&waker)).is_pending());
    }
    peer.write_all(b"x").expect("the peer writes");
    turn_until(&driver, || last.get() == 1);
    assert_eq!(first.get(), 0);
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(registered.poll_io(&mut context, READ, read_byte), Poll::Ready(Ok(b'x'))));
    assert!(registered.poll_io(&mut context, READ, read_byte).is_pending());
    assert!(matches!(registered.poll_writable(&mut context), Poll::Ready(Ok(()))));
}

#[test]
fn an_attempt_that_blocks_clears_the_readiness() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    peer.write_all(b"x").expect("the peer writes");
    driver.block_on(registered.readable()).expect("there is a byte");
    assert_eq!(registered.try_io(READ, read_byte).expect("there is a byte"), b'x');
    let mut calls = 0;
    for _ in 0..3 {
        let mut read = |source: &UnixStream| {
            calls += 1;
            read_byte(source)
        };
        let error = registered.try_io(READ, &mut read).expect_err("there is no more");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(calls, 1, "after the first failure the source is known not to be ready");
    assert!(poll_now(&mut pin!(registered.readable())).is_pending());
}

#[test]
fn an_interrupted_operation_is_tried_again() {
    let driver = driver();
    let (_peer, registered) = pair(&driver);
    let calls = Cell::new(0);
    let operation = |_: &UnixStream| {
        calls.set(calls.get() + 1);
        if calls.get() % 3 == 0 { Ok(()) } else { Err(ErrorKind::Interrupted.into()) }
    };
    assert!(matches!(poll_now(&mut pin!(registered.io(READ, operation))), Poll::Ready(Ok(()))));
    registered.try_io(READ, operation).expect("the third attempt succeeds");
    assert_eq!(calls.get(), 6);
}

#[test]
fn the_ends_of_both_directions_are_seen() {
    let _watchdog = watchdog();
    let driver = driver();
    let (peer, registered) = pair(&driver);
    peer.shutdown(std::net::Shutdown::Write).expect("it is connected");
    driver.block_on(registered.readable()).expect("the end is readable");
    let ready = driver.block_on(registered.ready(Interest::BOTH)).expect("it is ready");
    assert!(ready.is_read_closed() && !ready.is_write_closed());
    let reader = registered.io(READ, |mut source| source.read(&mut [0; 4]));
    assert_eq!(driver.block_on(reader).expect("the end is no error"), 0);

    drop(peer);
    turn_until(&driver, || {
        let ready = poll_now(&mut pin!(registered.ready(Interest::BOTH)));
        matches!(ready, Poll::Ready(Ok(ready)) if ready.is_write_closed())
    });
}

/// A named pipe hangs up when its writer leaves, and is open again with the next one.
#[test]
fn a_source_that_opens_again_does_not_spin() {
    let _watchdog = watchdog();
    let driver = driver();
    let path = std::env::temp_dir().join(format!("windlass-net-{}.fifo", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
    assert!(made.success());
    let open = || std::fs::File::options().write(true).open(&path).expect("the pipe is there");
    let reader = rustix::fs::open(
        &path,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    let registered =
        Registered::new(std::fs::File::from(reader.expect("it opens")), &driver.handle());
    let mut writer = open();
    let read = |mut source: &std::fs::File| source.read(&mut [0; 4]);
    assert!(poll_now(&mut pin!(registered.io(READ, read))).is_pending());
    drop(writer);
    assert_eq!(driver.block_on(registered.io(READ, read)).expect("the end is no error"), 0);

    writer = open();
    let mut reading = pin!(registered.io(READ, read));
    let count = Count::new();
    assert!(
        poll(&mut reading, &count).is_pending(),
        "there is a writer again, and nothing to read"
    );
    writer.write_all(b"x").expect("the reader is there");
    turn_until(&driver, || count.get() > 0);
    assert!(matches!(poll(&mut reading, &count), Poll::Ready(Ok(1))));
    std::fs::remove_file(&path).expect("it was there");
}

/// The duplicate keeps the file open, so only taking it out of the poller ends its events.
#[test]
fn a_duplicate_of_a_dropped_source_reaches_nobody() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, old) = pair(&driver);
    assert!(poll_now(&mut pin!(old.readable())).is_pending());
    settle(&driver);
    let duplicate = old.get_ref().try_clone().expect("it is a file");
    drop(old);
    let (_new_peer, new) = pair(&driver);
    let count = Count::new();
    let mut waiting = pin!(new.readable());
    assert!(poll(&mut waiting, &count).is_pending());
    settle(&driver);

    peer.write_all(b"x").expect("the peer writes");
    settle(&driver);
    assert_eq!(count.get(), 0);
    assert!(poll(&mut waiting, &count).is_pending());
    #[cfg(target_os = "linux")]
    assert!(!is_polled(&duplicate), "its events would go on");
    // It can be registered anew, as another source.
    let again = Registered::new(duplicate, &driver.handle());
    driver.block_on(again.readable()).expect("the byte is there");
    assert_eq!(again.into_inner().read(&mut [0; 4]).expect("it is no longer registered"), 1);
    assert_eq!(driver.registrations(), 1);
}

/// Whether a poller of this process has a file with this inode.
#[cfg(target_os = "linux")]
fn is_polled(file: &UnixStream) -> bool {
    let inode = rustix::fs::fstat(file).expect("it is a file").st_ino;
    let files = std::fs::read_dir("/proc/self/fdinfo").expect("the kernel shows its files");
    files.flatten().any(|file| {
        let info = std::fs::read_to_string(file.path()).unwrap_or_default();
        info.lines()
            .any(|line| line.starts_with("tfd:") && line.contains(&format!("ino:{inode:x}")))
    })
}

#[test]
fn a_source_works_on_any_thread() {
    let _watchdog = watchdog();
    let driver = driver();
    let (mut peer, registered) = pair(&driver);
    let registered = Arc::new(registered);
    let reader = Arc::clone(&registered);
    let thread = std::thread::spawn(move || {
        let own_driver = support::driver();
        // Woken by the first driver, run by the second.
        own_driver.block_on(reader.io(READ, read_byte))
    });
    turn_until(&driver, || driver.registrations() == 1);
    peer.write_all(b"x").expect("the peer writes");
    turn_until(&driver, || thread.is_finished());
    assert_eq!(thread.join().expect("the thread ends").expect("the byte is there"), b'x');
}

/// Both ends at once, one byte at a time: each read blocks first, and each event comes while the
/// other end is at work.
#[test]
fn one_byte_at_a_time_none_is_lost() {
    let _watchdog = watchdog();
    let driver = driver();
    let (left, right) = UnixStream::pair().expect("a pair of sockets");
    left.set_nonblocking(true).expect("it is a socket");
    right.set_nonblocking(true).expect("it is a socket");
    let (left, right) =
        (Registered::new(left, &driver.handle()), Registered::new(right, &driver.handle()));
    let ends = [left, right];
    let play = |own: usize| {
        let end = &ends[own];
        async move {
            for turn in 0..5000 {
                if turn % 2 == own {
                    end.io(Interest::WRITABLE, |mut source| source.write(b"x")).await?;
                } else {
                    end.io(READ, read_byte).await?;
                }
            }
            io::Result::Ok(())
        }
    };
    let (left, right) = driver.block_on(join(play(0), play(1)));
    left.and(right).expect("both play to the end");
}

#[test]
fn the_public_types_may_move_between_threads() {
    fn is_send_sync<T: Send + Sync>() {}
    fn is_send<T: Send>(_: &T) {}
    is_send_sync::<net::Driver>();
    is_send_sync::<net::Handle>();
    is_send_sync::<Registered<UnixStream>>();
    is_send_sync::<net::TcpListener>();
    is_send_sync::<net::TcpStream>();
    is_send_sync::<net::TcpSocket>();
    is_send_sync::<net::OwnedReadHalf>();
    is_send_sync::<net::OwnedWriteHalf>();
    is_send_sync::<net::ReadHalf<'_>>();
    is_send_sync::<net::Incoming<'_>>();
    let driver = driver();
    let _entered = driver.handle().enter();
    let listener = net::TcpListener::bind("127.0.0.1:0");
    is_send(&listener);
    is_send(&net::TcpStream::connect("localhost:80"));
    is_send(&net::lookup_host("localhost:80"));
    let (_peer, registered) = pair(&driver);
    is_send(&registered.readable());
    is_send(&registered.io(READ, read_byte));
    let mut listener = pin!(listener);
    if let Poll::Ready(Ok(listener)) = poll_now(&mut listener) {
        is_send(&listener.accept());
    }
}
