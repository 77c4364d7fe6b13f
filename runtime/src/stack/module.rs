//! The mapped modules (program, libraries, vDSO) and their unwind tables.
//!
//! They are found through `/proc/self/maps` and read through [`Memory`], which needs no lock of the
//! loader and no trust that a library stays loaded. Of `.eh_frame` only one entry at a time is read:
//! `.eh_frame_hdr` has a sorted table of functions, and a binary search in it takes some 20 reads.

use std::fs;
use std::ops::Range;

use super::memory::{Memory, u16_at, u32_at, u64_at};

/// What is mapped where in this process, at one moment.
pub(super) struct Mappings {
    /// Ascending.
    list: Vec<Mapping>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mapping {
    range: Range<u64>,
    is_executable: bool,
    offset: u64,
    /// Device and inode.
    file: (String, u64),
    /// Empty, in brackets, or of a file.
    path: String,
}

impl Mappings {
    pub(super) fn read() -> Option<Mappings> {
        let text = fs::read_to_string("/proc/self/maps").ok()?;
        Some(Mappings { list: text.lines().filter_map(Mapping::parse).collect() })
    }

    pub(super) fn is_code(&self, address: u64) -> bool {
        self.position(address).is_some_and(|at| self.list[at].is_executable)
    }

    /// The file that is mapped at `address`, and the offset in it.
    pub(super) fn file_at(&self, address: u64) -> Option<(&str, u64)> {
        let mapping = &self.list[self.position(address)?];
        let offset = mapping.offset.checked_add(address - mapping.range.start)?;
        mapping.path.starts_with('/').then_some((&*mapping.path, offset))
    }

    /// The module whose code is at `address`.
    pub(super) fn module_at(&self, address: u64, memory: &Memory) -> Option<Module> {
        let at = self.position(address)?;
        let code = &self.list[at];
        if !code.is_executable {
            return None;
        }
        // The header of the file is in the nearest mapping of its beginning; the vDSO has only one.
        let head = self.list[..=at].iter().rfind(|m| m.offset == 0 && m.file == code.file)?;
        Module::read(head.range.start, code.range.clone(), memory)
    }

    fn position(&self, address: u64) -> Option<usize> {
        let at = self.list.partition_point(|m| m.range.end <= address);
        self.list.get(at)?.range.contains(&address).then_some(at)
    }
}

impl Mapping {
    /// Parses `start-end rwxp offset device inode path`.
    fn parse(line: &str) -> Option<Mapping> {
        // The path is behind a run of blanks, and may contain some.
        let mut fields = line.splitn(6, ' ');
        let (start, end) = fields.next()?.split_once('-')?;
        let permissions = fields.next()?;
        let offset = fields.next()?;
        let device = fields.next()?;
        let inode = fields.next()?;
        let path = fields.next().unwrap_or_default().trim_start();
        Some(Mapping {
            path: path.to_owned(),
            range: u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?,
            is_executable: permissions.contains('x'),
            offset: u64::from_str_radix(offset, 16).ok()?,
            file: (device.to_owned(), inode.parse().ok()?),
        })
    }
}

/// A module's index of functions.
pub(super) struct Module {
    /// The mapping that was asked for; a module may have more code elsewhere.
    code: Range<u64>,
    /// Where `.eh_frame_hdr` is; what its table says is relative to it.
    header: u64,
    functions: u64,
}

/// The unwind information of one function.
pub(super) struct Entry {
    /// The common entry (CIE) and the function's own (FDE), joined to one small section.
    pub(super) section: Vec<u8>,
    /// Where the section would have to be for the function's entry to be where it was.
    pub(super) section_start: u64,
    /// The function's entry in the section.
    pub(super) offset: usize,
}

/// Longer unwind information than this is taken for nonsense, in bytes.
const MAX_ENTRY: usize = 1 << 20;

/// The offset of the table in `.eh_frame_hdr`, with the encodings below.
const TABLE: u64 = 12;

/// Two 32-bit offsets: of a function and of its entry.
const ROW: u64 = 8;

impl Module {
    fn read(base: u64, code: Range<u64>, memory: &Memory) -> Option<Module> {
        let file_header: [u8; 64] = memory.read_array(base)?;
        if file_header[..5] != *b"\x7fELF\x02" {
            return None;
        }
        let segments = u64_at(&file_header, 32);
        let segment_count = u16_at(&file_header, 56);
        let mut first_load = None;
        let mut unwind_header = None;
        for i in 0..u64::from(segment_count) {
            let at = base.wrapping_add(segments).wrapping_add(i * 56);
            let segment: [u8; 56] = memory.read_array(at)?;
            let address = u64_at(&segment, 16);
            match u32_at(&segment, 0) {
                1 if first_load.is_none() => first_load = Some(address & !4095),
                0x6474_e550 => unwind_header = Some(address),
                _ => {}
            }
        }
        let header = base.wrapping_sub(first_load?).wrapping_add(unwind_header?);
        // Version 1; where `.eh_frame` is: skipped, 4 bytes; the number of functions: 4 bytes; table:
        // signed offsets of 4 bytes. Linkers write no other encodings where a search is possible.
        let encodings: [u8; 4] = memory.read_array(header)?;
        if encodings[0] != 1 || encodings[1] & 0x0f != 0x0b || encodings[2..] != [0x03, 0x3b] {
            return None;
        }
        let functions = memory.read_u32(header + 8)?.into();
        Some(Module { code, header, functions })
    }

    pub(super) fn covers(&self, address: u64) -> bool {
        self.code.contains(&address)
    }

    /// The entry of the last function that starts at or before `address`.
    pub(super) fn entry(&self, address: u64, memory: &Memory) -> Option<Entry> {
        let row = |i: u64| self.header + TABLE + i * ROW;
        let (mut low, mut high) = (0, self.functions);
        while low < high {
            let middle = low.midpoint(high);
            if self.relative(row(middle), memory)? <= address {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Entry::read(self.relative(row(low.checked_sub(1)?) + 4, memory)?, memory)
    }

    /// Reads an offset from the header.
    fn relative(&self, at: u64, memory: &Memory) -> Option<u64> {
        let offset = i32::from_ne_bytes(memory.read_array(at)?);
        Some(self.header.wrapping_add_signed(offset.into()))
    }
}

impl Entry {
    /// Reads the function's entry at `address`, and the common one that it refers to.
    fn read(address: u64, memory: &Memory) -> Option<Entry> {
        let mut own = read_record(address, memory)?;
        let distance: [u8; 4] = own.get(4..8)?.try_into().expect("4 bytes");
        let common = (address + 4).checked_sub(u32::from_ne_bytes(distance).into())?;
        let mut section = read_record(common, memory)?;
        let offset = section.len();
        // In the joined section the common entry is right in front. Pointers in the function's entry
        // stay right, as they count from where they were; the common one has none that matters.
        let distance = u32::try_from(offset + 4).ok()?;
        own[4..8].copy_from_slice(&distance.to_ne_bytes());
        section.append(&mut own);
        Some(Entry { section, section_start: address.checked_sub(offset as u64)?, offset })
    }
}

/// Reads a length of 4 bytes and what it counts.
fn read_record(address: u64, memory: &Memory) -> Option<Vec<u8>> {
    let len = memory.read_u32(address)? as usize;
    if !(4..MAX_ENTRY).contains(&len) {
        return None;
    }
    memory.read_vec(address, len + 4)
}
