//! What a runtime costs before it does anything: the size of a program, the time to build it, and how
//! many crates come with it.

mod program;

use crate::child;
use crate::files::scratch_folder;
use crate::micro::measure::Metrics;
use crate::runtimes::RuntimeName;
use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The name of the workload.
pub(crate) const HELLO_WORLD: &str = "hello_world";

const PROFILE: &str = "
[profile.release]
lto = \"fat\"
codegen-units = 1
strip = true

[workspace]
";

/// No build takes so long.
const LIMIT: Duration = Duration::from_secs(600);

/// Whether `runtime` has a program of its own.
pub(crate) fn has_program(runtime: RuntimeName) -> bool {
    program::program(runtime).is_some()
}

/// Builds a program on `runtime` in a folder of its own, without downloading anything, and runs it once.
///
/// # Errors
/// Those of the folder; `Other` with cargo's last line if it does not build, as when a crate is not
/// in cargo's cache.
pub(crate) fn measure(runtime: RuntimeName) -> io::Result<Metrics> {
    let none = || io::Error::other(format!("{runtime} has no program"));
    let program = program::program(runtime).ok_or_else(none)?;
    let folder = scratch_folder(None, &format!("footprint-{runtime}"))?;
    let manifest = format!(
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{PROFILE}\n[dependencies]\n{}\n",
        program.dependencies
    );
    fs::write(folder.0.join("Cargo.toml"), manifest)?;
    fs::create_dir(folder.0.join("src"))?;
    fs::write(folder.0.join("src/main.rs"), program.main)?;
    // The versions that the workspace has, which are in cargo's cache.
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
    fs::copy(lock, folder.0.join("Cargo.lock"))?;
    let edges = ["tree", "--offline", "--prefix=none", "--edges=normal,build"];
    let crates = count_crates(&child::output(cargo(&folder.0).args(edges), LIMIT)?);
    let begun = Instant::now();
    child::output(cargo(&folder.0).args(["build", "--release", "--offline", "--quiet"]), LIMIT)?;
    let build = begun.elapsed();
    let file = folder.0.join("target/release/hello");
    let said = child::output(&mut Command::new(&file), Duration::from_secs(10))?;
    if said != "hello\n" {
        return Err(io::Error::other(format!("the program on {runtime} said {said:?}")));
    }
    Ok(Metrics::from([
        ("size_bytes".to_owned(), fs::metadata(&file)?.len() as f64),
        ("build_s".to_owned(), build.as_secs_f64()),
        ("crates".to_owned(), crates as f64),
    ]))
}

/// cargo in `folder`, without what the environment says of other builds.
fn cargo(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_INCREMENTAL"] {
        command.env_remove(name);
    }
    command
}

/// The different packages in what `cargo tree` prints, the program itself included.
fn count_crates(tree: &str) -> usize {
    // A crate that was there before ends in ` (*)`.
    let package = |line: &str| line.trim_end_matches(" (*)").trim().to_owned();
    let mut packages: Vec<String> =
        tree.lines().map(package).filter(|package| !package.is_empty()).collect();
    packages.sort();
    packages.dedup();
    packages.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_comes_twice_counts_once_and_each_version_for_itself() {
        let tree = "hello v0.1.0 (/tmp/x)\nsmol v2.0.2\nmio v1.2.4\nlibc v0.2.1\nmio v0.8.11\n\
                    libc v0.2.1 (*)\n\nquote v1.0.1 (proc-macro)\nquote v1.0.1 (proc-macro) (*)\n";
        assert_eq!(count_crates(tree), 6);
    }

    #[test]
    fn a_program_without_a_runtime_is_built_and_measured() {
        let metrics = measure(RuntimeName::Threads).expect("cargo builds it without any crate");
        assert_eq!(metrics["crates"], 1.0);
        assert!((100_000.0..2_000_000.0).contains(&metrics["size_bytes"]), "{metrics:?}");
        assert!(metrics["build_s"] > 0.01, "{metrics:?}");
    }
}
