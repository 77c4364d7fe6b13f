//! What a program says at its end where a panic ends it.

use std::panic;
use std::sync::Once;
use std::thread;

use crate::handle::current_task;
use crate::panics::print_line;

/// Has each panic followed by a line that names the task in which it happened, from now on and once
/// and for all. For programs with `panic = "abort"`.
///
/// Nothing unwinds there and no destructor runs, so that the panic hook is the last code of ours
/// that is called. What the program's own hook does comes first, for it may do what it likes, not
/// return included. A hook that is set later takes the place of this one, as it would of any.
pub(crate) fn name_the_task() {
    static DONE: Once = Once::new();
    // To change the hook in a panic is itself a panic. The process is at its end then.
    if thread::panicking() {
        return;
    }
    DONE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            before(info);
            if let Some(task) = current_task() {
                print_line(format_args!(
                    "runtime: this was inside {task}; the program is built with `panic = \"abort\"`, \
                     so it ends here"
                ));
            }
        }));
    });
}
