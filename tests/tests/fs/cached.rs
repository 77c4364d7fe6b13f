//! What is in memory is read on the worker.

use std::io::SeekFrom;

use runtime::fs::File;
use windlass_tests::{Dir, both_modes, say, watch};

use super::pattern;

#[test]
fn what_is_in_the_page_cache_is_read_without_a_thread() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        let bytes = pattern(1_000_000);
        std::fs::write(&path, &bytes).expect("a new file");
        let std = std::fs::File::open(&path).expect("it is ours");
        if !can_read_without_waiting(&std) {
            say("skipped: the file system of the temporary directory does not know RWF_NOWAIT");
            return;
        }
        runtime.block_on(async {
            let mut file = File::from_std(std);
            let mut buf = vec![0; 64 * 1024];
            let mut all = Vec::new();
            loop {
                let read = file.read(&mut buf).await.expect("it is ours");
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&buf[..read]);
            }
            assert!(all == bytes);
            for at in [0, 999_999, 1_000_000, 1 << 40, 500_000] {
                let start = bytes.len().min(at as usize);
                let mut buf = [0; 4096];
                let read = file.read_at(&mut buf, at).await.expect("it is ours");
                assert_eq!(buf[..read], bytes[start..bytes.len().min(start + 4096)]);
            }
            assert_eq!(file.seek(SeekFrom::Start(10)).await.expect("a file"), 10);
        });
        assert_eq!(runtime.metrics().blocking_threads, 0);
    });
}

#[test]
fn a_small_file_in_memory_is_read_whole_without_a_thread() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        let file = || std::fs::File::open(&path).expect("it is ours");
        for length in [1, 4096, 100_000, 128 * 1024] {
            let bytes = pattern(length);
            std::fs::write(&path, &bytes).expect("it is ours");
            if !can_read_without_waiting(&file()) || !can_open_without_waiting(&path) {
                say("skipped: this system cannot open and read without waiting");
                return;
            }
            let read = runtime.block_on(runtime::fs::read(&path)).expect("it is ours");
            assert!(read == bytes, "{length}");
        }
        std::fs::write(&path, "text").expect("it is ours");
        let text = runtime.block_on(runtime::fs::read_to_string(&path)).expect("it is text");
        assert_eq!(text, "text");
        assert_eq!(runtime.metrics().blocking_threads, 0);
    });
}

#[test]
fn what_is_not_text_has_the_error_of_the_standard_library_cached_or_not() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        // The second is too long to be read without a thread.
        for length in [1, 1_000_000] {
            std::fs::write(&path, vec![0xff; length]).expect("it is ours");
            let std = std::fs::read_to_string(&path).expect_err("no UTF-8");
            let error = runtime.block_on(runtime::fs::read_to_string(&path)).expect_err("no UTF-8");
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
            let text = error.to_string();
            assert!(text.contains(path.to_str().expect("it is ASCII")), "{text}");
            assert!(text.ends_with(&std.to_string()), "{text}");
        }
    });
}

#[test]
fn what_is_no_small_file_is_read_whole_too() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let read = |path: &std::path::Path| runtime.block_on(runtime::fs::read(path));
        // The kernel's files say that they are empty.
        let status = read("/proc/self/status".as_ref()).expect("Linux");
        assert!(status.starts_with(b"Name:"));
        let path = dir.file("empty");
        std::fs::write(&path, "").expect("it is ours");
        assert_eq!(read(&path).expect("it is ours"), b"");
        let path = dir.file("long");
        let bytes = pattern(1_000_000);
        std::fs::write(&path, &bytes).expect("it is ours");
        assert!(read(&path).expect("it is ours") == bytes);
        let error = read(&dir.file("none")).expect_err("there is no such file");
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        let error = read(&dir.file("")).expect_err("it is a folder");
        assert_eq!(error.kind(), std::io::ErrorKind::IsADirectory);
    });
}

/// Opening a FIFO for a look would tell its writer that somebody reads.
#[test]
fn a_fifo_is_read_to_its_end() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("fifo");
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a new name");
        for _ in 0..100 {
            let written = path.clone();
            let writer = std::thread::spawn(move || std::fs::write(written, "from the writer"));
            let read = runtime.block_on(runtime::fs::read(&path)).expect("it is ours");
            assert_eq!(read, b"from the writer");
            writer.join().expect("no panic").expect("it has had a reader until the end");
        }
    });
}

fn can_open_without_waiting(path: &std::path::Path) -> bool {
    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    openat2(CWD, path, OFlags::PATH, Mode::empty(), ResolveFlags::CACHED).is_ok()
}

fn can_read_without_waiting(file: &std::fs::File) -> bool {
    let mut buf = [0];
    let mut bufs = [std::io::IoSliceMut::new(&mut buf)];
    rustix::io::preadv2(file, &mut bufs, 0, rustix::io::ReadWriteFlags::NOWAIT).is_ok()
}
