//! Many tasks on several threads, one driver.

mod support;

use net::{Interest, Registered, TcpListener, TcpStream};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use support::{driver, watchdog};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on a thread that does not drive.
fn park_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Drives on a thread of its own until the closure, which runs on this one, is done.
fn driven<T>(work: impl FnOnce(&net::Handle) -> T) -> T {
    let _watchdog = watchdog();
    let driver = driver();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wakers = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                let mut turn = driver.try_turn().expect("nobody else drives");
                turn.wait(None, &mut wakers).expect("the poller waits");
                drop(turn);
                wakers.drain(..).for_each(Waker::wake);
            }
        });
        let output = work(&driver.handle());
        is_done.store(true, Ordering::Relaxed);
        driver.unpark();
        output
    })
}

#[test]
fn threads_echo_while_another_drives() {
    driven(|handle| {
        let _entered = handle.enter();
        let listener = Arc::new(park_on(TcpListener::bind("127.0.0.1:0")).expect("a listener"));
        let addr = listener.local_addr().expect("it is bound");
        thread::scope(|scope| {
            for number in 0..4_u8 {
                let listener = Arc::clone(&listener);
                scope.spawn(move || {
                    park_on(async {
                        let (mut stream, _) = listener.accept().await.expect("a connection");
                        let mut buf = [0; 64];
                        while let Ok(read @ 1..) = stream.read(&mut buf).await {
                            stream.write_all(&buf[..read]).await.expect("it is connected");
                        }
                    });
                });
                let handle = handle.clone();
                scope.spawn(move || {
                    let _entered = handle.enter();
                    park_on(async {
                        let mut stream = TcpStream::connect(addr).await.expect("it listens");
                        for round in 0..3000_u16 {
                            let sent = [number, round as u8, (round >> 8) as u8];
                            stream.write_all(&sent).await.expect("it is connected");
                            let mut received = [0; 3];
                            stream.read_exact(&mut received).await.expect("it is connected");
                            assert_eq!(received, sent);
                        }
                    });
                });
            }
        });
    });
}

/// Waits that are given up at random moments while events arrive must not take a wake-up from the
/// one that stays, whose byte would never come.
#[test]
fn waits_that_are_given_up_take_nothing_from_others() {
    driven(|handle| {
        let (source, mut peer) = UnixStream::pair().expect("a pair of sockets");
        source.set_nonblocking(true).expect("it is a socket");
        let registered = Registered::new(source, handle);
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let mut waits: Vec<Pin<Box<_>>> =
                        (0..3).map(|_| Box::pin(registered.ready(Interest::READABLE))).collect();
                    for wait in &mut waits {
                        let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    }
                }
            });
            for round in 0..5000_u32 {
                let sent = round as u8;
                peer.write_all(&[sent]).expect("it is connected");
                let mut received = [0];
                let read = park_on(
                    registered.io(Interest::READABLE, |mut source| source.read(&mut received)),
                );
                assert_eq!(read.expect("it is connected"), 1);
                assert_eq!(received, [sent]);
            }
            is_done.store(true, Ordering::Relaxed);
        });
    });
}

/// The first wait registers, and several threads may be the first.
#[test]
fn threads_that_wait_first_at_once_register_once() {
    driven(|handle| {
        for _ in 0..300 {
            let (source, mut peer) = UnixStream::pair().expect("a pair of sockets");
            source.set_nonblocking(true).expect("it is a socket");
            let registered = Registered::new(source, handle);
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| park_on(registered.readable()).expect("a byte comes"));
                }
                peer.write_all(b"x").expect("it is connected");
            });
        }
    });
}
