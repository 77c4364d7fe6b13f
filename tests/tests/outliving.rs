//! What outlives its runtime returns an error, goes on in another one, or does nothing; it never hangs.

use std::future::poll_fn;
use std::sync::mpsc;
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use runtime::net::{TcpListener, TcpStream};
use runtime::time::sleep;
use windlass_tests::{DropCount, both_modes, panic_message, single_threaded, watch, work_stealing};

#[test]
fn sockets_that_outlive_their_runtime_return_errors() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (listener, mut stream, _peer) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let stream = TcpStream::connect(addr).await.expect("it listens");
            let (peer, _) = listener.accept().await.expect("somebody has connected");
            (listener, stream, peer)
        });
        drop(runtime);
        let other = single_threaded();
        let error = other.block_on(listener.accept()).expect_err("it has no driver");
        assert!(error.to_string().contains("shut down"), "{error}");
        let error = other.block_on(stream.read(&mut [0; 8])).expect_err("it has no driver");
        assert!(error.to_string().contains("shut down"), "{error}");
    });
}

#[test]
fn a_task_of_another_runtime_that_waits_for_a_socket_is_woken_by_the_shutdown() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let other = work_stealing(1);
        let (polled, was_polled) = mpsc::channel();
        let accept = other.spawn(async move {
            let mut accept = std::pin::pin!(listener.accept());
            poll_fn(|cx| {
                let poll = accept.as_mut().poll(cx);
                polled.send(()).expect("the test listens");
                poll
            })
            .await
            .map(drop)
        });
        was_polled.recv().expect("the task is polled");
        drop(runtime);
        let error = other.block_on(accept).expect("no panic").expect_err("its driver has ended");
        assert!(error.to_string().contains("shut down"), "{error}");
    });
}

#[test]
fn a_sleep_that_outlives_its_runtime_goes_on_in_another_or_says_why_not() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let mut armed = Box::pin(sleep(Duration::from_millis(1)));
        let mut far = Box::pin(sleep(Duration::from_secs(3600)));
        runtime.block_on(poll_fn(|cx| {
            assert!(far.as_mut().poll(cx).is_pending());
            let _ = armed.as_mut().poll(cx);
            Poll::Ready(())
        }));
        let handle = runtime.handle().clone();
        drop(runtime);
        single_threaded().block_on(armed);
        let _entered = handle.enter();
        let text = panic_message(|| futures_util::FutureExt::now_or_never(far));
        assert!(text.contains(concat!("`sleep` (created at ", file!())), "{text}");
        assert!(text.contains("shut down") && text.contains("help:"), "{text}");
    });
}

#[test]
fn wakers_that_outlive_their_runtime_do_nothing() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let (waker, wakers) = async_channel::unbounded::<Waker>();
        let give = |token| {
            let (mut token, waker) = (Some(token), waker.clone());
            poll_fn(move |cx| -> Poll<()> {
                let _held = &mut token;
                waker.try_send(cx.waker().clone()).expect("the channel has no limit");
                Poll::Pending
            })
        };
        let wakers = runtime.block_on(async {
            runtime::spawn(give(drops.token()));
            runtime::spawn(give(drops.token()));
            runtime::spawn_local(give(drops.token()));
            let mut kept = Vec::new();
            for _ in 0..3 {
                kept.push(wakers.recv().await.expect("each task sends its waker"));
            }
            kept
        });
        drop(runtime);
        assert_eq!(drops.get(), 3);
        let user = thread::spawn(move || {
            for waker in wakers {
                waker.wake_by_ref();
                let clone = waker.clone();
                clone.wake_by_ref();
                drop(clone);
                waker.wake();
            }
        });
        user.join().expect("no panic");
        assert_eq!(drops.get(), 3);
    });
}
