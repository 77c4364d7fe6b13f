//! An async runtime that you can see into.
//!
//! It polls [`Future`]s on a work-stealing scheduler, or on one thread, and wakes them from one loop
//! for sockets and timers. A line of configuration switches the mode; the code stays the same.
//!
//! ```no_run
//! use runtime::net::TcpListener;
//! use runtime::time::timeout;
//! use std::time::Duration;
//!
//! #[runtime::main]
//! async fn main() -> std::io::Result<()> {
//!     let listener = TcpListener::bind("127.0.0.1:8080").await?;
//!     loop {
//!         let (mut stream, _peer) = listener.accept().await?;
//!         runtime::spawn(async move {
//!             let mut buf = [0; 1024];
//!             while let Ok(Ok(1..)) = timeout(Duration::from_secs(5), stream.read(&mut buf)).await {
//!                 if stream.write_all(b"ACK\n").await.is_err() {
//!                     break;
//!                 }
//!             }
//!         });
//!     }
//! }
//! ```
//!
//! # Where to find what
//! - Starting: [`#[runtime::main]`](main), [`#[runtime::test]`](test), or [`Builder`] and [`Runtime`].
//! - Spawning: [`spawn`] for what may run on any worker, [`spawn_local`] for what must stay on its
//!   thread, [`spawn_blocking`] for what blocks; [`task`] has the rest.
//! - Waiting for time: [`time`]. Sockets: [`net`].
//! - From other threads: [`Handle`].
//! - Numbers: [`Runtime::metrics`].
//!
//! Channels, locks, `select!` and `join!` come from the libraries that you know: `futures-util`,
//! `async-channel`, `async-lock` and `tokio::sync` run on any executor, on this one too.
//!
//! # The path of a wake-up
//! In the order of the folders: a `Waker` sets a bit in the task's state word (`task`); if that
//! makes the task runnable, it goes to the `next` slot or queue of the worker that this thread is,
//! or to the injector (`scheduler`); a sleeping worker is unparked if one is needed (`park`).

#![deny(unsafe_code)]

mod blocking;
mod builder;
mod coop;
pub mod fs;
mod handle;
pub mod io;
mod last_words;
mod metrics;
#[cfg(all(test, windlass_loom))]
mod model;
mod monitor;
mod panics;
mod park;
pub mod process;
#[allow(clippy::module_inception)]
mod runtime;
mod scheduler;
pub mod signal;
#[cfg(target_os = "linux")]
#[cfg_attr(
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        target_endian = "little",
    )),
    path = "stack/elsewhere.rs"
)]
mod stack;
mod sync;
pub mod task;
mod threads;
#[cfg(all(test, windlass_shuttle))]
mod whole;

pub use blocking::spawn_blocking;
pub use builder::{Builder, UnhandledPanic};
pub use handle::{EnterGuard, Handle, spawn};
pub use metrics::{Metrics, WorkerReading};
pub use monitor::BlockedTask;
pub use net;
pub use runtime::Runtime;
pub use scheduler::{ParseSchedulerError, Scheduler};
pub use task::{AbortHandle, JoinError, JoinHandle, spawn_local};
pub use timer as time;

/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// #[runtime::main]
/// async fn main() -> Result<(), Box<dyn std::error::Error>> {
///     let task = runtime::spawn(async { "7".parse::<u8>() });
///     runtime::time::sleep(Duration::from_millis(1)).await;
///     assert_eq!(task.await??, 7);
///     Ok(())
/// }
/// ```
///
/// A program that reads its arguments first, on one thread and nothing else:
///
/// ```
/// #[runtime::main(scheduler = "single-threaded")]
/// async fn serve(name: String) -> usize {
///     name.len()
/// }
///
/// fn main() {
///     let name = std::env::args().nth(1).unwrap_or("api".to_string());
///     assert!(serve(name) > 0);
/// }
/// ```
pub use macros::main;
/// # Examples
///
/// ```
/// #[runtime::test]
/// async fn a_task_gives_its_result_to_who_joins_it() {
///     assert_eq!(runtime::spawn(async { 7 }).await.ok(), Some(7));
/// }
///
/// #[runtime::test(scheduler = "work-stealing", workers = 2)]
/// #[should_panic(expected = "as it should")]
/// async fn attributes_are_kept() {
///     panic!("as it should");
/// }
/// ```
pub use macros::test;
