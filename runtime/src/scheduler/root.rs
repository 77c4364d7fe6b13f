//! `block_on`: a future that is polled by the thread that waits for it.
//!
//! In a single-threaded runtime that thread becomes the worker, if no other thread is. Otherwise,
//! and always in a work-stealing runtime, it polls its future alone, with timers of its own, and
//! sleeps in between: no worker is involved, whatever the future does.

use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::{Scheduler, Shared, current, timers_of, wake_all};
use crate::coop;
use crate::park::{Parker, Unparker};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::{LocalTasks, Watch, know_block_on, with_local_tasks};

/// How many local tasks are polled between two looks at the future itself.
const LOCAL_TASKS_IN_A_ROW: usize = 32;

/// The future of a `block_on`, to a worker's loop.
pub(super) trait Root {
    /// Polls the future if it has been woken, in sight of `watch`. True: it is done.
    fn poll_if_woken(&mut self, watch: &Watch) -> bool;

    fn wakeup(&self) -> Arc<Wakeup>;
}

struct RootFuture<'a, F: Future> {
    future: Pin<&'a mut F>,
    output: Option<F::Output>,
    wakeup: Arc<Wakeup>,
    waker: Waker,
    called_at: &'static Location<'static>,
}

/// What wakes the future of a `block_on`.
pub(super) struct Wakeup {
    shared: Arc<Shared>,
    /// Set by whoever wakes (release), taken by the thread before it polls (acquire), so that the
    /// poll sees what led to the wake-up. Each time it is set counts as one of `awake_roots`, from
    /// before that until the poll that it leads to is over. Model:
    /// `a_thread_that_waits_sees_every_wake_up` in `crate::whole`.
    is_woken: AtomicBool,
    unparker: Unparker,
}

impl Wakeup {
    fn take(&self) -> bool {
        self.is_woken.swap(false, Ordering::AcqRel)
    }

    pub(super) fn is_woken(&self) -> bool {
        self.is_woken.load(Ordering::SeqCst)
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Wakeup>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Wakeup>) {
        // Counted before it can be seen: whoever sees it takes it off the count again.
        self.shared.add_wakeup();
        if self.is_woken.swap(true, Ordering::AcqRel) {
            self.shared.remove_wakeup();
            // Nobody may come by any more who would find that the clock could have jumped.
            self.shared.look_again_if_paused();
            return;
        }
        let is_single_threaded = self.shared.config.scheduler == Scheduler::SingleThreaded;
        if is_single_threaded && current::current_of(&self.shared).is_some() {
            // The worker's own loop looks at the flag before it sleeps. If it is another thread's
            // future, that one is unparked below.
            self.unparker.unpark_own();
        } else {
            self.unparker.unpark();
        }
    }
}

impl<F: Future> Root for RootFuture<'_, F> {
    fn poll_if_woken(&mut self, watch: &Watch) -> bool {
        // The common case, a look between two tasks, is a load.
        if !self.wakeup.is_woken() || !self.wakeup.take() {
            return false;
        }
        /// Ends the poll and gives the wake-up's count back, also when the poll panics.
        struct Polled<'a>(&'a Shared, &'a Watch);
        impl Drop for Polled<'_> {
            fn drop(&mut self) {
                self.1.end();
                self.0.remove_wakeup();
            }
        }
        watch.begin_root(self.called_at);
        let _polled = Polled(&self.wakeup.shared, watch);
        let mut cx = Context::from_waker(&self.waker);
        match coop::with_budget(|| self.future.as_mut().poll(&mut cx)) {
            Poll::Ready(output) => self.output = Some(output),
            Poll::Pending => return false,
        }
        true
    }

    fn wakeup(&self) -> Arc<Wakeup> {
        self.wakeup.clone()
    }
}

/// Runs `future` on this thread until it is done. The runtime is entered already.
#[track_caller]
pub(crate) fn block_on<F: Future>(shared: &Arc<Shared>, future: F) -> F::Output {
    let called_at = Location::caller();
    let parker = Arc::new(Parker::new(None));
    let is_single_threaded = shared.config.scheduler == Scheduler::SingleThreaded;
    let as_worker = is_single_threaded.then(|| shared.remote(0).parker.clone());
    let unparker = Unparker::new(parker.clone(), as_worker);
    let wakeup = Arc::new(Wakeup {
        shared: shared.clone(),
        is_woken: AtomicBool::new(false),
        unparker: unparker.clone(),
    });
    wakeup.wake_by_ref();
    let _local = LocalTasks::enter(shared.clone(), unparker);
    let future = pin!(future);
    let waker = Waker::from(wakeup.clone());
    know_block_on(&waker);
    let _waiting = StopWaiting { shared, parker: &parker, wakeup: wakeup.clone() };
    let mut root = RootFuture { future, output: None, wakeup, waker, called_at };
    if is_single_threaded {
        // Without its thread stuck tasks are not reported; nothing else depends on it.
        let _ = crate::monitor::start(shared);
    }
    loop {
        let worker = if is_single_threaded { shared.claim_worker(&parker) } else { None };
        let is_done = match worker {
            Some(worker) => {
                let (worker, is_done) = worker.run_as_current(|worker| worker.run(Some(&mut root)));
                // Not done: the runtime was shut down, and this drops its tasks. The future may
                // still end by itself.
                worker.give_back();
                is_done || drive_alone(shared, &parker, &mut root)
            }
            None => drive_alone(shared, &parker, &mut root),
        };
        if is_done {
            return root.output.take().expect("a future that is done has its output");
        }
    }
}

/// Forgets, in the end, that this thread would take the worker over.
struct StopWaiting<'a> {
    shared: &'a Shared,
    parker: &'a Arc<Parker>,
    wakeup: Arc<Wakeup>,
}

impl Drop for StopWaiting<'_> {
    fn drop(&mut self) {
        self.shared.stop_waiting(self.parker);
        // A wake-up that came after the last poll leads to no other. Later ones find the flag set
        // and count nothing.
        if self.wakeup.is_woken.swap(true, Ordering::SeqCst) {
            self.shared.remove_wakeup();
        }
        self.shared.look_again_if_paused();
    }
}

/// Polls `root` on this thread, which is no worker. True: it is done. False: the worker of a
/// single-threaded runtime has become free.
fn drive_alone(shared: &Arc<Shared>, parker: &Arc<Parker>, root: &mut dyn Root) -> bool {
    let timers = CloseTimers(timers_of(&shared.clock, parker));
    let _entered = timers.0.handle().enter_as_owner().ends_later_ones();
    let mut wakers = Vec::new();
    let _awake = Awake::new(shared);
    // The thread may be another runtime's worker, in place.
    let _uncounted = coop::uncounted();
    // Nobody looks: this thread is no worker, and keeps nobody waiting but itself.
    let watch = Watch::new();
    let wakeup = root.wakeup();
    loop {
        if root.poll_if_woken(&watch) {
            return true;
        }
        if shared.is_worker_free() {
            return false;
        }
        run_local_tasks();
        if timers.0.next_deadline().is_some() {
            timers.0.turn(shared.clock.now(), &mut wakers);
            wake_all(&mut wakers);
        }
        // From here on only wake-ups that nobody has seen yet keep a paused clock from jumping.
        shared.remove_wakeup();
        let has_work = || with_local_tasks(|tasks| tasks.is_some_and(LocalTasks::has_work));
        let mut is_awake = false;
        let wake_up = || {
            shared.add_wakeup();
            is_awake = true;
        };
        if !wakeup.is_woken() && !has_work() && !shared.advance_if_quiet(false, wake_up) {
            parker.park(&|_| sleep_at_most(shared, &timers.0), &mut wakers);
        }
        if !is_awake {
            shared.add_wakeup();
        }
    }
}

/// Counts a thread as awake.
struct Awake<'a>(&'a Shared);

impl Awake<'_> {
    fn new(shared: &Shared) -> Awake<'_> {
        shared.add_wakeup();
        Awake(shared)
    }
}

impl Drop for Awake<'_> {
    fn drop(&mut self) {
        self.0.remove_wakeup();
    }
}

fn run_local_tasks() {
    let watch = Watch::new();
    for _ in 0..LOCAL_TASKS_IN_A_ROW {
        let Some(runnable) = with_local_tasks(|tasks| tasks?.take()) else { return };
        coop::with_budget(|| runnable.run(&watch));
    }
}

fn sleep_at_most(shared: &Shared, timers: &timer::Driver) -> Option<Duration> {
    let left = timers.next_deadline()?.saturating_duration_since(shared.clock.now());
    (left.is_zero() || !shared.clock.is_paused()).then_some(left)
}

/// The timers of a thread that drives alone; what is armed in them moves on when it leaves.
struct CloseTimers(timer::Driver);

impl Drop for CloseTimers {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.0.close(&mut wakers);
        wake_all(&mut wakers);
    }
}
