//! The suites of small workloads: time and memory.

use super::{Case, Selection, alternate};
use crate::child;
use crate::micro::{MEMORY, MICRO, counts_allocations, has_figures_of_its_own};
use crate::net::load::LoadArgs;
use crate::net::server::ServeArgs;
use crate::report::{Line, by_workload};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::io;
use std::path::Path;
use std::time::Duration;

/// No workload takes so long.
const LIMIT: Duration = Duration::from_secs(120);

/// The memory per idle connection is measured on servers.
pub(super) const IDLE_CONNECTIONS: &str = "idle_connections";

fn runtimes(selection: &Selection) -> io::Result<Vec<RuntimeName>> {
    let all: Vec<RuntimeName> =
        RuntimeName::ALL.iter().copied().filter(|runtime| !runtime.has_no_runtime()).collect();
    selection.choose(&all)
}

/// Whether `runtime` has `workload`: spawning from outside is for those with workers.
fn exists(workload: &str, runtime: RuntimeName) -> bool {
    !runtime.has_no_runtime() && (runtime.is_threaded() || !workload.starts_with("spawn_remote"))
}

pub(super) fn run(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let runtimes = runtimes(selection)?;
    let program = child::this_program()?;
    let mut cases = Vec::new();
    for workload in MICRO.iter().filter(|workload| selection.includes(workload)) {
        for runtime in runtimes.iter().filter(|runtime| exists(workload, **runtime)) {
            cases.push(case(selection, &program, workload, *runtime));
        }
    }
    alternate(&cases, selection.processes, results);
    let is_short = |workload: &&&str| !has_figures_of_its_own(workload);
    let workloads = || MICRO.iter().filter(is_short);
    print("Micro, worker threads", "wall / CPU ns per operation; ratios of wall time", results, {
        let metrics = &["wall_ns", "cpu_ns"];
        (lines(workloads(), metrics, ""), of_kind(&runtimes, true))
    });
    print("Micro, one thread", "CPU / wall ns per operation; ratios of CPU time", results, {
        let metrics = &["cpu_ns", "wall_ns"];
        (lines(workloads(), metrics, ""), of_kind(&runtimes, false))
    });
    let lines = || {
        let line =
            |workload: &str, metrics, unit| Line { workload: workload.to_owned(), metrics, unit };
        vec![
            line("sleeps_100000", &["cpu_ns"], "(CPU ns per sleep)"),
            line("sleeps_100000", &["late_mean_us"], "(mean lateness, us)"),
            line("sleeps_100000", &["wall_ms"], "(ms in all)"),
            line("sleep_1ms", &["p50_us", "p99_us"], "(median / p99, us)"),
            line("sleep_1ms", &["cpu_ns"], "(CPU ns per sleep)"),
            line("startup", &["first_ns"], "(to the first task, ns)"),
            line("startup", &["again_ns"], "(again, with shutdown, ns)"),
        ]
    };
    let title = "Timers that fire, start-up";
    print(title, "worker threads", results, (lines(), of_kind(&runtimes, true)));
    print(title, "one thread", results, (lines(), of_kind(&runtimes, false)));
    Ok(())
}

pub(super) fn run_memory(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let runtimes = runtimes(selection)?;
    let this = child::this_program()?;
    let is_chosen = |workload: &&&str| selection.includes(workload);
    let needs_counting = MEMORY.iter().filter(is_chosen).any(|name| counts_allocations(name));
    let counting = if needs_counting { child::sibling("alloc")? } else { this.clone() };
    let mut cases = Vec::new();
    for workload in MEMORY.iter().filter(is_chosen) {
        let program = if counts_allocations(workload) { &counting } else { &this };
        for runtime in runtimes.iter().filter(|runtime| exists(workload, **runtime)) {
            cases.push(case(selection, program, workload, *runtime));
        }
    }
    let servers = runtimes.iter().filter(|runtime| **runtime != RuntimeName::NioMt);
    for runtime in servers.filter(|_| selection.includes(IDLE_CONNECTIONS)) {
        cases.push(idle_connections(selection, *runtime));
    }
    alternate(&cases, selection.processes, results);
    let line =
        |workload: &str, metrics, unit| Line { workload: workload.to_owned(), metrics, unit };
    let lines = [
        line("mem_tasks_100000", &["rss_bytes"], "(RSS per idle task, B)"),
        line("mem_tasks_1000000", &["rss_bytes"], "(RSS per idle task, B)"),
        line("heap_tasks_100000", &["heap_bytes"], "(heap per idle task, B)"),
        line("alloc_spawn", &["allocs_first", "allocs_churn"], "(per spawn, first / later)"),
        line(IDLE_CONNECTIONS, &["rss_bytes_per_connection"], "(RSS each, B)"),
        line(IDLE_CONNECTIONS, &["idle_cpu_us"], "(CPU us in a second of rest)"),
    ];
    for is_threaded in [true, false] {
        let kind = if is_threaded { "worker threads" } else { "one thread" };
        print("Memory", kind, results, (lines.to_vec(), of_kind(&runtimes, is_threaded)));
    }
    Ok(())
}

fn case<'a>(
    selection: &'a Selection,
    program: &'a Path,
    workload: &'a str,
    runtime: RuntimeName,
) -> Case<'a> {
    let measure = move || {
        let arguments = [
            format!("--runtime={runtime}"),
            format!("--workload={workload}"),
            format!("--workers={}", selection.workers),
            format!("--seconds={}", selection.seconds.unwrap_or(0.3)),
        ];
        // The counting program has no other command.
        let is_this = !counts_allocations(workload);
        let command = is_this.then(|| "one".to_owned());
        child::metrics(program, command.into_iter().chain(arguments), LIMIT)
    };
    Case { workload: workload.to_owned(), runtime, measure: Box::new(measure) }
}

fn idle_connections(selection: &Selection, runtime: RuntimeName) -> Case<'_> {
    let measure = move || {
        let addr = ([127, 0, 0, 1], 0).into();
        let args = ServeArgs { runtime, addr, workers: selection.workers, cpu: None };
        let server = child::Server::start(&args, &[])?;
        let mut load = LoadArgs::to(server.addr);
        load.idle = true;
        load.connections = selection.idle_connections;
        load.server_pid = Some(server.pid());
        let arguments = std::iter::once("load".to_owned()).chain(load.to_arguments());
        child::metrics(&child::this_program()?, arguments, LIMIT)
    };
    Case { workload: IDLE_CONNECTIONS.to_owned(), runtime, measure: Box::new(measure) }
}

fn of_kind(runtimes: &[RuntimeName], is_threaded: bool) -> Vec<RuntimeName> {
    runtimes.iter().copied().filter(|runtime| runtime.is_threaded() == is_threaded).collect()
}

fn lines<'a>(
    workloads: impl Iterator<Item = &'a &'static str>,
    metrics: &'static [&'static str],
    unit: &'static str,
) -> Vec<Line> {
    let line = |workload: &&str| Line { workload: (*workload).to_owned(), metrics, unit };
    workloads.map(line).collect()
}

/// Prints a table if it has any row.
fn print(title: &str, what: &str, results: &Results, rows: (Vec<Line>, Vec<RuntimeName>)) {
    let (lines, runtimes) = rows;
    let table = by_workload(results, &lines, &runtimes);
    if table.lines().count() > 2 {
        println!("### {title} ({what})\n{table}");
    }
}
