//! compio serves; its buffers are owned by the operation.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::peers::compio::Compio;
use compio::io::{AsyncRead as _, AsyncWriteExt as _};
use compio::net::{TcpListener, TcpStream};
use std::io;

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    Compio::run(1, || async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            compio::runtime::spawn(answer(stream)).detach();
        }
    })
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buf = Vec::with_capacity(READ_AT_MOST);
    loop {
        buf.clear();
        let (result, returned) = stream.read(buf).await.into();
        buf = returned;
        let read = result?;
        if read == 0 {
            return Ok(());
        }
        match Command::parse(&buf[..read]) {
            None => stream.write_all(ACK).await.0?,
            Some(command) => {
                let answer = Box::pin(command.perform::<Compio>()).await;
                stream.write_all(answer).await.0?;
            }
        }
    }
}
