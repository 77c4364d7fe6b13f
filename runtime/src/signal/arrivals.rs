//! The way of a signal from its handler to a listener.
//!
//! This is the one file of the crate, outside of tasks, with unsafe code: what it gives to the signal
//! handler runs in the middle of anything.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook_registry::SigId;

/// The deliveries of one signal that one listener has not taken yet.
///
/// The handler counts, then writes a byte to a socket, which wakes the listener's driver. The bytes
/// are only a bell; many of them, or none where the socket was full, change nothing about the count.
///
/// # No delivery is overlooked
/// The handler: (1) adds to `pending`, (2) writes a byte; if the socket is full, there is one to read
/// already. The listener waits only after (a) the socket had nothing to read and, before that, (b)
/// `pending` was zero after the last byte had been read. A byte that is written after (a) makes the
/// socket readable and ends the wait; one that was written before was read, and then (b) came after
/// (1).
pub(super) struct Arrivals {
    /// Deliveries that have not been taken. Added to by the handler (release) and taken from by the
    /// listener (acquire): what the handler's thread did before the signal is seen by the listener.
    pending: Arc<AtomicUsize>,
    id: SigId,
}

impl Arrivals {
    /// Begins to count a signal. The second value is the bell, in non-blocking mode; it must outlive
    /// the first.
    ///
    /// # Errors
    /// Those of the operating system: no such signal, or no free file descriptor.
    ///
    /// # Panics
    /// For a signal that `signal_hook_registry` forbids.
    pub(super) fn listen(signal: i32) -> io::Result<(Arrivals, UnixStream)> {
        let (bell, ringer) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ringer.set_nonblocking(true)?;
        let pending = Arc::new(AtomicUsize::new(0));
        let counter = pending.clone();
        let on_signal = move || {
            counter.fetch_add(1, Ordering::Release);
            // It fails when the socket is full, and then the bell rings already.
            let _ = rustix::io::write(&ringer, &[0]);
        };
        // SAFETY: the action may run in a signal handler: it adds to an atomic and makes one `write`
        // system call, both async-signal-safe; it does not allocate, lock or panic. `errno` is
        // restored by the registry's handler. What it holds is dropped by `unregister`, or here on
        // an error, never in the handler.
        let id = unsafe { signal_hook_registry::register(signal, on_signal) }?;
        Ok((Arrivals { pending, id }, bell))
    }

    /// Takes one delivery. False: there is none.
    pub(super) fn take(&self) -> bool {
        // Only the listener takes, so what was there is there still.
        let is_there = self.pending.load(Ordering::Acquire) > 0;
        if is_there {
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
        is_there
    }

    /// Takes one delivery, or empties the bell.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is none and the bell is silent.
    pub(super) fn take_or_silence(&self, mut bell: &UnixStream) -> io::Result<()> {
        loop {
            if self.take() {
                return Ok(());
            }
            match bell.read(&mut [0; 64]) {
                // The handler holds the other end.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for Arrivals {
    /// When this returns, no handler uses the socket any more.
    fn drop(&mut self) {
        signal_hook_registry::unregister(self.id);
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_handler_that_was_there_before_is_still_called() {
        /// Calls of the older handler. Relaxed: a number on its own.
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        extern "C" fn older(_: libc::c_int) {
            CALLS.fetch_add(1, Ordering::Relaxed);
        }
        let older: extern "C" fn(libc::c_int) = older;
        // SAFETY: the handler adds to an atomic, which is async-signal-safe, and stays for ever.
        let previous = unsafe { libc::signal(libc::SIGUSR1, older as libc::sighandler_t) };
        assert_eq!(previous, libc::SIG_DFL, "no other test of this crate uses the signal");

        let (arrivals, mut bell) = Arrivals::listen(libc::SIGUSR1).expect("it exists");
        bell.set_nonblocking(false).expect("it is a socket");
        let limit = std::time::Duration::from_secs(30);
        bell.set_read_timeout(Some(limit)).expect("it is a socket");
        for round in 1..=3 {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::USR1).expect("it runs");
            // The registry calls the older handler first.
            bell.read_exact(&mut [0]).expect("the handler writes a byte");
            assert!(arrivals.take() && !arrivals.take());
            assert_eq!(CALLS.load(Ordering::Relaxed), round);
        }
    }
}
