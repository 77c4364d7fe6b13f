//! Spawning and awaiting the handle.

use crate::shim::Shim;

/// Spawns `tasks` empty tasks, then awaits every handle.
pub(super) async fn many<R: Shim>(tasks: usize) {
    let mut joins = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        joins.push(R::spawn(async {}));
    }
    for join in joins {
        join.await;
    }
}

/// Spawns a task and awaits it, `tasks` times.
pub(super) async fn one_by_one<R: Shim>(tasks: usize) {
    for _ in 0..tasks {
        R::spawn(async {}).await;
    }
}
