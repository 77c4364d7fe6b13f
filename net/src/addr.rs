//! Addresses, and the resolution of names.

use crate::handle::{Handle, LateHandle};
use crate::sync::Mutex;
use sealed::{Target, ToTarget};
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::slice;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::vec;

/// What `bind` and `connect` accept as an address.
///
/// An address with a literal IP number is used as it is. Any other name is resolved by the
/// operating system on a blocking thread, and may yield several addresses, all of which are tried.
///
/// | type | example |
/// | --- | --- |
/// | [`SocketAddr`], [`SocketAddrV4`], [`SocketAddrV6`], slices of the first | `addr` |
/// | [`IpAddr`], [`Ipv4Addr`] or [`Ipv6Addr`], and a port | `(Ipv4Addr::LOCALHOST, 80)` |
/// | text with a port | `"127.0.0.1:80"`, `"[::1]:80"`, `"example.com:80"` |
/// | text, and a port | `("example.com", 80)`, `("::1", 80)` |
///
/// References to these count too. The trait cannot be implemented elsewhere.
pub trait ToSocketAddrs: ToTarget {}

mod sealed {
    use std::io;
    use std::net::SocketAddr;

    pub trait ToTarget {
        fn to_target(&self) -> Target;
    }

    /// What an address turned out to be, without asking anybody.
    pub enum Target {
        One(SocketAddr),
        Many(Vec<SocketAddr>),
        Name { host: String, port: u16 },
        Malformed(io::Error),
    }
}

impl ToSocketAddrs for SocketAddr {}
impl ToTarget for SocketAddr {
    fn to_target(&self) -> Target {
        Target::One(*self)
    }
}

impl ToSocketAddrs for SocketAddrV4 {}
impl ToTarget for SocketAddrV4 {
    fn to_target(&self) -> Target {
        Target::One((*self).into())
    }
}

impl ToSocketAddrs for SocketAddrV6 {}
impl ToTarget for SocketAddrV6 {
    fn to_target(&self) -> Target {
        Target::One((*self).into())
    }
}

impl ToSocketAddrs for [SocketAddr] {}
impl ToTarget for [SocketAddr] {
    fn to_target(&self) -> Target {
        Target::Many(self.to_vec())
    }
}

impl<const N: usize> ToSocketAddrs for [SocketAddr; N] {}
impl<const N: usize> ToTarget for [SocketAddr; N] {
    fn to_target(&self) -> Target {
        Target::Many(self.to_vec())
    }
}

impl ToSocketAddrs for Vec<SocketAddr> {}
impl ToTarget for Vec<SocketAddr> {
    fn to_target(&self) -> Target {
        Target::Many(self.clone())
    }
}

impl ToSocketAddrs for (IpAddr, u16) {}
impl ToTarget for (IpAddr, u16) {
    fn to_target(&self) -> Target {
        Target::One((*self).into())
    }
}

impl ToSocketAddrs for (Ipv4Addr, u16) {}
impl ToTarget for (Ipv4Addr, u16) {
    fn to_target(&self) -> Target {
        Target::One((*self).into())
    }
}

impl ToSocketAddrs for (Ipv6Addr, u16) {}
impl ToTarget for (Ipv6Addr, u16) {
    fn to_target(&self) -> Target {
        Target::One((*self).into())
    }
}

impl ToSocketAddrs for (&str, u16) {}
impl ToTarget for (&str, u16) {
    fn to_target(&self) -> Target {
        let (host, port) = *self;
        match host.parse::<IpAddr>() {
            Ok(ip) => Target::One(SocketAddr::new(ip, port)),
            Err(_) => Target::Name { host: host.to_owned(), port },
        }
    }
}

impl ToSocketAddrs for (String, u16) {}
impl ToTarget for (String, u16) {
    fn to_target(&self) -> Target {
        (self.0.as_str(), self.1).to_target()
    }
}

impl ToSocketAddrs for str {}
impl ToTarget for str {
    fn to_target(&self) -> Target {
        if let Ok(addr) = self.parse::<SocketAddr>() {
            return Target::One(addr);
        }
        let malformed = |why: &str| {
            let message = format!("`{self}` is not an address with a port: {why}");
            Target::Malformed(io::Error::new(ErrorKind::InvalidInput, message))
        };
        let Some((host, port)) = self.rsplit_once(':') else {
            return malformed("expected `host:port`");
        };
        match port.parse::<u16>() {
            Ok(_) if host.is_empty() => malformed("the host is missing"),
            Ok(_) if host.contains(':') => {
                malformed("an IPv6 number goes into brackets, `[::1]:80`")
            }
            Ok(port) => (host, port).to_target(),
            Err(_) => malformed("the port is a number from 0 to 65535"),
        }
    }
}

impl ToSocketAddrs for String {}
impl ToTarget for String {
    fn to_target(&self) -> Target {
        self.as_str().to_target()
    }
}

impl<T: ToSocketAddrs + ?Sized> ToSocketAddrs for &T {}
impl<T: ToTarget + ?Sized> ToTarget for &T {
    fn to_target(&self) -> Target {
        (**self).to_target()
    }
}

/// Resolves a name to its addresses, in the order in which the operating system prefers them.
///
/// A literal address is returned as it is, without a system call.
///
/// **Cancel safety**: safe; the resolution goes on on its thread, and its result is dropped.
///
/// ```
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let addrs: Vec<_> = net::lookup_host("localhost:80").await?.collect();
/// assert!(addrs.iter().all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](ErrorKind::InvalidInput) if the text is not an address, else the operating
/// system's, with the name.
///
/// # Panics
/// When neither the caller nor whoever polls first is inside a runtime.
#[track_caller]
pub fn lookup_host<A: ToSocketAddrs>(
    addr: A,
) -> impl Future<Output = io::Result<vec::IntoIter<SocketAddr>>> {
    let handle = LateHandle::capture("lookup_host");
    let target = addr.to_target();
    async move {
        let addrs = resolve(target, &handle.get()).await?;
        Ok(addrs.into_vec().into_iter())
    }
}

/// What an address resolved to; mostly one, without an allocation.
pub(crate) enum Addrs {
    One(SocketAddr),
    Many(Vec<SocketAddr>),
}

impl Addrs {
    pub(crate) fn as_slice(&self) -> &[SocketAddr] {
        match self {
            Addrs::One(addr) => slice::from_ref(addr),
            Addrs::Many(addrs) => addrs,
        }
    }

    fn into_vec(self) -> Vec<SocketAddr> {
        match self {
            Addrs::One(addr) => vec![addr],
            Addrs::Many(addrs) => addrs,
        }
    }
}

/// The addresses of a target, asking the operating system if it is a name.
pub(crate) async fn resolve(target: Target, handle: &Handle) -> io::Result<Addrs> {
    match target {
        Target::One(addr) => Ok(Addrs::One(addr)),
        Target::Many(addrs) => Ok(Addrs::Many(addrs)),
        Target::Malformed(error) => Err(error),
        Target::Name { host, port } => {
            let question = Arc::new(Question::default());
            let pending = Answer(Arc::clone(&question));
            let name = host.clone();
            let job = move || {
                let addrs = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
                pending.give(addrs.map(Iterator::collect));
            };
            (handle.shared().hooks.blocking)(Box::new(job))?;
            match poll_fn(|context| question.poll(context)).await {
                Ok(addrs) => Ok(Addrs::Many(addrs)),
                Err(error) => Err(Unresolved::wrap(host, error)),
            }
        }
    }
}

type Resolution = io::Result<Vec<SocketAddr>>;

/// Where a resolution arrives, and who waits for it.
#[derive(Default)]
struct Question(Mutex<(Option<Resolution>, Option<Waker>)>);

impl Question {
    fn poll(&self, context: &mut Context<'_>) -> Poll<Resolution> {
        let waker = context.waker().clone();
        let mut state = self.0.lock();
        let replaced = match state.0.take() {
            Some(resolution) => return Poll::Ready(resolution),
            None => state.1.replace(waker),
        };
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

/// The duty to answer; dropping it without an answer is one too.
struct Answer(Arc<Question>);

impl Answer {
    fn give(self, resolution: Resolution) {
        self.set(resolution);
    }

    /// The first answer counts.
    fn set(&self, resolution: Resolution) {
        let mut state = self.0.0.lock();
        let waker = state.1.take();
        if state.0.is_none() {
            state.0 = Some(resolution);
        }
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // After `give` there is nobody left to read this.
        self.set(Err(io::Error::other(
            "the name was not resolved: the runtime was shut down, or had no thread for it",
        )));
    }
}

/// A name that the operating system could not resolve.
#[derive(Debug)]
struct Unresolved {
    name: String,
    error: io::Error,
}

impl Unresolved {
    fn wrap(name: String, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Unresolved { name, error })
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not resolve `{}`: {}", self.name, self.error)
    }
}

impl Error for Unresolved {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// The addresses that were tried in vain.
///
/// A single failure is handed back as the operating system gave it.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<(SocketAddr, io::Error)>);

impl Failures {
    /// The outcome of the first address that works.
    pub(crate) fn first_success<T>(
        addrs: &[SocketAddr],
        mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut failures = Failures::default();
        for &addr in addrs {
            match attempt(addr) {
                Ok(value) => return Ok(value),
                Err(error) => failures.add(addr, error),
            }
        }
        Err(failures.into_error())
    }

    pub(crate) fn add(&mut self, addr: SocketAddr, error: io::Error) {
        self.0.push((addr, error));
    }

    pub(crate) fn into_error(mut self) -> io::Error {
        match self.0.len() {
            0 => io::Error::new(ErrorKind::InvalidInput, "there is no address to try"),
            1 => self.0.remove(0).1,
            _ => {
                let last = self.0.last().map_or(ErrorKind::Other, |(_, error)| error.kind());
                io::Error::new(last, self)
            }
        }
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} addresses worked", self.0.len())?;
        for (index, (addr, error)) in self.0.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{addr}: {error}")?;
        }
        Ok(())
    }
}

impl Error for Failures {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.last().map(|(_, error)| error as _)
    }
}
