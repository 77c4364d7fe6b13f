//! Who waits for a source, per direction.

use std::task::Waker;
use std::{iter, mem};

/// Which waiter an operation is.
///
/// The `poll_*` methods share one place per direction, in which the last caller wins. Each future
/// has its own, so that several may wait for the same direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// The place of the `poll_*` methods.
    pub(crate) const SHARED: WaiterId = WaiterId(0);
}

/// Who waits, per direction.
#[derive(Default)]
pub(super) struct Waiters {
    pub(super) read: Queue,
    pub(super) write: Queue,
    /// The newest id given to a future. With 64 bits none is ever given twice.
    last_id: u64,
}

impl Waiters {
    pub(super) fn new_id(&mut self) -> WaiterId {
        self.last_id += 1;
        WaiterId(self.last_id)
    }
}

struct Waiter {
    id: WaiterId,
    waker: Waker,
}

/// The waiters of one direction: mostly none or one, so only further ones allocate.
#[derive(Default)]
pub(super) struct Queue {
    /// None: nobody waits.
    first: Option<Waiter>,
    // Boxed because a second waiter is rare and there are two queues in every registration.
    #[expect(clippy::box_collection, reason = "8 bytes instead of 24 in every registration")]
    more: Option<Box<Vec<Waiter>>>,
}

impl Queue {
    /// Adds a waiter, or gives its new waker to one that is there; returns the one it replaces.
    pub(super) fn put(&mut self, id: WaiterId, waker: Waker) -> Option<Waker> {
        let Some(first) = &mut self.first else {
            self.first = Some(Waiter { id, waker });
            return None;
        };
        let more = self.more.iter_mut().flat_map(|more| more.iter_mut());
        match iter::once(first).chain(more).find(|waiter| waiter.id == id) {
            Some(waiter) => Some(mem::replace(&mut waiter.waker, waker)),
            None => {
                self.more.get_or_insert_default().push(Waiter { id, waker });
                None
            }
        }
    }

    pub(super) fn remove(&mut self, id: WaiterId) -> Option<Waker> {
        let first = self.first.as_ref()?;
        let removed = if first.id == id {
            let next = self.more.as_mut().and_then(|more| more.pop());
            mem::replace(&mut self.first, next)?
        } else {
            let more = self.more.as_mut()?;
            let position = more.iter().position(|waiter| waiter.id == id)?;
            more.swap_remove(position)
        };
        Some(removed.waker)
    }

    pub(super) fn take_all(&mut self, wakers: &mut Vec<Waker>) {
        let Some(first) = self.first.take() else { return };
        wakers.push(first.waker);
        if let Some(more) = &mut self.more {
            wakers.extend(more.drain(..).map(|waiter| waiter.waker));
        }
    }
}
