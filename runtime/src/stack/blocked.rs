//! A sample of a thread that sleeps in the kernel, taken without its help.

use super::memory::{Memory, StackCopy, bytes_to_copy};
use super::registers::Registers;
use super::thread::{Activity, Call, Thread};
use super::unwind::Sample;

/// Copies the stack of a thread blocked in `call`; `None` if it did not stay there long enough.
///
/// Of the registers, only the stack pointer and the program counter are known.
pub(super) fn sample(thread: &Thread, call: &Call, memory: &Memory) -> Option<Sample> {
    let start = call.stack_pointer;
    let mut bytes = vec![0; bytes_to_copy(start, thread.outer())];
    let filled = memory.read(start, &mut bytes);
    bytes.truncate(filled);
    let Some(Activity::Blocked(now)) = thread.activity() else {
        return None;
    };
    (now == *call).then(|| Sample {
        registers: Registers::of_blocked(call.program_counter, call.stack_pointer),
        stack: StackCopy { start, bytes },
    })
}
