//! The workloads on files: one operation of `runtime::fs`, `tokio::fs` or `std::fs`, repeated.
//!
//! [`run`] executes one workload on one runtime in this process, on the files of a [`Tree`].

mod tree;
mod workload;

use crate::micro::Job;
use crate::micro::measure::{Metrics, Plan, Samples, Schedule, Stopwatch, median};
use crate::process::{Usage, bytes_from_disk};
use crate::runtimes::RuntimeName;
use crate::shim::Files;
use crate::shim::threads::Threads;
use crate::shim::windlass::{WindlassSt, WindlassWs};
use std::io;
pub(crate) use tree::{Tree, scratch_folder};
use workload::Workload;
pub(crate) use workload::{FILES, reads_from_disk};

/// Runs `job` on `runtime`; `None` if that runtime has no such workload.
pub(crate) fn run(
    runtime: RuntimeName,
    job: &Job,
    tree: impl FnOnce() -> io::Result<Tree>,
) -> Option<io::Result<Metrics>> {
    let workload = Workload::named(&job.workload)?;
    macro_rules! on {
        ($runtime:ty) => {
            tree().and_then(|tree| {
                let plan = job.plan;
                let main = move || measure::<$runtime>(workload, plan, tree);
                <$runtime>::run(job.workers, main)
            })
        };
    }
    match runtime {
        RuntimeName::WindlassWs => Some(on!(WindlassWs)),
        RuntimeName::WindlassSt => Some(on!(WindlassSt)),
        #[cfg(feature = "peers")]
        RuntimeName::TokioMt => Some(on!(crate::shim::peers::tokio::TokioMt)),
        #[cfg(feature = "peers")]
        RuntimeName::TokioCt => Some(on!(crate::shim::peers::tokio::TokioCt)),
        RuntimeName::Threads => Some(on!(Threads)),
        _ => None,
    }
}

/// Repeats `workload` as often as `plan` says; what prepares a round is not measured.
async fn measure<R: Files>(workload: Workload, plan: Plan, tree: Tree) -> io::Result<Metrics> {
    let ops = workload.ops(&tree);
    let mut samples = Samples::default();
    let (mut switches, mut from_disk) = (Vec::new(), Vec::new());
    let mut schedule = Schedule::new(plan);
    for round in 0.. {
        let Some(is_measured) = schedule.next_round() else {
            break;
        };
        workload.prepare(&tree)?;
        let before = (Usage::of(std::process::id())?, bytes_from_disk()?);
        let stopwatch = is_measured.then(Stopwatch::start);
        workload.run::<R>(&tree, round).await?;
        samples.add(stopwatch, ops);
        if is_measured {
            let used = Usage::of(std::process::id())?.since(&before.0);
            switches.push((used.voluntary_switches + used.involuntary_switches) as f64);
            from_disk.push((bytes_from_disk()? - before.1) as f64);
        }
    }
    workload.clean_up(&tree)?;
    let mut metrics = Metrics::new();
    for (name, value) in samples.metrics() {
        metrics.insert(name.replace("_ns", "_us"), value / 1000.0);
    }
    metrics.insert("ctxsw".to_owned(), median(&mut switches) / ops as f64);
    if let Some(read) = workload.bytes_read(&tree) {
        metrics.insert("disk_percent".to_owned(), median(&mut from_disk) / read as f64 * 100.0);
    }
    Ok(metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn every_runtime_finishes_every_workload_and_leaves_no_file() {
        let folder = scratch_folder(None, "every-runtime").expect("a temporary folder");
        let small = Tree::small(&folder.0).expect("files in it");
        let before = tree::names(&folder.0);
        for runtime in RuntimeName::ALL.iter().copied().filter(|name| name.is_in_this_build()) {
            for workload in FILES {
                let (workload, plan) = ((*workload).to_owned(), Plan::For(Duration::ZERO));
                let job = Job { workload: workload.clone(), workers: 2, plan, read_heap: None };
                let (sender, receiver) = mpsc::channel();
                let tree = small.clone();
                thread::spawn(move || sender.send(run(runtime, &job, || Ok(tree))));
                let result = receiver.recv_timeout(Duration::from_secs(60)).expect("it ends");
                let has_files =
                    runtime.is_ours() || runtime.is_tokio() || runtime == RuntimeName::Threads;
                assert_eq!(result.is_some(), has_files, "{workload} on {runtime}");
                if let Some(result) = result {
                    let metrics = result.expect("the files can be read and written");
                    assert!(metrics["wall_us"] > 0.0, "{workload} on {runtime}: {metrics:?}");
                    let is_read = metrics.contains_key("disk_percent");
                    assert!(is_read || !reads_from_disk(&workload), "{workload}: {metrics:?}");
                }
            }
        }
        assert_eq!(tree::names(&folder.0), before);
    }
}
