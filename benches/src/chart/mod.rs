//! Bar charts for the docs: which there are, and what stands in them.

mod bars;

use crate::files::FILES;
use crate::footprint::HELLO_WORLD;
use crate::micro::{MICRO, has_figures_of_its_own};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use bars::{Bar, Group, Page, draw};
use clap::Args;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bars longer than so many times tokio's are cut.
const LONGEST: f64 = 2.0;

/// Where the figures are, and where the charts go.
#[derive(Clone, Debug, Args)]
pub(crate) struct DrawArgs {
    /// What `--json` wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The folder for the charts.
    #[arg(long)]
    svg: PathBuf,
}

/// Draws what earlier runs measured.
///
/// # Errors
/// Those of reading and writing the files.
pub(crate) fn run(args: &DrawArgs) -> io::Result<()> {
    draw_all(&Results::read(&args.files)?, &args.svg)
}

/// How long a bar is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// By the ratio to tokio's.
    ToTokio,
    /// By the figure, of 100 %.
    Percent,
}

/// Which runtimes are compared; what is written without one stands beside all.
#[derive(Clone, Copy)]
enum Kind {
    Threads,
    OneThread,
    All,
}

impl Kind {
    fn includes(self, runtime: RuntimeName) -> bool {
        match self {
            Kind::All => true,
            Kind::Threads => runtime.is_threaded() || runtime.has_no_runtime(),
            Kind::OneThread => !runtime.is_threaded() || runtime.has_no_runtime(),
        }
    }
}

/// One figure of one workload, and what it is called.
struct Row {
    workload: &'static str,
    metric: &'static str,
    name: String,
}

fn row(workload: &'static str, metric: &'static str, name: &str) -> Row {
    Row { workload, metric, name: name.to_owned() }
}

/// The same figure of all `workloads`.
fn rows(workloads: &[&'static str], metric: &'static str) -> Vec<Row> {
    workloads.iter().map(|workload| row(workload, metric, workload)).collect()
}

struct Chart {
    file: String,
    title: String,
    caption: &'static str,
    kind: Kind,
    scale: Scale,
    rows: Vec<Row>,
}

const SHORTER: &str = "Ratio to tokio, the dashed line, and the figure; shorter is better.";
const LONGER: &str = "Ratio to tokio, the dashed line, and the figure; longer is better.";
const SHARES: &str = "Share of the requests that took over 2 ms; shorter is better.";

/// All charts, also those that a run has no figures for.
fn charts() -> Vec<Chart> {
    let operations: Vec<&str> =
        MICRO.iter().copied().filter(|name| !has_figures_of_its_own(name)).collect();
    let mut charts = Vec::new();
    for (kind, suffix, words, nanos, micros) in [
        (Kind::Threads, "threads", "worker threads", "wall_ns", "wall_us"),
        (Kind::OneThread, "one-thread", "one thread", "cpu_ns", "cpu_us"),
    ] {
        let time = if nanos == "wall_ns" { "wall time" } else { "CPU time" };
        let mut add = |file: &str, title: String, caption, rows| {
            let (file, scale) = (format!("{file}-{suffix}.svg"), Scale::ToTokio);
            charts.push(Chart { file, title, caption, kind, scale, rows });
        };
        let title = format!("Single operations, {words}: {time} of one");
        add("micro", title, SHORTER, rows(&operations, nanos));
        add("timers", format!("Timers that fire, start-up, {words}"), SHORTER, timers());
        add("memory", format!("Memory, {words}: bytes of RAM each"), SHORTER, memory());
        add(
            "files",
            format!("Files, {words}: {time} of one operation"),
            SHORTER,
            rows(FILES, micros),
        );
        add("footprint", format!("The smallest program, {words}"), SHORTER, footprint());
        let title = format!("The ACK server, {words}: CPU time of one request");
        add("net-cpu", title, SHORTER, rows(&[CLOSED, PACED, CHURN].concat(), "server_cpu_ns"));
        let title = format!("The ACK server, {words}: requests per second");
        add("net-rate", title, LONGER, rows(&[CLOSED, CHURN].concat(), "ops_per_s"));
    }
    charts.push(Chart {
        file: "fairness.svg".to_owned(),
        title: "Everybody else, while one task misbehaves".to_owned(),
        caption: SHARES,
        kind: Kind::All,
        scale: Scale::Percent,
        rows: rows(FAIRNESS, "over_2ms_percent"),
    });
    charts
}

const CLOSED: &[&str] = &[
    "ack_cross_c1",
    "ack_cross_c50",
    "ack_cross_c1000",
    "ack_free_c1",
    "ack_free_c50",
    "ack_free_c1000",
];
const PACED: &[&str] = &["ack_paced_c1", "ack_paced_c100"];
const CHURN: &[&str] = &["churn_c32"];
const FAIRNESS: &[&str] = &[
    "baseline",
    "hog",
    "polite_hog",
    "blocking_handler",
    "computing_handler",
    "all_blocked",
    "sleep_beside_blocked",
];

fn timers() -> Vec<Row> {
    vec![
        row("sleeps_100000", "cpu_ns", "sleeps_100000, CPU time each"),
        row("sleeps_100000", "late_mean_us", "sleeps_100000, mean lateness"),
        row("sleep_1ms", "p50_us", "sleep_1ms, median"),
        row("startup", "first_ns", "start-up to the first task"),
    ]
}

fn memory() -> Vec<Row> {
    vec![
        row("mem_tasks_100000", "rss_bytes", "idle task, of 100,000"),
        row("mem_tasks_1000000", "rss_bytes", "idle task, of 1,000,000"),
        row("heap_tasks_100000", "heap_bytes", "idle task, heap alone"),
        row("idle_connections", "rss_bytes_per_connection", "idle connection"),
    ]
}

fn footprint() -> Vec<Row> {
    vec![
        row(HELLO_WORLD, "size_bytes", "size, stripped"),
        row(HELLO_WORLD, "build_s", "clean build"),
        row(HELLO_WORLD, "crates", "crates in the tree"),
    ]
}

/// The workloads that stand in charts.
#[cfg(test)]
pub(crate) fn workloads() -> Vec<&'static str> {
    charts().iter().flat_map(|chart| chart.rows.iter().map(|row| row.workload)).collect()
}

/// Draws every chart for which there are figures into `folder`.
pub(crate) fn draw_all(results: &Results, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let machines: Vec<&str> = results.machines().collect();
    for chart in charts() {
        let groups: Vec<Group> =
            chart.rows.iter().filter_map(|row| group(results, &chart, row)).collect();
        if groups.is_empty() {
            continue;
        }
        let page = Page {
            title: &chart.title,
            caption: chart.caption,
            line: (chart.scale == Scale::ToTokio).then_some(1.0 / LONGEST),
            foot: machines.clone(),
        };
        fs::write(folder.join(&chart.file), draw(&page, &groups))?;
    }
    Ok(())
}

/// A bar for each runtime that has the figure; `None` if none has, or there is no tokio to compare with.
fn group(results: &Results, chart: &Chart, row: &Row) -> Option<Group> {
    let median = |runtime| Some((runtime, results.median(row.workload, runtime, row.metric)?));
    let runtimes = RuntimeName::ALL.iter().copied().filter(|runtime| chart.kind.includes(*runtime));
    let figures: Vec<(RuntimeName, f64)> = runtimes.filter_map(median).collect();
    let tokio = figures.iter().find(|(runtime, _)| runtime.is_tokio()).map(|(_, value)| *value);
    let tokio = tokio.filter(|value| *value > 0.0);
    let bar = |(runtime, value): &(RuntimeName, f64)| {
        let figure = amount(*value, row.metric);
        let (length, text) = match chart.scale {
            Scale::Percent => (value / 100.0, figure),
            Scale::ToTokio => {
                let ratio = value / tokio?;
                (ratio / LONGEST, format!("{ratio:.2}x, {figure}"))
            }
        };
        Some(Bar { runtime: *runtime, length, text })
    };
    let bars: Vec<Bar> = figures.iter().filter_map(bar).collect();
    (!bars.is_empty()).then(|| Group { name: row.name.clone(), bars })
}

/// A figure with its unit; of times the next larger one from 10,000 on.
fn amount(mut value: f64, metric: &str) -> String {
    let mut unit = unit(metric);
    for (small, large) in [("ns", "us"), ("us", "ms")] {
        if unit == small && value >= 10_000.0 {
            (value, unit) = (value / 1000.0, large);
        }
    }
    format!("{} {unit}", figure(value)).trim_end().to_owned()
}

/// The unit of a metric, which is at the end of its name.
fn unit(metric: &str) -> &'static str {
    let units = [("_ns", "ns"), ("_us", "us"), ("_per_s", "per s"), ("_percent", "%"), ("_s", "s")];
    let found = units.iter().find(|(end, _)| metric.ends_with(end));
    let bytes = metric.contains("bytes").then_some("B");
    found.map(|(_, unit)| *unit).or(bytes).unwrap_or("")
}

/// Three digits, and what is large or whole without decimals.
fn figure(value: f64) -> String {
    match value {
        v if v.fract() == 0.0 => format!("{v:.0}"),
        v if v < 10.0 => format!("{v:.2}"),
        v if v < 100.0 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::scratch_folder;
    use crate::micro::measure::Metrics;
    use RuntimeName::{RawEpoll, TokioCt, TokioMt, WindlassSt, WindlassWs};

    fn add(results: &mut Results, workload: &str, metric: &str, figures: &[(RuntimeName, f64)]) {
        for (runtime, value) in figures {
            results.add(workload, *runtime, Metrics::from([(metric.to_owned(), *value)]));
        }
    }

    #[test]
    fn only_what_was_measured_is_drawn_and_always_the_same() {
        let mut results = Results::measured_on("2026-11-21, a machine".to_owned());
        let both = [(TokioMt, 400.0), (WindlassWs, 100.0), (WindlassSt, 5.0)];
        add(&mut results, "spawn_many_10000", "wall_ns", &both);
        add(&mut results, "hog", "over_2ms_percent", &[(TokioCt, 100.0), (WindlassWs, 0.12)]);
        let folder = scratch_folder(None, "charts").expect("a temporary folder");
        draw_all(&results, &folder.0).expect("the folder can be written");
        let read = |file: &str| fs::read_to_string(folder.0.join(file)).expect("it was drawn");
        let mut names: Vec<_> = fs::read_dir(&folder.0)
            .expect("it is there")
            .map(|entry| entry.expect("it can be read").file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["fairness.svg", "micro-threads.svg"]);
        let micro = read("micro-threads.svg");
        assert!(micro.contains(">windlass-ws 0.25x, 100 ns<"), "{micro}");
        assert!(!micro.contains("windlass-st"), "{micro}");
        assert!(micro.contains(">2026-11-21, a machine<"), "{micro}");
        assert!(read("fairness.svg").contains(">windlass-ws 0.12 %<"));
        draw_all(&results, &folder.0).expect("the folder can be written");
        assert_eq!(read("micro-threads.svg"), micro);
    }

    #[test]
    fn a_server_without_a_runtime_stands_beside_both_kinds() {
        let mut results = Results::default();
        let figures = [(TokioMt, 10.0), (TokioCt, 20.0), (RawEpoll, 5.0)];
        add(&mut results, "ack_free_c1", "server_cpu_ns", &figures);
        for chart in charts().iter().filter(|chart| chart.file.starts_with("net-cpu")) {
            let row =
                chart.rows.iter().find(|row| row.workload == "ack_free_c1").expect("it is in");
            let group = group(&results, chart, row).expect("there are figures");
            let texts: Vec<&str> = group.bars.iter().map(|bar| bar.text.as_str()).collect();
            let ratio = if chart.file.contains("threads") { "0.50x, 5 ns" } else { "0.25x, 5 ns" };
            assert_eq!(texts[1..], [ratio], "{}", chart.file);
        }
    }

    #[test]
    fn large_times_have_larger_units() {
        assert_eq!(amount(9_999.0, "cpu_ns"), "9999 ns");
        assert_eq!(amount(10_000.0, "cpu_ns"), "10 us");
        assert_eq!(amount(12_345_678.0, "cpu_ns"), "12.3 ms");
        assert_eq!(amount(223_195.0, "ops_per_s"), "223195 per s");
        assert_eq!(amount(6.0, "crates"), "6");
    }

    #[test]
    fn a_unit_is_at_the_end_of_the_name() {
        let metrics =
            ["wall_ns", "p50_us", "ops_per_s", "rss_bytes_per_connection", "build_s", "crates"];
        assert_eq!(metrics.map(unit), ["ns", "us", "per s", "B", "s", ""]);
    }
}
