//! Runs suites: one process per runtime, workload and round, runtimes alternated, medians printed.

mod fairness;
mod files;
mod footprint;
mod micro;
mod net;

use crate::chart;
use crate::machine;
use crate::micro::measure::Metrics;
use crate::results::Results;
use crate::runtimes::RuntimeName;
use clap::Args;
use std::fs;
use std::io;
use std::path::PathBuf;

/// A group of workloads with tables of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    Micro,
    Net,
    Fairness,
    Memory,
    Files,
    Footprint,
}

/// What to run of a suite, and what to do with the figures.
#[derive(Clone, Debug, Args)]
pub(crate) struct Selection {
    /// Runtimes or families of them, as in `tokio-mt,windlass`; all without it.
    #[arg(long, value_delimiter = ',')]
    pub(crate) runtimes: Vec<String>,
    /// Workloads by name, or by the beginning of it; all without it.
    #[arg(long, value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// Processes per runtime and workload; the median of them is printed.
    #[arg(long, default_value_t = 5)]
    pub(crate) processes: usize,
    /// Worker threads of the runtimes that have them.
    #[arg(long, default_value_t = 2)]
    pub(crate) workers: usize,
    /// Seconds to measure in each process [default: micro and fs 0.3, net 3, fairness 10].
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Connections of the memory suite; the limit on open files bounds it.
    #[arg(long, default_value_t = 5000)]
    pub(crate) idle_connections: usize,
    /// Where the fs suite makes its files, 300 MB on the disk to be measured [default: that for
    /// temporary files].
    #[arg(long)]
    pub(crate) folder: Option<PathBuf>,
    /// Writes all figures there.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Draws charts into this folder.
    #[arg(long)]
    pub(crate) svg: Option<PathBuf>,
}

impl Selection {
    fn includes(&self, workload: &str) -> bool {
        self.workloads.is_empty() || self.workloads.iter().any(|name| workload.starts_with(name))
    }

    /// The chosen ones of `defaults`, and of all runtimes if they are named.
    fn choose(&self, defaults: &[RuntimeName]) -> io::Result<Vec<RuntimeName>> {
        if self.runtimes.is_empty() {
            let defaults = defaults.iter().copied();
            return Ok(defaults.filter(|runtime| runtime.is_in_this_build()).collect());
        }
        let mut chosen = Vec::new();
        for pattern in &self.runtimes {
            chosen.extend(RuntimeName::matching(pattern).map_err(io::Error::other)?);
        }
        Ok(RuntimeName::ALL.iter().copied().filter(|name| chosen.contains(name)).collect())
    }
}

/// One measurement: a workload on a runtime.
struct Case<'a> {
    workload: String,
    runtime: RuntimeName,
    measure: Box<dyn Fn() -> io::Result<Metrics> + 'a>,
}

/// Runs every case `processes` times, in rounds, so that a slow minute of the machine meets all.
fn alternate(cases: &[Case<'_>], processes: usize, results: &mut Results) {
    for round in 0..processes {
        for (number, case) in cases.iter().enumerate() {
            let Case { workload, runtime, measure } = case;
            let (done, all) = (round * cases.len() + number + 1, processes * cases.len());
            eprint!("\r\x1b[K{done}/{all} {workload} {runtime}");
            match measure() {
                Ok(metrics) => results.add(workload, *runtime, metrics),
                Err(error) => eprintln!("\r\x1b[K{workload} {runtime}: {error}"),
            }
        }
    }
    eprint!("\r\x1b[K");
}

impl Suite {
    pub(crate) const ALL: &[Suite] =
        &[Suite::Micro, Suite::Memory, Suite::Files, Suite::Net, Suite::Fairness, Suite::Footprint];

    fn run(self, selection: &Selection, results: &mut Results) -> io::Result<()> {
        match self {
            Suite::Micro => micro::run(selection, results),
            Suite::Memory => micro::run_memory(selection, results),
            Suite::Files => files::run(selection, results),
            Suite::Net => net::run(selection, results),
            Suite::Fairness => fairness::run(selection, results),
            Suite::Footprint => footprint::run(selection, results),
        }
    }
}

/// Runs the suites one after the other, prints their tables, and writes the files asked for.
pub(crate) fn run(suites: &[Suite], selection: &Selection) -> io::Result<()> {
    let machine = machine::machine();
    println!("{machine}, load average {} before\n", machine::load_average());
    let mut results = Results::measured_on(machine);
    for suite in suites {
        suite.run(selection, &mut results)?;
    }
    if let Some(path) = &selection.json {
        fs::write(path, format!("{:#}\n", results.to_json()))?;
    }
    if let Some(folder) = &selection.svg {
        chart::draw_all(&results, folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::FILES;
    use crate::micro::{MEMORY, MICRO};
    use crate::{count, goals};
    use std::cell::RefCell;

    /// One that does not would never be drawn or met, and nobody would miss it.
    #[test]
    fn every_goal_and_every_bar_is_of_a_workload_that_exists() {
        let small = [MICRO, MEMORY, FILES, &[micro::IDLE_CONNECTIONS]].concat();
        let servers = net::names().chain(fairness::names()).chain(count::servers());
        let all: Vec<&str> =
            small.into_iter().chain(servers).chain([crate::footprint::HELLO_WORLD]).collect();
        for workload in chart::workloads().into_iter().chain(goals::workloads()) {
            assert!(all.contains(&workload), "{workload}");
        }
        let drawn = chart::workloads();
        for scenario in net::names().chain(fairness::names()) {
            assert!(drawn.contains(&scenario), "{scenario} is in no chart");
        }
    }

    #[test]
    fn runtimes_alternate() {
        let seen = RefCell::new(Vec::new());
        let case = |runtime| Case {
            workload: "w".to_owned(),
            runtime,
            measure: Box::new({
                let seen = &seen;
                move || {
                    seen.borrow_mut().push(runtime);
                    Ok(Metrics::new())
                }
            }),
        };
        let (a, b) = (RuntimeName::TokioMt, RuntimeName::SmolMt);
        alternate(&[case(a), case(b)], 2, &mut Results::default());
        assert_eq!(*seen.borrow(), [a, b, a, b]);
    }
}
