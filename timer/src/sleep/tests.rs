//! What a sleep promises, mostly on a paused clock.

use super::*;
use crate::paused::{Paused, poll_once};
use crate::wake_count::WakeCount;
use crate::{Clock, Driver, Hooks};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_sleep_is_small_and_goes_anywhere() {
    fn check<T: Send + Sync + Unpin>() {}
    check::<Sleep>();
    assert!(size_of::<Sleep>() <= 64);
}

#[test]
fn a_sleep_ends_at_its_deadline_to_the_nanosecond() {
    for nanos in [1, 65_535, 65_536, 65_537, 1_000_000, u64::from(u32::MAX), 1 << 53] {
        let paused = Paused::new();
        let duration = Duration::from_nanos(nanos);
        paused.block_on(sleep(duration));
        assert_eq!(paused.elapsed(), duration);
    }
}

#[test]
fn an_elapsed_sleep_is_ready_and_leaves_the_wheel_alone() {
    let paused = Paused::new();
    paused.block_on(async {
        sleep(Duration::ZERO).await;
        sleep_until(paused.start).await;
    });
    assert_eq!(paused.elapsed(), Duration::ZERO);
    let mut sleep = sleep(MS);
    paused.clock.advance(MS);
    assert!(sleep.is_elapsed());
    assert!(poll_once(&mut sleep, Waker::noop()).is_ready());
    assert!(poll_once(&mut sleep, Waker::noop()).is_ready(), "and it stays ready");
    assert_eq!(paused.driver.next_deadline(), None);
}

/// Waits until a sleep's deadline and its tick have passed, in real time.
fn outwait(sleep: &Sleep) {
    while Instant::now() < sleep.deadline() + TICK {
        std::hint::spin_loop();
    }
}

#[test]
fn what_is_over_before_its_first_poll_is_ready_or_fires_at_the_next_turn() {
    for is_owner in [true, false] {
        let (driver, unparks) = unpark_counting_driver();
        let handle = driver.handle();
        let _guard = if is_owner { handle.enter_as_owner() } else { handle.enter() };
        let mut far = sleep(3600 * 1000 * MS);
        assert!(poll_once(&mut far, Waker::noop()).is_pending());
        let before = unparks.load(Ordering::Relaxed);
        let (count, waker) = WakeCount::new();
        let mut over = sleep(MS);
        outwait(&over);
        let mut wakers = Vec::new();
        // The wheel has gone past the deadline, too.
        driver.turn(driver.clock().now(), &mut wakers);
        assert!(over.is_elapsed());
        assert!(poll_once(&mut over, &waker).is_pending(), "its first poll reads no clock");
        assert_eq!(unparks.load(Ordering::Relaxed) - before, usize::from(!is_owner));
        let now = driver.clock().now();
        assert!(driver.next_deadline().is_some_and(|deadline| deadline <= now), "no time to park");
        assert_eq!(driver.turn(now, &mut wakers), 1);
        wakers.into_iter().for_each(Waker::wake);
        assert_eq!(count.get(), 1);
        assert!(poll_once(&mut over, &waker).is_ready());

        let mut until = sleep_until(over.deadline());
        assert!(poll_once(&mut until, &waker).is_ready(), "it looks at the clock");
        let mut short = sleep(Duration::from_nanos(65_535));
        outwait(&short);
        assert!(poll_once(&mut short, &waker).is_ready(), "it need not wait for a tick");
        assert!(poll_once(&mut sleep(Duration::ZERO), &waker).is_ready());
        let mut reset = sleep(3600 * 1000 * MS);
        reset.reset(over.deadline());
        assert!(poll_once(&mut reset, &waker).is_ready(), "a new deadline is looked at");
    }
}

#[test]
fn what_is_over_before_its_first_poll_needs_no_runtime() {
    let mut over = [sleep(MS), sleep(MS)];
    outwait(&over[1]);
    assert!(poll_once(&mut over[0], Waker::noop()).is_ready());
    let (closed, _) = unpark_counting_driver();
    closed.close(&mut Vec::new());
    let _guard = closed.handle().enter();
    assert!(poll_once(&mut over[1], Waker::noop()).is_ready());
}

#[test]
fn sleeps_that_are_over_yield_when_the_budget_is_used_up() {
    let paused = Paused::new();
    let ((), polls) = paused.block_on(async {
        for _ in 0..10 {
            sleep(Duration::ZERO).await;
        }
    });
    assert_eq!(polls, 3, "10 units at 4 a poll");
}

#[test]
fn for_ever_is_far_and_does_not_overflow() {
    let years = |years: u64| Duration::from_secs(years * 365 * 24 * 3600);
    for duration in [Duration::MAX, Duration::MAX - MS, years(300), years(2000)] {
        let paused = Paused::new();
        let (count, waker) = WakeCount::new();
        let mut sleep = sleep(duration);
        assert!(poll_once(&mut sleep, &waker).is_pending());
        paused.clock.advance(years(270));
        assert!(poll_once(&mut sleep, &waker).is_pending(), "{duration:?}");
        assert_eq!(count.get(), 0);
        paused.clock.advance(Duration::MAX);
        assert_eq!(count.get(), 1, "the end of time comes for all");
    }
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let paused = Paused::new();
    let (first_count, first) = WakeCount::new();
    let (last_count, last) = WakeCount::new();
    let mut sleep = sleep(MS);
    assert!(poll_once(&mut sleep, &first).is_pending());
    assert!(poll_once(&mut sleep, &last).is_pending());
    paused.clock.advance(MS);
    assert_eq!((first_count.get(), last_count.get()), (0, 1));
    assert_eq!(Arc::strong_count(&first_count), 2, "the first waker was let go");
}

#[test]
fn dropping_a_sleep_disarms_it_from_any_thread() {
    let paused = Paused::new();
    let (count, waker) = WakeCount::new();
    let mut sleep = sleep(MS);
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert!(paused.driver.next_deadline().is_some());
    std::thread::spawn(move || drop(sleep)).join().expect("dropping does not panic");
    assert_eq!(paused.driver.next_deadline(), None);
    paused.clock.advance(MS);
    assert_eq!(count.get(), 0);
    drop(waker);
    assert_eq!(Arc::strong_count(&count), 1, "no waker is left behind");
}

#[test]
fn reset_keeps_an_armed_sleep_armed() {
    for (to, at) in [(5, 5), (20, 20), (0, 2)] {
        let paused = Paused::new();
        let (count, waker) = WakeCount::new();
        let mut sleep = sleep(10 * MS);
        assert!(poll_once(&mut sleep, &waker).is_pending());
        paused.clock.advance(2 * MS);
        sleep.reset(paused.start + to * MS);
        assert_eq!(sleep.deadline(), paused.start + to * MS);
        assert!(paused.jump());
        assert_eq!(count.get(), 1, "it is armed without another poll");
        assert_eq!(paused.elapsed(), at * MS);
        assert!(poll_once(&mut sleep, &waker).is_ready());
    }
}

#[test]
fn a_sleep_can_be_reset_before_its_first_poll_and_after_its_end() {
    let paused = Paused::new();
    let mut sleep = sleep(MS);
    sleep.reset(paused.start + 3 * MS);
    assert_eq!(paused.driver.next_deadline(), None, "it waits for its first poll");
    paused.block_on(&mut sleep);
    assert_eq!(paused.elapsed(), 3 * MS);
    sleep.reset(paused.start + 7 * MS);
    assert!(!sleep.is_elapsed());
    paused.block_on(&mut sleep);
    assert_eq!(paused.elapsed(), 7 * MS);
}

#[test]
fn a_sleep_reset_between_firing_and_poll_waits_again() {
    let paused = Paused::new();
    let mut sleep = sleep(MS);
    assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
    paused.clock.advance(MS);
    sleep.reset(paused.start + 2 * MS);
    assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
    paused.block_on(&mut sleep);
    assert_eq!(paused.elapsed(), 2 * MS);
}

fn unpark_counting_driver() -> (Driver, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let hook = count.clone();
    let unpark = Box::new(move || {
        hook.fetch_add(1, Ordering::Relaxed);
    });
    (Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() }), count)
}

#[test]
fn a_reset_to_earlier_from_another_thread_unparks_the_owner() {
    let (driver, unparks) = unpark_counting_driver();
    let now = driver.clock().now();
    let mut sleep = sleep_until(now + 3600 * 1000 * MS);
    {
        let _guard = driver.handle().enter_as_owner();
        assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
    }
    assert_eq!(unparks.load(Ordering::Relaxed), 0, "the owner looks before it parks");
    sleep.reset(now + 7200 * 1000 * MS);
    assert_eq!(unparks.load(Ordering::Relaxed), 0, "later is no reason to wake it");
    sleep.reset(now);
    assert_eq!(unparks.load(Ordering::Relaxed), 1);
    assert!(driver.next_deadline().is_some_and(|deadline| deadline <= now + MS));
    let mut wakers = Vec::new();
    assert_eq!(driver.turn(now + MS, &mut wakers), 1, "a reset to the past fires");
}

#[test]
fn reset_moves_a_sleep_to_the_driver_of_the_thread() {
    let (old, _) = unpark_counting_driver();
    let (new, unparks) = unpark_counting_driver();
    let (count, waker) = WakeCount::new();
    let deadline = old.clock().now() + 3600 * 1000 * MS;
    let mut sleep = sleep_until(deadline);
    {
        let _guard = old.handle().enter_as_owner();
        assert!(poll_once(&mut sleep, &waker).is_pending());
    }
    {
        let _guard = new.handle().enter();
        assert!(poll_once(&mut sleep, &waker).is_pending());
        assert_eq!(new.next_deadline(), None, "a poll elsewhere does not move it");
        sleep.reset(deadline);
        assert_eq!(unparks.load(Ordering::Relaxed), 1);
    }
    assert_eq!(old.next_deadline(), None);
    let mut wakers = Vec::new();
    assert_eq!(new.turn(deadline + MS, &mut wakers), 1);
    wakers.into_iter().for_each(Waker::wake);
    assert_eq!(count.get(), 1);
    assert!(poll_once(&mut sleep, &waker).is_ready());
}

#[test]
fn a_reset_into_a_closed_driver_wakes_the_task() {
    let (old, _) = unpark_counting_driver();
    let (closed, _) = unpark_counting_driver();
    closed.close(&mut Vec::new());
    let (count, waker) = WakeCount::new();
    let mut sleep = sleep(3600 * 1000 * MS);
    {
        let _guard = old.handle().enter_as_owner();
        assert!(poll_once(&mut sleep, &waker).is_pending());
    }
    let _guard = closed.handle().enter();
    sleep.reset(Instant::now() + 3600 * 1000 * MS);
    assert_eq!(count.get(), 1, "so that its poll reports the shutdown");
}

#[test]
fn a_sleep_that_outlives_its_driver_moves_to_another() {
    let (closed, _) = unpark_counting_driver();
    let (open, _) = unpark_counting_driver();
    let mut sleep = sleep(3600 * 1000 * MS);
    let (count, waker) = WakeCount::new();
    {
        let _guard = closed.handle().enter_as_owner();
        assert!(poll_once(&mut sleep, &waker).is_pending());
    }
    let mut wakers = Vec::new();
    closed.close(&mut wakers);
    wakers.into_iter().for_each(Waker::wake);
    assert_eq!(count.get(), 1);
    let _guard = open.handle().enter();
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert!(open.next_deadline().is_some());
}

#[test]
#[should_panic(expected = "runtime: `sleep` (created at timer/src/sleep/tests.rs:")]
fn a_poll_without_a_runtime_names_the_line_of_the_sleep() {
    let mut sleep = sleep(3600 * 1000 * MS);
    let _ = poll_once(&mut sleep, Waker::noop());
}

#[test]
#[should_panic(expected = "needs a running runtime, but this thread's has shut down")]
fn a_poll_after_shutdown_panics() {
    let (closed, _) = unpark_counting_driver();
    closed.close(&mut Vec::new());
    let _guard = closed.handle().enter();
    let _ = poll_once(&mut sleep(3600 * 1000 * MS), Waker::noop());
}

/// It may have been in a poll when somebody else closed the driver.
#[test]
fn a_poll_of_the_owner_after_shutdown_wakes_for_the_next() {
    let (closed, _) = unpark_counting_driver();
    let (count, waker) = WakeCount::new();
    let mut sleep = sleep(3600 * 1000 * MS);
    {
        let _guard = closed.handle().enter_as_owner();
        closed.close(&mut Vec::new());
        assert!(poll_once(&mut sleep, &waker).is_pending());
        assert_eq!(count.get(), 1);
    }
    let (open, _) = unpark_counting_driver();
    let _guard = open.handle().enter_as_owner();
    assert!(poll_once(&mut sleep, &waker).is_pending());
    assert_eq!(count.get(), 1, "it is armed there");
    assert!(open.next_deadline().is_some());
}

/// As an executor inside of a task would.
#[test]
#[should_panic(expected = "needs a running runtime, but this thread's has shut down")]
fn whoever_polls_on_after_shutdown_is_told_at_last() {
    let (closed, _) = unpark_counting_driver();
    closed.close(&mut Vec::new());
    let _guard = closed.handle().enter_as_worker();
    let mut sleep = sleep(3600 * 1000 * MS);
    for _ in 0..100_000 {
        assert!(poll_once(&mut sleep, Waker::noop()).is_pending());
    }
}

/// A task whose destruction uses timers, as that of a task that holds a sleep does.
struct DropsSleep(Driver);

impl Wake for DropsSleep {
    fn wake(self: Arc<DropsSleep>) {}
}

impl Drop for DropsSleep {
    fn drop(&mut self) {
        let _guard = self.0.handle().enter_as_owner();
        assert!(poll_once(&mut sleep(MS * 1000), Waker::noop()).is_pending());
    }
}

#[test]
fn wakers_are_dropped_without_the_lock() {
    // On a thread of its own, for a wrong drop is a deadlock.
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (driver, _) = unpark_counting_driver();
        let waker = || Waker::from(Arc::new(DropsSleep(driver.clone())));
        let _guard = driver.handle().enter_as_owner();
        let mut sleep = sleep(MS * 1000);
        assert!(poll_once(&mut sleep, &waker()).is_pending());
        assert!(poll_once(&mut sleep, &waker()).is_pending(), "this drops the first waker");
        drop(sleep);
        done.send(()).expect("the test waits for it");
    });
    let finished = is_done.recv_timeout(Duration::from_secs(20));
    finished.expect("a waker's drop can use timers");
}
