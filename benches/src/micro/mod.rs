//! The small workloads: one operation of a runtime, repeated.
//!
//! [`run`] executes one workload on one runtime in this process. The tables below are macros
//! because only where the runtime is spelled out does the compiler see whether its timers are
//! `Send`; the workloads themselves are generic functions in the files beside.

mod churn;
pub(crate) mod countdown;
mod idle;
mod join;
pub(crate) mod measure;
mod message;
mod sleeps;
mod spawn;
mod startup;
mod timers;
mod yielding;

use crate::runtimes::RuntimeName;
use crate::shim::Shim;
use crate::shim::windlass::{WindlassSt, WindlassWs};
use measure::{Metrics, Plan};

/// Workloads of one operation each: wall and CPU time per operation.
pub(crate) const MICRO: &[&str] = &[
    "spawn_many_10000",
    "spawn_many_100000",
    "spawn_join_many_10000",
    "spawn_remote_10000",
    "spawn_remote_1",
    "yield_many_200x1000",
    "yield_now_200x1000",
    "ping_pong_1000",
    "bounce_10000",
    "chained_spawn_1000",
    "join_await_5000",
    "timer_cancel_t1",
    "timer_cancel_t8",
    "timeout_ready",
    "timeout_yield_t1",
    "timeout_yield_t8",
    "yield_only_t1",
    "yield_only_t8",
    "sleeps_100000",
    "sleep_1ms",
    "startup",
];

/// Whether `workload` is not told by the time of one operation alone.
pub(crate) fn has_figures_of_its_own(workload: &str) -> bool {
    ["sleeps_100000", "sleep_1ms", "startup"].contains(&workload)
}

/// Workloads that measure memory; the last two need the executable that counts allocations.
pub(crate) const MEMORY: &[&str] =
    &["mem_tasks_100000", "mem_tasks_1000000", "heap_tasks_100000", "alloc_spawn"];

/// Whether `workload` must run in the executable that counts allocations.
pub(crate) fn counts_allocations(workload: &str) -> bool {
    workload.starts_with("heap_") || workload.starts_with("alloc_")
}

/// What the counting allocator has seen since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap {
    /// Calls of `alloc` and `realloc`.
    pub allocations: u64,
    /// Bytes asked for and not yet given back.
    pub live_bytes: u64,
}

/// Reads the counting allocator.
pub type ReadHeap = fn() -> Heap;

/// One workload to run in this process.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) workload: String,
    pub(crate) workers: usize,
    pub(crate) plan: Plan,
    /// Present in the executable that counts allocations.
    pub(crate) read_heap: Option<ReadHeap>,
}

/// Repeats the future that `$round` makes, `$ops` operations each, inside runtime `$runtime`.
macro_rules! rounds {
    ($runtime:ty, $job:expr, $ops:expr, $round:expr) => {{
        let plan = $job.plan;
        let main = move || measure::repeat(plan, $ops, move || $round);
        Some(<$runtime>::run($job.workers, main).metrics())
    }};
}

/// The workloads that every runtime has.
macro_rules! workloads {
    ($runtime:ty, $job:expr) => {{
        type R = $runtime;
        let job: &Job = $job;
        let heap = job.read_heap;
        match job.workload.as_str() {
            "spawn_many_10000" => rounds!(R, job, 10_000, spawn::many::<R>(10_000)),
            "spawn_many_100000" => rounds!(R, job, 100_000, spawn::many::<R>(100_000)),
            "chained_spawn_1000" => rounds!(R, job, 1_000, spawn::chained::<R>(1_000)),
            "spawn_join_many_10000" => rounds!(R, job, 10_000, join::many::<R>(10_000)),
            "join_await_5000" => rounds!(R, job, 5_000, join::one_by_one::<R>(5_000)),
            "yield_many_200x1000" => rounds!(R, job, 200_000, yielding::many::<R>(200, 1_000)),
            "yield_now_200x1000" => rounds!(R, job, 200_000, yielding::many_own::<R>(200, 1_000)),
            "yield_only_t1" => rounds!(R, job, 20_000, yielding::many::<R>(1, 20_000)),
            "yield_only_t8" => rounds!(R, job, 80_000, yielding::many::<R>(8, 10_000)),
            "ping_pong_1000" => rounds!(R, job, 1_000, message::ping_pong::<R>(1_000)),
            "bounce_10000" => rounds!(R, job, 10_000, message::bounce::<R>(10_000)),
            "timer_cancel_t1" => timers!(R, job, 1, 10_000, timers::cancel::<R>),
            "timer_cancel_t8" => timers!(R, job, 8, 10_000, timers::cancel::<R>),
            "timeout_ready" => timers!(R, job, 1, 20_000, timers::timeout_ready::<R>),
            "timeout_yield_t1" => timers!(R, job, 1, 10_000, timers::timeout_yield::<R>),
            "timeout_yield_t8" => timers!(R, job, 8, 10_000, timers::timeout_yield::<R>),
            "sleeps_100000" => {
                let spawn = |sleeper| R::detach(R::start(move || sleeps::sleeper::<R>(sleeper)));
                Some(R::run(job.workers, move || sleeps::many(100_000, spawn)))
            }
            "sleep_1ms" => Some(R::run(job.workers, sleeps::short::<R>)),
            "startup" => Some(startup::measure(
                |begun| R::run(job.workers, move || startup::first_task::<R>(begun)),
                <R as Shim>::IS_RESTARTABLE,
            )),
            "mem_tasks_100000" => Some(R::run(job.workers, || idle::resident::<R>(100_000))),
            "mem_tasks_1000000" => Some(R::run(job.workers, || idle::resident::<R>(1_000_000))),
            "heap_tasks_100000" => {
                heap.map(|heap| R::run(job.workers, move || idle::heap::<R>(100_000, heap)))
            }
            "alloc_spawn" => {
                heap.map(|heap| R::run(job.workers, move || churn::allocations::<R>(heap)))
            }
            _ => None,
        }
    }};
}

/// The workloads of runtimes with worker threads: all, and spawning from outside.
macro_rules! threaded {
    ($runtime:ty, $job:expr) => {{
        type T = $runtime;
        let plan = $job.plan;
        match $job.workload.as_str() {
            "spawn_remote_10000" => {
                let main = move || spawn::remote::<T>(plan, 10_000);
                Some(T::run($job.workers, main).metrics())
            }
            "spawn_remote_1" => {
                let main = move || spawn::remote_one_by_one::<T>(plan, 500);
                Some(T::run($job.workers, main).metrics())
            }
            _ => workloads!(T, $job),
        }
    }};
}

/// `$tasks` tasks that each run `$body` with `$each` operations.
macro_rules! timers {
    ($runtime:ty, $job:expr, $tasks:expr, $each:expr, $body:expr) => {
        rounds!($runtime, $job, $tasks * $each, {
            let start = |countdown| {
                <$runtime as Shim>::detach(<$runtime>::start(move || {
                    timers::counted($body($each), countdown)
                }));
            };
            timers::tasks($tasks, start)
        })
    };
}

/// Runs `job` on `runtime`; `None` if that runtime has no such workload, or is not in this build.
pub(crate) fn run(runtime: RuntimeName, job: &Job) -> Option<Metrics> {
    match runtime {
        RuntimeName::WindlassWs => threaded!(WindlassWs, job),
        RuntimeName::WindlassSt => workloads!(WindlassSt, job),
        RuntimeName::RawEpoll | RuntimeName::Threads => None,
        #[cfg(feature = "peers")]
        peer => peers::run(peer, job),
        #[cfg(not(feature = "peers"))]
        _ => None,
    }
}

#[cfg(feature = "peers")]
mod peers {
    use super::*;
    use crate::shim::peers::compio::Compio;
    use crate::shim::peers::monoio::Monoio;
    use crate::shim::peers::nio::{NioCt, NioMt, NioPin};
    use crate::shim::peers::smol::{SmolLocal, SmolMt};
    use crate::shim::peers::tokio::{TokioCt, TokioMt};

    pub(super) fn run(peer: RuntimeName, job: &Job) -> Option<Metrics> {
        match peer {
            RuntimeName::TokioMt => threaded!(TokioMt, job),
            RuntimeName::TokioCt => workloads!(TokioCt, job),
            RuntimeName::SmolMt => threaded!(SmolMt, job),
            RuntimeName::SmolLocal => workloads!(SmolLocal, job),
            RuntimeName::NioMt => threaded!(NioMt, job),
            RuntimeName::NioPin => threaded!(NioPin, job),
            RuntimeName::NioCt => workloads!(NioCt, job),
            RuntimeName::Monoio => workloads!(Monoio, job),
            RuntimeName::Compio => workloads!(Compio, job),
            ours => unreachable!("{ours} is no peer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn every_runtime_finishes_every_kind_of_workload() {
        let workloads = [
            "spawn_many_10000",
            "spawn_join_many_10000",
            "yield_only_t8",
            "yield_now_200x1000",
            "ping_pong_1000",
            "bounce_10000",
            "chained_spawn_1000",
            "timer_cancel_t8",
            "timeout_yield_t8",
            "spawn_remote_1",
        ];
        let has_workloads = |name: &RuntimeName| name.is_in_this_build() && !name.has_no_runtime();
        for runtime in RuntimeName::ALL.iter().copied().filter(has_workloads) {
            for workload in workloads {
                let workload = workload.to_owned();
                let plan = Plan::Rounds(1);
                let job = Job { workload, workers: 2, plan, read_heap: None };
                let expected = runtime.is_threaded() || job.workload != "spawn_remote_1";
                let (sender, receiver) = mpsc::channel();
                let name = job.workload.clone();
                thread::spawn(move || sender.send(run(runtime, &job).is_some()));
                let is_done = receiver.recv_timeout(Duration::from_secs(60));
                assert_eq!(is_done, Ok(expected), "{name} on {runtime}");
            }
        }
    }
}
