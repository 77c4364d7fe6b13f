//! The files that are read, and the folder for those that are written.

use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Bytes of a small file.
const SMALL: usize = 1024;

/// One large file, a folder of small ones, and room for what is written.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    folder: PathBuf,
    /// Bytes of the large file.
    pub(super) large: u64,
    /// How many small files there are.
    pub(super) small: usize,
}

impl Tree {
    /// 256 MiB in one file, and 10,000 files of 1 KiB; what `folder` lacks of them is made.
    pub(crate) fn full(folder: &Path) -> io::Result<Tree> {
        Tree::at(folder, 256 << 20, 10_000)
    }

    /// As large as the tests of this crate need.
    #[cfg(test)]
    pub(super) fn small(folder: &Path) -> io::Result<Tree> {
        Tree::at(folder, 2 << 20, 20)
    }

    fn at(folder: &Path, large: u64, small: usize) -> io::Result<Tree> {
        let tree = Tree { folder: folder.to_owned(), large, small };
        if fs::metadata(tree.large_file()).map_or(0, |metadata| metadata.len()) != large {
            tree.make_large()?;
        }
        // The last one is made last.
        if !tree.small_file(small - 1).exists() {
            fs::create_dir_all(tree.small_folder())?;
            let text = vec![b'x'; SMALL];
            (0..small).try_for_each(|number| fs::write(tree.small_file(number), &text))?;
        }
        Ok(tree)
    }

    fn make_large(&self) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = File::create(self.large_file())?;
        // Not all the same, in case the disk notices.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut piece = vec![0; 1 << 20];
        let mut left = self.large;
        while left > 0 {
            for word in piece.chunks_exact_mut(8) {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                word.copy_from_slice(&state.to_le_bytes());
            }
            let length = left.min(piece.len() as u64);
            file.write_all(&piece[..length as usize])?;
            left -= length;
        }
        // A page that is not on the disk cannot leave the cache.
        file.sync_all()
    }

    pub(super) fn large_file(&self) -> PathBuf {
        self.folder.join("large")
    }

    pub(super) fn small_folder(&self) -> PathBuf {
        self.folder.join("small")
    }

    pub(super) fn small_file(&self, number: usize) -> PathBuf {
        self.small_folder().join(format!("{number:05}"))
    }

    /// A file that this process writes.
    pub(super) fn written_file(&self, number: u64) -> PathBuf {
        self.folder.join(format!("written-{}-{number}", std::process::id()))
    }

    /// Asks the kernel to forget what it holds of the large file. It need not: how much it had to read
    /// again is among the figures.
    pub(super) fn drop_from_cache(&self) -> io::Result<()> {
        Ok(fadvise(File::open(self.large_file())?, 0, None, Advice::DontNeed)?)
    }
}

/// A folder that is removed, with all that is in it, when this is dropped.
pub(crate) struct ScratchFolder(pub(crate) PathBuf);

/// A new folder for `what` in `parent`, or in that for temporary files.
pub(crate) fn scratch_folder(parent: Option<&Path>, what: &str) -> io::Result<ScratchFolder> {
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    let path = parent.join(format!("windlass-benches-{what}-{}", std::process::id()));
    fs::create_dir_all(&path)?;
    Ok(ScratchFolder(path))
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What cannot be removed is left for the user, who can see it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
pub(super) fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}
