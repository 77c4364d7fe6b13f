//! Files: order, errors, nothing lost, and no thread for what is in memory.

mod cached;
mod dropped;
mod functions;
mod kept;
mod order;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Polls once, and drops the future.
fn poll_and_drop<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Bytes that differ from their neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}
