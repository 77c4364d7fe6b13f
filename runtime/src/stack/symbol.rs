//! From addresses to the lines that a person reads.
//!
//! A stack has more frames than tell something: the innards of `std` under the call that sleeps,
//! adapters between an `async fn` and its caller, the scheduler around the task. What remains is
//! - from the outside: nothing outside of the task's poll, where it ends;
//! - of frames of `std` or of this runtime that follow each other, further in than any of the
//!   program's: the outermost, which is the function that was called;
//! - none of those between frames of the program;
//! - everything else, C functions too, as they may be why the thread is stuck.

use std::env;
use std::ffi::c_void;
use std::fmt;
use std::path::{Path, PathBuf};
use std::ptr;

use super::functions::Functions;

/// As many lines as are worth printing.
const MAX_LINES: usize = 32;

/// Where tasks are polled and threads start: the outer end.
const SCHEDULER_PATHS: [&str; 5] = [
    "runtime::task::cell::",
    "runtime::scheduler::",
    "runtime::blocking::",
    "runtime::runtime::",
    "std::sys::backtrace::__rust_begin_short_backtrace",
];

/// The same as files of this crate.
const SCHEDULER_FILES: [&str; 4] = ["task/cell.rs", "scheduler/", "blocking", "runtime.rs"];

/// This crate and those it re-exports, under the names that their libraries have, and `std`.
const LIBRARY_PATHS: [&str; 6] = ["std::", "core::", "alloc::", "runtime::", "net::", "timer::"];

struct Frame {
    /// Demangled, without its hash; empty if unknown.
    name: String,
    address: u64,
    place: Option<(PathBuf, u32)>,
}

/// Whose code a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// The program, and all that is not one of the others.
    Program,
    /// A function without a Rust path.
    Foreign,
    /// `std` and what belongs to it, and this runtime but for the below.
    Library,
    /// What polls tasks, and what starts threads: the outer end.
    Scheduler,
}

pub(super) fn write_frames(addresses: &[u64], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut functions = Functions::new();
    let resolve = |&address| resolve(address, &mut functions);
    let frames: Vec<Frame> = addresses.iter().flat_map(resolve).collect();
    let owners: Vec<Owner> = frames.iter().map(Frame::owner).collect();
    let folder = env::current_dir().ok();
    let told = telling(&owners);
    for (number, &at) in told.iter().take(MAX_LINES).enumerate() {
        frames[at].write(number, folder.as_deref(), f)?;
    }
    match told.len().checked_sub(MAX_LINES) {
        None | Some(0) => Ok(()),
        Some(more) => writeln!(f, "      and {more} more"),
    }
}

impl Frame {
    fn owner(&self) -> Owner {
        owner(&self.name, self.place.as_ref().map(|(file, _)| file.as_path()))
    }

    fn write(
        &self,
        number: usize,
        folder: Option<&Path>,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        write!(f, "{number:>3}: ")?;
        match self.name.as_str() {
            "" => write!(f, "{:#x}", self.address)?,
            name => write!(f, "{name}")?,
        }
        if let Some((file, line)) = &self.place {
            let shown = folder.and_then(|folder| file.strip_prefix(folder).ok()).unwrap_or(file);
            write!(f, " at {}:{line}", shown.display())?;
        }
        writeln!(f)
    }
}

/// The frames at one address: the function, and before it those inlined into it.
fn resolve(address: u64, functions: &mut Functions) -> Vec<Frame> {
    let mut frames = Vec::new();
    // It looks up what is one byte before, expecting a return address.
    let behind = usize::try_from(address + 1).expect("an address fits in usize");
    backtrace::resolve(ptr::without_provenance_mut::<c_void>(behind), |symbol| {
        let name = symbol.name().map(|name| format!("{name:#}"));
        let place = symbol.filename().zip(symbol.lineno());
        frames.push(Frame {
            name: name.unwrap_or_default(),
            address,
            place: place.map(|(file, line)| (file.to_owned(), line)),
        });
    });
    if frames.is_empty() {
        frames.push(Frame { name: String::new(), address, place: None });
    }
    // The last one is the function that the others are inlined into.
    let function = frames.last_mut().expect("it is not empty");
    let (path, _) = function.name.split_once('<').unwrap_or((&function.name, ""));
    if !path.contains("::") && !function.name.starts_with('<') {
        function.name = functions.name(address).unwrap_or(std::mem::take(&mut function.name));
    }
    frames
}

/// Which frames to show, given whose they are.
fn telling(owners: &[Owner]) -> Vec<usize> {
    let Some(first) = owners.iter().position(|&owner| owner == Owner::Program) else {
        // Nothing of the program's: then all of it may matter.
        return (0..owners.len()).collect();
    };
    let end = owners[first..].iter().position(|&owner| owner == Owner::Scheduler);
    let end = end.map_or(owners.len(), |n| first + n);
    (0..end)
        .filter(|&at| match owners[at] {
            Owner::Program | Owner::Foreign => true,
            Owner::Library | Owner::Scheduler => at + 1 == first,
        })
        .collect()
}

fn owner(name: &str, file: Option<&Path>) -> Owner {
    // `<alloc::boxed::Box<F> as core::future::future::Future>::poll` belongs to the type's crate.
    let path = name.trim_start_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
    let path = path.strip_prefix("dyn ").or(path.strip_prefix("mut ")).unwrap_or(path);
    let (own, _) = path.split_once('<').unwrap_or((path, ""));
    match file.and_then(Path::to_str) {
        // Some inlined functions have no path. Then their file tells.
        Some(file) if !own.contains("::") => owner_by_file(file),
        _ if own.is_empty() => Owner::Program,
        _ => owner_by_path(own),
    }
}

fn owner_by_path(path: &str) -> Owner {
    let starts_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
    if cfg!(test) && starts_with(&["runtime::stack::tests::"]) {
        Owner::Program
    } else if starts_with(&SCHEDULER_PATHS) {
        Owner::Scheduler
    } else if starts_with(&LIBRARY_PATHS) {
        Owner::Library
    } else if path.contains("::") {
        Owner::Program
    } else {
        Owner::Foreign
    }
}

fn owner_by_file(file: &str) -> Owner {
    // Debug information has the same folder as `file!()`, below the one where the compiler ran.
    let sources = file!().trim_end_matches("stack/symbol.rs");
    match file.rsplit_once(sources) {
        Some((_, own)) if own.starts_with("stack/tests/") => Owner::Program,
        Some((_, own)) if SCHEDULER_FILES.iter().any(|start| own.starts_with(start)) => {
            Owner::Scheduler
        }
        Some(_) => Owner::Library,
        None if file.starts_with("/rustc/") => Owner::Library,
        None if file.ends_with(".rs") => Owner::Program,
        None => Owner::Foreign,
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_known_by_the_path_or_else_by_the_file() {
        let here = file!();
        let worker = here.replace("stack/symbol.rs", "scheduler/worker.rs");
        let time = here.replace("stack/symbol.rs", "time.rs");
        let in_std = "/rustc/0123/library/std/src/thread/mod.rs";
        for (name, file, expected) in [
            ("my_service::report::render", None, Owner::Program),
            ("my_service::report::render", Some(in_std), Owner::Program),
            ("<my_service::Report as core::future::future::Future>::poll", None, Owner::Program),
            ("<&mut my_service::Report as Iterator>::next", None, Owner::Program),
            ("std::thread::sleep", None, Owner::Library),
            ("<alloc::boxed::Box<F> as FnOnce<()>>::call_once", None, Owner::Library),
            ("<dyn core::any::Any>::type_id", None, Owner::Library),
            ("timer::timeout::Timeout<my_service::Fut>::poll", None, Owner::Library),
            ("runtime::scheduler::worker::Worker::run", None, Owner::Scheduler),
            ("std::sys::backtrace::__rust_begin_short_backtrace", None, Owner::Scheduler),
            ("clock_nanosleep", None, Owner::Foreign),
            ("clock_nanosleep", Some("./time/clock_nanosleep.c"), Owner::Foreign),
            ("sleep", Some(in_std), Owner::Library),
            ("render<std::path::Path>", Some("src/report.rs"), Owner::Program),
            ("run", Some(&worker), Owner::Scheduler),
            ("sleep", Some(&time), Owner::Library),
            ("", None, Owner::Program),
        ] {
            assert_eq!(owner(name, file.map(Path::new)), expected, "{name} in {file:?}");
        }
    }

    #[test]
    fn what_tells_nothing_is_left_out() {
        use Owner::{Foreign, Library, Program, Scheduler};
        for (owners, expected) in [
            (vec![], vec![]),
            (vec![Foreign, Library, Library, Program, Scheduler, Foreign], vec![0, 2, 3]),
            (vec![Program, Library, Library, Program, Library, Scheduler, Program], vec![0, 3]),
            (vec![Program, Foreign, Program], vec![0, 1, 2]),
            (vec![Foreign, Library, Scheduler, Foreign], vec![0, 1, 2, 3]),
        ] {
            assert_eq!(telling(&owners), expected, "of {owners:?}");
        }
    }
}
