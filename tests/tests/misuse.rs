//! What must not compile: each program in `misuse` breaks one rule that the types enforce.
//!
//! The expected messages are those of the newest stable compiler that CI runs;
//! `TRYBUILD=overwrite cargo test -p windlass-tests --test misuse` rewrites them.

#[test]
fn what_would_be_unsound_or_a_bug_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/misuse/*.rs");
}
