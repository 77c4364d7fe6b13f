//! Reads, writes and seeks take effect in the order of the calls.

use std::future::Future;
use std::io::{ErrorKind, Read, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};

use runtime::fs::{File, OpenOptions};
use runtime::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use runtime::{Builder, Scheduler};
use windlass_tests::{Dir, both_modes, foreign_block_on, single_threaded, watch, work_stealing};

use super::poll_and_drop;

/// Random operations, some of them dropped half-way, against a vector and a number.
#[test]
fn operations_take_effect_in_order_even_if_dropped() {
    let _watchdog = watch();
    for seed in 1..=12_u64 {
        let dir = Dir::new();
        let path = dir.file("file");
        let runtime = if seed % 2 == 0 { single_threaded() } else { work_stealing(2) };
        runtime.block_on(async {
            let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut file = File::create_new(&path).await.expect("a new file");
            // The cursor of one that has a clone is used by blocking threads alone.
            let has_clone = seed % 3 == 0;
            let _clone = match has_clone {
                true => Some(file.try_clone().await.expect("a descriptor is free")),
                false => None,
            };
            let mut model = Model { content: Vec::new(), cursor: 0, place: String::new() };
            for step in 0..400 {
                let operation = random.below(10);
                model.place = format!("seed {seed}, step {step}, operation {operation}");
                let most = if step % 40 == 0 { 700_000 } else { 3000 };
                let bytes = vec![step as u8; random.below(most) as usize];
                let at = random.below(model.content.len() as u64 + 1) as usize;
                if operation < 6 {
                    model.stream(&mut file, operation, &bytes).await;
                } else {
                    model.place(&mut file, operation, &bytes, at).await;
                }
            }
            file.sync_all().await.expect("a disk");
            let content = std::fs::read(&path).expect("it is there");
            assert!(content == model.content, "seed {seed}");
        });
    }
}

/// A small generator: the tests must be the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What the file should hold.
struct Model {
    content: Vec<u8>,
    cursor: usize,
    /// For the messages.
    place: String,
}

impl Model {
    fn write_at(&mut self, at: usize, bytes: &[u8]) {
        if !bytes.is_empty() && self.content.len() < at + bytes.len() {
            self.content.resize(at + bytes.len(), 0);
        }
        self.content[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.write_at(self.cursor, bytes);
        self.cursor += bytes.len();
    }

    fn read(&mut self, read: &[u8]) {
        let expected = &self.content[self.cursor..self.cursor + read.len()];
        assert!(read == expected, "{}", self.place);
        self.cursor += read.len();
    }

    /// What moves the cursor by the number of bytes.
    async fn stream(&mut self, file: &mut File, operation: u64, bytes: &[u8]) {
        let place = self.place.clone();
        let mut buf = vec![0; bytes.len()];
        match operation {
            0 => {
                file.write_all(bytes).await.expect(&place);
                self.write(bytes);
            }
            1 => {
                AsyncWriteExt::write_all(file, bytes).await.expect(&place);
                self.write(bytes);
            }
            2 => {
                // What the first poll does not accept, it leaves alone.
                if let Poll::Ready(wrote) = poll_and_drop(AsyncWriteExt::write(file, bytes)) {
                    self.write(&bytes[..wrote.expect(&place)]);
                }
            }
            3 | 4 => {
                let read = file.read(&mut buf).await.expect(&place);
                let is_at_end = self.cursor >= self.content.len();
                assert_eq!(read == 0, is_at_end || buf.is_empty(), "{place}");
                self.read(&buf[..read]);
            }
            _ => {
                if let Poll::Ready(read) = poll_and_drop(file.read(&mut buf)) {
                    self.read(&buf[..read.expect(&place)]);
                }
            }
        }
    }

    /// What names a place; not beyond the end, so that the model needs no holes.
    async fn place(&mut self, file: &mut File, operation: u64, bytes: &[u8], at: usize) {
        let place = self.place.clone();
        match operation {
            6 => {
                let back = at as i64 - self.content.len() as i64;
                let choices = [
                    SeekFrom::Start(at as u64),
                    SeekFrom::End(back),
                    SeekFrom::Current(at as i64 - self.cursor as i64),
                ];
                let to = file.seek(choices[bytes.len() % 3]).await.expect(&place);
                assert_eq!(to, at as u64, "{place}");
                self.cursor = at;
            }
            7 => {
                let wrote = file.write_at(bytes, at as u64).await.expect(&place);
                self.write_at(at, &bytes[..wrote]);
            }
            8 => {
                let mut buf = vec![0; bytes.len()];
                let read = file.read_at(&mut buf, at as u64).await.expect(&place);
                assert!(buf[..read] == self.content[at..at + read], "{place}");
            }
            _ => {
                let to = at.max(self.cursor);
                file.set_len(to as u64).await.expect(&place);
                self.content.resize(to, 0);
                assert_eq!(file.metadata().await.expect(&place).len(), to as u64, "{place}");
                let cursor = file.stream_position().await.expect(&place);
                assert_eq!(cursor, self.cursor as u64, "{place}");
            }
        }
    }
}

/// A dropped read moves the cursor of the system all the same; the write must not land behind it.
#[test]
fn what_a_dropped_read_has_read_is_put_back_before_a_write() {
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let dir = Dir::new();
        let path = dir.file("file");
        std::fs::write(&path, "0123456789").expect("a new file");
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        builder.build().expect("a runtime").block_on(async {
            let mut file =
                OpenOptions::new().read(true).write(true).open(&path).await.expect("ours");
            file.write_all(b"ab").await.expect("ours");
            // The one thread is busy, so the read is under way when it is dropped.
            let (release, is_released) = mpsc::channel::<()>();
            drop(runtime::spawn_blocking(move || is_released.recv()));
            assert!(poll_and_drop(file.read_to_end(&mut Vec::new())).is_pending());
            drop(release);
            file.write_all(b"cd").await.expect("ours");
            let mut text = String::new();
            file.read_to_string(&mut text).await.expect("ours");
            assert_eq!(text, "456789", "{scheduler}");
        });
        assert_eq!(std::fs::read_to_string(&path).expect("ours"), "abcd456789", "{scheduler}");
    }
}

/// Where the cursor is, without using it.
fn cursor_of(descriptor: RawFd) -> u64 {
    let path = format!("/proc/self/fdinfo/{descriptor}");
    let info = std::fs::read_to_string(path).expect("it is open");
    let position = info.lines().find_map(|line| line.strip_prefix("pos:"));
    position.expect("Linux says so").trim().parse().expect("a number")
}

/// A named pipe: no cursor, and a read that waits for a writer.
#[test]
fn what_a_dropped_read_of_a_pipe_gets_goes_to_the_next() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("pipe");
        let status = Command::new("mkfifo").arg(&path).status().expect("every Unix has it");
        assert!(status.success());
        runtime.block_on(async {
            let mut pipe =
                OpenOptions::new().read(true).write(true).open(&path).await.expect("ours");
            assert!(poll_and_drop(pipe.read(&mut [0; 64])).is_pending());
            std::fs::write(&path, "hello").expect("it has a reader");
            let mut buf = [0; 3];
            assert_eq!(pipe.read(&mut buf).await.expect("ours"), 3);
            assert_eq!(&buf, b"hel");
            // A pipe cannot be moved back; what is unread stays.
            pipe.write_all(b" world").await.expect("ours");
            let mut rest = [0; 8];
            AsyncReadExt::read_exact(&mut pipe, &mut rest).await.expect("eight bytes");
            assert_eq!(&rest, b"lo world");
            let error = pipe.seek(SeekFrom::Start(0)).await.expect_err("a pipe");
            assert_eq!(error.kind(), ErrorKind::NotSeekable);
        });
    });
}

/// Tells of every wake-up.
struct Tell(mpsc::Sender<()>);

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        self.0.send(()).expect("the test listens to its end");
    }
}

/// Woken when its bytes are merely taken, the task would only wait again: two context switches for
/// nothing.
#[test]
fn a_write_wakes_its_task_when_it_is_done_and_not_before() {
    const LENGTH: usize = 256 * 1024;
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        builder.build().expect("a runtime").block_on(async {
            // A socket stands for a slow disk: it takes the rest when the test has read the start.
            let (mut disk, ours) = UnixStream::pair().expect("two sockets");
            socket2::SockRef::from(&ours).set_send_buffer_size(16 * 1024).expect("a socket");
            let mut file = File::from_std(OwnedFd::from(ours).into());
            // The one thread is busy, so the write waits for its end before it has begun.
            let (release, is_released) = mpsc::channel::<()>();
            drop(runtime::spawn_blocking(move || is_released.recv()));
            let (woken, wakes) = mpsc::channel();
            let waker = Waker::from(Arc::new(Tell(woken)));
            let mut cx = Context::from_waker(&waker);
            let bytes = vec![1; LENGTH];
            let mut write = pin!(file.write(&bytes));
            assert!(write.as_mut().poll(&mut cx).is_pending());
            drop(release);

            disk.read_exact(&mut [0]).expect("the write has begun");
            assert!(wakes.try_recv().is_err(), "woken before the end, {scheduler}");
            disk.read_exact(&mut vec![0; LENGTH - 1]).expect("the write goes on");
            wakes.recv().expect("woken at the end");
            let Poll::Ready(written) = write.as_mut().poll(&mut cx) else {
                panic!("woken before the end, {scheduler}");
            };
            assert_eq!(written.expect("room for all"), LENGTH);
        });
    }
}

/// Uses the file when it is called, and waits for that.
struct User {
    file: Arc<Mutex<File>>,
    what: Use,
    has_used: mpsc::Sender<()>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    /// Does not look at what the thread that calls the waker has yet to write.
    Metadata,
    /// Needs room, which that thread is to make, and the end of what it is to write.
    Write,
}

/// So much is accepted at once.
const ACCEPTED: usize = 256 * 1024;

impl Wake for User {
    fn wake(self: Arc<Self>) {
        let mut file = self.file.lock().expect("no panic");
        // Of a file that fails either may tell so.
        let _ = foreign_block_on(async {
            match self.what {
                Use::Metadata => file.metadata().await.map(drop),
                Use::Write => file.write_all(&[2; 2 * ACCEPTED]).await,
            }
        });
        drop(file);
        self.has_used.send(()).expect("the test listens to its end");
    }
}

/// A file whose waker uses it.
struct Used {
    file: Arc<Mutex<File>>,
    waker: Waker,
    uses: mpsc::Receiver<()>,
}

impl Used {
    fn new(file: File, what: Use) -> Used {
        let file = Arc::new(Mutex::new(file));
        let (has_used, uses) = mpsc::channel();
        let waker = Waker::from(Arc::new(User { file: file.clone(), what, has_used }));
        Used { file, waker, uses }
    }

    /// Polls with the waker.
    fn poll<T>(&self, poll: impl FnOnce(Pin<&mut File>, &mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let mut file = self.file.lock().expect("no panic");
        poll(Pin::new(&mut file), &mut Context::from_waker(&self.waker))
    }

    /// Writes through the trait as much as is accepted at once; false where there is no room.
    fn write(&self) -> bool {
        match self.poll(|file, cx| file.poll_write(cx, &[1; ACCEPTED])) {
            Poll::Ready(written) => written.expect("no error yet") == ACCEPTED,
            Poll::Pending => false,
        }
    }
}

/// Whether it waits for room or for the end of a write.
#[test]
fn a_waker_may_use_the_file_whose_write_calls_it() {
    let _watchdog = watch();
    for (scheduler, what) in [Scheduler::SingleThreaded, Scheduler::WorkStealing]
        .into_iter()
        .flat_map(|scheduler| [(scheduler, Use::Metadata), (scheduler, Use::Write)])
    {
        // One thread calls the waker, and one looks for the metadata.
        let threads = if what == Use::Metadata { 2 } else { 1 };
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(threads);
        builder.build().expect("a runtime").block_on(async {
            let dir = Dir::new();
            let path = dir.file("file");
            let file = Used::new(File::create_new(&path).await.expect("a new file"), what);
            let (release, is_released) = mpsc::channel::<()>();
            let is_released = Arc::new(Mutex::new(is_released));
            for _ in 0..threads {
                let is_released = is_released.clone();
                drop(runtime::spawn_blocking(move || {
                    is_released.lock().is_ok_and(|is| is.recv().is_ok())
                }));
            }
            assert!(file.write());
            assert!(!file.write(), "there is room, {scheduler}");
            drop(release);
            file.uses.recv().expect("called when there was room");

            assert!(file.write());
            let is_called = file.poll(|file, cx| file.poll_flush(cx)).is_pending();
            if is_called {
                file.uses.recv().expect("called at the end");
            }
            let mut expected = Vec::new();
            for is_called in [true, is_called] {
                expected.resize(expected.len() + ACCEPTED, 1);
                if is_called && what == Use::Write {
                    expected.resize(expected.len() + 2 * ACCEPTED, 2);
                }
            }
            let content = std::fs::read(&path).expect("ours");
            assert!(content == expected, "{} bytes, {scheduler}, {what:?}", content.len());
        });
    }
}

#[test]
fn a_waker_may_use_the_file_whose_write_has_failed() {
    let _watchdog = watch();
    for what in [Use::Metadata, Use::Write] {
        both_modes(|runtime| {
            // A socket stands for a slow disk, which fails when the other end is dropped.
            let (mut disk, ours) = UnixStream::pair().expect("two sockets");
            let file = {
                let _entered = runtime.enter();
                Used::new(File::from_std(OwnedFd::from(ours).into()), what)
            };
            assert!(file.write());
            disk.read_exact(&mut [0]).expect("the write has begun");
            assert!(file.write());
            assert!(!file.write(), "there is room");
            assert!(file.poll(|file, cx| file.poll_flush(cx)).is_pending());
            drop(disk);
            for _ in 0..2 {
                file.uses.recv().expect("there is room, and an end");
            }
            if what == Use::Metadata {
                let told = file.poll(|file, cx| file.poll_flush(cx));
                let Poll::Ready(Err(error)) = told else { panic!("{told:?}") };
                let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
                assert!(kinds.contains(&error.kind()), "{error}");
            }
        });
    }
}

/// Keeps the one thread busy until what this returns is dropped.
fn hold_the_thread() -> mpsc::Sender<()> {
    let (release, is_released) = mpsc::channel::<()>();
    drop(runtime::spawn_blocking(move || is_released.recv()));
    release
}

/// Sees that a future waits for the one thread, and the cursor stays where it is until then.
async fn wait_for_the_thread<F: Future>(future: F, cursor: RawFd, place: u64) -> F::Output {
    let release = hold_the_thread();
    let mut future = pin!(future);
    assert!(futures_util::poll!(&mut future).is_pending(), "done by a worker");
    assert_eq!(cursor_of(cursor), place, "moved by a worker");
    drop(release);
    future.await
}

/// The system lets one at a time have the cursor, so a worker would wait as long as the clone's read.
#[test]
fn a_cursor_that_a_clone_may_have_is_left_to_blocking_threads() {
    let _watchdog = watch();
    for scheduler in [Scheduler::SingleThreaded, Scheduler::WorkStealing] {
        let dir = Dir::new();
        let path = dir.file("file");
        std::fs::write(&path, "0123456789").expect("a new file");
        let builder = Builder::new().scheduler(scheduler).max_blocking_threads(1);
        builder.build().expect("a runtime").block_on(async {
            let mut options = OpenOptions::new();
            let mut file = options.read(true).write(true).open(&path).await.expect("ours");
            let clone = file.try_clone().await.expect("a descriptor is free");
            let mut of_the_clone = clone.try_clone().await.expect("a descriptor is free");
            for file in [&mut file, &mut of_the_clone] {
                let fd = file.as_raw_fd();
                file.rewind().await.expect("a file");
                let to = wait_for_the_thread(file.seek(SeekFrom::Start(1)), fd, 0).await;
                assert_eq!(to.expect("a file"), 1);
                let mut buf = [0; 3];
                let read = wait_for_the_thread(file.read(&mut buf), fd, 1).await;
                assert_eq!((read.expect("ours"), &buf), (3, b"123"));

                // What a dropped read has read is put back.
                let release = hold_the_thread();
                assert!(poll_and_drop(file.read(&mut buf)).is_pending());
                drop(release);
                runtime::spawn_blocking(|| ()).await.expect("no panic");
                let written = wait_for_the_thread(file.write(b"x"), fd, 7).await;
                assert_eq!(written.expect("ours"), 1);
                assert_eq!(file.stream_position().await.expect("a file"), 5);
            }
        });
        assert_eq!(std::fs::read_to_string(&path).expect("ours"), "0123x56789", "{scheduler}");
    }
}

#[test]
fn clones_share_the_cursor_and_std_gets_its_file_back() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("file");
        runtime.block_on(async {
            let mut file = File::create_new(&path).await.expect("a new file");
            let mut clone = file.try_clone().await.expect("a descriptor is free");
            file.write_all(b"one ").await.expect("ours");
            clone.write_all(b"two ").await.expect("ours");
            drop(clone);
            AsyncWriteExt::write_all(&mut file, b"three").await.expect("accepted");
            let std = file.into_std().await.expect("no error");
            assert_eq!(std.metadata().expect("a file").len(), 13);
            assert_eq!(std::fs::read_to_string(&path).expect("ours"), "one two three");
            let mut file = File::from_std(std);
            file.rewind().await.expect("a file");
            let mut word = [0; 3];
            file.read_exact(&mut word).await.expect("three bytes");
            assert_eq!(&word, b"one");
            let error = file.read_exact(&mut [0; 20]).await.expect_err("not so many");
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        });
    });
}

/// A pipe that nobody reads holds the bytes up, which a disk does not do for long.
#[test]
fn a_look_at_the_file_waits_for_the_bytes_that_were_accepted() {
    let _watchdog = watch();
    both_modes(|runtime| {
        let dir = Dir::new();
        let path = dir.file("pipe");
        let status = Command::new("mkfifo").arg(&path).status().expect("every Unix has it");
        assert!(status.success());
        runtime.block_on(async {
            let mut options = OpenOptions::new();
            let mut pipe = options.read(true).write(true).open(&path).await.expect("ours");
            // More than the pipe holds.
            let bytes = vec![1; 200_000];
            AsyncWriteExt::write_all(&mut pipe, &bytes).await.expect("accepted");
            let mut look = Box::pin(pipe.metadata());
            for _ in 0..20_000 {
                assert!(futures_util::poll!(&mut look).is_pending());
                runtime::task::yield_now().await;
            }
            let read = runtime::spawn_blocking(move || {
                let mut file = std::fs::File::open(path)?;
                std::io::Read::read_exact(&mut file, &mut vec![0; 200_000])
            });
            look.await.expect("it is open");
            read.await.expect("no panic").expect("it has a writer");
        });
    });
}
