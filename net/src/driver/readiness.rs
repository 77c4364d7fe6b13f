//! The ready bits of one registered source, and who waits for them.

use super::waiters::{WaiterId, Waiters};
use crate::interest::{Interest, Ready};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::fmt;
use std::task::{Context, Poll, Waker};

/// Bits of the word that hold [`Ready`]; the tick is above them.
const READY_BITS: u32 = 8;

/// The ready bits of one registered source, and who waits for them.
///
/// The driver sets bits as events arrive; an operation that fails with `WouldBlock` clears those of
/// its direction. Every event also moves the tick, and clearing succeeds only at the tick that was
/// read before the operation began: an event that arrives in between is newer than the failure and
/// survives it.
///
/// ```text
///            63                                     8 7            0
///           +----------------------------------------+--------------+
///    word   | tick: one more per event, wraps        | Ready        |
///           +----------------------------------------+--------------+
/// ```
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
    /// Set by the driver (under the table's lock) and by shutdown; cleared by any operation. Always
    /// by read-modify-write. Nothing else is published through it: what the bits speak of lives in
    /// the kernel, and the waiters have their lock. `set` is a release and `state` an acquire so
    /// that an operation's syscall cannot be moved before the load that allowed it.
    word: AtomicU64,
    waiters: Mutex<Waiters>,
}

/// The state of a source at one moment; proves, when clearing, what had been seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Snapshot(u64);

impl Snapshot {
    pub(crate) fn ready(self) -> Ready {
        Ready::from_bits((self.0 & ((1 << READY_BITS) - 1)) as u8)
    }

    /// Whether a wait for `interest` is over.
    pub(crate) fn satisfies(self, interest: Interest) -> bool {
        !(self.ready() & (interest.mask() | Ready::SHUTDOWN)).is_empty()
    }

    fn tick(self) -> u64 {
        self.0 >> READY_BITS
    }

    fn with_event(self, ready: Ready) -> Snapshot {
        let tick = self.tick().wrapping_add(1) << READY_BITS;
        Snapshot(tick | u64::from((self.ready() | ready).bits()))
    }

    fn without(self, ready: Ready) -> Snapshot {
        Snapshot(self.0 & !u64::from(ready.bits()))
    }
}

impl Readiness {
    pub(crate) fn new() -> Readiness {
        Readiness { word: AtomicU64::new(0), waiters: Mutex::new(Waiters::default()) }
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
        let mut waiters = self.waiters.lock();
        if is_over(Interest::READABLE) {
            waiters.read.take_all(wakers);
        }
        if is_over(Interest::WRITABLE) {
            waiters.write.take_all(wakers);
        }
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
    pub(crate) fn poll(
        &self,
        context: &mut Context<'_>,
        id: &mut Option<WaiterId>,
        interest: Interest,
    ) -> Poll<Snapshot> {
        let is_over = |id: &mut Option<WaiterId>| {
            let seen = self.state();
            if !seen.satisfies(interest) {
                return None;
            }
            // Whoever set the bit took all waiters of its direction, or is about to: there is none
            // to remove, but in another direction.
            if interest != Interest::BOTH {
                id.take_if(|id| *id != WaiterId::SHARED);
            }
            Some(seen)
        };
        if let Some(seen) = is_over(id) {
            return Poll::Ready(seen);
        }
        // Cloning and dropping a waker may run a user's code, so neither happens under the lock.
        let mut replaced = [None, None];
        let read = interest.is_readable().then(|| context.waker().clone());
        let write = interest.is_writable().then(|| context.waker().clone());

        let mut waiters = self.waiters.lock();
        if let Some(seen) = is_over(id) {
            drop(waiters);
            return Poll::Ready(seen);
        }
        let id = *id.get_or_insert_with(|| waiters.new_id());
        if let Some(waker) = read {
            replaced[0] = waiters.read.put(id, waker);
        }
        if let Some(waker) = write {
            replaced[1] = waiters.write.put(id, waker);
        }
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }

    /// Forgets a waiter, if it still waits.
    pub(crate) fn remove(&self, id: WaiterId) {
        let mut waiters = self.waiters.lock();
        let removed = [waiters.read.remove(id), waiters.write.remove(id)];
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

    /// Every registered socket has one.
    #[test]
    fn it_stays_small() {
        assert!(size_of::<Readiness>() <= 96, "{}", size_of::<Readiness>());
    }

    #[test]
    fn the_tick_wraps_without_touching_the_bits() {
        let last = Snapshot(u64::MAX << READY_BITS).with_event(Ready::READABLE);
        assert_eq!((last.tick(), last.ready()), (0, Ready::READABLE));
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
            let readiness = Readiness::new();
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
        let readiness = Arc::new(Readiness::new());
        let mut id = None;
        for _ in 0..3 {
            let waker = Waker::from(Arc::new(Reentrant(Arc::clone(&readiness))));
            let polled = readiness.poll(&mut Context::from_waker(&waker), &mut id, Interest::BOTH);
            assert!(polled.is_pending());
        }
        readiness.remove(id.expect("it waits"));
    }
}
