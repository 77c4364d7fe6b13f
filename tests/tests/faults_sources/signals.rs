//! Signals, among several runtimes.

use runtime::signal::{SignalKind, signal};
use rustix::process::{Signal as Number, getpid, kill_process};
use windlass_tests::{single_threaded, work_stealing};

use super::{alone, both_modes};

fn send(number: Number) {
    kill_process(getpid(), number).expect("this process runs");
}

#[test]
fn of_two_runtimes_that_listen_the_end_of_one_takes_nothing_from_the_other() {
    let _alone = alone();
    both_modes(|runtime| {
        let listen = || signal(SignalKind::user_defined1()).expect("it exists");
        let mut stays = runtime.block_on(async { listen() });
        for round in 0..50 {
            let other = if round % 2 == 0 { single_threaded() } else { work_stealing(2) };
            let mut leaves = other.block_on(async { listen() });
            send(Number::USR1);
            assert_eq!(other.block_on(leaves.recv()), Some(()));
            assert_eq!(runtime.block_on(stays.recv()), Some(()));
            drop(other);
            // The runtime is gone, its listener is not.
            send(Number::USR1);
            assert_eq!(runtime.block_on(stays.recv()), Some(()));
            // What had arrived before the end is still told.
            while runtime.block_on(leaves.recv()).is_some() {}
            drop(leaves);
            send(Number::USR1);
            assert_eq!(runtime.block_on(stays.recv()), Some(()));
        }
    });
}
