//! The credentials of a peer.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Who the peer of a Unix socket is, as the kernel recorded it.
///
/// It tells who called `connect`, `listen` or `pair`, at that time: the process may have changed
/// its user since, ended, or passed the socket on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UCred {
    uid: u32,
    gid: u32,
    pid: Option<i32>,
}

impl UCred {
    pub(crate) fn of_peer(socket: &impl AsFd) -> io::Result<UCred> {
        peer(socket.as_fd().as_raw_fd())
    }

    /// The effective user id.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The effective group id.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The process id, where the system tells it; Linux does, unless the process is outside of this
    /// one's PID namespace, as when a container's server is called by its host.
    ///
    /// By the time it is looked at, another process may have it.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }
}

// Not rustix's, whose process id cannot be 0: for a peer outside of the PID namespace, where the
// kernel says 0, it takes the answer for an error.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn peer(socket: std::os::fd::RawFd) -> io::Result<UCred> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the pointers are to two live values, and `size` is that of the first; every pattern
    // of bits that the kernel may write is a value of its integers.
    let outcome = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut size,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(UCred { uid: cred.uid, gid: cred.gid, pid: (cred.pid != 0).then_some(cred.pid) })
}

#[cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
))]
fn peer(socket: std::os::fd::RawFd) -> io::Result<UCred> {
    let (mut uid, mut gid) = (0, 0);
    // SAFETY: the pointers are to two live values of the types that it fills.
    let outcome = unsafe { libc::getpeereid(socket, &raw mut uid, &raw mut gid) };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(UCred { uid, gid, pid: None })
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly",
)))]
fn peer(_: std::os::fd::RawFd) -> io::Result<UCred> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "this system does not tell the credentials of a peer",
    ))
}
