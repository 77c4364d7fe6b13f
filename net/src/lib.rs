//! The I/O driver, sockets and pipes of the windlass runtime.
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
//! - TCP: [`TcpListener`], [`TcpStream`] with its halves, and [`TcpSocket`] for options that must be
//!   set early.
//! - Unix sockets: [`UnixListener`] and [`UnixStream`], used like their TCP twins, and
//!   [`UnixDatagram`]; [`UCred`] tells who the peer is.
//! - Datagrams over IP: [`UdpSocket`].
//! - Pipes, named and not: [`pipe`].
//! - [`Registered`], also called [`AsyncFd`], which makes any other pollable file asynchronous.
//!
//! Streams and pipes have `read` and `write` of their own, and implement the traits of
//! `futures-io`. What several types have in common is written once, in `methods`.
//!
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
//! and steals its events: call `exec` or `_exit`, and do not touch sockets there. Dropping one there
//! takes it out of the parent's poller.

#![deny(unsafe_code)]
#![cfg_attr(
    any(windlass_loom, windlass_shuttle),
    allow(dead_code, reason = "the models use only a part of the crate")
)]

#[cfg(not(unix))]
compile_error!(
    "windlass-net supports Unix-like systems only (Linux, macOS, the BSDs): its sockets are \
     registered with epoll or kqueue by file descriptor"
);

mod addr;
mod connection;
mod datagram_room;
mod driver;
mod handle;
mod incoming;
mod interest;
mod into_split;
mod methods;
#[cfg(all(test, windlass_loom))]
mod model;
pub mod pipe;
mod split;
mod sync;
mod tcp_listener;
mod tcp_socket;
mod tcp_stream;
// One system call that no dependency makes correctly in safe code.
#[allow(unsafe_code)]
mod ucred;
mod udp_socket;
mod unix_addr;
mod unix_datagram;
mod unix_listener;
mod unix_stream;

pub use addr::{ToSocketAddrs, lookup_host};
pub use connection::Connection;
pub use driver::registered::{AsyncFd, Registered};
pub use driver::{Driver, Hooks, Job, Turn};
pub use handle::{EnterGuard, Handle};
pub use incoming::Incoming;
pub use interest::{Interest, Ready};
pub use into_split::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};
pub use split::{ReadHalf, WriteHalf};
pub use tcp_listener::TcpListener;
pub use tcp_socket::TcpSocket;
pub use tcp_stream::TcpStream;
pub use ucred::UCred;
pub use udp_socket::UdpSocket;
pub use unix_datagram::UnixDatagram;
pub use unix_listener::UnixListener;
pub use unix_stream::UnixStream;
