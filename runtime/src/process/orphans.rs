//! Children that nobody waits for any more: they are reaped when they end.
//!
//! One thread does it. It is started with the first orphan and leaves with the last, belongs to no
//! runtime, and sleeps in `poll` on the processes' file descriptors and on a socket that announces
//! further orphans. Children without a descriptor (systems other than Linux, a sandbox, or no file
//! left for it), and those that have announced their end while a tracer holds them, are asked every
//! [`INTERVAL`] instead, and so are all while there is no file for the socket. Where no thread is to be
//! had, the next orphan and the next command try again. A handler for `SIGCHLD` would do for all, but
//! a program may block that signal in every thread, and this module should not change how signals are
//! handled.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::exit::pidfd;

/// How often children are asked that cannot announce their end.
const INTERVAL: Duration = Duration::from_millis(100);

/// The orphans that the thread does not know yet, and how to wake it.
struct Orphanage {
    new: Vec<Orphan>,
    has_thread: bool,
    /// Writes to the thread; it has none as long as there are no files for it.
    bell: Option<UnixStream>,
}

struct Orphan {
    child: Child,
    pidfd: Option<OwnedFd>,
}

static ORPHANAGE: Mutex<Orphanage> =
    Mutex::new(Orphanage { new: Vec::new(), has_thread: false, bell: None });

/// Takes over the duty to reap a child.
pub(super) fn adopt(child: Child) {
    let pidfd = pidfd(&child);
    let mut orphanage = ORPHANAGE.lock();
    orphanage.new.push(Orphan { child, pidfd });
    orphanage.call_thread();
}

/// Sees to the orphans that could not have a thread.
pub(super) fn try_again() {
    let mut orphanage = ORPHANAGE.lock();
    if !orphanage.new.is_empty() {
        orphanage.call_thread();
    }
}

impl Orphanage {
    /// Has the thread take over the new orphans. They stay in the list where there can be none.
    fn call_thread(&mut self) {
        if self.has_thread {
            if let Some(bell) = &mut self.bell {
                // Fails when it is full; then it rings already.
                let _ = bell.write(&[0]);
            }
            return;
        }
        self.new.retain_mut(|orphan| !orphan.is_over());
        if !self.new.is_empty() {
            let thread = thread::Builder::new().name("runtime-reaper".to_owned());
            self.has_thread = thread.spawn(serve).is_ok();
        }
    }
}

/// The life of the thread.
fn serve() {
    let mut orphans: Vec<Orphan> = Vec::new();
    let mut bell = None;
    loop {
        {
            let mut orphanage = ORPHANAGE.lock();
            orphans.append(&mut orphanage.new);
            orphans.retain_mut(|orphan| !orphan.is_over());
            if orphans.is_empty() {
                // Under the lock: who comes later starts another thread.
                orphanage.has_thread = false;
                orphanage.bell = None;
                return;
            }
            if bell.is_none() {
                (bell, orphanage.bell) = new_bell().ok().unzip();
            }
        }
        wait(bell.as_ref(), &mut orphans);
    }
}

/// What the thread listens to, and what the others ring.
fn new_bell() -> io::Result<(UnixStream, UnixStream)> {
    let (bell, ringer) = UnixStream::pair()?;
    bell.set_nonblocking(true)?;
    ringer.set_nonblocking(true)?;
    Ok((bell, ringer))
}

/// Waits until an orphan may have ended, or there is a new one.
fn wait(bell: Option<&UnixStream>, orphans: &mut [Orphan]) {
    let mut fds: Vec<_> = orphans
        .iter()
        .filter_map(|orphan| orphan.pidfd.as_ref())
        .map(AsFd::as_fd)
        .chain(bell.map(AsFd::as_fd))
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let can_all_announce = fds.len() == orphans.len() + 1;
    let interval = Timespec::try_from(INTERVAL).expect("100 ms fit");
    let polled = poll(&mut fds, (!can_all_announce).then_some(&interval));
    if polled.is_err_and(|error| error != rustix::io::Errno::INTR) {
        // Out of memory, or more children than this process may have files.
        thread::sleep(INTERVAL);
    }
    let announced: Vec<_> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let announcing = orphans.iter_mut().filter(|orphan| orphan.pidfd.is_some());
    for (orphan, announced) in announcing.zip(announced) {
        if announced && !orphan.is_over() {
            // A tracer holds it: it cannot be reaped yet, and does not stop to announce that it has ended.
            orphan.pidfd = None;
        }
    }
    if let Some(mut bell) = bell {
        // Empties it; it fails when it is empty.
        let _ = bell.read(&mut [0; 1024]);
    }
}

impl Orphan {
    /// Reaps it if it has ended. True also if somebody else has.
    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}
