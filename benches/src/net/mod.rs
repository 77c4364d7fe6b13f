//! A server that answers `ACK` on every runtime, and the client that loads it.

pub(crate) mod command;
pub(crate) mod load;
pub(crate) mod server;
