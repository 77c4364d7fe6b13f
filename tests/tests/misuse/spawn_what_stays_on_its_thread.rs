//! A task that may move must not keep across an `.await` what stays on its thread.

use std::rc::Rc;

fn main() {
    runtime::spawn(async {
        let shared = Rc::new(1);
        runtime::task::yield_now().await;
        drop(shared);
    });
}
