//! smol serves.

use crate::net::command::{ACK, Command, READ_AT_MOST};
use crate::shim::peers::smol::{SmolLocal, SmolMt};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};
use smol::net::{TcpListener, TcpStream};
use std::io;

pub(super) fn serve_threaded(workers: usize, listener: std::net::TcpListener) -> io::Result<()> {
    let spawn = |stream| SmolMt::start(|| answer(stream)).detach();
    SmolMt::run(workers, move || accept(listener, spawn))
}

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let spawn = |stream| SmolLocal::start(|| answer_local(stream)).detach();
    SmolLocal::run(1, move || accept(listener, spawn))
}

async fn accept(listener: std::net::TcpListener, spawn: impl Fn(TcpStream)) -> io::Result<()> {
    let listener = TcpListener::try_from(listener)?;
    loop {
        let (stream, _peer) = listener.accept().await?;
        spawn(stream);
    }
}

/// The same handler for either executor; they differ in where a hog is spawned.
macro_rules! answer {
    ($name:ident, $runtime:ty) => {
        async fn $name(mut stream: TcpStream) -> io::Result<()> {
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
                        let answer = Box::pin(command.perform::<$runtime>()).await;
                        stream.write_all(&answer).await?;
                    }
                }
            }
        }
    };
}

answer!(answer, SmolMt);
answer!(answer_local, SmolLocal);
