//! monoio serves; its buffers are owned by the operation.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::peers::monoio::Monoio;
use monoio::io::{AsyncReadRent as _, AsyncWriteRentExt as _};
use monoio::net::{TcpListener, TcpStream};
use std::io;

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    Monoio::run(1, || async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            drop(monoio::spawn(answer(stream)));
        }
    })
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = vec![0; READ_AT_MOST];
    loop {
        let (result, returned) = stream.read(buf).await;
        buf = returned;
        let read = result?;
        if read == 0 {
            return Ok(());
        }
        match Command::parse(&buf[..read]) {
            None => stream.write_all(ACK).await.0?,
            Some(command) => {
                let answer = Box::pin(command.perform::<Monoio>()).await;
                stream.write_all(answer).await.0?
            }
        };
    }
}
