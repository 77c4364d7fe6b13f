//! The driver: waits, unparks, shutdown, handles.

mod support;

use net::{Driver, Handle, Hooks, Interest, Registered, TcpListener, TcpSocket, TcpStream};
use std::io::{ErrorKind, Read};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};
use support::{Count, driver, poll, poll_now, settle, watchdog};

fn wait(driver: &Driver, timeout: Option<Duration>) -> usize {
    let mut turn = driver.try_turn().expect("nobody else drives");
    turn.wait(timeout, &mut Vec::new()).expect("the poller waits")
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    *panic.downcast::<String>().expect("the panic has a formatted message")
}

/// Whether somebody else has the processor at the end of a wait is not ours to decide, so of many
/// waits one must be on time, by ten times what an idle machine shows. Rounding up to milliseconds
/// would never be.
#[test]
fn a_wait_is_never_early_and_ends_within_a_millisecond() {
    let _watchdog = watchdog();
    let driver = driver();
    for us in [1, 80, 600, 1000, 1900, 2000, 2600, 5300, 30_000] {
        let timeout = Duration::from_micros(us);
        let mut best = Duration::MAX;
        for _ in 0..200 {
            let start = Instant::now();
            assert_eq!(wait(&driver, Some(timeout)), 0);
            let late = start.elapsed().checked_sub(timeout);
            best = best.min(late.unwrap_or_else(|| panic!("{timeout:?} ended early")));
            if best < Duration::from_millis(1) {
                break;
            }
        }
        if cfg!(target_os = "linux") {
            assert!(best < Duration::from_millis(1), "{timeout:?} ended {best:?} late at best");
        }
    }
}

/// The sum must not overflow, and a wait must not become a look.
#[test]
fn a_wait_for_ages_lasts_until_an_unpark() {
    let _watchdog = watchdog();
    let driver = driver();
    let days = Duration::from_secs(24 * 60 * 60);
    for timeout in [None, Some(Duration::MAX), Some(25 * days), Some(Duration::from_secs(1 << 62))]
    {
        std::thread::scope(|scope| {
            let start = Instant::now();
            scope.spawn(|| {
                // The wait is to be under way; if it is not, the token still ends it.
                std::thread::yield_now();
                driver.unpark();
            });
            assert_eq!(wait(&driver, timeout), 0, "{timeout:?}");
            assert!(start.elapsed() < Duration::from_secs(30));
        });
    }
}

/// In lockstep: every unpark must end the wait that it is meant for, or both threads stop.
#[test]
fn none_of_a_hundred_thousand_unparks_is_lost() {
    const ROUNDS: u32 = 100_000;
    let _watchdog = watchdog();
    let driver = driver();
    let asked = AtomicU32::new(0);
    let answered = AtomicU32::new(0);
    std::thread::scope(|scope| {
        let unparker = scope.spawn(|| {
            for round in 1..=ROUNDS {
                asked.store(round, Ordering::Relaxed);
                driver.unpark();
                while answered.load(Ordering::Acquire) != round {
                    std::thread::park();
                }
            }
        });
        let mut turn = driver.try_turn().expect("nobody else drives");
        for round in 1..=ROUNDS {
            while asked.load(Ordering::Relaxed) != round {
                turn.wait(None, &mut Vec::new()).expect("the poller waits");
            }
            answered.store(round, Ordering::Release);
            unparker.thread().unpark();
        }
    });
}

#[test]
fn an_unpark_before_the_wait_ends_it_and_a_look_leaves_it() {
    let _watchdog = watchdog();
    let driver = driver();
    driver.unpark();
    driver.unpark();
    assert_eq!(wait(&driver, Some(Duration::ZERO)), 0);
    assert_eq!(wait(&driver, None), 0, "the token is still there");

    let start = Instant::now();
    wait(&driver, Some(Duration::from_millis(20)));
    assert!(start.elapsed() >= Duration::from_millis(20), "the token was taken");
}

#[test]
fn one_thread_at_a_time_holds_the_poller() {
    let driver = driver();
    let turn = driver.try_turn().expect("nobody else drives");
    assert!(driver.try_turn().is_none());
    drop(turn);
    assert!(driver.try_turn().is_some());
}

/// A stopped and continued process is the signal that interrupts `epoll_wait` without a handler.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_does_not_end_a_wait() {
    let _watchdog = watchdog();
    let driver = driver();
    let script =
        "i=0; while [ $i -lt 300 ]; do i=$((i + 1)); kill -STOP $PPID; kill -CONT $PPID; done";
    let mut child = std::process::Command::new("sh").args(["-c", script]).spawn().expect("sh runs");
    let start = Instant::now();
    assert_eq!(wait(&driver, Some(Duration::from_millis(300))), 0);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(child.wait().expect("the child ends").success());
}

#[test]
fn a_shutdown_ends_pending_operations_and_refuses_later_ones() {
    let _watchdog = watchdog();
    let driver = driver();
    let handle = driver.handle();
    let _entered = handle.enter();
    let (peer, source) = UnixStream::pair().expect("a pair of sockets");
    source.set_nonblocking(true).expect("it is a socket");
    let registered = Registered::new(source, &handle);
    let listener =
        driver_less(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("the loopback has ports");
    let count = Count::new();
    let mut reading =
        pin!(registered.io(Interest::READABLE, |mut source| source.read(&mut [0; 8])));
    let mut accepting = pin!(listener.accept());
    assert!(poll(&mut reading, &count).is_pending());
    assert!(poll(&mut accepting, &count).is_pending());

    let mut wakers = Vec::new();
    driver.shut_down(&mut wakers);
    assert_eq!(wakers.len(), 2);
    wakers.into_iter().for_each(std::task::Waker::wake);
    assert_eq!(count.get(), 2);

    let error = driver_less(reading).expect_err("the driver is gone");
    assert_eq!(error.kind(), ErrorKind::Other);
    assert!(error.to_string().contains("shut down"), "{error}");
    driver_less(accepting).expect_err("the driver is gone");
    drop(driver);
    driver_less(registered.readable()).expect_err("so it is for later waits");
    registered.try_io(Interest::READABLE, |_| Ok(())).expect_err("and attempts");
    driver_less(TcpStream::connect(listener.local_addr().expect("it is bound")))
        .expect_err("and new sockets");
    let socket = TcpSocket::new_v4().expect("a socket");
    let late = socket.listen(1).expect("it needs no driver to listen");
    driver_less(late.accept()).expect_err("but to accept");
    drop(peer);
}

/// For futures that end without a driver.
fn driver_less<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match poll_now(&mut future) {
        std::task::Poll::Ready(output) => output,
        std::task::Poll::Pending => panic!("the future waits"),
    }
}

#[test]
fn dropping_the_driver_shuts_it_down() {
    let driver = driver();
    let (_peer, source) = UnixStream::pair().expect("a pair of sockets");
    source.set_nonblocking(true).expect("it is a socket");
    let registered = Registered::new(source, &driver.handle());
    let count = Count::new();
    let mut reading = pin!(registered.readable());
    assert!(poll(&mut reading, &count).is_pending());
    drop(driver);
    assert_eq!(count.get(), 1);
    driver_less(reading).expect_err("the driver is gone");
}

struct PanicsOnWake;

impl Wake for PanicsOnWake {
    fn wake(self: Arc<PanicsOnWake>) {
        panic!("this waker panics");
    }
}

#[test]
fn a_waker_that_panics_keeps_no_other_asleep() {
    let driver = driver();
    let pairs = [(); 2].map(|()| UnixStream::pair().expect("a pair of sockets"));
    let registered = pairs.each_ref().map(|(_, source)| {
        source.set_nonblocking(true).expect("it is a socket");
        Registered::new(source, &driver.handle())
    });
    let (count, bad) = (Count::new(), Waker::from(Arc::new(PanicsOnWake)));
    // Whichever is woken first.
    let mut waits = registered.each_ref().map(|source| Box::pin(source.readable()));
    let mut bad_waits = registered.each_ref().map(|source| Box::pin(source.readable()));
    for (wait, bad_wait) in waits.iter_mut().zip(&mut bad_waits) {
        assert!(bad_wait.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        assert!(poll(wait, &count).is_pending());
    }
    drop(driver);
    assert_eq!(count.get(), 2);
}

#[test]
fn handles_nest_and_the_guard_restores() {
    let (first, second) = (driver(), driver());
    let outer = first.handle().enter();
    let inner = second.handle().enter();
    drop(inner);
    assert!(Handle::try_current().is_some());
    drop(outer);
    assert!(Handle::try_current().is_none());
}

#[test]
fn guards_out_of_order_are_a_bug() {
    let driver = driver();
    let outer = driver.handle().enter();
    let inner = driver.handle().enter();
    let panic = catch_unwind(AssertUnwindSafe(|| drop(outer))).expect_err("inner still lives");
    let text = panic.downcast::<&str>().expect("the panic has a message");
    assert!(text.contains("reverse order"), "{text}");
    drop(inner);
}

#[test]
fn without_a_runtime_the_panic_names_the_call_and_the_line() {
    let first_line = line!();
    let late = catch_unwind(|| driver_less(TcpListener::bind("127.0.0.1:0")));
    let text = message(late.expect_err("there is no runtime"));
    assert!(text.contains("`TcpListener::bind`"), "{text}");
    assert!(text.contains(&format!("{}:{}", file!(), first_line + 1)), "{text}");
    assert!(text.contains("help:"), "{text}");

    let text = message(catch_unwind(Handle::current).expect_err("there is no runtime"));
    assert!(text.contains("`Handle::current`"), "{text}");

    let socket = TcpSocket::new_v4().expect("a socket");
    let panic = catch_unwind(AssertUnwindSafe(|| socket.listen(1))).expect_err("no runtime");
    let text = message(panic);
    assert!(text.contains("`TcpSocket::listen`"), "{text}");
}

#[test]
fn a_future_made_outside_of_a_runtime_works_inside() {
    let _watchdog = watchdog();
    let binding = TcpListener::bind("127.0.0.1:0");
    driver().block_on(binding).expect("the loopback has ports");
}

#[test]
fn a_future_made_inside_works_outside() {
    let _watchdog = watchdog();
    let driver = driver();
    let binding = {
        let _entered = driver.handle().enter();
        TcpListener::bind("127.0.0.1:0")
    };
    driver_less(binding).expect("the loopback has ports");
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_kernel_cannot_poll_is_an_error_and_leaves_nothing() {
    let _watchdog = watchdog();
    let driver = driver();
    let file = std::fs::File::open("/proc/self/exe").expect("the program is a file");
    let registered = Registered::new(file, &driver.handle());
    driver.block_on(registered.readable()).expect_err("a regular file is always ready");
    assert_eq!(driver.registrations(), 0);
}

#[test]
fn the_budget_is_asked_before_every_attempt() {
    thread_local!(static LEFT: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });
    let _watchdog = watchdog();
    let budget = |context: &mut std::task::Context<'_>| {
        let left = LEFT.get();
        if left == 0 {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        LEFT.set(left - 1);
        std::task::Poll::Ready(())
    };
    let driver = Driver::new(Hooks { budget, ..Hooks::none() }).expect("a driver");
    let (_peer, source) = UnixStream::pair().expect("a pair of sockets");
    let registered = Registered::new(source, &driver.handle());
    let count = Count::new();
    LEFT.set(3);
    let mut always_ready = pin!(async {
        loop {
            registered.io(Interest::WRITABLE, |_| Ok(())).await.expect("it succeeds");
        }
    });
    let polled: std::task::Poll<()> = poll(&mut always_ready, &count);
    assert!(polled.is_pending());
    assert_eq!((LEFT.get(), count.get()), (0, 1), "it yields, and goes on later");
    settle(&driver);
}
