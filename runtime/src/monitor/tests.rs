//! When a look is put off, and when it is not.

use std::sync::mpsc;
use std::thread;

use super::*;

/// A monitor whose thread has set its alarm for [`CALM`] at its epoch, so that it may be put off
/// from half of that on.
fn calm() -> Monitor {
    let monitor = Monitor::new(Scheduler::WorkStealing);
    let from = monitor.since_epoch(monitor.epoch + CALM / 2);
    monitor.put_off_from.store(from, Ordering::Relaxed);
    monitor
}

/// The watchdog of this file: `sleep` returns within a minute.
#[track_caller]
fn assert_ends(sleep: impl FnOnce() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        sleep();
        let _ = tell.send(());
    });
    told.recv_timeout(Duration::from_secs(60)).expect("the alarm was set");
}

fn put_off_from(monitor: &Monitor) -> u64 {
    monitor.put_off_from.load(Ordering::Relaxed)
}

#[test]
fn a_look_is_put_off_when_half_of_its_time_is_over_and_all_is_well() {
    let monitor = calm();
    let before = put_off_from(&monitor);
    let early = monitor.epoch + CALM / 2 - Duration::from_nanos(1);
    monitor.put_off(early, || panic!("not asked: it is too early"));
    assert_eq!(put_off_from(&monitor), before);

    let later = monitor.epoch + CALM / 2;
    monitor.put_off(later, || false);
    assert_eq!(put_off_from(&monitor), before, "somebody is in a poll");
    monitor.put_off(later, || true);
    assert_eq!(put_off_from(&monitor), monitor.since_epoch(later + CALM / 2));
}

#[test]
fn an_alarm_that_is_off_is_set_whoever_is_in_a_poll() {
    let monitor = calm();
    monitor.put_off_from.store(RESTING, Ordering::Relaxed);
    let now = monitor.epoch;
    monitor.left_park(now, || false);
    assert_eq!(put_off_from(&monitor), monitor.since_epoch(now + CALM / 2));
}

#[test]
fn a_suspicion_keeps_the_look_and_makes_the_monitor_wary() {
    let monitor = calm();
    let now = monitor.epoch + CALM;
    assert_eq!(monitor.interval(now), CALM);
    monitor.suspect(now);
    assert_eq!(put_off_from(&monitor), NEVER);
    monitor.put_off(now + CALM, || panic!("not asked: it must not be put off"));
    assert_eq!(put_off_from(&monitor), NEVER);
    assert_eq!(monitor.interval(now + WARY - CLOSE), CLOSE);
    assert_eq!(monitor.interval(now + WARY), CALM);
}

#[test]
fn where_nobody_could_relieve_a_worker_the_monitor_is_not_wary() {
    let monitor = Monitor::new(Scheduler::SingleThreaded);
    monitor.suspect(monitor.epoch);
    assert_eq!(put_off_from(&monitor), NEVER);
    assert_eq!(monitor.interval(monitor.epoch), CALM);
}

#[test]
fn a_suspicion_while_the_alarm_is_off_sets_it() {
    let monitor = Monitor::new(Scheduler::WorkStealing);
    monitor.put_off_from.store(RESTING, Ordering::Relaxed);
    monitor.suspect(monitor.epoch);
    assert_eq!(put_off_from(&monitor), NEVER);
    assert_ends(move || monitor.alarm.sleep());
}

#[test]
fn the_sleep_of_an_idle_monitor_ends_when_a_worker_leaves_park() {
    let monitor = Arc::new(Monitor::new(Scheduler::WorkStealing));
    let sleeper = monitor.clone();
    assert_ends(move || {
        // It asks once the alarm is off.
        sleeper.sleep_while(|| {
            monitor.left_park(timer::real_now(), || false);
            true
        });
    });
}
