//! The command lines of the three binaries.

use crate::chart::{self, DrawArgs};
use crate::count::{self, CountArgs};
use crate::files::{self, Tree};
use crate::goals::{self, GoalsArgs};
use crate::micro::measure::{Metrics, Plan, to_json};
use crate::micro::{self, Job, ReadHeap};
use crate::net::load::{self as load_generator, LoadArgs};
use crate::net::server::{self, ServeArgs};
use crate::runtimes::RuntimeName;
use crate::suite::{self, Selection, Suite};
use clap::{Args, Parser, Subcommand};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(about = "Measures windlass and its peers side by side", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Wall and CPU time of single operations: spawn, yield, wake, timers, start-up.
    Micro(Selection),
    /// The ACK server under load: rate, latency, CPU and context switches per request.
    Net(Selection),
    /// Latency of all others while one task misbehaves.
    Fairness(Selection),
    /// Memory per idle task and connection, allocations per spawn.
    Memory(Selection),
    /// Files: reads, cached and not, many small ones, writes, folders.
    Fs(Selection),
    /// Size, build time and crates of the smallest program on each runtime.
    Footprint(Selection),
    /// All of the above.
    All(Selection),
    /// Instructions and system calls per operation, which do not depend on the machine's mood.
    Count(CountArgs),
    /// Compares the figures of earlier runs with the goals, and prints which are met.
    Goals(GoalsArgs),
    /// Draws the figures of earlier runs, as `--svg` does.
    Draw(DrawArgs),
    /// Starts one ACK server.
    Serve(ServeArgs),
    /// Loads a server, and prints what was seen as JSON.
    Load(LoadArgs),
    /// Runs one workload in this process, and prints its figures as JSON.
    One(OneArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    #[arg(long)]
    runtime: RuntimeName,
    #[arg(long)]
    workload: String,
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Seconds to repeat the workload for.
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Repeat it exactly so often instead.
    #[arg(long)]
    rounds: Option<u64>,
    /// Where the files of the fs suite are; made if they are not.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// `windlass-benches`: everything but counting allocations.
pub fn main() -> ExitCode {
    finish(match Cli::parse().command {
        Command::Micro(selection) => suite::run(&[Suite::Micro], &selection),
        Command::Net(selection) => suite::run(&[Suite::Net], &selection),
        Command::Fairness(selection) => suite::run(&[Suite::Fairness], &selection),
        Command::Memory(selection) => suite::run(&[Suite::Memory], &selection),
        Command::Fs(selection) => suite::run(&[Suite::Files], &selection),
        Command::Footprint(selection) => suite::run(&[Suite::Footprint], &selection),
        Command::All(selection) => suite::run(Suite::ALL, &selection),
        Command::Count(args) => count::run(&args),
        Command::Goals(args) => goals::run(&args),
        Command::Draw(args) => chart::run(&args),
        Command::Serve(args) => server::serve(&args),
        Command::Load(args) => load_generator::run(&args).map(|metrics| print(&metrics)),
        Command::One(args) => one(args, None),
    })
}

/// `load`: the load generator alone, for servers that are not ours to start.
pub fn load() -> ExitCode {
    #[derive(Debug, Parser)]
    #[command(about = "Loads an ACK server, and prints what was seen as JSON", version)]
    struct LoadCli {
        #[command(flatten)]
        args: LoadArgs,
    }
    finish(load_generator::run(&LoadCli::parse().args).map(|metrics| print(&metrics)))
}

/// `alloc`: one workload in a process whose allocator counts; `read_heap` reads the counters.
pub fn alloc(read_heap: ReadHeap) -> ExitCode {
    #[derive(Debug, Parser)]
    #[command(about = "Runs one workload under a counting allocator", version)]
    struct AllocCli {
        #[command(flatten)]
        args: OneArgs,
    }
    finish(one(AllocCli::parse().args, Some(read_heap)))
}

fn one(args: OneArgs, read_heap: Option<ReadHeap>) -> io::Result<()> {
    let budget = Duration::from_secs_f64(args.seconds);
    let plan = args.rounds.map_or(Plan::For(budget), Plan::Rounds);
    let job = Job { workload: args.workload, workers: args.workers, plan, read_heap };
    let tree = || match &args.folder {
        Some(folder) => Tree::full(folder),
        None => Err(io::Error::other("this workload needs `--folder` for its files")),
    };
    let metrics = match files::run(args.runtime, &job, tree) {
        Some(metrics) => Some(metrics?),
        None => micro::run(args.runtime, &job),
    };
    let metrics = metrics.ok_or_else(|| {
        if !args.runtime.is_in_this_build() {
            return args.runtime.missing();
        }
        let Job { workload, .. } = &job;
        io::Error::other(format!("{} has no workload `{workload}`", args.runtime))
    })?;
    print(&metrics);
    Ok(())
}

fn print(metrics: &Metrics) {
    println!("{}", to_json(metrics));
}

/// Errors end in one line and exit code 1, as does a regression.
fn finish(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
