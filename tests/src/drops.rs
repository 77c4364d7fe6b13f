//! Values that count how often they are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many of its [tokens](DropCount::token) have been dropped.
#[derive(Clone, Debug, Default)]
pub struct DropCount(Arc<AtomicUsize>);

impl DropCount {
    /// No drops so far.
    #[must_use]
    pub fn new() -> DropCount {
        DropCount::default()
    }

    /// A value that is counted when it is dropped.
    #[must_use]
    pub fn token(&self) -> CountDrops {
        CountDrops(self.clone())
    }

    /// The drops so far.
    #[must_use]
    pub fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts its own drop.
#[derive(Debug)]
pub struct CountDrops(DropCount);

impl Drop for CountDrops {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::SeqCst);
    }
}
