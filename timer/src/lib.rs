//! The hierarchical timer wheel, sleeps, intervals and timeouts of the windlass runtime.
//!
//! Most programs use this crate as `runtime::time`. On its own it drives any executor's timers: it
//! knows wakers, and nothing of tasks or schedulers.
//!
//! A thread makes a [`Driver`] on a [`Clock`], enters its [`Handle`], and from then on what it polls
//! can [`sleep()`]. Between polls it *turns* the driver, which yields the wakers of what has expired.
//! This is a whole executor for one future:
//!
//! ```
//! use std::future::Future;
//! use std::pin::pin;
//! use std::sync::Arc;
//! use std::task::{Context, Poll, Wake, Waker};
//! use std::thread::{self, Thread};
//! use std::time::Duration;
//! use timer::{Clock, Driver, Hooks, Instant, sleep};
//!
//! struct Unpark(Thread);
//!
//! impl Wake for Unpark {
//!     fn wake(self: Arc<Self>) {
//!         self.0.unpark();
//!     }
//! }
//!
//! fn block_on<F: Future>(future: F) -> F::Output {
//!     let driver = Driver::new(&Clock::new(), Hooks::none());
//!     let _guard = driver.handle().enter_as_owner();
//!     let waker = Waker::from(Arc::new(Unpark(thread::current())));
//!     let mut future = pin!(future);
//!     let mut expired = Vec::new();
//!     loop {
//!         if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
//!             return output;
//!         }
//!         match driver.next_deadline() {
//!             Some(deadline) => thread::park_timeout(deadline - driver.clock().now()),
//!             None => thread::park(),
//!         }
//!         driver.turn(driver.clock().now(), &mut expired);
//!         expired.drain(..).for_each(Waker::wake);
//!     }
//! }
//!
//! let start = Instant::now();
//! block_on(sleep(Duration::from_millis(5)));
//! assert!(start.elapsed() >= Duration::from_millis(5));
//! ```
//!
//! # Map
//!
//! | file | what it answers |
//! | --- | --- |
//! | `sleep`, `interval`, `timeout` | what programs await |
//! | `driver` | how a timer is armed, fired and woken, and why no wake-up is lost |
//! | `context` | which driver a thread has entered |
//! | `clock`, `instant`, `pause` | what time it is, and how a test stops it |
//! | `wheel`, `slab` | where a timer waits: data structures without locks or time |
//! | `sync`, `model` | std or a model checker; the models that loom checks |
//! | `paused`, `wake_count`, `random` | what the tests share |
//!
//! `clock` and `driver` know each other: the drivers of a clock fire when a test advances it.

#![forbid(unsafe_code)]

mod clock;
mod context;
mod driver;
mod instant;
mod interval;
#[cfg(all(test, windlass_loom))]
mod model;
mod pause;
#[cfg(all(test, not(windlass_loom)))]
mod paused;
#[cfg(all(test, not(windlass_loom)))]
mod random;
mod slab;
mod sleep;
mod sync;
mod timeout;
#[cfg(test)]
mod wake_count;
mod wheel;

pub use clock::{Clock, real_now};
pub use context::EnterGuard;
pub use driver::{Driver, Handle, Hooks};
pub use instant::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use pause::{Advance, advance, pause, resume};
pub use sleep::{Sleep, sleep, sleep_until};
#[cfg(windlass_shuttle)]
pub use sync::pass;
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
