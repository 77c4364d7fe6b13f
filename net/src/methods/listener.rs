//! What accepts connections.

/// Methods of a listener whose field `io` has a source of mio, and its part in `Incoming`.
macro_rules! listener_methods {
    ($listener:ident, $std:ty, $stream:ty, $addr:ty) => {
        impl $listener {
            /// Takes over a listener of the standard library.
            ///
            /// # Errors
            /// [`InvalidInput`](std::io::ErrorKind::InvalidInput) if it is in blocking mode.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn from_std(listener: $std) -> std::io::Result<$listener> {
                const WHAT: &str = concat!(stringify!($listener), "::from_std");
                let handle = crate::handle::Handle::current_for(WHAT);
                crate::driver::registered::check_nonblocking(&listener, WHAT)?;
                Ok($listener::from_fd(listener.into(), &handle))
            }

            pub(crate) fn from_fd(
                fd: std::os::fd::OwnedFd,
                handle: &crate::handle::Handle,
            ) -> $listener {
                let io = crate::driver::registered::Registered::new(fd.into(), handle);
                $listener { io }
            }

            /// The listener as one of the standard library, still in non-blocking mode.
            ///
            /// # Errors
            /// None at present.
            pub fn into_std(self) -> std::io::Result<$std> {
                Ok(std::os::fd::OwnedFd::from(self.io.into_inner()).into())
            }

            /// Waits for a connection and returns it with the address of its peer.
            ///
            /// Connections that fail before they can be accepted are skipped. The address of a Unix
            /// peer is mostly unnamed.
            ///
            /// **Cancel safety**: safe, no connection is lost.
            ///
            /// # Errors
            /// The operating system's. Those that say it has run out of something (`EMFILE`,
            /// `ENFILE`, `ENOBUFS`, `ENOMEM`) leave the connection waiting: **pause before the next
            /// call**, for example 100 ms, since it tries again at once, and neither waits nor
            /// needs to be told when files are free again.
            pub async fn accept(&self) -> std::io::Result<($stream, $addr)> {
                let accept = |listener: &_| self.accept_once(listener);
                self.io.io(crate::interest::Interest::READABLE, accept).await
            }

            /// Polls for a connection.
            ///
            /// Only the waker of the last call is kept; [`accept`](Self::accept) has no such limit.
            ///
            /// # Errors
            /// As [`accept`](Self::accept).
            pub fn poll_accept(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<($stream, $addr)>> {
                let accept = |listener: &_| self.accept_once(listener);
                self.io.poll_io(context, crate::interest::Interest::READABLE, accept)
            }

            /// The connections as a stream that never ends.
            ///
            /// It shares the place of [`poll_accept`](Self::poll_accept), so at most one task
            /// should poll such a stream of a listener.
            pub fn incoming(&self) -> crate::incoming::Incoming<'_, $listener> {
                crate::incoming::Incoming::new(self)
            }

            /// The address that the listener is bound to.
            ///
            /// # Errors
            /// The operating system's.
            pub fn local_addr(&self) -> std::io::Result<$addr> {
                self.io.get_ref().local_addr()
            }

            /// The pending error of the socket, which this clears.
            ///
            /// # Errors
            /// The operating system's, if asking fails.
            pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
                self.io.get_ref().take_error()
            }
        }

        impl crate::incoming::sealed::Listener for $listener {
            type Stream = $stream;

            fn poll_next(
                &self,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<$stream>> {
                self.poll_accept(context).map_ok(|(stream, _)| stream)
            }
        }

        crate::methods::file_traits!($listener);
    };
}

pub(crate) use listener_methods;
