//! What all sockets have in common, and what all connections have.

/// Waiting until something can be read; the type has `io()`.
macro_rules! readable_methods {
    () => {
        /// Waits until there is something to read, or the end of it.
        ///
        /// A hint, to be followed by one of the `try_*` methods. **Cancel safety**: safe.
        ///
        /// # Errors
        /// If the driver cannot register it, or the runtime has been shut down.
        pub async fn readable(&self) -> std::io::Result<()> {
            self.io().readable().await
        }

        /// Polls until there is something to read; keeps only the waker of the last call.
        ///
        /// # Errors
        /// As [`readable`](Self::readable).
        pub fn poll_readable(
            &self,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.io().poll_readable(context)
        }
    };
}

/// Waiting until something can be written; the type has `io()`.
macro_rules! writable_methods {
    () => {
        /// Waits until there is room to write, or nobody reads any more.
        ///
        /// A hint, to be followed by one of the `try_*` methods. **Cancel safety**: safe.
        ///
        /// # Errors
        /// If the driver cannot register it, or the runtime has been shut down.
        pub async fn writable(&self) -> std::io::Result<()> {
            self.io().writable().await
        }

        /// Polls until there is room to write; keeps only the waker of the last call.
        ///
        /// # Errors
        /// As [`writable`](Self::writable).
        pub fn poll_writable(
            &self,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            self.io().poll_writable(context)
        }
    };
}

/// Methods of a socket whose field `io` has a source of the standard library.
macro_rules! socket_methods {
    ($name:literal, $source:ty, $addr:ty) => {
        /// Takes over a socket of the standard library.
        ///
        /// # Errors
        /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is in blocking mode.
        ///
        /// # Panics
        /// Outside of a runtime.
        #[track_caller]
        pub fn from_std(socket: $source) -> std::io::Result<Self> {
            const WHAT: &str = concat!($name, "::from_std");
            let handle = crate::handle::Handle::current_for(WHAT);
            crate::driver::registered::check_nonblocking(&socket, WHAT)?;
            Ok(Self::new(socket, &handle))
        }

        pub(crate) fn new(socket: $source, handle: &crate::handle::Handle) -> Self {
            Self { io: crate::driver::registered::Registered::new(socket, handle) }
        }

        /// The socket as one of the standard library, still in non-blocking mode.
        ///
        /// # Errors
        /// None at present.
        pub fn into_std(self) -> std::io::Result<$source> {
            Ok(self.io.into_inner())
        }

        fn io(&self) -> &crate::driver::registered::Registered<$source> {
            &self.io
        }

        /// The local address.
        ///
        /// # Errors
        /// The operating system's.
        pub fn local_addr(&self) -> std::io::Result<$addr> {
            self.io.get_ref().local_addr()
        }

        /// The address of the peer.
        ///
        /// # Errors
        /// [`NotConnected`](std::io::ErrorKind::NotConnected) if there is no connection, or no
        /// longer.
        pub fn peer_addr(&self) -> std::io::Result<$addr> {
            self.io.get_ref().peer_addr()
        }

        /// The pending error of the socket, which this clears.
        ///
        /// # Errors
        /// The operating system's, if asking fails.
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            self.io.get_ref().take_error()
        }

        crate::methods::readable_methods!();
        crate::methods::writable_methods!();

        /// Waits until the socket is ready for a direction of `interest`, and says for what.
        ///
        /// A hint. **Cancel safety**: safe.
        ///
        /// # Errors
        /// If the driver cannot register it, or the runtime has been shut down.
        pub fn ready(
            &self,
            interest: crate::interest::Interest,
        ) -> impl Future<Output = std::io::Result<crate::interest::Ready>> {
            self.io.ready(interest)
        }

        /// Calls an operation of one's own, unless the socket is known not to be ready.
        ///
        /// If `operation` fails with `WouldBlock`, the socket counts as not ready until the next
        /// event: it must return that error only if the operating system did.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if the socket is not ready, and those of
        /// `operation`.
        pub fn try_io<R>(
            &self,
            interest: crate::interest::Interest,
            mut operation: impl FnMut() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.io.try_io(interest, |_| operation())
        }
    };
}

/// Methods of a connection, beyond those of a socket.
macro_rules! stream_methods {
    () => {
        /// Reads some bytes and leaves them to be read again.
        ///
        /// **Cancel safety**: safe.
        ///
        /// # Errors
        /// As [`read`](Self::read).
        pub fn peek(&self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
            self.io.peek(buf)
        }

        /// Ends one direction, or both.
        ///
        /// After [`Shutdown::Write`](std::net::Shutdown::Write) the peer reads the end of the
        /// stream, and can still send.
        ///
        /// # Errors
        /// [`NotConnected`](std::io::ErrorKind::NotConnected) if the connection is gone.
        pub fn shutdown(&self, how: std::net::Shutdown) -> std::io::Result<()> {
            self.io.get_ref().shutdown(how)
        }

        /// Ends the outgoing direction; one that is gone already counts as ended.
        fn end(&self) -> std::io::Result<()> {
            crate::connection::end(self)
        }

        /// Two borrowed halves, one to read and one to write with, for one task.
        ///
        /// Where `AsyncReadExt` of futures is in scope, `stream.split()` is that trait's method,
        /// which takes the stream by value; put the type in front there, as in
        /// `TcpStream::split(&mut stream)`.
        pub fn split(
            &mut self,
        ) -> (crate::split::ReadHalf<'_, Self>, crate::split::WriteHalf<'_, Self>) {
            crate::split::split(self)
        }

        /// Two owned halves, one to read and one to write with, for two tasks.
        ///
        /// Dropping the write half ends the outgoing direction. Costs one allocation.
        pub fn into_split(
            self,
        ) -> (crate::into_split::OwnedReadHalf<Self>, crate::into_split::OwnedWriteHalf<Self>) {
            crate::into_split::into_split(self)
        }
    };
}

/// `AsFd`, `AsRawFd` and `Debug` for a type with a field `io`.
macro_rules! file_traits {
    ($type:ty) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.io.as_fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsFd::as_fd(self).as_raw_fd()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&self.io, f)
            }
        }
    };
}

pub(crate) use {file_traits, readable_methods, socket_methods, stream_methods, writable_methods};
