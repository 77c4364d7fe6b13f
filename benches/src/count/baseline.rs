//! The counts of an earlier run, to compare with.

use super::tool::SYSCALLS;
use crate::results::Results;
use crate::runtimes::RuntimeName;
use serde_json::Value;
use std::fs;
use std::io;
use std::path::Path;

/// The form of a baseline: workload, runtime, metric, figure.
pub(super) fn medians(results: &Results) -> Value {
    let mut all = results.to_json();
    for runtimes in all.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
        for metrics in runtimes.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
            for figure in metrics.as_object_mut().into_iter().flat_map(|map| map.values_mut()) {
                *figure = figure["median"].take();
            }
        }
    }
    all
}

/// Fails if one of our counts is above its baseline. Peers are in the file for the reader.
pub(super) fn compare(path: &Path, results: &Results, tolerance: f64) -> io::Result<()> {
    let text = fs::read_to_string(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let baseline: Value = serde_json::from_str(&text).map_err(io::Error::other)?;
    let (mut compared, mut above, mut far_below) = (0, 0, 0);
    for (workload, runtime, metric, before) in figures(&baseline) {
        let Some(now) = results.median(workload, runtime, metric) else {
            continue;
        };
        // Part of a system call is start-up that did not cancel out, or was made by the clock: a look
        // at I/O every 200 us. A machine that is five times as slow makes that a hundredth; what a
        // change adds to an operation is one, or one in a few.
        let slack = before * tolerance / 100.0 + if metric == SYSCALLS { 0.05 } else { 1.0 };
        compared += 1;
        if now > before + slack {
            above += 1;
            println!("{workload} {runtime}: {metric} {before:.2} -> {now:.2}: above the baseline");
        } else if now < before - slack {
            println!("{workload} {runtime}: {metric} {before:.2} -> {now:.2}: a new baseline?");
            // Or nothing was counted.
            far_below += usize::from(metric != SYSCALLS && now < before * 0.8);
        }
    }
    println!("{compared} counts compared, {above} above the baseline by over {tolerance} %");
    if compared == 0 {
        return Err(io::Error::other("nothing that was counted is in the baseline"));
    }
    if above > 0 {
        return Err(io::Error::other("counts above the baseline"));
    }
    if far_below > 0 {
        return Err(io::Error::other("counts far below the baseline, which asks for a new one"));
    }
    Ok(())
}

/// Our figures in a baseline.
fn figures(baseline: &Value) -> Vec<(&str, RuntimeName, &str, f64)> {
    let mut figures = Vec::new();
    for (workload, runtimes) in baseline.as_object().into_iter().flatten() {
        for (name, metrics) in runtimes.as_object().into_iter().flatten() {
            let runtime = RuntimeName::ALL.iter().find(|runtime| runtime.name() == name);
            let Some(runtime) = runtime.filter(|runtime| runtime.is_ours()) else {
                continue;
            };
            for (metric, figure) in metrics.as_object().into_iter().flatten() {
                figures.extend(
                    figure
                        .as_f64()
                        .map(|value| (workload.as_str(), *runtime, metric.as_str(), value)),
                );
            }
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::tool::{INSTRUCTIONS, ReportFile};
    use crate::micro::measure::Metrics;

    #[test]
    fn a_count_above_the_baseline_fails() {
        let folder = ReportFile::new().expect("a name");
        let path = folder.0.with_extension("test.json");
        let file = ReportFile(path.clone());
        let results = |value: f64| {
            let mut results = Results::default();
            let metrics = Metrics::from([(INSTRUCTIONS.to_owned(), value)]);
            results.add("spawn", RuntimeName::WindlassSt, metrics.clone());
            results.add("spawn", RuntimeName::TokioCt, metrics);
            results
        };
        fs::write(&file.0, medians(&results(1000.0)).to_string()).expect("a temporary file");
        assert!(compare(&path, &results(1020.0), 2.0).is_ok());
        assert!(compare(&path, &results(1022.0), 2.0).is_err());
        assert!(compare(&path, &results(810.0), 2.0).is_ok());
        assert!(compare(&path, &results(10.0), 2.0).is_err(), "counting was off");
        assert!(compare(&path, &Results::default(), 2.0).is_err(), "nothing compared");
    }
}
