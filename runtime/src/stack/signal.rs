//! A sample of a running thread, taken by a signal handler on it.
//!
//! **The signal** is one that does nothing by default, `SIGURG` (what Go preempts with) or
//! `SIGWINCH`: should it arrive when our handler is gone again, nothing happens. It is used only
//! while the program has no handler for it and the thread does not block it, and the handler is
//! installed only for the time of a capture. So a program's handler is never replaced, not even one
//! that it installs meanwhile; that one may be called by our signal, once, if it appears in the last
//! millisecond before the signal does. (Between a look at what is installed and the change of it
//! are some 100 ns, in which nothing can keep a program from doing the same.)
//!
//! **What raises it** is a timer on the CPU time of the thread (`timer_create` with that thread's
//! clock and `SIGEV_THREAD_ID`), one nanosecond ahead. The kernel looks at such timers in its tick,
//! for the thread that is running, and since 5.10 (x86-64; aarch64 soon after) only acts on them
//! when that thread next returns to its program. A sleeping thread can not be hit, and a sleep that
//! is about to start is not cut short: the signal comes when it is over. Older kernels send it from
//! the tick itself, and could hit a thread in the few instructions before it falls asleep.
//!
//! **The handler** calls nothing but `gettid`, `pread` and `futex`, copies registers, and touches
//! only the [`Mailbox`]. `pread` of `/proc/self/mem` copies the stack because it can not fault,
//! wherever the stack pointer points (a coroutine's stack, for example).

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;

use super::cpu_timer::CpuTimer;
use super::memory::{Memory, STACK_BYTES, StackCopy, bytes_to_copy};
use super::registers::{COUNT, Registers, read_registers};
use super::thread::{Activity, Thread};
use super::unwind::Sample;

/// In the order in which they are tried.
const SIGNALS: [c_int; 2] = [libc::SIGURG, libc::SIGWINCH];

/// How long a handler that has begun may take, in milliseconds; it needs some 0.02 if undisturbed.
const GRACE_MS: u32 = 6;

const MILLISECOND: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// What became of an attempt.
pub(super) enum Sampling {
    Done(Box<Sample>),
    /// The thread went to sleep before the signal came.
    Blocked,
    /// No use in trying again.
    Failed,
}

/// Asks `thread` for a sample. What it waits is taken off `patience_ms`.
pub(super) fn sample(thread: &Thread, memory: &Memory, patience_ms: &mut u32) -> Sampling {
    let Some(mut sender) = SENDER.try_lock_for(OTHERS) else {
        return Sampling::Failed;
    };
    if !sender.reclaim() {
        return Sampling::Failed;
    }
    let Some(blocked_signals) = blocked_signals(thread, patience_ms) else {
        return Sampling::Failed;
    };
    let Ok(file) = memory.file().try_clone() else {
        return Sampling::Failed;
    };
    let Some(handler) = Handler::install(blocked_signals) else {
        return Sampling::Failed;
    };
    MAILBOX.post(&file, thread);
    sender.file = Some(file);
    let timer = CpuTimer::start(thread.tid(), handler.signal);
    let outcome = match timer {
        Some(_) => MAILBOX.wait(thread, &handler, patience_ms),
        None => Wait::Failed,
    };
    // The timer goes first, and its signal with it, so that it does not find the default.
    drop(timer);
    drop(handler);
    if !MAILBOX.cancel() {
        // The next capture that finds the mailbox full or empty reclaims it.
        return Sampling::Failed;
    }
    // It may have become full since the wait ended, which is as good.
    let sample = sender.take();
    sender.file = None;
    match (sample, outcome) {
        (Some(sample), _) => Sampling::Done(Box::new(sample)),
        (None, Wait::Blocked) => Sampling::Blocked,
        (None, Wait::Full | Wait::Failed) => Sampling::Failed,
    }
}

/// The signals that `thread` blocks, if one is left for us.
///
/// For as long as it is in our handler, it blocks all. A thread may have lost the CPU in there since
/// an earlier sample, so a second look comes later.
fn blocked_signals(thread: &Thread, patience_ms: &mut u32) -> Option<u64> {
    for _ in 0..GRACE_MS {
        let blocked = thread.blocked_signals()?;
        if SIGNALS.iter().any(|&signal| is_free(signal, blocked)) {
            return Some(blocked);
        }
        std::thread::sleep(Duration::from_millis(1));
        *patience_ms = patience_ms.saturating_sub(1);
    }
    None
}

/// Whether `signal` is not in the set `blocked`, where signal `n` is bit `n - 1`.
fn is_free(signal: c_int, blocked: u64) -> bool {
    (blocked >> (signal - 1)) & 1 == 0
}

/// Who may use the mailbox as its sender.
static SENDER: Mutex<Sender> = Mutex::new(Sender { file: None });

struct Sender {
    /// The file that a handler may still be reading, although nobody waits for it any more.
    file: Option<File>,
}

/// How long to wait for other captures. Not forever: the holder may be a thread that a `fork` left
/// behind in the parent.
const OTHERS: Duration = Duration::from_millis(100);

impl Sender {
    /// Empties the mailbox if a late handler has filled it; `false` if one is still at work.
    fn reclaim(&mut self) -> bool {
        let is_free = MAILBOX.cancel();
        if is_free {
            MAILBOX.clear();
            self.file = None;
        }
        is_free
    }

    /// Takes what is in the mailbox, and empties it.
    fn take(&mut self) -> Option<Sample> {
        let is_full = MAILBOX.state.load(Ordering::Acquire) == FULL;
        let sample = is_full.then(|| {
            // SAFETY: the state is `FULL`, which no handler changes, and the lock on `SENDER` (this
            // is a method of what it guards) keeps other senders out. The handler's writes
            // happened before, by the acquire above.
            let letter = unsafe { &*MAILBOX.letter.get() };
            let start = letter.stack_start;
            Sample {
                registers: Registers::of_running(letter.program_counter, letter.registers),
                stack: StackCopy { start, bytes: letter.stack[..letter.filled].to_vec() },
            }
        });
        MAILBOX.clear();
        sample
    }
}

static MAILBOX: Mailbox = Mailbox {
    state: AtomicU32::new(EMPTY),
    letter: UnsafeCell::new(Letter {
        file: 0,
        outer: 0,
        program_counter: 0,
        registers: [0; COUNT],
        stack_start: 0,
        filled: 0,
        stack: [0; STACK_BYTES],
    }),
};

/// Where a handler leaves the sample. There is one per process, because a handler has no arguments.
struct Mailbox {
    /// ```text
    ///   EMPTY --post--> REQUESTED(tid) --claim--> WRITING --fill--> FULL
    ///     ^                   |                                      |
    ///     +------cancel-------+----------------clear-----------------+
    /// ```
    /// `post`, `cancel` and `clear` are the sender's, under its lock; `claim` and `fill` are the
    /// handler's on thread `tid`. It is the permission to touch `letter`: the sender's in `EMPTY`
    /// and `FULL`, the handler's in `WRITING`, nobody's in `REQUESTED`. `post` releases the file to
    /// the handler, whose `claim` acquires; `fill` releases the sample to the sender, whose loads
    /// acquire. Naming the thread in the word makes a late handler harmless: it claims a request
    /// for its own thread, if there is one, and is as good for that as another; else nothing.
    state: AtomicU32,
    letter: UnsafeCell<Letter>,
}

/// A thread id has 22 bits at most (the kernel's `PID_MAX_LIMIT`) and is not 0.
const EMPTY: u32 = 0;
const WRITING: u32 = 1 << 30;
const FULL: u32 = 2 << 30;

struct Letter {
    /// From the sender: `/proc/self/mem`, open until the state is neither `REQUESTED` nor `WRITING`.
    file: c_int,
    /// From the sender: the outer end of the part of the stack that is wanted.
    outer: u64,
    program_counter: u64,
    registers: [u64; COUNT],
    stack_start: u64,
    filled: usize,
    /// Untouched, and so without memory behind it, until a first capture.
    stack: [u8; STACK_BYTES],
}

// SAFETY: `letter` is the only part that is not `Sync`, and `state` says which thread may touch it.
unsafe impl Sync for Mailbox {}

/// How a wait ended.
enum Wait {
    Full,
    Blocked,
    Failed,
}

impl Mailbox {
    /// Asks for a sample. The mailbox is empty, and the caller holds the lock on `SENDER`.
    fn post(&self, file: &File, thread: &Thread) {
        debug_assert_eq!(self.state.load(Ordering::Relaxed), EMPTY, "the mailbox is in use");
        {
            // SAFETY: in `EMPTY`, the letter is the sender's, who holds the lock.
            let letter = unsafe { &mut *self.letter.get() };
            letter.file = file.as_raw_fd();
            letter.outer = thread.outer();
        }
        self.state.store(request(thread.tid()), Ordering::Release);
    }

    /// Waits for the handler, unless `thread` sleeps for longer than 1 ms. The handler fills and then
    /// wakes, and the kernel compares the state before it lets us sleep, so the wake is not missed;
    /// if it were, the next look comes 1 ms later.
    fn wait(&self, thread: &Thread, handler: &Handler, patience_ms: &mut u32) -> Wait {
        let mut before = None;
        while *patience_ms > 0 {
            *patience_ms -= 1;
            let state = self.state.load(Ordering::Acquire);
            if state == FULL {
                return Wait::Full;
            }
            let result = futex::wait(&self.state, futex::Flags::PRIVATE, state, Some(&MILLISECOND));
            if result != Err(Errno::TIMEDOUT) {
                continue;
            }
            if !handler.is_installed() {
                return Wait::Failed;
            }
            let Some(now) = thread.activity() else {
                return Wait::Failed;
            };
            if matches!(now, Activity::Blocked(_)) && before.as_ref() == Some(&now) {
                return Wait::Blocked;
            }
            before = Some(now);
        }
        Wait::Failed
    }

    /// Takes a request back; `false` if a handler is at work on it and does not come to an end,
    /// because its thread has lost the CPU. A full mailbox stays full.
    fn cancel(&self) -> bool {
        for _ in 0..GRACE_MS {
            match self.state.load(Ordering::Acquire) {
                EMPTY | FULL => return true,
                WRITING => {
                    let flags = futex::Flags::PRIVATE;
                    let _ = futex::wait(&self.state, flags, WRITING, Some(&MILLISECOND));
                }
                requested => {
                    // A failure means that the handler was faster.
                    let order = Ordering::Acquire;
                    let _ = self.state.compare_exchange(requested, EMPTY, order, order);
                }
            }
        }
        self.state.load(Ordering::Acquire) != WRITING
    }

    /// Empties it, after `cancel` has said that no handler is at work.
    fn clear(&self) {
        self.state.store(EMPTY, Ordering::Relaxed);
    }

    /// What the handler does.
    fn answer(&self, context: &libc::ucontext_t) {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        let claim = self.state.compare_exchange(
            request(tid),
            WRITING,
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        if claim.is_err() {
            return;
        }
        {
            // SAFETY: in `WRITING`, the letter belongs to the handler that made it so.
            let letter = unsafe { &mut *self.letter.get() };
            letter.fill(context);
        }
        self.state.store(FULL, Ordering::Release);
        let _ = futex::wake(&self.state, futex::Flags::PRIVATE, 1);
    }
}

fn request(tid: i32) -> u32 {
    tid as u32
}

impl Letter {
    fn fill(&mut self, context: &libc::ucontext_t) {
        let (program_counter, registers, stack_pointer) = read_registers(context);
        self.program_counter = program_counter;
        self.registers = registers;
        self.stack_start = stack_pointer;
        // SAFETY: the sender keeps the file open until this handler is done.
        let file = unsafe { BorrowedFd::borrow_raw(self.file) };
        let wanted = bytes_to_copy(stack_pointer, self.outer);
        self.filled = match self.stack.get_mut(..wanted) {
            Some(stack) => rustix::io::pread(file, stack, stack_pointer).unwrap_or(0),
            None => 0,
        };
    }
}

extern "C" fn on_signal(_signal: c_int, _info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: returns a valid pointer to this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: see above.
    let saved = unsafe { errno.read() };
    // SAFETY: with `SA_SIGINFO` the kernel passes a `ucontext_t` that lives as long as the handler.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    MAILBOX.answer(context);
    // SAFETY: see above.
    unsafe { errno.write(saved) };
}

/// Our handler, installed until this is dropped.
struct Handler {
    signal: c_int,
    /// What was there before: the default, or to ignore the signal.
    previous: libc::sigaction,
}

impl Handler {
    /// Installs it for a signal that is not in `blocked` and that the program does not handle.
    fn install(blocked: u64) -> Option<Handler> {
        SIGNALS.into_iter().filter(|&signal| is_free(signal, blocked)).find_map(|signal| {
            if !has_no_handler(&exchange(signal, None)?) {
                return None;
            }
            let previous = exchange(signal, Some(&our_action()))?;
            if has_no_handler(&previous) {
                return Some(Handler { signal, previous });
            }
            // The program has installed one at this very moment: hands off.
            exchange(signal, Some(&previous));
            None
        })
    }

    /// Whether the program has not installed another one.
    fn is_installed(&self) -> bool {
        let ours = our_action().sa_sigaction;
        exchange(self.signal, None).is_some_and(|action| action.sa_sigaction == ours)
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if self.is_installed() {
            exchange(self.signal, Some(&self.previous));
        }
    }
}

fn has_no_handler(action: &libc::sigaction) -> bool {
    matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

fn our_action() -> libc::sigaction {
    // SAFETY: all zeros are a valid `sigaction`: integers, and an option of a function.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_signal;
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    // No other handler interrupts ours.
    // SAFETY: the pointer is to a field of a local.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    action
}

/// Reads what is installed for `signal`, and installs `action` instead if there is one.
fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> Option<libc::sigaction> {
    let mut previous = MaybeUninit::uninit();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `action` is null or valid, and so is `previous` for a write. A handler that is
    // installed here is ours, which is async-signal-safe, or one that was installed before.
    let result = unsafe { libc::sigaction(signal, action, previous.as_mut_ptr()) };
    // SAFETY: `sigaction` has written it, as it says that it succeeded.
    (result == 0).then(|| unsafe { previous.assume_init() })
}
