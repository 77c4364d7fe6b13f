//! Connections that end: by a reset, by one half, by both at once, right behind the last byte.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;

use futures_util::future::join_all;
use runtime::task::yield_now;

use super::bytes::{Random, assert_bytes, bytes};
use super::{Bystander, in_both_modes, pair, reset, stays_calm};

/// A stream's future reader sees all bytes and then the end.
async fn read_to_end(stream: &mut runtime::net::TcpStream, id: u64, random: &mut Random) -> usize {
    let mut received = 0;
    loop {
        let mut buf = vec![0; random.between(1, 3000)];
        match stream.read(&mut buf).await.expect("the peer closes, and does not reset") {
            0 => return received,
            read => {
                assert_bytes(id, received, &buf[..read]);
                received += read;
            }
        }
    }
}

/// The kernel tells a reset once, to whoever asks first; the other direction only finds its end.
#[test]
fn a_reset_ends_both_directions_and_tells_exactly_one_of_them() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            for round in 0..60 {
                let (stream, peer) = pair().await;
                while stream.try_write(&[0; 65_536]).is_ok() {}
                let (mut reader, mut writer) = stream.into_split();
                let reading = runtime::spawn(async move { reader.read(&mut [0; 64]).await });
                let writing = runtime::spawn(async move { writer.write_all(&[0; 65_536]).await });
                // Some are reset before they wait, and most while they do.
                for _ in 0..round % 4 {
                    yield_now().await;
                }
                reset(peer);
                let read = reading.await.expect("no panic").map_err(|error| error.kind());
                let written = writing.await.expect("no panic").map_err(|error| error.kind());
                let is_right = match (read, written) {
                    (Err(read), Err(written)) => {
                        read == ErrorKind::ConnectionReset && written == ErrorKind::BrokenPipe
                    }
                    (Ok(0), Err(written)) => written == ErrorKind::ConnectionReset,
                    _ => false,
                };
                assert!(is_right, "round {round}: read {read:?}, wrote {written:?}");
            }
            bystander.is_served().await;
        });
    });
}

/// The reset may be seen before, between or after the reads of what came before it.
#[test]
fn what_came_before_a_reset_is_read_before_the_error() {
    in_both_modes(|runtime| {
        let seed = 0x5eed;
        let mut random = Random::new(seed);
        let (hand_over, peers) = mpsc::channel::<(std::net::TcpStream, u64, usize)>();
        let peer = thread::spawn(move || {
            for (mut peer, id, length) in peers {
                peer.write_all(&bytes(id, 0, length)).expect("it is connected");
                reset(peer);
            }
        });
        runtime.block_on(async {
            for round in 0..200 {
                let (mut stream, peer) = pair().await;
                let length = random.between(1, 10_000);
                hand_over.send((peer, round, length)).expect("the thread waits");
                let mut received = 0;
                let error = loop {
                    let mut buf = vec![0; random.between(1, 12_000)];
                    match stream.read(&mut buf).await {
                        Ok(0) => panic!("seed {seed:#x}, round {round}: it ended without an error"),
                        Ok(read) => {
                            assert_bytes(round, received, &buf[..read]);
                            received += read;
                        }
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "round {round}");
                assert_eq!(received, length, "seed {seed:#x}, round {round}");
                assert_eq!(stream.read(&mut [0]).await.expect("it was told"), 0);
            }
        });
        drop(hand_over);
        peer.join().expect("no panic");
    });
}

#[test]
fn after_a_half_close_the_other_half_carries_all_its_bytes() {
    const THERE: usize = 100_000;
    const BACK: usize = 1_000_000;
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let one = |id: u64| async move {
                let (mut stream, mut peer) = pair().await;
                let thread = thread::spawn(move || {
                    peer.write_all(&bytes(id, 0, THERE)).expect("it is connected");
                    peer.shutdown(Shutdown::Write).expect("it is connected");
                    let mut back = Vec::new();
                    peer.read_to_end(&mut back).expect("it is closed, and not reset");
                    assert_bytes(!id, 0, &back);
                    assert_eq!(back.len(), BACK);
                });
                let served = runtime::spawn(async move {
                    let mut random = Random::new(id);
                    assert_eq!(read_to_end(&mut stream, id, &mut random).await, THERE);
                    for from in (0..BACK).step_by(50_000) {
                        let piece = bytes(!id, from, 50_000);
                        stream.write_all(&piece).await.expect("this half is open");
                    }
                    // The end stays the end.
                    assert_eq!(stream.read(&mut [0]).await.expect("no error"), 0);
                });
                served.await.expect("no panic");
                thread.join().expect("no panic");
            };
            join_all((0..8).map(one)).await;
        });
    });
}

/// A half-closed connection is readable for ever, which must not be taken for work.
#[test]
fn a_half_closed_connection_on_which_one_waits_to_write_is_calm() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let (stream, mut peer) = pair().await;
            peer.shutdown(Shutdown::Write).expect("it is connected");
            let mut filled = 0;
            while let Ok(written) = stream.try_write(&[7; 65_536]) {
                filled += written;
            }
            let (mut reader, mut writer) = stream.into_split();
            assert_eq!(reader.read(&mut [0]).await.expect("the end is no error"), 0);
            let writing = runtime::spawn(async move {
                writer.write_all(&[7; 1_000_000]).await.expect("it is read in the end");
            });
            stays_calm().await;
            assert!(!writing.is_finished());
            let thread = thread::spawn(move || {
                let mut all = Vec::new();
                peer.read_to_end(&mut all).expect("it is closed, and not reset");
                all.len()
            });
            writing.await.expect("no panic");
            drop(reader);
            assert_eq!(thread.join().expect("no panic"), filled + 1_000_000);
        });
    });
}

#[test]
fn an_end_right_behind_the_last_byte_is_seen() {
    in_both_modes(|runtime| {
        let seed = 0xf1f1;
        let mut random = Random::new(seed);
        let (hand_over, peers) = mpsc::channel::<(std::net::TcpStream, u64, usize)>();
        let peer = thread::spawn(move || {
            for (mut peer, id, length) in peers {
                peer.write_all(&bytes(id, 0, length)).expect("it is connected");
            }
        });
        runtime.block_on(async {
            for round in 0..400 {
                let (mut stream, peer) = pair().await;
                let length = random.between(0, 6000);
                hand_over.send((peer, round, length)).expect("the thread waits");
                // Every other one is read by a task, which another worker may have.
                let mut own = random.split();
                let read = match round % 2 {
                    0 => read_to_end(&mut stream, round, &mut own).await,
                    _ => runtime::spawn(
                        async move { read_to_end(&mut stream, round, &mut own).await },
                    )
                    .await
                    .expect("no panic"),
                };
                assert_eq!(read, length, "seed {seed:#x}, round {round}");
            }
        });
        drop(hand_over);
        peer.join().expect("no panic");
    });
}

#[test]
fn two_ends_that_close_at_once_both_see_the_end() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let listener = runtime::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let addr = listener.local_addr().expect("it is bound");
            let mut random = Random::new(0x2e2d);
            for round in 0..300 {
                let near = runtime::net::TcpStream::connect(addr).await.expect("it listens");
                let (far, _) = listener.accept().await.expect("one has connected");
                let ends = [(near, round, !round), (far, !round, round)];
                let ends = ends.map(|(mut stream, sends, receives)| {
                    let mut random = random.split();
                    runtime::spawn(async move {
                        let length = (sends.min(!sends) as usize) % 50;
                        let piece = bytes(sends, 0, length);
                        stream.write_all(&piece).await.expect("it is connected");
                        stream.shutdown(Shutdown::Write).expect("it is connected");
                        assert_eq!(read_to_end(&mut stream, receives, &mut random).await, length);
                    })
                });
                for end in ends {
                    end.await.expect("no panic");
                }
            }
        });
    });
}
