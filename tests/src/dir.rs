//! Temporary directories.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory that goes with the test.
#[derive(Debug)]
pub struct Dir(PathBuf);

impl Dir {
    /// An empty one, of its own.
    ///
    /// # Panics
    /// When the system's directory for such things cannot be written to.
    #[expect(clippy::new_without_default, reason = "it is made in the file system")]
    #[must_use]
    pub fn new() -> Dir {
        /// Relaxed: only uniqueness counts.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("windlass-{}-{number}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Dir(path),
                // Left by a process of the same number that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of what is called so in it, or will be.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
