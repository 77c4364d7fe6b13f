//! Bar charts for the docs, as SVG without any library.

use crate::files::FILES;
use crate::micro::MICRO;
use crate::report::best_peer;
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

const BAR: usize = 14;
const GAP: usize = 14;
const LEFT: usize = 190;
const WIDTH: usize = 560;
/// Bars longer than so many times the reference are cut, with their figure beside them.
const LONGEST: f64 = 2.0;

/// One bar: who, and its ratio to the reference.
struct Bar {
    runtime: RuntimeName,
    ratio: f64,
}

/// Draws `micro-threads.svg` and `micro-one-thread.svg` into `folder`, and the same of the files: time
/// per operation as a ratio to tokio's, shorter is better.
pub(crate) fn draw_all(results: &Results, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (workloads, is_threaded, metric, file) in [
        (MICRO, true, "wall_ns", "micro-threads.svg"),
        (MICRO, false, "cpu_ns", "micro-one-thread.svg"),
        (FILES, true, "wall_us", "files-threads.svg"),
        (FILES, false, "cpu_us", "files-one-thread.svg"),
    ] {
        let groups = groups(results, workloads, is_threaded, metric);
        if !groups.is_empty() {
            fs::write(folder.join(file), draw(&groups))?;
        }
    }
    Ok(())
}

/// For every workload the runtimes that have a figure, as ratios to tokio.
fn groups(
    results: &Results,
    workloads: &[&str],
    is_threaded: bool,
    metric: &str,
) -> Vec<(String, Vec<Bar>)> {
    let mut groups = Vec::new();
    for workload in workloads {
        let runtimes: Vec<RuntimeName> = results
            .runtimes(workload)
            .into_iter()
            .filter(|runtime| runtime.is_threaded() == is_threaded)
            .collect();
        let median = |runtime: RuntimeName| results.median(workload, runtime, metric);
        let tokio = runtimes.iter().find(|runtime| runtime.is_tokio()).and_then(|r| median(*r));
        let reference = tokio.or_else(|| Some(best_peer(results, workload, metric, &runtimes)?.1));
        let Some(reference) = reference.filter(|value| *value > 0.0) else {
            continue;
        };
        let bar = |runtime: &RuntimeName| {
            Some(Bar { runtime: *runtime, ratio: median(*runtime)? / reference })
        };
        groups.push(((*workload).to_owned(), runtimes.iter().filter_map(bar).collect()));
    }
    groups
}

fn draw(groups: &[(String, Vec<Bar>)]) -> String {
    let bars: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = bars * BAR + (groups.len() + 1) * GAP;
    let width = LEFT + WIDTH + 110;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let mut y = GAP;
    for (workload, bars) in groups {
        let middle = y + (bars.len() * BAR) / 2 + 4;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{workload}</text>",
            LEFT - 8
        );
        for Bar { runtime, ratio } in bars {
            let length = ratio.min(LONGEST) / LONGEST * WIDTH as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{}\">{runtime} {ratio:.2}x</text>",
                BAR - 2,
                colour(*runtime),
                LEFT as f64 + length + 4.0,
                y + BAR - 4,
            );
            y += BAR;
        }
        y += GAP;
    }
    let tokio = LEFT as f64 + WIDTH as f64 / LONGEST;
    let _ = writeln!(
        svg,
        "<line x1=\"{tokio}\" y1=\"0\" x2=\"{tokio}\" y2=\"{height}\" stroke=\"#999\" \
         stroke-dasharray=\"3 3\"/>\n</svg>"
    );
    svg
}

/// Ours stands out; a family has one colour.
fn colour(runtime: RuntimeName) -> &'static str {
    match runtime {
        RuntimeName::WindlassWs | RuntimeName::WindlassSt => "#d1495b",
        RuntimeName::TokioMt | RuntimeName::TokioCt => "#7d8597",
        RuntimeName::SmolMt | RuntimeName::SmolLocal => "#a3b18a",
        RuntimeName::NioMt | RuntimeName::NioPin | RuntimeName::NioCt => "#8ecae6",
        RuntimeName::Monoio => "#e9c46a",
        RuntimeName::RawEpoll | RuntimeName::Threads => "#cccccc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::micro::measure::Metrics;

    #[test]
    fn a_long_bar_is_cut_and_keeps_its_figure() {
        let mut results = Results::default();
        for (runtime, value) in [(RuntimeName::TokioCt, 10.0), (RuntimeName::SmolLocal, 900.0)] {
            let metrics = Metrics::from([("cpu_ns".to_owned(), value)]);
            results.add("timeout_ready", runtime, metrics);
        }
        let groups = groups(&results, MICRO, false, "cpu_ns");
        let svg = draw(&groups);
        assert!(svg.contains("width=\"560.0\""), "{svg}");
        assert!(svg.contains("smol-local 90.00x"), "{svg}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
