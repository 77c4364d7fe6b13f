//! Figures of many processes: collected, and read as medians.

use crate::micro::measure::{Metrics, median};
use crate::runtimes::RuntimeName;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Workload, runtime, metric.
type Key = (String, RuntimeName, String);

/// Every figure that every process reported.
#[derive(Debug, Default)]
pub(crate) struct Results {
    samples: BTreeMap<Key, Vec<f64>>,
}

impl Results {
    /// Adds what one process reported.
    pub(crate) fn add(&mut self, workload: &str, runtime: RuntimeName, metrics: Metrics) {
        for (metric, value) in metrics {
            self.samples.entry((workload.to_owned(), runtime, metric)).or_default().push(value);
        }
    }

    /// The median over the processes; `None` without any figure.
    pub(crate) fn median(&self, workload: &str, runtime: RuntimeName, metric: &str) -> Option<f64> {
        let key = (workload.to_owned(), runtime, metric.to_owned());
        self.samples.get(&key).map(|samples| median(&mut samples.clone()))
    }

    /// The runtimes that have a figure for `workload`.
    pub(crate) fn runtimes(&self, workload: &str) -> Vec<RuntimeName> {
        let mut found: Vec<RuntimeName> = self
            .samples
            .keys()
            .filter(|(name, ..)| name == workload)
            .map(|(_, runtime, _)| *runtime)
            .collect();
        found.dedup();
        found
    }

    /// Median, least and greatest of everything, by workload, runtime and metric.
    pub(crate) fn to_json(&self) -> Value {
        let mut workloads = Map::new();
        for ((workload, runtime, metric), samples) in &self.samples {
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            workloads.entry(workload.clone()).or_insert_with(|| json!({}))[runtime.name()]
                [metric] = json!({
                "median": median(&mut samples.clone()),
                "min": least,
                "max": greatest,
                "processes": samples.len(),
            });
        }
        Value::Object(workloads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let mut results = Results::default();
        for value in [3.0, 1.0, 2.0] {
            let metrics = Metrics::from([("wall_ns".to_owned(), value)]);
            results.add("spawn", RuntimeName::TokioMt, metrics);
        }
        results
    }

    #[test]
    fn processes_are_read_as_their_median() {
        let results = results();
        assert_eq!(results.median("spawn", RuntimeName::TokioMt, "wall_ns"), Some(2.0));
        assert_eq!(results.median("spawn", RuntimeName::TokioCt, "wall_ns"), None);
        assert_eq!(results.runtimes("spawn"), [RuntimeName::TokioMt]);
    }

    #[test]
    fn json_keeps_the_spread() {
        let json = results().to_json();
        let figure = &json["spawn"]["tokio-mt"]["wall_ns"];
        assert_eq!(figure["median"], 2.0);
        assert_eq!(figure["min"], 1.0);
        assert_eq!(figure["max"], 3.0);
        assert_eq!(figure["processes"], 3);
    }
}
