//! The registrations by token.

use super::readiness::Readiness;
use crate::interest::Ready;
use slab::Slab;
use std::io;
use std::sync::Arc;
use std::task::Waker;

/// Low bits of a token that hold the index; the generation is above them.
///
/// 64-bit: 2^32 sockets, and a token returns after 2^32 registrations. 32-bit: a million and 4096.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// The registrations by token.
///
/// A token is an index and the generation of what lives there. An event that was fetched before its
/// source was deregistered carries an old generation and is dropped, even if the index has been
/// given to another source since. Were a generation to wrap around, the event would reach a
/// stranger, whose next operation would fail with one `WouldBlock`: events are hints.
#[derive(Default)]
pub(crate) struct Table {
    entries: Slab<Entry>,
    generation: usize,
    is_shut_down: bool,
}

struct Entry {
    generation: usize,
    readiness: Arc<Readiness>,
}

/// What the kernel gives back with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token(pub(crate) mio::Token);

impl Token {
    /// The driver's own event sources have the highest index, which no registration gets.
    pub(crate) const UNPARK: Token = Token(mio::Token(usize::MAX));
    #[cfg(target_os = "linux")]
    pub(crate) const ALARM: Token = Token(mio::Token(usize::MAX - (1 << INDEX_BITS)));

    fn new(index: usize, generation: usize) -> Token {
        Token(mio::Token(index | generation << INDEX_BITS))
    }

    fn index(self) -> usize {
        self.0.0 & INDEX_MASK
    }

    fn generation(self) -> usize {
        self.0.0 >> INDEX_BITS
    }
}

impl Table {
    /// Adds a source.
    ///
    /// # Errors
    /// After [`Table::shut_down`], and when the table is full.
    pub(crate) fn insert(&mut self, readiness: Arc<Readiness>) -> io::Result<Token> {
        if self.is_shut_down {
            return Err(super::shut_down_error());
        }
        let entry = self.entries.vacant_entry();
        let index = entry.key();
        if index >= INDEX_MASK {
            return Err(io::Error::other("the I/O driver holds as many sources as it can number"));
        }
        self.generation = (self.generation + 1) & (usize::MAX >> INDEX_BITS);
        entry.insert(Entry { generation: self.generation, readiness });
        Ok(Token::new(index, self.generation))
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Readiness> {
        let entry = self.entries.get(token.index())?;
        (entry.generation == token.generation()).then_some(&*entry.readiness)
    }

    /// Takes a source out; the caller drops it after unlocking, for it holds wakers.
    #[must_use]
    pub(crate) fn remove(&mut self, token: Token) -> Option<Arc<Readiness>> {
        self.get(token)?;
        Some(self.entries.remove(token.index()).readiness)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Refuses further sources, and ends every wait on those present.
    pub(crate) fn shut_down(&mut self, wakers: &mut Vec<Waker>) {
        self.is_shut_down = true;
        for (_, entry) in &self.entries {
            entry.readiness.set(Ready::SHUTDOWN, wakers);
        }
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    fn readiness() -> Arc<Readiness> {
        Arc::new(Readiness::new())
    }

    #[test]
    fn a_token_dies_with_its_source_even_if_the_index_is_reused() {
        let mut table = Table::default();
        let old = table.insert(readiness()).expect("not shut down");
        assert!(table.remove(old).is_some());
        let new = table.insert(readiness()).expect("not shut down");

        assert_eq!(old.index(), new.index(), "the slab reuses the index");
        assert!(table.get(old).is_none());
        assert!(table.get(new).is_some());
        assert!(table.remove(old).is_none(), "a stale token must not remove the newcomer");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn the_generation_wraps_without_touching_the_index() {
        let mut table = Table { generation: usize::MAX >> INDEX_BITS, ..Table::default() };
        let token = table.insert(readiness()).expect("not shut down");
        assert_eq!((token.index(), token.generation()), (0, 0));
        assert!(table.get(token).is_some());
    }

    #[test]
    fn the_drivers_own_tokens_name_no_registration() {
        assert_eq!(Token::UNPARK.index(), INDEX_MASK);
        #[cfg(target_os = "linux")]
        {
            assert_eq!(Token::ALARM.index(), INDEX_MASK);
            assert_ne!(Token::ALARM, Token::UNPARK);
        }
    }

    /// A source that is registered just after the shutdown would be told by nobody.
    #[test]
    fn nothing_is_inserted_after_the_shutdown() {
        let mut table = Table::default();
        let before = readiness();
        table.insert(Arc::clone(&before)).expect("not shut down");
        table.shut_down(&mut Vec::new());
        assert!(before.state().ready().is_shut_down());
        table.insert(readiness()).expect_err("shut down");
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn random_operations_agree_with_a_list() {
        let seed = 0x5eed_u64;
        let mut random = seed;
        let mut table = Table::default();
        let mut alive: Vec<(Token, Arc<Readiness>)> = Vec::new();
        let mut dead: Vec<Token> = Vec::new();
        for step in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if alive.is_empty() || random % 3 != 0 {
                let readiness = readiness();
                let token = table.insert(Arc::clone(&readiness)).expect("not shut down");
                alive.push((token, readiness));
            } else {
                let (token, readiness) = alive.swap_remove(random as usize % alive.len());
                let removed = table.remove(token).expect("it is alive");
                assert!(Arc::ptr_eq(&removed, &readiness), "seed {seed:#x}, step {step}");
                dead.push(token);
            }
            assert_eq!(table.len(), alive.len(), "seed {seed:#x}, step {step}");
            if let Some(token) = dead.get(random as usize % dead.len().max(1)) {
                assert!(table.get(*token).is_none(), "seed {seed:#x}, step {step}");
            }
        }
        for (token, readiness) in &alive {
            let found = table.get(*token).expect("it is alive");
            assert!(std::ptr::eq(found, &**readiness), "seed {seed:#x}");
        }
    }
}
