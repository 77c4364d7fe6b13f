//! What the actions of one runtime share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use runtime::Handle;

use crate::census::Census;

/// Where the actions of one runtime take place.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) handle: Handle,
    pub(crate) census: Arc<Census>,
    pub(crate) folder: PathBuf,
    /// Tells names in the folder apart.
    pub(crate) names: AtomicU64,
    /// More workers than these are never parked at once, spare ones included.
    pub(crate) most_workers: usize,
    pub(crate) sends_signals: bool,
    /// One for each thread from outside that still spawns, and this one. Such a thread goes on when
    /// its action is aborted.
    pub(crate) outside: Arc<()>,
}

impl Stage {
    /// For a thread from outside to hold on to while it spawns.
    pub(crate) fn spawns_from_outside(&self) -> Arc<()> {
        self.outside.clone()
    }

    /// Whether nobody from outside spawns any more.
    pub(crate) fn is_left_alone(&self) -> bool {
        Arc::strong_count(&self.outside) == 1
    }

    pub(crate) fn new_path(&self) -> PathBuf {
        self.folder.join(self.names.fetch_add(1, Ordering::SeqCst).to_string())
    }
}
