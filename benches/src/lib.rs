//! The workloads that compare windlass with its peers, and the load generator.
//!
//! `README.md` beside this crate says how to run it and how to read what it prints. Everything is
//! reached through the three binaries: `windlass-benches` ([`main`]), `load` ([`load`]) and `alloc`
//! ([`alloc`]).
//!
//! ```text
//! cli ─┬─ suite ─┬─ child ── (another process of this program)
//!      │         ├─ footprint ── (programs that cargo builds)
//!      │         └─ chart
//!      ├─ goals, chart                         what earlier runs have measured
//!      ├─ count ── child
//!      └─ micro, files, net::server, net::load   what those processes run
//!              └─ shim                       one thin layer per runtime
//! ```

#![forbid(unsafe_code)]

mod chart;
mod child;
mod cli;
mod count;
mod files;
mod footprint;
mod goals;
mod machine;
mod micro;
mod net;
mod process;
mod report;
mod results;
mod runtimes;
mod shim;
mod suite;

pub use cli::{alloc, load, main};
pub use micro::{Heap, ReadHeap};
