//! Counts instructions under callgrind and system calls under strace.
//!
//! A workload runs twice, with few and with many rounds; the difference divided by the operations
//! between is the cost of one, and what starting up costs cancels out. Small workloads only on one
//! thread, because a second would make the counts depend on timing; those of servers do so anyway.
//!
//! What a runtime does by the clock, such as a look at I/O every so often, is no cost of an operation,
//! and under callgrind, where an operation takes fifty times as long, there is fifty times as much of
//! it. A gate leaves it out by the name of its function.

mod baseline;
mod tool;

use crate::child::{self, Server};
use crate::micro::measure::Metrics;
use crate::net::load::LoadArgs;
use crate::net::server::ServeArgs;
use crate::report::{Line, by_workload};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use clap::Args;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tool::{INSTRUCTIONS, ReportFile, SYSCALLS, Tool};

/// What to count, and what to compare it with.
#[derive(Clone, Debug, Args)]
pub(crate) struct CountArgs {
    /// Runtimes or families of them, as in `tokio-ct,windlass`; all without it. Of those with worker
    /// threads only the servers are counted.
    #[arg(long, value_delimiter = ',')]
    runtimes: Vec<String>,
    /// Workloads by name, or by the beginning of it; all without it.
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<String>,
    /// Fails if a count is above the one in this file by more than the tolerance.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Percent.
    #[arg(long, default_value_t = 2.0)]
    tolerance: f64,
    /// Leaves out the instructions of functions whose names match, and of what they call; `*` matches
    /// anything.
    #[arg(long)]
    without: Option<String>,
    /// Counts each run so often and takes the least: what disturbs a run only adds to it.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Writes the counts there, to be the next baseline.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What is counted: operations per round, and rounds of the short and the long run.
struct Counted {
    workload: &'static str,
    ops: u64,
    rounds: (u64, u64),
}

const fn counted(workload: &'static str, ops: u64) -> Counted {
    Counted { workload, ops, rounds: (2, 4) }
}

const WORKLOADS: &[Counted] = &[
    counted("spawn_many_10000", 10_000),
    counted("spawn_join_many_10000", 10_000),
    counted("yield_many_200x1000", 200_000),
    counted("yield_now_200x1000", 200_000),
    Counted { rounds: (5, 20), ..counted("ping_pong_1000", 1_000) },
    counted("bounce_10000", 10_000),
    Counted { rounds: (5, 20), ..counted("chained_spawn_1000", 1_000) },
    counted("join_await_5000", 5_000),
    counted("timer_cancel_t1", 10_000),
    counted("timer_cancel_t8", 80_000),
    counted("timeout_ready", 20_000),
    counted("timeout_yield_t1", 10_000),
    counted("timeout_yield_t8", 80_000),
    counted("yield_only_t1", 20_000),
];

/// A server under load: saturated, or with so many requests a second that it sleeps between them.
struct CountedServer {
    name: &'static str,
    connections: usize,
    rate: Option<f64>,
    /// Requests of the short and the long run.
    requests: (u64, u64),
}

const SERVERS: &[CountedServer] = &[
    CountedServer { name: "ack_c50", connections: 50, rate: None, requests: (2_000, 12_000) },
    CountedServer { name: "ack_c1", connections: 1, rate: Some(500.0), requests: (200, 1_200) },
];

#[cfg(test)]
pub(crate) fn servers() -> impl Iterator<Item = &'static str> {
    SERVERS.iter().map(|server| server.name)
}

/// Under callgrind everything takes fifty times as long.
const LIMIT: Duration = Duration::from_secs(300);

/// Counts, prints, writes and compares.
///
/// # Errors
/// `Other` if a count is above the baseline by more than the tolerance, or could not be had.
pub(crate) fn run(args: &CountArgs) -> io::Result<()> {
    let includes = |name: &str| {
        args.workloads.is_empty() || args.workloads.iter().any(|w| name.starts_with(w))
    };
    let runtimes = runtimes(args)?;
    let tools: Vec<Tool> = Tool::ALL.iter().copied().filter(|tool| tool.is_installed()).collect();
    for tool in Tool::ALL.iter().filter(|tool| !tool.is_installed()) {
        println!(
            "skipped: {} are not counted, for there is no `{}`",
            tool.metric(),
            tool.program()
        );
    }
    if tools.is_empty() {
        return Ok(());
    }
    let tools = Tools { tools, without: args.without.clone(), runs: args.runs };
    let mut results = Results::default();
    let mut failed = 0;
    for counted in WORKLOADS.iter().filter(|counted| includes(counted.workload)) {
        for runtime in runtimes.iter().filter(|runtime| has_workloads(**runtime)) {
            eprint!("\r\x1b[K{} {runtime}", counted.workload);
            let counts = count(counted, *runtime, &tools);
            failed += report(counted.workload, *runtime, counts, &mut results);
        }
    }
    for server in SERVERS.iter().filter(|server| includes(server.name)) {
        for runtime in &runtimes {
            eprint!("\r\x1b[K{} {runtime}", server.name);
            let counts = count_server(server, *runtime, &tools);
            failed += report(server.name, *runtime, counts, &mut results);
        }
    }
    eprint!("\r\x1b[K");
    print(&results, &runtimes);
    if failed > 0 {
        // Neither a baseline nor compared with one: what is missing would never be missed.
        return Err(io::Error::other(format!("{failed} could not be counted")));
    }
    if let Some(path) = &args.json {
        fs::write(path, format!("{:#}\n", baseline::medians(&results)))?;
    }
    args.baseline
        .as_deref()
        .map_or(Ok(()), |path| baseline::compare(path, &results, args.tolerance))
}

fn runtimes(args: &CountArgs) -> io::Result<Vec<RuntimeName>> {
    let mut chosen = Vec::new();
    for pattern in &args.runtimes {
        chosen.extend(RuntimeName::matching(pattern).map_err(io::Error::other)?);
    }
    if args.runtimes.is_empty() {
        chosen.extend(RuntimeName::ALL.iter().filter(|runtime| runtime.is_in_this_build()));
    }
    // nio's servers pin in both of its modes.
    let all = RuntimeName::ALL.iter().copied().filter(|name| *name != RuntimeName::NioMt);
    Ok(all.filter(|runtime| chosen.contains(runtime)).collect())
}

/// Whether the small workloads are counted on `runtime`.
fn has_workloads(runtime: RuntimeName) -> bool {
    !runtime.is_threaded() && !runtime.has_no_runtime()
}

/// Returns how many failed: none or this one.
fn report(
    workload: &str,
    runtime: RuntimeName,
    counts: io::Result<Metrics>,
    results: &mut Results,
) -> usize {
    match counts {
        Ok(metrics) => {
            results.add(workload, runtime, metrics);
            0
        }
        Err(error) => {
            eprintln!("\r\x1b[K{workload} {runtime}: {error}");
            1
        }
    }
}

/// Counts for one operation of a small workload.
fn count(counted: &Counted, runtime: RuntimeName, tools: &Tools) -> io::Result<Metrics> {
    let one = |rounds: u64| {
        vec![
            "one".to_owned(),
            format!("--runtime={runtime}"),
            format!("--workload={}", counted.workload),
            format!("--rounds={rounds}"),
        ]
    };
    let (few, many) = counted.rounds;
    let ops = (many - few) * counted.ops;
    let counter = |tool: Tool, rounds| {
        let report = ReportFile::new()?;
        let program = child::this_program()?;
        let mut command = Command::new(tool.program());
        command.args(tools.arguments(tool, &report)).arg(program).args(one(rounds));
        child::output(&mut command, LIMIT)?;
        tool.read(&report.0)
    };
    tools.per_operation(ops, |tool, is_long| counter(tool, if is_long { many } else { few }))
}

/// Counts for one request to a server.
fn count_server(
    counted: &CountedServer,
    runtime: RuntimeName,
    tools: &Tools,
) -> io::Result<Metrics> {
    let counter = |tool: Tool, requests: u64| {
        let report = ReportFile::new()?;
        let addr = ([127, 0, 0, 1], 0).into();
        let args = ServeArgs { runtime, addr, workers: 2, cpu: None };
        let mut wrapper = vec![tool.program().to_owned()];
        wrapper.extend(tools.arguments(tool, &report));
        let server = Server::start(&args, &wrapper)?;
        let mut load = LoadArgs::to(server.addr);
        load.connections = counted.connections;
        load.rate = counted.rate;
        load.requests = Some(requests);
        load.warm_up = 0.0;
        load.seconds = LIMIT.as_secs_f64();
        let arguments = std::iter::once("load".to_owned()).chain(load.to_arguments());
        child::metrics(&child::this_program()?, arguments, LIMIT)?;
        server.quit()?;
        tool.read(&report.0)
    };
    let (few, many) = counted.requests;
    tools.per_operation(many - few, |tool, is_long| counter(tool, if is_long { many } else { few }))
}

/// The tools that there are, what they do not count, and how often each run is counted.
struct Tools {
    tools: Vec<Tool>,
    without: Option<String>,
    runs: usize,
}

impl Tools {
    fn arguments(&self, tool: Tool, report: &ReportFile) -> Vec<String> {
        tool.arguments(&report.0, self.without.as_deref())
    }

    /// The difference between a long and a short run, per operation.
    ///
    /// Of several runs of the same the least counts: what a busy machine makes the other threads of the
    /// process do, it does in addition.
    fn per_operation(
        &self,
        ops: u64,
        count: impl Fn(Tool, bool) -> io::Result<u64>,
    ) -> io::Result<Metrics> {
        let mut metrics = Metrics::new();
        for tool in self.tools.iter().copied() {
            let least = |is_long| {
                (0..self.runs.max(1))
                    .try_fold(u64::MAX, |least, _| Ok(least.min(count(tool, is_long)?)))
            };
            let few: io::Result<u64> = least(false);
            let many: io::Result<u64> = least(true);
            let difference = many?.saturating_sub(few?);
            metrics.insert(tool.metric().to_owned(), difference as f64 / ops as f64);
        }
        Ok(metrics)
    }
}

fn print(results: &Results, runtimes: &[RuntimeName]) {
    let names = || {
        let servers = SERVERS.iter().map(|server| server.name);
        WORKLOADS.iter().map(|counted| counted.workload).chain(servers)
    };
    for (is_threaded, kind) in [(false, "one thread"), (true, "worker threads")] {
        let is_of_kind = |runtime: &RuntimeName| runtime.is_threaded() == is_threaded;
        let runtimes: Vec<_> = runtimes.iter().copied().filter(is_of_kind).collect();
        if runtimes.is_empty() {
            continue;
        }
        for (title, metrics) in [
            ("Instructions in user mode per operation", &[INSTRUCTIONS]),
            ("System calls per operation", &[SYSCALLS]),
        ] {
            let line = |name: &str| Line { workload: name.to_owned(), metrics, unit: "" };
            let lines: Vec<Line> = names().map(line).collect();
            println!("### {title}, {kind}\n{}", by_workload(results, &lines, &runtimes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn servers_are_counted_on_all_and_small_workloads_on_one_thread() {
        let args = CountArgs {
            runtimes: Vec::new(),
            workloads: Vec::new(),
            baseline: None,
            tolerance: 2.0,
            without: None,
            runs: 1,
            json: None,
        };
        let all = runtimes(&args).expect("no name to get wrong");
        for runtime in [RuntimeName::TokioMt, RuntimeName::WindlassWs, RuntimeName::RawEpoll] {
            assert!(all.contains(&runtime) && !has_workloads(runtime), "{runtime}");
        }
        for runtime in [RuntimeName::TokioCt, RuntimeName::WindlassSt] {
            assert!(all.contains(&runtime) && has_workloads(runtime), "{runtime}");
        }
        let args = CountArgs { runtimes: vec!["windlass-st".to_owned()], ..args };
        assert_eq!(runtimes(&args).expect("it exists"), [RuntimeName::WindlassSt]);
    }

    #[test]
    fn what_disturbs_one_of_two_runs_is_not_counted() {
        let runs = Cell::new(0);
        let tools = Tools { tools: vec![Tool::Callgrind], without: None, runs: 2 };
        let metrics = tools.per_operation(10, |_, is_long| {
            runs.set(runs.get() + 1);
            let disturbance = [777, 0, 0, 55][runs.get() - 1];
            Ok(if is_long { 3000 } else { 1000 } + disturbance)
        });
        assert_eq!(metrics.expect("nothing failed")[INSTRUCTIONS], 200.0);
        assert_eq!(runs.get(), 4);
    }
}
