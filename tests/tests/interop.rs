//! What others have written for any executor works on this one: combinators, channels and locks.

use std::time::Duration;

use futures_util::future::{Either, join_all, select, try_join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, io::AsyncReadExt, io::AsyncWriteExt, join};
use runtime::net::{TcpListener, TcpStream};
use runtime::task::yield_now;
use runtime::time::{interval, pause, sleep};
use windlass_tests::{both_modes, watch};

const MS: Duration = Duration::from_millis(1);

#[test]
fn join_and_select_of_futures_util() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            pause();
            let (one, two) = join!(async { 1 }, sleep(MS).map(|()| 2));
            assert_eq!((one, two), (1, 2));
            let (slow, fast) = (Box::pin(sleep(2 * MS)), Box::pin(sleep(MS)));
            let Either::Right(((), slow)) = select(slow, fast).await else {
                panic!("the slow one was first")
            };
            slow.await;
            let handles = [1, 2].map(|number| runtime::spawn(async move { number }));
            let [one, two] = handles;
            assert_eq!(try_join(one, two).await.expect("no panic"), (1, 2));
            let mut late = Box::pin(sleep(3 * MS).fuse());
            let mut early = Box::pin(sleep(MS).fuse());
            futures_util::select_biased! {
                () = late => panic!("the late one was first"),
                () = early => {}
            }
        });
        runtime.block_on(task).expect("no panic");
    });
}

#[test]
fn collections_of_futures() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            pause();
            let mut sleeps: FuturesUnordered<_> = [5u32, 1, 4, 2, 3]
                .map(|number| sleep(MS * number).map(move |()| number))
                .into_iter()
                .collect();
            let mut order = Vec::new();
            while let Some(number) = sleeps.next().await {
                order.push(number);
            }
            assert_eq!(order, [1, 2, 3, 4, 5]);
            let tasks: FuturesUnordered<_> =
                (0..1000).map(|number| runtime::spawn(async move { number })).collect();
            let sum: u32 = tasks
                .map(|number| number.expect("no panic"))
                .collect::<Vec<_>>()
                .await
                .iter()
                .sum();
            assert_eq!(sum, 499_500);
            let all = join_all((0..1000).map(|number| async move {
                yield_now().await;
                number
            }));
            assert_eq!(all.await.len(), 1000);
        });
        runtime.block_on(task).expect("no panic");
    });
}

#[test]
fn streams_of_ours() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let clients = runtime::spawn(async move {
                for _ in 0..3 {
                    TcpStream::connect(addr).await.expect("it listens");
                }
            });
            let accepted = StreamExt::take(listener.incoming(), 3).collect::<Vec<_>>().await;
            assert!(accepted.iter().all(Result::is_ok));
            clients.await.expect("no panic");
            pause();
            let began = runtime::time::Instant::now();
            let ticks = StreamExt::take(interval(MS), 4).collect::<Vec<_>>().await;
            assert_eq!(ticks.last().copied(), Some(began + 3 * MS));
        });
    });
}

#[test]
fn the_io_traits_of_futures() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let echo = runtime::spawn(async move {
                let (stream, _) = listener.accept().await.expect("somebody connects");
                futures_util::io::copy(&stream, &mut &stream).await
            });
            let stream = TcpStream::connect(addr).await.expect("it listens");
            let (mut reader, mut writer) = (&stream, &stream);
            let sent = vec![7; 300_000];
            let write = async {
                AsyncWriteExt::write_all(&mut writer, &sent).await.expect("it is connected");
                AsyncWriteExt::close(&mut writer).await.expect("it is connected");
            };
            let mut received = Vec::new();
            let read = AsyncReadExt::read_to_end(&mut reader, &mut received);
            let ((), read) = join!(write, read);
            assert_eq!(read.expect("it is connected"), sent.len());
            assert_eq!(received, sent);
            assert_eq!(echo.await.expect("no panic").expect("it is connected"), 300_000);
        });
    });
}

#[test]
fn async_channel_between_tasks_and_threads() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (send, receive) = async_channel::bounded(4);
        let thread = std::thread::spawn({
            let send = send.clone();
            move || (0..1000).for_each(|number| send.send_blocking(number).expect("it is open"))
        });
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let send = send.clone();
                runtime.spawn(async move {
                    for number in 0..1000 {
                        send.send(number).await.expect("it is open");
                    }
                })
            })
            .collect();
        drop(send);
        let receivers: Vec<_> = (0..3)
            .map(|_| {
                let receive = receive.clone();
                runtime.spawn(receive.fold(0u64, async |sum, number: u64| sum + number))
            })
            .collect();
        drop(receive);
        runtime.block_on(async {
            let mut sum = 0;
            for receiver in receivers {
                sum += receiver.await.expect("no panic");
            }
            assert_eq!(sum, 5 * 499_500);
            join_all(senders).await.into_iter().for_each(|sender| sender.expect("no panic"));
        });
        thread.join().expect("no panic");
    });
}

#[test]
fn channels_and_locks_of_tokio() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            let (send, mut receive) = tokio::sync::mpsc::channel::<(u32, Reply)>(2);
            type Reply = tokio::sync::oneshot::Sender<u32>;
            let server = runtime::spawn(async move {
                while let Some((number, reply)) = receive.recv().await {
                    reply.send(number * 2).expect("somebody waits");
                }
            });
            let total = std::sync::Arc::new(tokio::sync::Mutex::new(0));
            let clients: Vec<_> = (0..100)
                .map(|number| {
                    let (send, total) = (send.clone(), total.clone());
                    runtime::spawn(async move {
                        let (reply, answer) = tokio::sync::oneshot::channel();
                        send.send((number, reply)).await.expect("the server listens");
                        let answer = answer.await.expect("the server answers");
                        let mut total = total.lock().await;
                        yield_now().await;
                        *total += answer;
                    })
                })
                .collect();
            drop(send);
            for client in clients {
                client.await.expect("no panic");
            }
            server.await.expect("no panic");
            assert_eq!(*total.lock().await, 9900);
        });
        runtime.block_on(task).expect("no panic");
    });
}

#[test]
fn notifications_of_tokio() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let notify = std::sync::Arc::new(tokio::sync::Notify::new());
        let (watched, mut watching) = tokio::sync::watch::channel(0);
        let waiting = runtime.spawn({
            let notify = notify.clone();
            async move { notify.notified().await }
        });
        let seen = runtime.spawn(async move {
            watching.wait_for(|&value| value == 10).await.expect("it is open");
        });
        runtime.block_on(async {
            for value in 1..=10 {
                watched.send(value).expect("somebody watches");
                yield_now().await;
            }
            notify.notify_one();
            waiting.await.expect("no panic");
            seen.await.expect("no panic");
        });
    });
}
