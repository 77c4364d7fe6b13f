//! Signals: every listener gets every delivery, and what cannot be listened for is an error.

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use runtime::net::{TcpListener, TcpStream, UnixStream};
use runtime::signal::{Signal, SignalKind, ctrl_c, signal};
use rustix::process::{Signal as Number, getpid, kill_process};
use windlass_tests::{both_modes, open_files, single_threaded, watch, work_stealing};

/// Signals go to the whole process, so these tests take turns.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(number: Number) {
    kill_process(getpid(), number).expect("this process runs");
}

fn poll_now(signal: &mut Signal) -> Poll<Option<()>> {
    signal.poll_recv(&mut Context::from_waker(Waker::noop()))
}

/// Sends a signal, and returns when it has been handled: the handler serves its listeners in the
/// order in which they came, and `last` is the youngest.
async fn send_and_wait(number: Number, last: &mut Signal) {
    send(number);
    last.recv().await.expect("the runtime runs");
}

/// Waits until this process has no more files open than `before`. The runtime's monitor opens some
/// for a moment, when a test is so slow that it reports a stuck task.
fn wait_for_files(before: usize) {
    let began = Instant::now();
    while open_files() > before {
        let (open, limit) = (open_files(), Duration::from_secs(20));
        assert!(began.elapsed() < limit, "{open} files are open, and were {before}");
        thread::yield_now();
    }
}

#[test]
fn every_delivery_is_one_item_also_those_between_two_polls() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut signals = signal(SignalKind::user_defined1()).expect("it exists");
            let mut last = signal(SignalKind::user_defined1()).expect("it exists");
            assert!(poll_now(&mut signals).is_pending());
            // More than the bell's socket holds, so that it is full for some.
            for _ in 0..1000 {
                send_and_wait(Number::USR1, &mut last).await;
            }
            for _ in 0..1000 {
                signals.recv().await.expect("the runtime runs");
            }
            assert!(poll_now(&mut signals).is_pending());
            send(Number::USR1);
            assert_eq!(signals.next().await, Some(()), "as a stream");
        });
    });
}

/// The kernel may deliver many as one, but not the last as none.
#[test]
fn in_a_storm_the_last_signal_is_seen() {
    const COUNT: usize = 20_000;
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        let sent = Arc::new(AtomicUsize::new(0));
        let listen = |_| {
            let mut signals = signal(SignalKind::user_defined2()).expect("it exists");
            let sent = sent.clone();
            runtime::spawn(async move {
                let mut received = 0;
                loop {
                    signals.recv().await.expect("the runtime runs");
                    received += 1;
                    if sent.load(Ordering::SeqCst) == COUNT {
                        return received;
                    }
                }
            })
        };
        runtime.block_on(async {
            let listeners: Vec<_> = (0..3).map(listen).collect();
            let storm = {
                let sent = sent.clone();
                thread::spawn(move || {
                    for number in 1..=COUNT {
                        // Before it is sent: who gets the last one sees the full count.
                        sent.store(number, Ordering::SeqCst);
                        send(Number::USR2);
                    }
                })
            };
            for received in join_all(listeners).await {
                assert!((1..=COUNT).contains(&received.expect("no panic")));
            }
            storm.join().expect("no panic");
        });
    });
}

#[test]
fn several_runtimes_listen_for_one_signal() {
    let _alone = alone();
    let _watchdog = watch();
    let runtimes = [single_threaded(), work_stealing(2), work_stealing(1)];
    for _ in 0..2 {
        let mut signals: Vec<_> = runtimes
            .iter()
            .map(|runtime| {
                let _entered = runtime.enter();
                signal(SignalKind::hangup()).expect("it exists")
            })
            .collect();
        send(Number::HUP);
        for (runtime, signals) in runtimes.iter().zip(&mut signals) {
            assert_eq!(runtime.block_on(signals.recv()), Some(()));
        }
    }
}

#[test]
fn ctrl_c_ends_a_wait_and_not_the_process() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut first = Box::pin(ctrl_c());
            let mut second = Box::pin(ctrl_c());
            for pressed in [&mut first, &mut second] {
                let is_pending = futures_util::poll!(pressed).is_pending();
                assert!(is_pending);
            }
            send(Number::INT);
            first.await.expect("it exists");
            second.await.expect("it exists");
        });
    });
}

#[test]
fn what_nobody_can_listen_for_is_an_error_and_leaves_nothing() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        let _entered = runtime.enter();
        let before = open_files();
        for (number, text) in [
            (9, "cannot listen for SIGKILL: the system lets nobody handle it"),
            (Number::STOP.as_raw(), "cannot listen for SIGSTOP: the system lets nobody handle it"),
            (Number::SEGV.as_raw(), "cannot listen for SIGSEGV: the system lets nobody handle it"),
            (0, "cannot listen for signal 0: there is no such signal"),
            (4096, "cannot listen for signal 4096: there is no such signal"),
            (-1, "cannot listen for signal -1: there is no such signal"),
            (i32::MIN, "cannot listen for signal -2147483648: there is no such signal"),
        ] {
            let error = signal(SignalKind::from_raw(number)).expect_err("no such thing");
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::InvalidInput, text));
        }
        wait_for_files(before);
        // One that exists gives its files back too, and can be listened for again.
        for _ in 0..100 {
            drop(signal(SignalKind::window_change()).expect("it exists"));
        }
        wait_for_files(before);
    });
}

#[test]
fn a_listener_outlives_its_runtime() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        let mut signals = {
            let _entered = runtime.enter();
            signal(SignalKind::alarm()).expect("it exists")
        };
        drop(runtime);
        send(Number::ALARM);
        assert_eq!(single_threaded().block_on(signals.recv()), None);
    });
}

/// As in a program that has not ignored the signal, unlike those of Rust.
#[test]
fn a_write_to_a_closed_connection_is_an_error_and_sends_no_signal() {
    let _alone = alone();
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let mut pipes = signal(SignalKind::pipe()).expect("it exists");
            let mut last = signal(SignalKind::user_defined1()).expect("it exists");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback works");
            let addr = listener.local_addr().expect("it is bound");
            let mut tcp = TcpStream::connect(addr).await.expect("it listens");
            tcp.shutdown(Shutdown::Write).expect("it is connected");
            let (mut unix, other) = UnixStream::pair().expect("there are files");
            drop(other);
            let bufs = [IoSlice::new(b"hello"), IoSlice::new(b"world")];
            for result in [
                tcp.write(b"hello").await,
                tcp.write_vectored(&bufs).await,
                unix.write(b"hello").await,
                unix.write_vectored(&bufs).await,
            ] {
                assert_eq!(result.expect_err("it is closed").kind(), ErrorKind::BrokenPipe);
            }
            send_and_wait(Number::USR1, &mut last).await;
            assert!(poll_now(&mut pipes).is_pending(), "a broken pipe is a signal, too");
            send_and_wait(Number::PIPE, &mut pipes).await;
        });
    });
}
