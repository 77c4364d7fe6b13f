//! The ACK server under load.

use super::{Case, Selection, alternate};
use crate::child::{self, Server};
use crate::micro::measure::Metrics;
use crate::net::load::LoadArgs;
use crate::net::server::ServeArgs;
use crate::report::{Column, by_runtime, column};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::io;
use std::time::Duration;

const COLUMNS: &[Column] = &[
    column("server_cpu_ns", "CPU ns/req", 0),
    column("ops_per_s", "req/s", 0),
    column("p50_us", "p50 us", 0),
    column("p99_us", "p99 us", 0),
    column("p999_us", "p99.9 us", 0),
    column("over_2ms_percent", "over 2 ms, %", 2),
    column("server_user_ns", "user ns", 0),
    column("server_kernel_ns", "kernel ns", 0),
    column("ctxsw", "ctxsw/req", 2),
];

/// Where server and load run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// The server on CPU 0, the load on CPU 1.
    Cross,
    /// Wherever the kernel puts them.
    Free,
}

/// One way to load a server.
struct Scenario {
    name: &'static str,
    placement: Placement,
    connections: usize,
    /// Requests per second; closed loop without.
    rate: Option<f64>,
    churn: bool,
}

const fn closed(name: &'static str, placement: Placement, connections: usize) -> Scenario {
    Scenario { name, placement, connections, rate: None, churn: false }
}

const SCENARIOS: &[Scenario] = &[
    closed("ack_cross_c1", Placement::Cross, 1),
    closed("ack_cross_c50", Placement::Cross, 50),
    closed("ack_cross_c1000", Placement::Cross, 1000),
    closed("ack_free_c1", Placement::Free, 1),
    closed("ack_free_c50", Placement::Free, 50),
    closed("ack_free_c1000", Placement::Free, 1000),
    Scenario { rate: Some(2000.0), ..closed("ack_paced_c1", Placement::Cross, 1) },
    Scenario { rate: Some(2000.0), ..closed("ack_paced_c100", Placement::Free, 100) },
    Scenario { churn: true, ..closed("churn_c32", Placement::Free, 32) },
];

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name)
}

impl Scenario {
    /// On one CPU, worker threads have nothing to share; nio's servers pin in both of its modes.
    fn suits(&self, runtime: RuntimeName) -> bool {
        let fits = match self.placement {
            Placement::Cross => !runtime.is_threaded(),
            Placement::Free => true,
        };
        fits && runtime != RuntimeName::NioMt
    }

    fn measure(&self, runtime: RuntimeName, selection: &Selection) -> io::Result<Metrics> {
        let is_pinned = self.placement == Placement::Cross;
        let addr = ([127, 0, 0, 1], 0).into();
        let workers = selection.workers;
        let args = ServeArgs { runtime, addr, workers, cpu: is_pinned.then_some(0) };
        let server = Server::start(&args, &[])?;
        let mut load = LoadArgs::to(server.addr);
        load.connections = self.connections;
        load.rate = self.rate;
        load.churn = self.churn;
        load.seconds = selection.seconds.unwrap_or(3.0);
        load.warm_up = 0.5;
        load.cpu = is_pinned.then_some(1);
        run_load(&server, load)
    }
}

/// Loads `server` from another process.
pub(super) fn run_load(server: &Server, mut load: LoadArgs) -> io::Result<Metrics> {
    load.server_pid = Some(server.pid());
    let limit = Duration::from_secs_f64(load.seconds + load.warm_up + 30.0);
    let arguments = std::iter::once("load".to_owned()).chain(load.to_arguments());
    child::metrics(&child::this_program()?, arguments, limit)
}

pub(super) fn run(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let runtimes = selection.choose(RuntimeName::ALL)?;
    let scenarios = || SCENARIOS.iter().filter(|scenario| selection.includes(scenario.name));
    let mut cases = Vec::new();
    for scenario in scenarios() {
        for runtime in runtimes.iter().copied().filter(|runtime| scenario.suits(*runtime)) {
            let measure = Box::new(move || scenario.measure(runtime, selection));
            cases.push(Case { workload: scenario.name.to_owned(), runtime, measure });
        }
    }
    alternate(&cases, selection.processes, results);
    for scenario in scenarios() {
        println!("### ACK: {}\n{}", scenario.name, by_runtime(results, scenario.name, COLUMNS));
    }
    Ok(())
}
