//! Who waits for a source, and for which direction.

use std::mem;
use std::num::NonZeroU64;
use std::task::Waker;

/// Which waiter an operation is.
///
/// The `poll_*` methods share one place per direction, in which the last caller wins. Each future
/// has its own, so that several may wait for the same direction.
///
/// The lowest bit is 0, for a [`Key`] has the direction there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaiterId(NonZeroU64);

impl WaiterId {
    /// The place of the `poll_*` methods.
    pub(crate) const SHARED: WaiterId = WaiterId(NonZeroU64::new(2).expect("it is not 0"));

    fn next(self) -> WaiterId {
        WaiterId(self.0.checked_add(2).expect("nobody waits 2^63 times"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read = 0,
    Write = 1,
}

/// A waiter's id and its direction, in one word because every registration has one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64);

impl Key {
    fn new(id: WaiterId, direction: Direction) -> Key {
        Key(id.0.get() | direction as u64)
    }

    fn is_of(self, id: WaiterId) -> bool {
        self.0 & !1 == id.0.get()
    }

    fn is_among(self, directions: Directions) -> bool {
        directions.0 >> (self.0 & 1) & 1 != 0
    }
}

/// A set of directions: bit 0 to read, bit 1 to write.
#[derive(Clone, Copy)]
pub(super) struct Directions(u8);

impl Directions {
    pub(super) fn new(read: bool, write: bool) -> Directions {
        Directions(u8::from(read) | u8::from(write) << 1)
    }
}

struct Waiter {
    key: Key,
    waker: Waker,
}

/// Who waits for a source.
pub(super) struct Waiters {
    list: List,
    /// The newest id given to a future. With 63 bits none is ever given twice, also not to another
    /// source that has the place later.
    last_id: WaiterId,
}

/// Mostly none or one: only further ones allocate, once, and the memory is kept.
enum List {
    One(Waiter),
    #[expect(clippy::box_collection, reason = "every registration has this enum, of 24 bytes")]
    More(Option<Box<Vec<Waiter>>>),
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters { list: List::More(None), last_id: WaiterId::SHARED }
    }
}

impl Waiters {
    pub(super) fn new_id(&mut self) -> WaiterId {
        self.last_id = self.last_id.next();
        self.last_id
    }

    /// Adds a waiter, or gives its new waker to one that is there; returns the one it replaces.
    pub(super) fn put(
        &mut self,
        id: WaiterId,
        direction: Direction,
        waker: Waker,
    ) -> Option<Waker> {
        let key = Key::new(id, direction);
        // Put first and looked at then, so that the one who waits alone has little to do.
        match mem::replace(&mut self.list, List::One(Waiter { key, waker })) {
            List::More(None) => None,
            List::One(old) if old.key == key => Some(old.waker),
            others => self.put_beside(others),
        }
    }

    /// Adds the one that is alone in the list to others.
    #[cold]
    fn put_beside(&mut self, others: List) -> Option<Waker> {
        let mut more = match others {
            List::One(one) => Box::new(vec![one]),
            List::More(more) => more.unwrap_or_default(),
        };
        let mut replaced = None;
        if let List::One(new) = mem::replace(&mut self.list, List::More(None)) {
            match more.iter_mut().find(|waiter| waiter.key == new.key) {
                Some(waiter) => replaced = Some(mem::replace(&mut waiter.waker, new.waker)),
                None => more.push(new),
            }
        }
        self.list = List::More(Some(more));
        replaced
    }

    /// Takes a waiter out, which may have a waker in each direction.
    pub(super) fn remove(&mut self, id: WaiterId) -> [Option<Waker>; 2] {
        let mut removed = [None, None];
        let mut keep = removed.iter_mut();
        self.take(|key| key.is_of(id), |waker| *keep.next().expect("two directions") = Some(waker));
        removed
    }

    pub(super) fn take_all(&mut self, directions: Directions, wakers: &mut Vec<Waker>) {
        self.take(|key| key.is_among(directions), |waker| wakers.push(waker));
    }

    fn take(&mut self, is_meant: impl Fn(Key) -> bool, mut keep: impl FnMut(Waker)) {
        match &mut self.list {
            List::One(one) if is_meant(one.key) => {
                if let List::One(one) = mem::replace(&mut self.list, List::More(None)) {
                    keep(one.waker);
                }
            }
            List::More(Some(more)) => {
                let mut index = 0;
                while index < more.len() {
                    if is_meant(more[index].key) {
                        keep(more.swap_remove(index).waker);
                    } else {
                        index += 1;
                    }
                }
            }
            _ => {}
        }
    }

    /// Forgets everybody; the caller drops them after unlocking.
    #[must_use]
    pub(super) fn reset(&mut self) -> Waiters {
        Waiters { list: mem::replace(&mut self.list, List::More(None)), last_id: self.last_id }
    }
}
