//! What reads and seeks leave behind that were dropped or failed.

use std::future::Future;
use std::io::{ErrorKind, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;

use runtime::fs::{File, OpenOptions};
use runtime::io::{AsyncReadExt, AsyncSeekExt};
use runtime::{Builder, Runtime, Scheduler};
use windlass_tests::{Dir, both_modes, watch};

use super::poll_and_drop;

/// Runs a test in both modes, with one thread for blocking calls.
fn with_one_thread(test: impl Fn(&Runtime)) {
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        test(&builder.build().expect("a runtime"));
    }
}

/// Drops a future while what it has started waits for the only thread.
fn drop_under_way<F: Future>(future: F) {
    let (release, is_released) = mpsc::channel::<()>();
    drop(runtime::spawn_blocking(move || is_released.recv()));
    assert!(poll_and_drop(future).is_pending());
    drop(release);
}

async fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).await.expect("ours")
}

/// A socket as a file: it has no cursor, so nothing is put back.
fn socket() -> (UnixStream, File) {
    let (theirs, ours) = UnixStream::pair().expect("two sockets");
    (theirs, File::from_std(OwnedFd::from(ours).into()))
}

#[test]
fn what_cannot_be_put_back_outlives_a_dropped_read_to_end() {
    let _watchdog = watch();
    both_modes(|runtime| {
        runtime.block_on(async {
            let (mut theirs, mut file) = socket();
            assert!(poll_and_drop(file.read(&mut [0; 64])).is_pending());
            theirs.write_all(b"hello").expect("it has a reader");
            let mut start = [0; 1];
            assert_eq!(file.read(&mut start).await.expect("ours"), 1);
            let (mut bytes, mut text) = (Vec::new(), String::new());
            assert!(poll_and_drop(file.read_to_end(&mut bytes)).is_pending());
            assert!(poll_and_drop(file.read_to_string(&mut text)).is_pending());
            theirs.write_all(b" world").expect("it has a reader");
            drop(theirs);
            assert_eq!((bytes.len(), text.len()), (0, 0), "they belong to nobody yet");
            assert_eq!(file.read_to_string(&mut text).await.expect("ours"), 10);
            assert_eq!(text, "ello world");
        });
    });
}

/// Whether a worker or, since there is a clone, a blocking thread tries to put it back, once.
#[test]
fn what_cannot_be_put_back_outlives_a_write_and_a_seek() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        runtime.block_on(async {
            for has_clone in [false, true] {
                let (mut theirs, mut file) = socket();
                let _clone = match has_clone {
                    true => Some(file.try_clone().await.expect("a descriptor is free")),
                    false => None,
                };
                assert!(poll_and_drop(file.read(&mut [0; 64])).is_pending());
                theirs.write_all(b"hello").expect("it has a reader");
                file.write_all(b"x").await.expect("it has a reader");
                for to in [SeekFrom::Start(0), SeekFrom::Current(1), SeekFrom::End(0)] {
                    let mut seek = pin!(AsyncSeekExt::seek(&mut file, to));
                    let (release, is_released) = mpsc::channel::<()>();
                    drop(runtime::spawn_blocking(move || is_released.recv()));
                    let mut sought = futures_util::poll!(&mut seek);
                    drop(release);
                    if sought.is_pending() {
                        // The one thread has made the one call.
                        runtime::spawn_blocking(|| ()).await.expect("no panic");
                        sought = futures_util::poll!(&mut seek);
                    }
                    let Poll::Ready(Err(error)) = sought else { panic!("{to:?}: {sought:?}") };
                    assert_eq!(error.kind(), ErrorKind::NotSeekable);
                }
                let error = file.seek(SeekFrom::Start(0)).await.expect_err("a socket");
                assert_eq!(error.kind(), ErrorKind::NotSeekable);
                let mut word = [0; 5];
                file.read_exact(&mut word).await.expect("what the dropped one has read");
                assert_eq!(&word, b"hello");
            }
        });
    });
}

#[test]
fn what_was_read_before_an_error_is_kept() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        runtime.block_on(async {
            let (mut theirs, ours) = UnixStream::pair().expect("two sockets");
            ours.set_nonblocking(true).expect("a socket");
            let mut file = File::from_std(OwnedFd::from(ours).into());
            let would_block = ErrorKind::WouldBlock;

            theirs.write_all(b"hello").expect("it has a reader");
            let mut bytes = b"> ".to_vec();
            let error = file.read_to_end(&mut bytes).await.expect_err("no end");
            assert_eq!((error.kind(), &bytes[..]), (would_block, &b"> hello"[..]));

            theirs.write_all(b"hello").expect("it has a reader");
            let mut text = "> ".to_owned();
            let error = file.read_to_string(&mut text).await.expect_err("no end");
            assert_eq!((error.kind(), &text[..]), (would_block, "> hello"));

            theirs.write_all(b"hello").expect("it has a reader");
            drop_under_way(file.read_to_end(&mut Vec::new()));
            let mut word = [0; 5];
            file.read_exact(&mut word).await.expect("what the dropped one has read");
            assert_eq!(&word, b"hello");
            // The socket has an end now, but the dropped read met an error before.
            drop(theirs);
            assert_eq!(file.read(&mut word).await.expect_err("no end").kind(), would_block);
            assert_eq!(file.read(&mut word).await.expect("an end"), 0);
        });
    });
}

/// Also where it had read nothing before the error, so that nothing is to be put back.
#[test]
fn the_error_of_a_dropped_read_is_told_by_the_next() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        runtime.block_on(async {
            let would_block = ErrorKind::WouldBlock;
            let (mut bytes, mut text) = (Vec::new(), String::new());
            for operation in ["read", "read_to_end", "read_to_string", "read after a write"] {
                let (mut theirs, ours) = UnixStream::pair().expect("two sockets");
                ours.set_nonblocking(true).expect("a socket");
                let mut file = File::from_std(OwnedFd::from(ours).into());
                drop_under_way(file.read(&mut [0; 8]));
                // The one thread has made the read, which found nothing.
                runtime::spawn_blocking(|| ()).await.expect("no panic");
                theirs.write_all(b"late").expect("it has a reader");
                theirs.shutdown(Shutdown::Write).expect("it is open");
                let error = match operation {
                    "read_to_end" => file.read_to_end(&mut bytes).await.expect_err(operation),
                    "read_to_string" => file.read_to_string(&mut text).await.expect_err(operation),
                    _ => {
                        if operation == "read after a write" {
                            file.write_all(b"x").await.expect("it has a reader");
                        }
                        file.read(&mut [0; 8]).await.expect_err(operation)
                    }
                };
                assert_eq!(error.kind(), would_block, "{operation}");
                assert_eq!((bytes.len(), text.len()), (0, 0), "{operation}");
                let mut late = Vec::new();
                file.read_to_end(&mut late).await.expect("the error was told of");
                assert_eq!(late, b"late", "{operation}");
            }
        });
    });
}

#[test]
fn a_read_after_a_change_sees_it_whatever_a_dropped_one_has_read() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        runtime.block_on(async {
            let mut buf = [0; 16];
            std::fs::write(&path, "0123456789").expect("a new file");
            let mut file = open(&path).await;
            drop_under_way(file.read_to_end(&mut Vec::new()));
            file.write_at(b"ABCD", 0).await.expect("ours");
            file.set_len(6).await.expect("ours");
            assert_eq!(file.read(&mut buf).await.expect("ours"), 6);
            assert_eq!(&buf[..6], b"ABCD45");

            // Also through the trait, and what is left of an unread buffer.
            file.rewind().await.expect("a file");
            drop_under_way(file.read_to_end(&mut Vec::new()));
            assert_eq!(file.read(&mut buf[..2]).await.expect("ours"), 2);
            file.write_at(b"xy", 2).await.expect("ours");
            assert_eq!(AsyncReadExt::read(&mut file, &mut buf).await.expect("ours"), 4);
            assert_eq!(&buf[..4], b"xy45");

            // The end was elsewhere.
            drop_under_way(file.read_to_end(&mut Vec::new()));
            file.write_at(b"zz", 6).await.expect("ours");
            assert_eq!(file.read(&mut buf).await.expect("ours"), 2);
            assert_eq!(&buf[..2], b"zz");
        });
    });
}

#[test]
fn a_seek_does_not_return_where_the_end_was_for_a_dropped_one() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        let end = SeekFrom::End(0);
        runtime.block_on(async {
            std::fs::write(&path, "0123456789").expect("a new file");
            let mut file = open(&path).await;
            drop_under_way(file.seek(end));
            file.set_len(100).await.expect("ours");
            assert_eq!(file.seek(end).await.expect("a file"), 100);

            drop_under_way(AsyncSeekExt::seek(&mut file, end));
            file.set_len(200).await.expect("ours");
            assert_eq!(AsyncSeekExt::seek(&mut file, end).await.expect("a file"), 200);

            // Changed by somebody else, after the dropped one was done.
            drop_under_way(file.seek(end));
            runtime::spawn_blocking(|| ()).await.expect("no panic");
            std::fs::write(&path, "0123456789").expect("ours");
            assert_eq!(file.seek(end).await.expect("a file"), 10);
        });
    });
}

/// The clone moves the common cursor to where nothing can be put back.
#[test]
fn a_seek_drops_what_could_not_be_put_back() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        std::fs::write(&path, "0123").expect("a new file");
        runtime.block_on(async {
            let mut file = open(&path).await;
            let mut clone = file.try_clone().await.expect("a descriptor is free");
            for to in [SeekFrom::Start(0), SeekFrom::End(-4)] {
                drop_under_way(file.read_to_end(&mut Vec::new()));
                runtime::spawn_blocking(|| ()).await.expect("no panic");
                clone.rewind().await.expect("a file");
                file.seek(to).await.expect("a file");
                let mut text = String::new();
                file.read_to_string(&mut text).await.expect("ours");
                assert_eq!(text, "0123", "{to:?}");
                file.rewind().await.expect("a file");
            }
        });
    });
}

/// The system would not tell again.
#[test]
fn of_two_syncs_at_once_each_tells_its_own_failure() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        runtime.block_on(async {
            let mut file = open("/dev/full".as_ref()).await;
            {
                let (release, is_released) = mpsc::channel::<()>();
                drop(runtime::spawn_blocking(move || is_released.recv()));
                let (mut first, mut second) = (pin!(file.sync_all()), pin!(file.sync_data()));
                assert!(futures_util::poll!(&mut first).is_pending());
                assert!(futures_util::poll!(&mut second).is_pending());
                drop(release);
                // The one thread has done both when it has done this.
                runtime::spawn_blocking(|| ()).await.expect("no panic");
                for result in [first.await, second.await] {
                    assert_eq!(result.expect_err("no disk").kind(), ErrorKind::InvalidInput);
                }
            }
            file.flush().await.expect("reported already");
        });
    });
}

#[test]
fn what_a_dropped_sync_met_is_told_by_the_next() {
    let _watchdog = watch();
    with_one_thread(|runtime| {
        runtime.block_on(async {
            let mut file = open("/dev/full".as_ref()).await;
            drop_under_way(file.sync_data());
            // There is no disk behind this file.
            let error = file.flush().await.expect_err("no disk");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            file.flush().await.expect("reported already");
        });
    });
}
