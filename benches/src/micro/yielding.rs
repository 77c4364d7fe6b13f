//! Giving way.

use super::countdown::Countdown;
use crate::shim::{Shim, wake_self};
use std::future::Future;
use std::sync::Arc;

/// `tasks` tasks wake themselves `yields` times each.
pub(super) async fn many<R: Shim>(tasks: usize, yields: usize) {
    with::<R, _>(tasks, yields, wake_self).await;
}

/// `tasks` tasks give way `yields` times each, with the runtime's own `yield_now`.
pub(super) async fn many_own<R: Shim>(tasks: usize, yields: usize) {
    with::<R, _>(tasks, yields, R::yield_now).await;
}

async fn with<R: Shim, F>(tasks: usize, yields: usize, yield_once: fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let countdown = Countdown::new(tasks);
    for _ in 0..tasks {
        let countdown = Arc::clone(&countdown);
        R::detach(R::spawn(async move {
            for _ in 0..yields {
                yield_once().await;
            }
            countdown.done();
        }));
    }
    countdown.wait().await;
}
