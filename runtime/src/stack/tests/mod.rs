//! Stacks of threads in all conditions. What no test may share with others of its process, such as
//! a signal's handler, runs in a process of its own: see [`alone`].

mod chain;

use std::hint::black_box;
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::thread::{NanosleepRelativeResult, Timespec, nanosleep};

use super::memory::Memory;
use super::signal::{self, Sampling};
use super::{Stack, Thread, capture};

/// How often a test looks before it says that what it waits for does not come.
const LOOKS: usize = 2000;

/// Set when a thread shall come to an end.
#[derive(Clone, Default)]
struct Stop(Arc<AtomicBool>);

impl Stop {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A thread is only captured when it gets its share of a core, so those that compute take turns.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `body` on a new thread.
fn start<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> (Thread, JoinHandle<T>) {
    let (sender, receiver) = mpsc::channel();
    let handle = thread::spawn(move || {
        sender.send(Thread::current()).expect("the test waits for it");
        body()
    });
    (receiver.recv().expect("the thread sends first"), handle)
}

/// Runs `body` again and again on a new thread, until it is told to stop; whether it always said so.
fn start_loop(body: impl Fn() -> bool + Send + 'static) -> (Thread, Stop, JoinHandle<bool>) {
    let stop = Stop::default();
    let is_told = stop.clone();
    let (thread, handle) = start(move || {
        let mut always = true;
        while !is_told.is_set() {
            always &= body();
        }
        always
    });
    (thread, stop, handle)
}

/// Captures until the thread is where the test wants it.
#[track_caller]
fn capture_in(thread: &Thread, function: &str) -> String {
    let mut last = None;
    for _ in 0..LOOKS {
        last = capture(thread).map(|stack| stack.to_string());
        if let Some(text) = last.as_ref().filter(|text| text.contains(function)) {
            return text.clone();
        }
        thread::yield_now();
    }
    panic!("no stack with `{function}` in {LOOKS} captures, the last is {last:#?}");
}

#[track_caller]
fn capture_any(thread: &Thread) -> Stack {
    (0..LOOKS).find_map(|_| capture(thread)).expect("no capture succeeded")
}

/// Runs `body`, which is test `name`, in a process where nothing else runs.
fn alone(name: &str, body: impl FnOnce()) {
    const MARK: &str = "WINDLASS_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let program = std::env::current_exe().expect("a test knows where its program is");
    let name = format!("stack::tests::{name}");
    let output = Command::new(program)
        .args(["--exact", &name, "--test-threads=1", "--nocapture"])
        .env(MARK, "1")
        .output()
        .expect("the test program starts again");
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{}: {text}", output.status);
}

#[inline(never)]
fn asleep_by_call(time: Duration) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    black_box(matches!(nanosleep(&time), NanosleepRelativeResult::Ok))
}

#[inline(never)]
fn asleep_in_std(time: Duration) {
    thread::sleep(time);
    black_box(());
}

#[inline(never)]
fn computing(stop: &Stop) {
    let mut sum = 0_u64;
    while !stop.is_set() {
        sum = black_box(sum.wrapping_mul(31) + 7);
    }
}

#[test]
fn a_sleeping_thread_is_named_and_sleeps_on() {
    let (thread, stop, handle) = start_loop(|| asleep_by_call(Duration::from_millis(300)));
    let text = capture_in(&thread, "stack::tests::asleep_by_call");
    assert!(text.contains("src/stack/tests/mod.rs:"), "no line in {text}");
    stop.set();
    assert!(handle.join().expect("it only sleeps"), "the sleep was cut short");
}

#[test]
fn the_call_that_sleeps_is_named_too() {
    let (thread, stop, handle) = start_loop(|| {
        asleep_in_std(Duration::from_millis(300));
        true
    });
    let text = capture_in(&thread, "stack::tests::asleep_in_std");
    let calls = text.lines().take_while(|line| !line.contains("asleep_in_std"));
    assert!(calls.clone().any(|line| line.contains("std::thread::")), "no std call in {text}");
    assert!(calls.count() <= 4, "not trimmed: {text}");
    stop.set();
    handle.join().expect("it only sleeps");
}

#[test]
fn a_computing_thread_is_named() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || computing(&stop)
    });
    capture_in(&thread, "stack::tests::computing");
    stop.set();
    handle.join().expect("it only computes");
}

#[test]
fn a_thread_waiting_for_a_lock_is_named() {
    #[inline(never)]
    fn locking(mutex: &Mutex<u32>) -> u32 {
        *mutex.lock().expect("nobody panics")
    }
    let mutex = Arc::new(Mutex::new(7));
    let guard = mutex.lock().expect("nobody panics");
    let (thread, handle) = start({
        let mutex = Arc::clone(&mutex);
        move || locking(&mutex)
    });
    capture_in(&thread, "a_thread_waiting_for_a_lock_is_named::locking");
    drop(guard);
    assert_eq!(handle.join().expect("it only locks"), 7);
}

#[test]
fn a_thread_waiting_for_a_condition_is_named() {
    #[inline(never)]
    fn waiting(pair: &(Mutex<bool>, Condvar)) -> bool {
        let guard = pair.0.lock().expect("nobody panics");
        *pair.1.wait_while(guard, |is_done| !*is_done).expect("nobody panics")
    }
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let (thread, handle) = start({
        let pair = Arc::clone(&pair);
        move || waiting(&pair)
    });
    capture_in(&thread, "a_thread_waiting_for_a_condition_is_named::waiting");
    *pair.0.lock().expect("nobody panics") = true;
    pair.1.notify_one();
    assert!(handle.join().expect("it only waits"));
}

#[test]
fn a_thread_that_reads_is_named_and_not_interrupted() {
    #[inline(never)]
    fn reading(mut stream: UnixStream) -> std::io::Result<usize> {
        black_box(stream.read(&mut [0; 8]))
    }
    let (here, there) = UnixStream::pair().expect("two sockets");
    // With a timeout, the kernel ends the call by `EINTR` whatever the flags of the handler say.
    there.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket takes it");
    let (thread, handle) = start(move || reading(there));
    capture_in(&thread, "a_thread_that_reads_is_named_and_not_interrupted::reading");
    drop(here);
    let result = handle.join().expect("it only reads");
    assert_eq!(result.map_err(|error| error.kind()), Ok(0));
}

/// The race that a look at the state and a signal after it would have.
#[test]
fn no_sleep_is_cut_short_however_often_a_thread_falls_asleep() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || {
            let mut cut_short = 0;
            while !stop.is_set() {
                cut_short += usize::from(!asleep_by_call(Duration::from_micros(20)));
                for step in 0..5_000_u32 {
                    black_box(step);
                }
            }
            cut_short
        }
    });
    let captured = (0..300).filter_map(|_| capture(&thread)).count();
    stop.set();
    assert_eq!(handle.join().expect("it only sleeps"), 0, "sleeps cut short");
    assert!(captured > 20, "only {captured} of 300 captured");
}

#[test]
fn a_thread_that_has_ended_has_no_stack() {
    let (thread, handle) = start(|| ());
    handle.join().expect("it does nothing");
    // The kernel may wake the joining thread before the thread is gone from its tables.
    assert!((0..LOOKS).any(|_| capture(&thread).is_none()), "a stack of nobody");
}

fn block_all_signals() {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is to a local.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is filled, and the old one is not asked for.
    let result =
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()) };
    assert_eq!(result, 0, "signals can be blocked");
}

#[test]
fn a_thread_that_blocks_all_signals_is_named_while_it_sleeps() {
    let (thread, stop, handle) = start_loop(|| {
        block_all_signals();
        asleep_by_call(Duration::from_millis(300))
    });
    capture_in(&thread, "stack::tests::asleep_by_call");
    stop.set();
    assert!(handle.join().expect("it only sleeps"), "the sleep was cut short");
}

#[test]
fn a_thread_that_blocks_all_signals_gets_none() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (sender, receiver) = mpsc::channel();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || {
            block_all_signals();
            sender.send(()).expect("the test waits");
            computing(&stop);
        }
    });
    receiver.recv().expect("the thread sends");
    let memory = Memory::open().expect("tests can read their memory");
    let mut patience_ms = 1000;
    let sampling = signal::sample(&thread, &memory, &mut patience_ms);
    assert!(matches!(sampling, Sampling::Failed));
    assert!(patience_ms > 900, "waited for a signal that can not come");
    stop.set();
    handle.join().expect("it only computes");
}

static OWN_SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn own_handler(_signal: libc::c_int) {
    OWN_SIGNALS.fetch_add(1, Ordering::Relaxed);
}

fn install_own_handler(signal: libc::c_int) {
    let handler: extern "C" fn(libc::c_int) = own_handler;
    // SAFETY: the handler only adds to an atomic.
    let previous = unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    assert_ne!(previous, libc::SIG_ERR, "the signal can be handled");
}

fn raise(signal: libc::c_int) {
    // SAFETY: the signal has a handler, or does nothing by default.
    let result = unsafe { libc::raise(signal) };
    assert_eq!(result, 0, "a thread can signal itself");
}

#[test]
fn a_handler_of_the_program_is_respected() {
    let _turn = take_turn();
    alone("a_handler_of_the_program_is_respected", || {
        let stop = Stop::default();
        let (thread, handle) = start({
            let stop = stop.clone();
            move || computing(&stop)
        });
        install_own_handler(libc::SIGURG);
        capture_in(&thread, "stack::tests::computing");
        assert_eq!(OWN_SIGNALS.load(Ordering::Relaxed), 0, "our signal for the program's handler");
        raise(libc::SIGURG);
        assert_eq!(OWN_SIGNALS.load(Ordering::Relaxed), 1, "the handler is gone");
        install_own_handler(libc::SIGWINCH);
        assert!(capture(&thread).is_none(), "both signals are the program's");
        raise(libc::SIGWINCH);
        assert_eq!(OWN_SIGNALS.load(Ordering::Relaxed), 2, "the handler is gone");
        stop.set();
        handle.join().expect("it only computes");
    });
}

/// Whether there is a handler for `signal`, whoever's it is.
fn is_handled(signal: libc::c_int) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask");
    (caught >> (signal - 1)) & 1 == 1
}

#[test]
fn a_handler_installed_during_a_capture_stays() {
    let _turn = take_turn();
    alone("a_handler_installed_during_a_capture_stays", || {
        let stop = Stop::default();
        let (thread, handle) = start({
            let stop = stop.clone();
            move || computing(&stop)
        });
        let done = Stop::default();
        let capturing = thread::spawn({
            let done = done.clone();
            move || {
                while !done.is_set() {
                    capture(&thread);
                }
            }
        });
        for signal in [libc::SIGURG, libc::SIGWINCH] {
            let looks = 50 * LOOKS;
            assert!((0..looks).any(|_| is_handled(signal)), "signal {signal} is never used");
            install_own_handler(signal);
        }
        done.set();
        capturing.join().expect("it only captures");
        let strays = OWN_SIGNALS.load(Ordering::Relaxed);
        assert!(strays <= 2, "{strays} of our signals for the program's handlers");
        raise(libc::SIGURG);
        raise(libc::SIGWINCH);
        assert_eq!(OWN_SIGNALS.load(Ordering::Relaxed), strays + 2, "a handler was replaced");
        stop.set();
        handle.join().expect("it only computes");
    });
}

#[test]
fn nothing_stays_installed() {
    let _turn = take_turn();
    alone("nothing_stays_installed", || {
        let stop = Stop::default();
        let (thread, handle) = start({
            let stop = stop.clone();
            move || computing(&stop)
        });
        capture_in(&thread, "stack::tests::computing");
        for signal in [libc::SIGURG, libc::SIGWINCH] {
            assert!(!is_handled(signal), "a handler for signal {signal} is left");
        }
        stop.set();
        handle.join().expect("it only computes");
    });
}

#[test]
fn requests_given_up_harm_no_later_one() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || computing(&stop)
    });
    let memory = Memory::open().expect("tests can read their memory");
    for _ in 0..2_000 {
        let sampling = signal::sample(&thread, &memory, &mut 0);
        assert!(!matches!(sampling, Sampling::Blocked));
    }
    capture_in(&thread, "stack::tests::computing");
    stop.set();
    handle.join().expect("it only computes");
}

#[test]
fn a_thread_that_allocates_can_be_captured_at_any_moment() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || {
            let mut kept = Vec::new();
            for size in (1..50_000_usize).step_by(97).cycle() {
                kept.push(black_box(vec![0_u8; size]));
                if kept.len() > 100 {
                    kept.clear();
                }
                if stop.is_set() {
                    break;
                }
            }
        }
    });
    for _ in 0..200 {
        capture_any(&thread);
    }
    stop.set();
    handle.join().expect("it only allocates");
}

#[test]
fn a_thread_that_loads_libraries_can_be_captured_at_any_moment() {
    let _turn = take_turn();
    let stop = Stop::default();
    let (thread, handle) = start({
        let stop = stop.clone();
        move || {
            while !stop.is_set() {
                // SAFETY: the name is a C string; loading this library runs nothing of note.
                let library = unsafe { libc::dlopen(c"libresolv.so.2".as_ptr(), libc::RTLD_NOW) };
                if !library.is_null() {
                    // SAFETY: `dlopen` returned it, and nothing of it is in use.
                    unsafe { libc::dlclose(library) };
                }
            }
        }
    });
    for _ in 0..200 {
        let text = capture_any(&thread).to_string();
        assert!(!text.is_empty());
    }
    stop.set();
    handle.join().expect("it only loads");
}
