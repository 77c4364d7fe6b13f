//! Child processes: started, talked to and waited for without blocking a worker.
//!
//! A [`Command`] mirrors that of [`std::process`]. A [`Child`] is waited for through a file
//! descriptor of the process on Linux, and through `SIGCHLD` where there is none; its input and
//! outputs are asynchronous streams.
//!
//! No zombie is left: a child that ends after its [`Child`], or the whole runtime, was dropped is
//! reaped by a thread that exists as long as there are such children. Where the system has no thread
//! for that, it waits for the next [`Command`] that is run.
//!
//! # Examples
//! ```
//! use runtime::process::Command;
//!
//! # runtime::Builder::new().build()?.block_on(async {
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod exit;
mod orphans;
mod pipes;

pub use child::Child;
pub use command::Command;
pub use pipes::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{ExitStatus, Output, Stdio};
