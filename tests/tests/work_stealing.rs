//! Work spreads over the workers, and no wake-up is lost on the way.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::thread;

use runtime::task::yield_now;
use runtime::{Builder, Scheduler};
use windlass_tests::{both_modes, watch, work_stealing};

#[test]
fn two_tasks_that_were_spawned_on_one_worker_run_at_the_same_time() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    for _ in 0..100 {
        let spawner = runtime.spawn(async {
            let both = Arc::new(Barrier::new(2));
            let meet = || {
                let both = both.clone();
                // Returns only when the other task is in here too, on another thread.
                runtime::spawn(async move { both.wait().is_leader() })
            };
            let (one, other) = (meet(), meet());
            let leads = [one.await.expect("no panic"), other.await.expect("no panic")];
            assert!(leads[0] != leads[1]);
        });
        runtime.block_on(spawner).expect("no panic");
    }
    assert!(runtime.metrics().steals() > 0);
}

#[test]
fn all_workers_take_part() {
    let _watchdog = watch();
    const WORKERS: usize = 4;
    let runtime = work_stealing(WORKERS);
    let all = Arc::new(Barrier::new(WORKERS));
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let tasks: Vec<_> = (0..WORKERS)
        .map(|_| {
            let (all, threads) = (all.clone(), threads.clone());
            runtime.spawn(async move {
                threads.lock().expect("no panic").insert(thread::current().id());
                all.wait();
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    assert_eq!(threads.lock().expect("no panic").len(), WORKERS);
}

#[test]
fn workers_have_names_and_hooks() {
    let _watchdog = watch();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let count = |hook: usize| {
        let counts = counts.clone();
        move || {
            counts[hook].fetch_add(1, Ordering::SeqCst);
        }
    };
    let runtime = Builder::new()
        .scheduler(Scheduler::WorkStealing)
        .workers(3)
        .thread_name("api")
        .on_thread_start(count(0))
        .on_thread_stop(count(1))
        .build()
        .expect("the system has threads");
    let name = || thread::current().name().map(str::to_owned);
    let task = runtime.spawn(async move { name() });
    let task = runtime.block_on(task).expect("no panic").expect("it has a name");
    assert!(task.starts_with("api-worker-"), "{task}");
    let call = runtime.spawn_blocking(name);
    let call = runtime.block_on(call).expect("no panic").expect("it has a name");
    assert!(call.starts_with("api-blocking-"), "{call}");
    drop(runtime);
    let [starts, stops] = [0, 1].map(|hook: usize| counts[hook].load(Ordering::SeqCst));
    assert_eq!(starts, stops);
    assert!(starts >= 4, "{starts}");
}

/// The workers are asleep, or about to be, each time: the moment in which wake-ups get lost.
#[test]
fn a_hundred_thousand_wakes_from_a_foreign_thread_all_arrive() {
    let _watchdog = watch();
    const PINGS: usize = 100_000;
    both_modes(|runtime| {
        let (pings, pongs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (waker, wakers) = mpsc::channel::<Waker>();
        let task = {
            let (pings, pongs, mut waker) = (pings.clone(), pongs.clone(), Some(waker));
            runtime.spawn(poll_fn(move |cx| {
                if let Some(waker) = waker.take() {
                    waker.send(cx.waker().clone()).expect("the thread listens");
                }
                let pings = pings.load(Ordering::Acquire);
                pongs.store(pings, Ordering::Release);
                if pings == PINGS { Poll::Ready(()) } else { Poll::Pending }
            }))
        };
        let pinger = thread::spawn(move || {
            let waker = wakers.recv().expect("the task is polled");
            for ping in 1..=PINGS {
                pings.store(ping, Ordering::Release);
                waker.wake_by_ref();
                while pongs.load(Ordering::Acquire) < ping {
                    thread::yield_now();
                }
            }
        });
        runtime.block_on(task).expect("no panic");
        pinger.join().expect("no panic");
    });
}

#[test]
fn tasks_that_wake_each_other_across_workers_lose_nothing() {
    let _watchdog = watch();
    both_modes(|runtime| {
        const TASKS: usize = 64;
        const ROUNDS: usize = 200;
        // A ring: each passes every token on.
        let channels: Vec<_> = (0..TASKS).map(|_| async_channel::unbounded::<usize>()).collect();
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let receive = channels[task].1.clone();
                let send = channels[(task + 1) % TASKS].0.clone();
                runtime.spawn(async move {
                    let mut seen = 0;
                    while seen < ROUNDS {
                        let token = receive.recv().await.expect("the ring is closed");
                        send.try_send(token).expect("the ring is closed");
                        seen += 1;
                    }
                    seen
                })
            })
            .collect();
        for (token, (send, _)) in channels.iter().enumerate().take(4) {
            send.try_send(token).expect("the channel has no limit");
        }
        runtime.block_on(async {
            for task in tasks {
                assert_eq!(task.await.expect("no panic"), ROUNDS);
            }
        });
    });
}

#[test]
fn a_storm_of_tasks_from_four_threads_is_weathered() {
    let _watchdog = watch();
    both_modes(|runtime| {
        const PER_THREAD: usize = 25_000;
        let done = Arc::new(AtomicUsize::new(0));
        let (last, is_last) = async_channel::bounded::<()>(1);
        let spawners: Vec<_> = (0..4)
            .map(|_| {
                let (handle, done, last) = (runtime.handle().clone(), done.clone(), last.clone());
                thread::spawn(move || {
                    for number in 0..PER_THREAD {
                        let (done, last) = (done.clone(), last.clone());
                        handle.spawn(async move {
                            if number % 8 == 0 {
                                yield_now().await;
                            }
                            if done.fetch_add(1, Ordering::SeqCst) + 1 == 4 * PER_THREAD {
                                last.try_send(()).expect("there is room");
                            }
                        });
                    }
                })
            })
            .collect();
        runtime.block_on(is_last.recv()).expect("the last task sends");
        spawners.into_iter().for_each(|spawner| spawner.join().expect("no panic"));
        while runtime.metrics().live_tasks > 0 {
            runtime.block_on(yield_now());
        }
        let metrics = runtime.metrics();
        // One poll each, and one more for each eighth.
        assert_eq!(metrics.polls() as usize, 4 * PER_THREAD + 4 * PER_THREAD / 8);
        assert_eq!(metrics.injected, 0);
        assert!(metrics.workers.iter().all(|worker| worker.queued == 0), "{metrics:?}");
    });
}

#[test]
fn the_metrics_add_up() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let workers = runtime.metrics().workers.len();
        assert!(workers == 1 || workers == 2);
        let (go, may_go) = async_channel::bounded::<()>(1);
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let may_go = may_go.clone();
                runtime.spawn(async move { may_go.recv().await.is_err() })
            })
            .collect();
        while runtime.metrics().polls() < 10 {
            runtime.block_on(yield_now());
        }
        let metrics = runtime.metrics();
        assert_eq!((metrics.live_tasks, metrics.polls()), (10, 10));
        assert_eq!((metrics.blocking_threads, metrics.blocking_queue), (0, 0));
        go.close();
        runtime.block_on(async {
            for task in tasks {
                assert!(task.await.expect("no panic"));
            }
        });
        runtime.block_on(runtime.spawn_blocking(|| ())).expect("no panic");
        // The task's handle is told before the task is counted out.
        while runtime.metrics().live_tasks > 0 {
            runtime.block_on(yield_now());
        }
        let metrics = runtime.metrics();
        assert_eq!((metrics.live_tasks, metrics.polls()), (0, 20));
        assert_eq!((metrics.blocking_threads, metrics.blocking_queue), (1, 0));
        // In the end all sleep.
        while runtime.metrics().parked_workers < workers {
            thread::yield_now();
        }
    });
}

#[test]
fn the_same_seed_may_be_given_twice() {
    let _watchdog = watch();
    for seed in [0, 1, u64::MAX] {
        let runtime = Builder::new().workers(3).seed(seed).build().expect("threads");
        let tasks: Vec<_> = (0..100).map(|number| runtime.spawn(async move { number })).collect();
        let sum = runtime.block_on(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await.expect("no panic");
            }
            sum
        });
        assert_eq!(sum, 4950, "seed {seed}");
    }
}
