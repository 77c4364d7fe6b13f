//! The end of a pipe that reads.

use super::{End, end_methods};
use crate::driver::registered::Registered;
use crate::interest::Interest;
use crate::methods::{byte_reader, file_traits, read_methods, readable_methods};
use std::fs::File;

/// The end of a pipe that reads.
///
/// It reads the end of the stream when all senders are gone. The reader of a named pipe that nobody
/// has opened for writing yet reads the end too, and again until somebody does;
/// [`OpenOptions::read_write`](super::OpenOptions::read_write) avoids that.
pub struct Receiver {
    pub(super) io: Registered<File>,
}

impl Receiver {
    read_methods!();
    readable_methods!();
    end_methods!("pipe::Receiver", End::Read, Interest::READABLE);
}

file_traits!(Receiver);

byte_reader!([] Receiver);
byte_reader!(
    /// At most one task should read through references: only the waker of the last call is kept.
    [] &Receiver
);
