//! A blocking call runs on another thread.

use std::rc::Rc;

fn main() {
    let shared = Rc::new(1);
    runtime::spawn_blocking(move || drop(shared));
}
