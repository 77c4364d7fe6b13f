//! Programs in C, which ours are compared with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use crate::find_tool;

/// Compiles `source` to a program named `name` in `folder`, which is made if need be. None, and a
/// printed reason, where there is no C compiler.
///
/// Two tests of a process must not compile to the same place; two processes may.
///
/// # Panics
/// When it does not compile without warnings.
#[must_use]
pub fn c_program(source: &Path, folder: &Path, name: &str, flags: &[&str]) -> Option<PathBuf> {
    let mut cc = Command::new(find_tool("cc")?);
    let program = folder.join(name);
    let new = folder.join(format!("{name}.{}", process::id()));
    fs::create_dir_all(folder).expect("cargo's folder for tests can be written to");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror"]).args(flags);
    cc.arg(source).arg("-o").arg(&new);
    let status = cc.status().expect("the compiler can be started");
    assert!(status.success(), "{} does not compile", source.display());
    // At once, so that who runs the old one meanwhile goes on.
    fs::rename(&new, &program).expect("it was made, in the same folder");
    Some(program)
}
