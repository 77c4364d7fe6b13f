//! Waits for a socket, a file, a timer, a signal and a child process in one `select!`, where a program
//! in C needs `select`, `aio_error`, `setitimer`, a handler and `waitpid`.
//!
//! ```text
//! cargo run --release --example one_select -- README.md
//! printf 'hello' | nc -q1 127.0.0.1 8080; pkill -USR1 one_select
//! ```

use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::{FutureExt, select};
use runtime::fs;
use runtime::net::TcpListener;
use runtime::process::Command;
use runtime::signal::{SignalKind, signal};
use runtime::time::sleep;

#[runtime::main(scheduler = "single-threaded")]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or("README.md".to_owned());
    let addr = arguments.next().unwrap_or("127.0.0.1:8080".to_owned());

    // From here on the signal is counted, so none is missed before the loop looks for it.
    let mut user_signal = signal(SignalKind::user_defined1())?;
    let listener = TcpListener::bind(addr).await?;
    println!("listening on {}", listener.local_addr()?);

    // What `select!` has seen completed it passes over from then on: that is `fuse`.
    let mut socket = pin!(hear(&listener).fuse());
    let mut file = pin!(fs::read(path).fuse());
    let mut timer = pin!(sleep(Duration::from_millis(50)).fuse());
    let mut user_signal = pin!(user_signal.recv().fuse());
    let mut child = pin!(Command::new("sh").args(["-c", "echo hello"]).output().fuse());
    loop {
        select! {
            message = socket => println!("socket: {:?}", message?),
            bytes = file => println!("file: {} bytes", bytes?.len()),
            () = timer => println!("timer: 50 ms are over"),
            _delivered = user_signal => println!("signal: SIGUSR1"),
            output = child => {
                let output = output?;
                println!("child: {:?}, {}", String::from_utf8_lossy(&output.stdout), output.status);
            }
            // When each has happened.
            complete => return Ok(()),
        }
    }
}

/// What the first client says, at most 1024 bytes of it.
async fn hear(listener: &TcpListener) -> io::Result<String> {
    let (mut client, _addr) = listener.accept().await?;
    let mut buffer = [0; 1024];
    let read = client.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}
