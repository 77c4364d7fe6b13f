//! What a process holds, as Linux tells it.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has the collector of the queues of ended runtimes (`crossbeam-epoch`) free what it keeps: what a
/// queue was in before it has grown, which goes once all threads have moved on twice since.
pub fn collect_queues() {
    // A piece each time.
    (0..100).for_each(|_| crossbeam_epoch::pin().flush());
}

/// How many sockets the process has open. Of other files a runtime's monitor may have some for a
/// moment, while it looks at what a worker is at.
///
/// # Panics
/// When it is gone, or where there is no `/proc`.
#[must_use]
pub fn open_sockets_of(process: u32) -> usize {
    let files = fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs");
    let names = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    names.filter(|name| name.to_string_lossy().starts_with("socket:")).count()
}

/// How many files the process has open. Its runtime's monitor may have some for a moment, so compare
/// it in a loop, and with "at most".
///
/// # Panics
/// When it is gone, or where there is no `/proc`.
#[must_use]
pub fn open_files_of(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).expect("the process runs").count()
}

/// How many files this process has open, the one that is needed to find that out included.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn open_files() -> usize {
    open_files_of(std::process::id())
}

/// How many threads of this process have a name that begins with `prefix`, at most 15 bytes long.
///
/// # Panics
/// Where there is no `/proc`.
#[must_use]
pub fn threads_named(prefix: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("this is Linux");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

/// A field of `/proc/<process>/status` in KiB, such as `VmRSS` or `VmHWM`.
///
/// # Panics
/// When the process is gone, or the field is not there.
#[must_use]
pub fn memory_kib(process: u32, field: &str) -> usize {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(path).expect("the process runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .expect("the field is one of the kernel's");
    let number = line.trim().trim_end_matches("kB").trim();
    number.parse().expect("the field is a number of kB")
}

/// Lets this process, and those that it starts, open as many files as the system permits; returns
/// how many that are.
#[must_use]
pub fn raise_file_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
