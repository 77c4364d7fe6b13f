//! Tasks that are spawned, woken and joined.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};

use shuttle::thread;

use super::{Drops, assert_nothing_is_left, end, explore, work_stealing};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::task::yield_now;

/// Two threads and a task spawn at once, into workers that go to sleep and wake up.
fn spawns_and_joins(workers: usize) {
    let runtime = work_stealing(workers);
    let drops = Drops::new();
    let spawn_outside = |count: usize| {
        let (handle, drops) = (runtime.handle().clone(), drops.clone());
        thread::spawn(move || {
            let spawn = |_| {
                let token = drops.token();
                handle.spawn(async move {
                    let _token = token;
                    yield_now().await;
                })
            };
            let joins: Vec<_> = (0..count).map(spawn).collect();
            handle.block_on(async {
                for join in joins {
                    join.await.expect("nobody cancels it");
                }
            });
        })
    };
    let outside = spawn_outside(2);
    let (sum, unfinished) = runtime.block_on(async {
        let inner = [drops.token(), drops.token(), drops.token()];
        let token = drops.token();
        let outer = crate::spawn(async move {
            let _token = token;
            let spawn = |token| {
                crate::spawn(async move {
                    let _token = token;
                    1
                })
            };
            let mut sum = 0;
            for join in inner.map(spawn) {
                sum += join.await.expect("nobody cancels it");
            }
            sum
        });
        let token = drops.token();
        let unfinished = crate::spawn(async move {
            let _token = token;
            pending::<()>().await;
        });
        (outer.await.expect("nobody cancels it"), unfinished)
    });
    assert_eq!(sum, 3);
    outside.join().expect("it does not panic");
    assert_eq!(drops.count(), 6);
    let handle = end(runtime);
    drops.assert_all();
    assert!(unfinished.is_finished());
    drop(unfinished);
    assert_nothing_is_left(&handle);
}

#[test]
fn every_task_that_is_spawned_runs_and_is_dropped_once() {
    explore(&[2, 3], spawns_and_joins);
}

/// Whose turn it is, and the task that waits for its own.
#[derive(Default)]
struct Turns {
    next: usize,
    waiting: Option<Waker>,
}

async fn take_turn(turns: &Mutex<Turns>, turn: usize) {
    poll_fn(|cx| {
        let mut turns = turns.lock();
        if turns.next != turn {
            turns.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        turns.next += 1;
        let waiting = turns.waiting.take();
        drop(turns);
        if let Some(waker) = waiting {
            waker.wake();
        }
        Poll::Ready(())
    })
    .await;
}

/// Two tasks wake each other in turn, and yield at different moments.
fn turns(workers: usize) {
    const ROUNDS: usize = 3;
    let runtime = work_stealing(workers);
    let turns = Arc::new(Mutex::new(Turns::default()));
    let player = |player: usize| {
        let turns = turns.clone();
        runtime.spawn(async move {
            for round in 0..ROUNDS {
                take_turn(&turns, 2 * round + player).await;
                if round % 2 == player {
                    yield_now().await;
                }
            }
        })
    };
    let players = [player(0), player(1)];
    // The thread itself is woken too, and the workers are asleep in between.
    runtime.block_on(async {
        for player in players {
            player.await.expect("nobody cancels it");
        }
    });
    assert_eq!(turns.lock().next, 2 * ROUNDS);
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn tasks_that_wake_each_other_all_go_on() {
    explore(&[2, 3], turns);
}

/// Two threads wake the future of a `block_on` at every moment of the loop that polls it.
fn wakes_of_a_root(workers: usize) {
    const WAKES: usize = 3;
    let runtime = work_stealing(workers);
    let wakes = Arc::new(AtomicUsize::new(0));
    let mut wakers = Vec::new();
    runtime.block_on(poll_fn(|cx| {
        while wakers.len() < 2 {
            let (wakes, waker) = (wakes.clone(), cx.waker().clone());
            wakers.push(thread::spawn(move || {
                for _ in 0..WAKES {
                    wakes.fetch_add(1, Ordering::SeqCst);
                    waker.wake_by_ref();
                }
            }));
        }
        match wakes.load(Ordering::SeqCst) == 2 * WAKES {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    for waker in wakers {
        waker.join().expect("it does not panic");
    }
    assert_nothing_is_left(&end(runtime));
}

#[test]
fn a_thread_that_waits_sees_every_wake_up() {
    explore(&[2, 3], wakes_of_a_root);
}

/// What a schedule does depends on nothing but the schedule, or nobody could see a failure again.
#[test]
fn a_schedule_can_be_run_again() {
    shuttle::check_uncontrolled_nondeterminism(|| spawns_and_joins(2), 20);
}
