//! The I/O driver: turns the kernel's events into wake-ups.
//!
//! # How an operation waits
//! 1. An operation on a [`Registered`](crate::Registered) source is a non-blocking system call. If
//!    it succeeds, nothing here is touched.
//! 2. The first that fails with `WouldBlock` registers the source: once, for both directions,
//!    edge-triggered. Adding a source to an edge-triggered poller reports what it is ready for at
//!    that moment, so what arrived between the failed call and the registration is not lost.
//! 3. The task leaves its waker in the source's [`Readiness`](readiness::Readiness).
//! 4. Whoever has nothing better to do holds the [`Turn`] and sleeps in it. An event carries a
//!    token, the [table](table) knows whose it is, the bits are set and the wakers are handed out.
//!
//! One thread at a time holds the poller; which, is the scheduler's business. Locks are taken in
//! the order poller, table, waiters (or registering, table, waiters), and none is held while a
//! waker is called, cloned or dropped.

mod alarm;
mod attempt;
mod bell;
pub(crate) mod byte_stream;
mod page;
mod poller;
pub(crate) mod readiness;
pub(crate) mod registered;
mod table;
pub(crate) mod unpark;
pub(crate) mod waiters;

use crate::handle::Handle;
use crate::sync::{AtomicBool, Mutex, MutexGuard, Ordering};
use bell::Bell;
use poller::Poller;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use table::{Table, Token};
use unpark::Unpark;

/// A closure for another thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// What the driver needs from the runtime around it.
pub struct Hooks {
    /// Runs a closure that may block, such as the resolution of a name, on another thread.
    ///
    /// An error means that it will never run.
    pub blocking: Box<dyn Fn(Job) -> io::Result<()> + Send + Sync>,
    /// Asks whether the running task may go on.
    ///
    /// `Pending` means that its budget is used up and that the waker has been arranged to be woken.
    /// It is asked once before every attempt at an operation, and before a source is said to be
    /// ready.
    pub budget: fn(&mut Context<'_>) -> Poll<()>,
}

impl Hooks {
    /// A new thread for each blocking closure, and no budget.
    pub fn none() -> Hooks {
        Hooks {
            blocking: Box::new(|job| {
                std::thread::Builder::new().name("net-blocking".into()).spawn(job).map(drop)
            }),
            budget: |_| Poll::Ready(()),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// The I/O driver of a runtime: a poller, and the sources registered with it.
///
/// It has no thread. Some thread calls [`try_turn`](Driver::try_turn) and waits, then calls the
/// wakers that it was given. Sockets hold a [`Handle`] and can outlive the driver; dropping it
/// shuts it down.
///
/// ```
/// use net::{Driver, Hooks, TcpListener, TcpStream};
///
/// # fn main() -> std::io::Result<()> {
/// let driver = Driver::new(Hooks::none())?;
/// driver.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let _client = TcpStream::connect(listener.local_addr()?).await?;
///     let (_server, peer) = listener.accept().await?;
///     assert!(peer.ip().is_loopback());
///     Ok(())
/// })
/// # }
/// ```
pub struct Driver {
    poller: Mutex<Poller>,
    shared: Arc<Shared>,
}

/// The part of the driver that the sources reach.
pub(crate) struct Shared {
    registry: mio::Registry,
    bell: Bell,
    unpark: Unpark,
    table: Mutex<Table>,
    /// Whether the driver has been shut down. Written once, by `shut_down`.
    ///
    /// For `Debug` alone, so no ordering is needed: the sources have it in their readiness, and the
    /// table's lock knows for sure.
    is_shut_down: AtomicBool,
    pub(crate) hooks: Hooks,
}

impl Driver {
    /// A driver with nothing registered.
    ///
    /// # Errors
    /// When the kernel refuses one of its files; the message names the call.
    pub fn new(hooks: Hooks) -> io::Result<Driver> {
        let poll = mio::Poll::new().map_err(|error| named("epoll_create", error))?;
        let registry = poll.registry().try_clone().map_err(|error| named("dup of epoll", error))?;
        let bell =
            Bell::new(&registry, Token::UNPARK.0).map_err(|error| named("eventfd", error))?;
        let shared = Shared {
            registry,
            bell,
            unpark: Unpark::new(),
            table: Mutex::new(Table::default()),
            is_shut_down: AtomicBool::new(false),
            hooks,
        };
        Ok(Driver { poller: Mutex::new(Poller::new(poll)?), shared: Arc::new(shared) })
    }

    /// What sockets need to be created.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Takes the poller, unless another thread holds it.
    ///
    /// The holder may sleep in [`Turn::wait`]. Never blocks.
    pub fn try_turn(&self) -> Option<Turn<'_>> {
        let poller = self.poller.try_lock()?;
        Some(Turn { poller, shared: &self.shared })
    }

    /// Makes the holder's wait return, or the next one, if none is under way.
    ///
    /// What the caller wrote before is visible after the wait that this ends. Many calls before one
    /// wait are one; only the first that finds a sleeper makes a system call.
    pub fn unpark(&self) {
        self.shared.unpark();
    }

    /// Ends every wait with an error, and refuses further ones.
    ///
    /// The wakers of all waiting operations are pushed to `wakers`, for the caller to call. From
    /// then on every operation of a socket that belongs to this driver returns an error of kind
    /// [`Other`](io::ErrorKind::Other) that says so; none hangs. The sockets themselves stay open
    /// until they are dropped.
    pub fn shut_down(&self, wakers: &mut Vec<Waker>) {
        self.shared.is_shut_down.store(true, Ordering::Relaxed);
        let pages = self.shared.table.lock().shut_down(wakers);
        drop(pages);
    }

    /// The number of sources registered with the poller.
    ///
    /// A socket that never had to wait is not among them.
    pub fn registrations(&self) -> usize {
        self.shared.table.lock().registered()
    }

    /// Runs a future on this thread, which drives the I/O meanwhile.
    ///
    /// This is all the executor that a test or a small tool needs. The driver's handle is entered.
    ///
    /// # Panics
    /// When the poller is held: by another thread, or by a `block_on` further up this one. When the
    /// poller itself fails, which no known system does for a driver that could be created.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.handle().enter();
        let mut turn = self
            .try_turn()
            .expect("runtime: `Driver::block_on` needs the poller, which is held already");
        let unparker = Arc::new(Unparker(Arc::clone(&self.shared)));
        let waker = Waker::from(unparker);
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        let mut wakers = Vec::new();
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            turn.wait(None, &mut wakers).expect("the poller waits");
            wakers.drain(..).for_each(wake);
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let mut wakers = Vec::new();
        self.shut_down(&mut wakers);
        wakers.into_iter().for_each(wake);
    }
}

/// Wakes; a panic of the waker, which is nobody's here, ends here too. The panic hook has printed it.
fn wake(waker: Waker) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        // It may panic when it is dropped.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(another);
        }
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("registrations", &self.registrations())
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::Relaxed)
    }

    fn unpark(&self) {
        if self.unpark.unpark() {
            // Fails only if the eventfd is closed, and it lives as long as this.
            let rung = self.bell.wake();
            debug_assert!(rung.is_ok(), "{rung:?}");
        }
    }
}

/// The right to wait for events, held by one thread at a time.
pub struct Turn<'a> {
    poller: MutexGuard<'a, Poller>,
    shared: &'a Shared,
}

impl Turn<'_> {
    /// Waits for events, at most `timeout`, and returns the number of those that concern a source.
    ///
    /// The wakers of the operations that may go on are pushed to `wakers`: call them after dropping
    /// the turn, since they may run anybody's code. `None` and timeouts beyond the range of
    /// [`Instant`](std::time::Instant) wait without end, `Some(Duration::ZERO)` only looks.
    ///
    /// Returns after an event, an [`unpark`](Driver::unpark), or the timeout: never before it, and
    /// on an idle Linux machine within about 100 us after it (elsewhere, rounded up to what the
    /// poller counts in). A look does not take the token that an unpark leaves; any other wait
    /// does, and then only looks. A signal does not end it.
    ///
    /// # Errors
    /// When the poller fails, other than by a signal.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        wakers: &mut Vec<Waker>,
    ) -> io::Result<usize> {
        self.poller.wait(self.shared, timeout, wakers)
    }
}

impl fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}

/// The waker of [`Driver::block_on`]: its thread sleeps in the poller.
struct Unparker(Arc<Shared>);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// What an operation returns that would have to wait for a driver that is gone.
pub(crate) fn shut_down_error() -> io::Error {
    io::Error::other("the runtime that this source belongs to has been shut down")
}

/// Adds the name of the call that failed.
fn named(call: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{call} failed: {error}"))
}
