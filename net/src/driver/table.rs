//! The sources by token.

use super::page::{PLACES, Page};
use super::readiness::Readiness;
use super::waiters::Waiters;
use crate::handle::Handle;
use crate::interest::Ready;
use std::array;
use std::io;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

/// Low bits of a token that hold the index; the generation is above them.
///
/// 64-bit: 2^32 sockets, and a token returns after 2^32 sources had its index. 32-bit: a million
/// and 4096.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// The index of a source that the table does not know, and of no other; also the end of the list of
/// vacant places.
const NONE: u32 = INDEX_MASK as u32;

/// The sources by token.
///
/// A source has its place from its creation to its end, and then another gets it. A token is the
/// index of the place and its generation. An event that was fetched before its source was
/// deregistered carries an old generation and is dropped, even if the place has been given to
/// another source since. Were a generation to wrap around, the event would reach a stranger, whose
/// next operation would fail with one `WouldBlock`: events are hints.
pub(crate) struct Table {
    /// Each has a handle and so keeps the driver's shared part, this table in it. The shutdown ends
    /// the circle; whoever has the driver is sure to call it.
    pages: Vec<TablePage>,
    /// The place that became vacant last.
    vacant: u32,
    /// How many sources are registered with the poller.
    registered: usize,
    is_shut_down: bool,
}

/// A page, and what the table alone knows of its places.
struct TablePage {
    page: Arc<Page>,
    entries: Box<[Entry; PLACES]>,
}

struct Entry {
    generation: u32,
    /// Of a vacant place: the one that became vacant before it.
    next_vacant: u32,
}

/// What the kernel gives back with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token(pub(crate) mio::Token);

impl Token {
    /// The driver's own event sources have the highest index, which no source gets.
    pub(crate) const UNPARK: Token = Token(mio::Token(usize::MAX));
    #[cfg(target_os = "linux")]
    pub(crate) const ALARM: Token = Token(mio::Token(usize::MAX - (1 << INDEX_BITS)));

    fn new(index: u32, generation: u32) -> Token {
        Token(mio::Token(index as usize | (generation as usize) << INDEX_BITS))
    }

    fn index(self) -> u32 {
        (self.0.0 & INDEX_MASK) as u32
    }

    fn generation(self) -> u32 {
        (self.0.0 >> INDEX_BITS) as u32
    }
}

impl Default for Table {
    fn default() -> Table {
        Table { pages: Vec::new(), vacant: NONE, registered: 0, is_shut_down: false }
    }
}

impl Table {
    /// A place for a new source, which [`Table::release`] must give back.
    ///
    /// After [`Table::shut_down`], and when the table is full, it is one that the table does not
    /// know: registering fails.
    pub(super) fn place(&mut self, handle: &Handle) -> (Arc<Page>, u32) {
        if self.vacant == NONE && !self.add_page(handle) {
            let page = Page::new(handle);
            if self.is_shut_down {
                page.readiness(NONE).set(Ready::SHUTDOWN, &mut Vec::new());
            }
            return (Arc::new(page), NONE);
        }
        let index = self.vacant;
        let (page, entry) = self.find(index).expect("what is vacant is in the table");
        let place = (Arc::clone(page), index);
        self.vacant = entry.next_vacant;
        place
    }

    /// Adds vacant places; false after the shutdown, and if there are no more numbers.
    #[cold]
    fn add_page(&mut self, handle: &Handle) -> bool {
        let first = self.pages.len() * PLACES;
        let end = first + PLACES;
        if self.is_shut_down || end > NONE as usize {
            return false;
        }
        let entries = array::from_fn(|number| {
            let next = first + number + 1;
            Entry { generation: 0, next_vacant: if next < end { next as u32 } else { self.vacant } }
        });
        self.pages
            .push(TablePage { page: Arc::new(Page::new(handle)), entries: Box::new(entries) });
        self.vacant = first as u32;
        true
    }

    fn find(&mut self, index: u32) -> Option<(&Arc<Page>, &mut Entry)> {
        let index = index as usize;
        let TablePage { page, entries } = self.pages.get_mut(index / PLACES)?;
        Some((page, &mut entries[index % PLACES]))
    }

    /// The token with which a source is to be registered.
    ///
    /// # Errors
    /// After [`Table::shut_down`], and when the table is full.
    pub(crate) fn register(&mut self, index: u32) -> io::Result<Token> {
        if self.is_shut_down {
            return Err(super::shut_down_error());
        }
        let Some((_, entry)) = self.find(index) else {
            return Err(io::Error::other("the I/O driver holds as many sources as it can number"));
        };
        let token = Token::new(index, entry.generation);
        self.registered += 1;
        Ok(token)
    }

    /// A source is not registered any more, or could not be.
    pub(crate) fn deregister(&mut self) {
        self.registered -= 1;
    }

    /// Takes a place back, which makes its token a stale one; the caller drops after unlocking who
    /// still waits there.
    #[must_use]
    pub(super) fn release(&mut self, index: u32) -> Option<Waiters> {
        // Not after the shutdown, which has taken all waiters, nor what the table does not know.
        let vacant = self.vacant;
        let (page, entry) = self.find(index)?;
        entry.generation = entry.generation.wrapping_add(1) & (usize::MAX >> INDEX_BITS) as u32;
        entry.next_vacant = vacant;
        let waiters = page.readiness(index).reset();
        self.vacant = index;
        Some(waiters)
    }

    pub(crate) fn get(&self, token: Token) -> Option<&Readiness> {
        let index = token.index() as usize;
        let TablePage { page, entries } = self.pages.get(index / PLACES)?;
        let is_current = entries[index % PLACES].generation == token.generation();
        is_current.then(|| page.readiness(token.index()))
    }

    pub(crate) fn registered(&self) -> usize {
        self.registered
    }

    /// Refuses further sources, and ends every wait on those present. The caller drops the pages
    /// after unlocking.
    #[must_use]
    pub(super) fn shut_down(&mut self, wakers: &mut Vec<Waker>) -> Vec<Arc<Page>> {
        self.is_shut_down = true;
        let pages: Vec<_> = mem::take(&mut self.pages).into_iter().map(|page| page.page).collect();
        for readiness in pages.iter().flat_map(|page| page.all()) {
            readiness.set(Ready::SHUTDOWN, wakers);
        }
        self.vacant = NONE;
        pages
    }
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;
    use crate::driver::{Driver, Hooks};

    fn handle() -> Handle {
        Driver::new(Hooks::none()).expect("the kernel has files for a driver").handle()
    }

    /// The token of a new source, which registers.
    fn insert(table: &mut Table, handle: &Handle) -> (Token, Arc<Page>) {
        let (page, index) = table.place(handle);
        (table.register(index).expect("not shut down"), page)
    }

    /// The source's registration and then the source itself end.
    fn remove(table: &mut Table, token: Token) {
        table.deregister();
        assert!(table.release(token.index()).is_some(), "it has a place");
    }

    #[test]
    fn a_token_dies_with_its_source_even_if_the_index_is_reused() {
        let (mut table, handle) = (Table::default(), handle());
        let (old, _) = insert(&mut table, &handle);
        remove(&mut table, old);
        let (new, _) = insert(&mut table, &handle);

        assert_eq!(old.index(), new.index(), "the place is used again");
        assert!(table.get(old).is_none());
        assert!(table.get(new).is_some());
        assert_eq!(table.registered(), 1);
    }

    #[test]
    fn the_generation_wraps_without_touching_the_index() {
        let (mut table, handle) = (Table::default(), handle());
        let (token, _) = insert(&mut table, &handle);
        table.pages[0].entries[token.index() as usize].generation =
            (usize::MAX >> INDEX_BITS) as u32;
        remove(&mut table, token);
        let (token, _) = insert(&mut table, &handle);
        assert_eq!((token.index(), token.generation()), (0, 0));
        assert!(table.get(token).is_some());
    }

    #[test]
    fn the_drivers_own_tokens_name_no_source() {
        assert_eq!(Token::UNPARK.index(), NONE);
        #[cfg(target_os = "linux")]
        {
            assert_eq!(Token::ALARM.index(), NONE);
            assert_ne!(Token::ALARM, Token::UNPARK);
        }
        assert!(Table::default().get(Token::UNPARK).is_none());
    }

    /// A source that is registered just after the shutdown would be told by nobody.
    #[test]
    fn nothing_is_registered_after_the_shutdown() {
        let (mut table, handle) = (Table::default(), handle());
        let (page, index) = table.place(&handle);
        let pages = table.shut_down(&mut Vec::new());
        assert_eq!(pages.len(), 1);
        assert!(page.readiness(index).state().ready().is_shut_down());
        table.register(index).expect_err("shut down");
        assert!(table.release(index).is_none());

        let (page, index) = table.place(&handle);
        assert!(page.readiness(index).state().ready().is_shut_down());
        table.register(index).expect_err("shut down");
        assert_eq!(table.registered(), 0);
    }

    /// Pages have a handle, and the driver's shared part has the pages.
    #[test]
    fn a_driver_that_had_sources_leaves_nothing() {
        use crate::driver::registered::Registered;
        use std::os::unix::net::UnixStream;

        let driver = Driver::new(Hooks::none()).expect("the kernel has files for a driver");
        let (source, other) = UnixStream::pair().expect("a pair of sockets");
        drop(Registered::new(source, &driver.handle()));
        let outlives = Registered::new(other, &driver.handle());
        let shared = Arc::downgrade(&driver.shared);
        drop(driver);
        assert!(shared.upgrade().is_some(), "its source can still ask it");
        drop(outlives);
        assert!(shared.upgrade().is_none());
    }

    #[test]
    fn what_had_the_place_before_leaves_nothing() {
        let (mut table, handle) = (Table::default(), handle());
        let (token, page) = insert(&mut table, &handle);
        page.readiness(token.index()).set_registered();
        page.readiness(token.index()).set(Ready::READABLE, &mut Vec::new());
        remove(&mut table, token);
        let (_, index) = table.place(&handle);
        assert_eq!(index, token.index());
        let state = page.readiness(index).state();
        assert!(!state.is_registered() && state.ready().is_empty());
    }

    #[test]
    fn random_operations_agree_with_a_list() {
        let seed = 0x5eed_u64;
        let mut random = seed;
        let (mut table, handle) = (Table::default(), handle());
        let mut alive: Vec<(Token, Arc<Page>)> = Vec::new();
        let mut dead: Vec<Token> = Vec::new();
        for step in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            if alive.is_empty() || random % 3 != 0 {
                alive.push(insert(&mut table, &handle));
            } else {
                let (token, _) = alive.swap_remove(random as usize % alive.len());
                remove(&mut table, token);
                dead.push(token);
            }
            assert_eq!(table.registered(), alive.len(), "seed {seed:#x}, step {step}");
            if let Some(token) = dead.get(random as usize % dead.len().max(1)) {
                assert!(table.get(*token).is_none(), "seed {seed:#x}, step {step}");
            }
        }
        let mut indices: Vec<u32> = alive.iter().map(|(token, _)| token.index()).collect();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), alive.len(), "seed {seed:#x}: each has its own place");
        for (token, page) in &alive {
            let found = table.get(*token).expect("it is alive");
            assert!(std::ptr::eq(found, page.readiness(token.index())), "seed {seed:#x}");
        }
    }
}
