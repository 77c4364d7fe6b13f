//! The attribute that is being expanded.

use std::fmt;

use crate::value::Scheduler;

/// Which of the two attributes is being expanded. Displays as the user writes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    pub(crate) fn default_scheduler(self) -> Scheduler {
        match self {
            Attribute::Main => Scheduler::WorkStealing,
            Attribute::Test => Scheduler::SingleThreaded,
        }
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Attribute::Main => "#[runtime::main]",
            Attribute::Test => "#[runtime::test]",
        })
    }
}
