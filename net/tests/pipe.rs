//! Pipes: within the process, named, and from elsewhere.

mod support;

use futures_util::future::join;
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use net::pipe::{self, OpenOptions, Receiver, Sender};
use rustix::io::Errno;
use std::fs::File;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use support::{
    Count, TempPath, a_long_stream_arrives, driver, poll, poll_now, run, settle, turn_until,
    watchdog,
};

#[test]
fn bytes_go_through_and_the_end_is_seen() {
    run(async {
        let (mut sender, mut receiver) = pipe::pipe().expect("a pipe");
        sender.write_all(b"hello").await.expect("it is read");
        let mut buf = [0; 64];
        assert_eq!(receiver.read(&mut buf).await.expect("it is there"), 5);
        assert_eq!(&buf[..5], b"hello");
        assert!(poll_now(&mut pin!(receiver.read(&mut buf))).is_pending());

        let bufs = [IoSlice::new(b"ab"), IoSlice::new(b"cde")];
        assert_eq!(sender.write_vectored(&bufs).await.expect("it is read"), 5);
        assert_eq!(sender.try_write_vectored(&bufs).expect("there is room"), 5);
        let (mut first, mut second) = ([0; 4], [0; 4]);
        let mut bufs = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        assert_eq!(receiver.read_vectored(&mut bufs).await.expect("it is there"), 8);
        assert_eq!((&first, &second), (b"abcd", b"eabc"));
        sender.flush().await.expect("it does nothing");
        drop(sender);
        let error = receiver.read_exact(&mut [0; 5]).await.expect_err("it ends before");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("2 of 5 bytes"), "{error}");
        assert_eq!(receiver.read(&mut buf).await.expect("the end stays"), 0);
        assert_eq!(receiver.try_read(&mut buf).expect("the end stays"), 0);
    });
}

#[test]
fn a_long_stream_arrives_whole_and_in_order() {
    run(async {
        let (sender, receiver) = pipe::pipe().expect("a pipe");
        a_long_stream_arrives(sender, receiver).await;
    });
}

#[test]
fn writing_without_a_reader_is_an_error_also_for_one_who_waits() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (mut sender, receiver) = pipe::pipe().expect("a pipe");
    while sender.try_write(&[0; 4096]).is_ok() {}
    let error = sender.try_write(b"x").expect_err("it is full");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    let count = Count::new();
    let mut writing = Box::pin(sender.write(b"x"));
    assert!(poll(&mut writing, &count).is_pending());
    settle(&driver);
    drop(receiver);
    turn_until(&driver, || count.get() > 0);
    let Poll::Ready(Err(error)) = poll(&mut writing, &count) else {
        panic!("nobody reads any more");
    };
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_dropped_read_loses_nothing() {
    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (sender, mut receiver) = pipe::pipe().expect("a pipe");
    let count = Count::new();
    {
        let mut buf = [0; 8];
        let mut reading = pin!(receiver.read(&mut buf));
        assert!(poll(&mut reading, &count).is_pending());
        assert_eq!(sender.try_write(b"abc").expect("there is room"), 3);
        turn_until(&driver, || count.get() > 0);
    }
    let read = driver.block_on(receiver.read(&mut [0; 8]));
    assert_eq!(read.expect("they are there"), 3);
}

#[test]
fn readiness_and_attempts_do_not_wait_for_more_than_they_should() {
    run(async {
        let (sender, receiver) = pipe::pipe().expect("a pipe");
        let mut context = Context::from_waker(Waker::noop());
        sender.writable().await.expect("there is room");
        assert!(matches!(sender.poll_writable(&mut context), Poll::Ready(Ok(()))));
        assert!(receiver.poll_readable(&mut context).is_pending());
        assert_eq!(sender.try_io(|| Ok(3)).expect("it is ready"), 3);
        assert_eq!(sender.try_write(b"ab").expect("there is room"), 2);
        receiver.readable().await.expect("they are there");
        assert_eq!(receiver.try_read(&mut [0; 1]).expect("they are there"), 1);
        let mut byte = [0; 1];
        let mut bufs = [IoSliceMut::new(&mut byte)];
        assert_eq!(receiver.try_read_vectored(&mut bufs).expect("it is there"), 1);
        let read = receiver.try_io(|| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(read.expect_err("there is no more").kind(), ErrorKind::WouldBlock);
        assert!(poll_now(&mut pin!(receiver.readable())).is_pending());
        assert!(format!("{sender:?} {receiver:?}").contains("File"));
    });
}

#[test]
fn the_traits_of_futures_io_work_through_values_and_references() {
    run(async {
        let (mut sender, mut receiver) = pipe::pipe().expect("a pipe");
        AsyncWriteExt::write_all(&mut sender, b"abc").await.expect("it is read");
        let mut reference = &sender;
        AsyncWriteExt::write_all(&mut reference, b"def").await.expect("it is read");
        reference.close().await.expect("it does nothing");
        sender.close().await.expect("it does nothing");
        let mut buf = [0; 3];
        let mut reference = &receiver;
        AsyncReadExt::read_exact(&mut reference, &mut buf).await.expect("they are there");
        drop(sender);
        let mut text = String::new();
        receiver.read_to_string(&mut text).await.expect("it ends");
        assert_eq!(text, "def");
    });
}

#[test]
fn a_named_pipe_is_opened_without_waiting_for_the_other_end() {
    run(async {
        let path = TempPath::fifo();
        let error = OpenOptions::new().open_sender(&path).expect_err("nobody reads");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NXIO));
        let mut receiver = OpenOptions::new().open_receiver(&path).expect("it is there");
        assert_eq!(receiver.read(&mut [0; 4]).await.expect("nobody has written"), 0);
        let mut sender = OpenOptions::new().open_sender(&path).expect("somebody reads");
        sender.write_all(b"abc").await.expect("somebody reads");
        assert_eq!(receiver.read(&mut [0; 4]).await.expect("it is there"), 3);
        assert!(poll_now(&mut pin!(receiver.read(&mut [0; 4]))).is_pending());
        drop(sender);
        assert_eq!(receiver.read(&mut [0; 4]).await.expect("the end is no error"), 0);
    });
}

/// With both ends in one descriptor, the pipe has no end, and needs nobody else.
#[cfg(target_os = "linux")]
#[test]
fn a_receiver_that_could_write_sees_no_end() {
    run(async {
        let path = TempPath::fifo();
        let mut options = OpenOptions::new();
        options.read_write(true);
        let mut first = options.open_sender(&path).expect("it needs no reader");
        let mut receiver = options.open_receiver(&path).expect("it is there");
        first.write_all(b"a").await.expect("there is room");
        drop(first);
        assert_eq!(receiver.read(&mut [0; 4]).await.expect("it is there"), 1);
        assert!(poll_now(&mut pin!(receiver.read(&mut [0; 4]))).is_pending());
        let mut second = OpenOptions::new().open_sender(&path).expect("somebody reads");
        let (read, written) = join(receiver.read(&mut [0; 4]), second.write(b"bc")).await;
        assert_eq!((read.expect("it is there"), written.expect("somebody reads")), (2, 2));
    });
}

/// A pipe in packet mode ends each read with a packet, of which several can come with one event.
#[cfg(target_os = "linux")]
#[test]
fn packets_do_not_hide_each_other() {
    use rustix::pipe::{PipeFlags, pipe_with};

    let _watchdog = watchdog();
    let driver = driver();
    let _entered = driver.handle().enter();
    let (reads, writes) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::DIRECT).expect("a pipe");
    let mut receiver = Receiver::from_owned_fd(reads).expect("it is the end that reads");
    let mut writer = File::from(writes);
    let count = Count::new();
    let mut buf = [0; 64];
    let mut reading = Box::pin(receiver.read(&mut buf));
    assert!(poll(&mut reading, &count).is_pending());
    writer.write_all(b"abc").expect("somebody reads");
    writer.write_all(b"de").expect("somebody reads");
    turn_until(&driver, || count.get() > 0);
    settle(&driver);
    assert!(matches!(poll(&mut reading, &count), Poll::Ready(Ok(3))));
    drop(reading);
    let rest = driver.block_on(receiver.read(&mut buf));
    assert_eq!(rest.expect("it is there"), 2);
}

#[test]
fn only_the_right_end_of_a_pipe_is_taken_over() {
    run(async {
        let path = TempPath::new("txt");
        std::fs::write(&path, "text").expect("the folder is ours");
        let open = || File::open(&path).expect("it is there");
        for error in [
            Receiver::from_file(open()).expect_err("it is no pipe"),
            Sender::from_owned_fd(open().into()).expect_err("it is no pipe"),
            OpenOptions::new().open_receiver(&path).expect_err("it is no pipe"),
            OpenOptions::new().open_sender(&path).expect_err("it is no pipe"),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("a pipe, and this file is none"), "{error}");
        }
        assert_eq!(std::fs::read(&path).expect("it is there"), b"text", "not even truncated");
        let missing =
            OpenOptions::new().open_receiver("/nowhere/at/all").expect_err("no such file");
        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let (sender, receiver) = pipe::pipe().expect("a pipe");
        let writes = sender.into_nonblocking_fd().expect("a descriptor");
        let error = Receiver::from_owned_fd(writes).expect_err("it writes");
        assert!(error.to_string().contains("`pipe::Receiver::from_owned_fd`"), "{error}");
        let reads = receiver.into_nonblocking_fd().expect("a descriptor");
        let error = Sender::from_file(reads.into()).expect_err("it reads");
        assert!(error.to_string().contains("end of the pipe that writes"), "{error}");
    });
}

/// A child's pipes are in blocking mode, and it wants such ones.
#[test]
fn the_pipes_of_a_child_can_be_taken_over_and_given() {
    run(async {
        let (sender, mut receiver) = pipe::pipe().expect("a pipe");
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(sender.into_blocking_fd().expect("a descriptor"))
            .spawn()
            .expect("cat runs");
        let stdin = child.stdin.take().expect("it is piped");
        let mut sender = Sender::from_owned_fd(stdin.into()).expect("it is a pipe");
        let sent = vec![7; 300_000];
        let write = async {
            sender.write_all(&sent).await.expect("cat reads");
            drop(sender);
        };
        let mut received = Vec::new();
        let ((), read) = join(write, receiver.read_to_end(&mut received)).await;
        assert_eq!(read.expect("it ends"), 300_000);
        assert!(child.wait().expect("it is ours").success());

        let back = File::from(receiver.into_blocking_fd().expect("a descriptor"));
        let flags = rustix::fs::fcntl_getfl(&back).expect("it is open");
        assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK));
        assert_eq!((&back).read(&mut [0; 4]).expect("the end stays"), 0);
    });
}
