//! The halves of a connection, and the traits of `futures-io`.

mod support;

use futures_util::io::{AsyncReadExt, AsyncWriteExt, copy};
use net::{Driver, TcpStream};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use support::{run, watchdog};

async fn pair() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
    let addr = listener.local_addr().expect("it is bound");
    let stream = TcpStream::connect(addr).await.expect("it listens");
    (stream, listener.accept().expect("it is connected").0)
}

#[test]
fn borrowed_halves_read_and_write() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        let (mut read, mut write) = TcpStream::split(&mut stream);
        assert_eq!(read.peer_addr().ok(), peer.local_addr().ok());
        assert_eq!(write.local_addr().ok(), read.local_addr().ok());
        assert_eq!(write.peer_addr().ok(), read.peer_addr().ok());
        write.write_all(b"ab").await.expect("it is connected");
        assert_eq!(write.write(b"c").await.expect("it is connected"), 1);
        assert_eq!(write.try_write(b"d").expect("there is room"), 1);
        let bufs = [IoSlice::new(b"e"), IoSlice::new(b"f")];
        assert_eq!(write.write_vectored(&bufs).await.expect("it is connected"), 2);
        write.flush().await.expect("it does nothing");
        write.writable().await.expect("there is room");
        let mut received = [0; 6];
        peer.read_exact(&mut received).expect("it is connected");
        assert_eq!(&received, b"abcdef");

        peer.write_all(b"0123456789").expect("it is connected");
        let mut buf = [0; 2];
        read.readable().await.expect("there are bytes");
        assert_eq!(read.peek(&mut buf).await.expect("there are bytes"), 2);
        assert_eq!(read.read(&mut buf).await.expect("there are bytes"), 2);
        read.read_exact(&mut buf).await.expect("there are bytes");
        assert_eq!(&buf, b"23");
        assert_eq!(read.try_read(&mut buf).expect("there are bytes"), 2);
        let mut bufs = [IoSliceMut::new(&mut buf)];
        assert_eq!(read.read_vectored(&mut bufs).await.expect("there are bytes"), 2);
        assert_eq!(&buf, b"67");

        stream.write_all(b"!").await.expect("dropping a borrowed half ends nothing");
        TcpStream::split(&mut stream).1.shutdown().expect("it is connected");
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).expect("it ends");
        assert_eq!(rest, b"!");
    });
}

#[test]
fn owned_halves_work_on_two_threads() {
    let _watchdog = watchdog();
    let driver = support::driver();
    let (stream, mut peer) = driver.block_on(pair());
    let (mut read, mut write) = stream.into_split();
    let writer = std::thread::spawn(move || {
        // The half belongs to the first driver, which the reader's thread drives; this one only
        // polls.
        let own: Driver = support::driver();
        own.block_on(write.write_all(b"question")).expect("it is connected");
        own.block_on(write.writable()).expect("it is connected");
    });
    let answerer = std::thread::spawn(move || {
        let mut question = String::new();
        peer.read_to_string(&mut question).expect("the end comes when the write half is dropped");
        assert_eq!(question, "question");
        peer.write_all(b"answer").expect("the other direction is open");
    });
    let mut answer = [0; 6];
    driver.block_on(read.read_exact(&mut answer)).expect("it is connected");
    assert_eq!(&answer, b"answer");
    writer.join().expect("it has written");
    answerer.join().expect("it got its question");
}

#[test]
fn owned_halves_go_back_together_and_only_with_their_own() {
    run(async {
        let (stream, mut peer) = pair().await;
        let (other, mut other_peer) = pair().await;
        let (read, write) = stream.into_split();
        let (other_read, other_write) = other.into_split();
        let error = read.reunite(other_write).expect_err("they are of two connections");
        assert!(error.to_string().contains("different connections"), "{error}");
        let (read, other_write) = (error.0, error.1);

        let mut stream = write.reunite(read).expect("they are of one");
        stream.write_all(b"still open").await.expect("joining ends nothing");
        assert_eq!(peer.read(&mut [0; 32]).expect("it is connected"), 10);

        // To forget keeps the direction open as long as the other half lives.
        other_write.forget();
        other_peer.set_nonblocking(true).expect("it is a socket");
        let error = other_peer.read(&mut [0; 1]).expect_err("neither bytes nor the end");
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        other_peer.set_nonblocking(false).expect("it is a socket");
        drop(other_read);
        assert_eq!(other_peer.read(&mut [0; 1]).expect("the end is no error"), 0);
    });
}

#[test]
fn the_traits_work_on_the_stream_on_references_and_on_halves() {
    run(async {
        let (mut stream, mut peer) = pair().await;
        AsyncWriteExt::write_all(&mut stream, b"1").await.expect("it is connected");
        AsyncWriteExt::write_all(&mut &stream, b"2").await.expect("it is connected");
        let bufs = [IoSlice::new(b"3")];
        AsyncWriteExt::write_vectored(&mut stream, &bufs).await.expect("it is connected");
        AsyncWriteExt::flush(&mut stream).await.expect("it does nothing");
        {
            let (mut read, mut write) = TcpStream::split(&mut stream);
            AsyncWriteExt::write_all(&mut write, b"4").await.expect("it is connected");
            peer.write_all(b"abcdef").expect("it is connected");
            let mut byte = [0];
            AsyncReadExt::read_exact(&mut read, &mut byte).await.expect("there are bytes");
            assert_eq!(&byte, b"a");
        }
        let mut byte = [0];
        AsyncReadExt::read(&mut stream, &mut byte).await.expect("there are bytes");
        AsyncReadExt::read(&mut &stream, &mut byte).await.expect("there are bytes");
        assert_eq!(&byte, b"c");
        let mut bufs = [IoSliceMut::new(&mut byte)];
        AsyncReadExt::read_vectored(&mut stream, &mut bufs).await.expect("there are bytes");

        let (mut read, mut write) = stream.into_split();
        AsyncWriteExt::write_all(&mut write, b"5").await.expect("it is connected");
        AsyncReadExt::read(&mut read, &mut byte).await.expect("there are bytes");
        assert_eq!(&byte, b"e");
        AsyncWriteExt::close(&mut write).await.expect("it is connected");
        let mut text = String::new();
        peer.read_to_string(&mut text).expect("closing ends the direction");
        assert_eq!(text, "12345");
    });
}

#[test]
fn closing_what_is_gone_is_no_error() {
    run(async {
        let (mut stream, peer) = pair().await;
        socket2::SockRef::from(&peer)
            .set_linger(Some(std::time::Duration::ZERO))
            .expect("an option");
        drop(peer);
        stream.read(&mut [0; 1]).await.expect_err("the peer reset it");
        stream.shutdown(std::net::Shutdown::Write).expect_err("it is gone");
        AsyncWriteExt::close(&mut stream).await.expect("it is gone, which is as good");
    });
}

#[test]
fn a_stream_copies_into_itself_through_two_references() {
    run(async {
        let (stream, mut peer) = pair().await;
        let echo = async {
            let copied = copy(&stream, &mut &stream).await.expect("it is connected");
            AsyncWriteExt::close(&mut &stream).await.expect("it is connected");
            copied
        };
        let client = std::thread::spawn(move || {
            peer.write_all(&[9; 100_000]).expect("it is connected");
            peer.shutdown(std::net::Shutdown::Write).expect("it is connected");
            let mut received = Vec::new();
            peer.read_to_end(&mut received).expect("it is connected");
            received.len()
        });
        assert_eq!(echo.await, 100_000);
        assert_eq!(client.join().expect("it got its echo"), 100_000);
    });
}
