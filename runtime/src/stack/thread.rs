//! A thread that may be captured, and what the kernel says about it.

use std::fs;
use std::hint::black_box;

/// How much of the stack above [`Thread::current`]'s caller is copied as well: the frames around it.
const ABOVE_ANCHOR: u64 = 16 * 1024;

/// What identifies a thread that may be captured later, made *on* that thread.
///
/// Once it has ended, another thread may have its number. Made each time that a thread becomes a
/// worker, so it asks the kernel for nothing that would tell the two apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// As the kernel numbers threads.
    tid: i32,
    /// An address near the outer end of its stack.
    anchor: u64,
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
        Thread { tid, anchor }
    }

    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// The outer end of the part of the stack that is of interest.
    pub(super) fn outer(&self) -> u64 {
        self.anchor.saturating_add(ABOVE_ANCHOR)
    }

    /// `None` if the thread has ended, or the kernel does not tell.
    pub(super) fn activity(&self) -> Option<Activity> {
        let line = self.read("syscall")?;
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
        let status = self.read("status")?;
        let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:"))?;
        u64::from_str_radix(mask.trim(), 16).ok()
    }

    /// One of the files that the kernel has about it.
    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(format!("/proc/self/task/{}/{file}", self.tid)).ok()
    }
}

fn parse_hex(field: &str) -> Option<u64> {
    u64::from_str_radix(field.strip_prefix("0x")?, 16).ok()
}
