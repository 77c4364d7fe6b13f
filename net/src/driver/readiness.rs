//! The ready bits of one source, and who waits for them.

use super::waiters::{Direction, Directions, WaiterId, Waiters};
use crate::interest::{Interest, Ready};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::fmt;
use std::task::{Context, Poll, Waker};

/// Bits of the word below the tick.
const LOW_BITS: u32 = 8;

/// The bit of a source that the poller does not know: any operation may be tried.
const UNREGISTERED: u64 = 1 << 7;

/// The ready bits of one source, and who waits for them.
///
/// The driver sets bits as events arrive; an operation that fails with `WouldBlock` clears those of
/// its direction. Every event also moves the tick, and clearing succeeds only at the tick that was
/// read before the operation began: an event that arrives in between is newer than the failure and
/// survives it.
///
/// ```text
///            63                                 8       7        6     0
///           +------------------------------------+--------------+-------+
///    word   | tick: one more per event, wraps    | UNREGISTERED | Ready |
///           +------------------------------------+--------------+-------+
/// ```
///
/// Before its registration a source counts as ready for everything, so nobody waits for what no
/// event would report. What the registration reports is in the bits before that ends.
///
/// # No wake-up is lost
/// The driver: (1) sets the bits in `word`, (2) takes the waiters under their lock and has them
/// woken. A task: (a) adds itself under the lock, after (b) it found its bits unset in `word` under
/// the same lock. If the task's critical section comes first, (2) finds its waker. If the driver's
/// comes first, its unlocking happens before the task's locking, so (b) reads what (1) wrote and
/// the task does not wait. The models in `model` check this, and the clearing.
pub(crate) struct Readiness {
    /// Ready bits and tick as drawn above.
    ///
    /// Set by the driver (under the table's lock) and by shutdown; cleared by any operation.
    /// `UNREGISTERED` is cleared once, by whoever has registered the source, and set again when the
    /// place has no source any more. Always by read-modify-write. Nothing else is published through
    /// it: what the bits speak of lives in the kernel, and the waiters have their lock. `set` is a
    /// release and `state` an acquire so that an operation's syscall cannot be moved before the load
    /// that allowed it.
    word: AtomicU64,
    waiters: Mutex<Waiters>,
}

/// The state of a source at one moment; proves, when clearing, what had been seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    pub(crate) fn ready(self) -> Ready {
        Ready::from_bits((self.0 & (UNREGISTERED - 1)) as u8)
    }

    /// Whether a wait for `interest` is over.
    pub(crate) fn satisfies(self, interest: Interest) -> bool {
        let over = u64::from((interest.mask() | Ready::SHUTDOWN).bits()) | UNREGISTERED;
        self.0 & over != 0
    }

    /// Whether events are reported.
    pub(crate) fn is_registered(self) -> bool {
        self.0 & UNREGISTERED == 0
    }

    fn tick(self) -> u64 {
        self.0 >> LOW_BITS
    }

    fn with_event(self, ready: Ready) -> Snapshot {
        Snapshot(self.0.wrapping_add(1 << LOW_BITS) | u64::from(ready.bits()))
    }

    fn without(self, ready: Ready) -> Snapshot {
        Snapshot(self.0 & !u64::from(ready.bits()))
    }
}

impl Readiness {
    /// That of a source that is not registered.
    pub(crate) fn new() -> Readiness {
        Readiness { word: AtomicU64::new(UNREGISTERED), waiters: Mutex::new(Waiters::default()) }
    }

    pub(crate) fn state(&self) -> Snapshot {
        Snapshot(self.word.load(Ordering::Acquire))
    }

    /// Adds ready bits and hands out the wakers of those who wait for them.
    pub(crate) fn set(&self, ready: Ready, wakers: &mut Vec<Waker>) {
        let step = |word| Some(Snapshot(word).with_event(ready).0);
        let set = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        debug_assert!(set.is_ok(), "the step never gives up");

        let is_over =
            |interest: Interest| !(ready & (interest.mask() | Ready::SHUTDOWN)).is_empty();
        let over = Directions::new(is_over(Interest::READABLE), is_over(Interest::WRITABLE));
        self.waiters.lock().take_all(over, wakers);
    }

    /// From now on, operations that find nothing wait for events.
    pub(crate) fn set_registered(&self) {
        self.word.fetch_and(!UNREGISTERED, Ordering::AcqRel);
    }

    /// Makes it that of a new source; the caller drops who still waits, with no lock held.
    ///
    /// Under the table's lock, so that no event comes meanwhile, and when the old source is gone.
    #[must_use]
    pub(super) fn reset(&self) -> Waiters {
        self.word.swap(UNREGISTERED, Ordering::AcqRel);
        self.waiters.lock().reset()
    }

    /// Takes back `ready` if no event has arrived since `seen` was read.
    pub(crate) fn clear(&self, seen: Snapshot, ready: Ready) {
        debug_assert!(!ready.is_shut_down(), "a shutdown is final");
        let step = |word| {
            let now = Snapshot(word);
            (now.tick() == seen.tick()).then(|| now.without(ready).0)
        };
        // A refusal is the newer event, which is what the tick is for.
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
    }

    /// Waits until a bit of `interest`, or the shutdown, is set.
    ///
    /// The waker replaces the one that `id` left before; `interest` is the same each time. Without
    /// an id, the first wait gives one, which [`Readiness::remove`] must give back unless the wait
    /// has taken it back itself.
    #[inline]
    pub(crate) fn poll(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
    ) -> Poll<Snapshot> {
        match self.state_if_over(id, interest) {
            Some(seen) => Poll::Ready(seen),
            None => self.wait(context, id, interest),
        }
    }

    /// The state, if it ends a wait.
    #[inline]
    fn state_if_over(&self, id: &mut Option<WaiterId>, interest: Interest) -> Option<Snapshot> {
        let seen = self.state();
        if !seen.satisfies(interest) {
            return None;
        }
        // Whoever set the bit took all waiters of its direction, or is about to: there is none to
        // remove, but in another direction.
        if interest != Interest::BOTH && *id != Some(WaiterId::SHARED) {
            *id = None;
        }
        Some(seen)
    }

    /// The rest of [`Readiness::poll`], once the bits were found unset. Apart, so that an operation
    /// that need not wait saves no registers for it.
    #[inline(never)]
    fn wait(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
    ) -> Poll<Snapshot> {
        // Cloning and dropping a waker may run a user's code, so neither happens under the lock.
        let waker = context.waker().clone();
        let second = (interest == Interest::BOTH).then(|| context.waker().clone());
        let direction = if interest.is_readable() { Direction::Read } else { Direction::Write };

        let mut waiters = self.waiters.lock();
        if let Some(seen) = self.state_if_over(id, interest) {
            drop(waiters);
            return Poll::Ready(seen);
        }
        let id = *id.get_or_insert_with(|| waiters.new_id());
        let replaced = waiters.put(id, direction, waker);
        let also = second.and_then(|waker| waiters.put(id, Direction::Write, waker));
        drop(waiters);
        drop((replaced, also));
        Poll::Pending
    }

    /// Forgets a waiter, if it still waits.
    pub(crate) fn remove(&self, id: WaiterId) {
        let mut waiters = self.waiters.lock();
        let removed = waiters.remove(id);
        drop(waiters);
        drop(removed);
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Readiness")
            .field("ready", &state.ready())
            .field("tick", &state.tick())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::mem;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    /// Every socket has one.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn it_stays_small() {
        assert!(size_of::<Readiness>() <= 48, "{}", size_of::<Readiness>());
    }

    #[test]
    fn the_tick_wraps_without_touching_the_bits() {
        let last = Snapshot(u64::MAX << LOW_BITS).with_event(Ready::READABLE);
        assert_eq!((last.tick(), last.ready()), (0, Ready::READABLE));
    }

    fn registered() -> Readiness {
        let readiness = Readiness::new();
        readiness.set_registered();
        readiness
    }

    #[test]
    fn nobody_waits_before_the_registration() {
        let readiness = Readiness::new();
        let mut id = None;
        let mut poll = || {
            let context = &mut Context::from_waker(Waker::noop());
            readiness.poll(context, &mut id, Interest::READABLE)
        };
        assert!(matches!(poll(), Poll::Ready(seen) if seen.ready().is_empty()));
        readiness.set(Ready::READABLE, &mut Vec::new());
        readiness.set_registered();
        assert!(matches!(poll(), Poll::Ready(seen) if seen.ready().is_readable()));
        readiness.clear(readiness.state(), Interest::READABLE.mask());
        assert!(poll().is_pending());
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What `Readiness` does, in the simplest way.
    #[derive(Default)]
    struct Oracle {
        ready: u8,
        events: usize,
        /// Who waits, and with which of its wakers.
        readers: BTreeMap<usize, usize>,
        writers: BTreeMap<usize, usize>,
        wakes: [[usize; WAKERS]; WAITERS],
    }

    const WAITERS: usize = 6;
    /// Of each waiter.
    const WAKERS: usize = 2;

    impl Oracle {
        fn set(&mut self, ready: Ready) {
            self.ready |= ready.bits();
            self.events += 1;
            let directions =
                [(Interest::READABLE, &mut self.readers), (Interest::WRITABLE, &mut self.writers)];
            for (interest, waiters) in directions {
                if ready.bits() & interest.mask().bits() != 0 {
                    for (waiter, waker) in mem::take(waiters) {
                        self.wakes[waiter][waker] += 1;
                    }
                }
            }
        }

        /// Whether the wait is over.
        fn poll(&mut self, waiter: usize, waker: usize, interest: Interest) -> bool {
            let is_over = self.ready & interest.mask().bits() != 0;
            if !is_over && interest.is_readable() {
                self.readers.insert(waiter, waker);
            }
            if !is_over && interest.is_writable() {
                self.writers.insert(waiter, waker);
            }
            is_over
        }
    }

    #[test]
    fn random_operations_agree_with_an_oracle() {
        const INTERESTS: [Interest; 3] = [Interest::READABLE, Interest::WRITABLE, Interest::BOTH];
        for seed in 1..=40_u64 {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut random = move |below: usize| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 11) as usize % below
            };
            let readiness = registered();
            let mut oracle = Oracle::default();
            let counts: [[Arc<Count>; WAKERS]; WAITERS] = Default::default();
            let mut ids = [None; WAITERS];
            let mut snapshots = vec![(readiness.state(), 0)];
            for step in 0..2000 {
                let context = format!("seed {seed}, step {step}");
                let waiter = random(WAITERS);
                let interest = INTERESTS[waiter % 3];
                match random(8) {
                    0..=3 => {
                        let number = random(WAKERS);
                        let waker = Waker::from(Arc::clone(&counts[waiter][number]));
                        let polled = readiness.poll(
                            &mut Context::from_waker(&waker),
                            &mut ids[waiter],
                            interest,
                        );
                        let is_over = oracle.poll(waiter, number, interest);
                        assert_eq!(polled.is_ready(), is_over, "{context}");
                    }
                    4 => {
                        let ready = Ready::from_bits(1 << random(6));
                        let mut wakers = Vec::new();
                        readiness.set(ready, &mut wakers);
                        wakers.into_iter().for_each(Waker::wake);
                        oracle.set(ready);
                    }
                    5 => snapshots.push((readiness.state(), oracle.events)),
                    6 => {
                        let (seen, events) = snapshots[random(snapshots.len())];
                        readiness.clear(seen, interest.mask());
                        if events == oracle.events {
                            oracle.ready &= !interest.mask().bits();
                        }
                    }
                    _ => {
                        if let Some(id) = ids[waiter].take() {
                            readiness.remove(id);
                        }
                        oracle.readers.remove(&waiter);
                        oracle.writers.remove(&waiter);
                    }
                }
                assert_eq!(readiness.state().ready().bits(), oracle.ready, "{context}");
                for (waiter, waker) in (0..WAITERS).flat_map(|w| (0..WAKERS).map(move |n| (w, n))) {
                    let count = &counts[waiter][waker];
                    let wakes = oracle.wakes[waiter][waker];
                    assert_eq!(count.0.load(Ordering::Relaxed), wakes, "{context}: {waiter}");
                    let kept = usize::from(oracle.readers.get(&waiter) == Some(&waker))
                        + usize::from(oracle.writers.get(&waiter) == Some(&waker));
                    assert_eq!(Arc::strong_count(count), 1 + kept, "{context}: waker of {waiter}");
                }
            }
        }
    }

    /// A waker whose drop comes back to the readiness would deadlock if it were dropped under the
    /// lock.
    #[test]
    fn wakers_are_dropped_outside_of_the_lock() {
        struct Reentrant(Arc<Readiness>);
        impl Wake for Reentrant {
            fn wake(self: Arc<Self>) {}
        }
        impl Drop for Reentrant {
            fn drop(&mut self) {
                assert!(self.0.waiters.try_lock().is_some(), "the lock is held");
            }
        }
        let readiness = Arc::new(registered());
        let mut id = None;
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Reentrant(Arc::clone(&readiness))));
            let polled = readiness.poll(&mut Context::from_waker(&waker), &mut id, Interest::BOTH);
            assert!(polled.is_pending());
        }
        readiness.remove(id.expect("it waits"));
    }
}
