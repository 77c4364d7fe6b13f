//! The functions that take a path, and what their errors say.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::task::Poll;

use futures_util::StreamExt;
use futures_util::future::join_all;
use runtime::fs::{self, File, OpenOptions, PathError};
use runtime::io::AsyncWriteExt;
use windlass_tests::{Dir, both_modes, watch};

use super::{pattern, poll_and_drop};

#[test]
fn the_functions_do_what_those_of_std_do() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let (a, b, c) = (dir.file("a"), dir.file("b"), dir.file("x/y/c"));
        runtime.block_on(async {
            let bytes = pattern(300_000);
            fs::write(&a, &bytes).await.expect("a new file");
            assert_eq!(fs::read(&a).await.expect("it is there"), bytes);
            assert_eq!(fs::copy(&a, &b).await.expect("a copy"), 300_000);
            fs::create_dir_all(c.parent().expect("x/y")).await.expect("two directories");
            fs::create_dir(dir.file("empty")).await.expect("a directory");
            fs::rename(&b, &c).await.expect("another name");
            assert!(!fs::try_exists(&b).await.expect("no error"));
            assert_eq!(std::fs::read(&c).expect("it is there"), bytes);
            fs::hard_link(&c, &b).await.expect("two names");
            fs::symlink("x/y/c", dir.file("link")).await.expect("a link");
            let target = fs::read_link(dir.file("link")).await.expect("it is a link");
            assert_eq!(target, Path::new("x/y/c"));
            let real = fs::canonicalize(dir.file("link")).await.expect("it leads somewhere");
            assert_eq!(real, std::fs::canonicalize(&c).expect("it is there"));
            let link = fs::symlink_metadata(dir.file("link")).await.expect("it is there");
            assert!(link.is_symlink());
            assert_eq!(fs::metadata(dir.file("link")).await.expect("a file").len(), 300_000);
            let mut permissions = fs::metadata(&a).await.expect("a file").permissions();
            permissions.set_readonly(true);
            fs::set_permissions(&a, permissions).await.expect("it is ours");
            assert!(fs::metadata(&a).await.expect("a file").permissions().readonly());
            fs::write(&b, "grüße").await.expect("it is ours");
            assert_eq!(fs::read_to_string(&b).await.expect("UTF-8"), "grüße");
            fs::remove_file(&b).await.expect("it was there");
            fs::remove_dir(dir.file("empty")).await.expect("it is empty");
            fs::remove_dir_all(dir.file("x")).await.expect("it was there");
            assert!(!c.exists());
        });
    });
}

#[test]
fn errors_say_what_was_tried_and_keep_kind_and_number() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let missing = dir.file("missing");
        let assert_is = |error: std::io::Error, kind: ErrorKind, number: i32, path: &Path| {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
            let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<PathError>());
            let inside = inside.expect("a path is added");
            assert_eq!((inside.path(), inside.raw_os_error()), (path, Some(number)));
        };
        runtime.block_on(async {
            let not_found = (ErrorKind::NotFound, 2);
            for (error, (kind, number)) in [
                (File::open(&missing).await.expect_err("missing"), not_found),
                (fs::read(&missing).await.expect_err("missing"), not_found),
                (fs::metadata(&missing).await.expect_err("missing"), not_found),
                (fs::read_dir(&missing).await.expect_err("missing"), not_found),
                (fs::remove_file(&missing).await.expect_err("missing"), not_found),
                (fs::rename(&missing, dir.file("x")).await.expect_err("missing"), not_found),
            ] {
                assert_is(error, kind, number, &missing);
            }
            // A directory where a file is expected, and the reverse.
            let is_directory = ErrorKind::IsADirectory;
            assert_is(
                fs::read(dir.path()).await.expect_err("a directory"),
                is_directory,
                21,
                dir.path(),
            );
            let error = fs::write(dir.path(), "x").await.expect_err("a directory");
            assert_is(error, is_directory, 21, dir.path());
            let error = File::create(dir.path()).await.expect_err("a directory");
            assert_is(error, is_directory, 21, dir.path());
            let mut opened =
                File::open(dir.path()).await.expect("reading is allowed by the system");
            let error = opened.read(&mut [0; 8]).await.expect_err("a directory");
            assert_eq!(error.raw_os_error(), Some(21), "{error}");
            let file = dir.file("file");
            fs::write(&file, "x").await.expect("a new file");
            let error = fs::read_dir(&file).await.expect_err("a file");
            assert_is(error, ErrorKind::NotADirectory, 20, &file);
            // Not even root may write this one.
            let version = Path::new("/sys/kernel/uevent_seqnum");
            if version.exists() {
                let error = fs::write(version, "x").await.expect_err("it is read-only");
                assert_is(error, ErrorKind::PermissionDenied, 13, version);
            }
            fs::write(&file, b"\xff").await.expect("it is ours");
            let error = fs::read_to_string(&file).await.expect_err("not UTF-8");
            assert_eq!(error.kind(), ErrorKind::InvalidData);
            let error = OpenOptions::new().open(&file).await.expect_err("neither read nor write");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        });
    });
}

#[test]
fn a_directory_gives_all_its_entries() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        // Around the size of a batch, and none.
        for count in [0, 1, 255, 256, 257, 1000] {
            let path = dir.file(&format!("dir-{count}"));
            std::fs::create_dir(&path).expect("a new directory");
            let names: BTreeSet<_> = (0..count).map(|number| format!("file-{number}")).collect();
            for name in &names {
                std::fs::write(path.join(name), "x").expect("a new file");
            }
            runtime.block_on(async {
                let mut found = BTreeSet::new();
                let mut entries = fs::read_dir(&path).await.expect("it is there");
                while let Some(entry) = entries.next_entry().await.expect("no error") {
                    assert!(entry.file_type().await.expect("it is there").is_file());
                    assert_eq!(entry.path(), path.join(entry.file_name()));
                    if found.len() < 3 {
                        assert_eq!(entry.metadata().await.expect("it is there").len(), 1);
                    }
                    assert!(found.insert(entry.file_name().into_string().expect("ASCII")));
                    // Dropped looks lose nothing.
                    if let Poll::Ready(Ok(Some(entry))) = poll_and_drop(entries.next_entry()) {
                        assert!(found.insert(entry.file_name().into_string().expect("ASCII")));
                    }
                }
                assert_eq!(found, names);
                let stream = fs::read_dir(&path).await.expect("it is there");
                assert_eq!(
                    stream.filter(|entry| std::future::ready(entry.is_ok())).count().await,
                    count
                );
            });
        }
    });
}

#[test]
fn many_files_at_once() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        runtime.block_on(async {
            let tasks = (0..200).map(|number: usize| {
                let path = dir.file(&format!("file-{number}"));
                runtime::spawn(async move {
                    let bytes = pattern(number * 100);
                    let mut file = File::create(&path).await?;
                    for part in bytes.chunks(1000) {
                        AsyncWriteExt::write_all(&mut file, part).await?;
                    }
                    file.close().await?;
                    assert_eq!(fs::read(&path).await?, bytes);
                    fs::remove_file(&path).await
                })
            });
            for result in join_all(tasks).await {
                result.expect("no panic").expect("no error");
            }
            assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0);
        });
    });
}
