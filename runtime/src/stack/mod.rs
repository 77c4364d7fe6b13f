//! The stack of one thread, taken by another one while the first is busy.
//!
//! The monitor calls [`capture`] when a worker does not come back from a poll, so the thread in
//! question may do anything: hold the allocator's or the loader's lock, sleep, block all signals,
//! exit. Every wait for it is bounded, by some tens of milliseconds, and it notices nothing, but for
//! some microseconds. (The one lock that both may want is the allocator's, and a thread that is
//! sampled while it holds that goes on and gives it back.) Two ways lead to a copy of its stack:
//!
//! - **Blocked in the kernel** (`blocked`): a signal would end a `nanosleep`, a `poll` or a
//!   `recv` with a timeout by `EINTR`, handler or not, `SA_RESTART` or not. So it gets none. The
//!   kernel tells where it is and where its stack is (`/proc/self/task/<tid>/syscall`), and the
//!   stack is read through `/proc/self/mem`, where a bad address is an error and no fault.
//! - **Running** (`signal`): only the thread itself knows its registers. A signal handler
//!   copies them and the stack. What raises the signal is a timer on *the CPU time of that
//!   thread*: it fires while the thread runs and never while it sleeps. (`tgkill` after a look at
//!   the state was the obvious way, and has a race: the thread may have gone to sleep in between.)
//!   The price is that the signal comes with the kernel's tick, up to 10 ms later.
//!
//! Everything else happens on the capturing thread: [`unwind`] walks the copy with the unwind
//! tables of the modules (`module`), which it reads through `/proc/self/mem` too, so that a library
//! may be unloaded meanwhile; [`symbol`] turns addresses into names, when somebody prints them.
//!
//! All of it needs Linux on x86-64 or aarch64 and a readable `/proc`. Elsewhere, and in a process
//! that may not read its own memory (not dumpable, such as one with file capabilities), `capture`
//! returns `None`.

mod blocked;
mod code;
#[allow(unsafe_code)]
mod cpu_timer;
mod functions;
mod memory;
mod module;
mod registers;
#[allow(unsafe_code)]
mod signal;
mod symbol;
#[cfg(all(test, not(windlass_loom)))]
#[allow(unsafe_code)]
mod tests;
mod thread;
mod unwind;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) use thread::Thread;

use crate::panics::contain;
use memory::Memory;
use signal::Sampling;
use thread::Activity;
use unwind::Sample;

/// How often the thread may fall asleep and wake again before `capture` gives up.
const ATTEMPTS: usize = 8;

/// How long all waiting for a running thread may take, in milliseconds. A kernel with 100 ticks a
/// second needs 10, and the thread may have to wait for its turn on the CPU.
const PATIENCE_MS: u32 = 24;

/// As many frames as are worth keeping. An endless recursion fills them all.
const MAX_FRAMES: usize = 128;

/// The stack of a thread at one moment, innermost frame first.
///
/// It holds addresses. `Display` looks up names, files and lines, every time, which reads the debug
/// information of the program: milliseconds, the first time up to seconds for a huge program. So
/// print it where that harms nobody. The text has one line per frame, each ended by a newline, and
/// only the frames that tell something: see [`symbol`].
#[derive(Clone)]
pub(crate) struct Stack {
    /// Each address is *in* its call instruction, not behind it.
    addresses: Vec<u64>,
}

impl Stack {
    fn new(sample: &Sample, memory: &Memory) -> Stack {
        Stack { addresses: unwind::unwind(sample, memory) }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        symbol::write_frames(&self.addresses, f)
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.addresses.iter().map(|&address| Hex(address))).finish()
    }
}

struct Hex(u64);

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What names are found with: the debug information of the program, tens of megabytes if it is large.
///
/// It is read at the first look-up, and freed when the last of these goes, so that reports which come
/// together read it once. Without one it stays.
pub(crate) struct Names(());

/// How many [`Names`] there are. Relaxed: who misses another frees what that one reads again.
static BORROWED: AtomicUsize = AtomicUsize::new(0);

impl Names {
    pub(crate) fn borrow() -> Names {
        BORROWED.fetch_add(1, Ordering::Relaxed);
        Names(())
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if BORROWED.fetch_sub(1, Ordering::Relaxed) == 1 {
            // It panics if a look-up of the program's own has, with its lock held.
            contain(backtrace::clear_symbol_cache);
        }
    }
}

/// Captures the stack of `thread`, as it is now. Call it from another thread.
///
/// Takes well under a millisecond for a thread blocked in a system call; for a running one about
/// one tick of the kernel's clock (1 to 10 ms), while many threads want the CPU a few, 40 ms at
/// most, after which it gives up; another try may succeed. Captures at the same time wait for each
/// other, up to 100 ms.
///
/// `None` if the thread has ended, runs with the signals blocked that could be used (the program
/// has handlers for some, or blocks them), changes between running and blocked too fast, or if the
/// platform does not allow it. A thread that has ended may be mistaken for a later one with its number:
/// make sure afterwards that it was still at what it was to be captured at.
pub(crate) fn capture(thread: &Thread) -> Option<Stack> {
    let memory = Memory::open()?;
    let mut patience_ms = PATIENCE_MS;
    for _ in 0..ATTEMPTS {
        if let Activity::Blocked(call) = thread.activity()? {
            if let Some(sample) = blocked::sample(thread, &call, &memory) {
                return Some(Stack::new(&sample, &memory));
            }
        }
        match signal::sample(thread, &memory, &mut patience_ms) {
            Sampling::Done(sample) => return Some(Stack::new(&sample, &memory)),
            Sampling::Blocked => {}
            Sampling::Failed => return None,
        }
    }
    None
}
