//! What is said about a task that is stuck in one poll.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::Config;
use crate::panics::{contain, print_line};
use crate::scheduler::Shared;
use crate::sync::thread;
use crate::task::{Id, Watched};

/// What is called with every report, see [`Builder::on_blocked`](crate::Builder::on_blocked).
pub(crate) type OnBlocked = Arc<dyn Fn(&BlockedTask) + Send + Sync>;

/// A task that has been in one poll for too long, and keeps its worker from everything else.
///
/// It prints as the message that the default handler prints to stderr.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockedTask {
    /// The index of the worker.
    pub worker: usize,
    /// The number of the task. `None`: it is not a task, but the future of `block_on` in a
    /// single-threaded runtime.
    pub id: Option<Id>,
    /// The name given by [`task::Builder`](crate::task::Builder), if there is one.
    pub name: Option<Cow<'static, str>>,
    /// The line that spawned the task, or called `block_on`.
    pub spawned_at: &'static Location<'static>,
    /// How long the poll has lasted so far, at least. Counting begins up to some 15 ms into the
    /// poll (21 ms in a single-threaded runtime), so it may have lasted that much longer. Time in
    /// which the whole process was stopped, or in which the thread was ready to run but had no
    /// core, is not counted either.
    pub duration: Duration,
    /// Where the thread is at this moment, innermost call first. `None` where it could not be
    /// found out; only Linux can.
    pub stack: Option<String>,
}

impl fmt::Display for BlockedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.duration.as_millis();
        write!(f, "runtime: worker {} has been stuck for {ms} ms in ", self.worker)?;
        match (self.id, &self.name) {
            (Some(id), Some(name)) => write!(f, "task {id} ({name:?}), spawned at ")?,
            (Some(id), None) => write!(f, "task {id}, spawned at ")?,
            (None, _) => write!(f, "the future of `block_on`, called at ")?,
        }
        write!(
            f,
            "{}\n  help: move the blocking call to `runtime::spawn_blocking`, or call \
             `runtime::task::yield_now().await` in the loop",
            self.spawned_at
        )?;
        match &self.stack {
            Some(stack) => write!(f, "\n  it is here:\n{}", stack.trim_end()),
            None => Ok(()),
        }
    }
}

/// The environment variable that overrides the threshold: a number of milliseconds, 0 for never.
const SWITCH: &str = "WINDLASS_BLOCKED";

/// 100 ms in release builds. Debug builds are for finding things, and 20 ms find more.
pub(crate) fn default_blocked_after() -> Duration {
    Duration::from_millis(if cfg!(debug_assertions) { 20 } else { 100 })
}

/// Says what the monitor has found, once for each poll.
pub(super) struct Reports {
    blocked_after: Duration,
    on_blocked: Option<OnBlocked>,
    /// How often each spawn site was reported; the default handler prints the first time.
    by_site: HashMap<&'static Location<'static>, u64>,
}

impl Reports {
    pub(super) fn new(config: &Config) -> Reports {
        let switch = std::env::var(SWITCH).ok().and_then(|text| text.trim().parse().ok());
        let blocked_after = match switch {
            Some(0) => Duration::MAX,
            Some(ms) => Duration::from_millis(ms),
            None => config.blocked_after,
        };
        let on_blocked = config.on_blocked.clone();
        Reports { blocked_after, on_blocked, by_site: HashMap::new() }
    }

    /// How much longer a poll that has lasted so long may last before it is to be reported.
    pub(super) fn due_in(&self, lasted: Duration) -> Duration {
        self.blocked_after.saturating_sub(lasted)
    }

    /// Reports a poll. That takes a while (finding out where a thread is, and the names of what it
    /// is in, may take 100 ms the first time), and the monitor has better things to do meanwhile:
    /// so a thread of its own does it.
    pub(super) fn report(
        &mut self,
        shared: &Arc<Shared>,
        worker: usize,
        poll: Watched,
        lasted: Duration,
    ) {
        let count = self.by_site.entry(poll.spawned_at).or_default();
        *count += 1;
        if self.on_blocked.is_none() && *count > 1 {
            return;
        }
        let mut report = BlockedTask {
            worker,
            id: poll.task,
            name: poll.task.and_then(|id| shared.name(id)),
            spawned_at: poll.spawned_at,
            duration: lasted,
            stack: None,
        };
        let on_blocked = self.on_blocked.clone();
        let watched = shared.clone();
        let name = format!("{}-report", shared.config.thread_name);
        let without_stack = report.clone();
        let started = shared.threads.start(thread::Builder::new().name(name), move || {
            // A handler is called for each poll, perhaps soon again. Without one each spawn site
            // speaks once, and need not pay for a faster second time.
            #[cfg(target_os = "linux")]
            let _names = on_blocked.is_none().then(crate::stack::Names::borrow);
            report.stack = watched.remote(worker).stack(&poll);
            tell(on_blocked.as_ref(), &report);
        });
        if started.is_err() {
            tell(self.on_blocked.as_ref(), &without_stack);
        }
    }
}

/// Calls the program's handler, or prints the report. Whatever it does, the runtime goes on.
fn tell(on_blocked: Option<&OnBlocked>, report: &BlockedTask) {
    contain(|| match on_blocked {
        Some(on_blocked) => on_blocked(report),
        None => print_line(report),
    });
}
