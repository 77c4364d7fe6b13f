//! While workers are stuck, everybody else is served: tasks, timers, sockets.
//!
//! The stuck tasks wait for the test, which lets them go only when the others have been served. So
//! what these tests prove needs no bound on time: without a rescue they would wait for ever, and
//! the watchdog would say so. Where a time is asserted, it is far above what a loaded machine needs.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use runtime::net::TcpListener;
use runtime::task::yield_now;
use runtime::time::sleep;
use runtime::{Builder, Runtime, Scheduler};
use windlass_tests::{
    StuckTask, named, say, thread_name, threads_named, wait_at, wait_until, watch,
};

/// A rescue takes about 10 ms; that much on a machine which is busy with a lot else.
const SOON: Duration = Duration::from_secs(5);

/// Two workers, no reports: those are tested elsewhere, and print.
fn two_workers(name: &str) -> Builder {
    named(name, Scheduler::WorkStealing).blocked_after(Duration::MAX)
}

fn start(builder: Builder) -> Runtime {
    builder.build().expect("the system has threads")
}

/// Both workers of the runtime, stuck.
fn stick_both(runtime: &Runtime) -> [StuckTask; 2] {
    let stuck = [0; 2].map(|_| StuckTask::spawn(runtime.handle()));
    assert_ne!(stuck[0].thread(), stuck[1].thread());
    stuck
}

#[track_caller]
fn release(runtime: &Runtime, stuck: impl IntoIterator<Item = StuckTask>) {
    for task in stuck {
        runtime.block_on(task.release()).expect("no panic");
    }
}

/// Answers every byte with itself, each connection in a task of its own. A 0 is first held back
/// for as long as nothing is sent to the gate, by blocking.
fn echo_server(runtime: &Runtime) -> (SocketAddr, Sender<()>) {
    let (open, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    runtime.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let gate = gate.clone();
            runtime::spawn(async move {
                let mut byte = [0];
                while let Ok(1) = stream.read(&mut byte).await {
                    if byte == [0] {
                        wait_at(&gate.lock().expect("no panic"));
                    }
                    stream.write_all(&byte).await.expect("the client reads");
                }
            });
        }
    });
    (addr, open)
}

/// Sends a byte and waits for the answer; returns how long that took.
fn ask(stream: &mut TcpStream) -> Duration {
    let began = Instant::now();
    stream.write_all(b"x").expect("the server reads");
    let mut answer = [0];
    stream.read_exact(&mut answer).expect("the server answers");
    assert_eq!(&answer, b"x");
    began.elapsed()
}

#[test]
fn a_spare_worker_serves_when_all_are_stuck() {
    let _watchdog = watch();
    let runtime = start(two_workers("wa"));
    let (addr, _open) = echo_server(&runtime);
    let mut before = TcpStream::connect(addr).expect("it listens");
    ask(&mut before);
    let stuck = stick_both(&runtime);
    let task = runtime.spawn(async { thread_name() });
    let served_by = runtime.block_on(task).expect("no panic");
    assert!(stuck.iter().all(|task| task.thread() != served_by));
    // Connections of before and new ones, and timers.
    assert!(ask(&mut before) < SOON);
    let mut fresh = TcpStream::connect(addr).expect("it listens");
    for _ in 0..20 {
        assert!(ask(&mut before) < SOON && ask(&mut fresh) < SOON);
    }
    let time = Duration::from_millis(20);
    let sleeper = runtime.spawn(async move {
        let began = Instant::now();
        sleep(time).await;
        began.elapsed()
    });
    let elapsed = runtime.block_on(sleeper).expect("no panic");
    assert!((time..time + SOON).contains(&elapsed), "{elapsed:?}");
    let metrics = runtime.metrics();
    assert_eq!(metrics.spare_starts, 1, "one spare worker is enough: {metrics:?}");
    // The two, the spare one, and one for each that might be in `block_in_place`.
    assert_eq!(metrics.workers.len(), 5);
    assert!(metrics.workers[2..].iter().any(|spare| spare.polls > 0 && spare.parks > 0));
    release(&runtime, stuck);
    ask(&mut before);
}

/// Blocks in its destructor, and says so.
struct Sticky {
    dropped: Sender<()>,
    gate: Receiver<()>,
}

impl Drop for Sticky {
    fn drop(&mut self) {
        self.dropped.send(()).expect("the test waits");
        wait_at(&self.gate);
    }
}

#[test]
fn others_go_on_while_destructors_of_tasks_block() {
    let _watchdog = watch();
    let runtime = start(two_workers("wx").workers(1));
    for is_output in [false, true] {
        let (dropped, is_dropped) = mpsc::channel();
        let (release, gate) = mpsc::channel();
        let sticky = Sticky { dropped, gate };
        let (end, may_end) = async_channel::bounded(1);
        let task = runtime.spawn(async move {
            let _ = may_end.recv().await;
            sticky
        });
        if is_output {
            drop(task);
            end.try_send(()).expect("there is room");
        } else {
            task.abort();
        }
        is_dropped.recv().expect("the worker drops it");
        runtime.block_on(runtime.spawn(sleep(Duration::from_millis(3)))).expect("no panic");
        drop(release);
        wait_until(runtime.handle(), |metrics| metrics.live_tasks == 0);
    }
}

/// They have enough to do, and so they steal nothing.
#[test]
fn what_a_stuck_worker_has_queued_runs_although_the_others_are_always_busy() {
    let _watchdog = watch();
    let runtime = start(two_workers("wq"));
    let is_over = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let is_over = is_over.clone();
            runtime.spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..10 {
        let (release, gate) = mpsc::channel();
        let (spawned, is_spawned) = mpsc::channel();
        let stuck = runtime.spawn(async move {
            let queued = [0; 8].map(|_| runtime::spawn(async { thread_name() }));
            spawned.send((thread_name(), queued)).expect("the test waits");
            wait_at(&gate);
        });
        let (stuck_on, queued) = is_spawned.recv().expect("the task is polled");
        for task in queued {
            assert_ne!(runtime.block_on(task).expect("no panic"), stuck_on);
        }
        drop(release);
        runtime.block_on(stuck).expect("no panic");
    }
    is_over.store(true, Ordering::Relaxed);
    for task in busy {
        runtime.block_on(task).expect("no panic");
    }
}

#[test]
fn without_spare_workers_others_wait_until_one_is_back() {
    let _watchdog = watch();
    let runtime = start(two_workers("wb").spare_workers(0));
    let stuck = stick_both(&runtime);
    let (served, was_served) = mpsc::channel();
    runtime.spawn(async move { served.send(thread_name()) });
    // Ten times what a spare worker would need.
    let early = was_served.recv_timeout(Duration::from_millis(100));
    assert_eq!(early, Err(RecvTimeoutError::Timeout));
    let [one, other] = stuck;
    release(&runtime, [one]);
    was_served.recv().expect("a worker is back");
    release(&runtime, [other]);
    let metrics = runtime.metrics();
    assert_eq!((metrics.spare_starts, metrics.workers.len()), (0, 2));
}

#[test]
fn the_spare_worker_retires_and_its_tasks_go_on() {
    let _watchdog = watch();
    // Once with nothing else to do, and once with a task that keeps the others awake.
    for (name, is_busy) in [("wc", false), ("wd", true)] {
        let runtime = start(two_workers(name));
        let workers = format!("{name}-worker-");
        if is_busy {
            runtime.spawn(async {
                loop {
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        for round in 1..=2 {
            let stuck = stick_both(&runtime);
            let (send, receive) = async_channel::bounded(1);
            let (begun, has_begun) = mpsc::channel();
            let task = runtime.spawn(async move {
                begun.send(thread_name()).expect("the test waits");
                (receive.recv().await, thread_name())
            });
            let begun_on = has_begun.recv().expect("a spare worker runs it");
            assert!(stuck.iter().all(|task| task.thread() != begun_on));
            assert_eq!(threads_named(&workers), 3);
            release(&runtime, stuck);
            while threads_named(&workers) > 2 {
                thread::yield_now();
            }
            assert!(!task.is_finished());
            send.try_send(round).expect("the task lives");
            let (received, ended_on) = runtime.block_on(task).expect("no panic");
            assert_eq!(received, Ok(round));
            assert_ne!(ended_on, begun_on, "that thread has left");
            assert_eq!(runtime.metrics().spare_starts, round);
        }
    }
}

#[test]
fn local_tasks_of_a_spare_worker_are_not_lost() {
    let _watchdog = watch();
    let runtime = start(two_workers("we"));
    let stuck = stick_both(&runtime);
    let (send, receive) = async_channel::bounded::<u32>(1);
    let (told, is_told) = mpsc::channel();
    let spawner = runtime.spawn(async move {
        let spawned_on = thread_name();
        runtime::spawn_local(async move {
            let received = receive.recv().await;
            sleep(Duration::from_millis(1)).await;
            told.send((received, thread_name())).expect("the test listens");
        });
        spawned_on
    });
    let spare = runtime.block_on(spawner).expect("no panic");
    assert!(stuck.iter().all(|task| task.thread() != spare));
    release(&runtime, stuck);
    // Longer than it takes the monitor to send a spare worker home: the worker must stay.
    let home = Duration::from_millis(1500);
    let early = is_told.recv_timeout(home);
    assert_eq!(early, Err(RecvTimeoutError::Timeout), "the local task was dropped");
    assert_eq!(threads_named("we-worker-"), 3);
    send.try_send(7).expect("the task lives");
    assert_eq!(is_told.recv().expect("it was not dropped"), (Ok(7), spare));
    while threads_named("we-worker-") > 2 {
        thread::yield_now();
    }
}

#[test]
fn what_a_stuck_worker_was_to_run_next_runs_elsewhere() {
    let _watchdog = watch();
    let runtime = start(two_workers("wf"));
    // One task lands in the `next` slot, which wakes nobody; of several, the rest in the queue.
    for count in [1, 10] {
        let (release, gate) = mpsc::channel::<()>();
        let (ran, has_run) = mpsc::channel();
        let stuck = runtime.spawn(async move {
            for _ in 0..count {
                let ran = ran.clone();
                runtime::spawn(async move { ran.send(thread_name()) });
            }
            wait_at(&gate);
            thread_name()
        });
        let ran_on: HashSet<String> =
            (0..count).map(|_| has_run.recv().expect("each runs")).collect();
        drop(release);
        let stuck_on = runtime.block_on(stuck).expect("no panic");
        assert!(!ran_on.contains(&stuck_on), "{ran_on:?}");
    }
}

/// Tells when it is woken.
struct Tell(Sender<(Instant, String)>);

impl Wake for Tell {
    fn wake(self: Arc<Tell>) {
        let _ = self.0.send((Instant::now(), thread_name()));
    }
}

#[test]
fn the_timers_of_a_stuck_worker_fire() {
    let _watchdog = watch();
    let runtime = start(two_workers("wg"));
    for ms in [1, 5, 30, 100] {
        let time = Duration::from_millis(ms);
        let (release, gate) = mpsc::channel::<()>();
        let (fired, has_fired) = mpsc::channel();
        let stuck = runtime.spawn(async move {
            // Armed in the wheel of this worker; the waker is not a task's, and says who woke it.
            let waker = Waker::from(Arc::new(Tell(fired)));
            let deadline = Instant::now() + time;
            let mut sleep = pin!(sleep(Duration::from_secs(3600)));
            assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            // It stays armed, also where this thread has lost its core until then.
            sleep.as_mut().reset(deadline.into());
            wait_at(&gate);
            (deadline, thread_name())
        });
        let (at, on) = has_fired.recv().expect("it fires while the worker is stuck");
        drop(release);
        let (deadline, stuck_on) = runtime.block_on(stuck).expect("no panic");
        assert!((deadline..deadline + SOON).contains(&at), "{:?} late", at - deadline);
        assert_ne!(on, stuck_on);
    }
}

#[test]
fn sockets_are_answered_while_a_handler_blocks() {
    let _watchdog = watch();
    let runtime = start(two_workers("wh"));
    let (addr, open) = echo_server(&runtime);
    let mut others: Vec<_> =
        (0..4).map(|_| TcpStream::connect(addr).expect("it listens")).collect();
    let mut offender = TcpStream::connect(addr).expect("it listens");
    let mut times = Vec::new();
    for _ in 0..20 {
        // The worker that waited for I/O runs the handler, and leaves the driver alone.
        offender.write_all(&[0]).expect("the server reads");
        times.extend(others.iter_mut().map(ask));
        open.send(()).expect("the server waits at the gate");
        offender.read_exact(&mut [0]).expect("the server answers");
    }
    times.sort_unstable();
    // A few of them meet the moment before the rescue; most must not notice anything.
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(median < SOON / 50 && slowest < SOON, "{median:?}, {slowest:?}");
}

/// How many requests are made at once.
const REQUESTS: u32 = 100;

/// How often the worker that has less to do goes to sleep, for each of some requests.
///
/// Of two workers that have nothing else to do, one waits for I/O, handles the request, and waits
/// again; the other one sleeps all the while. But if the handler is marked, the other one is woken
/// to wait for I/O meanwhile, and then they both go to sleep. The next request waits for that: on a
/// busy machine a worker that is woken may have no core for many of them.
fn extra_parks(runtime: &Runtime, stream: &mut TcpStream) -> f64 {
    // Those of a spare one, which may have been needed, are not asked for.
    let parks = || -> Vec<_> {
        runtime.metrics().workers.iter().take(2).map(|worker| worker.parks).collect()
    };
    let before = parks();
    for _ in 0..REQUESTS {
        ask(stream);
        wait_until(runtime.handle(), |metrics| metrics.parked_workers == 2);
    }
    let fewest = parks().iter().zip(&before).map(|(after, before)| after - before).min();
    fewest.expect("there are workers") as f64 / f64::from(REQUESTS)
}

/// Whether no peer is woken for the handler any more; none if the machine does not let that be seen:
/// a poll that loses its core looks slow, and marks its task for the next 128.
fn becomes_trusted(runtime: &Runtime, stream: &mut TcpStream) -> Option<bool> {
    const FAIR: u32 = 50;
    let begun = Instant::now();
    let rescues_before = runtime.metrics().rescues;
    let (mut rescues, mut requests) = (rescues_before, 0);
    let (mut fair, mut since_rescue) = (0, 0);
    while begun.elapsed() < Duration::from_secs(20) {
        let extra = extra_parks(runtime, stream);
        requests += u64::from(REQUESTS);
        if extra < 0.05 {
            return Some(true);
        }
        let before = mem::replace(&mut rescues, runtime.metrics().rescues);
        since_rescue = if before == rescues { since_rescue + 1 } else { 0 };
        // Two times 100 requests without an incident, and these.
        fair += u32::from(since_rescue > 2);
        if fair == FAIR {
            return Some(false);
        }
    }
    let rescues = rescues - rescues_before;
    assert!(rescues < requests / 2, "{rescues} of {requests} ordinary polls look slow");
    None
}

#[test]
fn a_repeat_offender_has_a_peer_woken_before_it_is_polled_and_loses_the_mark() {
    let _watchdog = watch();
    let runtime = start(two_workers("wi"));
    let (addr, open) = echo_server(&runtime);
    let mut stream = TcpStream::connect(addr).expect("it listens");
    match becomes_trusted(&runtime, &mut stream) {
        None => return say("skipped: this machine is too busy to tell who is slow"),
        Some(is_trusted) => assert!(is_trusted, "a peer is woken for everybody"),
    }
    let mut is_marked = false;
    // A peer may be late to wake: hence so many attempts, of which most runs need one or two.
    for _ in 0..50 {
        let before = runtime.metrics().rescues;
        stream.write_all(&[0]).expect("the server reads");
        wait_until(runtime.handle(), |metrics| metrics.rescues > before);
        open.send(()).expect("the server waits at the gate");
        stream.read_exact(&mut [0]).expect("the server answers");
        is_marked = extra_parks(&runtime, &mut stream) > 0.5;
        if is_marked {
            break;
        }
    }
    assert!(is_marked, "no peer is woken for the offender");
    match becomes_trusted(&runtime, &mut stream) {
        None => say("skipped: this machine is too busy to tell who is no longer slow"),
        Some(is_trusted) => assert!(is_trusted, "the mark stays"),
    }
}

#[test]
fn workers_that_get_stuck_again_and_again_lose_nothing() {
    let _watchdog = watch();
    let runtime = start(two_workers("wj"));
    const ROUNDS: u32 = 30;
    let (ran, has_run): (Sender<u32>, Receiver<u32>) = mpsc::channel();
    for round in 0..ROUNDS {
        let stuck = stick_both(&runtime);
        for number in 0..10_u64 {
            let ran = ran.clone();
            runtime.spawn(async move {
                yield_now().await;
                sleep(Duration::from_millis(number % 3)).await;
                ran.send(round).expect("the test listens");
            });
        }
        // Some rounds end while the spare worker is busy with the tasks, some before it has begun.
        for _ in 0..round % 11 {
            has_run.recv().expect("they run");
        }
        release(&runtime, stuck);
        for _ in round % 11..10 {
            has_run.recv().expect("they run");
        }
    }
    wait_until(runtime.handle(), |metrics| metrics.live_tasks == 0);
    assert!(has_run.try_recv().is_err(), "a task ran twice");
}
