//! Reading and writing streams of bytes.

/// Methods that read; the type has `fn io(&self) -> &Registered<impl ByteSource>`.
macro_rules! read_methods {
    () => {
        /// Reads some bytes and returns how many; 0 is the end of the stream, or an empty buffer.
        ///
        /// **Cancel safety**: safe, nothing is lost.
        ///
        /// # Errors
        /// The operating system's, such as [`ConnectionReset`](std::io::ErrorKind::ConnectionReset).
        pub fn read(&mut self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<usize>> {
            self.io().read(buf)
        }

        /// Fills the buffer.
        ///
        /// **Cancel safety**: none, the bytes read so far are lost.
        ///
        /// # Errors
        /// [`UnexpectedEof`](std::io::ErrorKind::UnexpectedEof) if the stream ends before, with the
        /// number of bytes read in the message, and those of [`read`](Self::read).
        pub fn read_exact(&mut self, buf: &mut [u8]) -> impl Future<Output = std::io::Result<()>> {
            self.io().read_exact(buf)
        }

        /// Reads into several buffers, in order, and returns the number of bytes.
        ///
        /// **Cancel safety**: safe, nothing is lost.
        ///
        /// # Errors
        /// As [`read`](Self::read).
        pub fn read_vectored(
            &mut self,
            bufs: &mut [std::io::IoSliceMut<'_>],
        ) -> impl Future<Output = std::io::Result<usize>> {
            self.io().read_vectored(bufs)
        }

        /// Reads what is there, without waiting.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if nothing is, and those of
        /// [`read`](Self::read).
        pub fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.io().try_read(buf)
        }

        /// Reads what is there into several buffers, without waiting.
        ///
        /// # Errors
        /// As [`try_read`](Self::try_read).
        pub fn try_read_vectored(
            &self,
            bufs: &mut [std::io::IoSliceMut<'_>],
        ) -> std::io::Result<usize> {
            self.io().try_read_vectored(bufs)
        }
    };
}

/// Methods that write; the type has `fn io(&self) -> &Registered<impl ByteSource>`.
macro_rules! write_methods {
    () => {
        /// Writes some of the bytes and returns how many.
        ///
        /// **Cancel safety**: safe, nothing has been written unless the future is done.
        ///
        /// # Errors
        /// [`BrokenPipe`](std::io::ErrorKind::BrokenPipe) or
        /// [`ConnectionReset`](std::io::ErrorKind::ConnectionReset) if nobody reads any more, and
        /// others of the operating system.
        pub fn write(&mut self, buf: &[u8]) -> impl Future<Output = std::io::Result<usize>> {
            self.io().write(buf)
        }

        /// Writes all of the bytes.
        ///
        /// **Cancel safety**: none, some of the bytes may have been written.
        ///
        /// # Errors
        /// [`WriteZero`](std::io::ErrorKind::WriteZero) if no more are taken, and those of
        /// [`write`](Self::write).
        pub fn write_all(&mut self, buf: &[u8]) -> impl Future<Output = std::io::Result<()>> {
            self.io().write_all(buf)
        }

        /// Writes from several buffers, in order, and returns the number of bytes.
        ///
        /// **Cancel safety**: safe, nothing has been written unless the future is done.
        ///
        /// # Errors
        /// As [`write`](Self::write).
        pub fn write_vectored(
            &mut self,
            bufs: &[std::io::IoSlice<'_>],
        ) -> impl Future<Output = std::io::Result<usize>> {
            self.io().write_vectored(bufs)
        }

        /// Does nothing: what has been written is with the operating system already.
        ///
        /// # Errors
        /// None.
        pub async fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }

        /// Writes what there is room for, without waiting.
        ///
        /// # Errors
        /// [`WouldBlock`](std::io::ErrorKind::WouldBlock) if there is none, and those of
        /// [`write`](Self::write).
        pub fn try_write(&self, buf: &[u8]) -> std::io::Result<usize> {
            self.io().try_write(buf)
        }

        /// Writes what there is room for from several buffers, without waiting.
        ///
        /// # Errors
        /// As [`try_write`](Self::try_write).
        pub fn try_write_vectored(&self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
            self.io().try_write_vectored(bufs)
        }
    };
}

/// `AsyncRead` for a type that has `io()`.
macro_rules! byte_reader {
    ($(#[$doc:meta])* [$($generics:tt)*] $type:ty) => {
        $(#[$doc])*
        impl<$($generics)*> futures_util::io::AsyncRead for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buf: &mut [u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io().poll_read(context, buf)
            }

            fn poll_read_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io().poll_read_vectored(context, bufs)
            }
        }
    };
}

/// `AsyncWrite` for a type that has `io()`, and `end()` for its outgoing direction.
macro_rules! byte_writer {
    ($(#[$doc:meta])* [$($generics:tt)*] $type:ty, $close:literal) => {
        $(#[$doc])*
        impl<$($generics)*> futures_util::io::AsyncWrite for $type {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buf: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io().poll_write(context, buf)
            }

            fn poll_write_vectored(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::task::Poll<std::io::Result<usize>> {
                self.io().poll_write_vectored(context, bufs)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(Ok(()))
            }

            #[doc = $close]
            fn poll_close(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::task::Poll::Ready(self.end())
            }
        }
    };
}

pub(crate) use {byte_reader, byte_writer, read_methods, write_methods};
