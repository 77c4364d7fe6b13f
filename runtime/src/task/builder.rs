//! Spawning with a name.

use std::borrow::Cow;
use std::future::Future;

use super::{JoinHandle, local};
use crate::handle::Handle;

/// Spawns a task that has a name, which messages and reports show beside its number.
///
/// # Examples
/// ```
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let job = runtime::task::Builder::new().name("report").spawn(async { 1 });
/// assert_eq!(job.await.unwrap(), 1);
/// # });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn` is called"]
pub struct Builder {
    name: Option<Cow<'static, str>>,
}

impl Builder {
    /// A builder of tasks without a name.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the task. Names need not be unique.
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// As [`runtime::spawn`](crate::spawn).
    ///
    /// # Panics
    /// When the calling thread is in no runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Handle::require("task::Builder::spawn").spawn_named(future, self.name)
    }

    /// As [`Handle::spawn`].
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        handle.spawn_named(future, self.name)
    }

    /// As [`spawn_local`](crate::spawn_local).
    ///
    /// # Panics
    /// When the calling thread neither is a worker nor in `block_on`.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        local::spawn_named(future, self.name)
    }

    /// As [`spawn_blocking`](crate::spawn_blocking).
    ///
    /// # Panics
    /// When the calling thread is in no runtime.
    #[track_caller]
    pub fn spawn_blocking<F, T>(self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Handle::require("task::Builder::spawn_blocking").spawn_blocking_named(work, self.name)
    }
}
