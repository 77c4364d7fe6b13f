//! A runtime may be kept in a thread-local, whose destructor ends it.
//!
//! In a file of its own: when this breaks, the process is aborted.

use std::cell::RefCell;
use std::future::pending;
use std::thread;

use runtime::Runtime;
use windlass_tests::{DropCount, single_threaded, watch, work_stealing};

#[test]
fn a_runtime_may_end_in_the_destructor_of_a_thread_local() {
    thread_local! {
        static EARLY: RefCell<Option<Runtime>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    let _watchdog = watch();
    let makes: [fn() -> Runtime; 2] = [single_threaded, || work_stealing(2)];
    for make in makes {
        let drops = DropCount::new();
        let counter = drops.clone();
        let owner = thread::spawn(move || {
            // One is torn down before the thread-locals of the runtime, one after them.
            EARLY.with(|_| ());
            for place in [&EARLY, &LATE] {
                let runtime = make();
                let token = counter.token();
                let task = runtime.spawn(async move {
                    let _token = token;
                    pending::<()>().await
                });
                runtime.block_on(runtime::task::yield_now());
                drop(task);
                place.set(Some(runtime));
            }
        });
        owner.join().expect("no panic");
        assert_eq!(drops.get(), 2);
    }
}
