//! The life of one runtime, and what is true of it at rest and after its end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, join_all};
use parking_lot::{Condvar, Mutex};
use runtime::net::TcpListener;
use runtime::task::yield_now;
use runtime::time::sleep;
use runtime::{Builder, Handle, Metrics, Runtime, Scheduler};

use crate::actions::play;
use crate::census::Census;
use crate::plan::{Leftovers, Life};
use crate::stage::Stage;

/// Lives it, from the start of the runtime to its end, on this thread.
///
/// # Panics
/// When anything is not as it should be.
pub(crate) fn live(life: &Life, folder: &Path, sends_signals: bool) {
    let mut builder = Builder::new()
        .scheduler(life.mode)
        .thread_name(crate::THREADS)
        .max_blocking_threads(life.blocking_threads as usize)
        .blocking_keep_alive(Duration::from_millis(life.keep_alive_ms.into()))
        .seed(life.seed)
        // Rescues are wanted, reports are not.
        .blocked_after(Duration::from_secs(3600));
    let mut most_workers = 1;
    if life.mode == Scheduler::WorkStealing {
        builder = builder.workers(life.workers as usize).spare_workers(life.spare_workers as usize);
        // And one for each worker that is in place.
        most_workers = (2 * life.workers + life.spare_workers) as usize;
    }
    let runtime = builder.build().expect("the system has threads and files for a runtime");
    let stage = Arc::new(Stage {
        handle: runtime.handle().clone(),
        census: Arc::default(),
        folder: folder.to_owned(),
        names: AtomicU64::new(0),
        most_workers,
        sends_signals,
        outside: Arc::default(),
    });
    for batch in &life.batches {
        runtime.block_on(async {
            let play = |(action, is_foreign): &(_, bool)| {
                let future = play(crate::plan::Action::clone(action), stage.clone());
                let task = match is_foreign {
                    true => {
                        let (handle, census) = (stage.handle.clone(), stage.census.clone());
                        let spawn = move || census.spawn_on(&handle, future);
                        Either::Left(crate::start(spawn).join().expect("it does not panic"))
                    }
                    false => Either::Right(runtime::spawn(stage.census.count(future))),
                };
                task.into_inner()
            };
            for outcome in join_all(batch.iter().map(play)).await {
                outcome.expect("the action goes as it should");
            }
        });
        rest(&runtime, &stage, life);
    }
    end(runtime, &stage.census, &life.leftovers);
}

/// Waits until nothing is left to do, and compares the counters with what was done.
fn rest(runtime: &Runtime, stage: &Stage, life: &Life) {
    let is_idle = |metrics: &Metrics| {
        let queued: usize = metrics.workers.iter().map(|worker| worker.queued).sum();
        metrics.live_tasks + metrics.injected + metrics.blocking_queue + queued == 0
    };
    let census = &stage.census;
    // A single-threaded runtime works in `block_on` only. The thread that polled a task last may
    // still have to drop its future.
    runtime.block_on(async {
        while !stage.is_left_alone()
            || !is_idle(&runtime.metrics())
            || census.dropped() < census.made()
        {
            yield_now().await;
        }
    });
    // Spare ones sleep as well, until they retire after a second without stuck workers.
    let workers = if life.mode == Scheduler::WorkStealing { life.workers as usize } else { 1 };
    let most = if life.waits_for_spares { workers } else { stage.most_workers };
    let is_parked = |metrics: &Metrics| (workers..=most).contains(&metrics.parked_workers);
    let metrics = wait_for(&stage.handle, is_parked);
    assert!(is_idle(&metrics), "work appeared at rest: {metrics:?}");
    assert_eq!(census.dropped(), census.made(), "futures made and dropped");
    assert_eq!(metrics.polls(), census.polls(), "polls counted by the runtime and by the tasks");
    assert!(metrics.blocking_threads <= life.blocking_threads as usize, "{metrics:?}");
}

/// Reads the counters until they are so; whoever called [`windlass_tests::watch`] ends it if not.
fn wait_for(handle: &Handle, is_so: impl Fn(&Metrics) -> bool) -> Metrics {
    loop {
        let metrics = handle.metrics();
        if is_so(&metrics) {
            return metrics;
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// Ends the runtime with things under way, and waits until they are gone.
fn end(runtime: Runtime, census: &Arc<Census>, leftovers: &Leftovers) {
    let handle = runtime.handle().clone();
    runtime.block_on(async {
        for index in 0..leftovers.sleeping {
            let time = Duration::from_millis(u64::from(index) * 100);
            drop(runtime::spawn(census.count(sleep(time))));
        }
        for _ in 0..leftovers.accepting {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
            let accept = async move { listener.accept().await.map(drop) };
            drop(runtime::spawn(census.count(accept)));
        }
        for &micros in &leftovers.blocking_micros {
            let time = Duration::from_micros(micros.into());
            drop(runtime::spawn_blocking(move || thread::sleep(time)));
        }
    });
    let latch = Arc::new(Latch::default());
    if let Some(micros) = leftovers.stuck_micros {
        let latch = latch.clone();
        drop(census.spawn_on(&handle, async move {
            latch.wait();
            thread::sleep(Duration::from_micros(micros.into()));
        }));
    }
    // From here on the task is stuck for a known time, if a worker has it at all.
    latch.open();
    match leftovers.deadline_micros {
        Some(micros) => runtime.shutdown(Duration::from_micros(micros.into())),
        None => drop(runtime),
    }
    // After a deadline that was too short, threads end when they can.
    while census.dropped() < census.made() {
        thread::sleep(Duration::from_micros(200));
    }
    let metrics = wait_for(&handle, |metrics| metrics.live_tasks == 0 && metrics.injected == 0);
    assert_eq!(census.dropped(), census.made(), "{metrics:?}");
}

/// Blocks threads until it is opened; for what is under way when a runtime ends.
#[derive(Debug, Default)]
struct Latch(Mutex<bool>, Condvar);

impl Latch {
    fn open(&self) {
        *self.0.lock() = true;
        self.1.notify_all();
    }

    fn wait(&self) {
        self.1.wait_while(&mut self.0.lock(), |open| !*open);
    }
}
