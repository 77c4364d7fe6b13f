//! What a round does, as data: all choices are made here, before anything runs.

use runtime::Scheduler;

use crate::random::Random;

/// One thing that a runtime is made to do. Times are in units that the name says.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// Connections to one listener; each client sends bytes in pieces and wants the same back.
    Echo { is_tcp: bool, clients: u32, bytes: u32, piece: u32 },
    /// Sleeps at once, of which every third is dropped by a timeout before its time.
    Timers { count: u32, up_to_ms: u32 },
    /// Ticks of an interval.
    Ticks { count: u32, period_us: u32 },
    /// Tasks that wait for ever and are aborted after as many yields, half of them from a thread.
    Aborts { count: u32, yields: u32 },
    /// Another action, aborted after as many yields, wherever it is then.
    AbortOf { action: Box<Action>, yields: u32 },
    /// Blocking calls at once.
    Blocking { count: u32, micros: u32 },
    /// A file that is written, read back, and removed.
    File { bytes: u32 },
    /// A signal that this process sends to itself.
    Signal,
    /// A child process.
    Child,
    /// Threads that are not the runtime's spawn tasks, and wake one by hand.
    Foreign { threads: u32, tasks: u32 },
    /// A task that blocks its worker.
    Stuck { micros: u32 },
    /// The same with notice. Work-stealing only.
    InPlace { micros: u32 },
    /// Tasks that are not `Send`.
    Local { count: u32 },
    /// Tasks that yield, and join the one spawned before them.
    Chain { length: u32, yields: u32 },
    /// A task whose poll panics.
    Panic,
    /// Tasks whose handles are dropped at once.
    Detached { count: u32 },
    /// A thread that reads the counters meanwhile.
    Observer { readings: u32 },
    /// Another runtime, started on a thread of the blocking pool, and dropped with a task in it.
    Nested { mode: Scheduler, tasks: u32 },
}

impl Action {
    /// One of each, for the first round.
    fn all(mode: Scheduler) -> Vec<Action> {
        let mut all = vec![
            Action::Echo { is_tcp: true, clients: 2, bytes: 10_000, piece: 1000 },
            Action::Echo { is_tcp: false, clients: 2, bytes: 10_000, piece: 1000 },
            Action::Timers { count: 9, up_to_ms: 5 },
            Action::Ticks { count: 3, period_us: 500 },
            Action::Aborts { count: 9, yields: 1 },
            Action::AbortOf { action: Box::new(Action::File { bytes: 100 }), yields: 1 },
            Action::Blocking { count: 9, micros: 100 },
            Action::File { bytes: 10_000 },
            Action::Signal,
            Action::Child,
            Action::Foreign { threads: 2, tasks: 3 },
            Action::Stuck { micros: 3000 },
            Action::Local { count: 5 },
            Action::Chain { length: 9, yields: 2 },
            Action::Panic,
            Action::Detached { count: 9 },
            Action::Observer { readings: 9 },
            Action::Nested { mode: Scheduler::SingleThreaded, tasks: 3 },
            Action::Nested { mode: Scheduler::WorkStealing, tasks: 3 },
        ];
        if mode == Scheduler::WorkStealing {
            all.push(Action::InPlace { micros: 3000 });
        }
        all
    }

    fn random(random: &mut Random, mode: Scheduler, is_inner: bool) -> Action {
        match random.within(0, if is_inner { 16 } else { 19 }) {
            0..=2 => Action::Echo {
                is_tcp: random.once_in(2),
                clients: random.within(1, 6),
                bytes: random.within(1, 60_000),
                piece: random.within(100, 20_000),
            },
            3 => Action::Timers { count: random.within(1, 300), up_to_ms: random.within(1, 30) },
            4 => Action::Ticks { count: random.within(1, 8), period_us: random.within(50, 3000) },
            5 => Action::Aborts { count: random.within(1, 50), yields: random.within(0, 5) },
            6 => Action::Blocking { count: random.within(1, 30), micros: random.within(0, 2000) },
            7 => Action::File { bytes: random.within(0, 100_000) },
            8 => Action::Signal,
            9 => Action::Foreign { threads: random.within(1, 3), tasks: random.within(1, 30) },
            // From far under what the monitor minds to what starts a spare worker.
            10 => Action::Stuck { micros: random.within(100, 15_000) },
            11 if mode == Scheduler::WorkStealing => {
                Action::InPlace { micros: random.within(0, 8000) }
            }
            11 | 12 => Action::Local { count: random.within(1, 30) },
            13 => Action::Chain { length: random.within(1, 200), yields: random.within(0, 10) },
            14 => Action::Panic,
            15 => Action::Detached { count: random.within(1, 300) },
            16 if random.once_in(4) => Action::Child,
            16 => Action::Observer { readings: random.within(1, 50) },
            17 => Action::Nested { mode: any_mode(random), tasks: random.within(0, 20) },
            _ => Action::AbortOf {
                action: Box::new(Action::random(random, mode, true)),
                yields: random.within(0, 40),
            },
        }
    }
}

/// What is under way when a runtime ends.
#[derive(Clone, Debug)]
pub(crate) struct Leftovers {
    pub(crate) sleeping: u32,
    pub(crate) accepting: u32,
    pub(crate) blocking_micros: Vec<u32>,
    pub(crate) stuck_micros: Option<u32>,
    /// None: the runtime is dropped.
    pub(crate) deadline_micros: Option<u32>,
}

/// The life of one runtime.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) mode: Scheduler,
    pub(crate) workers: u32,
    pub(crate) blocking_threads: u32,
    pub(crate) keep_alive_ms: u32,
    pub(crate) spare_workers: u32,
    pub(crate) seed: u64,
    /// Whether a rest lasts until the spare workers are gone, a second or more.
    pub(crate) waits_for_spares: bool,
    /// Each batch runs at once, and to its end. True: spawned by a thread that is not the runtime's.
    pub(crate) batches: Vec<Vec<(Action, bool)>>,
    pub(crate) leftovers: Leftovers,
}

impl Life {
    fn random(random: &mut Random, mode: Scheduler) -> Life {
        let blocking_micros = (0..random.within(0, 3)).map(|_| random.within(0, 3000)).collect();
        let leftovers = Leftovers {
            sleeping: random.within(0, 100),
            accepting: random.within(0, 3),
            blocking_micros,
            stuck_micros: random.once_in(3).then(|| random.within(100, 6000)),
            deadline_micros: random.once_in(2).then(|| random.within(0, 20_000)),
        };
        let batch = |random: &mut Random| {
            let action =
                |random: &mut Random| (Action::random(random, mode, false), random.once_in(4));
            (0..random.within(1, 8)).map(|_| action(random)).collect()
        };
        Life {
            mode,
            workers: if mode == Scheduler::WorkStealing { random.within(1, 4) } else { 1 },
            blocking_threads: random.within(2, 12),
            keep_alive_ms: random.within(0, 30),
            spare_workers: random.within(0, 2),
            seed: random.next(),
            waits_for_spares: random.once_in(16),
            batches: (0..random.within(1, 6)).map(|_| batch(random)).collect(),
            leftovers,
        }
    }
}

fn any_mode(random: &mut Random) -> Scheduler {
    if random.once_in(2) { Scheduler::SingleThreaded } else { Scheduler::WorkStealing }
}

/// One round: runtimes that live at the same time, each on a thread of its own.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) lives: Vec<Life>,
}

impl Round {
    /// The first round: each action once in each of the modes asked for, so that what a process
    /// makes once is there.
    pub(crate) fn first(seed: u64, modes: &[Scheduler]) -> Round {
        let life = |&mode: &Scheduler| {
            let mut life = Life::random(&mut Random::new(seed), mode);
            // Enough threads for the blocking calls that start runtimes, all at once.
            (life.workers, life.blocking_threads) = (if life.workers > 1 { 2 } else { 1 }, 12);
            life.batches =
                vec![Action::all(mode).into_iter().map(|action| (action, false)).collect()];
            life
        };
        Round { lives: modes.iter().map(life).collect() }
    }

    /// The round with this number. It depends on the seed and the number alone, so that one round
    /// can be played again without those before it.
    pub(crate) fn random(seed: u64, number: u32, modes: &[Scheduler]) -> Round {
        let mut random = Random::new(seed ^ (u64::from(number) << 32));
        random.next();
        let life = |random: &mut Random| {
            let mode = modes[random.within(0, modes.len() as u32 - 1) as usize];
            Life::random(random, mode)
        };
        Round { lives: (0..random.within(1, 3)).map(|_| life(&mut random)).collect() }
    }

    pub(crate) fn actions(&self) -> usize {
        self.lives.iter().flat_map(|life| &life.batches).map(Vec::len).sum()
    }

    /// A number that differs if anything in the plan does: FNV-1a of its text.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mix = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        format!("{self:?}").bytes().fold(0xcbf2_9ce4_8422_2325, mix)
    }
}
