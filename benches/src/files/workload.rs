//! What is done with the files, once for all runtimes.

use super::tree::Tree;
use crate::shim::Files;
use std::fs;
use std::io;

const KIB: usize = 1024;

/// What a random read reads.
const PAGE: usize = 4 * KIB;

/// How much of the large file a round that waits for the disk reads in order, and how often one reads
/// at random places. Less than of what is cached, for a round must not take seconds.
const COLD_BYTES: u64 = 64 << 20;
const COLD_READS: u64 = 256;

const WARM_READS: u64 = 4096;
const SMALL_FILES: usize = 1000;
const WRITES: u64 = 256;
const SYNCED_WRITES: u64 = 64;
const COPIES: u64 = 16;

/// By name, and in the order in which they are printed.
const WORKLOADS: &[(&str, Workload)] = &[
    ("read_64k", Workload::Sequential { piece: 64 * KIB, is_cached: true }),
    ("read_1m", Workload::Sequential { piece: 1024 * KIB, is_cached: true }),
    ("read_random_4k", Workload::Random { is_cached: true }),
    ("read_small_1k", Workload::Small { is_text: false }),
    ("read_to_string_1k", Workload::Small { is_text: true }),
    ("read_dir_10000", Workload::List),
    ("write_64k", Workload::Write(Write::Done)),
    ("write_64k_behind", Workload::Write(Write::Accepted)),
    ("write_64k_sync", Workload::Write(Write::Synced)),
    ("copy_1m", Workload::Copy),
    ("disk_read_64k", Workload::Sequential { piece: 64 * KIB, is_cached: false }),
    ("disk_read_1m", Workload::Sequential { piece: 1024 * KIB, is_cached: false }),
    ("disk_read_random_4k", Workload::Random { is_cached: false }),
];

/// The names of the workloads.
pub(crate) const FILES: &[&str] = &{
    let mut names = [""; WORKLOADS.len()];
    let mut next = 0;
    while next < names.len() {
        names[next] = WORKLOADS[next].0;
        next += 1;
    }
    names
};

/// Whether `workload` is made to find nothing in the page cache.
pub(crate) fn reads_from_disk(workload: &str) -> bool {
    workload.starts_with("disk_")
}

/// What one round does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Workload {
    /// Reads the large file, or a part of it, in order.
    Sequential { piece: usize, is_cached: bool },
    /// Reads pages of the large file at random places.
    Random { is_cached: bool },
    /// Reads the next so many small files, each in one call.
    Small { is_text: bool },
    /// Lists the folder of the small files.
    List,
    /// Writes a new file in pieces of 64 KiB.
    Write(Write),
    /// Copies a file of 1 MiB under new names.
    Copy,
}

/// What a write waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Write {
    /// Each until the operating system has the bytes.
    Done,
    /// Each until the runtime has them, and all until the operating system has them.
    Accepted,
    /// Each until the operating system has them, and all until the disk has them.
    Synced,
}

impl Write {
    fn pieces(self) -> u64 {
        match self {
            Write::Done | Write::Accepted => WRITES,
            Write::Synced => SYNCED_WRITES,
        }
    }
}

impl Workload {
    pub(super) fn named(name: &str) -> Option<Workload> {
        WORKLOADS.iter().find(|(other, _)| *other == name).map(|(_, workload)| *workload)
    }

    /// Operations of a round.
    pub(super) fn ops(self, tree: &Tree) -> u64 {
        match self {
            Workload::Sequential { piece, is_cached } => {
                sequential_bytes(tree, is_cached) / piece as u64
            }
            Workload::Random { is_cached: true } => WARM_READS,
            Workload::Random { is_cached: false } => COLD_READS,
            Workload::Small { .. } => SMALL_FILES as u64,
            Workload::List => tree.small as u64,
            Workload::Write(write) => write.pieces(),
            Workload::Copy => COPIES,
        }
    }

    /// Bytes that a round reads of the large file, if it is not to find them in the cache.
    pub(super) fn bytes_read(self, tree: &Tree) -> Option<u64> {
        match self {
            Workload::Sequential { is_cached: false, .. } => Some(sequential_bytes(tree, false)),
            Workload::Random { is_cached: false } => Some(COLD_READS * PAGE as u64),
            _ => None,
        }
    }

    /// Puts everything in the state in which the round is to find it.
    pub(super) fn prepare(self, tree: &Tree) -> io::Result<()> {
        match self {
            Workload::Sequential { is_cached: false, .. }
            | Workload::Random { is_cached: false } => tree.drop_from_cache(),
            Workload::Write(_) => self.clean_up(tree),
            Workload::Copy => {
                let original = tree.written_file(0);
                if !original.exists() {
                    fs::write(original, vec![b'x'; 1024 * KIB])?;
                }
                (1..=COPIES).try_for_each(|number| remove(tree, number))
            }
            _ => Ok(()),
        }
    }

    /// Removes what was written.
    pub(super) fn clean_up(self, tree: &Tree) -> io::Result<()> {
        match self {
            Workload::Write(_) => remove(tree, 0),
            Workload::Copy => (0..=COPIES).try_for_each(|number| remove(tree, number)),
            _ => Ok(()),
        }
    }

    pub(super) async fn run<R: Files>(self, tree: &Tree, round: u64) -> io::Result<()> {
        match self {
            Workload::Sequential { piece, is_cached } => {
                sequential::<R>(tree, piece, sequential_bytes(tree, is_cached)).await
            }
            Workload::Random { .. } => random::<R>(tree, self.ops(tree), round).await,
            Workload::Small { is_text } => small::<R>(tree, is_text, round).await,
            Workload::List => {
                let entries = R::count_entries(&tree.small_folder()).await?;
                expect(entries, tree.small)
            }
            Workload::Write(write) => written::<R>(tree, write).await,
            Workload::Copy => {
                for number in 1..=COPIES {
                    R::copy(&tree.written_file(0), &tree.written_file(number)).await?;
                }
                Ok(())
            }
        }
    }
}

/// How much a round of sequential reads reads.
fn sequential_bytes(tree: &Tree, is_cached: bool) -> u64 {
    if is_cached { tree.large } else { tree.large.min(COLD_BYTES) }
}

/// Removes a file that was written, or was not.
fn remove(tree: &Tree, number: u64) -> io::Result<()> {
    match fs::remove_file(tree.written_file(number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn sequential<R: Files>(tree: &Tree, piece: usize, bytes: u64) -> io::Result<()> {
    let mut file = R::open(&tree.large_file()).await?;
    let mut buf = vec![0; piece];
    for _ in 0..bytes / piece as u64 {
        R::read_exact(&mut file, &mut buf).await?;
    }
    Ok(())
}

/// The places are the same for every runtime, and others in every round.
async fn random<R: Files>(tree: &Tree, reads: u64, round: u64) -> io::Result<()> {
    let mut file = R::open(&tree.large_file()).await?;
    let mut buf = vec![0; PAGE];
    let pages = tree.large / PAGE as u64;
    let mut state = round.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..reads {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let page = (state >> 33) % pages;
        R::read_exact_at(&mut file, &mut buf, page * PAGE as u64).await?;
    }
    Ok(())
}

async fn small<R: Files>(tree: &Tree, is_text: bool, round: u64) -> io::Result<()> {
    let first = round as usize * SMALL_FILES;
    for number in first..first + SMALL_FILES {
        let path = tree.small_file(number % tree.small);
        let length = match is_text {
            false => R::read(&path).await?.len(),
            true => R::read_to_string(&path).await?.len(),
        };
        expect(length, KIB)?;
    }
    Ok(())
}

async fn written<R: Files>(tree: &Tree, write: Write) -> io::Result<()> {
    let mut file = R::create(&tree.written_file(0)).await?;
    let bytes = vec![b'x'; 64 * KIB];
    for _ in 0..write.pieces() {
        match write {
            Write::Accepted => R::write_behind(&mut file, &bytes).await?,
            Write::Done | Write::Synced => R::write_all(&mut file, &bytes).await?,
        }
    }
    match write {
        Write::Done => Ok(()),
        Write::Accepted => R::flush(&mut file).await,
        Write::Synced => R::sync(&mut file).await,
    }
}

fn expect(found: usize, expected: usize) -> io::Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{found} instead of {expected}")))
}
