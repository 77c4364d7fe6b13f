//! How a named pipe is opened.

use super::{End, Receiver, Sender, adopt};
use crate::handle::Handle;
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How a named pipe (a FIFO) is opened; opening never waits for the other end.
///
/// ```
/// use net::pipe;
///
/// # let driver = net::Driver::new(net::Hooks::none())?;
/// # driver.block_on(async {
/// # let path = std::env::temp_dir().join(format!("net-doc-{}.fifo", std::process::id()));
/// # let made = std::process::Command::new("mkfifo").arg(&path).status()?;
/// # assert!(made.success());
/// let mut receiver = pipe::OpenOptions::new().open_receiver(&path)?;
/// let mut sender = pipe::OpenOptions::new().open_sender(&path)?;
/// sender.write_all(b"hello").await?;
/// let mut buf = [0; 5];
/// receiver.read_exact(&mut buf).await?;
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    is_read_write: bool,
}

impl OpenOptions {
    /// Opens one end alone.
    pub fn new() -> OpenOptions {
        OpenOptions::default()
    }

    /// Opens both ends with one descriptor, which Linux allows.
    ///
    /// A receiver never reads the end of the stream then, and a sender can be opened before there
    /// is a receiver, and never fails for the lack of one.
    pub fn read_write(&mut self, read_write: bool) -> &mut OpenOptions {
        self.is_read_write = read_write;
        self
    }

    /// Opens the end that reads.
    ///
    /// # Errors
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file is not a named pipe,
    /// [`NotFound`](io::ErrorKind::NotFound), [`PermissionDenied`](io::ErrorKind::PermissionDenied),
    /// and others of the operating system.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn open_receiver<P: AsRef<Path>>(&self, path: P) -> io::Result<Receiver> {
        const WHAT: &str = "pipe::OpenOptions::open_receiver";
        let handle = Handle::current_for(WHAT);
        let file = self.open(path.as_ref(), End::Read)?;
        let io = adopt(file, End::Read, WHAT, &handle)?;
        Ok(Receiver { io })
    }

    /// Opens the end that writes.
    ///
    /// # Errors
    /// `ENXIO` if nobody has opened the pipe for reading, and those of
    /// [`open_receiver`](OpenOptions::open_receiver).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn open_sender<P: AsRef<Path>>(&self, path: P) -> io::Result<Sender> {
        const WHAT: &str = "pipe::OpenOptions::open_sender";
        let handle = Handle::current_for(WHAT);
        let file = self.open(path.as_ref(), End::Write)?;
        let io = adopt(file, End::Write, WHAT, &handle)?;
        Ok(Sender { io })
    }

    fn open(&self, path: &Path, end: End) -> io::Result<File> {
        let nonblocking =
            i32::try_from(OFlags::NONBLOCK.bits()).expect("it is one of the low bits");
        File::options()
            .read(self.is_read_write || matches!(end, End::Read))
            .write(self.is_read_write || matches!(end, End::Write))
            .custom_flags(nonblocking)
            .open(path)
    }
}
