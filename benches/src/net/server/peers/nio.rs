//! nio serves; a connection is pinned to the worker that it is handed to.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::peers::nio::{NioCt, NioPin};
use futures_util::AsyncWriteExt as _;
use nio::net::{TcpConnection, TcpListener};
use std::io;

pub(super) fn serve_threaded(workers: usize, listener: std::net::TcpListener) -> io::Result<()> {
    NioPin::run(workers, || accept(listener))
}

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    NioCt::run(1, || accept(listener))
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let mut listener = TcpListener::new(mio::net::TcpListener::from_std(listener))?;
    loop {
        let connection = listener.accept().await?;
        drop(nio::spawn_pinned(|| answer(connection)));
    }
}

async fn answer(connection: TcpConnection) -> io::Result<()> {
    connection.set_nodelay(true)?;
    let mut stream = connection.connect().await?;
    let mut buf = [0; READ_AT_MOST];
    loop {
        let read = stream.read(&mut buf).await?;
        if read == 0 {
            return Ok(());
        }
        match Command::parse(&buf[..read]) {
            None => stream.write_all(ACK).await?,
            Some(command) => {
                let answer = Box::pin(command.perform::<NioPin>()).await;
                stream.write_all(&answer).await?;
            }
        }
    }
}
