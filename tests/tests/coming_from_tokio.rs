//! What the page for who comes from tokio says: the names that are the same, and what differs.

use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use runtime::Scheduler;
use runtime::time::{Instant, Sleep, advance, pause, sleep, timeout, timeout_at};
use windlass_tests::{both_modes, watch};

const SECOND: Duration = Duration::from_secs(1);

/// The names that the page calls the same; that this compiles is the test.
#[allow(unused_imports)]
mod names {
    use runtime::fs::{File, OpenOptions, copy as _, read, read_dir, read_to_string, write};
    use runtime::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use runtime::io::{BufReader, copy, copy_bidirectional, stderr, stdin, stdout};
    use runtime::net::{AsyncFd, TcpListener, TcpSocket, TcpStream, UdpSocket, lookup_host, pipe};
    use runtime::net::{UnixDatagram, UnixListener, UnixStream};
    use runtime::process::{Child, Command};
    use runtime::signal::{SignalKind, ctrl_c, signal};
    use runtime::task::{AbortHandle, Builder as TaskBuilder, JoinError, JoinHandle};
    use runtime::task::{block_in_place, consume_budget, id, try_id, unconstrained, yield_now};
    use runtime::time::{Instant, Interval, MissedTickBehavior, interval, interval_at};
    use runtime::time::{advance, pause, resume, sleep, sleep_until, timeout, timeout_at};
    use runtime::{Builder, Handle, Runtime, main, spawn, spawn_blocking, spawn_local, test};
}

#[test]
fn a_timeout_runs_from_the_first_poll_that_is_pending() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let late = timeout(SECOND, pending::<()>());
            let fixed = timeout_at(Instant::now() + SECOND, pending::<()>());
            advance(10 * SECOND).await;
            let began = Instant::now();
            fixed.await.expect_err("nothing ends it");
            assert_eq!(began.elapsed(), Duration::ZERO);
            late.await.expect_err("nothing ends it");
            assert_eq!(began.elapsed(), SECOND);
        });
    });
}

#[test]
fn a_sleep_needs_no_pinning() {
    let _watchdog = watch();
    fn is_unpin_send_sync<T: Unpin + Send + Sync>() {}
    is_unpin_send_sync::<Sleep>();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let began = Instant::now();
            let mut sleep = sleep(SECOND);
            sleep.reset(began + 3 * SECOND);
            poll_fn(|cx| Pin::new(&mut sleep).poll(cx)).await;
            assert_eq!(began.elapsed(), 3 * SECOND);
        });
    });
}

#[test]
fn local_tasks_need_no_set() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let nested = async {
            let not_send = std::rc::Rc::new(7);
            runtime::spawn_local(async move { *not_send }).await.expect("no panic")
        };
        assert_eq!(runtime.block_on(nested), 7);
        let in_a_task = runtime.spawn(async {
            runtime::spawn_local(async { *std::rc::Rc::new(8) }).await.expect("no panic")
        });
        assert_eq!(runtime.block_on(in_a_task).expect("no panic"), 8);
    });
}

#[test]
fn an_error_tells_an_abort_from_the_end_of_the_runtime() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (aborted, ended) = (runtime.spawn(pending::<()>()), runtime.spawn(pending::<()>()));
        aborted.abort();
        let error = runtime.block_on(aborted).expect_err("it was aborted");
        assert!(error.is_cancelled() && !error.is_shutdown());
        runtime.shutdown(Duration::from_secs(30));
        let error = ready_now(ended).expect_err("its runtime is gone");
        assert!(error.is_cancelled() && error.is_shutdown());
    });
}

/// Polls once; what belonged to a runtime that has ended is ready.
fn ready_now<F: Future>(future: F) -> F::Output {
    use std::task::{Context, Poll, Waker};
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the runtime has ended, so this is ready"),
    }
}

#[test]
fn a_dropped_set_of_handles_detaches_its_tasks() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (done, is_done) = async_channel::unbounded();
        runtime.block_on(async {
            let set: FuturesUnordered<_> = (0..10)
                .map(|number| {
                    let done = done.clone();
                    runtime::spawn(async move { done.send(number).await })
                })
                .collect();
            drop(set);
            let mut numbers = Vec::new();
            for _ in 0..10 {
                numbers.push(is_done.recv().await.expect("a sender is here"));
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        });
    });
}

#[test]
fn a_write_that_returned_is_seen_by_others_without_a_flush() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let path = std::env::temp_dir().join(format!("coming_from_tokio-{}", std::process::id()));
        runtime.block_on(async {
            let mut file = runtime::fs::File::create(&path).await.expect("it can be made");
            file.write_all(b"hello").await.expect("it can be written");
            assert_eq!(std::fs::read(&path).expect("it is there"), b"hello");
            drop(file);
        });
        std::fs::remove_file(&path).expect("it is there");
    });
}

#[test]
fn the_scheduler_is_a_word() {
    let _watchdog = watch();
    for (word, scheduler) in
        [("work-stealing", Scheduler::WorkStealing), ("single-threaded", Scheduler::SingleThreaded)]
    {
        assert_eq!(word.parse(), Ok(scheduler));
        assert_eq!(scheduler.to_string(), word);
    }
}
