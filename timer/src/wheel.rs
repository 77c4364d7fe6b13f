//! The hierarchical timing wheel: timers by deadline, O(1) to insert and to remove.
//!
//! Deadlines are nanoseconds since an origin that the caller chose. A **tick** is 2^16 ns (65.536
//! us). The wheel has 8 levels of 64 slots; a slot of level `n` spans 64^n ticks, so the levels are
//! the digits of a 48-bit tick in base 64 and together cover 584 years: no deadline lies outside.
//!
//! `elapsed` is the tick up to which everything has been fired. A timer lives at the level of the
//! *highest digit in which its tick differs from `elapsed`*, in the slot that this digit names. All
//! its higher digits equal `elapsed`'s and this one is greater, hence: within a level, a lower slot
//! is earlier; and everything on a level is earlier than anything on a higher one. So the first
//! occupied slot of the first occupied level holds the earliest timer, and one bitmap per level
//! finds it with a count of trailing zeros.
//!
//! To advance, take that slot again and again while it starts by now, and set `elapsed` to its
//! start. On level 0 it is due. On a higher level its timers now differ from `elapsed` in a lower
//! digit only: they are put back and cascade downward, at most 7 times in a timer's life. A jump of
//! years costs no more than the slots that are occupied. Since a timer's place follows from its
//! deadline and `elapsed`, it is not stored.
//!
//! A timer whose tick is not after `elapsed` waits in the `DUE` slot for the next advance.
//!
//! Never early: a deadline's tick is rounded up, now's tick is rounded down. Timers fire in the
//! order of their ticks, those of one tick in the order in which they were inserted.
//! [`Wheel::advance_exact`] knows no rounding; a paused clock uses it.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 6.

use crate::slab::{KEPT, Key, NIL, Slab};
use std::time::Duration;

/// log2 of a tick's nanoseconds.
const TICK_BITS: u32 = 16;
/// The length of a tick.
pub(crate) const TICK: Duration = Duration::from_nanos(1 << TICK_BITS);
const LEVELS: usize = 8;
const DIGIT_BITS: usize = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// One slot past the last level, for what is due.
const DUE: usize = LEVELS * SLOTS;

/// The last deadline; later ones count as this one.
pub(crate) const LAST: u64 = !((1 << TICK_BITS) - 1);

/// Slots with up to this many timers are searched for the exact earliest by [`Wheel::next`].
const SEARCHED: usize = 4;

/// The timers of one slot, oldest first.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

/// An occupied slot.
struct Slot {
    index: usize,
    /// Its first tick.
    start: u64,
}

/// The wheel, with payloads of type `T`.
pub(crate) struct Wheel<T> {
    /// The tick up to which everything has been fired. Never goes back.
    elapsed: u64,
    /// Which slots of each level hold timers; one more level, of one slot, for `DUE`.
    occupied: [u64; LEVELS + 1],
    slots: [List; (LEVELS + 1) * SLOTS],
    slab: Slab<T>,
}

/// The tick by whose end everything up to `deadline` may fire.
fn tick_of(deadline: u64) -> u64 {
    (deadline.min(LAST) + ((1 << TICK_BITS) - 1)) >> TICK_BITS
}

/// When a timer with this deadline fires: the deadline, rounded up to a whole tick.
pub(crate) fn round_up(deadline: u64) -> u64 {
    tick_of(deadline) << TICK_BITS
}

impl<T> Wheel<T> {
    pub(crate) fn new() -> Wheel<T> {
        Wheel::keeping(KEPT)
    }

    /// A wheel that gives its memory back after a burst, but for that of `kept` timers.
    fn keeping(kept: u32) -> Wheel<T> {
        Wheel {
            elapsed: 0,
            occupied: [0; LEVELS + 1],
            slots: [List { head: NIL, tail: NIL }; (LEVELS + 1) * SLOTS],
            slab: Slab::keeping(kept),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Arms a timer. One whose deadline has passed fires at the next advance.
    pub(crate) fn insert(&mut self, deadline: u64, payload: T) -> Key {
        let key = self.slab.insert(deadline, payload);
        self.link(key.index(), tick_of(deadline));
        key
    }

    /// The payload of a timer that has neither fired nor been removed.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slab.get_mut(key)
    }

    /// Disarms a timer; `None` if it has fired or was removed.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        if !self.slab.contains(key) {
            return None;
        }
        self.unlink(key.index());
        Some(self.slab.remove(key.index()))
    }

    /// Moves an armed timer to another deadline; false if it has fired or was removed.
    pub(crate) fn reset(&mut self, key: Key, deadline: u64) -> bool {
        let is_armed = self.slab.contains(key);
        if is_armed {
            self.unlink(key.index());
            self.slab.entry(key.index()).deadline = deadline;
            self.link(key.index(), tick_of(deadline));
        }
        is_armed
    }

    /// A time at or before which no timer fires, in nanoseconds: when to advance next.
    ///
    /// It is the exact time of the next firing when that lies within 64 ticks or when few timers
    /// share the slot, else the start of the earliest occupied slot.
    pub(crate) fn next(&self) -> Option<u64> {
        let slot = self.earliest()?;
        if slot.index < SLOTS || slot.index == DUE {
            return Some(slot.start << TICK_BITS);
        }
        let mut earliest = u64::MAX;
        let mut index = self.slots[slot.index].head;
        for _ in 0..SEARCHED {
            earliest = earliest.min(self.slab.deadline(index));
            index = self.slab.next(index);
            if index == NIL {
                return Some(round_up(earliest));
            }
        }
        Some(slot.start << TICK_BITS)
    }

    /// The last time, in nanoseconds, at which a timer fires that is at most `ticks` after the
    /// earliest; of those that fire before the 64 ticks of the lowest level are over, `None` if none
    /// does, or if one is due already.
    pub(crate) fn last_within(&self, ticks: u32) -> Option<u64> {
        let first = self.earliest().filter(|slot| slot.index < SLOTS)?;
        let from_first = self.occupied[0] >> first.index;
        let within = from_first & ((2 << ticks) - 1);
        Some((first.start + u64::from(within.ilog2())) << TICK_BITS)
    }

    /// The earliest deadline, not rounded. Looks at each timer of one slot.
    pub(crate) fn next_exact(&self) -> Option<u64> {
        let mut index = self.slots[self.earliest()?.index].head;
        let mut earliest = u64::MAX;
        while index != NIL {
            earliest = earliest.min(self.slab.deadline(index));
            index = self.slab.next(index);
        }
        Some(earliest.min(LAST))
    }

    /// Fires all timers whose tick has begun by `now`, and returns their number.
    ///
    /// `fire` must not panic. A `now` before that of an earlier call changes nothing.
    pub(crate) fn advance(&mut self, now: u64, mut fire: impl FnMut(T)) -> usize {
        let armed = self.slab.len();
        let now = now >> TICK_BITS;
        self.fire_slot(DUE, &mut fire);
        while let Some(slot) = self.earliest() {
            if slot.start > now {
                break;
            }
            self.elapsed = slot.start;
            if slot.index < SLOTS {
                self.fire_slot(slot.index, &mut fire);
            } else {
                self.cascade(slot.index);
                self.fire_slot(DUE, &mut fire);
            }
        }
        self.elapsed = self.elapsed.max(now);
        armed - self.slab.len()
    }

    /// Fires all timers whose deadline is not after `now`, to the nanosecond.
    pub(crate) fn advance_exact(&mut self, now: u64, mut fire: impl FnMut(T)) -> usize {
        let mut fired = self.advance(now, &mut fire);
        // What is left and due was rounded up into the tick after `now`'s, if that is yet to come.
        let mut index = self.slots[self.place((now >> TICK_BITS) + 1)].head;
        while index != NIL {
            let next = self.slab.next(index);
            if self.slab.deadline(index) <= now {
                self.unlink(index);
                fire(self.slab.remove(index));
                fired += 1;
            }
            index = next;
        }
        fired
    }

    /// Empties the wheel into `take`, in no particular order.
    pub(crate) fn drain(&mut self, take: impl FnMut(T)) {
        self.occupied = [0; LEVELS + 1];
        self.slots.fill(List { head: NIL, tail: NIL });
        self.slab.drain(take);
    }

    /// The occupied slot that starts first.
    fn earliest(&self) -> Option<Slot> {
        if self.occupied[LEVELS] != 0 {
            return Some(Slot { index: DUE, start: self.elapsed });
        }
        let level = self.occupied[..LEVELS].iter().position(|&bits| bits != 0)?;
        let digit = self.occupied[level].trailing_zeros() as usize;
        let shift = level * DIGIT_BITS;
        let higher_digits = self.elapsed >> shift >> DIGIT_BITS << DIGIT_BITS;
        let start = (higher_digits | digit as u64) << shift;
        debug_assert!(start > self.elapsed, "a slot that has begun is empty");
        Some(Slot { index: level * SLOTS + digit, start })
    }

    /// The slot of a timer with this tick, see the module's description.
    fn place(&self, tick: u64) -> usize {
        if tick <= self.elapsed {
            return DUE;
        }
        let highest_bit = (tick ^ self.elapsed).ilog2() as usize;
        let level = highest_bit / DIGIT_BITS;
        let digit = (tick >> (level * DIGIT_BITS)) as usize % SLOTS;
        level * SLOTS + digit
    }

    /// Appends the entry to the slot of `tick`.
    fn link(&mut self, index: u32, tick: u64) {
        let place = self.place(tick);
        self.occupied[place / SLOTS] |= 1 << (place % SLOTS);
        let list = &mut self.slots[place];
        let tail = std::mem::replace(&mut list.tail, index);
        let entry = self.slab.entry(index);
        entry.next = NIL;
        entry.prev = tail;
        if tail == NIL {
            list.head = index;
        } else {
            self.slab.entry(tail).next = index;
        }
    }

    /// Always inline: a call of its own is a third of what it does.
    #[inline(always)]
    fn unlink(&mut self, index: u32) {
        let entry = self.slab.entry(index);
        let (next, prev, deadline) = (entry.next, entry.prev, entry.deadline);
        let place = self.place(tick_of(deadline));
        let list = &mut self.slots[place];
        if next == NIL {
            debug_assert!(list.tail == index, "an entry is where its deadline places it");
            list.tail = prev;
        } else {
            self.slab.entry(next).prev = prev;
        }
        if prev == NIL {
            debug_assert!(list.head == index, "an entry is where its deadline places it");
            list.head = next;
        } else {
            self.slab.entry(prev).next = next;
        }
        if next == NIL && prev == NIL {
            self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        }
    }

    /// Empties a slot and returns its first entry.
    fn take_slot(&mut self, place: usize) -> u32 {
        self.occupied[place / SLOTS] &= !(1 << (place % SLOTS));
        std::mem::replace(&mut self.slots[place], List { head: NIL, tail: NIL }).head
    }

    fn fire_slot(&mut self, place: usize, fire: &mut impl FnMut(T)) {
        let mut index = self.take_slot(place);
        while index != NIL {
            let next = self.slab.next(index);
            fire(self.slab.remove(index));
            index = next;
        }
    }

    /// Puts the timers of a slot that has just begun where they belong now: on a lower level.
    fn cascade(&mut self, place: usize) {
        let mut index = self.take_slot(place);
        while index != NIL {
            let next = self.slab.next(index);
            let tick = tick_of(self.slab.deadline(index));
            self.link(index, tick);
            index = next;
        }
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests;
