//! Opening what is served, and nothing else.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::Site;

/// What a path leads to: a file, a folder, or something else that `metadata` tells.
pub(crate) struct Served {
    pub(crate) file: File,
    pub(crate) metadata: Metadata,
}

/// Without `NONBLOCK`, opening a named pipe would wait for somebody to write to it.
const READ: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

/// Opens the folder to be served.
pub(crate) fn open_root(path: &Path) -> io::Result<File> {
    Ok(File::from(openat(CWD, path, READ | OFlags::DIRECTORY, Mode::empty())?))
}

impl Served {
    /// Opens what lies below the root at `path`, which is relative to it.
    ///
    /// If all that is needed to find it is in memory, as it is for whatever is asked for often, this
    /// happens at once; otherwise on a blocking thread, because it may have to wait for the disk.
    ///
    /// # Errors
    /// The operating system's; `EXDEV` for a link that leads out of the root.
    pub(crate) async fn open(site: &Arc<Site>, path: Vec<u8>) -> io::Result<Served> {
        let file = match open_cached(&site.root, &path) {
            Some(outcome) => outcome?,
            None => {
                let site = site.clone();
                let opening = runtime::spawn_blocking(move || open_below(&site.root, &path));
                opening.await??
            }
        };
        // What is known of a file that has just been opened is in memory.
        let metadata = file.metadata()?;
        Ok(Served { file, metadata })
    }
}

/// Opens a file if that needs no disk, where Linux (since 5.12) can tell; `None`: it needs one, or
/// that cannot be known.
#[cfg(target_os = "linux")]
fn open_cached(root: &File, path: &[u8]) -> Option<io::Result<File>> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::CACHED;
    match openat2(root, path, READ, Mode::empty(), resolve) {
        // Older kernels do not know the flag or the call, and sandboxes forbid it.
        Err(Errno::AGAIN | Errno::INVAL | Errno::NOSYS | Errno::PERM) => None,
        outcome => Some(outcome.map(File::from).map_err(io::Error::from)),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_cached(_: &File, _: &[u8]) -> Option<io::Result<File>> {
    None
}

/// Opens a file. Links are followed as long as they are relative and stay below the root, which the
/// kernel checks at each step: so it does not matter who renames what meanwhile.
#[cfg(target_os = "linux")]
fn open_below(root: &File, path: &[u8]) -> io::Result<File> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root, path, READ, Mode::empty(), resolve) {
            // Something was renamed while the kernel looked.
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::PERM) => return open_step_by_step(root, path),
            outcome => return Ok(File::from(outcome?)),
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn open_below(root: &File, path: &[u8]) -> io::Result<File> {
    open_step_by_step(root, path)
}

/// Opens a file without following any link.
fn open_step_by_step(root: &File, path: &[u8]) -> io::Result<File> {
    let mut names = path.split(|&byte| byte == b'/').peekable();
    let mut folder = root.try_clone()?;
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        let kind = if last { OFlags::empty() } else { OFlags::DIRECTORY };
        folder = openat(&folder, name, READ | kind | OFlags::NOFOLLOW, Mode::empty())?.into();
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Which of the two is used depends on the kernel; they differ only in the links that they follow.
    #[test]
    fn both_ways_of_opening_stay_below_the_root() {
        let root = std::env::temp_dir().join(format!("http-files-served-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).expect("a temporary folder");
        fs::write(root.join("a/b/file"), "hello").expect("a temporary folder");
        symlink("/etc", root.join("a/out")).expect("a temporary folder");
        symlink("../..", root.join("a/up")).expect("a temporary folder");
        symlink("b/file", root.join("a/in")).expect("a temporary folder");
        let folder = open_root(&root).expect("it is a folder");
        for open in [open_below, open_step_by_step] {
            assert!(open(&folder, b"a/b/file").is_ok());
            assert!(
                open(&folder, b".").is_ok_and(|file| file.metadata().is_ok_and(|it| it.is_dir()))
            );
            for path in ["a/out", "a/out/passwd", "a/up", "a/b/file/x", "a/none"] {
                assert!(open(&folder, path.as_bytes()).is_err(), "{path}");
            }
        }
        assert_eq!(open_below(&folder, b"a/in").is_ok(), cfg!(target_os = "linux"));
        assert!(open_step_by_step(&folder, b"a/in").is_err());
        fs::remove_dir_all(root).expect("it is ours");
    }
}
