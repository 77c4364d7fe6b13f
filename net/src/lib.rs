//! The I/O driver and the TCP sockets of the windlass runtime.
//!
//! In a program that uses the runtime, this crate is `runtime::net`, and the runtime drives it:
//!
//! ```text
//! use runtime::net::TcpListener;
//!
//! #[runtime::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     loop {
//!         let (mut stream, _peer) = listener.accept().await?;
//!         runtime::spawn(async move { stream.write_all(b"hello\n").await });
//!     }
//! }
//! ```
//!
//! By itself it needs a thread that waits for events. [`Driver::block_on`] makes the calling thread
//! that one, which is enough for a whole program:
//!
//! ```
//! use net::{Driver, Hooks, TcpListener, TcpStream};
//!
//! fn main() -> std::io::Result<()> {
//!     let driver = Driver::new(Hooks::none())?;
//!     driver.block_on(async {
//!         let listener = TcpListener::bind("127.0.0.1:0").await?;
//!         let mut client = TcpStream::connect(listener.local_addr()?).await?;
//!         let (mut server, _peer) = listener.accept().await?;
//!
//!         server.write_all(b"hello").await?;
//!         let mut buf = [0; 5];
//!         client.read_exact(&mut buf).await?;
//!         assert_eq!(&buf, b"hello");
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # What is here
//! - Sockets: [`TcpListener`], [`TcpStream`] with its halves, and [`TcpSocket`] for options that
//!   must be set early. They have methods of their own, and implement the traits of `futures-io`.
//! - [`Registered`], which makes any other pollable file asynchronous.
//! - Addresses: [`ToSocketAddrs`] and [`lookup_host`].
//! - For who builds a runtime: [`Driver`], its [`Turn`]s and [`Hooks`]; a [`Handle`] is what
//!   sockets are created with. The driver knows tasks only as [`Waker`](std::task::Waker)s.
//!
//! # When things go wrong
//! Errors are those of the operating system, unchanged unless several addresses were tried or a
//! name could not be resolved. A socket may outlive its runtime; its operations return an error
//! then. Creating one outside of a runtime panics and says where.
//!
//! After `fork`, a child that goes on using the driver shares the kernel's poller with its parent
//! and steals its events: call `exec`, or do not touch sockets there.

#![forbid(unsafe_code)]
#![cfg_attr(
    windlass_loom,
    allow(dead_code, reason = "the models use only a part of the crate")
)]

#[cfg(not(unix))]
compile_error!(
    "windlass-net supports Unix-like systems only (Linux, macOS, the BSDs): its sockets are \
     registered with epoll or kqueue by file descriptor"
);

mod addr;
mod driver;
mod handle;
mod interest;
mod into_split;
#[cfg(all(test, windlass_loom))]
mod model;
mod split;
mod sync;
mod tcp_io;
mod tcp_listener;
mod tcp_socket;
mod tcp_stream;

pub use addr::{ToSocketAddrs, lookup_host};
pub use driver::registered::Registered;
pub use driver::{Driver, Hooks, Job, Turn};
pub use handle::{EnterGuard, Handle};
pub use interest::{Interest, Ready};
pub use into_split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use split::{ReadHalf, WriteHalf};
pub use tcp_listener::{Incoming, TcpListener};
pub use tcp_socket::TcpSocket;
pub use tcp_stream::TcpStream;
