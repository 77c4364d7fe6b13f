//! Tables in markdown, with ratios.

use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::fmt::Write as _;

/// A figure of a workload, and how it is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) metric: &'static str,
    pub(crate) title: &'static str,
    pub(crate) decimals: usize,
}

/// Shorthand for the constant tables of the suites.
pub(crate) const fn column(metric: &'static str, title: &'static str, decimals: usize) -> Column {
    Column { metric, title, decimals }
}

/// One row of [`by_workload`].
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) workload: String,
    /// The first is what ratios are taken of.
    pub(crate) metrics: &'static [&'static str],
    /// Behind the workload's name.
    pub(crate) unit: &'static str,
}

/// The best peer of one row: who, and its figure; less is better.
pub(crate) fn best_peer(
    results: &Results,
    workload: &str,
    metric: &str,
    among: &[RuntimeName],
) -> Option<(RuntimeName, f64)> {
    among
        .iter()
        .filter(|runtime| !runtime.is_ours() && !runtime.has_no_runtime())
        .filter_map(|runtime| Some((*runtime, results.median(workload, *runtime, metric)?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

/// A row per workload, a column per runtime: figures, the ratio to tokio, and ours to the best peer.
pub(crate) fn by_workload(results: &Results, lines: &[Line], runtimes: &[RuntimeName]) -> String {
    let has_figures = |line: &&Line| {
        runtimes.iter().any(|r| results.median(&line.workload, *r, line.metrics[0]).is_some())
    };
    let mut table = String::from("| workload |");
    for runtime in runtimes {
        let _ = write!(table, " {runtime} |");
    }
    table.push_str(" ours to the best peer |\n|---|");
    table.push_str(&"---:|".repeat(runtimes.len() + 1));
    table.push('\n');
    for line in lines.iter().filter(has_figures) {
        let metric = line.metrics[0];
        let median = |runtime: RuntimeName| results.median(&line.workload, runtime, metric);
        let tokio = runtimes.iter().find(|runtime| runtime.is_tokio()).and_then(|r| median(*r));
        let _ = write!(table, "| {} {} |", line.workload, line.unit);
        for runtime in runtimes {
            let cell = median(*runtime).map_or("-".to_owned(), |value| {
                let figures: Vec<String> = line
                    .metrics
                    .iter()
                    .filter_map(|metric| results.median(&line.workload, *runtime, metric))
                    .map(figure)
                    .collect();
                format!("{}{}", figures.join(" / "), ratio(value, tokio))
            });
            let _ = write!(table, " {cell} |");
        }
        let ours = runtimes.iter().find(|runtime| runtime.is_ours()).and_then(|r| median(*r));
        let best = best_peer(results, &line.workload, metric, runtimes);
        let _ = match (ours, best) {
            (Some(ours), Some((peer, best))) if best > 0.01 => {
                writeln!(table, " {:.2}x {peer} |", ours / best)
            }
            _ => writeln!(table, " - |"),
        };
    }
    table
}

/// A table for one workload: a row per runtime, a column per figure, the first figure's ratios to
/// tokio and to the best peer of the same kind, worker threads or one thread.
pub(crate) fn by_runtime(results: &Results, workload: &str, columns: &[Column]) -> String {
    let runtimes = results.runtimes(workload);
    let main = columns[0].metric;
    let median = |runtime: RuntimeName| results.median(workload, runtime, main);
    let mut table = format!("| {workload} |");
    for column in columns {
        let _ = write!(table, " {} |", column.title);
    }
    table.push_str(" to tokio | to the best peer |\n|---|");
    table.push_str(&"---:|".repeat(columns.len() + 2));
    table.push('\n');
    for runtime in &runtimes {
        let _ = write!(table, "| {runtime} |");
        for Column { metric, decimals, .. } in columns {
            let _ = match results.median(workload, *runtime, metric) {
                Some(value) => write!(table, " {value:.decimals$} |"),
                None => write!(table, " - |"),
            };
        }
        let is_same_kind = |other: &RuntimeName| other.is_threaded() == runtime.is_threaded();
        let kind: Vec<RuntimeName> = runtimes.iter().copied().filter(is_same_kind).collect();
        let tokio = kind.iter().find(|other| other.is_tokio()).and_then(|tokio| median(*tokio));
        let best = best_peer(results, workload, main, &kind).map(|(_, value)| value);
        for reference in [tokio, best] {
            let _ = match (median(*runtime), reference) {
                (Some(value), Some(reference)) if reference > 0.0 => {
                    write!(table, " {:.2}x |", value / reference)
                }
                _ => write!(table, " - |"),
            };
        }
        table.push('\n');
    }
    table
}

/// The smaller, the more decimals.
fn figure(value: f64) -> String {
    let decimals = if value < 1.0 { 3 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$}")
}

/// Nothing where both are all but zero, as system calls can be.
fn ratio(value: f64, tokio: Option<f64>) -> String {
    match tokio {
        Some(tokio) if tokio > 0.01 => format!(" ({:.2}x)", value / tokio),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::micro::measure::Metrics;

    fn results() -> Results {
        let mut results = Results::default();
        let figures = [
            (RuntimeName::TokioCt, 200.0),
            (RuntimeName::Monoio, 50.0),
            (RuntimeName::WindlassSt, 25.0),
            (RuntimeName::RawEpoll, 10.0),
        ];
        for (runtime, value) in figures {
            let metrics = [("cpu_ns".to_owned(), value), ("wall_ns".to_owned(), value + 1.0)];
            results.add("spawn", runtime, Metrics::from(metrics));
        }
        results
    }

    #[test]
    fn a_row_per_workload_has_both_ratios() {
        let runtimes = [RuntimeName::TokioCt, RuntimeName::Monoio, RuntimeName::WindlassSt];
        let line = |workload: &str| Line {
            workload: workload.to_owned(),
            metrics: &["cpu_ns", "wall_ns"],
            unit: "(ns)",
        };
        let table = by_workload(&results(), &[line("spawn"), line("absent")], &runtimes);
        assert!(table.contains("| 200 / 201 (1.00x) | 50.0 / 51.0 (0.25x) |"), "{table}");
        assert!(table.ends_with("25.0 / 26.0 (0.12x) | 0.50x monoio |\n"), "{table}");
        assert!(!table.contains("absent"), "{table}");
    }

    #[test]
    fn a_server_without_a_runtime_is_no_peer() {
        let table = by_runtime(&results(), "spawn", &[column("cpu_ns", "CPU", 0)]);
        assert!(table.contains("| windlass-st | 25 | 0.12x | 0.50x |"), "{table}");
        assert!(table.contains("| raw-epoll | 10 | 0.05x | 0.20x |"), "{table}");
    }
}
