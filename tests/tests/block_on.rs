//! Several threads may be in `block_on` of one runtime at once, in both modes, and none is forgotten.

use std::future::{Future, pending};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use runtime::net::{TcpListener, TcpStream};
use runtime::task::yield_now;
use runtime::time::sleep;
use windlass_tests::{DropCount, both_modes, message_of, panic_message, single_threaded, watch};

#[test]
fn it_gives_back_what_the_future_does() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let text = String::from("borrowed, and not `Send`");
        let borrowed = std::rc::Rc::new(&text);
        let length = runtime.block_on(async {
            yield_now().await;
            borrowed.len()
        });
        assert_eq!(length, text.len());
    });
}

#[test]
fn many_threads_at_once_are_all_served() {
    let _watchdog = watch();
    both_modes(|runtime| {
        const THREADS: usize = 8;
        let barrier = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (handle, barrier) = (runtime.handle().clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    handle.block_on(async move {
                        let mut sum = 0;
                        for _ in 0..20 {
                            sleep(Duration::from_micros(500)).await;
                            yield_now().await;
                            sum += runtime::spawn(async move { number }).await.expect("no panic");
                        }
                        sum
                    })
                })
            })
            .collect();
        for (number, thread) in threads.into_iter().enumerate() {
            assert_eq!(thread.join().expect("no panic"), 20 * number);
        }
    });
}

#[test]
fn they_may_wait_for_each_other() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (ping, pinged) = async_channel::bounded::<u32>(1);
        let (pong, ponged) = async_channel::bounded::<u32>(1);
        let handle = runtime.handle().clone();
        let other = thread::spawn(move || {
            handle.block_on(async {
                while let Ok(number) = pinged.recv().await {
                    pong.send(number + 1).await.expect("the test listens");
                }
            });
        });
        let last = runtime.block_on(async {
            let mut number = 0;
            while number < 2000 {
                ping.send(number).await.expect("the thread listens");
                number = ponged.recv().await.expect("the thread answers");
            }
            number
        });
        assert_eq!(last, 2000);
        drop(ping);
        other.join().expect("no panic");
    });
}

/// Whoever came first is the worker; when it leaves, the one that waits must take the tasks, the
/// sockets and the timers over.
#[test]
fn the_second_thread_takes_over_when_the_first_leaves() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (entered, has_entered) = mpsc::channel();
        let (leave, may_leave) = async_channel::bounded::<()>(1);
        let handle = runtime.handle().clone();
        let first = thread::spawn(move || {
            handle.block_on(async {
                entered.send(()).expect("the test listens");
                may_leave.recv().await
            })
        });
        has_entered.recv().expect("the thread says so");
        let addr = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let server = runtime::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("somebody connects");
                sleep(Duration::from_millis(1)).await;
                let mut buf = [0; 5];
                stream.read_exact(&mut buf).await.expect("somebody writes");
                buf
            });
            yield_now().await;
            leave.send(()).await.expect("the thread listens");
            let mut client = TcpStream::connect(addr).await.expect("it listens");
            sleep(Duration::from_millis(1)).await;
            client.write_all(b"hello").await.expect("somebody reads");
            assert_eq!(&server.await.expect("no panic"), b"hello");
            addr
        });
        assert!(addr.port() > 0);
        first.join().expect("no panic").expect("a message");
    });
}

#[test]
fn a_woken_future_of_a_thread_that_is_not_the_worker_is_polled() {
    let _watchdog = watch();
    both_modes(|runtime| {
        // Each of the threads is woken by a plain one while another is the worker.
        let (mut senders, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..4 {
            let (send, receive) = async_channel::bounded::<u32>(1);
            let handle = runtime.handle().clone();
            threads.push(thread::spawn(move || {
                handle.block_on(async {
                    let mut sum = 0;
                    while let Ok(number) = receive.recv().await {
                        sum += number;
                    }
                    sum
                })
            }));
            senders.push(send);
        }
        for number in 0..500 {
            for sender in &senders {
                sender.send_blocking(number).expect("the thread listens");
            }
        }
        drop(senders);
        for thread in threads {
            assert_eq!(thread.join().expect("no panic"), 124_750);
        }
    });
}

#[test]
fn tasks_that_are_left_go_on_in_the_next() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (send, receive) = async_channel::bounded(1);
        runtime.block_on(async {
            runtime::spawn(async move {
                for number in 0..10 {
                    send.send(number).await.expect("the test listens");
                    sleep(Duration::from_micros(100)).await;
                }
            });
        });
        for number in 0..10 {
            assert_eq!(runtime.block_on(receive.recv()), Ok(number));
        }
    });
}

#[test]
fn a_panic_in_the_future_leaves_the_runtime_usable() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let drops = DropCount::new();
        let token = drops.token();
        runtime.spawn(async move {
            let _token = token;
            pending::<()>().await
        });
        for _ in 0..3 {
            let text = panic_message(|| {
                runtime.block_on(async {
                    let token = drops.token();
                    runtime::spawn_local(async move {
                        let _token = token;
                        pending::<()>().await
                    });
                    yield_now().await;
                    panic!("in block_on");
                })
            });
            assert_eq!(text, "in block_on");
            let task = runtime.spawn(async { sleep(Duration::from_millis(1)).await });
            runtime.block_on(task).expect("no panic");
        }
        assert_eq!(drops.get(), 3);
        drop(runtime);
        assert_eq!(drops.get(), 4);
    });
}

#[test]
fn while_one_thread_panics_the_others_go_on() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (entered, has_entered) = mpsc::channel();
        let handle = runtime.handle().clone();
        let (fail, may_fail) = async_channel::bounded::<()>(1);
        let panicking = thread::spawn(move || {
            handle.block_on(async {
                entered.send(()).expect("the test listens");
                may_fail.recv().await.expect("a message");
                panic!("in the first");
            })
        });
        has_entered.recv().expect("the thread says so");
        runtime.block_on(async {
            fail.send(()).await.expect("the thread listens");
            for _ in 0..10 {
                runtime::spawn(sleep(Duration::from_millis(1))).await.expect("no panic");
            }
        });
        let payload = panicking.join().expect_err("it panics");
        assert_eq!(message_of(&*payload), "in the first");
    });
}

#[test]
fn it_may_be_called_in_blocking_calls_of_its_own_and_of_another_runtime() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let other = single_threaded();
        let (own, others) = (runtime.handle().clone(), other.handle().clone());
        let sum = runtime.block_on(async move {
            let nested = runtime::spawn_blocking(move || {
                let task = own.spawn(async { 1 });
                let one = own.block_on(task).expect("no panic");
                let two = others.block_on(async {
                    runtime::spawn(async { runtime::Handle::current().scheduler() as u8 })
                        .await
                        .expect("no panic");
                    2
                });
                // The calling thread's runtime is the current one again.
                let three = own.block_on(runtime::spawn(async { 3 })).expect("no panic");
                one + two + three
            });
            nested.await.expect("no panic")
        });
        assert_eq!(sum, 6);
    });
}

#[test]
fn spawning_from_many_foreign_threads_loses_nothing() {
    let _watchdog = watch();
    both_modes(|runtime| {
        const PER_THREAD: usize = 2000;
        let (done, is_done) = async_channel::unbounded();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (handle, done) = (runtime.handle().clone(), done.clone());
                thread::spawn(move || {
                    for _ in 0..PER_THREAD {
                        let done = done.clone();
                        handle.spawn(async move { done.try_send(1) });
                    }
                })
            })
            .collect();
        let count = runtime.block_on(async {
            let mut count = 0;
            while count < 4 * PER_THREAD {
                count += is_done.recv().await.expect("each task sends");
            }
            count
        });
        assert_eq!(count, 4 * PER_THREAD);
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
}

#[test]
fn futures_of_any_size_and_kind_are_accepted() {
    let _watchdog = watch();
    fn boxed<'a>(depth: usize) -> std::pin::Pin<Box<dyn Future<Output = usize> + 'a>> {
        Box::pin(async move {
            match depth {
                0 => 0,
                depth => {
                    yield_now().await;
                    boxed(depth - 1).await + 1
                }
            }
        })
    }
    both_modes(|runtime| {
        assert_eq!(runtime.block_on(boxed(100)), 100);
        assert_eq!(runtime.block_on(std::future::ready(1)), 1);
        let large = [7u8; 100_000];
        let sum = runtime.block_on(async move {
            yield_now().await;
            large.iter().map(|&byte| usize::from(byte)).sum::<usize>()
        });
        assert_eq!(sum, 700_000);
    });
}
