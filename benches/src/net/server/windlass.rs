//! windlass serves.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::windlass::{WindlassSt, WindlassWs};
use runtime::net::{TcpListener, TcpStream};
use std::io;

pub(super) fn serve_threaded(workers: usize, listener: std::net::TcpListener) -> io::Result<()> {
    WindlassWs::run(workers, || accept(listener))
}

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    WindlassSt::run(1, || accept(listener))
}

async fn accept(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        runtime::spawn(answer(stream));
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
                let answer = Box::pin(command.perform::<WindlassWs>()).await;
                stream.write_all(&answer).await?;
            }
        }
    }
}
