//! What `#[runtime::main]` and `#[runtime::test]` accept, and what they say when they do not.
//!
//! The expected messages are those of the newest stable compiler that CI runs. After a change of
//! wording, `TRYBUILD=overwrite cargo test -p windlass-tests --test ui` rewrites them; read the
//! difference before keeping it.

#[path = "ui/attributes.rs"]
mod attributes;

/// The programs in `ui/pass` compile, and end well when they are run.
///
/// The programs in `ui/fail` do not compile, and each says exactly what stands beside it.
#[test]
fn the_attributes_accept_and_refuse_what_they_document() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
