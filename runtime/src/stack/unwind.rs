//! From a sample (registers and a copy of the stack) to the addresses of its frames.
//!
//! One step finds the unwind table's row for the program counter. The row says how to compute the
//! frame's canonical address (CFA: the caller's stack pointer) and where the caller's registers are
//! saved. That needs registers which the row names; of a running thread all are known.
//!
//! Of a thread blocked in the kernel only the stack pointer is. That carries through functions
//! without a frame pointer, and as soon as one of them has saved the frame pointer, it is known too.
//! Where it is missing, there are two ways on:
//! 1. The function's first instructions tell the size of its frame (x86-64, see [`code`]), and so
//!    where the frame pointer was saved: exact, and checked for a return address at that place.
//! 2. Else the stack is searched for the next pair of a frame pointer and a return address. That may
//!    skip a frame, or find one from an earlier call in a part of the stack not yet written; the
//!    frames beyond are right again.

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameOffset, Encoding, EndianSlice, EvaluationResult,
    Location, NativeEndian, Piece, RegisterRule, UnwindContext, UnwindExpression, UnwindSection,
    UnwindTableRow, Value,
};

use super::memory::{Memory, StackCopy};
use super::module::{Entry, Mappings, Module};
use super::registers::{FRAME_POINTER, Registers, STACK_POINTER};
use super::{MAX_FRAMES, code};

/// What was copied from a thread.
pub(super) struct Sample {
    pub(super) registers: Registers,
    pub(super) stack: StackCopy,
}

type Section<'a> = EhFrame<EndianSlice<'a, NativeEndian>>;

/// The frames of `sample`, innermost first: at least the one in which the thread was.
pub(super) fn unwind(sample: &Sample, memory: &Memory) -> Vec<u64> {
    let mut addresses = vec![sample.registers.program_counter()];
    let Some(mappings) = Mappings::read() else {
        return addresses;
    };
    let mut unwinder = Unwinder {
        memory,
        mappings,
        module: None,
        context: UnwindContext::new(),
        stack: &sample.stack,
        registers: sample.registers.clone(),
        is_after_call: false,
    };
    while addresses.len() < MAX_FRAMES && unwinder.step().is_some() {
        addresses.push(unwinder.address());
    }
    addresses
}

struct Unwinder<'a> {
    memory: &'a Memory,
    mappings: Mappings,
    /// The last one that was needed; most neighbours are in the same.
    module: Option<Module>,
    context: UnwindContext<usize>,
    stack: &'a StackCopy,
    /// Those of the frame reached.
    registers: Registers,
    /// Whether the program counter is a return address, so that the call is right before it. The
    /// innermost frame's is not, nor that of a frame which a signal interrupted.
    is_after_call: bool,
}

impl Unwinder<'_> {
    /// An address inside of the instruction at which the frame is.
    fn address(&self) -> u64 {
        self.registers.program_counter() - u64::from(self.is_after_call)
    }

    /// Goes on to the caller; `None` at the outer end, or where the way is lost.
    fn step(&mut self) -> Option<()> {
        let old_stack_pointer = self.registers.stack_pointer()?;
        let is_innermost = !self.is_after_call;
        match self.entry() {
            Some(entry) => self.step_by_entry(&entry)?,
            // Code without unwind tables (assembly, generated code) at least keeps the chain.
            None => self.step_by_frame_pointer()?,
        }
        let stack_pointer = self.registers.stack_pointer()?;
        // Only a leaf function of aarch64 has no frame at all; everything else is a circle.
        let has_moved = stack_pointer > old_stack_pointer;
        let may_stay = is_innermost && stack_pointer == old_stack_pointer;
        let is_inside = self.stack.addresses().contains(&(stack_pointer - 1)) || may_stay;
        let is_code = self.mappings.is_code(self.registers.program_counter());
        ((has_moved || may_stay) && is_inside && is_code).then_some(())
    }

    fn entry(&mut self) -> Option<Entry> {
        let address = self.address();
        if !self.module.as_ref().is_some_and(|module| module.covers(address)) {
            self.module = self.mappings.module_at(address, self.memory);
        }
        self.module.as_ref()?.entry(address, self.memory)
    }

    fn step_by_entry(&mut self, entry: &Entry) -> Option<()> {
        let address = self.address();
        let mut section = Section::new(&entry.section, NativeEndian);
        section.set_address_size(8);
        #[cfg(target_arch = "aarch64")]
        section.set_vendor(gimli::Vendor::AArch64);
        let bases = BaseAddresses::default().set_eh_frame(entry.section_start);
        let function = section
            .fde_from_offset(&bases, EhFrameOffset(entry.offset), Section::cie_from_offset)
            .ok()?;
        if !function.contains(address) {
            return self.step_by_frame_pointer();
        }
        // Taken out, so that the row may borrow from it while the rest is in use.
        let mut context = std::mem::take(&mut self.context);
        let result = function
            .unwind_info_for_address(&section, &bases, &mut context, address)
            .ok()
            .and_then(|row| {
                let frame = Frame {
                    registers: &self.registers,
                    stack: self.stack,
                    section: &section,
                    encoding: function.cie().encoding(),
                };
                let cfa = match frame.canonical_address(row) {
                    Some(cfa) => cfa,
                    None => self.canonical_address_without_register(function.initial_address())?,
                };
                frame.caller(row, cfa, function.cie().return_address_register())
            });
        self.context = context;
        self.registers = result?;
        self.is_after_call = !function.is_signal_trampoline();
        Some(())
    }

    /// Finds where the frame ends although the register that tells is not known.
    fn canonical_address_without_register(&self, function: u64) -> Option<u64> {
        let stack_pointer = self.registers.stack_pointer()?;
        let layout = code::layout(function, self.address(), self.memory);
        let mut ends = layout.and_then(|layout| layout.ends(stack_pointer)).into_iter().flatten();
        let is_end = |cfa: &u64| self.stack.word(cfa - 8).is_some_and(|word| self.is_return(word));
        ends.find(is_end).or_else(|| self.search_frame_record(stack_pointer).map(|at| at + 16))
    }

    /// Takes the frame pointer for what it should be: the address of the caller's, followed by the
    /// return address.
    fn step_by_frame_pointer(&mut self) -> Option<()> {
        let record = match self.registers.get(FRAME_POINTER) {
            Some(frame_pointer) => frame_pointer,
            None => self.search_frame_record(self.registers.stack_pointer()?)?,
        };
        let return_address = self.stack.word(record.checked_add(8)?)?;
        if !self.is_return(return_address) {
            return None;
        }
        self.registers.set(FRAME_POINTER, self.stack.word(record));
        self.registers.set(STACK_POINTER, Some(record + 16));
        self.registers.set_program_counter(return_address);
        self.is_after_call = true;
        Some(())
    }

    /// The first place from `stack_pointer` on that looks like a saved frame pointer and a return
    /// address.
    fn search_frame_record(&self, stack_pointer: u64) -> Option<u64> {
        let first = stack_pointer.checked_next_multiple_of(8)?;
        let end = self.stack.addresses().end;
        let is_outer = |outer| (first..end).contains(&outer) && outer % 8 == 0;
        (first..end).step_by(8).find(|&at| {
            let saved = self.stack.word(at).filter(|&saved| saved > at && is_outer(saved));
            let next = saved.and_then(|_| self.stack.word(at + 8));
            next.is_some_and(|next| self.is_return(next))
        })
    }

    fn is_return(&self, address: u64) -> bool {
        self.mappings.is_code(address) && code::follows_call(address, self.memory)
    }
}

/// One frame with the row of the unwind table that is about it.
struct Frame<'a> {
    registers: &'a Registers,
    stack: &'a StackCopy,
    section: &'a Section<'a>,
    encoding: Encoding,
}

impl Frame<'_> {
    fn canonical_address(&self, row: &UnwindTableRow<usize>) -> Option<u64> {
        match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                self.registers.get(*register)?.checked_add_signed(*offset)
            }
            CfaRule::Expression(expression) => self.evaluate(expression, None),
        }
    }

    /// The caller's registers. What the row does not mention is unchanged.
    fn caller(
        &self,
        row: &UnwindTableRow<usize>,
        cfa: u64,
        return_address: gimli::Register,
    ) -> Option<Registers> {
        let mut caller = self.registers.clone();
        caller.set(STACK_POINTER, Some(cfa));
        let mut program_counter = self.registers.get(return_address);
        for (register, rule) in row.registers() {
            let value = match rule {
                RegisterRule::SameValue => self.registers.get(*register),
                RegisterRule::Offset(offset) => self.stack.word(cfa.checked_add_signed(*offset)?),
                RegisterRule::ValOffset(offset) => Some(cfa.checked_add_signed(*offset)?),
                RegisterRule::Register(other) => self.registers.get(*other),
                RegisterRule::Expression(expression) => self
                    .evaluate(expression, Some(cfa))
                    .and_then(|address| self.stack.word(address)),
                RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(cfa)),
                _ => None,
            };
            caller.set(*register, value);
            if *register == return_address {
                program_counter = value;
            }
        }
        caller.set_program_counter(program_counter.filter(|&address| address > 1)?);
        Some(caller)
    }

    /// Computes an expression, such as those for signal frames and for the stubs of the linker.
    fn evaluate(&self, expression: &UnwindExpression<usize>, cfa: Option<u64>) -> Option<u64> {
        let expression = expression.get(self.section).ok()?;
        let mut evaluation = expression.evaluation(self.encoding);
        evaluation.set_max_iterations(1000);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = self.registers.get(register)?;
                    evaluation.resume_with_register(Value::Generic(value)).ok()?
                }
                EvaluationResult::RequiresMemory { address, .. } => {
                    let value = self.stack.word(address)?;
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result().first()? {
            Piece { location: Location::Address { address }, .. } => Some(*address),
            _ => None,
        }
    }
}
