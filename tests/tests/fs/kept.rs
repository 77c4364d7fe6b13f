//! Writes are kept, or their failure is told.

use std::io::{ErrorKind, Seek};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use runtime::fs::{self, File, OpenOptions};
use runtime::io::AsyncWriteExt;
use runtime::{Builder, Scheduler};
use windlass_tests::{Dir, both_modes, foreign_block_on, single_threaded, watch};

use super::{pattern, poll_and_drop};

/// A clone has the cursor too, so a blocking thread would put it back.
#[test]
fn what_a_dropped_read_has_read_is_put_back_though_no_thread_is_left() {
    let _watchdog = watch();
    let dir = Dir::new();
    let path = dir.file("eight");
    std::fs::write(&path, "12345678").expect("our folder");
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        let runtime = builder.build().expect("a runtime");
        let file = runtime.block_on(async {
            let mut file = File::open(&path).await.expect("it is there");
            drop(file.try_clone().await.expect("files are left"));
            let (release, is_released) = mpsc::channel::<()>();
            drop(runtime::spawn_blocking(move || is_released.recv()));
            let mut buf = [0; 4];
            assert!(poll_and_drop(file.read(&mut buf)).is_pending());
            drop(release);
            // It has read when the one thread comes to this.
            runtime::spawn_blocking(|| ()).await.expect("no panic");
            file
        });
        drop(runtime);
        let mut file = foreign_block_on(file.into_std()).expect("it needs no thread");
        assert_eq!(file.stream_position().expect("it has a cursor"), 0, "{scheduler}");
    }
}

#[test]
fn a_write_that_returned_survives_the_runtime() {
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let dir = Dir::new();
        let (behind, whole, at) = (dir.file("behind"), dir.file("whole"), dir.file("at"));
        // One thread, which is busy until after the shutdown has begun: nothing of this has started.
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        let runtime = builder.build().expect("a runtime");
        let (release, is_released) = mpsc::channel::<()>();
        runtime.block_on(async {
            let mut file = File::create(&behind).await.expect("a new file");
            let other = File::create(&at).await.expect("a new file");
            drop(runtime::spawn_blocking(move || is_released.recv()));
            let dropped = runtime::spawn_blocking(|| panic!("it must not run"));
            for part in [&b"not "[..], b"lost"] {
                AsyncWriteExt::write_all(&mut file, part).await.expect("accepted");
            }
            assert!(poll_and_drop(fs::write(&whole, "not lost")).is_pending());
            assert!(poll_and_drop(other.write_at(b"not lost", 0)).is_pending());
            drop(dropped);
            drop(file);
        });
        let releaser = {
            let handle = runtime.handle().clone();
            std::thread::spawn(move || {
                // The shutdown drops the optional call from the queue first.
                while handle.metrics().blocking_queue > 3 {
                    std::thread::yield_now();
                }
                drop(release);
            })
        };
        drop(runtime);
        releaser.join().expect("no panic");
        for path in [behind, whole, at] {
            let text = std::fs::read_to_string(&path).expect("it was made");
            assert_eq!(text, "not lost", "{path:?}, {scheduler}");
        }
    }
}

#[test]
fn a_failed_write_is_reported_once_by_whatever_comes_next() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let open = || OpenOptions::new().write(true).clone();
            let full = ErrorKind::StorageFull;
            let mut file = open().open("/dev/full").await.expect("Linux has it");
            assert_eq!(file.write(b"x").await.expect_err("full").kind(), full);
            file.flush().await.expect("reported already");
            for _ in 0..3 {
                AsyncWriteExt::write(&mut file, b"x").await.expect("accepted");
                assert_eq!(file.flush().await.expect_err("full").kind(), full);
                AsyncWriteExt::write(&mut file, b"x").await.expect("accepted");
                assert_eq!(file.close().await.expect_err("full").kind(), full);
                AsyncWriteExt::write(&mut file, b"x").await.expect("accepted");
                assert_eq!(file.sync_all().await.expect_err("full").kind(), full);
                // What the sync itself met comes next: there is no disk behind this file.
                let no_disk = ErrorKind::InvalidInput;
                assert_eq!(file.flush().await.expect_err("no disk").kind(), no_disk);
            }
            file.flush().await.expect("reported already");
            assert_eq!(file.write_all(&pattern(1 << 20)).await.expect_err("full").kind(), full);
        });
    });
}

#[test]
fn a_file_outlives_its_runtime_with_errors_and_works_from_another_thread() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        let mut file = runtime.block_on(File::create_new(&path)).expect("a new file");
        // No runtime is entered here: a file has its own.
        let helper = single_threaded();
        helper.block_on(file.write_all(b"from elsewhere")).expect("its runtime runs");
        drop(runtime);
        let error = helper.block_on(file.write(b"x")).expect_err("no runtime");
        assert_eq!(error.to_string(), "the runtime has been shut down");
        assert!(helper.block_on(file.sync_all()).is_err());
        assert!(helper.block_on(file.read_to_end(&mut Vec::new())).is_err());
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).expect("ours"), "from elsewhere");
        assert_eq!(descriptors_of(&path), 0);
    });
}

#[test]
fn what_a_shutdown_drops_keeps_nobody_waiting_and_ends_no_directory() {
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let dir = Dir::new();
        let path = dir.file("file");
        std::fs::write(&path, "unchanged").expect("a new file");
        let runtime = Builder::new().scheduler(scheduler).max_blocking_threads(1).build();
        let runtime = runtime.expect("a runtime");
        let (release, is_released) = mpsc::channel::<()>();
        let (mut file, mut entries) = runtime.block_on(async {
            let file = OpenOptions::new().read(true).write(true).open(&path).await.expect("ours");
            // More than one call reads.
            for number in 0..1000 {
                std::fs::write(dir.file(&number.to_string()), "").expect("a new file");
            }
            let mut entries = fs::read_dir(dir.path()).await.expect("ours");
            drop(runtime::spawn_blocking(move || is_released.recv()));
            assert!(poll_and_drop(file.set_len(0)).is_pending());
            while poll_and_drop(entries.next_entry()).is_ready() {}
            (file, entries)
        });
        runtime.shutdown(Duration::ZERO);
        let helper = single_threaded();
        helper.block_on(async {
            assert!(file.set_len(0).await.is_err());
            file.rewind().await.expect("it needs no thread");
            for _ in 0..2 {
                let error = entries.next_entry().await.expect_err("there are more");
                assert_eq!(error.to_string(), "the runtime has been shut down");
            }
        });
        drop(release);
        assert_eq!(std::fs::read_to_string(&path).expect("ours"), "unchanged", "{scheduler}");
    }
}

/// Also where they need no thread, since it is in memory.
#[test]
fn after_a_shutdown_the_functions_return_an_error() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        std::fs::write(&path, "in memory").expect("a new file");
        let handle = runtime.handle().clone();
        assert_eq!(runtime.block_on(fs::read(&path)).expect("ours"), b"in memory");
        runtime.shutdown(Duration::ZERO);
        let _entered = handle.enter();
        let gone = "the runtime has been shut down";
        let is_told = |error: std::io::Error| assert!(error.to_string().contains(gone), "{error}");
        foreign_block_on(async {
            is_told(fs::read(&path).await.expect_err("no runtime"));
            is_told(fs::read_to_string(&path).await.expect_err("no runtime"));
            is_told(fs::metadata(&path).await.expect_err("no runtime"));
        });
    });
}

/// How many descriptors of this process lead to a file.
fn descriptors_of(path: &Path) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").expect("this is Linux");
    let links = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link == path).count()
}
