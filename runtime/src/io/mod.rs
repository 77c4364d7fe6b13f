//! Reading and writing: the traits, the standard streams, and copying between them.
//!
//! The traits are those of `futures-io`, and their extension traits those of `futures-util`, which
//! every library that is not tied to one runtime uses too; they are here so that a program needs no
//! other dependency. The types of [`net`](mod@crate::net), [`fs`](crate::fs) and
//! [`process`](crate::process) have the common methods themselves.
//!
//! # Examples
//! ```
//! use runtime::io::{self, AsyncBufReadExt, BufReader};
//!
//! # runtime::Builder::new().build()?.block_on(async {
//! let mut lines = BufReader::new(&b"one\ntwo\n"[..]);
//! let mut line = String::new();
//! while lines.read_line(&mut line).await? > 0 {
//!     io::stdout().write_all(line.as_bytes()).await?;
//!     line.clear();
//! }
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

pub(crate) mod call;
mod copy;
mod copy_bidirectional;
mod stdin;
mod stdout;
pub(crate) mod write_behind;

pub use copy::copy;
pub use copy_bidirectional::copy_bidirectional;
pub use futures_util::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite,
    AsyncWriteExt, BufReader, BufWriter, Cursor, LineWriter, empty, repeat, sink,
};
pub use std::io::{Error, ErrorKind, Result, SeekFrom};
pub use stdin::{Stdin, stdin};
pub use stdout::{Stderr, Stdout, stderr, stdout};
