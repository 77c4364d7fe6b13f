//! Files and directories, without blocking a worker.
//!
//! Operating systems have no good way to wait for a disk, so all of this runs on the
//! [blocking pool](crate::spawn_blocking), one call per function: [`read`] opens, reads and closes in
//! one. Linux can say whether a read would have to wait; there a [`File`] gives what is in the page
//! cache at once, on the worker, and only the rest goes to the pool.
//!
//! The functions mirror those of [`std::fs`] and so do the types; what differs is said at each.
//!
//! # On the worker
//! [`read()`] and [`read_to_string`] open a small file on the worker too, if Linux finds its path in
//! memory. That is all that Linux says: a file system whose `open` asks a server or another program,
//! such as FUSE, NFS and other network file systems, may ask all the same, and the worker waits for the
//! answer. Reads of a file there are given to the pool with
//! `spawn_blocking(move || std::fs::read(path))`.
//!
//! # When things go wrong
//! The errors of functions that take a path say what was tried and on which path; see [`PathError`]
//! for how to get at the operating system's error inside. After the runtime has been shut down every
//! function returns an error that says so; of an open [`File`], what needs no thread still works.
//!
//! # Cancel safety
//! A call that has started runs to its end, whether somebody waits for it or not: dropping the future
//! of [`write()`] or [`rename`] does not mean that it did not happen. Those that change nothing are
//! safe to drop.
//!
//! # Panics
//! Every function panics when its future is polled outside of a runtime.
//!
//! # Examples
//! ```
//! use runtime::fs;
//!
//! # runtime::Builder::new().build()?.block_on(async {
//! let path = std::env::temp_dir().join(format!("runtime-fs-{}", std::process::id()));
//! fs::write(&path, "hello").await?;
//! assert_eq!(fs::read_to_string(&path).await?, "hello");
//! fs::remove_file(&path).await?;
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod cached;
mod dir;
mod file;
mod file_io;
mod open_options;
mod path_error;
mod paths;
mod under_way;
mod whole;

pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use open_options::OpenOptions;
pub use path_error::PathError;
pub use paths::{
    canonicalize, copy, create_dir, create_dir_all, hard_link, metadata, read, read_link,
    read_to_string, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, try_exists, write,
};
