//! The standard input.

use std::future::poll_fn;
use std::io::{self, Read};
use std::mem;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::thread;

use futures_util::io::AsyncRead;

use super::call::retry_interrupted;
use crate::coop;
use crate::panics::{contain, drop_quietly};
use crate::sync::{Condvar, Mutex, wait_for};

/// How much one read asks for.
const BUFFER: usize = 64 * 1024;

/// The standard input of this process.
///
/// It is read by a thread of its own, which belongs to the process and to no runtime, so that a read
/// that never returns (a terminal at which nobody types) keeps neither a worker nor the shutdown of a
/// runtime waiting. The thread reads only when somebody waits for input, and at most 64 KiB ahead of
/// what was asked for; what is left when a future is dropped goes to the next read of any `Stdin`.
///
/// All values share the input. Two tasks that read at once get turns, in no particular order.
///
/// A program that started a read and exits without getting anything may leave the terminal's next
/// line unread; one that hands its input to a child process should not have a read under way.
#[derive(Debug)]
pub struct Stdin {
    /// For the trait; each future of [`read`](Stdin::read) has its own.
    waiter: Waiter,
}

/// The standard input of this process; see [`Stdin`]. Works outside of runtimes too.
///
/// # Examples
/// ```no_run
/// use runtime::io::{AsyncBufReadExt, BufReader, stdin};
///
/// # runtime::Builder::new().build()?.block_on(async {
/// let mut line = String::new();
/// BufReader::new(stdin()).read_line(&mut line).await?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn stdin() -> Stdin {
    Stdin { waiter: Waiter::new() }
}

/// What the thread and the readers share.
struct Input {
    state: Mutex<State>,
    /// Notified when `is_wanted` becomes true.
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    /// What the last read gave; its length is what has been initialised.
    buffer: Vec<u8>,
    /// What of `buffer` has been read and not given out.
    unread: std::ops::Range<usize>,
    /// An end or an error that the thread has met and nobody has been told of.
    last: Option<io::Result<()>>,
    /// Whether somebody waits and there is nothing: the thread is to read once.
    is_wanted: bool,
    has_thread: bool,
    /// The wakers of those who wait, and their numbers.
    waiters: Vec<(u64, Waker)>,
}

static INPUT: LazyLock<Input> =
    LazyLock::new(|| Input { state: Mutex::new(State::default()), wanted: Condvar::new() });

impl State {
    /// Keeps the last waker of a waiter, and gives back the one before.
    #[must_use]
    fn set_waker(&mut self, number: u64, waker: Waker) -> Option<Waker> {
        match self.waiters.iter_mut().find(|(other, _)| *other == number) {
            Some((_, last)) => Some(mem::replace(last, waker)),
            None => {
                self.waiters.push((number, waker));
                None
            }
        }
    }

    #[must_use]
    fn take_waker(&mut self, number: u64) -> Option<Waker> {
        let index = self.waiters.iter().position(|(other, _)| *other == number)?;
        Some(self.waiters.swap_remove(index).1)
    }
}

/// One who may wait for input. When it is dropped its waker goes too: input may never come, and a waker
/// keeps a task, and that its whole runtime.
#[derive(Debug)]
struct Waiter {
    number: u64,
}

impl Waiter {
    fn new() -> Waiter {
        /// The number of the next one. Relaxed: the numbers differ, and that is all.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Waiter { number: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(coop::poll_proceed(cx));
        INPUT.poll_read(self.number, cx, buf)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let waker = INPUT.state.lock().take_waker(self.number);
        // With no lock held; it is not our code.
        drop_quietly(waker);
    }
}

impl Input {
    fn poll_read(
        &'static self,
        number: u64,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        if !state.unread.is_empty() {
            let count = buf.len().min(state.unread.len());
            let start = state.unread.start;
            buf[..count].copy_from_slice(&state.buffer[start..start + count]);
            state.unread.start += count;
            return Poll::Ready(Ok(count));
        }
        if let Some(last) = state.last.take() {
            return Poll::Ready(last.map(|()| 0));
        }
        if !state.has_thread {
            let name = "runtime-stdin".to_owned();
            thread::Builder::new().name(name).spawn(move || self.serve())?;
            state.has_thread = true;
        }
        let last = state.set_waker(number, waker);
        state.is_wanted = true;
        self.wanted.notify_one();
        drop(state);
        drop(last);
        Poll::Pending
    }

    /// The life of the thread.
    fn serve(&self) -> ! {
        let mut state = self.state.lock();
        loop {
            while !state.is_wanted {
                wait_for(&self.wanted, &mut state, None);
            }
            let mut buffer = mem::take(&mut state.buffer);
            drop(state);
            buffer.resize(BUFFER, 0);
            let result = retry_interrupted(|| io::stdin().read(&mut buffer));
            state = self.state.lock();
            state.is_wanted = false;
            state.buffer = buffer;
            match result {
                Ok(read @ 1..) => state.unread = 0..read,
                Ok(0) => state.last = Some(Ok(())),
                Err(error) => state.last = Some(Err(error)),
            }
            let waiters = mem::take(&mut state.waiters);
            drop(state);
            waiters.into_iter().for_each(|(_, waker)| contain(|| waker.wake()));
            state = self.state.lock();
        }
    }
}

impl Stdin {
    /// Reads some bytes and returns how many; 0 is the end of the input, or an empty buffer.
    ///
    /// A terminal can end (Ctrl-D) and go on afterwards; reading again after a 0 asks it.
    ///
    /// **Cancel safety**: safe, the next read returns what was to come.
    ///
    /// # Errors
    /// Those of the operating system; that the thread could not be started.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let waiter = Waiter::new();
        poll_fn(|cx| waiter.poll_read(cx, buf)).await
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.waiter.poll_read(cx, buf)
    }
}
