//! However busy some tasks are, the others, the sockets and the timers get their turn.

use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{Either, join_all, select};
use runtime::fs::File;
use runtime::io::{AsyncReadExt, copy, sink};
use runtime::net::{self, TcpListener, TcpStream};
use runtime::task::{consume_budget, unconstrained, yield_now};
use runtime::time::{sleep, timeout};
use runtime::{Builder, Runtime, Scheduler};
use windlass_tests::{both_modes, single_threaded, watch};

/// Far above what is needed on a loaded machine; what starves takes for ever.
const SOON: Duration = Duration::from_secs(10);

/// In both modes. Without spare workers, one of which would start where a worker loses its core.
fn with_one_worker() -> [Runtime; 2] {
    let builder = Builder::new().scheduler(Scheduler::WorkStealing).workers(1).spare_workers(0);
    [single_threaded(), builder.build().expect("the system has threads")]
}

/// Tasks that are always ready, more than there are workers.
fn keep_busy(runtime: &Runtime) {
    for _ in 0..8 {
        runtime.spawn(async {
            loop {
                yield_now().await;
            }
        });
    }
}

#[test]
fn two_tasks_that_wake_each_other_do_not_starve_a_third() {
    let _watchdog = watch();
    for runtime in with_one_worker() {
        let rounds = Arc::new(AtomicUsize::new(0));
        let (ping, pinged) = async_channel::bounded::<()>(1);
        let (pong, ponged) = async_channel::bounded::<()>(1);
        let counted = rounds.clone();
        runtime.spawn(async move {
            while ping.send(()).await.is_ok() && ponged.recv().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        runtime.spawn(async move {
            while pinged.recv().await.is_ok() && pong.send(()).await.is_ok() {}
        });
        const TURNS: usize = 1000;
        let counted = rounds.clone();
        let third = runtime.spawn(async move {
            while counted.load(Ordering::Relaxed) == 0 {
                yield_now().await;
            }
            let before = counted.load(Ordering::Relaxed);
            for _ in 0..TURNS {
                yield_now().await;
            }
            counted.load(Ordering::Relaxed) - before
        });
        let rounds = runtime.block_on(third).expect("no panic");
        // A few rounds per turn, because what was just woken runs next, but only a few.
        assert!(rounds <= TURNS * 10, "{rounds} rounds in {TURNS} turns");
    }
}

#[test]
fn busy_workers_take_what_comes_from_outside() {
    let _watchdog = watch();
    both_modes(|runtime| {
        keep_busy(&runtime);
        let (done, is_done) = async_channel::bounded(1);
        let handle = runtime.handle().clone();
        // In single-threaded mode the tasks run only as long as somebody is in `block_on`.
        let began = Instant::now();
        let outside = std::thread::spawn(move || {
            for number in 0..100 {
                let done = done.clone();
                handle.spawn(async move { done.send(number).await });
            }
        });
        let sum = runtime.block_on(async {
            let mut sum = 0;
            for _ in 0..100 {
                sum += is_done.recv().await.expect("each task sends");
            }
            sum
        });
        assert_eq!(sum, 4950);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        outside.join().expect("no panic");
    });
}

#[test]
fn busy_workers_look_at_sockets_and_timers() {
    let _watchdog = watch();
    both_modes(|runtime| {
        keep_busy(&runtime);
        let began = Instant::now();
        let server = runtime.spawn(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let addr = listener.local_addr().expect("it is bound");
            let client = runtime::spawn(async move {
                let mut stream = TcpStream::connect(addr).await.expect("it listens");
                for number in 0..20u8 {
                    sleep(Duration::from_millis(1)).await;
                    stream.write_all(&[number]).await.expect("somebody reads");
                    let mut answer = [0];
                    stream.read_exact(&mut answer).await.expect("somebody answers");
                    assert_eq!(answer, [number]);
                }
            });
            let (mut stream, _) = listener.accept().await.expect("somebody connects");
            let mut buf = [0; 16];
            while let Ok(read @ 1..) = stream.read(&mut buf).await {
                stream.write_all(&buf[..read]).await.expect("somebody reads");
            }
            client.await
        });
        runtime.block_on(server).expect("no panic").expect("no panic");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    });
}

#[test]
fn who_wakes_itself_comes_after_all_that_became_ready_meanwhile() {
    let _watchdog = watch();
    const WAITING: usize = 3;
    let runtime = single_threaded();
    let order = Arc::new(Mutex::new(Vec::new()));
    let pairs: Vec<_> = (0..WAITING).map(|_| UnixStream::pair().expect("files are left")).collect();
    let (mut ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let readers: Vec<_> = theirs
        .into_iter()
        .map(|theirs| {
            let order = order.clone();
            theirs.set_nonblocking(true).expect("a socket");
            runtime.spawn(async move {
                let mut theirs = net::UnixStream::from_std(theirs).expect("it does not block");
                theirs.read_exact(&mut [0]).await.expect("a byte comes");
                order.lock().expect("no panic").push("reader");
            })
        })
        .collect();
    let noted = order.clone();
    let hog = runtime.spawn(async move {
        let compute = || {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(2) {}
        };
        // After this all readers wait, and the worker looks at I/O after every poll.
        for _ in 0..8 {
            compute();
            yield_now().await;
        }
        for ours in &mut ours {
            ours.write_all(b"x").expect("there is room");
        }
        compute();
        yield_now().await;
        noted.lock().expect("no panic").push("hog");
    });
    runtime.block_on(async {
        hog.await.expect("no panic");
        for reader in readers {
            reader.await.expect("no panic");
        }
    });
    assert_eq!(*order.lock().expect("no panic"), ["reader", "reader", "reader", "hog"]);
}

#[test]
fn a_busy_future_of_block_on_lets_tasks_and_timers_run() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let done = Arc::new(AtomicBool::new(false));
        let set = done.clone();
        runtime.spawn(async move {
            sleep(Duration::from_millis(2)).await;
            set.store(true, Ordering::Relaxed);
        });
        runtime.block_on(async {
            while !done.load(Ordering::Relaxed) {
                yield_now().await;
            }
        });
    });
}

#[test]
fn those_who_yield_take_turns() {
    let _watchdog = watch();
    for runtime in with_one_worker() {
        const TASKS: usize = 5;
        let turns = Arc::new(Mutex::new(Vec::new()));
        let all_there = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let (turns, all_there) = (turns.clone(), all_there.clone());
                runtime.spawn(async move {
                    all_there.fetch_add(1, Ordering::Relaxed);
                    while all_there.load(Ordering::Relaxed) < TASKS {
                        yield_now().await;
                    }
                    for _ in 0..50 {
                        turns.lock().expect("no panic").push(task);
                        yield_now().await;
                    }
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                task.await.expect("no panic");
            }
        });
        let turns = turns.lock().expect("no panic");
        // Whatever their order is, nobody has two turns before all have had one.
        for round in turns.chunks(TASKS).take(49) {
            let mut round = round.to_vec();
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3, 4], "{turns:?}");
        }
    }
}

/// Runs `busy`, which never waits, in a task beside another one that ends it.
#[track_caller]
fn assert_yields<F>(runtime: &Runtime, busy: impl FnOnce(Arc<AtomicBool>) -> F)
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let stop = Arc::new(AtomicBool::new(false));
    let busy = runtime.spawn(busy(stop.clone()));
    let other = runtime.spawn(async move { stop.store(true, Ordering::Relaxed) });
    runtime.block_on(other).expect("no panic");
    runtime.block_on(busy).expect("no panic");
}

#[test]
fn a_loop_that_is_never_done_waiting_yields_when_its_budget_is_used_up() {
    let _watchdog = watch();
    for runtime in with_one_worker() {
        assert_yields(&runtime, |stop| async move {
            while !stop.load(Ordering::Relaxed) {
                consume_budget().await;
            }
        });
        let (ready, _client) = always_readable(&runtime);
        assert_yields(&runtime, |stop| async move {
            while !stop.load(Ordering::Relaxed) {
                ready.peek(&mut [0; 1]).await.expect("a byte is there");
            }
        });
        assert_yields(&runtime, |stop| async move {
            while !stop.load(Ordering::Relaxed) {
                sleep(Duration::ZERO).await;
            }
        });
        let forced: u64 = runtime.metrics().workers.iter().map(|worker| worker.forced_yields).sum();
        runtime.block_on(yield_now());
        assert!(forced <= runtime.metrics().polls());
    }
}

/// A stream with a byte to read that nobody takes.
fn always_readable(runtime: &Runtime) -> (TcpStream, std::net::TcpStream) {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let mut client = std::net::TcpStream::connect(addr).expect("it listens");
    client.write_all(b"x").expect("it is connected");
    let (stream, _) = runtime.block_on(listener.accept()).expect("somebody has connected");
    (stream, client)
}

async fn consume_for_ever() {
    loop {
        consume_budget().await;
    }
}

async fn peek_for_ever(stream: TcpStream) {
    loop {
        stream.peek(&mut [0; 1]).await.expect("a byte is there");
    }
}

#[test]
fn a_timeout_around_a_loop_that_is_never_done_waiting_fires() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let limit = Duration::from_millis(5);
        let (ready, _client) = always_readable(&runtime);
        let task = runtime.spawn(async move {
            timeout(limit, consume_for_ever()).await.expect_err("it never ends");
            timeout(limit, peek_for_ever(ready)).await.expect_err("it never ends");
        });
        runtime.block_on(task).expect("no panic");
        let forced: u64 = runtime.metrics().workers.iter().map(|worker| worker.forced_yields).sum();
        assert!(forced > 0);
        let eaten = runtime.block_on(async { timeout(limit, consume_for_ever()).await });
        eaten.expect_err("it never ends");
    });
}

/// `select` polls the first one first, each time.
async fn comes_after(first: impl Future<Output = ()>, second: impl Future) {
    match select(pin!(first), pin!(second)).await {
        Either::Left(_) => panic!("the first one never ends"),
        Either::Right(_) => {}
    }
}

#[test]
fn who_shares_a_task_with_a_loop_that_is_never_done_waiting_gets_its_turn() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let (ready, _client) = always_readable(&runtime);
        let exe = std::env::current_exe().expect("this is Linux");
        let task = runtime.spawn(async move {
            let file = File::open(exe).await.expect("it runs");
            comes_after(consume_for_ever(), sleep(Duration::from_millis(1))).await;
            let complete = runtime::spawn(async {});
            while !complete.is_finished() {
                yield_now().await;
            }
            comes_after(consume_for_ever(), complete).await;
            comes_after(consume_for_ever(), async { ready.peek(&mut [0; 1]).await }).await;
            let fifteen = || join_all((0..15).map(|_| consume_for_ever())).map(drop);
            comes_after(fifteen(), sleep(Duration::from_millis(1))).await;
            // The budget of a large read is several units, and that of copying two.
            comes_after(fifteen(), file.read_at(&mut vec![0; 128 << 10], 0)).await;
            comes_after(fifteen(), copy(&mut (&ready).take(1), &mut sink())).await;
        });
        runtime.block_on(task).expect("no panic");
    });
}

#[test]
fn an_unconstrained_loop_does_not_yield() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            let mut polls = 0;
            let mut long = pin!(unconstrained(async {
                for _ in 0..10_000 {
                    consume_budget().await;
                }
            }));
            poll_fn(|cx| {
                polls += 1;
                long.as_mut().poll(cx)
            })
            .await;
            // The budget of the task itself is untouched.
            let mut one_more = pin!(consume_budget());
            let is_ready = poll_fn(|cx| Poll::Ready(one_more.as_mut().poll(cx).is_ready())).await;
            (polls, is_ready)
        });
        assert_eq!(runtime.block_on(task).expect("no panic"), (1, true));
    });
}
