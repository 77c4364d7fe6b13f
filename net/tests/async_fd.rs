//! `AsyncFd`, the other name of `Registered`: any file that has events, and those that have none.

mod support;

use net::{AsyncFd, Interest, Registered};
use std::cell::Cell;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Waker};
use support::{Count, TempPath, driver, poll, poll_now, run, settle, turn_until, watchdog};

#[test]
fn it_is_registered_at_once_and_deregistered_when_taken_back() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (mut peer, own) = UnixStream::pair().expect("a pair of sockets");
    own.set_nonblocking(true).expect("it is a socket");
    let fd: AsyncFd<UnixStream> = AsyncFd::try_new(own).expect("it has events");
    assert_eq!(driver.registrations(), 1);
    let count = Count::new();
    let mut readable = Box::pin(fd.readable());
    assert!(poll(&mut readable, &count).is_pending());
    peer.write_all(b"x").expect("it is connected");
    turn_until(&driver, || count.get() > 0);
    assert!(poll(&mut readable, &count).is_ready());
    drop(readable);

    let own = fd.into_inner();
    assert_eq!(driver.registrations(), 0);
    // The same file, at another driver.
    let other = support::driver();
    let fd = Registered::new(own, &other.handle());
    let mut byte = [0];
    let read = other.block_on(fd.io(Interest::READABLE, |mut source| source.read(&mut byte)));
    assert_eq!(read.expect("it is there"), 1);
    settle(&driver);
}

/// Its descriptor is asked for with code of the user, which here waits for another source first, and
/// panics then.
struct Unruly {
    file: UnixStream,
    other: Registered<UnixStream>,
    panics: Cell<bool>,
}

impl AsFd for Unruly {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let polled = self.other.poll_readable(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending(), "nobody writes to it");
        assert!(!self.panics.get(), "as it was told to");
        self.file.as_fd()
    }
}

#[test]
fn asking_for_the_descriptor_may_use_the_driver_and_may_panic() {
    let _watchdog = watchdog();
    let driver = driver();
    let (file, _peer) = UnixStream::pair().expect("a pair of sockets");
    let (other, _other_peer) = UnixStream::pair().expect("a pair of sockets");
    for socket in [&file, &other] {
        socket.set_nonblocking(true).expect("it is a socket");
    }
    let other = Registered::new(other, &driver.handle());
    let unruly = Unruly { file, other, panics: Cell::new(true) };
    let unruly = Registered::new(unruly, &driver.handle());
    let mut context = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| unruly.poll_readable(&mut context)));
    assert!(polled.is_err());
    unruly.get_ref().panics.set(false);
    assert_eq!(driver.registrations(), 1, "the other one");
    assert!(unruly.poll_readable(&mut context).is_pending());
    assert_eq!(driver.registrations(), 2);
    drop(unruly);
    assert_eq!(driver.registrations(), 0);
}

/// A terminal's relatives, timers, inotify: here the kernel's clock.
#[cfg(target_os = "linux")]
#[test]
fn a_timer_of_the_kernel_is_one() {
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    run(async {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK);
        let fd = AsyncFd::try_new(File::from(timer.expect("a timer"))).expect("it has events");
        assert!(poll_now(&mut pin!(fd.readable())).is_pending());
        let spec = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: 0, tv_nsec: 1_000_000 },
        };
        timerfd_settime(&fd, TimerfdTimerFlags::empty(), &spec).expect("it is a timer");
        fd.readable().await.expect("it fires");
        let mut fired = [0; 8];
        let mut read = || fd.try_io(Interest::READABLE, |mut timer| timer.read(&mut fired));
        assert_eq!(read().expect("it has fired"), 8);
        assert_eq!(read().expect_err("only once").kind(), ErrorKind::WouldBlock);
        assert_eq!(u64::from_ne_bytes(fired), 1);
    });
}

#[test]
fn a_file_in_blocking_mode_is_refused() {
    run(async {
        let (own, _peer) = UnixStream::pair().expect("a pair of sockets");
        let error = AsyncFd::try_new(own).expect_err("it would block a thread");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("O_NONBLOCK"), "{error}");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn regular_files_and_folders_are_refused_with_the_reason() {
    use std::os::unix::fs::OpenOptionsExt;

    let _watchdog = watchdog();
    let driver = driver();
    let path = TempPath::new("txt");
    std::fs::write(&path, "text").expect("the folder is ours");
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).expect("it is a low bit");
    let open = |path: &std::path::Path| {
        let mut options = File::options();
        options.read(true).custom_flags(nonblocking);
        options.open(path).expect("it is there")
    };
    driver.block_on(async {
        for path in [path.as_ref(), &std::env::temp_dir()] {
            let error = AsyncFd::try_new(open(path)).expect_err("it has no events");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("regular files"), "{error}");
        }
        // Without the check, at the first wait.
        let file = Registered::new(open(path.as_ref()), &driver.handle());
        let error = file.readable().await.expect_err("it has no events");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        // What does not have to wait works.
        let mut buf = [0; 8];
        let read = file.io(Interest::READABLE, |mut file| file.read(&mut buf)).await;
        assert_eq!(read.expect("it is there"), 4);
    });
    assert_eq!(driver.registrations(), 0, "nothing of the refused is left");
}

#[test]
fn the_operations_of_sockets_and_pipes_end_with_the_runtime() {
    let _watchdog = watchdog();
    let driver = driver();
    let entered = driver.handle().enter();
    let (_sender, mut receiver) = net::pipe::pipe().expect("a pipe");
    let (left, _right) = net::UnixDatagram::pair().expect("a pair of sockets");
    let (stream, _peer) = net::UnixStream::pair().expect("a pair of sockets");
    let count = Count::new();
    let (mut first, mut second) = ([0; 4], [0; 4]);
    let mut reading = pin!(receiver.read(&mut first));
    let mut receiving = pin!(left.recv(&mut second));
    let mut readable = pin!(stream.readable());
    assert!(poll(&mut reading, &count).is_pending());
    assert!(poll(&mut receiving, &count).is_pending());
    assert!(poll(&mut readable, &count).is_pending());
    drop(entered);
    drop(driver);
    assert_eq!(count.get(), 3);
    let is_over = |outcome: &str| assert!(outcome.contains("has been shut down"), "{outcome}");
    is_over(&format!("{:?}", poll(&mut reading, &count)));
    is_over(&format!("{:?}", poll(&mut receiving, &count)));
    is_over(&format!("{:?}", poll(&mut readable, &count)));
}

#[test]
fn without_a_runtime_the_panic_says_what_was_called() {
    let calls: [(&str, fn()); 5] = [
        ("UnixListener::bind", || drop(net::UnixListener::bind("x"))),
        ("UnixStream::pair", || drop(net::UnixStream::pair())),
        ("UnixDatagram::unbound", || drop(net::UnixDatagram::unbound())),
        ("pipe::pipe", || drop(net::pipe::pipe())),
        ("UnixStream::connect", || {
            let _ = poll_now(&mut pin!(net::UnixStream::connect("x")));
        }),
    ];
    for (name, call) in calls {
        let panic = std::panic::catch_unwind(call).expect_err("there is no runtime");
        let message = panic.downcast_ref::<String>().expect("it has a message");
        assert!(message.contains(&format!("`{name}`")), "{message}");
        assert!(message.contains("handle.enter()"), "{message}");
    }
}

#[test]
fn the_public_types_may_move_between_threads() {
    fn is_send_sync<T: Send + Sync>() {}
    fn is_send<T: Send>(_: &T) {}
    is_send_sync::<net::UdpSocket>();
    is_send_sync::<net::UnixDatagram>();
    is_send_sync::<net::UnixListener>();
    is_send_sync::<net::UnixStream>();
    is_send_sync::<net::UCred>();
    is_send_sync::<net::Incoming<'_, net::UnixListener>>();
    is_send_sync::<net::ReadHalf<'_, net::UnixStream>>();
    is_send_sync::<net::OwnedWriteHalf<net::UnixStream>>();
    is_send_sync::<net::pipe::Receiver>();
    is_send_sync::<net::pipe::Sender>();
    run(async {
        let (datagram, _peer) = net::UnixDatagram::pair().expect("a pair of sockets");
        is_send(&datagram.send_to(b"", "x"));
        is_send(&datagram.recv_from(&mut []));
        is_send(&net::UnixStream::connect("x"));
        is_send(&net::UdpSocket::bind("localhost:0"));
        let (mut sender, mut receiver) = net::pipe::pipe().expect("a pipe");
        is_send(&sender.write_all(b""));
        is_send(&receiver.read(&mut []));
    });
}
