//! Figures of many processes: collected, and read as medians.

use crate::micro::measure::{Metrics, median};
use crate::runtimes::RuntimeName;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Workload, runtime, metric.
type Key = (String, RuntimeName, String);

/// The name under which JSON says what was measured on; no workload has it.
const MACHINE: &str = "machine";

/// Every figure that every process reported.
#[derive(Debug, Default)]
pub(crate) struct Results {
    samples: BTreeMap<Key, Vec<f64>>,
    /// Of each run that the figures are from.
    machines: BTreeSet<String>,
}

impl Results {
    /// No figures yet, of a run on `machine`.
    pub(crate) fn measured_on(machine: String) -> Results {
        Results { machines: BTreeSet::from([machine]), ..Results::default() }
    }

    /// What earlier runs wrote: medians, in the form of [`to_json`](Results::to_json) or as bare
    /// numbers, as the counts are. Where several files have a figure, each is one sample of it.
    ///
    /// # Errors
    /// Those of reading; `Other` for a file that is no JSON or has no figure. Both name the file.
    pub(crate) fn read(paths: &[PathBuf]) -> io::Result<Results> {
        let mut results = Results::default();
        for path in paths {
            let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
            let text = fs::read_to_string(path)
                .map_err(|error| io::Error::new(error.kind(), named(&error)))?;
            let json = serde_json::from_str(&text);
            let json: Value = json.map_err(|error| io::Error::other(named(&error)))?;
            if results.add_json(&json) == 0 {
                return Err(io::Error::other(named(&"no figure of a runtime that is known here")));
            }
        }
        Ok(results)
    }

    /// Returns how many figures there were.
    fn add_json(&mut self, json: &Value) -> usize {
        let mut added = 0;
        self.machines.extend(json[MACHINE].as_str().map(str::to_owned));
        for (workload, runtimes) in json.as_object().into_iter().flatten() {
            for (name, figures) in runtimes.as_object().into_iter().flatten() {
                let runtime = RuntimeName::ALL.iter().find(|runtime| runtime.name() == name);
                for (metric, figure) in figures.as_object().into_iter().flatten() {
                    let median = figure.as_f64().or_else(|| figure["median"].as_f64());
                    if let (Some(runtime), Some(median)) = (runtime, median) {
                        self.add(workload, *runtime, Metrics::from([(metric.clone(), median)]));
                        added += 1;
                    }
                }
            }
        }
        added
    }

    /// What was measured on, a line for each run that says so.
    pub(crate) fn machines(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(String::as_str)
    }

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

    /// Median, least and greatest of everything, by workload, runtime and metric, and the machine.
    pub(crate) fn to_json(&self) -> Value {
        let mut workloads = Map::new();
        if !self.machines.is_empty() {
            let machines = self.machines().collect::<Vec<_>>().join("; ");
            workloads.insert(MACHINE.to_owned(), Value::from(machines));
        }
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

    #[test]
    fn figures_survive_json_and_several_files_are_samples() {
        let mut written = results();
        written.machines.insert("a machine".to_owned());
        let counted = json!({"spawn": {"tokio-mt": {"instructions": 5, "wall_ns": 4.0}}});
        let mut read = Results::default();
        assert_eq!(read.add_json(&written.to_json()), 1);
        assert_eq!(read.median("spawn", RuntimeName::TokioMt, "wall_ns"), Some(2.0));
        assert_eq!(read.add_json(&counted), 2);
        assert_eq!(read.median("spawn", RuntimeName::TokioMt, "wall_ns"), Some(3.0));
        assert_eq!(read.median("spawn", RuntimeName::TokioMt, "instructions"), Some(5.0));
        assert_eq!(read.machines().collect::<Vec<_>>(), ["a machine"]);
    }

    #[test]
    fn what_is_no_figure_is_none() {
        let json = json!({"spawn": {"nobody": {"wall_ns": 4.0}, "tokio-mt": "fast"}, "machine": 7});
        assert_eq!(Results::default().add_json(&json), 0);
    }
}
