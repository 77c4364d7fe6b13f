//! The suite of files: `runtime::fs` beside `tokio::fs`, and beside `std::fs` as the floor.

use super::{Case, Selection, alternate};
use crate::child;
use crate::files::{FILES, Tree, reads_from_disk, scratch_folder};
use crate::report::{Line, by_workload};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::io;
use std::path::Path;
use std::time::Duration;

/// No workload takes so long, whatever the disk.
const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let defaults = [
        RuntimeName::TokioMt,
        RuntimeName::WindlassWs,
        RuntimeName::TokioCt,
        RuntimeName::WindlassSt,
        RuntimeName::Threads,
    ];
    let runtimes = selection.choose(&defaults)?;
    let runtimes: Vec<_> = defaults.into_iter().filter(|name| runtimes.contains(name)).collect();
    let workloads = || FILES.iter().filter(|workload| selection.includes(workload));
    if workloads().next().is_none() || runtimes.is_empty() {
        return Ok(());
    }
    let folder = scratch_folder(selection.folder.as_deref(), "files")?;
    // Made before anybody is measured.
    Tree::full(&folder.0)?;
    let mut cases = Vec::new();
    for workload in workloads() {
        for runtime in &runtimes {
            cases.push(case(selection, &folder.0, workload, *runtime));
        }
    }
    alternate(&cases, selection.processes, results);
    print(selection, results, &runtimes);
    Ok(())
}

fn print(selection: &Selection, results: &Results, runtimes: &[RuntimeName]) {
    let lines = |metrics, is_chosen: fn(&str) -> bool| {
        let chosen = FILES.iter().filter(|name| selection.includes(name) && is_chosen(name));
        chosen.map(|name| Line { workload: (*name).to_owned(), metrics, unit: "" }).collect()
    };
    let print = |title: &str, lines: Vec<Line>, runtimes: &[RuntimeName]| {
        if !lines.is_empty() {
            println!("### Files, {title}\n{}", by_workload(results, &lines, runtimes));
        }
    };
    // The floor stands beside both kinds.
    let kind = |is_threaded| -> Vec<RuntimeName> {
        let belongs =
            |name: &RuntimeName| name.is_threaded() == is_threaded || *name == RuntimeName::Threads;
        runtimes.iter().copied().filter(belongs).collect()
    };
    let title =
        "worker threads (wall / CPU us, context switches per operation; ratios of wall time)";
    print(title, lines(&["wall_us", "cpu_us", "ctxsw"], |_| true), &kind(true));
    let title = "one thread (CPU / wall us, context switches per operation; ratios of CPU time)";
    print(title, lines(&["cpu_us", "wall_us", "ctxsw"], |_| true), &kind(false));
    let title = "read from the disk, read ahead included (% of what the program read)";
    print(title, lines(&["disk_percent"], reads_from_disk), runtimes);
}

fn case<'a>(
    selection: &'a Selection,
    folder: &'a Path,
    workload: &'a str,
    runtime: RuntimeName,
) -> Case<'a> {
    let measure = move || {
        let arguments = [
            "one".to_owned(),
            format!("--runtime={runtime}"),
            format!("--workload={workload}"),
            format!("--workers={}", selection.workers),
            format!("--seconds={}", selection.seconds.unwrap_or(0.3)),
            format!("--folder={}", folder.display()),
        ];
        child::metrics(&child::this_program()?, arguments, LIMIT)
    };
    Case { workload: workload.to_owned(), runtime, measure: Box::new(measure) }
}
