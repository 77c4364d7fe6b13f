//! How the others fare while one task misbehaves.
//!
//! 100 connections at 2000 requests a second, open loop, from another process; what misbehaves is
//! asked for over a connection of its own, whose answers are not counted.

use super::net::run_load;
use super::{Case, Selection, alternate};
use crate::child::Server;
use crate::micro::measure::Metrics;
use crate::net::load::LoadArgs;
use crate::net::server::ServeArgs;
use crate::report::{Column, by_runtime, column};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::io;

const COLUMNS: &[Column] = &[
    column("over_2ms_percent", "over 2 ms, %", 2),
    column("p50_us", "p50 us", 0),
    column("p99_us", "p99 us", 0),
    column("p999_us", "p99.9 us", 0),
    column("max_us", "max us", 0),
    column("server_cpu_ns", "CPU ns/req", 0),
    column("ctxsw", "ctxsw/req", 2),
    column("unanswered", "unanswered", 0),
];

const SLEEP_COLUMNS: &[Column] = &[
    column("sleep_late_p50_us", "late p50 us", 0),
    column("sleep_late_p90_us", "late p90 us", 0),
    column("sleep_late_p99_us", "late p99 us", 0),
    column("sleep_late_max_us", "late max us", 0),
];

/// What goes wrong beside the load.
struct Scenario {
    name: &'static str,
    what: &'static str,
    disturb: Option<&'static str>,
    /// How many connections ask for it at once.
    disturbers: usize,
    /// `Some(0)` is back to back, `None` once.
    every_ms: Option<u64>,
    probes: usize,
}

const NOTHING: Scenario = Scenario {
    name: "baseline",
    what: "nothing wrong",
    disturb: None,
    disturbers: 1,
    every_ms: None,
    probes: 0,
};

const SCENARIOS: &[Scenario] = &[
    NOTHING,
    Scenario {
        name: "hog",
        what: "a task that computes 5 ms, wakes itself and is pending, again and again",
        disturb: Some("hog 5"),
        ..NOTHING
    },
    Scenario {
        name: "polite_hog",
        what: "a task that computes 5 ms between calls of yield_now",
        disturb: Some("polite-hog 5"),
        ..NOTHING
    },
    Scenario {
        name: "blocking_handler",
        what: "one handler blocks its thread for 100 ms every 250 ms",
        disturb: Some("block 100"),
        every_ms: Some(250),
        ..NOTHING
    },
    Scenario {
        name: "computing_handler",
        what: "one client makes a handler compute 5 ms, back to back",
        disturb: Some("compute 5"),
        every_ms: Some(0),
        ..NOTHING
    },
    Scenario {
        name: "all_blocked",
        what: "as many handlers as workers block for 1 s every 2.5 s",
        disturb: Some("block 1000"),
        disturbers: 2,
        every_ms: Some(2500),
        ..NOTHING
    },
    Scenario {
        name: "sleep_beside_blocked",
        what: "20 tasks sleep 10 ms while one handler blocks 200 ms every 400 ms",
        disturb: Some("block 200"),
        every_ms: Some(400),
        probes: 20,
        ..NOTHING
    },
];

#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().map(|scenario| scenario.name)
}

impl Scenario {
    fn measure(&self, runtime: RuntimeName, selection: &Selection) -> io::Result<Metrics> {
        let addr = ([127, 0, 0, 1], 0).into();
        let args = ServeArgs { runtime, addr, workers: selection.workers, cpu: None };
        let server = Server::start(&args, &[])?;
        let mut load = LoadArgs::to(server.addr);
        load.connections = 100;
        load.rate = Some(2000.0);
        load.seconds = selection.seconds.unwrap_or(10.0);
        load.disturb = self.disturb.map(str::to_owned);
        load.disturbers = if self.disturbers > 1 { selection.workers } else { self.disturbers };
        load.disturb_every_ms = self.every_ms;
        load.probes = self.probes;
        run_load(&server, load)
    }

    fn columns(&self) -> Vec<Column> {
        let sleeps = if self.probes > 0 { SLEEP_COLUMNS } else { &[] };
        [sleeps, COLUMNS].concat()
    }
}

pub(super) fn run(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let defaults = [
        RuntimeName::TokioMt,
        RuntimeName::SmolMt,
        RuntimeName::WindlassWs,
        RuntimeName::TokioCt,
        RuntimeName::WindlassSt,
        RuntimeName::Threads,
    ];
    let runtimes = selection.choose(&defaults)?;
    let scenarios = || SCENARIOS.iter().filter(|scenario| selection.includes(scenario.name));
    let mut cases = Vec::new();
    for scenario in scenarios() {
        // Raw epoll has neither tasks nor timers to be asked for.
        for runtime in runtimes.iter().copied().filter(|name| *name != RuntimeName::RawEpoll) {
            let measure = Box::new(move || scenario.measure(runtime, selection));
            cases.push(Case { workload: scenario.name.to_owned(), runtime, measure });
        }
    }
    alternate(&cases, selection.processes, results);
    for scenario in scenarios() {
        let Scenario { name, what, .. } = scenario;
        println!("### Fairness: {what}\n{}", by_runtime(results, name, &scenario.columns()));
    }
    Ok(())
}
