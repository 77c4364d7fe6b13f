//! Panics of code that is not ours, in places where they are nobody's result.

use std::any::Any;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};

/// Calls `f`; a panic in it ends here. The panic hook has printed it.
pub(crate) fn contain(f: impl FnOnce()) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
        drop_payload(payload);
    }
}

/// Drops `value`; a panic in its `Drop` ends here.
pub(crate) fn drop_quietly<T>(value: T) {
    contain(|| drop(value));
}

/// A payload may panic when it is dropped, and so may that panic's payload. Two are enough: the
/// third is leaked.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(second) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Prints a line to stderr. A closed stderr is no reason to panic, as `eprintln!` does.
pub(crate) fn print_line(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    struct PanicOnDrop;

    impl Drop for PanicOnDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    #[test]
    fn a_payload_that_panics_when_it_is_dropped_is_contained() {
        contain(|| panic::panic_any(PanicOnDrop));
        drop_quietly(PanicOnDrop);
    }
}
