//! The memory of this process, read without the risk of a fault, and copies of stacks.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// As much of a stack as is copied, in bytes. The frames of a debug build or of a program with
/// large buffers on its stack are the reason that it is not less.
pub(super) const STACK_BYTES: usize = 256 * 1024;

/// This process' memory as a file: an address that is not mapped is an error, never a fault.
pub(super) struct Memory {
    file: File,
}

impl Memory {
    /// `None` where `/proc` is not mounted, or the process may not read its own memory.
    ///
    /// Opened anew for each capture: after a `fork` the file would still be the parent's memory.
    pub(super) fn open() -> Option<Memory> {
        Some(Memory { file: File::open("/proc/self/mem").ok()? })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Fills as much of `buf` as can be read from `address` on, and says how much that is.
    pub(super) fn read(&self, address: u64, buf: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < buf.len() {
            let Some(from) = address.checked_add(filled as u64) else {
                break;
            };
            match self.file.read_at(&mut buf[filled..], from) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        filled
    }

    pub(super) fn read_array<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut buf = [0; N];
        (self.read(address, &mut buf) == N).then_some(buf)
    }

    pub(super) fn read_u32(&self, address: u64) -> Option<u32> {
        self.read_array(address).map(u32::from_ne_bytes)
    }

    /// `None` if not all of it can be read.
    pub(super) fn read_vec(&self, address: u64, len: usize) -> Option<Vec<u8>> {
        let mut buf = vec![0; len];
        (self.read(address, &mut buf) == len).then_some(buf)
    }
}

/// A copy of the inner end of a stack, which a program may overwrite once it is taken.
pub(super) struct StackCopy {
    /// Where the first byte was.
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
}

impl StackCopy {
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64_at(bytes, 0))
    }

    pub(super) fn addresses(&self) -> Range<u64> {
        self.start..self.start + self.bytes.len() as u64
    }
}

/// How many bytes of a stack to copy: from `stack_pointer` to `outer`, within the limit.
pub(super) fn bytes_to_copy(stack_pointer: u64, outer: u64) -> usize {
    // A stack pointer beyond the outer end is on another stack, a signal's or a coroutine's.
    let wanted = outer.checked_sub(stack_pointer).unwrap_or(u64::MAX);
    usize::try_from(wanted).map_or(STACK_BYTES, |wanted| wanted.min(STACK_BYTES))
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().expect("the slice has 2 bytes"))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("the slice has 4 bytes"))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("the slice has 8 bytes"))
}
