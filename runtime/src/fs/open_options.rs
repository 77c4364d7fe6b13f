//! How a file is opened.

use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::File;
use super::paths::with_path;
use crate::handle::Handle;

/// How a file is opened: a mirror of [`std::fs::OpenOptions`].
///
/// # Examples
/// ```
/// use runtime::fs::{self, OpenOptions};
///
/// # runtime::Builder::new().build()?.block_on(async {
/// # let path = std::env::temp_dir().join(format!("runtime-options-{}", std::process::id()));
/// let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
/// log.write_all(b"started\n").await?;
/// # fs::remove_file(&path).await?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `open` is called"]
pub struct OpenOptions {
    std: std::fs::OpenOptions,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

impl From<std::fs::OpenOptions> for OpenOptions {
    fn from(std: std::fs::OpenOptions) -> OpenOptions {
        OpenOptions { std }
    }
}

impl OpenOptions {
    /// All options off: at least [`read`](OpenOptions::read), [`write`](OpenOptions::write) or
    /// [`append`](OpenOptions::append) is needed.
    pub fn new() -> OpenOptions {
        OpenOptions { std: std::fs::OpenOptions::new() }
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.std.read(read);
        self
    }

    /// Whether the file can be written; one that exists keeps its content.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.std.write(write);
        self
    }

    /// Whether all writes go to the end of the file, wherever that is by then.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.std.append(append);
        self
    }

    /// Whether a file that exists loses its content. Needs [`write`](OpenOptions::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.std.truncate(truncate);
        self
    }

    /// Whether a file that does not exist is made. Needs [`write`](OpenOptions::write) or
    /// [`append`](OpenOptions::append).
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.std.create(create);
        self
    }

    /// Whether the file must not exist and is made, in one step.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.std.create_new(create_new);
        self
    }

    /// The permissions of a file that is made, of which the process' umask is taken off. Default:
    /// `0o666`.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.std.mode(mode);
        self
    }

    /// More flags of the `open` system call, such as `O_DIRECTORY`.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.std.custom_flags(flags);
        self
    }

    /// Opens the file.
    ///
    /// A named pipe blocks a thread until its other end is opened.
    ///
    /// **Cancel safety**: a file that is opened after the future was dropped is closed again; it may
    /// have been created, or have lost its content.
    ///
    /// # Errors
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied),
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists),
    /// [`IsADirectory`](io::ErrorKind::IsADirectory) if a directory is opened for writing,
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for options that contradict each other, and
    /// others of the operating system, all with the path.
    ///
    /// # Panics
    /// When it is polled outside of a runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let handle = Handle::require("OpenOptions::open");
        let options = self.std.clone();
        let work = move |path: &Path| options.open(path);
        let std = with_path("OpenOptions::open", "open", path.as_ref(), work).await?;
        Ok(File::new(std, handle))
    }
}
