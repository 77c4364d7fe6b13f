//! Every file is closed in the end. Alone in its program, since it counts the process's files.

mod support;

use net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, pipe};
use std::pin::pin;
use support::{TempPath, driver, poll_now, watchdog};

fn files() -> usize {
    std::fs::read_dir("/dev/fd").expect("the system shows its files").count()
}

async fn unix_and_pipes() {
    let path = TempPath::new("sock");
    let listener = UnixListener::bind(&path).expect("the path is free");
    let mut client = UnixStream::connect(&path).await.expect("it listens");
    let (server, _) = listener.accept().await.expect("a connection");
    let (read, write) = server.into_split();
    assert!(poll_now(&mut pin!(client.read(&mut [0]))).is_pending());
    drop((read, write, listener));
    UnixListener::bind(&path).expect_err("the file is still there");
    UnixStream::connect(&path).await.expect_err("nobody listens");

    let path = TempPath::new("dgram");
    let server = UnixDatagram::bind(&path).expect("the path is free");
    let client = UnixDatagram::unbound().expect("a socket");
    while client.try_send_to(b"x", &path).is_ok() {}
    assert!(poll_now(&mut pin!(client.send_to(b"x", &path))).is_pending());
    assert!(poll_now(&mut pin!(client.recv(&mut [0]))).is_pending());
    drop(server);
    client.send_to(b"x", &path).await.expect_err("nobody is there");

    let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    assert!(poll_now(&mut pin!(udp.recv_from(&mut [0]))).is_pending());
    let addr = udp.local_addr().expect("it is bound");
    UdpSocket::bind(addr).await.expect_err("it is in use");

    let (sender, mut receiver) = pipe::pipe().expect("a pipe");
    assert!(poll_now(&mut pin!(receiver.read(&mut [0]))).is_pending());
    let reads = receiver.into_nonblocking_fd().expect("a descriptor");
    pipe::Sender::from_owned_fd(reads).expect_err("it reads");
    drop(sender);
}

#[test]
fn no_file_is_left_open() {
    let _watchdog = watchdog();
    let before = files();
    for _ in 0..50 {
        let driver = driver();
        driver.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
            let addr = listener.local_addr().expect("it is bound");
            let mut client = TcpStream::connect(addr).await.expect("it listens");
            let (server, _) = listener.accept().await.expect("a connection");
            // Everything once more, dropped half-way or failing.
            drop(TcpStream::connect(addr));
            let (read, write) = server.into_split();
            assert!(poll_now(&mut pin!(client.read(&mut [0]))).is_pending());
            drop((read, write));
            drop(listener);
            TcpStream::connect(addr).await.expect_err("nobody listens");
            TcpListener::bind("192.0.2.1:0").await.expect_err("not our address");
            unix_and_pipes().await;
        });
    }
    assert_eq!(files(), before);
}
