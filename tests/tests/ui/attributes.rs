//! Tests that are made by `#[runtime::test]`: that they run at all is half of what they check.

use std::cell::Cell;
use std::process::ExitCode;
use std::rc::Rc;

extern crate runtime as rt;

#[runtime::test]
async fn a_test_runs_and_awaits() {
    assert_eq!(std::future::ready(7).await, 7);
}

/// A doc comment.
#[runtime::test]
async fn a_body_need_not_be_send() {
    let cell = Rc::new(Cell::new(1));
    std::future::ready(()).await;
    cell.set(2);
    assert_eq!(cell.get(), 2);
}

#[runtime::test]
#[should_panic(expected = "as it should")]
async fn should_panic_is_kept_below() {
    panic!("as it should");
}

#[should_panic(expected = "as it should")]
#[runtime::test(scheduler = "work-stealing")]
async fn should_panic_is_kept_above() {
    panic!("as it should");
}

#[runtime::test]
#[cfg(any())]
async fn cfg_is_kept() -> NoSuchType {
    unreachable!("this function is configured away")
}

#[runtime::test(scheduler = "work-stealing", workers = 2)]
async fn a_test_may_return_a_result() -> Result<(), Box<dyn std::error::Error>> {
    let seven: u8 = "7".parse()?;
    assert_eq!(seven, 7);
    Ok(())
}

#[runtime::test(scheduler = "single-threaded")]
async fn a_test_may_return_an_exit_code() -> ExitCode {
    ExitCode::SUCCESS
}

#[rt::test(crate = "rt")]
async fn a_renamed_crate_is_found() {}

#[runtime::test]
async fn a_single_threaded_test_stays_on_its_thread() {
    let name = std::thread::current().name().map(str::to_owned);
    let expected = "attributes::a_single_threaded_test_stays_on_its_thread";
    // With `--test-threads=1` the harness runs tests on its main thread.
    assert!(matches!(name.as_deref(), Some(name) if name == expected || name == "main"));
}

mod nested {
    #[runtime::test]
    pub(super) async fn a_test_in_a_module_may_be_public() {}
}
