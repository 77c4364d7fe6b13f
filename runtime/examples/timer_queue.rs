//! The timer queue of C tutorials: an event after two seconds, one after four, and one that is taken
//! back before its time.
//!
//! ```text
//! cargo run --release --example timer_queue
//! cargo run --release --example timer_queue -- --paused
//! ```

use std::time::Duration;

use clap::Parser;
use runtime::JoinHandle;
use runtime::time::{self, Instant, sleep};

/// Fires two events, after 2 s and after 4 s.
#[derive(Parser)]
struct Arguments {
    /// Stop the clock, so that it jumps from event to event: the same times, without the wait.
    #[arg(long)]
    paused: bool,
}

fn main() {
    run(Arguments::parse());
}

#[runtime::main(scheduler = "single-threaded")]
async fn run(arguments: Arguments) {
    if arguments.paused {
        time::pause();
    }
    let began = Instant::now();
    let say = move |what: &str| println!("{} s: {what}", began.elapsed().as_secs());

    say("three events are queued");
    let late = after(Duration::from_secs(4), move || say("the second event"));
    let soon = after(Duration::from_secs(2), move || say("the first event"));
    let never = after(Duration::from_secs(3), move || say("taken back, so nobody reads this"));
    never.abort();

    // Where the C program has its loop. The thread sleeps until the next event is due, and nothing
    // looks at a clock meanwhile.
    for event in [soon, late] {
        event.await.expect("it does not panic");
    }
    say("the queue is empty");
}

/// Calls `event` when `delay` is over, unless the handle is aborted before.
fn after(delay: Duration, event: impl FnOnce() + 'static) -> JoinHandle<()> {
    // From now on, not from when the task first runs.
    let due = sleep(delay);
    runtime::spawn_local(async move {
        due.await;
        event();
    })
}
