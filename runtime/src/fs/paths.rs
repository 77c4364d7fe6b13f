//! The functions that take a path and are one call each.

use std::fs::{Metadata, Permissions};
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};

use super::cached::Cached;
use super::{PathError, whole};
use crate::coop;
use crate::handle::Handle;
use crate::io::call::{Call, call};

/// Runs `work` with the path on a blocking thread, and adds the path to its error.
pub(super) async fn with_path<T: Send + 'static>(
    what: &'static str,
    tried: &'static str,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.to_owned();
    let work = move || work(&path).map_err(|error| PathError::wrap(error, tried, &path, None));
    call(what, work).await
}

async fn with_paths<T: Send + 'static>(
    what: &'static str,
    tried: &'static str,
    from: &Path,
    to: &Path,
    work: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let add = move |error, from: &Path, to: &Path| PathError::wrap(error, tried, from, Some(to));
    call(what, move || work(&from, &to).map_err(|error| add(error, &from, &to))).await
}

/// The whole content of a file.
///
/// A small one may be opened and read on the worker, if Linux has its path and content in memory; see
/// [the module](crate::fs#on-the-worker).
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied),
/// [`IsADirectory`](io::ErrorKind::IsADirectory), and others of the operating system.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build()?.block_on(async {
/// let hosts = runtime::fs::read("/etc/hosts").await?;
/// assert!(!hosts.is_empty());
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    if let Some(bytes) = read_whole("fs::read", path).await {
        return Ok(bytes);
    }
    with_path("fs::read", "read", path, |path| std::fs::read(path)).await
}

/// The whole content of a small file, if that is in memory.
async fn read_whole(what: &'static str, path: &Path) -> Option<Vec<u8>> {
    let handle = Handle::require(what);
    poll_fn(coop::poll_proceed).await;
    if handle.shared().is_shut_down() {
        // The blocking pool has the error for it.
        return None;
    }
    let bytes = whole::read(path)?;
    poll_fn(|cx| Cached::poll_proceed(cx, bytes.len())).await;
    Some(bytes)
}

/// The whole content of a file, as text. On the worker or not, as [`read`].
///
/// # Errors
/// As [`read`], and [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let (what, path) = ("fs::read_to_string", path.as_ref());
    // What is not text is left to the thread, whose error is that of the standard library.
    if let Some(text) = read_whole(what, path).await.and_then(|b| String::from_utf8(b).ok()) {
        return Ok(text);
    }
    with_path(what, "read", path, |path| std::fs::read_to_string(path)).await
}

/// Makes `contents` the whole content of a file, which is created if it is not there.
///
/// It runs even if the runtime is shut down meanwhile. The bytes are copied once, to go to the
/// blocking thread; they are not synchronized with the disk, see
/// [`File::sync_all`](crate::fs::File::sync_all).
///
/// **Cancel safety**: none; when the future has been polled, the file may be written, whole or in
/// part.
///
/// # Errors
/// As [`read`], and [`StorageFull`](io::ErrorKind::StorageFull).
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let path = path.as_ref().to_owned();
    let contents = contents.as_ref().to_vec();
    let work = move || {
        std::fs::write(&path, contents)
            .map_err(|error| PathError::wrap(error, "write", &path, None))
    };
    Call::start_mandatory(&Handle::require("fs::write"), work)?.await
}

/// Copies the content and the permissions of a file, and returns the number of bytes.
///
/// The operating system copies where it can, without the bytes passing through this process.
///
/// **Cancel safety**: none, a copy that has started goes on.
///
/// # Errors
/// As [`read`] and [`write()`]; [`InvalidInput`](io::ErrorKind::InvalidInput) if `from` is not a
/// regular file.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let work = |from: &Path, to: &Path| std::fs::copy(from, to);
    with_paths("fs::copy", "copy", from.as_ref(), to.as_ref(), work).await
}

/// Makes a directory, in one that exists.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), [`NotFound`](io::ErrorKind::NotFound) if the
/// parent is missing, and others of the operating system.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let what = "fs::create_dir";
    with_path(what, "create the directory", path.as_ref(), |path| std::fs::create_dir(path)).await
}

/// Makes a directory and the parents that are missing. One that exists is no error.
///
/// # Errors
/// [`NotADirectory`](io::ErrorKind::NotADirectory) or
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if something on the way is a file, and others of
/// the operating system.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let work = |path: &Path| std::fs::create_dir_all(path);
    with_path("fs::create_dir_all", "create the directory", path.as_ref(), work).await
}

/// Gives a file or a directory another name, replacing a file that has it.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`CrossesDevices`](io::ErrorKind::CrossesDevices) if the
/// names are on two file systems, and others of the operating system.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    let work = |from: &Path, to: &Path| std::fs::rename(from, to);
    with_paths("fs::rename", "rename", from.as_ref(), to.as_ref(), work).await
}

/// Removes a file.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`IsADirectory`](io::ErrorKind::IsADirectory) (some
/// systems say `PermissionDenied`), and others of the operating system.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    let what = "fs::remove_file";
    with_path(what, "remove", path.as_ref(), |path| std::fs::remove_file(path)).await
}

/// Removes an empty directory.
///
/// # Errors
/// [`DirectoryNotEmpty`](io::ErrorKind::DirectoryNotEmpty),
/// [`NotADirectory`](io::ErrorKind::NotADirectory), and others of the operating system.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    let what = "fs::remove_dir";
    with_path(what, "remove", path.as_ref(), |path| std::fs::remove_dir(path)).await
}

/// Removes a directory and all that is in it. It does not follow symbolic links.
///
/// **Cancel safety**: none, a removal that has started goes on.
///
/// # Errors
/// Those of the operating system; what was removed before the error is gone.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let what = "fs::remove_dir_all";
    with_path(what, "remove", path.as_ref(), |path| std::fs::remove_dir_all(path)).await
}

/// The absolute path without symbolic links or `..`.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), and others of the operating system.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let work = |path: &Path| std::fs::canonicalize(path);
    with_path("fs::canonicalize", "resolve", path.as_ref(), work).await
}

/// What is known about a file: size, permissions, times. Follows symbolic links.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), and others of the operating system.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let what = "fs::metadata";
    with_path(what, "read the metadata of", path.as_ref(), |path| std::fs::metadata(path)).await
}

/// What is known about a file, or about the symbolic link itself.
///
/// # Errors
/// As [`metadata`].
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let work = |path: &Path| std::fs::symlink_metadata(path);
    with_path("fs::symlink_metadata", "read the metadata of", path.as_ref(), work).await
}

/// Makes `link` another name of the file `original`.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), [`NotFound`](io::ErrorKind::NotFound), and others
/// of the operating system.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let work = |original: &Path, link: &Path| std::fs::hard_link(original, link);
    with_paths("fs::hard_link", "link", original.as_ref(), link.as_ref(), work).await
}

/// Makes `link` a symbolic link to `original`, which need not exist.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists), and others of the operating system.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    let work = |original: &Path, link: &Path| std::os::unix::fs::symlink(original, link);
    with_paths("fs::symlink", "link", original.as_ref(), link.as_ref(), work).await
}

/// The path that a symbolic link holds.
///
/// # Errors
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if it is not a symbolic link,
/// [`NotFound`](io::ErrorKind::NotFound), and others of the operating system.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let what = "fs::read_link";
    with_path(what, "read the link", path.as_ref(), |path| std::fs::read_link(path)).await
}

/// Changes who may read, write and execute a file.
///
/// # Errors
/// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied), and
/// others of the operating system.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let work = |path: &Path| std::fs::set_permissions(path, permissions);
    with_path("fs::set_permissions", "set the permissions of", path.as_ref(), work).await
}

/// Whether there is a file or a directory at the path. Follows symbolic links.
///
/// # Errors
/// When that cannot be said, such as [`PermissionDenied`](io::ErrorKind::PermissionDenied) for a
/// directory on the way.
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let what = "fs::try_exists";
    with_path(what, "look for", path.as_ref(), |path| path.try_exists()).await
}
