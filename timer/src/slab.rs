//! The memory of a wheel: entries at stable indices, found again by keys that are never reissued.
//!
//! A key is an index and a generation. The generation counts the inserts of the whole slab in 64
//! bits, so no two inserts share one, an entry's memory can be given back without remembering
//! anything about it, and a key that outlived its entry finds nothing, however often the index was
//! used since.
//!
//! Memory is given back after a burst, although entries cannot move. When few enough entries are
//! left, only the lower part of the slab, `usable`, is handed out again; entries above it are
//! *stranded*, and when the last of them has left, the upper part is freed. An interval that was
//! given a high index in the burst leaves it the next time it fires. Room for [`KEPT`] entries is
//! always kept. Each step costs time in proportion to the removals (or inserts) that led to it.

/// The end of a list of indices.
pub(crate) const NIL: u32 = u32::MAX;

/// Entries whose memory a wheel never gives back: 40 KiB of them.
pub(crate) const KEPT: u32 = 1024;

/// Names one insert of one slab, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u64,
}

impl Key {
    pub(crate) fn index(self) -> u32 {
        self.index
    }
}

/// One armed timer, or a vacant place. 40 bytes with a `Waker` for payload.
pub(crate) struct Entry<T> {
    /// When to fire, in nanoseconds.
    pub(crate) deadline: u64,
    /// The insert that filled this entry, 0 while it is vacant.
    generation: u64,
    /// The next entry of the wheel's list, or of the list of vacant entries.
    pub(crate) next: u32,
    /// The previous entry of the wheel's list.
    pub(crate) prev: u32,
    payload: Option<T>,
}

/// The entries. The wheel owns the links of occupied ones, the slab those of vacant ones.
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    /// Head of the list of vacant entries. It holds exactly those below `usable`.
    vacant: u32,
    /// Occupied entries.
    len: u32,
    /// Indices from here on are not handed out; equal to `entries.len()` but after a burst.
    usable: u32,
    /// Occupied entries at or above `usable`.
    stranded: u32,
    /// Once fewer entries than this are occupied, the slab shrinks.
    shrink_below: u32,
    /// Entries whose memory is never given back.
    kept: u32,
    /// Inserts so far.
    generation: u64,
}

impl<T> Slab<T> {
    /// An empty slab that never shrinks below `kept` entries, which must be more than none.
    pub(crate) fn keeping(kept: u32) -> Slab<T> {
        assert!(kept > 0, "the usable part grows by doubling");
        Slab {
            entries: Vec::new(),
            vacant: NIL,
            len: 0,
            usable: 0,
            stranded: 0,
            shrink_below: 0,
            kept,
            generation: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The occupied entry at `index`; the wheel's lists hold no other.
    pub(crate) fn entry(&mut self, index: u32) -> &mut Entry<T> {
        &mut self.entries[index as usize]
    }

    pub(crate) fn deadline(&self, index: u32) -> u64 {
        self.entries[index as usize].deadline
    }

    pub(crate) fn next(&self, index: u32) -> u32 {
        self.entries[index as usize].next
    }

    /// Stores a payload; the caller links the entry.
    pub(crate) fn insert(&mut self, deadline: u64, payload: T) -> Key {
        if self.vacant == NIL {
            self.grow();
        }
        let index = self.vacant;
        self.generation += 1;
        self.len += 1;
        let entry = &mut self.entries[index as usize];
        debug_assert!(entry.generation == 0 && index < self.usable);
        self.vacant = entry.next;
        entry.deadline = deadline;
        entry.generation = self.generation;
        entry.payload = Some(payload);
        Key { index, generation: self.generation }
    }

    /// The payload of `key`, unless it was removed.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        entry.payload.as_mut()
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.entries.get(key.index as usize).is_some_and(|entry| entry.generation == key.generation)
    }

    /// Takes the payload out of the occupied entry at `index`, which the caller has unlinked.
    ///
    /// Always inline: a call of its own is a third of what it does.
    #[inline(always)]
    pub(crate) fn remove(&mut self, index: u32) -> T {
        let entry = &mut self.entries[index as usize];
        let payload = entry.payload.take().expect("linked entries and valid keys are occupied");
        entry.generation = 0;
        self.len -= 1;
        if index < self.usable {
            entry.next = self.vacant;
            self.vacant = index;
        } else {
            self.stranded -= 1;
            if self.stranded == 0 {
                self.give_back();
            }
        }
        if self.len < self.shrink_below {
            self.shrink();
        }
        payload
    }

    /// Makes room for one more, first where `shrink` had closed it off.
    #[cold]
    fn grow(&mut self) {
        while self.vacant == NIL && (self.usable as usize) < self.entries.len() {
            let start = self.usable;
            let end = self.entries.len().min(2 * start as usize) as u32;
            self.link_vacant(start, end);
            self.stranded -= self.occupied_in(start, end);
            self.set_usable(end);
            if self.stranded == 0 {
                self.give_back();
            }
        }
        if self.vacant == NIL {
            let index = self.entries.len() as u32;
            assert!(index < NIL, "runtime: more than {NIL} timers are armed on one worker");
            let vacant = Entry { deadline: 0, generation: 0, next: NIL, prev: NIL, payload: None };
            self.entries.push(vacant);
            self.vacant = index;
            self.set_usable(index + 1);
        }
    }

    fn set_usable(&mut self, usable: u32) {
        self.usable = usable;
        self.shrink_below = if usable > self.kept { usable / 8 } else { 0 };
    }

    /// Confines new entries to the lower part of the slab and frees the rest if it is empty.
    #[cold]
    fn shrink(&mut self) {
        let usable = self.kept.max(2 * self.len);
        debug_assert!(usable < self.usable, "fewer than an eighth of them are occupied");
        self.stranded += self.occupied_in(usable, self.usable);
        self.vacant = NIL;
        self.link_vacant(0, usable);
        self.set_usable(usable);
        if self.stranded == 0 {
            self.give_back();
        }
    }

    /// Frees the memory above `usable`, where nothing is left.
    #[cold]
    fn give_back(&mut self) {
        self.entries.truncate(self.usable as usize);
        self.entries.shrink_to_fit();
    }

    fn occupied_in(&self, start: u32, end: u32) -> u32 {
        let range = &self.entries[start as usize..end as usize];
        range.iter().filter(|entry| entry.generation != 0).count() as u32
    }

    /// Puts the vacant entries of the range in front of the vacant list, lowest index first.
    fn link_vacant(&mut self, start: u32, end: u32) {
        for index in (start..end).rev() {
            let entry = &mut self.entries[index as usize];
            if entry.generation == 0 {
                entry.next = self.vacant;
                self.vacant = index;
            }
        }
    }

    /// Empties the slab into `take`, in no particular order, and frees its memory.
    pub(crate) fn drain(&mut self, take: impl FnMut(T)) {
        let entries = std::mem::take(&mut self.entries);
        *self = Slab { generation: self.generation, ..Slab::keeping(KEPT) };
        entries.into_iter().filter_map(|entry| entry.payload).for_each(take);
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::random::Random;

    fn check<T>(slab: &Slab<T>) {
        let mut vacant = 0;
        let mut index = slab.vacant;
        while index != NIL {
            assert!(index < slab.usable && slab.entries[index as usize].generation == 0);
            index = slab.entries[index as usize].next;
            vacant += 1;
        }
        assert_eq!(slab.occupied_in(0, slab.usable) + vacant, slab.usable);
        assert_eq!(slab.occupied_in(slab.usable, slab.entries.len() as u32), slab.stranded);
        assert_eq!(slab.occupied_in(0, slab.entries.len() as u32), slab.len);
        assert!(slab.stranded > 0 || slab.usable as usize == slab.entries.len());
    }

    #[test]
    fn an_entry_takes_40_bytes() {
        assert_eq!(size_of::<Entry<std::task::Waker>>(), 40);
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let mut slab = Slab::keeping(KEPT);
        let keys: Vec<Key> = (0..100_000).map(|n| slab.insert(n, n)).collect();
        for key in &keys {
            slab.remove(key.index());
        }
        check(&slab);
        assert!(slab.is_empty());
        assert_eq!(slab.entries.capacity(), KEPT as usize);
        assert!(keys.iter().all(|&key| !slab.contains(key)), "a removed key finds nothing");
    }

    #[test]
    fn a_timer_that_re_arms_does_not_pin_the_memory_of_a_burst() {
        let mut slab = Slab::keeping(KEPT);
        let keys: Vec<Key> = (0..100_000).map(|n| slab.insert(n, n)).collect();
        let (last, others) = keys.split_last().expect("there are 100,000 of them");
        for key in others {
            slab.remove(key.index());
        }
        check(&slab);
        assert_eq!(slab.entries.len(), 100_000, "the last entry cannot move");
        slab.remove(last.index());
        let again = slab.insert(0, 0);
        check(&slab);
        assert!(again.index() < KEPT);
        assert_eq!(slab.entries.capacity(), KEPT as usize);
    }

    #[test]
    fn a_second_burst_reuses_what_a_stranded_timer_pins() {
        let mut slab = Slab::keeping(KEPT);
        let keys: Vec<Key> = (0..100_000).map(|n| slab.insert(n, n)).collect();
        for key in &keys[..99_999] {
            slab.remove(key.index());
        }
        let more: Vec<Key> = (0..99_999).map(|n| slab.insert(n, n)).collect();
        check(&slab);
        assert_eq!(slab.entries.len(), 100_000, "no memory is asked for while some lies idle");
        for key in &more {
            slab.remove(key.index());
        }
        check(&slab);
        assert!(slab.contains(keys[99_999]));
    }

    #[test]
    fn the_slab_does_what_a_map_does() {
        for seed in 1..=20u64 {
            let mut random = Random(seed);
            let mut slab = Slab::keeping(1 + seed as u32 % 8);
            let mut naive: Vec<(Key, u64)> = Vec::new();
            let mut removed: Vec<Key> = Vec::new();
            // Tides that leave a few stranded, so that it grows, shrinks and grows again.
            for step in 0..4_000u64 {
                let message = format!("seed {seed}, step {step}");
                let is_flood = step / 200 % 2 == 0;
                if naive.len() < 3 || random.below(10) < if is_flood { 8 } else { 1 } {
                    naive.push((slab.insert(step, step), step));
                } else {
                    let at = random.below(naive.len() as u64) as usize;
                    let (key, payload) = naive.swap_remove(at);
                    assert_eq!(slab.remove(key.index()), payload, "{message}");
                    removed.push(key);
                }
                check(&slab);
                assert_eq!(slab.len(), naive.len(), "{message}");
                if step % 64 == 0 {
                    for &(key, payload) in &naive {
                        assert_eq!(slab.get_mut(key).copied(), Some(payload), "{message}");
                    }
                    assert!(removed.iter().all(|&key| !slab.contains(key)), "{message}");
                }
            }
        }
    }
}
