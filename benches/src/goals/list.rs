//! What is aimed at, row by row.

use crate::footprint::HELLO_WORLD;
use crate::runtimes::RuntimeName::{self, WindlassSt, WindlassWs};

/// One condition of a goal, on our figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// No peer of the same kind is better.
    Best,
    /// At most so many times tokio's.
    Tokio(f64),
    /// At least so many times tokio's.
    OverTokio(f64),
    /// At most so many times that of the server on raw epoll.
    RawEpoll(f64),
    /// At most this figure.
    Bound(f64),
    /// One peer of the same kind is better at most.
    FirstOrSecond,
}

/// A figure of ours, and what it should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Goal {
    pub(super) part: &'static str,
    pub(super) workload: &'static str,
    pub(super) metric: &'static str,
    /// What the metric is, for the reader.
    pub(super) what: &'static str,
    pub(super) ours: RuntimeName,
    /// All must hold.
    pub(super) aims: &'static [Aim],
}

impl Goal {
    /// The figures of which more is better.
    pub(super) fn is_rate(&self) -> bool {
        self.metric == "ops_per_s"
    }
}

/// Small workloads that both kinds of runtime have.
const SINGLE_OPERATIONS: &[&str] = &[
    "spawn_many_10000",
    "spawn_join_many_10000",
    "chained_spawn_1000",
    "join_await_5000",
    "yield_many_200x1000",
    "ping_pong_1000",
    "bounce_10000",
    "timer_cancel_t1",
    "timer_cancel_t8",
    "timeout_ready",
    "timeout_yield_t1",
    "timeout_yield_t8",
];

const REMOTE: &[&str] = &["spawn_remote_10000", "spawn_remote_1"];

const ONE_THREAD: &str = "One thread";
const COUNTS: &str = "One thread, counted";
const WORKERS: &str = "Worker threads";
const SLEEPS: &str = "Timers that fire";
const MEMORY: &str = "Memory";
const ACK: &str = "The ACK server";
const FOOTPRINT: &str = "Start-up and size";

/// Every goal, those of a part together.
pub(super) fn all() -> Vec<Goal> {
    let mut list = List::default();
    for workload in SINGLE_OPERATIONS {
        list.add(ONE_THREAD, workload, ("cpu_ns", "CPU ns"), WindlassSt, &[Aim::Best]);
    }
    for workload in SINGLE_OPERATIONS {
        let instructions = ("instructions", "instructions");
        list.add(COUNTS, workload, instructions, WindlassSt, &[Aim::Best]);
    }
    for workload in SINGLE_OPERATIONS.iter().filter(|name| name.starts_with("time")) {
        list.add(COUNTS, workload, ("syscalls", "system calls"), WindlassSt, &[Aim::Bound(0.0)]);
    }
    for workload in SINGLE_OPERATIONS.iter().chain(REMOTE) {
        let is_exempt = workload.starts_with("bounce") || workload.starts_with("yield");
        let aims: &[Aim] = if is_exempt { &[Aim::Best] } else { &[Aim::Best, Aim::Tokio(0.6)] };
        list.add(WORKERS, workload, ("wall_ns", "wall ns"), WindlassWs, aims);
    }
    list.in_both_modes(SLEEPS, "sleeps_100000", ("cpu_ns", "CPU ns each"), &[Aim::Best]);
    let lateness = ("late_mean_us", "mean lateness, us");
    list.in_both_modes(SLEEPS, "sleeps_100000", lateness, &[Aim::Best]);
    list.in_both_modes(SLEEPS, "sleep_1ms", ("p50_us", "median, us"), &[Aim::Bound(1150.0)]);
    list.memory();
    list.servers();
    list.in_both_modes(FOOTPRINT, "startup", ("first_ns", "ns to the first task"), PLACE);
    for metric in [
        ("size_bytes", "stripped program, B"),
        ("build_s", "clean build, s"),
        ("crates", "crates in the tree"),
    ] {
        list.in_both_modes(FOOTPRINT, HELLO_WORLD, metric, PLACE);
    }
    list.0
}

const PLACE: &[Aim] = &[Aim::FirstOrSecond];

/// The goals so far.
#[derive(Default)]
struct List(Vec<Goal>);

impl List {
    fn add(
        &mut self,
        part: &'static str,
        workload: &'static str,
        (metric, what): (&'static str, &'static str),
        ours: RuntimeName,
        aims: &'static [Aim],
    ) {
        self.0.push(Goal { part, workload, metric, what, ours, aims });
    }

    fn in_both_modes(
        &mut self,
        part: &'static str,
        workload: &'static str,
        metric: (&'static str, &'static str),
        aims: &'static [Aim],
    ) {
        for ours in [WindlassSt, WindlassWs] {
            self.add(part, workload, metric, ours, aims);
        }
    }

    fn memory(&mut self) {
        let (heap, resident) = (("heap_bytes", "heap each, B"), ("rss_bytes", "resident each, B"));
        self.in_both_modes(MEMORY, "heap_tasks_100000", heap, &[Aim::Bound(96.0)]);
        self.in_both_modes(MEMORY, "mem_tasks_1000000", resident, &[Aim::Bound(96.0)]);
        let first = ("allocs_first", "allocations per spawn");
        self.in_both_modes(MEMORY, "alloc_spawn", first, &[Aim::Bound(1.0)]);
        let later = ("allocs_churn", "the same, later");
        self.in_both_modes(MEMORY, "alloc_spawn", later, &[Aim::Bound(0.0)]);
        let connection = ("rss_bytes_per_connection", "resident each, B");
        self.in_both_modes(MEMORY, "idle_connections", connection, &[Aim::Bound(1280.0)]);
    }

    fn servers(&mut self) {
        const CPU: (&str, &str) = ("server_cpu_ns", "CPU ns each");
        const P99: (&str, &str) = ("p99_us", "p99, us");
        const RATE: (&str, &str) = ("ops_per_s", "per second");
        const TOKIO: &[Aim] = &[Aim::Tokio(1.0)];
        const BEST: &[Aim] = &[Aim::Tokio(1.0), Aim::Best];
        const CLOSE: &[Aim] = &[Aim::Tokio(1.0), Aim::Best, Aim::RawEpoll(1.03)];
        self.add(ACK, "ack_cross_c1", CPU, WindlassSt, TOKIO);
        self.add(ACK, "ack_cross_c50", CPU, WindlassSt, CLOSE);
        self.add(ACK, "ack_cross_c1000", CPU, WindlassSt, BEST);
        self.in_both_modes(ACK, "ack_free_c1", CPU, TOKIO);
        self.in_both_modes(ACK, "ack_free_c50", CPU, CLOSE);
        self.in_both_modes(ACK, "ack_free_c1000", CPU, BEST);
        for workload in ["ack_cross_c1", "ack_cross_c50", "ack_cross_c1000"] {
            self.add(ACK, workload, P99, WindlassSt, TOKIO);
        }
        for workload in ["ack_free_c1", "ack_free_c50", "ack_free_c1000"] {
            self.in_both_modes(ACK, workload, P99, TOKIO);
        }
        self.add(ACK, "ack_cross_c1", RATE, WindlassSt, &[Aim::OverTokio(3.0)]);
        self.add(ACK, "ack_paced_c1", CPU, WindlassSt, &[Aim::Tokio(1.05)]);
        let rest = ("idle_cpu_us", "CPU us in a second of rest");
        self.in_both_modes(ACK, "idle_connections", rest, &[Aim::Bound(0.0)]);
        self.in_both_modes(ACK, "churn_c32", RATE, &[Aim::OverTokio(1.2)]);
        let syscalls = ("syscalls", "system calls");
        self.in_both_modes(ACK, "ack_c1", syscalls, &[Aim::Bound(3.0)]);
        self.in_both_modes(ACK, "ack_c50", syscalls, &[Aim::Bound(2.02)]);
        let instructions = ("instructions", "instructions");
        self.in_both_modes(ACK, "ack_c50", instructions, &[Aim::Bound(450.0)]);
    }
}
