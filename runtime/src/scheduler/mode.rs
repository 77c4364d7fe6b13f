//! The two modes, and their names.

use std::fmt;
use std::str::FromStr;

/// How the tasks of a runtime are run.
///
/// It prints as, and parses from, `work-stealing` and `single-threaded`, so that a flag or a line of
/// a configuration file can switch it.
///
/// # Examples
/// ```
/// use runtime::Scheduler;
///
/// let scheduler: Scheduler = "single-threaded".parse().unwrap();
/// assert_eq!(scheduler, Scheduler::SingleThreaded);
/// assert_eq!(Scheduler::WorkStealing.to_string(), "work-stealing");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// Several worker threads, which take work from each other when they run out of it.
    #[default]
    WorkStealing,
    /// One worker, on the thread that calls `block_on`. Spawned tasks make progress only while some
    /// thread is in `block_on`.
    SingleThreaded,
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Scheduler::WorkStealing => "work-stealing",
            Scheduler::SingleThreaded => "single-threaded",
        })
    }
}

impl FromStr for Scheduler {
    type Err = ParseSchedulerError;

    fn from_str(text: &str) -> Result<Scheduler, ParseSchedulerError> {
        match text {
            "work-stealing" => Ok(Scheduler::WorkStealing),
            "single-threaded" => Ok(Scheduler::SingleThreaded),
            other => Err(ParseSchedulerError { text: other.into() }),
        }
    }
}

/// The text is not the name of a [`Scheduler`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSchedulerError {
    text: String,
}

impl fmt::Display for ParseSchedulerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.text;
        write!(f, "unknown scheduler {text:?}; it is `work-stealing` or `single-threaded`")
    }
}

impl std::error::Error for ParseSchedulerError {}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

    proptest! {
        // What once failed is tried first; its seed stands in a file beside this one.
        #![proptest_config(ProptestConfig {
            cases: 500,
            failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_text_that_parses_is_the_text_that_is_printed(
            text in prop_oneof![
                "(?i)(work|single)[-_ ]?(stealing|threaded)",
                Just("work-stealing".to_owned()),
                Just("single-threaded".to_owned()),
                any::<String>(),
            ],
        ) {
            match text.parse::<Scheduler>() {
                Ok(scheduler) => prop_assert_eq!(scheduler.to_string(), text),
                Err(error) => {
                    let quoted = format!("{text:?}");
                    prop_assert!(error.to_string().contains(&quoted));
                    for scheduler in [Scheduler::WorkStealing, Scheduler::SingleThreaded] {
                        prop_assert_ne!(&scheduler.to_string(), &text);
                    }
                }
            }
        }
    }
}
