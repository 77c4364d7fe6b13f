//! The scheduler: what the workers of one runtime share.
//!
//! Both modes are this one scheduler. A work-stealing runtime has `n` workers on threads of their
//! own; a single-threaded one has one [`Worker`], which is lent to the thread that calls `block_on`.

mod current;
mod housekeeping;
mod idle;
mod lent;
mod mode;
mod place;
mod queue;
mod quiet;
mod remote;
mod root;
mod shutdown;
mod spare;
mod spin;
mod worker;

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use crate::blocking::Pool;
use crate::builder::{Config, UnhandledPanic};
use crate::metrics::add;
use crate::monitor::Monitor;
use crate::panics::print_line;
use crate::park::{Parker, Poller};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use crate::task::{
    Birth, Header, Heap, Id, JoinHandle, OwnedTasks, Runnable, Schedule, Watch, new_task,
    panic_message,
};
use crate::threads::Threads;

use lent::Lent;
use queue::Injector;
use remote::Remote;
use shutdown::HandOvers;
use spare::Spares;

pub(crate) use current::is_worker;
pub(crate) use idle::Idle;
pub use mode::{ParseSchedulerError, Scheduler};
pub use place::block_in_place;
pub(crate) use remote::ThreadTimes;
pub(crate) use root::block_on;
pub(crate) use shutdown::DRAIN_AGAIN;
pub(crate) use worker::{Worker, wake_all};

/// What the workers, the handles and the tasks of one runtime share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) clock: timer::Clock,
    pub(crate) net: net::Handle,
    /// The timers of threads that have entered the runtime but drive none themselves; turned by the
    /// worker that polls.
    pub(crate) entered_timers: timer::Driver,
    pub(crate) blocking: Arc<Pool>,
    pub(crate) threads: Arc<Threads>,
    pub(crate) monitor: Monitor,
    /// The regular workers, then the spare ones.
    remotes: Box<[CachePadded<Remote>]>,
    injector: Injector,
    idle: Idle,
    owned: OwnedTasks<Arc<Shared>>,
    poller: Arc<dyn Poller>,
    /// The names of the live tasks that have one. Most have none, and should not pay for it.
    names: Mutex<HashMap<Id, Cow<'static, str>>>,
    /// Set once, when the runtime ends. `SeqCst`, like the counts of `idle`: it is set before the
    /// workers are unparked, and a worker reads it after it has announced that it parks.
    is_shut_down: AtomicBool,
    /// Set once, when all workers have gone and the queues are being emptied. `SeqCst`, partner of
    /// the fence between a push to the injector and the look at this flag.
    is_finished: AtomicBool,
    /// How many workers have left for good, of the regular ones.
    workers_gone: AtomicUsize,
    /// What happens in threads that are no worker: those in `block_on` that are not asleep, and
    /// wake-ups that their threads have not seen yet. `SeqCst`: the last of all to fall asleep must
    /// know it when the clock is paused.
    awake_roots: AtomicUsize,
    /// Held while a thread finds out whether a paused clock may jump, and lets it, so that two
    /// cannot do so one after the other for the same moment of rest.
    advancing: Mutex<()>,
    /// The worker of a single-threaded runtime, while no thread runs it.
    lent: Mutex<Lent>,
    spares: Spares,
    hand_overs: HandOvers,
    /// Tasks that were spawned from threads that are no worker. Relaxed, a number on its own; apart
    /// from what the workers look at all the time.
    spawned_elsewhere: CachePadded<AtomicU64>,
    /// Tasks that were complete otherwise than after a poll. With release, see [`Watch::ended`].
    ended_elsewhere: AtomicU64,
}

impl Shared {
    /// The shared part and its workers, which do not run yet.
    pub(crate) fn new(
        config: Config,
        clock: timer::Clock,
        net: net::Handle,
        poller: Arc<dyn Poller>,
    ) -> (Arc<Shared>, Vec<Worker>) {
        let regular = config.workers;
        let count = regular + spare::capacity(&config);
        let queues: Vec<_> = (0..count).map(|_| queue::LocalQueue::new(count > 1)).collect();
        let remote = |queue| CachePadded::new(Remote::new(queue, &clock, &poller));
        let remotes: Box<[_]> = queues.iter().map(remote).collect();
        let entered_timers = {
            let poller = poller.clone();
            let unpark: Box<dyn Fn() + Send + Sync> = Box::new(move || poller.unpark());
            let budget = crate::coop::poll_proceed;
            timer::Driver::new(&clock, timer::Hooks { unpark, budget })
        };
        let idle = match config.scheduler {
            Scheduler::WorkStealing => Idle::new(regular),
            Scheduler::SingleThreaded => Idle::absent(),
        };
        let shared = Arc::new(Shared {
            blocking: Pool::new(&config),
            threads: Threads::new(),
            monitor: Monitor::new(config.scheduler),
            config,
            clock,
            net,
            entered_timers,
            remotes,
            injector: Injector::new(),
            idle,
            owned: OwnedTasks::new(),
            poller,
            names: Mutex::new(HashMap::new()),
            is_shut_down: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
            workers_gone: AtomicUsize::new(0),
            advancing: Mutex::new(()),
            awake_roots: AtomicUsize::new(0),
            lent: Mutex::new(Lent::default()),
            spares: Spares::default(),
            hand_overs: HandOvers::default(),
            spawned_elsewhere: CachePadded::new(AtomicU64::new(0)),
            ended_elsewhere: AtomicU64::new(0),
        });
        let worker = |(index, queue)| Worker::new(shared.clone(), index, queue);
        let mut workers: Vec<_> = queues.into_iter().enumerate().map(worker).collect();
        shared.keep_spares(workers.split_off(regular));
        (shared, workers)
    }

    pub(crate) fn spawn<F>(
        self: &Arc<Shared>,
        future: F,
        name: Option<Cow<'static, str>>,
        spawned_at: &'static Location<'static>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (join, refused) = self.try_spawn(future, name, spawned_at);
        if let Some(refused) = refused {
            self.refuse(refused);
        }
        join
    }

    /// Spawns a task. If the runtime has been shut down, there is something for the caller to
    /// [refuse](Shared::refuse). Runs no foreign code.
    #[inline]
    pub(crate) fn try_spawn<F>(
        self: &Arc<Shared>,
        future: F,
        name: Option<Cow<'static, str>>,
        spawned_at: &'static Location<'static>,
    ) -> (JoinHandle<F::Output>, Option<Refused>)
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let worker = current::current_of(self);
        match &worker {
            Some(worker) => add(&worker.remote().metrics.spawned, 1),
            None => drop(self.spawned_elsewhere.fetch_add(1, Ordering::Relaxed)),
        }
        let birth = self.birth(Id::next(), name, spawned_at);
        let heap = worker.as_ref().map(AsRef::as_ref);
        let (runnable, join) = new_task(future, self, heap, birth);
        if self.is_shut_down() {
            return (join, Some(Refused(Some(runnable))));
        }
        match worker {
            Some(worker) => worker.push(runnable),
            None => self.push_injected(runnable),
        }
        (join, self.is_shut_down().then_some(Refused(None)))
    }

    /// Drops a task that was spawned too late. If its runnable has got into a queue, whoever sees the
    /// workers off finds it there, or, if all are gone, this thread.
    #[cold]
    pub(crate) fn refuse(self: &Arc<Shared>, refused: Refused) {
        if let Some(runnable) = refused.0 {
            self.entered(|| drop(runnable));
        }
        self.drain_if_finished();
    }

    /// The facts about a new task; remembers its name.
    #[inline]
    pub(crate) fn birth(
        &self,
        id: Id,
        name: Option<Cow<'static, str>>,
        spawned_at: &'static Location<'static>,
    ) -> Birth {
        let is_named = name.is_some();
        if let Some(name) = name {
            self.remember_name(id, name);
        }
        Birth { id, spawned_at, is_named }
    }

    #[cold]
    fn remember_name(&self, id: Id, name: Cow<'static, str>) {
        self.names.lock().insert(id, name);
    }

    pub(crate) fn forget_name(&self, task: &Header) {
        self.names.lock().remove(&task.id());
    }

    pub(crate) fn name(&self, id: Id) -> Option<Cow<'static, str>> {
        self.names.lock().get(&id).cloned()
    }

    /// Queues a runnable from a thread that is not a worker of this runtime.
    fn inject(self: &Arc<Shared>, runnable: Runnable) {
        self.push_injected(runnable);
        self.drain_if_finished();
    }

    fn push_injected(&self, runnable: Runnable) {
        self.injector.push(runnable);
        self.notify();
    }

    /// Leaves a runnable that a worker had to the others. It notifies nobody. The calling thread may
    /// be one that the end of the runtime has not waited for.
    fn leave(self: &Arc<Shared>, runnable: Runnable) {
        self.injector.push(runnable);
        fence(Ordering::SeqCst);
        self.drain_if_finished();
    }

    /// Wakes a parked worker if one is needed for work that was pushed just now.
    #[inline]
    fn notify(&self) {
        if let Some(worker) = self.idle.worker_to_notify() {
            self.remotes[worker].parker.unpark();
        }
    }

    /// Whether some queue that everybody takes from holds work. `next` slots do not count: each is
    /// run by its own worker.
    fn has_visible_work(&self) -> bool {
        let is_queued = |remote: &CachePadded<Remote>| !remote.stealer.is_empty();
        !self.injector.is_empty() || self.remotes_in_use().iter().any(is_queued)
    }

    /// How many workers there are, without the spare ones.
    pub(crate) fn workers(&self) -> usize {
        self.config.workers
    }

    /// How many workers there may be, with the spare ones.
    pub(crate) fn capacity(&self) -> usize {
        self.remotes.len()
    }

    /// Whether all workers are parked.
    pub(crate) fn is_idle(&self) -> bool {
        self.idle.all_parked()
    }

    /// Whether the calling thread is one of the workers, in a task or in place.
    pub(crate) fn is_on_worker(self: &Arc<Shared>) -> bool {
        current::current_of(self).is_some()
    }

    pub(crate) fn remote(&self, worker: usize) -> &Remote {
        &self.remotes[worker]
    }

    /// How many tasks are spawned and not complete. The ends are read first, so that a task which is
    /// counted among them is among those that were spawned too.
    pub(crate) fn live_tasks(&self) -> usize {
        let sum = |count: fn(&Remote) -> u64| self.remotes.iter().map(|remote| count(remote)).sum();
        let ended: u64 = sum(|remote| remote.watch.ended());
        let ended = ended + self.ended_elsewhere.load(Ordering::Acquire);
        let spawned: u64 = sum(|remote| remote.metrics.spawned.load(Ordering::Relaxed));
        let spawned = spawned + self.spawned_elsewhere.load(Ordering::Relaxed);
        (spawned - ended) as usize
    }

    pub(crate) fn injected(&self) -> usize {
        self.injector.len()
    }

    pub(crate) fn queued(&self, worker: usize) -> usize {
        let remote = &self.remotes[worker];
        let has_next = !remote.next.is_empty() || remote.has_next.load(Ordering::Relaxed);
        remote.stealer.len() + usize::from(has_next)
    }

    pub(crate) fn parked(&self) -> usize {
        self.idle.parked()
    }

    /// Says what became of a panic that nobody waits for, and acts on it.
    pub(crate) fn report_panic(&self, task: &Header, payload: &(dyn Any + Send)) {
        match self.config.unhandled_panic {
            UnhandledPanic::Ignore => return,
            UnhandledPanic::Report | UnhandledPanic::ShutDown => {}
        }
        let (id, at) = (task.id(), task.spawned_at());
        let name = match self.name(id) {
            Some(name) => format!(" ({name:?})"),
            None => String::new(),
        };
        let message = panic_message(payload).unwrap_or("(the panic has no text)");
        print_line(format_args!(
            "runtime: task {id}{name}, spawned at {at}, panicked and nobody waits for its result: \
             {message}\n  help: await its `JoinHandle`, or choose with `Builder::unhandled_panic`"
        ));
        if self.config.unhandled_panic == UnhandledPanic::ShutDown {
            self.begin_shutdown();
        }
    }
}

/// A task that was spawned while its runtime ended, or nothing, if it has got into a queue.
#[must_use]
pub(crate) struct Refused(Option<Runnable>);

/// The timers of a thread that parks on `parker`.
fn timers_of(clock: &timer::Clock, parker: &Arc<Parker>) -> timer::Driver {
    let parker = parker.clone();
    let unpark: Box<dyn Fn() + Send + Sync> = Box::new(move || parker.unpark());
    timer::Driver::new(clock, timer::Hooks { unpark, budget: crate::coop::poll_proceed })
}

/// Where a runnable goes that was woken on this thread.
pub(crate) enum Place {
    /// To the worker that this thread is.
    Worker(Rc<Worker>),
    Injector(Arc<Shared>),
}

impl AsRef<Heap<Arc<Shared>>> for Rc<Worker> {
    #[inline]
    fn as_ref(&self) -> &Heap<Arc<Shared>> {
        &self.heap
    }
}

impl Schedule for Arc<Shared> {
    type Home = Rc<Worker>;
    type Place = Place;

    #[inline]
    fn place(&self) -> Place {
        match current::current_of(self) {
            Some(worker) => Place::Worker(worker),
            None => Place::Injector(self.clone()),
        }
    }

    #[inline]
    fn schedule(place: Place, runnable: Runnable) {
        match place {
            Place::Worker(worker) => worker.push(runnable),
            Place::Injector(shared) => shared.inject(runnable),
        }
    }

    /// Only workers run these tasks.
    #[inline]
    fn again(&self, runnable: Runnable) -> Option<Runnable> {
        Some(runnable)
    }

    #[inline]
    fn wake_joiner(&self, wake: impl FnOnce()) {
        match current::current_of(self) {
            Some(worker) => worker.wake_last(wake),
            None => wake(),
        }
    }

    #[inline]
    fn owned(&self) -> Option<&OwnedTasks<Arc<Shared>>> {
        Some(&self.owned)
    }

    #[inline]
    fn home(&self) -> Option<Rc<Worker>> {
        current::current_of(self)
    }

    #[inline]
    fn count_end(&self, watch: Option<&Watch>) {
        match watch {
            Some(watch) => watch.count_end(),
            None => drop(self.ended_elsewhere.fetch_add(1, Ordering::Release)),
        }
    }

    fn forget_name(&self, task: &Header) {
        Shared::forget_name(self, task);
    }

    fn is_shut_down(&self) -> bool {
        Shared::is_shut_down(self)
    }

    fn unhandled_panic(&self, task: &Header, payload: &(dyn Any + Send)) {
        self.report_panic(task, payload);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("scheduler", &self.config.scheduler)
            .field("workers", &self.workers())
            .finish_non_exhaustive()
    }
}
