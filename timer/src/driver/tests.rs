//! What a driver promises to its owner, with real time where threads meet; in the end against a list
//! of deadlines.

use super::*;
use crate::paused::poll_once;
use crate::random::Random;
use crate::sleep::{Sleep, sleep, sleep_until};
use crate::wake_count::WakeCount;
use crate::wheel::round_up;
use std::future::Future;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc;
use std::task::Wake;
use std::thread::{self, Thread};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A sleep that is armed in the current driver.
fn armed(deadline: Instant, waker: &Waker) -> Sleep {
    let mut sleep = sleep_until(deadline);
    assert!(poll_once(&mut sleep, waker).is_pending());
    sleep
}

#[test]
fn the_ends_of_a_driver_go_to_any_thread() {
    fn check<T: Send + Sync + Clone>() {}
    check::<Driver>();
    check::<Handle>();
    check::<Clock>();
}

#[test]
fn the_next_deadline_is_the_earliest_rounded_up() {
    let clock = Clock::new();
    clock.pause();
    let driver = Driver::new(&clock, Hooks::none());
    let _guard = driver.handle().enter_as_owner();
    assert_eq!(driver.next_deadline(), None);
    let now = driver.clock().now();
    let late = armed(now + HOUR, Waker::noop());
    let early = armed(now + 10 * MS, Waker::noop());
    let is_within_a_tick = |of: Instant| {
        let next = driver.next_deadline().expect("something is armed");
        next >= of && next - of <= Duration::from_nanos(1 << 16)
    };
    assert!(is_within_a_tick(now + 10 * MS));
    drop(early);
    assert!(is_within_a_tick(now + HOUR), "a lone timer's deadline is exact on any level");
    drop(late);
    assert_eq!(driver.next_deadline(), None);
}

/// The time `ticks` after one at which the lowest three levels of the wheel begin anew.
fn at(driver: &Driver, ticks: u64) -> Instant {
    driver.clock().instant(((1 << 36) + ticks) << 16)
}

#[test]
fn a_crowd_of_timers_is_fired_together_and_a_lone_one_is_not_kept_waiting() {
    let driver = Driver::new(&Clock::new(), Hooks::none());
    let _guard = driver.handle().enter_as_owner();
    let arm = |count, tick| -> Vec<Sleep> {
        (0..count).map(|_| armed(at(&driver, tick), Waker::noop())).collect()
    };
    let turn = |tick| driver.turn(at(&driver, tick), &mut Vec::new());
    let next_is = |tick| assert_eq!(driver.next_deadline(), Some(at(&driver, tick)));
    let _base = arm(1, 0);
    assert_eq!(turn(0), 1);
    let _timers = [arm(16, 10), arm(16, 20), arm(1, 21), arm(1, 23), arm(1, 24)];
    next_is(10); // Nothing that could be a crowd has fired.
    assert_eq!(turn(10), 16);
    next_is(23);
    driver.clock().pause();
    next_is(20); // A paused clock does not wait.
    driver.clock().resume();
    let overdue = arm(1, 5);
    next_is(10);
    drop(overdue);
    assert_eq!(turn(23), 18);
    next_is(24); // It is alone.
    assert_eq!(turn(24), 1);
    let _timers = [arm(16, 30), arm(1, 31), arm(17, 100)];
    next_is(30); // A few have fired.
    assert_eq!(turn(31), 17);
    next_is(64); // Where those of tick 100 move to a lower level.
    assert_eq!(turn(64), 0);
    let _timers = arm(1, 102);
    next_is(102);
}

#[test]
fn a_look_by_another_thread_does_not_keep_the_owner_asleep() {
    let unparks = Arc::new(AtomicUsize::new(0));
    let hook = unparks.clone();
    let unpark = Box::new(move || {
        hook.fetch_add(1, Ordering::Relaxed);
    });
    let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
    let _guard = driver.handle().enter();
    let arm = |tick| armed(at(&driver, tick), Waker::noop());
    let _base = arm(0);
    assert_eq!(driver.turn(at(&driver, 0), &mut Vec::new()), 1);
    // All in one slot, of 17 s. It is searched for the earliest while there are few in it.
    let _first = arm((1 << 18) + 200_000);
    assert_eq!(driver.next_deadline(), Some(at(&driver, (1 << 18) + 200_000)));
    // The owner sleeps until then; another thread looks, and sees many in the slot.
    let _more = [0, 1, 2, 3].map(|n| arm((1 << 18) + 250_000 + n));
    driver.next_deadline();
    let before = unparks.load(Ordering::Relaxed);
    let _early = arm((1 << 18) + 10);
    assert_eq!(unparks.load(Ordering::Relaxed), before + 1, "the owner is told of the earlier one");
    assert_eq!(driver.next_deadline(), Some(at(&driver, (1 << 18) + 10)));
}

#[test]
fn only_a_foreign_timer_that_is_the_earliest_unparks() {
    let unparks = Arc::new(AtomicUsize::new(0));
    let hook = unparks.clone();
    let unpark = Box::new(move || {
        hook.fetch_add(1, Ordering::Relaxed);
    });
    let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
    let now = driver.clock().now();
    let mut sleeps = Vec::new();
    {
        let _guard = driver.handle().enter_as_owner();
        sleeps.push(armed(now + 5 * HOUR, Waker::noop()));
    }
    let _guard = driver.handle().enter();
    for (hours, expected) in [(9, 0), (5, 0), (4, 1), (6, 1), (3, 2)] {
        sleeps.push(armed(now + hours * HOUR, Waker::noop()));
        assert_eq!(unparks.load(Ordering::Relaxed), expected, "after {hours} h");
    }
    drop(sleeps);
    sleeps = vec![armed(now + 9 * HOUR, Waker::noop())];
    assert_eq!(unparks.load(Ordering::Relaxed), 3, "the first of an empty driver");
    drop(sleeps);
}

#[test]
fn any_thread_can_turn_a_driver_and_time_does_not_turn_back() {
    let driver = Driver::new(&Clock::new(), Hooks::none());
    let _guard = driver.handle().enter_as_owner();
    let (count, waker) = WakeCount::new();
    let now = driver.clock().now();
    let _early = armed(now + HOUR, &waker);
    let mut late = armed(now + 3 * HOUR, &waker);
    let rescuer = driver.clone();
    let turned = thread::spawn(move || {
        let mut wakers = Vec::new();
        let fired = rescuer.turn(now + 2 * HOUR, &mut wakers);
        wakers.into_iter().for_each(Waker::wake);
        fired
    });
    assert_eq!(turned.join().expect("turning does not panic"), 1);
    assert_eq!(count.get(), 1);
    let mut wakers = Vec::new();
    assert_eq!(driver.turn(now, &mut wakers), 0);
    late.reset(now + HOUR);
    assert_eq!(driver.turn(now + 2 * HOUR, &mut wakers), 1, "due since the rescuer's turn");
}

#[test]
fn close_wakes_everybody_and_refuses_more() {
    let driver = Driver::new(&Clock::new(), Hooks::none());
    let _guard = driver.handle().enter_as_owner();
    let (count, waker) = WakeCount::new();
    let now = driver.clock().now();
    let mut sleeps: Vec<Sleep> = (1..=5).map(|n| armed(now + n * HOUR, &waker)).collect();
    let mut wakers = Vec::new();
    driver.close(&mut wakers);
    wakers.into_iter().for_each(Waker::wake);
    assert_eq!(count.get(), 5);
    assert_eq!(driver.next_deadline(), None);
    assert!(driver.handle().arm(now + HOUR, waker, true).is_err());
    sleeps.truncate(1);
    sleeps[0].reset(now);
    assert!(poll_once(&mut sleeps[0], Waker::noop()).is_ready(), "what is over needs no driver");
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Turns the driver until `is_over`, as the thread that `owner` tells others to unpark.
fn own(driver: &Driver, owner: &OnceLock<Thread>, is_over: &AtomicBool) {
    owner.set(thread::current()).expect("there is one owner");
    let _guard = driver.handle().enter_as_owner();
    let mut wakers = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        match driver.next_deadline() {
            Some(deadline) => thread::park_timeout(deadline - driver.clock().now()),
            None => thread::park(),
        }
        driver.turn(driver.clock().now(), &mut wakers);
        wakers.drain(..).for_each(Waker::wake);
    }
}

/// Sleeps, resets and cancels at random; panics if a sleep ends early.
fn storm(handle: &Handle, seed: u64) {
    let _guard = handle.enter();
    let mut random = Random(seed);
    for _ in 0..100 {
        let duration = Duration::from_micros(random.below(2000));
        let start = Instant::now();
        let mut cancelled = sleep(duration);
        let _ = poll_once(&mut cancelled, Waker::noop());
        let mut slept = sleep(Duration::from_micros(random.below(2000)));
        if random.below(2) == 0 {
            let _ = poll_once(&mut slept, Waker::noop());
        }
        slept.reset(start + duration);
        block_on(&mut slept);
        assert!(start.elapsed() >= duration, "seed {seed}: it ended early");
    }
}

#[test]
fn a_storm_of_sleeps_from_many_threads_loses_none() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let owner = Arc::new(OnceLock::<Thread>::new());
        let unparked = owner.clone();
        // Before the owner has set itself it has not looked at the driver either.
        let unpark = Box::new(move || {
            if let Some(owner) = unparked.get() {
                owner.unpark();
            }
        });
        let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let owning = scope.spawn(|| own(&driver, &owner, &is_over));
            let storms = [1, 2, 3, 4].map(|seed| {
                let handle = driver.handle();
                scope.spawn(move || storm(&handle, seed))
            });
            let ends = storms.map(|storm| storm.join());
            is_over.store(true, Ordering::Release);
            owning.thread().unpark();
            assert!(ends.iter().all(|end| end.is_ok()));
        });
        assert_eq!(driver.next_deadline(), None, "nothing is left behind");
        done.send(()).expect("the test waits for it");
    });
    is_done.recv_timeout(Duration::from_secs(20)).expect("no wake-up is lost, no sleep is early");
}

const TICK: u64 = 1 << 16;

/// In every other phase a deadline soon after `now` or around an edge of the wheel, else one that is
/// likely in the same slot as the others.
fn deadline(now: u64, phase: u64, random: &mut Random) -> u64 {
    let bits = 22 + 6 * (phase / 2 % 4);
    let edge = ((now >> bits) + 1) << bits;
    let (start, range) = match random.below(8) {
        _ if phase % 2 == 0 => (edge, 1 << bits),
        0 => (now - 4 * TICK, 4 * TICK),
        1 => (now, 1 << random.below(64)),
        2..=3 => (edge - 4 * TICK, 8 * TICK),
        _ => (now, 9 * TICK),
    };
    start.saturating_add(random.below(range))
}

#[test]
fn the_driver_does_what_a_list_does() {
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let unparked = Arc::new(AtomicBool::new(false));
        let hook = unparked.clone();
        let unpark = Box::new(move || hook.store(true, Ordering::Relaxed));
        let driver = Driver::new(&Clock::new(), Hooks { unpark, ..Hooks::none() });
        let (handle, clock) = (driver.handle(), driver.clock());
        let (mut now, mut fired_crowd) = (random.next() >> (4 + random.below(16)), false);
        let mut timers: Vec<(Key, u64)> = Vec::new();
        // Until when the owner sleeps, and how much later than the first timer that may be.
        let mut asleep: Option<(u64, u64)> = None;
        for step in 0..1000 {
            let at = deadline(now, seed + step / 100, &mut random);
            let is_owner = asleep.is_none() && random.below(2) == 0;
            let chosen = random.below(timers.len().max(1) as u64) as usize;
            let most = if step % 100 < 20 { 3 } else { 50 };
            let (mut passed, mut late_by) = (0, None);
            match random.below(20) {
                kind @ 0..=5 if timers.len() < most => {
                    for n in 0..if kind == 0 { 30 } else { 1 } {
                        let at = at.saturating_add(n * TICK / 5);
                        let waker = Waker::noop().clone();
                        let key = handle.arm(clock.instant(at), waker, is_owner);
                        timers.push((key.expect("it is open"), at));
                    }
                }
                6..=7 if !timers.is_empty() => {
                    assert!(handle.rearm(timers[chosen].0, clock.instant(at), is_owner));
                    timers[chosen].1 = at;
                }
                8..=9 if !timers.is_empty() => {
                    assert!(handle.disarm(timers.swap_remove(chosen).0).is_some());
                }
                10 => _ = driver.next_deadline(),
                11 => late_by = Some(random.below(2) * random.below(5 * TICK)),
                12..=14 if asleep.is_none() && !unparked.swap(false, Ordering::Relaxed) => {
                    let next = driver.next_deadline().map_or(NEVER, |next| clock.nanos(next));
                    asleep = Some((next, if fired_crowd { 3 * TICK } else { 0 }));
                }
                _ => passed = 1 << random.below(if step % 100 == 0 { 50 } else { 23 }),
            }
            // Time passes until the owner wakes up.
            let until = asleep.take_if(|(until, _)| *until <= now + passed);
            now = until.map_or(now + passed, |(until, _)| until.max(now));
            if let Some(late_by) = until.map(|_| 0).or(late_by) {
                let armed = timers.len();
                let fired = driver.turn(clock.instant(now - late_by), &mut Vec::new());
                timers.retain(|&(key, at)| {
                    let waits = driver.0.timers.lock().wheel.get_mut(key).is_some();
                    assert!(waits || at <= now, "{at} fires early, at {now}");
                    assert!(!waits || round_up(at) > now || late_by > 0, "{at} is late");
                    waits
                });
                assert_eq!(fired, armed - timers.len());
                fired_crowd = if fired > 0 { fired >= CROWD } else { fired_crowd };
            }
            if asleep.is_some() && unparked.swap(false, Ordering::Relaxed) {
                asleep = None;
            }
            let earliest = driver.0.earliest.load(Ordering::Relaxed);
            let first = timers.iter().map(|timer| round_up(timer.1)).min().unwrap_or(NEVER);
            assert_eq!(earliest == NEVER, timers.is_empty());
            assert!(earliest <= first.max(now), "{earliest} is after {first}");
            if let Some((until, slack)) = asleep {
                assert!(until <= first.saturating_add(slack).max(now), "asleep until {until}");
            }
        }
    }
}
