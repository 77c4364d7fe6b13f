//! A handle gives its output to whoever awaits it: with one that stays, it stays too.

use std::rc::Rc;

fn elsewhere<T: Send>(_: T) {}

fn main() {
    elsewhere(runtime::spawn_local(async { Rc::new(1) }));
}
