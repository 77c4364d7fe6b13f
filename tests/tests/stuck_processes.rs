//! What only a whole process shows of stuck tasks: the text on stderr, the switch in the
//! environment, a process that is stopped, the program's own signal handlers.

use std::hint::black_box;
use std::io::{BufRead, stdin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::{FutureExt, poll};
use runtime::signal::{SignalKind, signal};
use runtime::task::{self, yield_now};
use runtime::time::{interval, sleep};
use runtime::{Builder, Runtime, Scheduler};
use rustix::process::{Signal, getpid, kill_process};
use windlass_tests::{
    Scene, current_scene, memory_kib, named, scene, scene_under, strace, wait_at, wait_until, watch,
};

/// How often the scene of that name enters its runtime.
const BLOCK_ONS: usize = 400;

const MODES: [Scheduler; 2] = [Scheduler::SingleThreaded, Scheduler::WorkStealing];

/// Not a test by itself: what the other tests start.
#[test]
fn scenes() {
    let Some((name, mode)) = current_scene() else { return };
    let _watchdog = watch();
    let builder = named("scene", mode);
    match name.as_str() {
        "default report" => {
            default_report(&start(builder.blocked_after(Duration::from_millis(30))))
        }
        "never" => switched(&start(builder.blocked_after(Duration::ZERO)), false),
        "after 50 ms" => switched(&start(builder.blocked_after(Duration::MAX)), true),
        "busy" => stopped(builder, true),
        "idle" => stopped(builder, false),
        "one signal is the program's" => own_handlers(builder, &[Signal::URG]),
        "both signals are the program's" => own_handlers(builder, &[Signal::URG, Signal::WINCH]),
        "stuck for a while" => stuck_for_a_while(builder),
        "many times in block_on" => block_on_often(&start(builder)),
        scene => panic!("there is no scene {scene:?}"),
    }
    // Past the harness, which prints too.
    std::process::exit(0);
}

fn start(builder: Builder) -> Runtime {
    builder.build().expect("the system has threads")
}

/// Waits for a line from the test.
#[inline(never)]
fn read_a_line() {
    let mut line = String::new();
    stdin().lock().read_line(&mut line).expect("the input is a pipe");
    black_box(line);
}

/// Two spawn sites, one of which is stuck twice.
fn default_report(runtime: &Runtime) {
    #[cfg(target_os = "linux")]
    println!("-memory {}", memory_kib(std::process::id(), "VmRSS"));
    for round in 1..=2 {
        let line = line!() + 1;
        let first = task::Builder::new().name("import").spawn_on(
            async move {
                match round {
                    1 => read_a_line(),
                    _ => wait_until(&runtime::Handle::current(), |metrics| metrics.blocked == 2),
                }
            },
            runtime.handle(),
        );
        println!("-line {line}, task {}", first.id());
        runtime.block_on(first).expect("no panic");
    }
    let second = runtime.spawn(async { read_a_line() });
    println!("-task {}", second.id());
    runtime.block_on(second).expect("no panic");
    println!("-blocked {}", runtime.metrics().blocked);
}

#[test]
fn the_default_prints_each_spawn_site_once() {
    let _watchdog = watch();
    for mode in MODES {
        let mut scene = Scene::start(scene("default report", mode));
        let place = scene.wait_for("-line ");
        let (line, task) = place.split_once(", task ").expect("that is how it prints it");
        let report = scene.wait_for_error("has been stuck for ");
        let place = format!("in task {task} (\"import\"), spawned at {}:{line}:", file!());
        assert!(report.contains(&place), "{place} is not in {report}");
        let (ms, _) = report.split_once(" ms ").expect("it says how long");
        assert!(ms.parse::<u32>().is_ok_and(|ms| ms >= 30), "{report}");
        scene.wait_for_error("  help: move the blocking call to `runtime::spawn_blocking`");
        if cfg!(target_os = "linux") {
            scene.wait_for_error("  it is here:");
            scene.wait_for_error("stuck_processes::read_a_line");
        }
        scene.say("go on");
        scene.wait_for("-line ");
        let task = scene.wait_for("-task ");
        let report = scene.wait_for_error("has been stuck for ");
        assert!(report.contains(&format!("in task {task}, spawned at {}:", file!())), "{report}");
        scene.say("go on");
        assert_eq!(scene.wait_for("-blocked "), "3");
        let (_, errors) = scene.end();
        assert!(!errors.contains("has been stuck"), "a site was printed twice: {errors}");
    }
}

/// What the names of functions are found with is as large as the debug information.
#[test]
#[cfg(target_os = "linux")]
fn what_a_report_was_made_with_does_not_stay_in_memory() {
    let _watchdog = watch();
    for mode in MODES {
        let mut scene = Scene::start(scene("default report", mode));
        let before: usize = scene.wait_for("-memory ").parse().expect("a number of KiB");
        scene.wait_for_error("stuck_processes::read_a_line");
        let most = memory_kib(scene.id(), "VmHWM");
        let mut now = most;
        // It goes when the report has been printed; if it does not, the watchdog says so.
        while now > before + (most - before) / 2 {
            thread::yield_now();
            now = memory_kib(scene.id(), "VmRSS");
        }
        eprintln!("{mode}: {before} KiB before a report, {most} at most, {now} after it");
        scene.say("go on");
        scene.say("go on");
        scene.end();
    }
}

/// Is stuck until that was reported, or, where it must not be, for some time after it was seen.
fn switched(runtime: &Runtime, is_reported: bool) {
    let handle = runtime.handle().clone();
    let stuck = runtime.spawn(async move {
        wait_until(&handle, |metrics| metrics.rescues > 0);
        let seen = Instant::now();
        wait_until(&handle, |metrics| match is_reported {
            true => metrics.blocked > 0,
            false => seen.elapsed() > Duration::from_millis(200),
        });
    });
    runtime.block_on(stuck).expect("no panic");
    println!("-blocked {}", runtime.metrics().blocked);
}

#[test]
fn the_environment_overrides_the_threshold() {
    let _watchdog = watch();
    for mode in MODES {
        let mut never = scene("never", mode);
        never.env("WINDLASS_BLOCKED", "0");
        let mut never = Scene::start(never);
        assert_eq!(never.wait_for("-blocked "), "0");
        let (_, errors) = never.end();
        assert!(!errors.contains("stuck"), "{errors}");
        let mut after = scene("after 50 ms", mode);
        after.env("WINDLASS_BLOCKED", "50");
        let mut after = Scene::start(after);
        let report = after.wait_for_error("has been stuck for ");
        let (ms, _) = report.split_once(" ms ").expect("it says how long");
        assert!(ms.parse::<u32>().is_ok_and(|ms| ms >= 50), "{report}");
        assert_eq!(after.wait_for("-blocked "), "1");
        after.end();
    }
}

/// Runs on until the test says otherwise, busy or not, and prints what was reported meanwhile.
fn stopped(builder: Builder, is_busy: bool) {
    let runtime = start(builder.blocked_after(STOPPED / 2).on_blocked(|task| println!("-{task}")));
    let (stop, is_stopped) = async_channel::bounded::<()>(1);
    for _ in 0..2 {
        let is_stopped = is_stopped.clone();
        runtime.spawn(async move {
            let mut ticks = interval(Duration::from_millis(10));
            while is_stopped.try_recv() != Err(async_channel::TryRecvError::Closed) {
                if is_busy {
                    // To block is the subject, and a little of both shows that neither counts.
                    thread::sleep(Duration::from_millis(10));
                    let slice = Instant::now();
                    while slice.elapsed() < Duration::from_millis(5) {
                        black_box(slice);
                    }
                    yield_now().await;
                } else {
                    ticks.tick().await;
                }
            }
        });
    }
    let handle = runtime.handle().clone();
    let input = thread::spawn(move || {
        wait_until(&handle, |metrics| metrics.polls() > 20);
        println!("-runs");
        read_a_line();
        // The monitor has looked often enough once that many more polls are over.
        let before = handle.metrics().polls();
        wait_until(&handle, |metrics| metrics.polls() > before + 20);
        let metrics = handle.metrics();
        println!("-blocked {}, longest {}", metrics.blocked, metrics.longest_poll.as_millis());
        drop(stop);
    });
    let _ = runtime.block_on(is_stopped.recv());
    input.join().expect("no panic");
}

/// How long the process is stopped.
const STOPPED: Duration = Duration::from_secs(1);

#[test]
fn a_process_that_was_stopped_reports_nothing() {
    let _watchdog = watch();
    for (mode, name) in MODES.into_iter().flat_map(|mode| [(mode, "busy"), (mode, "idle")]) {
        let mut scene = Scene::start(scene(name, mode));
        scene.wait_for("-runs");
        scene.signal(Signal::STOP);
        // To be stopped for a while is the subject.
        thread::sleep(STOPPED);
        scene.signal(Signal::CONT);
        scene.say("go on");
        let said = scene.wait_for("-blocked ");
        let (blocked, longest) = said.split_once(", longest ").expect("that is how it prints it");
        assert_eq!(blocked, "0", "{name}, {mode}");
        let longest: u64 = longest.parse().expect("milliseconds");
        assert!(u128::from(longest) < STOPPED.as_millis() / 2, "{name}, {mode}: {longest} ms");
        scene.end();
    }
}

/// A task computes until it was reported, in a program that listens for `own` signals itself.
fn own_handlers(builder: Builder, own: &[Signal]) {
    static REPORTED: AtomicBool = AtomicBool::new(false);
    static HAS_STACK: AtomicBool = AtomicBool::new(false);
    let builder = builder.blocked_after(Duration::from_millis(30)).on_blocked(|task| {
        HAS_STACK.store(task.stack.is_some(), Ordering::Relaxed);
        REPORTED.store(true, Ordering::Release);
    });
    let runtime = start(builder);
    let own: Vec<i32> = own.iter().map(|signal| signal.as_raw()).collect();
    let listen = |&number: &i32| signal(SignalKind::from_raw(number)).expect("it exists");
    let mut signals: Vec<_> = {
        let _entered = runtime.enter();
        own.iter().map(listen).collect()
    };
    // On a loaded machine a running thread may answer too late; then once more.
    for _ in 0..20 {
        REPORTED.store(false, Ordering::Relaxed);
        let stuck = runtime.spawn(async {
            while !REPORTED.load(Ordering::Acquire) {
                black_box(0);
            }
        });
        runtime.block_on(stuck).expect("no panic");
        if HAS_STACK.load(Ordering::Relaxed) {
            break;
        }
    }
    runtime.block_on(async {
        for (number, signals) in own.iter().zip(&mut signals) {
            assert!(poll!(signals.recv().boxed()).is_pending(), "signal {number} came by itself");
            let number = Signal::from_named_raw(*number).expect("it has a name");
            kill_process(getpid(), number).expect("it is this one");
            signals.recv().await.expect("the program's own signal arrives");
            sleep(Duration::ZERO).await;
            assert!(poll!(signals.recv().boxed()).is_pending(), "{number:?} came twice");
        }
    });
    println!("-stack {}", HAS_STACK.load(Ordering::Relaxed));
}

#[test]
fn the_programs_own_signal_handlers_live_on() {
    let _watchdog = watch();
    for mode in MODES {
        let mut one = Scene::start(scene("one signal is the program's", mode));
        let has_stack = one.wait_for("-stack ");
        assert!(has_stack == "true" || cfg!(not(target_os = "linux")), "{mode}");
        one.end();
        // Then none is left for a running thread; the report comes without its stack.
        let mut both = Scene::start(scene("both signals are the program's", mode));
        assert_eq!(both.wait_for("-stack "), "false", "{mode}");
        both.end();
    }
}

/// For half a second, as the monitor counts, which may itself be kept waiting.
fn stuck_for_a_while(builder: Builder) {
    let (release, gate) = mpsc::channel::<()>();
    let builder = builder.blocked_after(Duration::from_millis(500));
    let runtime = start(builder.on_blocked(move |_| release.send(()).unwrap_or_default()));
    let stuck = runtime.spawn(async move {
        let began = Instant::now();
        wait_at(&gate);
        began.elapsed()
    });
    let time = runtime.block_on(stuck).expect("no panic");
    println!("-time {}", time.as_millis());
    println!("-longest {}", runtime.metrics().longest_poll.as_millis());
}

/// A runtime is entered again and again, for no time.
fn block_on_often(runtime: &Runtime) {
    (0..BLOCK_ONS).for_each(|_| runtime.block_on(async {}));
    println!("-end");
}

#[test]
fn the_times_of_a_stuck_thread_are_read_now_and_then_and_not_at_each_look() {
    let _watchdog = watch();
    for mode in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let log = std::env::temp_dir().join(format!("windlass-{}-{mode}", std::process::id()));
        let Some(mut command) = strace(&log) else { return };
        command.args(["-e", "trace=openat"]);
        let mut scene = Scene::start(scene_under(command, "stuck for a while", mode));
        let mut number = |name| scene.wait_for(name).parse::<usize>().expect("milliseconds");
        let (time, longest) = (number("-time "), number("-longest "));
        scene.end();
        let text = std::fs::read_to_string(&log).expect("strace has written it");
        std::fs::remove_file(&log).expect("it is ours");
        let readings = text.lines().filter(|line| line.contains("/schedstat")).count();
        // Every 10 ms, from 5 ms on; a monitor that is kept waiting counts less time, and reads them
        // less often. There are looks every millisecond meanwhile, where there are others to care for.
        let range = longest / 20..=time / 10 + time / 50 + 3;
        assert!(range.contains(&readings), "{mode}: {readings} readings in {longest} of {time} ms");
    }
}

/// What the kernel knows of a thread is read when a poll is slow, and not whenever a thread becomes a
/// worker.
#[test]
fn a_thread_in_block_on_reads_nothing_about_itself() {
    let _watchdog = watch();
    for mode in MODES {
        let log =
            std::env::temp_dir().join(format!("windlass-{}-often-{mode}", std::process::id()));
        let Some(mut command) = strace(&log) else { return };
        command.args(["-e", "trace=openat"]);
        let mut scene = Scene::start(scene_under(command, "many times in block_on", mode));
        scene.wait_for("-end");
        scene.end();
        let text = std::fs::read_to_string(&log).expect("strace has written it");
        std::fs::remove_file(&log).expect("it is ours");
        let readings = text.lines().filter(|line| line.contains("/proc/self/task")).count();
        // The monitor may find a poll slow now and then, and reads two files.
        assert!(readings < BLOCK_ONS / 4, "{mode}: {readings} readings in {BLOCK_ONS} calls");
    }
}
