//! Repeats a workload and reports wall and CPU time per operation.

use crate::process;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

/// What one process reports: name of the figure to value.
pub(crate) type Metrics = BTreeMap<String, f64>;

/// How often a workload is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// Until so much time has passed, at least five rounds; two more go ahead unmeasured.
    For(Duration),
    /// Exactly so many rounds, unmeasured: for tools that count. Under callgrind, besides, the clock of
    /// rustix ends in a crash, because there is no vDSO.
    Rounds(u64),
}

/// The time of each round, in nanoseconds per operation.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    wall_ns: Vec<f64>,
    cpu_ns: Vec<f64>,
}

/// What a round was begun at.
pub(crate) struct Stopwatch {
    wall: Instant,
    cpu: Duration,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch { cpu: process::cpu_time(), wall: Instant::now() }
    }
}

impl Samples {
    /// Adds the round that `stopwatch` began and that did `ops` operations; none is not measured.
    pub(crate) fn add(&mut self, stopwatch: Option<Stopwatch>, ops: u64) {
        let Some(Stopwatch { wall, cpu }) = stopwatch else {
            return;
        };
        let (wall, cpu) = (wall.elapsed(), process::cpu_time() - cpu);
        self.wall_ns.push(wall.as_nanos() as f64 / ops as f64);
        self.cpu_ns.push(cpu.as_nanos() as f64 / ops as f64);
    }

    /// The medians, and the fastest round; nothing if no round was measured.
    pub(crate) fn metrics(mut self) -> Metrics {
        if self.wall_ns.is_empty() {
            return Metrics::new();
        }
        let fastest = self.wall_ns.iter().copied().fold(f64::INFINITY, f64::min);
        Metrics::from([
            ("wall_ns".to_owned(), median(&mut self.wall_ns)),
            ("cpu_ns".to_owned(), median(&mut self.cpu_ns)),
            ("wall_ns_min".to_owned(), fastest),
        ])
    }
}

/// Awaits the futures that `round` makes, as often as `plan` says, `ops` operations each.
pub(crate) async fn repeat<F>(plan: Plan, ops: u64, mut round: impl FnMut() -> F) -> Samples
where
    F: Future<Output = ()>,
{
    let mut samples = Samples::default();
    let mut schedule = Schedule::new(plan);
    while let Some(is_measured) = schedule.next_round() {
        let stopwatch = is_measured.then(Stopwatch::start);
        round().await;
        samples.add(stopwatch, ops);
    }
    samples
}

/// Says whether there is another round, and whether it counts.
pub(crate) struct Schedule {
    plan: Plan,
    round: u64,
    measuring_since: Instant,
}

impl Schedule {
    pub(crate) fn new(plan: Plan) -> Schedule {
        Schedule { plan, round: 0, measuring_since: Instant::now() }
    }

    /// `None` at the end; otherwise whether the round is to be measured.
    pub(crate) fn next_round(&mut self) -> Option<bool> {
        const WARM_UP: u64 = 2;
        const FEWEST: u64 = 5;
        let round = self.round;
        self.round += 1;
        match self.plan {
            Plan::Rounds(rounds) => (round < rounds).then_some(false),
            Plan::For(_) if round < WARM_UP => {
                self.measuring_since = Instant::now();
                Some(false)
            }
            Plan::For(budget) => {
                let is_over = round >= WARM_UP + FEWEST && self.measuring_since.elapsed() >= budget;
                (!is_over).then_some(true)
            }
        }
    }
}

/// The middle value; 0 of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => (values[n / 2 - 1] + values[n / 2]) / 2.0,
    }
}

/// Metrics as one line of JSON, the way a child process hands them to its parent.
pub(crate) fn to_json(metrics: &Metrics) -> Value {
    metrics.iter().map(|(name, value)| (name.clone(), Value::from(*value))).collect()
}

/// Reads what [`to_json`] wrote; whatever is no number is left out.
pub(crate) fn from_json(value: &Value) -> Metrics {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&mut []), 0.0);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_plan_of_rounds_has_exactly_those() {
        let mut schedule = Schedule::new(Plan::Rounds(3));
        let rounds = std::iter::from_fn(|| schedule.next_round()).count();
        assert_eq!(rounds, 3);
    }

    #[test]
    fn a_plan_of_time_warms_up_and_measures_five_rounds_at_least() {
        let mut schedule = Schedule::new(Plan::For(Duration::ZERO));
        let rounds: Vec<bool> = std::iter::from_fn(|| schedule.next_round()).collect();
        assert_eq!(rounds, [false, false, true, true, true, true, true]);
    }

    #[test]
    fn metrics_survive_json() {
        let metrics = Metrics::from([("wall_ns".to_owned(), 12.5)]);
        let text = to_json(&metrics).to_string();
        let value: Value = serde_json::from_str(&text).expect("we wrote it");
        assert_eq!(from_json(&value), metrics);
    }
}
