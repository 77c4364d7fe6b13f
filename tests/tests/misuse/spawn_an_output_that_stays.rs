//! The output of a task that may move goes to another thread, so it must be able to.

use std::rc::Rc;

fn main() {
    runtime::spawn(async { Rc::new(1) });
}
