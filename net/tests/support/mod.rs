//! What the tests share: a driver of their own, and an end to every hang.

#![allow(dead_code, reason = "each test program uses a part of it")]

use futures_util::future::join;
use futures_util::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use net::{Driver, Hooks};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Ends the process if the test has not ended in time: a hung test cannot fail by itself.
pub(crate) struct Watchdog {
    _alive: mpsc::Sender<()>,
}

pub(crate) fn watchdog() -> Watchdog {
    let (alive, watched) = mpsc::channel();
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    std::thread::spawn(move || {
        if watched.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            // Not `eprintln!`, whose text the test harness would keep to itself.
            let _ = writeln!(std::io::stderr(), "{test} hangs");
            std::process::abort();
        }
    });
    Watchdog { _alive: alive }
}

pub(crate) fn driver() -> Driver {
    Driver::new(Hooks::none()).expect("the kernel has files for a driver")
}

/// Runs a future that must end, on a driver of its own.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let _watchdog = watchdog();
    driver().block_on(future)
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn new() -> Arc<Count> {
        Arc::default()
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once, with a waker that counts.
pub(crate) fn poll<F: Future + Unpin>(future: &mut F, count: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(count));
    std::pin::Pin::new(future).poll(&mut Context::from_waker(&waker))
}

/// Polls once, for one who does not wait for the wake-up.
pub(crate) fn poll_now<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Waits for events until a condition holds.
pub(crate) fn turn_until(driver: &Driver, mut condition: impl FnMut() -> bool) {
    while !condition() {
        let mut wakers = Vec::new();
        let mut turn = driver.try_turn().expect("nobody else drives");
        turn.wait(Some(Duration::from_millis(10)), &mut wakers).expect("the poller waits");
        drop(turn);
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Takes in every event that there is now.
pub(crate) fn settle(driver: &Driver) {
    let mut wakers = Vec::new();
    let mut turn = driver.try_turn().expect("nobody else drives");
    while turn.wait(Some(Duration::ZERO), &mut wakers).expect("the poller looks") > 0 {}
    drop(turn);
    wakers.into_iter().for_each(Waker::wake);
}

/// A path in the folder for temporary files that no other test has, removed in the end.
pub(crate) struct TempPath(PathBuf);

impl TempPath {
    pub(crate) fn new(kind: &str) -> TempPath {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("windlass-net-{}-{number}.{kind}", std::process::id());
        // The address of a Unix socket has room for 107 bytes.
        let folder = Some(std::env::temp_dir()).filter(|folder| folder.as_os_str().len() < 60);
        let path = TempPath(folder.unwrap_or("/tmp".into()).join(name));
        // Left by a process of the same number that was killed.
        let _ = std::fs::remove_file(&path);
        path
    }

    /// A named pipe.
    pub(crate) fn fifo() -> TempPath {
        let path = TempPath::new("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path.0).status();
        assert!(made.expect("mkfifo runs").success());
        path
    }
}

impl AsRef<Path> for TempPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempPath {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Sends far more than any buffer holds, so both sides block many times, in odd sizes, so reads end
/// short; all of it must arrive, in order, and then the end.
pub(crate) async fn a_long_stream_arrives(
    mut write: impl AsyncWrite + Unpin,
    mut read: impl AsyncRead + Unpin,
) {
    let sent: Vec<u8> = (0..20_000_003_u32).map(|index| (index % 251) as u8).collect();
    let writing = async {
        for chunk in sent.chunks(600_007) {
            write.write_all(chunk).await.expect("it is read");
        }
        write.close().await.expect("it is read");
        // Of a pipe, only this is the end.
        drop(write);
    };
    let reading = async {
        let mut received = Vec::new();
        let mut buf = vec![0; 70_001];
        loop {
            match read.read(&mut buf).await.expect("it is written") {
                0 => return received,
                read => received.extend_from_slice(&buf[..read]),
            }
        }
    };
    let ((), received) = join(writing, reading).await;
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}
