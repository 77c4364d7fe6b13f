//! Size, build time and crates of the smallest program.

use super::{Case, Selection, alternate};
use crate::footprint::{self, HELLO_WORLD};
use crate::report::{Column, by_runtime, column};
use crate::results::Results;
use crate::runtimes::RuntimeName;
use std::io;

const COLUMNS: &[Column] = &[
    column("size_bytes", "size, B", 0),
    column("build_s", "clean build, s", 1),
    column("crates", "crates", 0),
];

pub(super) fn run(selection: &Selection, results: &mut Results) -> io::Result<()> {
    let runtimes = selection.choose(RuntimeName::ALL)?;
    let has_program = |runtime: &RuntimeName| footprint::has_program(*runtime);
    let case = |runtime: RuntimeName| Case {
        workload: HELLO_WORLD.to_owned(),
        runtime,
        measure: Box::new(move || footprint::measure(runtime)),
    };
    let cases: Vec<Case<'_>> = match selection.includes(HELLO_WORLD) {
        true => runtimes.into_iter().filter(has_program).map(case).collect(),
        false => Vec::new(),
    };
    alternate(&cases, selection.processes, results);
    if !cases.is_empty() {
        println!("### The smallest program\n{}", by_runtime(results, HELLO_WORLD, COLUMNS));
    }
    Ok(())
}
