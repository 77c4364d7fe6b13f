//! The names of what is compared.

use clap::ValueEnum;
use std::fmt;
use std::io;

/// A runtime in one of its modes, or what is written without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum RuntimeName {
    /// tokio, multi-thread scheduler.
    TokioMt,
    /// smol, an executor run by several threads.
    SmolMt,
    /// nio, tasks that may move between workers.
    NioMt,
    /// nio, tasks pinned to a worker.
    NioPin,
    /// windlass, work-stealing.
    WindlassWs,
    /// tokio, current-thread scheduler.
    TokioCt,
    /// smol, a local executor.
    SmolLocal,
    /// nio, one worker.
    NioCt,
    /// monoio over epoll.
    Monoio,
    /// compio over epoll.
    Compio,
    /// windlass, single-threaded.
    WindlassSt,
    /// No runtime: a server that is one thread around epoll.
    RawEpoll,
    /// No runtime: a server with a thread per connection, and plain `std::fs` for the files.
    Threads,
}

impl RuntimeName {
    pub(crate) const ALL: &[RuntimeName] = &[
        RuntimeName::TokioMt,
        RuntimeName::SmolMt,
        RuntimeName::NioMt,
        RuntimeName::NioPin,
        RuntimeName::WindlassWs,
        RuntimeName::TokioCt,
        RuntimeName::SmolLocal,
        RuntimeName::NioCt,
        RuntimeName::Monoio,
        RuntimeName::Compio,
        RuntimeName::WindlassSt,
        RuntimeName::RawEpoll,
        RuntimeName::Threads,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            RuntimeName::TokioMt => "tokio-mt",
            RuntimeName::SmolMt => "smol-mt",
            RuntimeName::NioMt => "nio-mt",
            RuntimeName::NioPin => "nio-pin",
            RuntimeName::WindlassWs => "windlass-ws",
            RuntimeName::TokioCt => "tokio-ct",
            RuntimeName::SmolLocal => "smol-local",
            RuntimeName::NioCt => "nio-ct",
            RuntimeName::Monoio => "monoio",
            RuntimeName::Compio => "compio",
            RuntimeName::WindlassSt => "windlass-st",
            RuntimeName::RawEpoll => "raw-epoll",
            RuntimeName::Threads => "threads",
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, RuntimeName::WindlassWs | RuntimeName::WindlassSt)
    }

    pub(crate) fn is_tokio(self) -> bool {
        matches!(self, RuntimeName::TokioMt | RuntimeName::TokioCt)
    }

    /// Whether it is written without a runtime, as a floor to compare with: no peer, and without tasks.
    pub(crate) fn has_no_runtime(self) -> bool {
        matches!(self, RuntimeName::RawEpoll | RuntimeName::Threads)
    }

    /// Whether it can be run: the others need the feature `peers`.
    pub(crate) fn is_in_this_build(self) -> bool {
        cfg!(feature = "peers") || self.is_ours() || self.has_no_runtime()
    }

    /// What running it gives if it is not in this build.
    pub(crate) fn missing(self) -> io::Error {
        io::Error::other(format!("{self} is not in this build; build with `--features peers`"))
    }

    /// Whether it has worker threads; the two kinds are compared apart.
    pub(crate) fn is_threaded(self) -> bool {
        matches!(
            self,
            RuntimeName::TokioMt
                | RuntimeName::SmolMt
                | RuntimeName::NioMt
                | RuntimeName::NioPin
                | RuntimeName::WindlassWs
                | RuntimeName::Threads
        )
    }

    /// The runtimes that `pattern` names: one exactly, or all of a family, as in `tokio`.
    pub(crate) fn matching(pattern: &str) -> Result<Vec<RuntimeName>, String> {
        let all = RuntimeName::ALL.iter().copied();
        let exact: Vec<_> = all.clone().filter(|runtime| runtime.name() == pattern).collect();
        if !exact.is_empty() {
            return Ok(exact);
        }
        let family = |runtime: &RuntimeName| {
            runtime.name().strip_prefix(pattern).is_some_and(|rest| rest.starts_with('-'))
        };
        let found: Vec<_> = all.filter(family).collect();
        if found.is_empty() {
            let names: Vec<_> = RuntimeName::ALL.iter().map(|runtime| runtime.name()).collect();
            return Err(format!("no runtime `{pattern}`; there are: {}", names.join(", ")));
        }
        Ok(found)
    }
}

impl fmt::Display for RuntimeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_itself() {
        for runtime in RuntimeName::ALL {
            assert_eq!(RuntimeName::matching(runtime.name()), Ok(vec![*runtime]));
        }
    }

    #[test]
    fn a_family_is_all_its_modes() {
        let tokio = vec![RuntimeName::TokioMt, RuntimeName::TokioCt];
        assert_eq!(RuntimeName::matching("tokio"), Ok(tokio));
        assert!(RuntimeName::matching("tok").is_err());
        assert!(RuntimeName::matching("").is_err());
    }
}
