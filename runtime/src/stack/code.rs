//! Reading machine code: just enough to find where a frame ends and to recognise calls.

use super::memory::Memory;

/// How a function lays out its frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The bytes for the return address, the saved frame pointer and pushed registers.
    pushed: u64,
    /// What the stack pointer is rounded down to after that, if more than the usual 16.
    alignment: u64,
    /// The bytes below.
    reserved: u64,
}

impl Layout {
    /// Where the frame may end, given the stack pointer at a call in the function.
    pub(super) fn ends(&self, stack_pointer: u64) -> Option<impl Iterator<Item = u64> + use<>> {
        let first = stack_pointer.checked_add(self.reserved)?.checked_add(self.pushed)?;
        let end = first.checked_add(self.alignment)?;
        // A caller's stack pointer is a multiple of 16.
        Some((first.checked_next_multiple_of(16)?..end).step_by(16))
    }
}

/// Reads the first instructions of the function that is at `address`; `None` if they are not the
/// plain ones, or not all done at `address`.
///
/// Plain are: push the frame pointer, set it, push registers, align the stack pointer, subtract
/// constants from it (and touch each page). Then the stack pointer is the same at each call in the
/// function, unless it has a variable on its stack whose size is not known in advance, which Rust
/// does not have.
#[cfg(target_arch = "x86_64")]
pub(super) fn layout(function: u64, address: u64, memory: &Memory) -> Option<Layout> {
    let mut buf = [0; 160];
    let len = memory.read(function, &mut buf);
    let code = &buf[..len];
    let code = code.strip_prefix(b"\xf3\x0f\x1e\xfa").unwrap_or(code); // endbr64
    let code = code.strip_prefix(b"\x55")?; // push rbp
    let set = [b"\x48\x89\xe5", b"\x48\x8b\xec"]; // mov rbp, rsp: two encodings
    let mut code = set.iter().find_map(|set| code.strip_prefix(*set))?;
    let mut layout = Layout { pushed: 16, alignment: 16, reserved: 0 };
    let distance = |a: &[u8; 4]| u64::from(i32::from_le_bytes(*a).unsigned_abs());
    loop {
        code = match code {
            // push r8..r15; push rax..rdi but for rsp
            [0x41, 0x50..=0x57, rest @ ..] | [0x50..=0x53 | 0x55..=0x57, rest @ ..] => {
                layout.pushed += 8;
                rest
            }
            // and rsp, imm8; and rsp, imm32
            [0x48, 0x83, 0xe4, imm, rest @ ..] => {
                layout.alignment = 256 - u64::from(*imm);
                rest
            }
            [0x48, 0x81, 0xe4, a, b, c, d, rest @ ..] => {
                layout.alignment = distance(&[*a, *b, *c, *d]);
                rest
            }
            // sub rsp, imm8; sub rsp, imm32; add rsp, -128, which is shorter than sub rsp, 128
            [0x48, 0x83, 0xec, imm, rest @ ..] => {
                layout.reserved += u64::from(*imm);
                rest
            }
            [0x48, 0x81, 0xec, a, b, c, d, rest @ ..] => {
                layout.reserved += distance(&[*a, *b, *c, *d]);
                rest
            }
            [0x48, 0x83, 0xc4, 0x80, rest @ ..] => {
                layout.reserved += 128;
                rest
            }
            // mov qword ptr [rsp], 0: touches a page
            [0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, rest @ ..] => rest,
            // lea r11, [rsp - imm32], and a loop that touches each page down to there
            [0x4c, 0x8d, 0x9c, 0x24, a, b, c, d, rest @ ..] => {
                layout.reserved += distance(&[*a, *b, *c, *d]);
                rest.strip_prefix(TOUCH_EACH)?
            }
            _ => break,
        };
    }
    // Before the last of these instructions, the frame is not complete.
    let laid_out = function + (len - code.len()) as u64;
    (address >= laid_out).then_some(layout)
}

/// `sub rsp, 4096; mov qword ptr [rsp], 0; cmp rsp, r11`, and `jne` to the first of these.
#[cfg(target_arch = "x86_64")]
const TOUCH_EACH: &[u8] =
    b"\x48\x81\xec\x00\x10\x00\x00\x48\xc7\x04\x24\x00\x00\x00\x00\x4c\x39\xdc\x75\xec";

/// Not known for this architecture: functions differ in where in the frame they keep the pointer.
#[cfg(target_arch = "aarch64")]
pub(super) fn layout(_function: u64, _address: u64, _memory: &Memory) -> Option<Layout> {
    None
}

/// Whether the instruction before `address` is a call, so that `address` may be a return address.
#[cfg(target_arch = "x86_64")]
pub(super) fn follows_call(address: u64, memory: &Memory) -> bool {
    let Some(code) = address.checked_sub(7).and_then(|from| memory.read_array::<7>(from)) else {
        return false;
    };
    // A direct call has 5 bytes. An indirect one has an optional prefix, 0xff, and a byte with the
    // operation 2 in its middle bits, followed by 0, 1, 2, 4 or 5 bytes more.
    let is_indirect = |len: usize| {
        let at = code.len() - len;
        code[at] == 0xff && (code[at + 1] >> 3) & 7 == 2
    };
    code[2] == 0xe8 || [2, 3, 4, 6, 7].into_iter().any(is_indirect)
}

/// Whether the instruction before `address` is a call, so that `address` may be a return address.
#[cfg(target_arch = "aarch64")]
pub(super) fn follows_call(address: u64, memory: &Memory) -> bool {
    let Some(code) = address.checked_sub(4).and_then(|from| memory.read_u32(from)) else {
        return false;
    };
    let is_direct = code & 0xfc00_0000 == 0x9400_0000;
    // With and without authentication of the pointer.
    let is_indirect = code & 0xffff_fc1f == 0xd63f_0000 || code & 0xfeff_f800 == 0xd63f_0800;
    is_direct || is_indirect
}

#[cfg(all(test, not(windlass_loom)))]
#[cfg(target_arch = "x86_64")]
mod tests {
    use super::*;

    fn memory() -> Memory {
        Memory::open().expect("tests can read their memory")
    }

    fn start(code: &[u8]) -> u64 {
        code.as_ptr().addr() as u64
    }

    #[test]
    fn frames_are_laid_out_as_the_first_instructions_do() {
        let frame = b"\x55\x48\x89\xe5"; // push rbp; mov rbp, rsp
        let touching = [b"\x4c\x8d\x9c\x24\x00\xe0\xff\xff", TOUCH_EACH].concat();
        for (name, rest, pushed, alignment, reserved) in [
            ("push r15; push rbx", b"\x41\x57\x53".as_slice(), 32, 16, 0),
            ("push rbx; sub rsp, 40", b"\x53\x48\x83\xec\x28", 24, 16, 40),
            ("sub rsp, 512", b"\x48\x81\xec\x00\x02\x00\x00", 16, 16, 512),
            ("add rsp, -128", b"\x48\x83\xc4\x80", 16, 16, 128),
            ("and rsp, -64; sub rsp, 64", b"\x48\x83\xe4\xc0\x48\x83\xec\x40", 16, 64, 64),
            ("lea r11, [rsp - 8192]; ..", &touching, 16, 16, 8192),
        ] {
            let code = [frame, rest, &[0xe8; 160]].concat();
            let done = start(&code) + (frame.len() + rest.len()) as u64;
            let expected = Layout { pushed, alignment, reserved };
            assert_eq!(layout(start(&code), done, &memory()), Some(expected), "{name}");
            assert_eq!(layout(start(&code), done - 1, &memory()), None, "{name}, not yet done");
        }
        let code = [b"\x53\x48\x83\xec\x20".as_slice(), &[0xe8; 160]].concat();
        assert_eq!(layout(start(&code), start(&code) + 5, &memory()), None, "no frame pointer");
    }

    #[test]
    fn an_aligned_frame_may_end_at_several_places() {
        let ends = |pushed, alignment, reserved| {
            let layout = Layout { pushed, alignment, reserved };
            layout.ends(0x1000).map(Iterator::collect::<Vec<_>>)
        };
        assert_eq!(ends(24, 16, 40), Some(vec![0x1040]));
        assert_eq!(ends(16, 64, 64), Some(vec![0x1050, 0x1060, 0x1070, 0x1080]));
        assert_eq!(ends(16, 16, u64::MAX), None);
    }

    #[test]
    fn calls_are_told_from_other_instructions() {
        for (name, code, expected) in [
            ("call rel32", b"\x90\x90\xe8\x01\x00\x00\x00", true),
            ("call [rip + 1]", b"\x90\xff\x15\x01\x00\x00\x00", true),
            ("call rax", b"\x90\x90\x90\x90\x90\xff\xd0", true),
            ("call [rax + 24]", b"\x90\x90\x90\x90\xff\x50\x18", true),
            ("jmp rax", b"\x90\x90\x90\x90\x90\xff\xe0", false),
            ("jmp rel32", b"\x90\x90\xe9\x01\x00\x00\x00", false),
        ] {
            assert_eq!(follows_call(start(code) + 7, &memory()), expected, "{name}");
        }
        assert!(!follows_call(1, &memory()), "nothing is there");
    }
}
