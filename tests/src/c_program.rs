//! Programs in C, which ours are compared with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::find_tool;

/// Compiles `source` to a program named `name` in `folder`, which is made if need be. None, and a
/// printed reason, where there is no C compiler.
///
/// Two tests that run at once must not compile to the same place.
///
/// # Panics
/// When it does not compile without warnings.
#[must_use]
pub fn c_program(source: &Path, folder: &Path, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let mut cc = Command::new(find_tool("cc")?);
    let program = folder.join(name);
    fs::create_dir_all(folder).expect("cargo's folder for tests can be written to");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(flags);
    cc.arg(source).arg("-o").arg(&program);
    let status = cc.status().expect("the compiler can be started");
    assert!(status.success(), "{} does not compile", source.display());
    Some(program)
}
