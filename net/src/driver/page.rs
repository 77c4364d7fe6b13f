//! Where the readiness of the sources lives.

use super::readiness::Readiness;
use crate::handle::Handle;
use crate::sync::Mutex;
use std::array;

/// The readiness of so many sources is one block of memory.
pub(super) const PLACES: usize = 64;

/// Places for the readiness of some sources, and what they have in common.
///
/// A source has its readiness from its creation on, though it may never need it, since a block of
/// its own, counted and rounded by the allocator, would cost more than twice the memory, and the
/// handle and the lock here would be in each source.
pub(super) struct Page {
    pub(super) handle: Handle,
    /// Held by the one who registers a source of the page. The kernel's poller does that one by one
    /// anyway.
    pub(super) registering: Mutex<()>,
    places: [Readiness; PLACES],
}

impl Page {
    pub(super) fn new(handle: &Handle) -> Page {
        Page {
            handle: handle.clone(),
            registering: Mutex::new(()),
            places: array::from_fn(|_| Readiness::new()),
        }
    }

    /// The readiness at an index of the [table](super::table).
    pub(super) fn readiness(&self, index: u32) -> &Readiness {
        &self.places[index as usize % PLACES]
    }

    pub(super) fn all(&self) -> &[Readiness] {
        &self.places
    }
}
