//! Allocations of tasks that come and go.

use super::measure::{Metrics, median};
use super::{ReadHeap, spawn};
use crate::shim::Shim;

/// Allocations per spawn: on a fresh runtime, and once it has run that many tasks before.
pub(super) async fn allocations<R: Shim>(read: ReadHeap) -> Metrics {
    const TASKS: usize = 10_000;
    let mut rounds = Vec::new();
    for _ in 0..10 {
        let before = read().allocations;
        spawn::many::<R>(TASKS).await;
        rounds.push((read().allocations - before) as f64 / TASKS as f64);
    }
    let first = rounds[0];
    Metrics::from([
        ("allocs_first".to_owned(), first),
        ("allocs_churn".to_owned(), median(&mut rounds[1..])),
    ])
}
