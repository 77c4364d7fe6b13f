//! Timers that fire: very many at once, and one on an idle runtime.

use super::countdown::Countdown;
use super::measure::{Metrics, median};
use crate::process;
use crate::shim::Shim;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What one sleeping task needs.
pub(super) struct Sleeper {
    duration: Duration,
    shared: Arc<Lateness>,
}

struct Lateness {
    /// Nanoseconds of all sleepers; `Relaxed`, because the countdown publishes the sum.
    total_ns: AtomicU64,
    countdown: Arc<Countdown>,
}

/// Sleeps and adds how late it was woken.
pub(super) async fn sleeper<R: Shim>(sleeper: Sleeper) {
    let begun = Instant::now();
    R::sleep(sleeper.duration).await;
    let late = begun.elapsed().saturating_sub(sleeper.duration);
    sleeper.shared.total_ns.fetch_add(late.as_nanos() as u64, Ordering::Relaxed);
    sleeper.shared.countdown.done();
}

/// `tasks` tasks sleep 1 to 100 ms; CPU per sleep, time in all, mean lateness. Three rounds.
pub(super) async fn many(tasks: usize, spawn: impl Fn(Sleeper)) -> Metrics {
    let (mut cpu_ns, mut wall_ms, mut late_us) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        let countdown = Countdown::new(tasks);
        let shared =
            Arc::new(Lateness { total_ns: AtomicU64::new(0), countdown: Arc::clone(&countdown) });
        let (begun, cpu) = (Instant::now(), process::cpu_time());
        for task in 0..tasks {
            let duration = Duration::from_millis(task as u64 % 100 + 1);
            spawn(Sleeper { duration, shared: Arc::clone(&shared) });
        }
        countdown.wait().await;
        wall_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        cpu_ns.push((process::cpu_time() - cpu).as_nanos() as f64 / tasks as f64);
        let total_ns = shared.total_ns.load(Ordering::Relaxed);
        late_us.push(total_ns as f64 / tasks as f64 / 1e3);
    }
    Metrics::from([
        ("cpu_ns".to_owned(), median(&mut cpu_ns)),
        ("wall_ms".to_owned(), median(&mut wall_ms)),
        ("late_mean_us".to_owned(), median(&mut late_us)),
    ])
}

/// One task sleeps 1 ms, 200 times, with nothing else to run.
pub(super) async fn short<R: Shim>() -> Metrics {
    let mut elapsed_us = Vec::with_capacity(200);
    let cpu = process::cpu_time();
    for _ in 0..200 {
        let begun = Instant::now();
        R::sleep(Duration::from_millis(1)).await;
        elapsed_us.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let cpu_ns = (process::cpu_time() - cpu).as_nanos() as f64 / 200.0;
    let middle = median(&mut elapsed_us);
    Metrics::from([
        ("p50_us".to_owned(), middle),
        ("p99_us".to_owned(), elapsed_us[197]),
        ("min_us".to_owned(), elapsed_us[0]),
        ("cpu_ns".to_owned(), cpu_ns),
    ])
}
