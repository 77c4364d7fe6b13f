//! Timers that never fire: created and dropped, or around something that is ready sooner.

use super::countdown::Countdown;
use crate::shim::{Shim, wake_self};
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const FAR: Duration = Duration::from_secs(10);

/// Creates a sleep, polls it once and drops it, `times` times.
pub(super) async fn cancel<R: Shim>(times: usize) {
    for _ in 0..times {
        let mut sleep = pin!(R::sleep(FAR));
        poll_fn(|cx| {
            assert!(sleep.as_mut().poll(cx).is_pending(), "ten seconds cannot be over");
            Poll::Ready(())
        })
        .await;
    }
}

/// A timeout around a future that is ready, `times` times.
pub(super) async fn timeout_ready<R: Shim>(times: usize) {
    for _ in 0..times {
        assert!(R::timeout(FAR, ready(())).await);
    }
}

/// A timeout around a future that is pending once, `times` times.
pub(super) async fn timeout_yield<R: Shim>(times: usize) {
    for _ in 0..times {
        assert!(R::timeout(FAR, wake_self()).await);
    }
}

/// Starts `tasks` tasks and waits for them; `start` spawns one that ends with [`counted`].
pub(super) async fn tasks(tasks: usize, start: impl Fn(Arc<Countdown>)) {
    let countdown = Countdown::new(tasks);
    for _ in 0..tasks {
        start(Arc::clone(&countdown));
    }
    countdown.wait().await;
}

/// Runs `body`, then counts down.
pub(super) async fn counted(body: impl Future<Output = ()>, countdown: Arc<Countdown>) {
    body.await;
    countdown.done();
}
