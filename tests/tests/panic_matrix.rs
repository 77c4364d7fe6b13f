//! Every place in which foreign code panics, crossed with every way in which a task ends, in both
//! modes: what the handle says, and that nothing leaks, is dropped twice, or costs a worker.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::{Duration, Instant};

use runtime::task::yield_now;
use runtime::{Builder, JoinError, JoinHandle, Runtime, Scheduler, UnhandledPanic};
use windlass_tests::{message_of, watch};

/// The code that panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Poll,
    FutureDrop,
    PollAndFutureDrop,
    OutputDrop,
    /// The waker is that of the handle: whoever polls it is told that the task is done.
    WakerClone,
    WakerWake,
    WakerDrop,
    StartHook,
    StopHook,
}

/// How the task ends. It is pending then, after one poll, and has a waker in its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The handle is dropped, then the task is woken and runs to its end.
    Detached,
    /// The task runs to its end, then the handle is dropped.
    DroppedUnread,
    Joined,
    Aborted,
    AbortedAndDetached,
    ShutDown,
    ShutDownAndDetached,
}

const PLACES: [Place; 10] = [
    Place::Nowhere,
    Place::Poll,
    Place::FutureDrop,
    Place::PollAndFutureDrop,
    Place::OutputDrop,
    Place::WakerClone,
    Place::WakerWake,
    Place::WakerDrop,
    Place::StartHook,
    Place::StopHook,
];

const ENDS: [End; 7] = [
    End::Detached,
    End::DroppedUnread,
    End::Joined,
    End::Aborted,
    End::AbortedAndDetached,
    End::ShutDown,
    End::ShutDownAndDetached,
];

/// What the handle said.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Unread,
    Done,
    Panicked(String),
    Aborted,
    ShutDown,
}

impl Outcome {
    fn expected(place: Place, end: End) -> Outcome {
        let panicked = |text: &str| Outcome::Panicked(text.to_owned());
        let drop_panics = matches!(place, Place::FutureDrop | Place::PollAndFutureDrop);
        match end {
            End::Detached | End::DroppedUnread => Outcome::Unread,
            End::AbortedAndDetached | End::ShutDownAndDetached => Outcome::Unread,
            // The first panic counts.
            End::Joined if matches!(place, Place::Poll | Place::PollAndFutureDrop) => {
                panicked("in poll")
            }
            _ if drop_panics => panicked("in the drop of the future"),
            End::Joined => Outcome::Done,
            End::Aborted => Outcome::Aborted,
            End::ShutDown => Outcome::ShutDown,
        }
    }

    fn of(result: Result<Output, JoinError>) -> Outcome {
        match result {
            Ok(output) => {
                swallow(|| drop(output));
                Outcome::Done
            }
            Err(error) if error.is_panic() => Outcome::Panicked(message_of(&*error.into_panic())),
            Err(error) if error.is_shutdown() => Outcome::ShutDown,
            Err(error) => {
                assert!(error.is_cancelled(), "{error}");
                Outcome::Aborted
            }
        }
    }
}

/// A panic that comes out on this thread is this thread's own: it called the foreign code.
fn swallow<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).ok()
}

#[derive(Default)]
struct Counts {
    polls: AtomicUsize,
    futures_dropped: AtomicUsize,
    outputs_made: AtomicUsize,
    outputs_dropped: AtomicUsize,
    starts: AtomicUsize,
    stops: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

/// Pending once, then done. It holds on to `counts`, whose references show what has leaked.
struct Probe {
    place: Place,
    counts: Arc<Counts>,
}

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        if self.counts.polls.load(SeqCst) == 0 {
            *self.counts.waker.lock().expect("no panic under it") = Some(cx.waker().clone());
            // Whoever sees this takes the waker.
            self.counts.polls.store(1, SeqCst);
            return Poll::Pending;
        }
        self.counts.polls.fetch_add(1, SeqCst);
        if matches!(self.place, Place::Poll | Place::PollAndFutureDrop) {
            panic!("in poll");
        }
        self.counts.outputs_made.fetch_add(1, SeqCst);
        Poll::Ready(Output { place: self.place, counts: self.counts.clone() })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.counts.futures_dropped.fetch_add(1, SeqCst);
        if matches!(self.place, Place::FutureDrop | Place::PollAndFutureDrop) {
            panic!("in the drop of the future");
        }
    }
}

struct Output {
    place: Place,
    counts: Arc<Counts>,
}

impl Drop for Output {
    fn drop(&mut self) {
        self.counts.outputs_dropped.fetch_add(1, SeqCst);
        assert!(self.place != Place::OutputDrop, "in the drop of the output");
    }
}

/// The waker that panics. It is one for all cells, which come one after another, so that it needs
/// no data.
struct Bomb {
    /// How many wakers there are. A panicking clone makes none; a panicking wake or drop has
    /// still used its waker up.
    alive: AtomicUsize,
    clones: AtomicUsize,
    wakes: AtomicUsize,
    clone_panics: AtomicBool,
    wake_panics: AtomicBool,
    drop_panics: AtomicBool,
}

static BOMB: Bomb = Bomb {
    alive: AtomicUsize::new(0),
    clones: AtomicUsize::new(0),
    wakes: AtomicUsize::new(0),
    clone_panics: AtomicBool::new(false),
    wake_panics: AtomicBool::new(false),
    drop_panics: AtomicBool::new(false),
};

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn clone(_: *const ()) -> RawWaker {
    BOMB.clones.fetch_add(1, SeqCst);
    assert!(!BOMB.clone_panics.load(SeqCst), "in the clone of a waker");
    BOMB.alive.fetch_add(1, SeqCst);
    RawWaker::new(ptr::null(), &VTABLE)
}

fn wake(_: *const ()) {
    BOMB.alive.fetch_sub(1, SeqCst);
    wake_by_ref(ptr::null());
}

fn wake_by_ref(_: *const ()) {
    BOMB.wakes.fetch_add(1, SeqCst);
    assert!(!BOMB.wake_panics.load(SeqCst), "in a wake-up");
}

fn drop_waker(_: *const ()) {
    BOMB.alive.fetch_sub(1, SeqCst);
    assert!(!BOMB.drop_panics.load(SeqCst), "in the drop of a waker");
}

impl Bomb {
    fn arm(&self, place: Place) {
        self.clones.store(0, SeqCst);
        self.wakes.store(0, SeqCst);
        self.clone_panics.store(place == Place::WakerClone, SeqCst);
        self.wake_panics.store(place == Place::WakerWake, SeqCst);
        self.drop_panics.store(place == Place::WakerDrop, SeqCst);
    }

    fn waker(&self) -> Waker {
        self.alive.fetch_add(1, SeqCst);
        // SAFETY: the functions of the table look at no pointer, and are safe to call on any thread.
        unsafe { Waker::new(ptr::null(), &VTABLE) }
    }
}

struct Cell {
    place: Place,
    end: End,
    scheduler: Scheduler,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {:?} x {}", self.place, self.end, self.scheduler)
    }
}

impl Cell {
    fn runtime(&self, counts: &Arc<Counts>) -> Runtime {
        let hook = |panics: bool, count: fn(&Counts) -> &AtomicUsize| {
            let counts = counts.clone();
            move || {
                count(&counts).fetch_add(1, SeqCst);
                assert!(!panics, "in a hook");
            }
        };
        // One worker, so that one which is lost is missed.
        let builder = Builder::new().scheduler(self.scheduler).workers(1);
        builder
            .unhandled_panic(UnhandledPanic::Ignore)
            .on_thread_start(hook(self.place == Place::StartHook, |counts| &counts.starts))
            .on_thread_stop(hook(self.place == Place::StopHook, |counts| &counts.stops))
            .build()
            .expect("the system has threads and files for a runtime")
    }

    fn run(&self) {
        let counts = Arc::new(Counts::default());
        let runtime = self.runtime(&counts);
        BOMB.arm(self.place);
        let mut task = runtime.spawn(Probe { place: self.place, counts: counts.clone() });
        until(&runtime, || counts.polls.load(SeqCst) == 1);
        let bomb = BOMB.waker();
        let polled = swallow(|| Pin::new(&mut task).poll(&mut Context::from_waker(&bomb)));
        assert_eq!(polled.is_none(), self.place == Place::WakerClone, "the handle's poll panics");
        assert!(polled.is_none_or(|poll| poll.is_pending()));
        swallow(|| drop(bomb));

        let waker = counts.waker.lock().expect("no panic under it").take();
        let waker = waker.expect("the first poll has left it");
        let outcome = self.end(runtime, task, waker);
        assert_eq!(outcome, Outcome::expected(self.place, self.end));

        let runs_to_its_end = matches!(self.end, End::Detached | End::DroppedUnread | End::Joined);
        let panics_in_poll = matches!(self.place, Place::Poll | Place::PollAndFutureDrop);
        let outputs = usize::from(runs_to_its_end && !panics_in_poll);
        assert_eq!(counts.polls.load(SeqCst), 1 + usize::from(runs_to_its_end), "polls");
        assert_eq!(counts.futures_dropped.load(SeqCst), 1, "drops of the future");
        assert_eq!(counts.outputs_made.load(SeqCst), outputs, "outputs");
        assert_eq!(counts.outputs_dropped.load(SeqCst), outputs, "drops of the output");
        assert_eq!(BOMB.alive.load(SeqCst), 0, "wakers that are left");
        assert_eq!(BOMB.clones.load(SeqCst), 1, "clones of the handle's waker");
        assert!(BOMB.wakes.load(SeqCst) <= 1, "the handle's waker is woken at most once");
        let threads = usize::from(self.scheduler == Scheduler::WorkStealing);
        assert!(counts.starts.load(SeqCst) >= threads, "the start hook");
        assert_eq!(counts.starts.load(SeqCst), counts.stops.load(SeqCst), "the stop hook");
        assert_eq!(Arc::strong_count(&counts), 1, "something still holds the future or the output");
    }

    /// Ends the task, and the runtime, of which all must work in between.
    fn end(&self, runtime: Runtime, task: JoinHandle<Output>, waker: Waker) -> Outcome {
        let mut task = Some(task);
        let mut outcome = Outcome::Unread;
        match self.end {
            End::Detached => {
                swallow(|| drop(task.take()));
                waker.wake();
            }
            End::DroppedUnread => {
                waker.wake_by_ref();
                until(&runtime, || task.as_ref().is_some_and(JoinHandle::is_finished));
                swallow(|| drop(task.take()));
            }
            End::Joined => {
                waker.wake_by_ref();
                waker.wake();
                outcome = self.join(&runtime, &mut task);
            }
            End::Aborted => {
                swallow(|| task.as_ref().expect("not taken yet").abort());
                outcome = self.join(&runtime, &mut task);
                // Too late, and nobody's any more.
                waker.wake();
            }
            End::AbortedAndDetached => {
                swallow(|| task.as_ref().expect("not taken yet").abort());
                swallow(|| drop(task.take()));
                waker.wake();
            }
            End::ShutDown => {
                drop(runtime);
                waker.wake();
                let mut task = task.take().expect("not taken yet");
                let poll = Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop()));
                let Poll::Ready(result) = poll else { panic!("it waits for a runtime that ended") };
                return Outcome::of(result);
            }
            End::ShutDownAndDetached => {
                swallow(|| drop(task.take()));
                drop(runtime);
                waker.wake();
                return outcome;
            }
        }
        until(&runtime, || runtime.metrics().live_tasks == 0);
        let works = runtime.spawn(async {
            yield_now().await;
            7
        });
        assert_eq!(runtime.block_on(works).expect("no panic"), 7, "the worker works");
        drop(runtime);
        outcome
    }

    /// Waits for the task. Its handle's waker is replaced by another, and dropped, if that has not
    /// happened yet.
    fn join(&self, runtime: &Runtime, task: &mut Option<JoinHandle<Output>>) -> Outcome {
        let mut task = task.take().expect("not taken yet");
        until(runtime, || task.is_finished());
        let result = swallow(|| runtime.block_on(&mut task));
        let outcome =
            Outcome::of(result.expect("the poll of a finished handle runs no foreign code"));
        swallow(|| drop(task));
        outcome
    }
}

/// Lets tasks run until `condition` holds; in single-threaded mode this thread runs them. It gives
/// up before the watchdog does, so that the cell is named.
#[track_caller]
fn until(runtime: &Runtime, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "this never happens");
        runtime.block_on(yield_now());
    }
}

fn text_of(payload: &(dyn Any + Send)) -> &str {
    match (payload.downcast_ref::<String>(), payload.downcast_ref::<&'static str>()) {
        (Some(text), _) => text,
        (None, text) => text.copied().unwrap_or("(no text)"),
    }
}

#[test]
fn a_panic_anywhere_concerns_one_task_however_that_ends() {
    let _watchdog = watch();
    let mut failures = Vec::new();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        for place in PLACES {
            for end in ENDS {
                let cell = Cell { place, end, scheduler };
                eprintln!("cell: {cell}");
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| cell.run())) {
                    failures.push(format!("{cell}: {}", text_of(&*payload)));
                    // What is left of a cell that failed is not the next one's fault.
                    BOMB.alive.store(0, SeqCst);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} cells fail:\n{}", failures.len(), failures.join("\n"));
}
