//! The other runtimes.

pub(crate) mod compio;
pub(crate) mod monoio;
pub(crate) mod nio;
pub(crate) mod smol;
pub(crate) mod tokio;
