//! The hierarchical timer wheel, sleeps, intervals and timeouts of the windlass runtime.
