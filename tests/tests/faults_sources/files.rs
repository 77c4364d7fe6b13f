//! Files: calls that are cut short, disks that are full or broken, files that change meanwhile.

use std::io::{ErrorKind, SeekFrom};
use std::path::PathBuf;
use std::process::Command;

use runtime::Runtime;
use runtime::fs::{self, File, OpenOptions, PathError};
use runtime::io::AsyncWriteExt;
use windlass_tests::{Dir, Scene, find_tool, say, scene_under};

use super::{MODES, alone, both_modes, pattern, strace};

const LENGTH: usize = 1_000_000;

/// The file of a scene, made by the test.
fn file_of_scene() -> PathBuf {
    std::env::var_os("WINDLASS_FILE").expect("the test sets it").into()
}

/// Tells a scene its file.
fn with_file(mut command: Command, path: &std::path::Path) -> Command {
    command.env("WINDLASS_FILE", path);
    command
}

/// Writes a file in each way that there is, and reads it back in each.
pub(super) fn copy(runtime: &Runtime) {
    let path = file_of_scene();
    let bytes = pattern(LENGTH);
    runtime.block_on(async {
        fs::write(&path, &bytes).await.expect("a disk");
        assert!(fs::read(&path).await.expect("a disk") == bytes, "whole");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await.expect("it was made");
        let other: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        for part in other.chunks(70_000) {
            AsyncWriteExt::write_all(&mut file, part).await.expect("a disk");
        }
        file.flush().await.expect("a disk");
        file.rewind().await.expect("a file");
        let mut read = vec![0; LENGTH];
        file.read_exact(&mut read).await.expect("a disk");
        assert!(read == other, "in pieces");
        for (index, part) in bytes.chunks(50_000).enumerate() {
            let mut at = index * 50_000;
            let mut rest = part;
            while !rest.is_empty() {
                let wrote = file.write_at(rest, at as u64).await.expect("a disk");
                (at, rest) = (at + wrote, &rest[wrote..]);
            }
        }
        let mut read = Vec::new();
        file.rewind().await.expect("a file");
        file.read_to_end(&mut read).await.expect("a disk");
        assert!(read == bytes, "by place");
    });
    println!("-copied");
}

/// A signal that arrives during a call interrupts it; here every third one, as strace does it.
#[test]
fn interrupted_calls_lose_and_double_nothing() {
    let _alone = alone();
    for mode in MODES {
        let dir = Dir::new();
        let path = dir.file("interrupted");
        let name = path.to_str().expect("a temporary folder has a plain name");
        let calls = "read,write,pread64,pwrite64,preadv2,openat,fsync";
        let injected = format!("--inject={calls}:error=EINTR:when=1+3");
        let trace = format!("trace={calls}");
        let Some(command) = strace(&["-P", name, "-e", &trace, &injected]) else { return };
        let command = with_file(scene_under(command, "copy", mode), &path);
        let mut scene = Scene::start(command);
        scene.wait_for("-copied");
        scene.end();
        assert!(std::fs::read(&path).expect("it was made") == pattern(LENGTH), "{mode}");
    }
}

/// Reads a file that the disk no longer gives.
pub(super) fn broken_disk(runtime: &Runtime) {
    let path = file_of_scene();
    runtime.block_on(async {
        let error = fs::read(&path).await.expect_err("the disk is broken");
        assert_eq!(
            error.get_ref().and_then(|it| it.downcast_ref::<PathError>()).map(PathError::path),
            Some(&*path)
        );
        println!("-read: {error}");
        let mut file = File::open(&path).await.expect("the name is there");
        let error = file.read(&mut [0; 100]).await.expect_err("the disk is broken");
        println!("-piece: {error}");
        let error = fs::write(&path, "x").await.expect_err("the disk is broken");
        println!("-write: {error}");
    });
}

#[test]
fn a_broken_disk_is_an_error_that_names_the_file() {
    let _alone = alone();
    for mode in MODES {
        let dir = Dir::new();
        let path = dir.file("broken");
        std::fs::write(&path, "unread").expect("a new file");
        let name = path.to_str().expect("a temporary folder has a plain name");
        let calls = "read,write,pread64,pwrite64,preadv2";
        let injected = format!("--inject={calls}:error=EIO");
        let trace = format!("trace={calls}");
        let Some(command) = strace(&["-P", name, "-e", &trace, &injected]) else { return };
        let command = with_file(scene_under(command, "broken_disk", mode), &path);
        let mut scene = Scene::start(command);
        let why = "Input/output error (os error 5)";
        assert_eq!(scene.wait_for("-read: "), format!("cannot read {path:?}: {why}"));
        assert_eq!(scene.wait_for("-piece: "), why, "it was opened by the caller, who knows it");
        assert_eq!(scene.wait_for("-write: "), format!("cannot write {path:?}: {why}"));
        scene.end();
    }
}

/// Fills a disk of 1 MiB: the last write that succeeds is a short one.
pub(super) fn small_disk(runtime: Runtime) {
    let folder = file_of_scene();
    let path = folder.join("file");
    let bytes = pattern(1 << 21);
    runtime.block_on(async {
        let error = fs::write(folder.join("whole"), &bytes).await.expect_err("it is full");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(error.to_string().contains("/whole\""), "{error}");
        fs::remove_file(folder.join("whole")).await.expect("it was made");

        let mut file = File::create_new(&path).await.expect("a file needs no space");
        let mut accepted = 0;
        let error = loop {
            match file.write(&bytes[accepted..][..100_000]).await {
                Ok(wrote) => accepted += wrote,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let kept = std::fs::read(&path).expect("it was made");
        assert!(kept.len() >= accepted && bytes.starts_with(&kept), "{accepted} were accepted");
        // The system took a part of the last write, and said so only by what it kept.
        assert!(kept.len() % 100_000 != 0, "{} bytes are kept", kept.len());
        println!("-full");

        // Behind the caller's back: told by what comes next, once, and what was kept is a beginning.
        file.set_len(0).await.expect("a file");
        file.rewind().await.expect("a file");
        AsyncWriteExt::write_all(&mut file, &bytes)
            .await
            .and(file.flush().await)
            .expect_err("full");
        file.flush().await.expect("it was told");
        let kept = std::fs::read(&path).expect("it was made");
        assert!(bytes.starts_with(&kept), "{} bytes are kept", kept.len());
        // There is space again, and the file goes on.
        file.set_len(0).await.expect("a file");
        file.seek(SeekFrom::Start(0)).await.expect("a file");
        AsyncWriteExt::write_all(&mut file, &bytes[..500_000]).await.expect("there is space");
    });
    // What was accepted is written by the shutdown.
    drop(runtime);
    assert!(std::fs::read(&path).expect("it was made") == bytes[..500_000]);
    println!("-kept");
}

#[test]
fn a_full_disk_is_told_and_keeps_what_was_written() {
    let _alone = alone();
    let Some(unshare) = find_tool("unshare") else { return };
    for mode in MODES {
        let dir = Dir::new();
        // In mounts of its own, which end with it.
        let script = "mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"";
        let mut command = Command::new(&unshare);
        command.args(["-m", "sh", "-c"]);
        let mut trial = Command::new(&unshare);
        trial.args(["-m", "sh", "-c", script]).arg(dir.path()).arg("true");
        if !trial.output().is_ok_and(|output| output.status.success()) {
            say("skipped what needs a small file system, which may not be mounted here");
            return;
        }
        command.arg(script).arg(dir.path());
        let command = with_file(scene_under(command, "small_disk", mode), dir.path());
        let mut scene = Scene::start(command);
        scene.wait_for("-full");
        scene.wait_for("-kept");
        scene.end();
    }
}

#[test]
fn a_file_that_is_truncated_while_it_is_read_ends_early_and_goes_on_if_it_grows() {
    let _alone = alone();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("shrinks");
        let bytes = pattern(LENGTH);
        std::fs::write(&path, &bytes).expect("a new file");
        runtime.block_on(async {
            let mut file = File::open(&path).await.expect("it was made");
            let mut read = vec![0; 300_000];
            file.read_exact(&mut read).await.expect("it is long enough");
            let other = OpenOptions::new().write(true).open(&path).await.expect("it is there");
            other.set_len(400_000).await.expect("a file");
            file.read_to_end(&mut read).await.expect("the end is no error");
            assert!(read == bytes[..400_000]);
            // Behind the end of a file nothing can be read.
            other.set_len(100).await.expect("a file");
            for _ in 0..3 {
                assert_eq!(file.read(&mut [0; 100]).await.expect("the end is no error"), 0);
            }
            std::fs::write(&path, &bytes).expect("it is there");
            file.read_to_end(&mut read).await.expect("it has grown");
            assert!(read == bytes, "where it had stopped");
        });
    });
}

#[test]
fn a_file_that_is_removed_while_it_is_open_is_read_and_written_to_the_end() {
    let _alone = alone();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("removed");
        runtime.block_on(async {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true);
            let mut file = options.open(&path).await.expect("a new file");
            file.write_all(b"before ").await.expect("a disk");
            std::fs::remove_dir_all(dir.path()).expect("it was made");
            file.write_all(b"after").await.expect("it is still open");
            file.rewind().await.expect("a file");
            let mut text = String::new();
            file.read_to_string(&mut text).await.expect("it is still open");
            assert_eq!(text, "before after");
            let error = fs::metadata(&path).await.expect_err("it has no name");
            assert_eq!(error.kind(), ErrorKind::NotFound);
        });
    });
}

/// More entries than are read at once: the system may know the rest, or not.
#[test]
fn a_directory_that_is_removed_while_it_is_read_ends() {
    let _alone = alone();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("removed");
        std::fs::create_dir(&path).expect("a new directory");
        for number in 0..2000 {
            std::fs::write(path.join(number.to_string()), "").expect("a new file");
        }
        runtime.block_on(async {
            let mut entries = fs::read_dir(&path).await.expect("it is there");
            let mut seen = std::collections::BTreeSet::new();
            let mut last = None;
            for _ in 0..300 {
                let entry = entries.next_entry().await.expect("it is there").expect("of 2000");
                assert!(seen.insert(entry.file_name()), "twice");
                last = Some(entry);
            }
            std::fs::remove_dir_all(&path).expect("it was made");
            loop {
                match entries.next_entry().await {
                    Ok(Some(entry)) => assert!(seen.insert(entry.file_name()), "twice"),
                    Ok(None) => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound),
                }
            }
            assert!(seen.len() <= 2000);
            let last = last.expect("300 were read");
            let error = last.metadata().await.expect_err("it was removed");
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().contains(&format!("{:?}", last.path())), "{error}");
        });
    });
}
