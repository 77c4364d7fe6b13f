//! The registers that unwinding needs, by their numbers in DWARF, on the architectures that we know.

use gimli::Register;

#[cfg(target_arch = "x86_64")]
mod arch {
    use gimli::{Register, X86_64};

    pub(in super::super) const COUNT: usize = 16;
    pub(in super::super) const STACK_POINTER: Register = X86_64::RSP;
    pub(in super::super) const FRAME_POINTER: Register = X86_64::RBP;
    /// An address has no other bits than these.
    pub(in super::super) const ADDRESS_BITS: u64 = u64::MAX;
}

#[cfg(target_arch = "aarch64")]
mod arch {
    use gimli::{AArch64, Register};

    pub(in super::super) const COUNT: usize = 32;
    pub(in super::super) const STACK_POINTER: Register = AArch64::SP;
    pub(in super::super) const FRAME_POINTER: Register = AArch64::X29;
    /// The bits above may hold a signature (pointer authentication).
    pub(in super::super) const ADDRESS_BITS: u64 = (1 << 48) - 1;
}

pub(super) use arch::{COUNT, FRAME_POINTER, STACK_POINTER};

/// The registers of one frame, as far as they are known.
#[derive(Debug, Clone)]
pub(super) struct Registers {
    values: [Option<u64>; COUNT],
    program_counter: u64,
}

impl Registers {
    /// All registers, in the order of their numbers in DWARF.
    pub(super) fn of_running(program_counter: u64, values: [u64; COUNT]) -> Registers {
        Registers { values: values.map(Some), program_counter }
    }

    /// Nothing but where a thread is and where its stack is.
    pub(super) fn of_blocked(program_counter: u64, stack_pointer: u64) -> Registers {
        let mut registers = Registers { values: [None; COUNT], program_counter };
        registers.set(STACK_POINTER, Some(stack_pointer));
        registers
    }

    pub(super) fn get(&self, register: Register) -> Option<u64> {
        *self.values.get(usize::from(register.0))?
    }

    /// Registers without a place here (vectors, flags) are forgotten.
    pub(super) fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(slot) = self.values.get_mut(usize::from(register.0)) {
            *slot = value;
        }
    }

    pub(super) fn program_counter(&self) -> u64 {
        self.program_counter
    }

    pub(super) fn set_program_counter(&mut self, address: u64) {
        self.program_counter = address & arch::ADDRESS_BITS;
    }

    pub(super) fn stack_pointer(&self) -> Option<u64> {
        self.get(STACK_POINTER)
    }
}

/// The program counter, the registers in the order of their numbers in DWARF, the stack pointer.
#[cfg(target_arch = "x86_64")]
pub(super) fn read_registers(context: &libc::ucontext_t) -> (u64, [u64; COUNT], u64) {
    let get = |index: std::ffi::c_int| context.uc_mcontext.gregs[index as usize] as u64;
    let registers = [
        get(libc::REG_RAX),
        get(libc::REG_RDX),
        get(libc::REG_RCX),
        get(libc::REG_RBX),
        get(libc::REG_RSI),
        get(libc::REG_RDI),
        get(libc::REG_RBP),
        get(libc::REG_RSP),
        get(libc::REG_R8),
        get(libc::REG_R9),
        get(libc::REG_R10),
        get(libc::REG_R11),
        get(libc::REG_R12),
        get(libc::REG_R13),
        get(libc::REG_R14),
        get(libc::REG_R15),
    ];
    (get(libc::REG_RIP), registers, get(libc::REG_RSP))
}

/// The program counter, the registers in the order of their numbers in DWARF, the stack pointer.
#[cfg(target_arch = "aarch64")]
pub(super) fn read_registers(context: &libc::ucontext_t) -> (u64, [u64; COUNT], u64) {
    let machine = &context.uc_mcontext;
    let mut registers = [machine.sp; COUNT];
    registers[..31].copy_from_slice(&machine.regs);
    (machine.pc, registers, machine.sp)
}
