//! Writes that are accepted at once and done by a blocking thread.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::call::Call;
use crate::coop;
use crate::handle::Handle;
use crate::panics::contain;
use crate::sync::{Mutex, thread_local_const};

/// How many bytes are accepted before the blocking thread has taken those that came before. As many
/// again may be on their way. Large enough that a hand-over costs little beside the write.
const LIMIT: usize = 256 * 1024;

/// A target of blocking writes, in front of it the bytes that it has not taken yet.
///
/// A poll appends to `bytes` and, unless a call is under way that will find them, starts a mandatory
/// one. That call takes all the bytes there are, writes them, and looks again: a producer that is
/// quicker than the target keeps it busy without another hand-over, and small writes become large
/// ones.
///
/// # Bytes keep their order, and wakers are called with no lock held
/// Several threads may be [draining](WriteBehind::drain). One of them moves the bytes to `taken`,
/// which makes room, and wakes who waits for it, as long as it likes. Whoever has `order` first writes
/// what is there, and has it until that is written. Nothing is taken meanwhile, so that at most one
/// piece is between `bytes` and the target.
///
/// A waker may also write, and wait for the end of that, or for room. The thread that calls it counts as
/// scheduled, or else a producer that is woken and writes before `wake` has returned would start a call
/// each time, which doubles the time of a small write and takes more threads. So who would have to wait
/// for its own thread writes instead: that is a blocking thread anyway.
///
/// # Nothing is left behind
/// The writer of bytes: (1) appends them under the lock, (2) starts a call if `is_scheduled` was
/// false. The call: (a) finds no bytes and, under the same lock, (b) clears `is_scheduled`. If the
/// append comes before (a), the call takes the bytes; if it comes after (b), `is_scheduled` is false
/// and a new call is started.
///
/// # No waiter is left behind
/// A waiter is added under the lock, while what it waits for is not so. Whoever makes it so does that
/// under the lock too, and takes the waiters before it releases it: bytes are taken or dropped, which
/// makes room; the last of them are written, dropped or taken back, which is the end; the last of the
/// abandoned calls ends.
pub(crate) struct WriteBehind<W> {
    target: W,
    /// Held by who writes what was taken, until it is written.
    order: Mutex<()>,
    queue: Mutex<Queue>,
}

thread_local_const! {
    /// The address of the target whose waiters this thread wakes, 0 if it wakes none.
    static CALLED_BY: Cell<usize> = Cell::new(0);
}

#[derive(Default)]
struct Queue {
    /// Accepted, and not taken by a call yet.
    bytes: Vec<u8>,
    /// Taken, and to be written by whoever has `order` first.
    taken: Vec<u8>,
    /// An empty buffer that has been written, to be filled again.
    spare: Vec<u8>,
    /// Whether a call has been started that has not found the queue empty yet.
    is_scheduled: bool,
    /// Whether a thread is writing what was taken; it has `order`.
    is_writing: bool,
    /// Other calls for the target that are under way though nobody waits for them.
    abandoned: usize,
    /// The first failed write that nobody has been told of.
    error: Option<io::Error>,
    /// The same of what comes after writes, such as `fsync`.
    later_error: Option<io::Error>,
    /// Who waits for room, which there is when a call takes the bytes.
    for_room: Waiters,
    /// Who waits for everything to be written, or for the abandoned calls. Apart from those, since
    /// woken when the bytes are taken they would wait again, and a write would cost two wake-ups.
    for_the_end: Waiters,
}

/// Few: most often one, two where halves of a split stream are in two tasks.
#[derive(Default)]
struct Waiters(Vec<Waker>);

impl Waiters {
    /// Gives back a waker that is there already, to be dropped once the lock is released.
    #[must_use]
    fn add(&mut self, waker: Waker) -> Option<Waker> {
        if self.0.iter().any(|other| other.will_wake(&waker)) {
            return Some(waker);
        }
        self.0.push(waker);
        None
    }

    /// Takes all, to be woken once the lock is released.
    #[must_use]
    fn take(&mut self) -> Waiters {
        mem::take(self)
    }

    fn wake(self) {
        self.0.into_iter().for_each(|waker| contain(|| waker.wake()));
    }
}

impl Queue {
    fn take_error(&mut self) -> Option<io::Error> {
        self.error.take().or_else(|| self.later_error.take())
    }

    /// Takes the bytes, unless others have been taken and not been written yet. Gives back who has
    /// room then, to be woken once the lock is released.
    #[must_use]
    fn take_bytes(&mut self) -> Waiters {
        if self.bytes.is_empty() || !self.taken.is_empty() || self.is_writing {
            return Waiters::default();
        }
        let spare = mem::take(&mut self.spare);
        self.taken = mem::replace(&mut self.bytes, spare);
        self.for_room.take()
    }

    fn is_settled(&self) -> bool {
        self.bytes.is_empty() && self.taken.is_empty() && !self.is_writing && self.abandoned == 0
    }
}

impl<W> WriteBehind<W>
where
    W: Send + Sync + 'static,
    for<'a> &'a W: Write,
{
    pub(crate) fn new(target: W) -> WriteBehind<W> {
        WriteBehind { target, order: Mutex::new(()), queue: Mutex::new(Queue::default()) }
    }

    pub(crate) fn target(&self) -> &W {
        &self.target
    }

    pub(crate) fn into_target(self) -> W {
        self.target
    }

    /// Accepts some of the bytes and returns how many.
    ///
    /// # Errors
    /// That of an earlier write; that the runtime of `handle` has been shut down.
    pub(crate) fn poll_write(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        handle: &Handle,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(coop::poll_proceed(cx));
        let waker = cx.waker().clone();
        let mut queue = self.queue.lock();
        while queue.bytes.len() == LIMIT && self.is_in_waker() {
            drop(queue);
            self.drain();
            queue = self.queue.lock();
        }
        if let Some(error) = queue.take_error() {
            return Poll::Ready(Err(error));
        }
        let accepted = buf.len().min(LIMIT - queue.bytes.len());
        if accepted == 0 {
            let duplicate = queue.for_room.add(waker);
            drop(queue);
            drop(duplicate);
            return Poll::Pending;
        }
        if queue.bytes.capacity() == 0 {
            queue.bytes = mem::take(&mut queue.spare);
        }
        queue.bytes.extend_from_slice(&buf[..accepted]);
        let must_start = !mem::replace(&mut queue.is_scheduled, true);
        drop(queue);
        if must_start {
            if let Err(error) = self.start_drain(handle) {
                if self.take_back() {
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(accepted))
    }

    fn start_drain(self: &Arc<Self>, handle: &Handle) -> io::Result<()> {
        let this = self.clone();
        let call = Call::start_mandatory(handle, move || {
            this.drain();
            Ok(())
        })?;
        // Detached: what it has to say is in the queue.
        drop(call);
        Ok(())
    }

    /// Drops bytes for which no call could be started. False: another thread has taken them.
    fn take_back(&self) -> bool {
        let mut queue = self.queue.lock();
        let were_there = !queue.bytes.is_empty();
        // There were no others before: a call would have been under way.
        queue.bytes.clear();
        queue.is_scheduled = false;
        let (for_room, for_the_end) = (queue.for_room.take(), queue.for_the_end.take());
        drop(queue);
        for_room.wake();
        for_the_end.wake();
        were_there
    }

    /// Counts a call that is under way and whose future was dropped. What comes next waits for it.
    pub(crate) fn abandon(&self) {
        self.queue.lock().abandoned += 1;
    }

    /// Counts it out, at its end.
    pub(crate) fn end_abandoned(&self) {
        let mut queue = self.queue.lock();
        queue.abandoned -= 1;
        let is_last = queue.abandoned == 0;
        let waiters = if is_last { queue.for_the_end.take() } else { Waiters::default() };
        drop(queue);
        waiters.wake();
    }

    /// Waits for the abandoned calls.
    pub(crate) fn poll_none_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, |queue| queue.abandoned == 0)
    }

    /// Waits until all bytes have been written, or could not be, and for the abandoned calls.
    pub(crate) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_until(cx, Queue::is_settled)
    }

    fn poll_until(&self, cx: &mut Context<'_>, is_so: impl Fn(&Queue) -> bool) -> Poll<()> {
        if is_so(&self.queue.lock()) {
            return Poll::Ready(());
        }
        if self.is_in_waker() {
            self.drain();
        }
        let waker = cx.waker().clone();
        let mut queue = self.queue.lock();
        if is_so(&queue) {
            return Poll::Ready(());
        }
        let duplicate = queue.for_the_end.add(waker);
        drop(queue);
        drop(duplicate);
        Poll::Pending
    }

    /// Waits until all bytes have been written.
    ///
    /// # Errors
    /// The first that any write since the last report met, or what came after writes.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_settled(cx));
        Poll::Ready(self.take_error().map_or(Ok(()), Err))
    }

    /// Whether nothing is on its way.
    pub(crate) fn is_settled(&self) -> bool {
        self.queue.lock().is_settled()
    }

    /// The first failure that nobody has been told of.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.queue.lock().take_error()
    }

    /// Keeps a failure that came after those of the writes, to be told of after them.
    pub(crate) fn keep_later_error(&self, error: io::Error) {
        self.queue.lock().later_error.get_or_insert(error);
    }

    /// Writes everything that is there, on this thread, which may block.
    ///
    /// After a failure the bytes behind it are dropped: they would land in the wrong place.
    pub(crate) fn drain(&self) {
        loop {
            let for_room = self.queue.lock().take_bytes();
            // There is room again, while these are being written.
            self.call(for_room);

            let order = self.order.lock();
            let mut queue = self.queue.lock();
            assert!(!queue.is_writing, "who writes has the order");
            let mut bytes = mem::take(&mut queue.taken);
            if bytes.is_empty() {
                // Another thread has written what this one took, or was writing when this one came.
                if queue.bytes.is_empty() {
                    queue.is_scheduled = false;
                    return;
                }
                continue;
            }
            queue.is_writing = true;
            drop(queue);

            let mut target = &self.target;
            let result = target.write_all(&bytes).and_then(|()| target.flush());

            bytes.clear();
            let mut queue = self.queue.lock();
            queue.is_writing = false;
            queue.spare = bytes;
            let mut for_room = Waiters::default();
            if let Err(error) = result {
                queue.bytes.clear();
                queue.error.get_or_insert(error);
                for_room = queue.for_room.take();
            }
            // More may have been accepted meanwhile; its turn is next.
            let is_end = queue.is_settled();
            let for_the_end = if is_end { queue.for_the_end.take() } else { Waiters::default() };
            drop(queue);
            drop(order);
            self.call(for_room);
            self.call(for_the_end);
        }
    }

    /// Wakes waiters as part of [`drain`](WriteBehind::drain), with no lock held.
    fn call(&self, waiters: Waiters) {
        if waiters.0.is_empty() {
            return;
        }
        let outer = CALLED_BY.with(|by| by.replace(self.address()));
        waiters.wake();
        CALLED_BY.with(|by| by.set(outer));
    }

    /// Whether this thread is in a waker that it calls for `drain`, which would wait for itself.
    fn is_in_waker(&self) -> bool {
        CALLED_BY.with(Cell::get) == self.address()
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<W> fmt::Debug for WriteBehind<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("WriteBehind")
            .field("bytes", &queue.bytes.len())
            .field("is_writing", &queue.is_writing)
            .finish_non_exhaustive()
    }
}
