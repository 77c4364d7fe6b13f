//! Tests that take long.

use std::env;

use crate::process::say;

/// Whether tests that take longer than 20 s are to run: those of `.ci/long`, which sets
/// `WINDLASS_LONG=1`. If not, the test that asks should return; that it was skipped is printed here.
#[must_use]
pub fn runs_long() -> bool {
    let is_wanted = env::var_os("WINDLASS_LONG").is_some_and(|value| value == "1");
    if !is_wanted {
        say("skipped, for it takes long: it runs with WINDLASS_LONG=1");
    }
    is_wanted
}
