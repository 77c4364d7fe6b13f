//! Signals of the operating system, as futures and streams.
//!
//! Any number of listeners, in any number of runtimes, may listen for the same signal; each gets all
//! of them. A handler that was installed before, by this program or by a library, goes on being
//! called.
//!
//! The first listener for a signal replaces what it does by default, for good: after
//! [`ctrl_c`] has been awaited once, Ctrl-C no longer ends the program, even when nobody listens any
//! more. Two listeners for Ctrl-C, of which the second exits, keep an impatient user happy.
//!
//! # Examples
//! ```no_run
//! use runtime::signal::{SignalKind, signal};
//!
//! # runtime::Builder::new().build()?.block_on(async {
//! let mut hangup = signal(SignalKind::hangup())?;
//! while let Some(()) = hangup.recv().await {
//!     println!("reading the configuration again");
//! }
//! # Ok::<(), std::io::Error>(())
//! # })?;
//! # Ok::<(), std::io::Error>(())
//! ```

#[allow(unsafe_code)]
mod arrivals;
mod kind;
mod listener;

pub use kind::SignalKind;
pub use listener::{Signal, ctrl_c, signal};
