//! The tools that count, and what they write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(super) const INSTRUCTIONS: &str = "instructions";
pub(super) const SYSCALLS: &str = "syscalls";

/// Counts while a program runs.
#[derive(Clone, Copy)]
pub(super) enum Tool {
    Callgrind,
    Strace,
}

impl Tool {
    pub(super) const ALL: &[Tool] = &[Tool::Callgrind, Tool::Strace];

    pub(super) fn is_installed(self) -> bool {
        let mut command = Command::new(self.program());
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    pub(super) fn program(self) -> &'static str {
        match self {
            Tool::Callgrind => "valgrind",
            Tool::Strace => "strace",
        }
    }

    pub(super) fn metric(self) -> &'static str {
        match self {
            Tool::Callgrind => INSTRUCTIONS,
            Tool::Strace => SYSCALLS,
        }
    }

    /// `without` is a pattern for the names of functions whose instructions are left out.
    pub(super) fn arguments(self, report: &Path, without: Option<&str>) -> Vec<String> {
        let report = report.display();
        match self {
            Tool::Callgrind => {
                let fixed = ["--tool=callgrind", "--quiet"].map(str::to_owned);
                let file = format!("--callgrind-out-file={report}");
                let mut arguments: Vec<_> = fixed.into_iter().chain([file]).collect();
                if let Some(pattern) = without {
                    // A function to toggle at makes callgrind begin with counting off; in this order
                    // it begins with counting on.
                    arguments.push(format!("--toggle-collect={pattern}"));
                    arguments.push("--collect-atstart=yes".to_owned());
                }
                arguments
            }
            Tool::Strace => {
                let fixed = ["-f", "-c", "-o"].map(str::to_owned);
                fixed.into_iter().chain([report.to_string()]).collect()
            }
        }
    }

    pub(super) fn read(self, report: &Path) -> io::Result<u64> {
        let text = fs::read_to_string(report)?;
        let total = match self {
            Tool::Callgrind => instructions(&text),
            Tool::Strace => syscalls(&text),
        };
        total.ok_or_else(|| io::Error::other(format!("no total in what {} wrote", self.program())))
    }
}

/// The total at the end of callgrind's file: `totals: 123` or, in older versions, `summary: 123`.
fn instructions(text: &str) -> Option<u64> {
    let total = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))?;
    total.split_whitespace().next()?.parse().ok()
}

/// The calls in strace's last line: `100.00    0.000123           1       456        12 total`.
fn syscalls(text: &str) -> Option<u64> {
    let total = text.lines().rev().find(|line| line.ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

/// Where a tool writes; removed when dropped.
pub(super) struct ReportFile(pub(super) PathBuf);

impl ReportFile {
    pub(super) fn new() -> io::Result<ReportFile> {
        let name = format!("windlass-benches-{}", std::process::id());
        Ok(ReportFile(std::env::temp_dir().join(name)))
    }
}

impl Drop for ReportFile {
    fn drop(&mut self) {
        // A tool that failed has written none.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_callgrind_is_found() {
        assert_eq!(instructions("events: Ir\nfn=x\n1 5\ntotals: 4711\n"), Some(4711));
        assert_eq!(instructions("summary: 12 0\n"), Some(12));
        assert_eq!(instructions("events: Ir\n"), None);
    }

    #[test]
    fn the_total_of_strace_is_found() {
        let text = "% time     seconds  usecs/call     calls    errors syscall\n\
                    ------ ----------- ----------- --------- --------- ----------------\n\
                    100.00    0.000217           2       107         3 total\n";
        assert_eq!(syscalls(text), Some(107));
        let without_errors = "100.00    0.000217           2       107           total\n";
        assert_eq!(syscalls(without_errors), Some(107));
    }
}
