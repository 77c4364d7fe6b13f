//! A thread that may be captured, and what the kernel says about it.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;

/// How much of the stack above [`Thread::current`]'s caller is copied as well: the frames around it.
const ABOVE_ANCHOR: u64 = 16 * 1024;

/// What identifies a thread that may be captured later, made *on* that thread.
#[derive(Debug)]
pub(crate) struct Thread {
    /// As the kernel numbers threads.
    tid: i32,
    /// When it started, in ticks since boot: tells it from a later thread with the same `tid`.
    started: Option<u64>,
    /// An address near the outer end of its stack.
    anchor: u64,
    /// Its folder in `/proc`.
    folder: PathBuf,
}

/// What a thread does, as far as the kernel knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// On a CPU, or waiting for one.
    Running,
    /// Asleep in the kernel.
    Blocked(Call),
}

/// Where a thread went to sleep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// The line that the kernel wrote: number and arguments of the call, and the two below. Two
    /// equal ones mean, as far as can be known, that the thread has slept all the while.
    line: String,
    pub(super) stack_pointer: u64,
    pub(super) program_counter: u64,
}

impl Thread {
    /// Describes the calling thread. Call it where the stack is still shallow: what lies far above
    /// this frame is not captured.
    pub(crate) fn current() -> Thread {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let local = 0_u8;
        let anchor = std::ptr::from_ref(black_box(&local)).addr() as u64;
        let folder = PathBuf::from(format!("/proc/self/task/{tid}"));
        let mut thread = Thread { tid, started: None, anchor, folder };
        thread.started = thread.read_started();
        thread
    }

    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// The outer end of the part of the stack that is of interest.
    pub(super) fn outer(&self) -> u64 {
        self.anchor.saturating_add(ABOVE_ANCHOR)
    }

    /// `None` if the thread has ended, or its folder cannot be read.
    pub(super) fn activity(&self) -> Option<Activity> {
        let is_same = self.started == self.read_started();
        is_same.then(|| self.activity_again())?
    }

    /// The same a moment later, without a look at whether it still is this thread.
    pub(super) fn activity_again(&self) -> Option<Activity> {
        let line = fs::read_to_string(self.folder.join("syscall")).ok()?;
        let line = line.trim_end();
        if line == "running" {
            return Some(Activity::Running);
        }
        let mut fields = line.rsplit(' ').map(parse_hex);
        let program_counter = fields.next()??;
        let stack_pointer = fields.next()??;
        let line = line.to_owned();
        Some(Activity::Blocked(Call { line, stack_pointer, program_counter }))
    }

    /// The signals that the thread blocks, signal `n` as bit `n - 1`.
    pub(super) fn blocked_signals(&self) -> Option<u64> {
        let status = fs::read_to_string(self.folder.join("status")).ok()?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    }

    fn read_started(&self) -> Option<u64> {
        let stat = fs::read(self.folder.join("stat")).ok()?;
        // The second field is the name in brackets, which may hold blanks and brackets itself; the
        // start is the 22nd, so the 20th behind it.
        let name_end = stat.iter().rposition(|&byte| byte == b')')?;
        let fields = std::str::from_utf8(&stat[name_end + 1..]).ok()?;
        fields.split_ascii_whitespace().nth(19)?.parse().ok()
    }
}

fn parse_hex(field: &str) -> Option<u64> {
    u64::from_str_radix(field.strip_prefix("0x")?, 16).ok()
}
