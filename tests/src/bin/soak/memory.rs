//! That memory comes back.

use std::alloc::System;
use std::fmt;
use std::process;
use std::thread;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use windlass_tests::memory_kib;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The rounds by which what a process makes once and keeps has been made.
const WARM_UP: u32 = 10;

/// Bytes that may be in use after a round beyond those after the warm-up. Everything of a round is
/// gone then, but for what the collector of the queues (`crossbeam-epoch`) has not freed yet, up to
/// 64 buffers in a bag of each thread that has ended, and what the standard library and the
/// harness keep per thread that is just ending.
const KEPT: isize = 512 * 1024;

/// Resident memory that may come on top, in KiB. The system's allocator keeps freed memory in
/// arenas, at most eight per core, and a thread gets any of them; so a round fills arenas that it has
/// not met before. One holds what one round needs there: a MiB or two.
fn resident_kib() -> usize {
    let cores = thread::available_parallelism().map_or(2, usize::from);
    cores.max(2) * 8 * 2 * 1024
}

/// What was in use after each round.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    rounds: u32,
    first: isize,
    last: isize,
    resident_first: usize,
    resident_most: usize,
}

impl Memory {
    /// Reads it after a round, whose threads have all ended.
    ///
    /// # Panics
    /// When there is more than there should be.
    pub(crate) fn check(&mut self, round: u32) {
        let stats = ALLOCATOR.stats();
        self.last = stats.bytes_allocated as isize - stats.bytes_deallocated as isize;
        let resident = memory_kib(process::id(), "VmRSS");
        self.rounds += 1;
        if self.rounds <= WARM_UP {
            self.first = self.first.max(self.last);
            self.resident_first = self.resident_first.max(resident);
        }
        self.resident_most = self.resident_most.max(resident);
        assert!(self.last < self.first + KEPT, "after round {round}: {self}");
        assert!(resident < self.resident_first + resident_kib(), "after round {round}: {self}");
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes in use, {} after the warm-up; at most {} KiB resident, {} after the warm-up",
            self.last, self.first, self.resident_most, self.resident_first
        )
    }
}
