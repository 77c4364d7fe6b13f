//! Connects that are refused, and connects that nobody answers.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;
use runtime::net::TcpStream;
use runtime::time::timeout;
use socket2::{Domain, Socket, Type};
use windlass_tests::open_files;

use super::{Bystander, in_both_modes, stays_calm, wait_for_files};

/// A socket that is bound, so that nobody else gets its port: a connect to a port that is free can
/// end up connected to itself.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("the system has sockets");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("it is one");
    socket.bind(&any.into()).expect("the loopback has ports");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr.as_socket().expect("it is one of the Internet"))
}

#[test]
fn hundreds_of_refused_connects_end_with_the_error_and_leave_nothing() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            let (_socket, addr) = bound();
            let files = open_files();
            for _ in 0..2 {
                let connects = (0..300).map(|_| runtime::spawn(TcpStream::connect(addr)));
                for connected in join_all(connects).await {
                    let error = connected.expect("no panic").expect_err("nobody listens");
                    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
                    assert!(error.raw_os_error().is_some(), "{error}");
                }
                wait_for_files(files);
            }
            stays_calm().await;
            bystander.is_served().await;
        });
    });
}

/// A listener whose queue is full answers nobody. The kernel asks again after 1 s, then 2 s.
#[test]
fn connects_to_a_full_backlog_wait_calmly_and_get_through_when_there_is_room() {
    in_both_modes(|runtime| {
        runtime.block_on(async {
            let mut bystander = Bystander::new().await;
            let (socket, addr) = bound();
            // Room for one.
            socket.listen(0).expect("it is bound");
            let listener = std::net::TcpListener::from(socket);
            let first = TcpStream::connect(addr).await.expect("there is room");
            let files = open_files();
            let given_up = timeout(Duration::from_millis(50), TcpStream::connect(addr)).await;
            given_up.expect_err("nobody answers");
            // Giving up closes the socket.
            wait_for_files(files);

            let waiting = [1_u8, 2].map(|number| {
                runtime::spawn(async move {
                    let mut stream = TcpStream::connect(addr).await?;
                    stream.write_all(&[number]).await?;
                    let mut answer = [0];
                    stream.read_exact(&mut answer).await?;
                    Ok::<_, std::io::Error>(answer == [number])
                })
            });
            stays_calm().await;
            assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
            bystander.is_served().await;

            drop(first);
            let server = thread::spawn(move || {
                let mut answered = 0;
                while answered < 2 {
                    let (mut stream, _) = listener.accept().expect("one connects");
                    let mut byte = [0];
                    // The first has said nothing.
                    if stream.read(&mut byte).expect("it is no reset") == 1 {
                        stream.write_all(&byte).expect("it is read");
                        answered += 1;
                    }
                }
            });
            for waiting in waiting {
                let is_answered = waiting.await.expect("no panic").expect("there is room now");
                assert!(is_answered);
            }
            server.join().expect("no panic");
        });
    });
}
