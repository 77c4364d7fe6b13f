//! The names of functions in the symbol tables of the modules.
//!
//! Debug information of the kind `line-tables-only` has the path of a function only where it was
//! inlined; the function itself is just `render`. Its symbol is `my_service::report::render`.

use std::fs::File;
use std::os::unix::fs::FileExt;

use backtrace::SymbolName;

use super::memory::{u16_at, u32_at, u64_at};
use super::module::Mappings;

/// A larger table than this is not read, in bytes.
const MAX_TABLE: usize = 256 << 20;

/// A section header's kind for a table of symbols.
const SYMBOLS: u32 = 2;

/// A symbol's kind for a function, in the low bits of its byte.
const FUNCTION: u8 = 2;

/// The functions of the modules that are mapped, read when they are needed.
pub(super) struct Functions {
    mappings: Option<Mappings>,
    /// The last one that was needed, and the path that it is of.
    table: Option<(String, Option<Table>)>,
}

/// One module's functions.
struct Table {
    file: File,
    /// Of each part of the file that is loaded: its offset, its length, its address in the module.
    loads: Vec<[u64; 3]>,
    /// As in the file: records of [`RECORD`] bytes.
    symbols: Vec<u8>,
    /// Where in the file the names are.
    names: u64,
}

const RECORD: usize = 24;

impl Functions {
    pub(super) fn new() -> Functions {
        Functions { mappings: Mappings::read(), table: None }
    }

    /// The whole name of the function with the code at `address`.
    pub(super) fn name(&mut self, address: u64) -> Option<String> {
        let (path, offset) = self.mappings.as_ref()?.file_at(address)?;
        if self.table.as_ref().is_none_or(|(of, _)| of != path) {
            self.table = Some((path.to_owned(), Table::read(path)));
        }
        let (_, table) = self.table.as_ref()?;
        let name = table.as_ref()?.name(offset)?;
        Some(format!("{:#}", SymbolName::new(&name)))
    }
}

impl Table {
    fn read(path: &str) -> Option<Table> {
        let file = File::open(path).ok()?;
        let header = bytes(&file, 0, 64)?;
        if header[..5] != *b"\x7fELF\x02" {
            return None;
        }
        let segments = bytes(&file, u64_at(&header, 32), usize::from(u16_at(&header, 56)) * 56)?;
        let loads = segments.chunks_exact(56).filter(|segment| u32_at(segment, 0) == 1);
        let loads = loads.map(|load| [u64_at(load, 8), u64_at(load, 32), u64_at(load, 16)]);
        let loads = loads.collect();
        let sections = bytes(&file, u64_at(&header, 40), usize::from(u16_at(&header, 60)) * 64)?;
        let mut sections = sections.chunks_exact(64);
        let symbols = sections.clone().find(|section| u32_at(section, 4) == SYMBOLS)?;
        let names = u64_at(sections.nth(u32_at(symbols, 40) as usize)?, 24);
        let len = usize::try_from(u64_at(symbols, 32)).ok()?;
        let symbols = bytes(&file, u64_at(symbols, 24), len)?;
        Some(Table { file, loads, symbols, names })
    }

    /// The name of the function with the code at `offset` of the file.
    fn name(&self, offset: u64) -> Option<Vec<u8>> {
        let inside =
            |load: &&[u64; 3]| (load[0]..load[0].saturating_add(load[1])).contains(&offset);
        let load = self.loads.iter().find(inside)?;
        let address = (offset - load[0]).checked_add(load[2])?;
        let symbol = self.symbols.chunks_exact(RECORD).find(|symbol| {
            let (start, size) = (u64_at(symbol, 8), u64_at(symbol, 16));
            symbol[4] & 0x0f == FUNCTION && address.wrapping_sub(start) < size
        })?;
        let mut name = vec![0; 4096];
        let at = self.names.checked_add(u32_at(symbol, 0).into())?;
        let filled = self.file.read_at(&mut name, at).ok()?;
        name.truncate(name[..filled].iter().position(|&byte| byte == 0)?);
        Some(name)
    }
}

fn bytes(file: &File, offset: u64, len: usize) -> Option<Vec<u8>> {
    if len > MAX_TABLE {
        return None;
    }
    let mut buf = vec![0; len];
    file.read_exact_at(&mut buf, offset).ok()?;
    Some(buf)
}
