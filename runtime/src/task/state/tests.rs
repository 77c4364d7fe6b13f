//! The transitions, one after the other; `crate::model::task` has them against each other.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::*;

fn of_a_new_task() -> State {
    let state = State::blank();
    state.begin();
    state
}

#[test]
fn a_wake_during_poll_requeues_the_task() {
    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.wake_by_ref(), Wake::Done);
    assert_eq!(state.finish_pending(), Finish::Requeue);
    assert_eq!(state.load().references(), 3);
}

#[test]
fn a_task_that_woke_itself_goes_on_without_losing_a_wake_up_or_an_abort() {
    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.finish_woken(), Finish::GoOn);
    assert_eq!(state.wake_by_ref(), Wake::Done, "its runnable is queued already");
    assert!(!state.shut_down(), "the future is with the runnable");
    assert_eq!(state.go_on_running(), Start::Cancel);

    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.finish_woken(), Finish::GoOn);
    assert_eq!(state.wake_by_ref(), Wake::Done);
    assert_eq!(state.go_on_running(), Start::Poll, "which is the poll for that wake-up");
    assert_eq!(state.finish_pending(), Finish::Idle);
    assert_eq!(state.load().references(), 2);
    assert_eq!(state.wake_by_ref(), Wake::Submit);
    assert_eq!(state.start_running(), Start::Poll);
    assert_eq!(state.abort(), Wake::Done);
    assert_eq!(state.finish_woken(), Finish::Cancel);
}

#[test]
fn the_last_reference_frees() {
    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    state.add_ref();
    assert_eq!(state.drop_join(), DropJoin::Done);
    assert_eq!(state.complete(true, 2), Complete::Done, "a waker has one");
    assert!(state.drop_ref());
}

#[test]
fn a_runnable_of_a_task_that_was_shut_down_is_stale() {
    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.finish_pending(), Finish::Idle);
    assert_eq!(state.wake_by_ref(), Wake::Submit);
    assert!(state.shut_down());
    assert_eq!(state.start_running(), Start::Stale);
    assert_eq!(state.complete(false, 1), Complete::Done);
    assert_eq!(state.start_running(), Start::Stale);
    assert_eq!(state.wake_by_ref(), Wake::Done);
}

#[test]
fn a_shutdown_takes_what_is_idle_marks_what_runs_and_leaves_the_rest() {
    let state = State::blank();
    assert!(!state.shut_down(), "no task");
    state.begin();
    assert!(!state.shut_down(), "it has `RUNNING`");
    assert_eq!(state.load().references(), 3);
    assert_eq!(state.go_on_running(), Start::Cancel);

    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.finish_pending(), Finish::Idle);
    assert!(state.shut_down());
    assert!(!state.shut_down(), "it has been taken");
    assert_eq!(state.load().references(), 3);
    assert_eq!(state.complete(false, 2), Complete::Done);
    assert!(!state.shut_down(), "it is complete");
    assert_eq!(state.load().references(), 1);
}

#[test]
fn a_task_that_completes_gives_its_references_back_when_nothing_is_left_to_do() {
    let running = || {
        let state = of_a_new_task();
        assert_eq!(state.go_on_running(), Start::Poll);
        state
    };
    let state = running();
    assert_eq!(state.complete(false, 2), Complete::Done, "the handle has the third");
    assert_eq!(state.drop_join(), DropJoin::Complete { slot_is_ours: true });
    assert!(state.leave_complete());

    let state = running();
    assert_eq!(state.drop_join(), DropJoin::Done);
    assert_eq!(state.complete(true, 2), Complete::Free);

    let state = running();
    assert_eq!(state.drop_join(), DropJoin::Done);
    assert_eq!(state.complete(false, 2), Complete::DropOutput);
    assert!(state.drop_refs(2));

    let state = running();
    assert!(state.set_join_waker());
    assert_eq!(state.complete(false, 2), Complete::WakeJoin);
    assert_eq!(state.drop_join(), DropJoin::Complete { slot_is_ours: false });
    assert!(!state.leave_complete());
    assert!(state.drop_refs(2));

    let state = running();
    assert!(state.set_join_waker());
    assert_eq!(state.drop_join(), DropJoin::EmptySlot);
    assert!(!state.drop_ref());
    assert_eq!(state.complete(true, 2), Complete::Free);
}

#[test]
fn an_abort_of_an_idle_task_submits_it_once() {
    let state = of_a_new_task();
    assert_eq!(state.go_on_running(), Start::Poll);
    assert_eq!(state.finish_pending(), Finish::Idle);
    assert_eq!(state.abort(), Wake::Submit);
    assert_eq!(state.abort(), Wake::Done);
    assert_eq!(state.start_running(), Start::Cancel);
}

/// Runs in a process of its own, see below; does nothing in the run of all tests.
#[test]
fn child_that_counts_too_far() {
    let Ok(how) = std::env::var("WINDLASS_COUNT") else { return };
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).expect("less is always allowed");
    // Neither running nor woken: the wake-up needs a reference.
    let state = State(AtomicUsize::new(isize::MAX as usize & REF_MASK));
    // The last one that is allowed; above the limit the first one that is not.
    state.add_ref();
    println!("so far");
    match how.as_str() {
        "clone" => state.add_ref(),
        "wake" => drop(state.wake_by_ref()),
        _ => drop(state.abort()),
    }
    println!("too far");
}

#[test]
fn a_count_of_references_that_gets_out_of_hand_ends_the_process() {
    for how in ["clone", "wake", "abort"] {
        let program = std::env::current_exe().expect("Linux knows where a program lies");
        let output = Command::new(program)
            .args(["--exact", "task::state::tests::child_that_counts_too_far", "--nocapture"])
            .env("WINDLASS_COUNT", how)
            .output()
            .expect("the test can be started");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()), "{how}: {text}");
        assert!(text.contains("so far") && !text.contains("too far"), "{how}: {text}");
    }
}
