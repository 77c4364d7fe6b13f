//! The wheel against a sorted map, and its edges.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::FileFailurePersistence;

use super::*;
use crate::clock::saturating_nanos;

const TICK: u64 = 1 << TICK_BITS;
const YEAR: u64 = 365 * 24 * 3600 * 1_000_000_000;

/// What is done to a wheel.
#[derive(Clone, Debug)]
enum Op {
    Insert(Deadline),
    /// Of one of the timers so far, armed or not.
    Reset(Index, Duration),
    Remove(Index),
    Advance {
        jump: Jump,
        /// How far before the present the call is that comes late.
        late_by: Duration,
        exact: bool,
    },
}

#[derive(Clone, Debug)]
enum Deadline {
    Before(Duration),
    After(Duration),
    /// So many nanoseconds before the last that can be said.
    BeforeTheEnd(u64),
}

#[derive(Clone, Debug)]
enum Jump {
    By(Duration),
    ToNext,
    ToNextExact,
}

/// From nothing to `Duration::MAX`, mostly at an edge.
fn duration() -> impl Strategy<Value = Duration> {
    let edge = prop_oneof![
        1 => Just(0),
        1 => Just(TICK),
        1 => 0..200 * TICK,
        3 => (0..48_u32).prop_map(|bit| 1 << (TICK_BITS + bit)),
        1 => Just(52 * 24 * 3600 * 1_000_000_000),
        1 => (0..584_u64).prop_map(|years| YEAR * years),
    ];
    let shift = prop::sample::select(&[0, 1, TICK, TICK - 1, TICK + 1][..]);
    let near_an_edge = (edge, shift, any::<bool>()).prop_map(|(edge, shift, is_more)| {
        Duration::from_nanos(if is_more { edge + shift } else { edge.saturating_sub(shift) })
    });
    prop_oneof![30 => near_an_edge, 1 => Just(Duration::ZERO), 1 => Just(Duration::MAX), 1 => any::<Duration>()]
}

/// Some runs keep few timers, so that the lone timer and the empty wheel are met often.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = |removals| {
        let deadline = prop_oneof![
            1 => duration().prop_map(Deadline::Before),
            1 => (0..2 * TICK).prop_map(Deadline::BeforeTheEnd),
            8 => duration().prop_map(Deadline::After),
        ];
        let jump = prop_oneof![
            4 => duration().prop_map(|jump| Jump::By(jump.min(Duration::from_nanos(2 * YEAR)))),
            4 => Just(Jump::ToNext),
            4 => Just(Jump::ToNextExact),
            20 => (0..100 * TICK).prop_map(|nanos| Jump::By(Duration::from_nanos(nanos))),
            1 => Just(Jump::By(Duration::MAX)),
        ];
        let late_by = prop_oneof![3 => Just(Duration::ZERO), 1 => duration()];
        let advance = (jump, late_by, any::<bool>());
        prop_oneof![
            4 => deadline.prop_map(Op::Insert),
            1 => (any::<Index>(), duration()).prop_map(|(timer, after)| Op::Reset(timer, after)),
            3 => advance.prop_map(|(jump, late_by, exact)| Op::Advance { jump, late_by, exact }),
            removals => any::<Index>().prop_map(Op::Remove),
        ]
    };
    (1..=4_u32).prop_flat_map(move |removals| prop::collection::vec(op(removals), 0..1_000))
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

/// A wheel and a map that are treated alike.
struct Pair {
    wheel: Wheel<u64>,
    naive: Naive,
    /// The timers so far, with their payloads.
    keys: Vec<(Key, u64)>,
    now: u64,
}

impl Pair {
    fn do_both(&mut self, op: &Op) {
        match op {
            Op::Insert(deadline) => {
                let deadline = match deadline {
                    Deadline::Before(time) => self.now.saturating_sub(saturating_nanos(*time)),
                    Deadline::After(time) => self.now.saturating_add(saturating_nanos(*time)),
                    Deadline::BeforeTheEnd(nanos) => u64::MAX - nanos,
                };
                let payload = self.keys.len() as u64;
                self.keys.push((self.wheel.insert(deadline, payload), payload));
                self.naive.insert(deadline, payload);
            }
            Op::Reset(..) | Op::Remove(_) if self.keys.is_empty() => {}
            Op::Reset(timer, after) => {
                let (key, payload) = *timer.get(&self.keys);
                let deadline = self.now.saturating_add(saturating_nanos(*after));
                let was_armed = self.naive.remove(payload);
                if was_armed {
                    self.naive.insert(deadline, payload);
                }
                assert_eq!(self.wheel.reset(key, deadline), was_armed);
            }
            Op::Remove(timer) => {
                let (key, payload) = *timer.get(&self.keys);
                let was_armed = self.naive.remove(payload);
                assert_eq!(self.wheel.get_mut(key).copied(), was_armed.then_some(payload));
                assert_eq!(self.wheel.remove(key), was_armed.then_some(payload));
            }
            Op::Advance { jump, late_by, exact } => self.advance(jump, *late_by, *exact),
        }
    }

    fn advance(&mut self, jump: &Jump, late_by: Duration, exact: bool) {
        let jump = match jump {
            Jump::By(time) => saturating_nanos(*time),
            Jump::ToNext => self.wheel.next().map_or(0, |next| next.saturating_sub(self.now)),
            Jump::ToNextExact => {
                self.wheel.next_exact().map_or(0, |next| next.saturating_sub(self.now))
            }
        };
        self.now = self.now.saturating_add(jump).min(LAST);
        let seen = self.now.saturating_sub(saturating_nanos(late_by));
        let mut fired = Vec::new();
        let count = match exact {
            true => self.wheel.advance_exact(seen, |payload| fired.push(payload)),
            false => self.wheel.advance(seen, |payload| fired.push(payload)),
        };
        assert_eq!(count, fired.len());
        assert_eq!(fired, self.naive.advance(seen, exact));
    }

    /// What is left comes out of both.
    fn drain(mut self) {
        let mut drained = Vec::new();
        self.wheel.drain(|payload| drained.push(payload));
        drained.sort_unstable();
        let mut left: Vec<u64> = self.naive.timers.values().map(|timer| timer.1).collect();
        left.sort_unstable();
        assert_eq!(drained, left);
        assert!(self.wheel.next().is_none() && self.wheel.is_empty());
    }
}

proptest! {
    // What once failed is tried first; its seed stands in a file beside this one.
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_wheel_does_what_a_sorted_map_does(kept in 1..=8_u32, start in 0..YEAR, ops in ops()) {
        let (wheel, naive) = (Wheel::keeping(kept), Naive::default());
        let mut pair = Pair { wheel, naive, keys: Vec::new(), now: start };
        for (step, op) in ops.iter().enumerate() {
            pair.do_both(op);
            check_next(&pair.wheel, &pair.naive, &format!("step {step}"));
        }
        pair.drain();
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
