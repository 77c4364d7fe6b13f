//! Spawning: many at once, each the next, and from a thread outside.

use super::countdown::Countdown;
use super::measure::{Plan, Samples, Schedule, Stopwatch};
use crate::shim::{Remote, Shim};
use futures_channel::oneshot;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

/// One task spawns `tasks` empty tasks and waits until all have run.
pub(crate) async fn many<R: Shim>(tasks: usize) {
    let countdown = Countdown::new(tasks);
    for _ in 0..tasks {
        let countdown = Arc::clone(&countdown);
        R::detach(R::spawn(async move { countdown.done() }));
    }
    countdown.wait().await;
}

/// Each task spawns the next, `tasks` in all.
pub(super) async fn chained<R: Shim>(tasks: usize) {
    let countdown = Countdown::new(1);
    R::detach(R::spawn(link::<R>(tasks, Arc::clone(&countdown))));
    countdown.wait().await;
}

/// The return type says `Send`, because the future's type would otherwise contain itself.
fn link<R: Shim>(left: usize, countdown: Arc<Countdown>) -> impl Future<Output = ()> + Send {
    Link::<R> { left, countdown: Some(countdown), runtime: std::marker::PhantomData }
}

/// A task of the chain: spawns its successor when it is polled.
struct Link<R> {
    left: usize,
    countdown: Option<Arc<Countdown>>,
    runtime: std::marker::PhantomData<fn() -> R>,
}

impl<R: Shim> Future for Link<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let countdown = self.countdown.take().expect("polled once: it is ready at once");
        match self.left - 1 {
            0 => countdown.done(),
            left => R::detach(R::spawn(link::<R>(left, countdown))),
        }
        std::task::Poll::Ready(())
    }
}

/// A thread that is no worker spawns `tasks` empty tasks and waits until all have run.
pub(super) async fn remote<R: Remote>(plan: Plan, tasks: usize) -> Samples {
    from_outside(plan, tasks as u64, R::handle(), move |handle| {
        let countdown = Countdown::for_this_thread(tasks);
        for _ in 0..tasks {
            let countdown = Arc::clone(&countdown);
            R::spawn_from_outside(handle, async move { countdown.done() });
        }
        countdown.block();
    })
    .await
}

/// A thread that is no worker spawns `tasks` empty tasks, each after the one before has run.
pub(super) async fn remote_one_by_one<R: Remote>(plan: Plan, tasks: usize) -> Samples {
    from_outside(plan, tasks as u64, R::handle(), move |handle| {
        for _ in 0..tasks {
            let countdown = Countdown::for_this_thread(1);
            let task = Arc::clone(&countdown);
            R::spawn_from_outside(handle, async move { task.done() });
            countdown.block();
        }
    })
    .await
}

/// Repeats `round` on a thread of its own, while the calling task waits.
async fn from_outside<H: Send + 'static>(
    plan: Plan,
    ops: u64,
    handle: H,
    round: impl Fn(&H) + Send + 'static,
) -> Samples {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let mut samples = Samples::default();
        let mut schedule = Schedule::new(plan);
        while let Some(is_measured) = schedule.next_round() {
            let stopwatch = is_measured.then(Stopwatch::start);
            round(&handle);
            samples.add(stopwatch, ops);
        }
        // The receiver waits below for as long as this thread runs.
        let _ = sender.send(samples);
    });
    receiver.await.expect("the thread sends before it ends")
}
