//! A runtime's hard life, for as long as one likes: `soak --help`.
//!
//! It plays rounds. In a round up to three runtimes, of either mode, live at the same time on
//! threads of their own, each through a random list of actions: connections, timers, aborts,
//! blocking calls, files, signals, child processes, spawns from foreign threads, tasks that block
//! with and without notice, panics, other runtimes; then it ends in the middle of more. All choices
//! come from one seed, which is printed, and are made before a round begins ([`plan`]). Played
//! again with the same seed, a round does the same things in the same order; which thread does what
//! when is up to the system, so a race may need several repetitions to show again.
//!
//! What must hold: every action ends as it should; at rest nothing is queued, all workers are
//! parked, and the runtime's counters equal those of its tasks ([`life`]); after a round there are
//! as many files and threads as before, and no more memory ([`memory`]). A round may take 60 s.

#![forbid(unsafe_code)]

mod actions;
mod census;
mod life;
mod memory;
mod plan;
mod random;
mod stage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs, panic, process, thread};

use runtime::Scheduler;
use windlass_tests::{raise_file_limit, threads_named, watch_for};

use crate::memory::Memory;
use crate::plan::Round;

/// How long a round may take, which is over in less than a second: less than the test that waits for
/// this program, which then has what was printed.
const ROUND: Duration = Duration::from_secs(60);

/// What the names of all threads of all runtimes here begin with.
const THREADS: &str = "bath";

const HELP: &str = "\
soak: random runtimes doing random things, and checks of what must hold
  --seconds N    begin no round after N seconds (default 30)
  --rounds N     play N rounds at most
  --seed N       where all choices come from (default: the clock)
  --from N       begin with this round, after the first one, which is always played
  --mode M       work-stealing or single-threaded runtimes alone
  --no-memory    do not check memory: under tools that keep what was freed
  --no-pipes     do not count pipes: under tools that start a process of their own some time
  --no-signals   leave out signals: under tools that hold them back while a thread sleeps
  --plan         print what each round is going to do
";

struct Options {
    seconds: u64,
    rounds: u32,
    seed: u64,
    from: u32,
    modes: Vec<Scheduler>,
    checks_memory: bool,
    counts_pipes: bool,
    sends_signals: bool,
    prints_plan: bool,
}

fn options() -> Result<Option<Options>, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options {
        seconds: 30,
        rounds: u32::MAX,
        seed: now.as_nanos() as u64 % 1_000_000_000,
        from: 1,
        modes: vec![Scheduler::SingleThreaded, Scheduler::WorkStealing],
        checks_memory: true,
        counts_pipes: true,
        sends_signals: true,
        prints_plan: false,
    };
    let mut args = env::args().skip(1);
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or(format!("{flag} needs a value"));
        let bad = |error: &dyn std::fmt::Display| format!("{flag}: {error}");
        match flag.as_str() {
            "--help" => return Ok(None),
            "--seconds" => options.seconds = value()?.parse().map_err(|error| bad(&error))?,
            "--rounds" => options.rounds = value()?.parse().map_err(|error| bad(&error))?,
            "--seed" => options.seed = value()?.parse().map_err(|error| bad(&error))?,
            "--from" => options.from = value()?.parse().map_err(|error| bad(&error))?,
            "--mode" => options.modes = vec![value()?.parse().map_err(|error| bad(&error))?],
            "--no-memory" => options.checks_memory = false,
            "--no-pipes" => options.counts_pipes = false,
            "--no-signals" => options.sends_signals = false,
            "--plan" => options.prints_plan = true,
            _ => return Err(format!("{flag} is not a flag; see --help")),
        }
    }
    Ok(Some(options))
}

fn main() -> ExitCode {
    // A task that arms a timer after a shutdown that gave up on it panics. With a backtrace, as the
    // environment may ask for, the names of all functions would be loaded, and count as memory.
    panic::set_hook(Box::new(|panic| eprintln!("\n{panic}")));
    match options() {
        Ok(Some(options)) => {
            soak(&options);
            ExitCode::SUCCESS
        }
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn soak(options: &Options) {
    let begun = Instant::now();
    println!("soak: seed {}", options.seed);
    let _ = raise_file_limit();
    let folder = env::temp_dir().join(format!("windlass-soak-{}", process::id()));
    fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
    play(options, 0, &Round::first(options.seed, &options.modes), &folder);
    let mut files = open_files(options).len();
    let mut memory = Memory::default();
    let mut actions = 0;
    let numbers = (options.from..).take(options.rounds as usize);
    let mut rounds = 0;
    for number in numbers {
        if begun.elapsed() >= Duration::from_secs(options.seconds) {
            break;
        }
        let round = Round::random(options.seed, number, &options.modes);
        play(options, number, &round, &folder);
        files = wait_for_files(files, number, options);
        if options.checks_memory {
            memory.check(number);
        }
        actions += round.actions();
        rounds += 1;
    }
    fs::remove_dir_all(&folder).expect("it is ours");
    println!(
        "soak: {rounds} rounds and {actions} actions in {:.1} s, all as it should be; {memory}",
        begun.elapsed().as_secs_f64()
    );
}

/// Plays one round, and waits until all of its threads have ended.
fn play(options: &Options, number: u32, round: &Round, folder: &Path) {
    let _watchdog = watch_for(ROUND);
    let (lives, actions) = (round.lives.len(), round.actions());
    let fingerprint = round.fingerprint();
    println!("round {number}: {lives} runtimes, {actions} actions, plan {fingerprint:016x}");
    if options.prints_plan {
        println!("{round:#?}");
    }
    thread::scope(|scope| {
        for (index, life) in round.lives.iter().enumerate() {
            let folder = folder.join(format!("{number}-{index}"));
            fs::create_dir(&folder).expect("the name is new");
            scope.spawn(move || life::live(life, &folder, options.sends_signals));
        }
    });
    // Those of aborted actions too, which may hold on to the runtime a little longer.
    while threads_named(THREADS) > 0 {
        thread::sleep(Duration::from_micros(200));
    }
    for index in 0..lives {
        // Also what aborted actions have left there.
        fs::remove_dir_all(folder.join(format!("{number}-{index}"))).expect("it is ours");
    }
}

/// Waits until no more files are open than before the round, and returns how many are open: a thread
/// that an aborted action has started may not even have its name yet, in this round or in an
/// earlier one, which then had more.
fn wait_for_files(before: usize, number: u32, options: &Options) -> usize {
    let (begun, limit) = (Instant::now(), Duration::from_secs(20));
    loop {
        let open = open_files(options);
        let count = open.len();
        if count <= before {
            return count;
        }
        assert!(
            begun.elapsed() < limit,
            "{count} files after round {number}, {before} before: {open:?}"
        );
        thread::sleep(Duration::from_micros(200));
    }
}

/// What is open, among it the folder that is read for that.
fn open_files(options: &Options) -> Vec<PathBuf> {
    let entries = fs::read_dir("/proc/self/fd").expect("this is Linux");
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let is_pipe = |link: &PathBuf| link.as_os_str().as_encoded_bytes().starts_with(b"pipe:");
    links.filter(|link| options.counts_pipes || !is_pipe(link)).collect()
}

/// Starts a thread that is waited for at the end of the round.
fn start<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    let thread = thread::Builder::new().name(THREADS.to_owned());
    thread.spawn(f).expect("the system has threads")
}
