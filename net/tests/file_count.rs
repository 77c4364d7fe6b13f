//! Every file is closed in the end. Alone in its program, since it counts the process's files.

mod support;

use net::{TcpListener, TcpStream};
use std::pin::pin;
use support::{driver, poll_now, watchdog};

fn files() -> usize {
    std::fs::read_dir("/dev/fd")
        .expect("the system shows its files")
        .count()
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
            TcpListener::bind("192.0.2.1:0")
                .await
                .expect_err("not our address");
        });
    }
    assert_eq!(files(), before);
}
