//! The workloads that compare windlass with its peers.
