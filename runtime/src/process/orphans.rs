//! Children that nobody waits for any more: they are reaped when they end.
//!
//! One thread does it. It is started with the first orphan and leaves with the last, belongs to no
//! runtime, and sleeps in `poll` on the processes' file descriptors and on a socket that announces
//! further orphans. Children without a descriptor (systems other than Linux, or a sandbox) are asked
//! every [`INTERVAL`] instead. A handler for `SIGCHLD` would do for all, but a program may block that
//! signal in every thread, and this module should not change how signals are handled.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::exit::pidfd;
use crate::sync::Mutex;

/// How often children are asked that cannot announce their end.
const INTERVAL: Duration = Duration::from_millis(100);

/// The orphans that the thread does not know yet, and how to wake it.
#[derive(Default)]
struct Orphanage {
    new: Vec<Orphan>,
    /// Writes to the thread; there is one if, and only if, the thread runs.
    bell: Option<UnixStream>,
}

struct Orphan {
    child: Child,
    pidfd: Option<OwnedFd>,
}

static ORPHANAGE: LazyLock<Mutex<Orphanage>> = LazyLock::new(|| Mutex::new(Orphanage::default()));

/// Takes over the duty to reap a child.
pub(super) fn adopt(child: Child) {
    let pidfd = pidfd(&child);
    let mut orphanage = ORPHANAGE.lock();
    orphanage.new.push(Orphan { child, pidfd });
    if let Some(bell) = &mut orphanage.bell {
        // Fails when it is full; then it rings already.
        let _ = bell.write(&[0]);
        return;
    }
    if let Ok((bell, ringer)) = UnixStream::pair() {
        let is_ready = ringer.set_nonblocking(true).and(bell.set_nonblocking(true)).is_ok();
        let thread = thread::Builder::new().name("runtime-reaper".to_owned());
        if is_ready && thread.spawn(move || serve(&bell)).is_ok() {
            orphanage.bell = Some(ringer);
            return;
        }
    }
    // No thread and no descriptor is to be had. They wait in the list for the next orphan; those that
    // have ended go now.
    orphanage.new.retain_mut(|orphan| !orphan.is_over());
}

/// The life of the thread.
fn serve(bell: &UnixStream) {
    let mut orphans: Vec<Orphan> = Vec::new();
    loop {
        {
            let mut orphanage = ORPHANAGE.lock();
            orphans.append(&mut orphanage.new);
            orphans.retain_mut(|orphan| !orphan.is_over());
            if orphans.is_empty() {
                // Under the lock: who comes later starts another thread.
                orphanage.bell = None;
                return;
            }
        }
        wait(bell, &orphans);
    }
}

/// Waits until an orphan may have ended, or there is a new one.
fn wait(mut bell: &UnixStream, orphans: &[Orphan]) {
    let pidfds = orphans.iter().filter_map(|orphan| orphan.pidfd.as_ref());
    let mut fds: Vec<_> = pidfds
        .map(AsFd::as_fd)
        .chain([bell.as_fd()])
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
        .collect();
    let can_all_announce = fds.len() == orphans.len() + 1;
    let interval = Timespec::try_from(INTERVAL).expect("100 ms fit");
    let polled = poll(&mut fds, (!can_all_announce).then_some(&interval));
    if polled.is_err_and(|error| error != rustix::io::Errno::INTR) {
        // Out of memory, or more children than this process may have files.
        thread::sleep(INTERVAL);
    }
    // Empties it; it fails when it is empty.
    let _ = bell.read(&mut [0; 1024]);
}

impl Orphan {
    /// Reaps it if it has ended. True also if somebody else has.
    fn is_over(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}
