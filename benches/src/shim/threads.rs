//! No runtime: calls of the standard library that block the thread.

use super::Files;
use std::fs::{self, File};
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The calling thread.
pub(crate) struct Threads;

impl Threads {
    /// Polls the future once: it does not wait, it blocks.
    pub(crate) fn run<M, F>(_workers: usize, main: M) -> F::Output
    where
        M: FnOnce() -> F,
        F: Future,
    {
        match pin!(main()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => unreachable!("nothing in it waits"),
        }
    }
}

impl Files for Threads {
    type File = File;

    async fn open(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    async fn create(path: &Path) -> io::Result<File> {
        File::create(path)
    }

    async fn read_exact(file: &mut File, buf: &mut [u8]) -> io::Result<()> {
        file.read_exact(buf)
    }

    async fn read_exact_at(file: &mut File, buf: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(buf, offset)
    }

    async fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    async fn write_behind(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    async fn flush(file: &mut File) -> io::Result<()> {
        file.flush()
    }

    async fn sync(file: &mut File) -> io::Result<()> {
        file.sync_all()
    }

    async fn read(path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    async fn read_to_string(path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
        fs::copy(from, to)
    }

    async fn count_entries(path: &Path) -> io::Result<usize> {
        let mut entries = 0;
        for entry in fs::read_dir(path)? {
            entry?;
            entries += 1;
        }
        Ok(entries)
    }
}
