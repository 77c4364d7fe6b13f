//! What a runtime is made to do. Each action checks its own outcome, and may be aborted anywhere.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use parking_lot::Mutex;
use runtime::fs;
use runtime::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use runtime::process::Command;
use runtime::signal::{SignalKind, signal};
use runtime::task::{block_in_place, yield_now};
use runtime::time::{interval, sleep, timeout};
use runtime::{Builder, Scheduler, spawn_blocking};
use rustix::process::{Signal, getpid, kill_process};

use crate::census::{Census, Owned};
use crate::plan::Action;
use crate::stage::Stage;

/// Plays one action, in a task. In a box, since an action may contain another.
pub(crate) fn play(action: Action, stage: Arc<Stage>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(play_it(action, stage))
}

async fn play_it(action: Action, stage: Arc<Stage>) {
    match action {
        Action::Echo { is_tcp: true, clients, bytes, piece } => {
            echo_tcp(&stage, clients, bytes as usize, piece as usize).await;
        }
        Action::Echo { is_tcp: false, clients, bytes, piece } => {
            echo_unix(&stage, clients, bytes as usize, piece as usize).await;
        }
        Action::Timers { count, up_to_ms } => timers(&stage, count, up_to_ms).await,
        Action::Ticks { count, period_us } => ticks(count, period_us).await,
        Action::Aborts { count, yields } => aborts(&stage, count, yields).await,
        Action::AbortOf { action, yields } => abort_of(*action, &stage, yields).await,
        Action::Blocking { count, micros } => blocking(count, micros).await,
        Action::File { bytes } => file(&stage.new_path(), bytes as usize).await,
        Action::Signal => send_a_signal(stage.sends_signals).await,
        Action::Child => child().await,
        Action::Foreign { threads, tasks } => foreign(&stage, threads, tasks).await,
        Action::Stuck { micros } => thread::sleep(Duration::from_micros(micros.into())),
        Action::InPlace { micros } => {
            let time = Duration::from_micros(micros.into());
            assert_eq!(block_in_place(|| thread::sleep(time)), ());
        }
        Action::Local { count } => local(&stage, count).await,
        Action::Chain { length, yields } => chain(&stage, length, yields).await,
        Action::Panic => panic_in_a_task(&stage).await,
        Action::Detached { count } => detached(&stage, count),
        Action::Observer { readings } => observe(&stage, readings).await,
        Action::Nested { mode, tasks } => nested(mode, tasks).await,
    }
}

async fn yields(count: u32) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Sends `bytes` in pieces, and wants them back; the other half of it reads meanwhile. An error may
/// come from an action that was aborted; who joins this knows whether it was.
async fn talk(stream: impl AsyncRead + AsyncWrite, bytes: usize, piece: usize) -> io::Result<()> {
    let (mut reading, mut writing) = stream.split();
    let sent: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    let write = async {
        for piece in sent.chunks(piece) {
            writing.write_all(piece).await?;
        }
        writing.close().await
    };
    let mut received = Vec::new();
    let read = reading.read_to_end(&mut received);
    let (written, read) = futures_util::future::join(write, read).await;
    written.and(read)?;
    if sent != received {
        let text = format!("{} bytes were sent, {} came back", sent.len(), received.len());
        return Err(io::Error::other(text));
    }
    Ok(())
}

/// Gives every byte back, until there are no more.
async fn serve(stream: impl AsyncRead + AsyncWrite) -> io::Result<()> {
    let (mut reading, mut writing) = stream.split();
    let mut buf = [0; 4096];
    while let read @ 1.. = reading.read(&mut buf).await? {
        writing.write_all(&buf[..read]).await?;
    }
    writing.close().await
}

async fn join_all(tasks: impl IntoIterator<Item = Owned<io::Result<()>>>) {
    for task in tasks {
        task.join().await.expect("both ends live, and no byte is lost");
    }
}

async fn echo_tcp(stage: &Stage, clients: u32, bytes: usize, piece: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let addr = listener.local_addr().expect("it is bound");
    let spawn_client = |_| {
        let talking = async move { talk(TcpStream::connect(addr).await?, bytes, piece).await };
        stage.census.spawn(talking)
    };
    let mut tasks: Vec<_> = (0..clients).map(spawn_client).collect();
    for _ in 0..clients {
        let (stream, _) = listener.accept().await.expect("there are free files");
        tasks.push(stage.census.spawn(serve(stream)));
    }
    join_all(tasks).await;
}

async fn echo_unix(stage: &Stage, clients: u32, bytes: usize, piece: usize) {
    let path = stage.new_path();
    let listener = UnixListener::bind(&path).expect("the name is new");
    let spawn_client = |_| {
        let path = path.clone();
        let talking = async move { talk(UnixStream::connect(path).await?, bytes, piece).await };
        stage.census.spawn(talking)
    };
    let mut tasks: Vec<_> = (0..clients).map(spawn_client).collect();
    for _ in 0..clients {
        let (stream, _) = listener.accept().await.expect("there are free files");
        tasks.push(stage.census.spawn(serve(stream)));
    }
    join_all(tasks).await;
}

async fn timers(stage: &Stage, count: u32, up_to_ms: u32) {
    let spawn_sleep = |index: u32| {
        let time = Duration::from_micros(u64::from(index * 997 % (up_to_ms * 1000)));
        stage.census.spawn(async move {
            let begun = Instant::now();
            if index % 3 == 2 {
                // Twice as long as it is waited for, so usually cancelled.
                let _ = timeout(time, sleep(2 * time)).await;
            } else {
                sleep(time).await;
            }
            assert!(begun.elapsed() >= time, "a timer of {time:?} fired early");
        })
    };
    let sleeping: Vec<_> = (0..count).map(spawn_sleep).collect();
    for task in sleeping {
        task.join().await;
    }
}

async fn ticks(count: u32, period_us: u32) {
    let period = Duration::from_micros(period_us.into());
    let begun = Instant::now();
    let mut interval = interval(period);
    for _ in 0..=count {
        interval.tick().await;
    }
    assert!(begun.elapsed() >= count * period, "{count} ticks of {period:?} came early");
}

/// Some end by themselves, just when they are aborted.
async fn aborts(stage: &Stage, count: u32, up_to: u32) {
    let spawn = |index| {
        stage.census.spawn(async move {
            yields(index % (up_to + 1)).await;
            if index % 4 > 0 {
                std::future::pending::<()>().await;
            }
        })
    };
    let tasks: Vec<_> = (0..count).map(spawn).collect();
    yields(up_to).await;
    let handles: Vec<_> = tasks.iter().map(|task| task.0.abort_handle()).collect();
    let (here, there) = handles.split_at(handles.len() / 2);
    let there = there.to_vec();
    let thread = crate::start(move || there.iter().for_each(|handle| handle.abort()));
    here.iter().for_each(|handle| handle.abort());
    for (index, mut task) in tasks.into_iter().enumerate() {
        match (&mut task.0).await {
            Ok(()) => assert!(index % 4 == 0, "what waits for ever has ended"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    }
    thread.join().expect("it does not panic");
}

async fn abort_of(action: Action, stage: &Arc<Stage>, up_to: u32) {
    let mut task = stage.census.spawn(play(action, stage.clone()));
    yields(up_to).await;
    task.0.abort();
    if let Err(error) = (&mut task.0).await {
        assert!(error.is_cancelled(), "{error}");
    }
}

async fn blocking(count: u32, micros: u32) {
    let spawn = |index: u32| {
        spawn_blocking(move || {
            thread::sleep(Duration::from_micros(u64::from(micros / (index + 1))));
            index
        })
    };
    let calls: Vec<_> = (0..count).map(spawn).collect();
    for (index, call) in calls.into_iter().enumerate() {
        let result = call.await.expect("it does not panic");
        assert_eq!(result as usize, index, "the result of another call");
    }
}

async fn file(path: &Path, bytes: usize) {
    let text: Vec<u8> = (0..bytes).map(|at| (at % 253) as u8).collect();
    let mut file = fs::File::create_new(path).await.expect("the name is new");
    for piece in text.chunks(7000) {
        file.write_all(piece).await.expect("there is space");
    }
    file.flush().await.expect("there is space");
    drop(file);
    let read = fs::read(path).await.expect("it was written");
    assert!(read == text, "{} bytes were written, {} were read", text.len(), read.len());
    fs::remove_file(path).await.expect("it is there");
}

async fn send_a_signal(sends: bool) {
    // Nobody but the runtimes of this process asks for this one.
    let mut signals = signal(SignalKind::user_defined1()).expect("it can be listened for");
    // To listen opens files once, which the first round is for.
    if sends {
        kill_process(getpid(), Signal::USR1).expect("this process runs");
        signals.recv().await.expect("the runtime runs");
    }
}

async fn child() {
    let mut command = Command::new("sh");
    command.args(["-c", "exit 7"]).stdin(Stdio::null());
    let status = command.status().await.expect("every Unix has a shell");
    assert_eq!(status.code(), Some(7));
}

/// A flag that one thread sets and one task waits for. With a lock that ThreadSanitizer understands.
#[derive(Debug, Default)]
struct Gate(Mutex<(bool, Option<Waker>)>);

impl Gate {
    fn open(&self) {
        let waker = {
            let mut gate = self.0.lock();
            gate.0 = true;
            gate.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        std::future::poll_fn(|cx| {
            let mut gate = self.0.lock();
            if gate.0 {
                return Poll::Ready(());
            }
            gate.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

async fn foreign(stage: &Stage, threads: u32, tasks: u32) {
    let (sender, receiver) = mpsc::channel();
    let gates: Vec<_> = (0..threads).map(|_| Arc::new(Gate::default())).collect();
    for gate in &gates {
        let (handle, census) = (stage.handle.clone(), stage.census.clone());
        let (gate, sender) = (gate.clone(), sender.clone());
        let is_spawning = stage.spawns_from_outside();
        crate::start(move || {
            let _is_spawning = is_spawning;
            for task in 0..tasks {
                let spawned = census.spawn_on(&handle, async move {
                    yield_now().await;
                    task
                });
                // Nobody receives if the action was aborted.
                let _ = sender.send(Owned(spawned));
            }
            drop(sender);
            gate.open();
        });
    }
    drop(sender);
    for gate in &gates {
        gate.wait().await;
    }
    // The last thread has opened its gate after its last task.
    let spawned: Vec<_> = receiver.try_iter().collect();
    assert_eq!(spawned.len() as u32, threads * tasks);
    let mut sum = 0;
    for task in spawned {
        sum += task.join().await;
    }
    assert_eq!(sum, threads * (0..tasks).sum::<u32>());
}

async fn local(stage: &Stage, count: u32) {
    let (done, census) = (Arc::new(AtomicU64::new(0)), stage.census.clone());
    // The handle of a local task must not move to another thread, so another task counts them.
    let all = Arc::new(Gate::default());
    for _ in 0..count {
        let (done, all) = (done.clone(), all.clone());
        let not_send = std::rc::Rc::new(count);
        drop(runtime::spawn_local(census.count(async move {
            yields(*not_send % 3).await;
            if done.fetch_add(1, Ordering::SeqCst) + 1 == u64::from(*not_send) {
                all.open();
            }
        })));
    }
    all.wait().await;
}

async fn chain(stage: &Stage, length: u32, up_to: u32) {
    let mut last = stage.census.spawn(async { 0 });
    for index in 1..length {
        let before = last;
        last = stage.census.spawn(async move {
            yields(index % (up_to + 1)).await;
            before.join().await + 1
        });
    }
    assert_eq!(last.join().await + 1, length);
}

/// Without a message: the hook is not called.
async fn panic_in_a_task(stage: &Stage) {
    let mut task = stage.census.spawn(async { std::panic::resume_unwind(Box::new(7)) });
    let error = (&mut task.0).await.expect_err("it panics");
    let payload = error.try_into_panic().expect("it is not aborted");
    assert_eq!(payload.downcast_ref(), Some(&7));
}

fn detached(stage: &Stage, count: u32) {
    for index in 0..count {
        let future = stage.census.count(yields(index % 5));
        drop(runtime::spawn(future));
    }
}

/// The counters never go back, and say nothing that cannot be.
async fn observe(stage: &Stage, readings: u32) {
    let (handle, most_workers) = (stage.handle.clone(), stage.most_workers);
    let look = move || {
        let mut before = handle.metrics();
        for _ in 0..readings {
            let now = handle.metrics();
            assert!(now.polls() >= before.polls() && now.parks() >= before.parks());
            assert!(now.steals() >= before.steals() && now.rescues >= before.rescues);
            assert!(now.parked_workers <= most_workers, "{now:?}");
            before = now;
            thread::yield_now();
        }
    };
    spawn_blocking(look).await.expect("the counters are as they should be");
}

async fn nested(mode: Scheduler, tasks: u32) {
    let live = move || {
        let builder = Builder::new().scheduler(mode).thread_name(crate::THREADS);
        let builder = if mode == Scheduler::WorkStealing { builder.workers(2) } else { builder };
        let runtime = builder.build().expect("the system has files for a runtime");
        let census = Arc::new(Census::default());
        runtime.block_on(async {
            let spawn = |index| census.spawn(async move { yields(index % 4).await });
            let all: Vec<_> = (0..tasks).map(spawn).collect();
            for task in all {
                task.join().await;
            }
        });
        for _ in 0..3 {
            drop(census.spawn_on(runtime.handle(), sleep(Duration::from_secs(3600))));
        }
        drop(runtime);
        assert_eq!((census.made(), census.dropped()), (u64::from(tasks) + 3, census.made()));
    };
    spawn_blocking(live).await.expect("it ends as it should");
}
