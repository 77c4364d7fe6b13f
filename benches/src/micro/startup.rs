//! From nothing to the first task.

use super::measure::{Metrics, median};
use crate::shim::Shim;
use std::time::Instant;

/// Runs as the main future: spawns one task, and returns how long after `begun` it ran.
pub(super) async fn first_task<R: Shim>(begun: Instant) -> f64 {
    let (sender, receiver) = futures_channel::oneshot::channel();
    R::detach(R::spawn(async move {
        // The receiver waits below.
        let _ = sender.send(begun.elapsed().as_nanos() as f64);
    }));
    receiver.await.expect("the task sends before it ends")
}

/// Builds a runtime with `run`, once in a fresh process, and 50 times more if it can be built again.
///
/// `first_ns` is the first; `again_ns` the median of the others, with the runtime's shutdown.
pub(super) fn measure(run: impl Fn(Instant) -> f64, is_restartable: bool) -> Metrics {
    let mut metrics = Metrics::from([("first_ns".to_owned(), run(Instant::now()))]);
    if is_restartable {
        let mut rounds = Vec::new();
        for _ in 0..50 {
            let begun = Instant::now();
            run(begun);
            rounds.push(begun.elapsed().as_nanos() as f64);
        }
        metrics.insert("again_ns".to_owned(), median(&mut rounds));
    }
    metrics
}
