//! The end of a pipe that writes.

use super::{End, end_methods};
use crate::driver::registered::Registered;
use crate::interest::Interest;
use crate::methods::{byte_writer, file_traits, writable_methods, write_methods};
use std::fs::File;
use std::io;

/// The end of a pipe that writes.
///
/// Dropping it, if it is the last, ends the stream. When all receivers are gone, writing fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe), unless the process has asked for `SIGPIPE`, which
/// programs in Rust ignore. Up to `PIPE_BUF` bytes (4096 on Linux) are written together or not at
/// all.
pub struct Sender {
    pub(super) io: Registered<File>,
}

impl Sender {
    write_methods!();
    writable_methods!();
    end_methods!("pipe::Sender", End::Write, Interest::WRITABLE);

    fn end(&self) -> io::Result<()> {
        Ok(())
    }
}

file_traits!(Sender);

byte_writer!([] Sender, "Does nothing: only dropping it ends the stream.");
byte_writer!(
    /// At most one task should write through references: only the waker of the last call is kept.
    [] &Sender,
    "Does nothing: only dropping it ends the stream."
);
