//! What the kernel knows about a process: CPU time, context switches, memory, affinity.

use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;
use rustix::time::ClockId;
use std::fs;
use std::io;
use std::time::Duration;

/// CPU time that all threads of this process have used, ended threads included.
pub(crate) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).expect("the clock starts at 0");
    let nanos = u32::try_from(time.tv_nsec).expect("nanoseconds are below a second");
    Duration::new(seconds, nanos)
}

/// Lets this process run on one CPU only; threads that it starts later inherit that.
pub(crate) fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

/// Raises the soft limit on open files to the hard one and returns it.
pub(crate) fn raise_open_files() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match rustix::process::setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
}

/// Memory of process `pid` that is in RAM, in bytes; `"self"` is this process.
pub(crate) fn resident_bytes(pid: &str) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// What a process has consumed since its start, summed over its living threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// CPU time in nanoseconds as the scheduler accounts it.
    pub(crate) cpu_ns: u64,
    /// User and kernel time, in ticks of 10 ms.
    pub(crate) user_ticks: u64,
    pub(crate) kernel_ticks: u64,
    /// Times a thread went to sleep by itself.
    pub(crate) voluntary_switches: u64,
    /// Times a thread was preempted.
    pub(crate) involuntary_switches: u64,
}

impl Usage {
    /// Reads `/proc/<pid>`.
    pub(crate) fn of(pid: u32) -> io::Result<Usage> {
        let mut usage = Usage::default();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread = entry?.path();
            // A thread that ends between the listing and the reading is skipped.
            if let Ok(schedstat) = fs::read_to_string(thread.join("schedstat")) {
                usage.cpu_ns += first_number(&schedstat);
            }
            if let Ok(status) = fs::read_to_string(thread.join("status")) {
                usage.voluntary_switches += field(&status, "voluntary_ctxt_switches:");
                usage.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches:");
            }
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        (usage.user_ticks, usage.kernel_ticks) = ticks(&stat);
        Ok(usage)
    }

    /// What was consumed between `earlier` and `self`.
    pub(crate) fn since(&self, earlier: &Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_sub(earlier.cpu_ns),
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            kernel_ticks: self.kernel_ticks.saturating_sub(earlier.kernel_ticks),
            voluntary_switches: self.voluntary_switches.saturating_sub(earlier.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(earlier.involuntary_switches),
        }
    }
}

/// Bytes that this process had the kernel fetch from storage: what it read and was not in the page
/// cache, and what was read ahead of it.
pub(crate) fn bytes_from_disk() -> io::Result<u64> {
    Ok(field(&fs::read_to_string("/proc/self/io")?, "read_bytes:"))
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// The number behind `name` at the start of a line, as in `/proc/<pid>/status`.
fn field(status: &str, name: &str) -> u64 {
    status.lines().find_map(|line| line.strip_prefix(name)).map_or(0, first_number)
}

/// `utime` and `stime` of `/proc/<pid>/stat`; the command name before them may hold spaces.
fn ticks(stat: &str) -> (u64, u64) {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = behind_name.split_whitespace().skip(11).map(|n| n.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_spaces_and_brackets() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194304 90 0 0 0 12 34 0 0 20 0 2 0 100 1 1";
        assert_eq!(ticks(stat), (12, 34));
    }

    #[test]
    fn status_fields_are_told_apart() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t9\n";
        assert_eq!(field(status, "voluntary_ctxt_switches:"), 5);
        assert_eq!(field(status, "nonvoluntary_ctxt_switches:"), 9);
    }

    #[test]
    fn work_shows_up_as_cpu_time() {
        let before = Usage::of(std::process::id()).expect("/proc is mounted");
        let (start, own) = (std::time::Instant::now(), cpu_time());
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let used = Usage::of(std::process::id()).expect("/proc is mounted").since(&before);
        assert!(cpu_time() > own, "the process clock moved");
        assert!(used.cpu_ns > 0 || used.user_ticks > 0, "{used:?}");
    }
}
