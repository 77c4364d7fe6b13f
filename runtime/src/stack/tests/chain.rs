//! Functions with frames of different shapes, which call each other as a path says, against the
//! path.

use std::hint::black_box;
use std::time::Duration;

use super::{Stop, asleep_by_call, capture_in, computing, start, take_turn};

type Call = dyn Fn(&[u8], &End) -> u64;

enum End {
    Sleep(Stop),
    Compute(Stop),
}

fn next(path: &[u8], end: &End) -> u64 {
    match path.split_first() {
        None => match end {
            End::Sleep(stop) => {
                while !stop.is_set() {
                    asleep_by_call(Duration::from_millis(50));
                }
                1
            }
            End::Compute(stop) => {
                computing(stop);
                1
            }
        },
        Some((0, rest)) => small(rest, end),
        Some((1, rest)) => large(rest, end),
        Some((2, rest)) => aligned(rest, end),
        Some((3, rest)) => busy(rest, end),
        Some((_, rest)) => boxed(rest, end),
    }
}

#[inline(never)]
fn small(path: &[u8], end: &End) -> u64 {
    black_box(next(path, end)) + 1
}

#[inline(never)]
fn large(path: &[u8], end: &End) -> u64 {
    let buf = black_box([7_u8; 9000]);
    black_box(next(path, end)) + u64::from(black_box(&buf)[0])
}

#[inline(never)]
fn aligned(path: &[u8], end: &End) -> u64 {
    #[repr(align(64))]
    struct Aligned([u8; 64]);
    let buf = black_box(Aligned([7; 64]));
    black_box(next(path, end)) + u64::from(black_box(&buf).0[0])
}

#[inline(never)]
fn busy(path: &[u8], end: &End) -> u64 {
    let [a, b, c, d, e, f] = black_box([1_u64, 2, 3, 4, 5, 6]);
    black_box(next(path, end)) + (a ^ b) * (c ^ d) * (e ^ f) + a * c * e
}

#[inline(never)]
fn boxed(path: &[u8], end: &End) -> u64 {
    let call: Box<Call> = black_box(Box::new(next));
    black_box(call(path, end)) + 1
}

#[inline(never)]
fn outermost(path: &[u8], end: &End) -> u64 {
    black_box(next(path, end)) + 1
}

/// The names that a stack must show, innermost first.
fn names(path: &[u8]) -> Vec<&'static str> {
    let names = ["small", "large", "aligned", "busy", "boxed"];
    let mut names: Vec<_> = path.iter().map(|&way| names[usize::from(way)]).collect();
    names.reverse();
    names.push("outermost");
    names
}

/// Which functions of this file `text` shows.
fn shown(text: &str) -> Vec<&str> {
    let after = |line: &'_ str| line.split_once("chain::").map(|(_, name)| name.to_owned());
    let ends = |name: &String| name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
    let known = ["small", "large", "aligned", "busy", "boxed", "outermost"];
    text.lines()
        .filter_map(after)
        .filter_map(|name| known.into_iter().find(|known| *known == &name[..ends(&name)]))
        .collect()
}

#[test]
fn every_frame_is_found_whatever_its_shape() {
    let _turn = take_turn();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..24 {
        let seed = random;
        let mut way = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(round | 1);
            ((random >> 33) % 5) as u8
        };
        let path: Vec<u8> = (0..10).map(|_| way()).collect();
        let stop = Stop::default();
        let end = match round % 2 {
            0 => End::Sleep(stop.clone()),
            _ => End::Compute(stop.clone()),
        };
        let inner = if round % 2 == 0 { "asleep_by_call" } else { "tests::computing" };
        let expected = names(&path);
        let (thread, handle) = start(move || outermost(&path, &end));
        let text = capture_in(&thread, inner);
        assert_eq!(shown(&text), expected, "round {round}, seed {seed:#x}: {text}");
        stop.set();
        handle.join().expect("it only calls");
    }
}
