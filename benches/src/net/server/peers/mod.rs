//! The servers of the other runtimes.

mod compio;
mod monoio;
mod nio;
mod smol;
mod tokio;

use crate::runtimes::RuntimeName;
use std::io;
use std::net::TcpListener;

pub(super) fn serve_on(peer: RuntimeName, workers: usize, listener: TcpListener) -> io::Result<()> {
    match peer {
        RuntimeName::TokioMt => tokio::serve_threaded(workers, listener),
        RuntimeName::TokioCt => tokio::serve(listener),
        RuntimeName::SmolMt => smol::serve_threaded(workers, listener),
        RuntimeName::SmolLocal => smol::serve(listener),
        RuntimeName::NioMt | RuntimeName::NioPin => nio::serve_threaded(workers, listener),
        RuntimeName::NioCt => nio::serve(listener),
        RuntimeName::Monoio => monoio::serve(listener),
        RuntimeName::Compio => compio::serve(listener),
        ours => unreachable!("{ours} is no peer"),
    }
}
