//! Timers work wherever the runtime is entered, and tests may stop its clock.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use runtime::Scheduler;
use runtime::task::{block_in_place, yield_now};
use runtime::time::{
    Instant, MissedTickBehavior, advance, interval, pause, resume, sleep, sleep_until, timeout,
};
use windlass_tests::{both_modes, foreign_block_on, named, single_threaded, watch, work_stealing};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_sleep_is_never_early_wherever_it_is_awaited() {
    let _watchdog = watch();
    async fn check() {
        for length in [Duration::ZERO, Duration::from_nanos(1), MS / 2, MS, 3 * MS] {
            let began = std::time::Instant::now();
            sleep(length).await;
            assert!(began.elapsed() >= length, "{:?} of {length:?}", began.elapsed());
        }
    }
    both_modes(|runtime| {
        runtime.block_on(check());
        runtime.block_on(runtime.spawn(check())).expect("no panic");
        runtime.block_on(async { runtime::spawn_local(check()).await }).expect("no panic");
    });
}

#[test]
fn a_foreign_thread_that_has_entered_may_sleep() {
    let _watchdog = watch();
    let runtime = work_stealing(2);
    let handle = runtime.handle().clone();
    let foreign = thread::spawn(move || {
        let _entered = handle.enter();
        for _ in 0..10 {
            let began = std::time::Instant::now();
            foreign_block_on(sleep(MS));
            assert!(began.elapsed() >= MS);
        }
        foreign_block_on(timeout(MS, std::future::pending::<()>())).expect_err("it never ends")
    });
    foreign.join().expect("no panic");
    // In single-threaded mode somebody has to be in `block_on` for it.
    let runtime = single_threaded();
    let (done, is_done) = async_channel::bounded::<()>(1);
    let handle = runtime.handle().clone();
    let foreign = thread::spawn(move || {
        let _entered = handle.enter();
        foreign_block_on(sleep(3 * MS));
        drop(done);
    });
    runtime.block_on(is_done.recv()).expect_err("nothing is sent");
    foreign.join().expect("no panic");
}

#[test]
fn a_paused_clock_jumps_when_everybody_waits_for_it() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let real = std::time::Instant::now();
        runtime.block_on(async {
            pause();
            let began = Instant::now();
            sleep(HOUR).await;
            assert_eq!(began.elapsed(), HOUR);
            let task = runtime::spawn(async {
                sleep(24 * HOUR).await;
                Instant::now()
            });
            assert_eq!(task.await.expect("no panic") - began, 25 * HOUR);
            let local = runtime::spawn_local(sleep(HOUR));
            local.await.expect("no panic");
            assert_eq!(began.elapsed(), 26 * HOUR);
        });
        assert!(real.elapsed() < HOUR);
    });
}

#[test]
fn with_a_paused_clock_many_sleeps_end_in_order_at_exact_times() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let ended = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            pause();
            let began = Instant::now();
            let tasks: Vec<_> = (0..200)
                .map(|task| {
                    // Each length comes once, in a mixed order.
                    let length = MS * (task * 37 % 200 + 1);
                    let ended = ended.clone();
                    runtime::spawn(async move {
                        sleep_until(began + length).await;
                        let now = began.elapsed();
                        ended.lock().expect("no panic").push(now);
                        assert_eq!(now, length);
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the time is exact");
            }
        });
        let ended = ended.lock().expect("no panic");
        let expected: Vec<_> = (1..=200).map(|ms| MS * ms).collect();
        assert_eq!(*ended, expected);
    });
}

#[test]
fn a_paused_clock_waits_for_blocking_calls() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let began = Instant::now();
            let call = runtime::spawn_blocking(|| thread::sleep(20 * MS));
            timeout(HOUR, call).await.expect("time stands still meanwhile").expect("no panic");
            assert_eq!(began.elapsed(), Duration::ZERO);
            // Afterwards it jumps again.
            sleep(HOUR).await;
            assert_eq!(began.elapsed(), HOUR);
        });
    });
}

#[test]
fn a_paused_clock_waits_for_tasks_that_are_busy() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let busy = runtime::spawn(async {
                for _ in 0..1000 {
                    yield_now().await;
                }
            });
            timeout(MS, busy).await.expect("time stands still meanwhile").expect("no panic");
        });
    });
}

#[test]
fn advance_fires_what_is_due_and_nothing_else() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let mut ten = pin!(sleep(10 * MS));
            let mut is_over =
                async || poll_fn(|cx| Poll::Ready(ten.as_mut().poll(cx).is_ready())).await;
            assert!(!is_over().await);
            advance(9 * MS).await;
            assert!(!is_over().await);
            advance(MS - Duration::from_nanos(1)).await;
            assert!(!is_over().await);
            advance(Duration::from_nanos(1)).await;
            assert!(is_over().await);
        });
    });
}

#[test]
fn advance_wakes_the_tasks_of_all_workers() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            pause();
            let began = Instant::now();
            let armed = async_channel::bounded::<()>(100);
            let tasks: Vec<_> = (0..100)
                .map(|_| {
                    let armed = armed.0.clone();
                    runtime::spawn(async move {
                        let mut hour = pin!(sleep_until(began + HOUR));
                        poll_fn(|cx| {
                            let poll = hour.as_mut().poll(cx);
                            let _ = armed.try_send(());
                            poll
                        })
                        .await;
                    })
                })
                .collect();
            for _ in 0..100 {
                armed.1.recv().await.expect("each task says so");
            }
            advance(HOUR).await;
            for task in tasks {
                task.await.expect("no panic");
            }
            assert_eq!(began.elapsed(), HOUR);
        });
    });
}

#[test]
fn after_resume_time_passes_by_itself() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let before = Instant::now();
            pause();
            advance(HOUR).await;
            resume();
            assert!(before.elapsed() >= HOUR);
            let real = std::time::Instant::now();
            sleep(2 * MS).await;
            assert!(real.elapsed() >= 2 * MS);
        });
    });
}

#[test]
fn one_clock_that_is_paused_does_not_stop_another() {
    let _watchdog = watch();
    let (paused, running) = (single_threaded(), single_threaded());
    paused.block_on(async { pause() });
    let real = std::time::Instant::now();
    running.block_on(sleep(2 * MS));
    assert!(real.elapsed() >= 2 * MS);
    paused.block_on(sleep(HOUR));
    assert!(real.elapsed() < HOUR);
}

#[test]
fn an_interval_ticks_on_its_grid() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            pause();
            let began = Instant::now();
            let mut ticks = interval(10 * MS);
            for number in 0..5 {
                assert_eq!(ticks.tick().await - began, 10 * MS * number);
            }
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            advance(25 * MS).await;
            let late: Vec<_> = [ticks.tick().await, ticks.tick().await, ticks.tick().await]
                .map(|at| at - began)
                .into();
            (late, began.elapsed())
        });
        let (late, elapsed) = runtime.block_on(task).expect("no panic");
        assert_eq!(elapsed, 80 * MS);
        assert_eq!(late[1..], [70 * MS, 80 * MS]);
    });
}

#[test]
fn a_timeout_gives_what_comes_first() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let task = runtime.spawn(async {
            pause();
            assert_eq!(timeout(MS, async { 1 }).await.expect("it is ready"), 1);
            assert_eq!(timeout(Duration::ZERO, async { 2 }).await.expect("it is ready"), 2);
            timeout(MS, sleep(2 * MS)).await.expect_err("it takes longer");
            timeout(2 * MS, sleep(MS)).await.expect("it is faster");
            timeout(Duration::MAX, sleep(HOUR)).await.expect("it is faster");
            let nested = timeout(2 * MS, timeout(MS, std::future::pending::<()>())).await;
            nested.expect("the inner one is first").expect_err("it never ends");
        });
        runtime.block_on(task).expect("no panic");
    });
}

#[test]
fn a_thousand_real_sleeps_over_many_threads_all_end() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let tasks: Vec<_> = (0..1000u32)
            .map(|task| {
                runtime.spawn(async move {
                    let length = MS * (task % 20);
                    let began = std::time::Instant::now();
                    sleep(length).await;
                    began.elapsed() >= length
                })
            })
            .collect();
        runtime.block_on(async {
            for task in tasks {
                assert!(task.await.expect("no panic"), "a sleep was early");
            }
        });
    });
}

#[test]
fn a_paused_clock_jumps_when_the_last_to_leave_is_a_spare_worker() {
    let _watchdog = watch();
    let runtime = named("pj", Scheduler::WorkStealing).workers(1);
    let runtime = runtime.blocked_after(Duration::MAX).build().expect("the system has threads");
    runtime.block_on(async {
        pause();
        drop(runtime.spawn(async {
            let (begun, has_begun) = mpsc::channel();
            drop(runtime::spawn(async move {
                begun.send(()).expect("it is waited for");
                // Longer than a spare worker is kept that nobody needs.
                thread::sleep(Duration::from_millis(1500));
            }));
            block_in_place(|| has_begun.recv()).expect("a spare worker runs it");
        }));
        sleep(HOUR).await;
    });
}

/// Another thread, which comes to rest in the same runtime meanwhile.
#[test]
fn a_waker_of_a_paused_clock_may_wait_for_another_thread() {
    struct Asks(mpsc::Sender<mpsc::Sender<()>>);

    impl Wake for Asks {
        fn wake(self: Arc<Self>) {
            let (answer, answered) = mpsc::channel();
            self.0.send(answer).expect("the other thread listens");
            answered.recv().expect("it answers");
        }
    }

    let _watchdog = watch();
    let runtime = work_stealing(2);
    let (ask, asked) = mpsc::channel::<mpsc::Sender<()>>();
    let handle = runtime.handle().clone();
    let other = thread::spawn(move || {
        for answer in asked {
            handle.block_on(handle.spawn(async {})).expect("no panic");
            answer.send(()).expect("it is waited for");
        }
    });
    let task = runtime.spawn(async move {
        pause();
        let waker = Waker::from(Arc::new(Asks(ask)));
        for _ in 0..20 {
            let mut asking = pin!(sleep(MS));
            assert!(asking.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            sleep(MS).await;
        }
    });
    runtime.block_on(task).expect("no panic");
    other.join().expect("no panic");
}
