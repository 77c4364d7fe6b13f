//! tokio serves.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::peers::tokio::{TokioCt, TokioMt};
use std::io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(super) fn serve_threaded(workers: usize, listener: std::net::TcpListener) -> io::Result<()> {
    TokioMt::run(workers, || accept(listener))
}

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    TokioCt::run(1, || accept(listener))
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = [0; READ_AT_MOST];
    loop {
        let read = stream.read(&mut buf).await?;
        if read == 0 {
            return Ok(());
        }
        match Command::parse(&buf[..read]) {
            None => stream.write_all(ACK).await?,
            Some(command) => {
                let answer = Box::pin(command.perform::<TokioMt>()).await;
                stream.write_all(&answer).await?;
            }
        }
    }
}
