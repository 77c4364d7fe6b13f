//! A UDP socket.

use crate::addr::{Failures, ToSocketAddrs, resolve};
use crate::driver::registered::Registered;
use crate::handle::LateHandle;
use crate::interest::Interest;
use crate::methods::{datagram_methods, file_traits, sent, socket_methods};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

/// A UDP socket.
///
/// Used to exchange datagrams with anybody by [`send_to`](UdpSocket::send_to) and
/// [`recv_from`](UdpSocket::recv_from), or with one peer by [`send`](UdpSocket::send) and
/// [`recv`](UdpSocket::recv) after [`connect`](UdpSocket::connect); only a connected socket is told
/// that nobody listens at the other end. All methods take `&self`, so several tasks may share one.
///
/// Options that must be set before binding, such as `SO_REUSEPORT`, are set on a `socket2::Socket`,
/// which [`from_std`](UdpSocket::from_std) takes over.
///
/// ```
/// use net::UdpSocket;
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
/// client.send(b"ping").await?;
///
/// let mut buf = [0; 1500];
/// let (received, sender) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..received], sender).await?;
/// assert_eq!(client.recv(&mut buf).await?, 4);
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    io: Registered<std::net::UdpSocket>,
}

impl UdpSocket {
    /// Binds to an address.
    ///
    /// If a name resolves to several addresses, the first that can be bound is used. Port 0 lets
    /// the operating system choose one, which [`local_addr`](UdpSocket::local_addr) tells.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse), [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable),
    /// [`PermissionDenied`](io::ErrorKind::PermissionDenied) for ports below 1024, and others of
    /// the operating system; [`InvalidInput`](io::ErrorKind::InvalidInput) for text that is not an
    /// address. If several addresses were tried, the message names them all and the kind is that of
    /// the last.
    ///
    /// # Panics
    /// When neither the caller nor whoever polls first is inside a runtime.
    #[track_caller]
    pub fn bind<A: ToSocketAddrs>(addr: A) -> impl Future<Output = io::Result<UdpSocket>> {
        let handle = LateHandle::capture("UdpSocket::bind");
        let target = addr.to_target();
        async move {
            let handle = handle.get();
            let addrs = resolve(target, &handle).await?;
            let socket = Failures::first_success(addrs.as_slice(), |addr| {
                let socket = std::net::UdpSocket::bind(addr)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            })?;
            Ok(UdpSocket::new(socket, &handle))
        }
    }

    /// Connects to a peer: `send` goes there, and only its datagrams arrive.
    ///
    /// Nothing is sent. If a name resolves to several addresses, the first that can be connected to
    /// is used. Connecting again changes the peer.
    ///
    /// # Errors
    /// The operating system's, such as having no route to the address, and those of the resolution;
    /// as with [`bind`](UdpSocket::bind) if several addresses were tried.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> impl Future<Output = io::Result<()>> {
        let target = addr.to_target();
        async move {
            let addrs = resolve(target, self.io.handle()).await?;
            let socket = self.io.get_ref();
            Failures::first_success(addrs.as_slice(), |addr| socket.connect(addr))
        }
    }

    socket_methods!("UdpSocket", std::net::UdpSocket, SocketAddr);
    datagram_methods!(SocketAddr);

    /// Sends a datagram to an address and returns its size in bytes.
    ///
    /// If a name resolves to several addresses, it goes to the first to which it can be sent.
    ///
    /// **Cancel safety**: safe, nothing has been sent unless the future is done.
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send), and those of the resolution.
    pub fn send_to<A: ToSocketAddrs>(
        &self,
        buf: &[u8],
        target: A,
    ) -> impl Future<Output = io::Result<usize>> {
        let target = target.to_target();
        async move {
            let addrs = resolve(target, self.io.handle()).await?;
            let mut failures = Failures::default();
            for &addr in addrs.as_slice() {
                let send = |socket: &std::net::UdpSocket| send_once(socket, buf, addr);
                match self.io.io(Interest::WRITABLE, send).await {
                    Ok(size) => return Ok(size),
                    Err(error) => failures.add(addr, error),
                }
            }
            Err(failures.into_error())
        }
    }

    /// Sends a datagram to an address, without waiting.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room for it, and those of
    /// [`send`](UdpSocket::send).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.io.try_io(Interest::WRITABLE, |socket| send_once(socket, buf, target))
    }

    /// Polls to send a datagram to an address; keeps only the waker of the last call.
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send).
    pub fn poll_send_to(
        &self,
        context: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.io.poll_io(context, Interest::WRITABLE, |socket| send_once(socket, buf, target))
    }

    /// Reads the next datagram of the connected peer and leaves it to be received again.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<usize>> {
        self.io.io(Interest::READABLE, move |socket| socket.peek(buf))
    }

    /// Reads the next datagram and its sender and leaves it to be received again.
    ///
    /// **Cancel safety**: safe.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    pub fn peek_from(
        &self,
        buf: &mut [u8],
    ) -> impl Future<Output = io::Result<(usize, SocketAddr)>> {
        self.io.io(Interest::READABLE, move |socket| socket.peek_from(buf))
    }

    /// Reads the next datagram and its sender and leaves it, without waiting.
    ///
    /// # Errors
    /// As [`try_recv`](UdpSocket::try_recv).
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.try_io(Interest::READABLE, |socket| socket.peek_from(buf))
    }

    /// Polls to peek at the next datagram; keeps only the waker of the last call.
    ///
    /// # Errors
    /// As [`recv`](UdpSocket::recv).
    pub fn poll_peek_from(
        &self,
        context: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        self.io.poll_io(context, Interest::READABLE, |socket| socket.peek_from(buf))
    }

    /// Receives what is sent to an IPv4 multicast group, on the interface with that address
    /// (`0.0.0.0`: the system chooses).
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if `group` is not a multicast address, and
    /// others of the operating system, such as having no such interface.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().join_multicast_v4(&group, &interface)
    }

    /// Leaves an IPv4 multicast group; dropping the socket does too.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it has not joined.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v4(&group, &interface)
    }

    /// Receives what is sent to an IPv6 multicast group, on the interface with that index (0: the
    /// system chooses).
    ///
    /// # Errors
    /// As [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().join_multicast_v6(group, interface)
    }

    /// Leaves an IPv6 multicast group; dropping the socket does too.
    ///
    /// # Errors
    /// [`AddrNotAvailable`](io::ErrorKind::AddrNotAvailable) if it has not joined.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.get_ref().leave_multicast_v6(group, interface)
    }

    /// Whether this machine gets the IPv4 multicast datagrams that it sends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.io.get_ref().multicast_loop_v4()
    }

    /// Sets whether this machine gets the IPv4 multicast datagrams that it sends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_multicast_loop_v4(on)
    }

    /// Whether this machine gets the IPv6 multicast datagrams that it sends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.io.get_ref().multicast_loop_v6()
    }

    /// Sets whether this machine gets the IPv6 multicast datagrams that it sends.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_multicast_loop_v6(on)
    }

    /// The time to live of the IPv4 multicast datagrams sent, in hops; 1 at first.
    ///
    /// # Errors
    /// The operating system's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.io.get_ref().multicast_ttl_v4()
    }

    /// Sets the time to live of the IPv4 multicast datagrams sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_multicast_ttl_v4(ttl)
    }

    /// Whether datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    /// The operating system's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.io.get_ref().broadcast()
    }

    /// Allows to send to a broadcast address, which is `PermissionDenied` otherwise.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.io.get_ref().set_broadcast(on)
    }

    /// The time to live of the datagrams sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.get_ref().ttl()
    }

    /// Sets the time to live of the datagrams sent, in hops.
    ///
    /// # Errors
    /// The operating system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.get_ref().set_ttl(ttl)
    }
}

fn send_once(socket: &std::net::UdpSocket, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
    sent(socket.send_to(buf, target), buf, target)
}

file_traits!(UdpSocket);
