//! The wheel against a sorted map, and its edges.

use super::*;
use crate::random::Random;
use std::collections::BTreeMap;

const TICK: u64 = 1 << TICK_BITS;
const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;

/// A distance in nanoseconds, mostly at an edge.
fn distance(random: &mut Random) -> u64 {
    let edge = match random.below(8) {
        0 => 0,
        1 => TICK,
        2 => random.below(200 * TICK),
        3..=5 => 1 << (TICK_BITS + random.below(48) as u32),
        6 => 52 * 24 * 3600 * 1_000_000_000,
        _ => YEAR * random.below(584),
    };
    let shift = [0, 1, TICK, TICK - 1, TICK + 1][random.below(5) as usize];
    if random.below(2) == 0 { edge.saturating_add(shift) } else { edge.saturating_sub(shift) }
}

/// The same by a sorted map: what fires when, and in which order.
#[derive(Default)]
struct Naive {
    elapsed: u64,
    inserts: u64,
    /// By firing tick and age: the deadline and the payload.
    timers: BTreeMap<(u64, u64), (u64, u64)>,
}

impl Naive {
    fn insert(&mut self, deadline: u64, payload: u64) {
        let tick = tick_of(deadline).max(self.elapsed);
        self.inserts += 1;
        self.timers.insert((tick, self.inserts), (deadline, payload));
    }

    fn remove(&mut self, payload: u64) -> bool {
        let found = self.timers.iter().find(|(_, timer)| timer.1 == payload);
        let Some((&at, _)) = found else { return false };
        self.timers.remove(&at).is_some()
    }

    fn advance(&mut self, now: u64, exact: bool) -> Vec<u64> {
        self.elapsed = self.elapsed.max(now >> TICK_BITS);
        let is_due = |tick, deadline| tick <= self.elapsed || exact && deadline <= now;
        let mut fired = Vec::new();
        self.timers.retain(|&(tick, _), &mut (deadline, payload)| {
            let is_due = is_due(tick, deadline);
            fired.extend(is_due.then_some(payload));
            !is_due
        });
        fired
    }
}

fn check_next(wheel: &Wheel<u64>, naive: &Naive, message: &str) {
    let Some((&(tick, _), _)) = naive.timers.first_key_value() else {
        assert_eq!((wheel.next(), wheel.next_exact()), (None, None), "{message}");
        assert!(wheel.is_empty(), "{message}");
        return;
    };
    let next = wheel.next().expect("something is armed");
    assert!(next <= tick << TICK_BITS && next >= naive.elapsed << TICK_BITS, "{message}");
    if tick ^ naive.elapsed < SLOTS as u64 || naive.timers.len() <= SEARCHED {
        assert_eq!(next, tick << TICK_BITS, "{message}");
    }
    let earliest = naive.timers.values().map(|&(deadline, _)| deadline.min(LAST)).min();
    assert_eq!(wheel.next_exact(), earliest, "{message}");
}

#[test]
fn the_wheel_does_what_a_sorted_map_does() {
    for seed in 1..=40 {
        let mut random = Random(seed);
        let mut wheel = Wheel::keeping(1 + seed as u32 % 8);
        let mut naive = Naive::default();
        let mut keys = Vec::new();
        let mut now = distance(&mut random) % YEAR;
        // Some runs keep few timers, so that the lone timer and the empty wheel are met often.
        let removals = 1 + seed % 4;
        for step in 0..3_000u64 {
            let message = format!("seed {seed}, step {step}");
            match random.below(8 + removals) {
                0..=3 => {
                    let deadline = match random.below(10) {
                        0 => now.saturating_sub(distance(&mut random)),
                        1 => u64::MAX - random.below(2 * TICK),
                        _ => now.saturating_add(distance(&mut random)),
                    };
                    keys.push((wheel.insert(deadline, step), step));
                    naive.insert(deadline, step);
                }
                4 if !keys.is_empty() => {
                    let (key, payload) = keys[random.below(keys.len() as u64) as usize];
                    let deadline = now.saturating_add(distance(&mut random));
                    let was_armed = naive.remove(payload);
                    if was_armed {
                        naive.insert(deadline, payload);
                    }
                    assert_eq!(wheel.reset(key, deadline), was_armed, "{message}");
                }
                5..=7 => {
                    let jump = match random.below(8) {
                        0 => distance(&mut random) % (2 * YEAR),
                        1 => wheel.next().map_or(0, |next| next.saturating_sub(now)),
                        2 => wheel.next_exact().map_or(0, |next| next.saturating_sub(now)),
                        _ => random.below(100 * TICK),
                    };
                    now = now.saturating_add(jump).min(LAST);
                    let backwards = if random.below(4) == 0 { distance(&mut random) } else { 0 };
                    let seen = now.saturating_sub(backwards);
                    let exact = random.below(2) == 0;
                    let mut fired = Vec::new();
                    let count = match exact {
                        true => wheel.advance_exact(seen, |payload| fired.push(payload)),
                        false => wheel.advance(seen, |payload| fired.push(payload)),
                    };
                    assert_eq!(count, fired.len(), "{message}");
                    assert_eq!(fired, naive.advance(seen, exact), "{message}");
                }
                _ if !keys.is_empty() => {
                    let (key, payload) = keys[random.below(keys.len() as u64) as usize];
                    let was_armed = naive.remove(payload);
                    assert_eq!(wheel.get_mut(key).copied(), was_armed.then_some(payload));
                    assert_eq!(wheel.remove(key), was_armed.then_some(payload), "{message}");
                }
                _ => {}
            }
            check_next(&wheel, &naive, &message);
        }
        let mut drained = Vec::new();
        wheel.drain(|payload| drained.push(payload));
        drained.sort_unstable();
        let mut left: Vec<u64> = naive.timers.values().map(|timer| timer.1).collect();
        left.sort_unstable();
        assert_eq!(drained, left, "seed {seed}");
        assert!(wheel.next().is_none() && wheel.is_empty(), "seed {seed}");
    }
}

#[test]
fn a_key_never_names_a_later_timer_of_the_same_place() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(TICK, 1);
    assert_eq!(wheel.remove(first), Some(1));
    let second = wheel.insert(TICK, 2);
    assert_eq!(first.index(), second.index());
    assert_eq!(wheel.remove(first), None);
    assert!(!wheel.reset(first, 5 * TICK));
    assert_eq!(wheel.get_mut(second), Some(&mut 2));
}

#[test]
fn a_jump_of_centuries_fires_a_timer_on_every_level_in_order() {
    let mut wheel = Wheel::new();
    for level in (0..LEVELS as u64).rev() {
        wheel.insert(TICK << (6 * level), level);
    }
    wheel.insert(u64::MAX, 99);
    let mut fired = Vec::new();
    wheel.advance(500 * YEAR, |level| fired.push(level));
    assert_eq!(fired, [0, 1, 2, 3, 4, 5, 6, 7]);
    wheel.advance(LAST, |level| fired.push(level));
    assert_eq!(fired.last(), Some(&99));
}

#[test]
fn a_timer_never_fires_before_its_deadline() {
    for deadline in [1, TICK - 1, TICK, TICK + 1, 64 * TICK - 1, 64 * TICK, 64 * TICK + 1] {
        let mut wheel = Wheel::new();
        wheel.insert(deadline, ());
        assert_eq!(wheel.advance(deadline - 1, drop), 0, "deadline {deadline}");
        assert_eq!(wheel.advance(round_up(deadline), drop), 1, "deadline {deadline}");
        wheel.insert(deadline + 10 * TICK, ());
        assert_eq!(wheel.advance_exact(deadline + 10 * TICK - 1, drop), 0, "{deadline}");
        assert_eq!(wheel.advance_exact(deadline + 10 * TICK, drop), 1, "{deadline}");
    }
}
