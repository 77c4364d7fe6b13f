//! The servers: per read of at most 1024 bytes they answer `ACK\n`, each as users of its runtime
//! would write it.

#[cfg(feature = "peers")]
mod peers;
mod raw_epoll;
mod threads;
mod windlass;

use crate::process;
use crate::runtimes::RuntimeName;
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};

/// How a server is started.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServeArgs {
    /// The runtime that serves.
    #[arg(long)]
    pub(crate) runtime: RuntimeName,
    /// Where it listens; port 0 takes a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) addr: SocketAddr,
    /// Worker threads, where the runtime has any.
    #[arg(long, default_value_t = 2)]
    pub(crate) workers: usize,
    /// The CPU to stay on.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
}

/// Serves until the process is ended, or a client asks for it.
pub(crate) fn serve(args: &ServeArgs) -> io::Result<()> {
    process::raise_open_files();
    if let Some(cpu) = args.cpu {
        process::pin_to_cpu(cpu)?;
    }
    let listener = listen(args.addr)?;
    println!("listening on {}", listener.local_addr()?);
    io::stdout().flush()?;
    serve_on(args.runtime, args.workers, listener)
}

fn serve_on(runtime: RuntimeName, workers: usize, listener: TcpListener) -> io::Result<()> {
    match runtime {
        RuntimeName::RawEpoll => raw_epoll::serve(listener),
        RuntimeName::Threads => threads::serve(&listener),
        RuntimeName::WindlassWs => windlass::serve_threaded(workers, listener),
        RuntimeName::WindlassSt => windlass::serve(listener),
        #[cfg(feature = "peers")]
        peer => peers::serve_on(peer, workers, listener),
        #[cfg(not(feature = "peers"))]
        peer => Err(peer.missing()),
    }
}

/// Every server gets its listener from here, so that the backlog is the same.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::load::{self, LoadArgs};
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn every_server_answers_and_obeys() {
        for runtime in RuntimeName::ALL.iter().copied().filter(|name| name.is_in_this_build()) {
            let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
            let addr = listener.local_addr().expect("it listens");
            // It serves until the test process ends.
            thread::spawn(move || serve_on(runtime, 2, listener));
            let mut load = LoadArgs::to(addr);
            (load.connections, load.requests, load.warm_up) = (5, Some(500), 0.0);
            load.disturb = Some("compute 1".to_owned());
            load.probes = if runtime == RuntimeName::RawEpoll { 0 } else { 1 };
            let (sender, receiver) = mpsc::channel();
            thread::spawn(move || sender.send(load::run(&load)));
            let metrics = receiver.recv_timeout(Duration::from_secs(30));
            let metrics = metrics.unwrap_or_else(|_| panic!("{runtime} does not answer"));
            let metrics = metrics.unwrap_or_else(|error| panic!("{runtime}: {error}"));
            // The first request of each connection is due before the measuring begins.
            assert!(metrics["requests"] >= 495.0, "{runtime}: {metrics:?}");
        }
    }
}
