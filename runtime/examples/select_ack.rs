//! The `select` server that every C tutorial on sockets ends with: one thread, any number of clients,
//! `ACK` to each message. `ack_server` is the same made fit for use.
//!
//! ```text
//! cargo run --release --example select_ack -- 127.0.0.1:8080
//! printf 'hello\n' | nc -q1 127.0.0.1 8080
//! ```

use std::io;

use runtime::net::{TcpListener, TcpStream};

#[runtime::main(scheduler = "single-threaded")]
async fn main() -> io::Result<()> {
    let addr = std::env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (client, _addr) = listener.accept().await?;
        runtime::spawn(async move {
            // A client that resets its connection ends its own task, and nothing else.
            let _ = answer(client).await;
        });
    }
}

/// Answers until the client has nothing more to say.
async fn answer(mut client: TcpStream) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while client.read(&mut buffer).await? > 0 {
        client.write_all(b"ACK\n").await?;
    }
    Ok(())
}
