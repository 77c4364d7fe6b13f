//! A signal for a thread when it next uses the CPU.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

/// A timer that sends one signal to a thread as soon as that thread uses the CPU.
pub(super) struct CpuTimer(libc::timer_t);

impl CpuTimer {
    /// `None` if the thread has ended, or the process may have no more timers or signals.
    pub(super) fn start(tid: i32, signal: c_int) -> Option<CpuTimer> {
        // SAFETY: all zeros are a valid `sigevent`: integers and a null pointer.
        let mut event: libc::sigevent = unsafe { MaybeUninit::zeroed().assume_init() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_notify_thread_id = tid;
        // The kernel's number for the CPU time of one thread, which is a part of its interface: the
        // complement of the thread id, the bit for "one thread", and 2 for its scheduler's clock.
        let clock = (!tid << 3) | 4 | 2;
        let mut timer = MaybeUninit::uninit();
        // SAFETY: both pointers are to locals; the kernel checks the numbers.
        if unsafe { libc::timer_create(clock, &raw mut event, timer.as_mut_ptr()) } != 0 {
            return None;
        }
        // SAFETY: `timer_create` has written it, as it says that it succeeded.
        let timer = CpuTimer(unsafe { timer.assume_init() });
        let soon = libc::timespec { tv_sec: 0, tv_nsec: 1 };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let once = libc::itimerspec { it_interval: never, it_value: soon };
        // Relative, as a time that has passed already would send the signal at once, to a sleeper
        // too.
        // SAFETY: the timer exists, and the pointers are to a local and null.
        let result = unsafe { libc::timer_settime(timer.0, 0, &raw const once, ptr::null_mut()) };
        (result == 0).then_some(timer)
    }
}

impl Drop for CpuTimer {
    fn drop(&mut self) {
        // SAFETY: the timer exists, and nobody uses it after this.
        unsafe { libc::timer_delete(self.0) };
    }
}
