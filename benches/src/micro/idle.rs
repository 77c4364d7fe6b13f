//! Memory of tasks that wait for ever.

use super::countdown::Countdown;
use super::measure::Metrics;
use super::{Heap, ReadHeap};
use crate::process::resident_bytes;
use crate::shim::Shim;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Bytes of RAM per idle task.
pub(super) async fn resident<R: Shim>(tasks: usize) -> Metrics {
    let read = || resident_bytes("self").expect("/proc is mounted");
    let (before, after) = park::<R, _>(tasks, read).await;
    per_task("rss_bytes", before, after, tasks)
}

/// Bytes asked of the allocator per idle task.
pub(super) async fn heap<R: Shim>(tasks: usize, read: ReadHeap) -> Metrics {
    let (before, after) = park::<R, _>(tasks, read).await;
    let (Heap { live_bytes: before, .. }, Heap { live_bytes: after, .. }) = (before, after);
    per_task("heap_bytes", before, after, tasks)
}

/// What the idle tasks wait for. It holds their wakers, as a socket or a timer would: some runtimes
/// free a task that nothing can wake.
struct Bench {
    wakers: Mutex<Vec<Waker>>,
    polled: Arc<Countdown>,
}

impl Bench {
    fn new(tasks: usize) -> Arc<Bench> {
        // Filled and emptied, so that its pages are in RAM before anything is measured.
        let mut wakers = vec![Waker::noop().clone(); tasks];
        wakers.clear();
        Arc::new(Bench { wakers: Mutex::new(wakers), polled: Countdown::new(tasks) })
    }

    async fn sit(&self) {
        poll_fn(|cx| {
            self.wakers.lock().expect("nothing panics while it is held").push(cx.waker().clone());
            self.polled.done();
            Poll::<()>::Pending
        })
        .await;
    }
}

/// Reads before and after `tasks` tasks have been spawned, polled, and wait.
async fn park<R: Shim, T>(tasks: usize, read: impl Fn() -> T) -> (T, T) {
    // A first task brings in what all tasks share.
    let benches = [Bench::new(1), Bench::new(tasks)];
    spawn_all::<R>(&benches[0], 1).await;
    let before = read();
    spawn_all::<R>(&benches[1], tasks).await;
    let after = read();
    // The tasks stay until the process ends: pinned ones may not be dropped by this thread.
    std::mem::forget(benches);
    (before, after)
}

async fn spawn_all<R: Shim>(bench: &Arc<Bench>, tasks: usize) {
    for _ in 0..tasks {
        let bench = Arc::clone(bench);
        R::detach(R::spawn(async move { bench.sit().await }));
    }
    bench.polled.wait().await;
}

fn per_task(name: &str, before: u64, after: u64, tasks: usize) -> Metrics {
    let bytes = after.saturating_sub(before) as f64;
    Metrics::from([(name.to_owned(), bytes / tasks as f64)])
}
