//! What an operation waits for, and what a source is ready for.

use std::fmt;
use std::ops::{BitAnd, BitOr};

/// The directions that an operation waits for.
///
/// Combine them with `|`; a wait for both ends when either is ready.
///
/// ```
/// use net::Interest;
///
/// let both = Interest::READABLE | Interest::WRITABLE;
/// assert!(both.is_readable() && both.is_writable());
/// assert_eq!(both, Interest::BOTH);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Interest(Ready);

impl Interest {
    /// Reading and accepting, and the end of the incoming direction.
    pub const READABLE: Interest = Interest(Ready::READ_SIDE);
    /// Writing and connecting, and the end of the outgoing direction.
    pub const WRITABLE: Interest = Interest(Ready::WRITE_SIDE);
    /// Either direction.
    pub const BOTH: Interest = Interest(Ready(Ready::READ_SIDE.0 | Ready::WRITE_SIDE.0));

    /// Whether reading is among the directions.
    pub const fn is_readable(self) -> bool {
        self.0.0 & Ready::READABLE.0 != 0
    }

    /// Whether writing is among the directions.
    pub const fn is_writable(self) -> bool {
        self.0.0 & Ready::WRITABLE.0 != 0
    }

    /// Every ready bit that ends a wait for these directions, shutdown aside.
    pub(crate) const fn mask(self) -> Ready {
        self.0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.is_readable(), self.is_writable()) {
            (true, true) => "READABLE | WRITABLE",
            (true, false) => "READABLE",
            (false, _) => "WRITABLE",
        })
    }
}

/// What a source was last reported ready for.
///
/// This is a hint, never a promise: the operation may still fail with
/// [`WouldBlock`](std::io::ErrorKind::WouldBlock), which makes the source wait for the next report.
///
/// An error has one bit per direction, because a direction clears what it has seen and must not
/// take from the other what that one has not seen yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ready(u8);

impl Ready {
    pub(crate) const READABLE: Ready = Ready(1 << 0);
    pub(crate) const READ_CLOSED: Ready = Ready(1 << 1);
    pub(crate) const READ_ERROR: Ready = Ready(1 << 2);
    pub(crate) const WRITABLE: Ready = Ready(1 << 3);
    pub(crate) const WRITE_CLOSED: Ready = Ready(1 << 4);
    pub(crate) const WRITE_ERROR: Ready = Ready(1 << 5);
    pub(crate) const SHUTDOWN: Ready = Ready(1 << 6);

    const READ_SIDE: Ready = Ready(Self::READABLE.0 | Self::READ_CLOSED.0 | Self::READ_ERROR.0);
    const WRITE_SIDE: Ready = Ready(Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::WRITE_ERROR.0);

    /// Whether there is something to read or accept.
    pub const fn is_readable(self) -> bool {
        self.0 & (Self::READABLE.0 | Self::READ_CLOSED.0 | Self::READ_ERROR.0) != 0
    }

    /// Whether there is room to write.
    pub const fn is_writable(self) -> bool {
        self.0 & (Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::WRITE_ERROR.0) != 0
    }

    /// Whether the peer has closed its outgoing direction (EOF after what is buffered).
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED.0 != 0
    }

    /// Whether this side can no longer send.
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED.0 != 0
    }

    /// Whether an error is pending on the source.
    pub const fn is_error(self) -> bool {
        self.0 & (Self::READ_ERROR.0 | Self::WRITE_ERROR.0) != 0
    }

    pub(crate) const fn is_shut_down(self) -> bool {
        self.0 & Self::SHUTDOWN.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u8) -> Ready {
        Ready(bits)
    }

    /// Translates one event of the poller.
    ///
    /// A reset or a refused connection sets all bits, a FIN only the read side, and a pending error
    /// both error bits, so that whoever looks first gets it from its own operation.
    pub(crate) fn of_event(event: &mio::event::Event) -> Ready {
        let mut ready = Ready(0);
        let mut add = |is_set: bool, bits: Ready| {
            if is_set {
                ready = ready | bits;
            }
        };
        add(event.is_readable(), Self::READABLE);
        add(event.is_read_closed(), Self::READ_CLOSED);
        add(event.is_writable(), Self::WRITABLE);
        add(event.is_write_closed(), Self::WRITE_CLOSED);
        add(event.is_error(), Self::READ_ERROR | Self::WRITE_ERROR);
        ready
    }
}

impl BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl BitAnd for Ready {
    type Output = Ready;

    fn bitand(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(Ready, &str); 7] = [
            (Ready::READABLE, "READABLE"),
            (Ready::READ_CLOSED, "READ_CLOSED"),
            (Ready::READ_ERROR, "READ_ERROR"),
            (Ready::WRITABLE, "WRITABLE"),
            (Ready::WRITE_CLOSED, "WRITE_CLOSED"),
            (Ready::WRITE_ERROR, "WRITE_ERROR"),
            (Ready::SHUTDOWN, "SHUTDOWN"),
        ];
        let mut set = f.debug_set();
        for (bit, name) in NAMES {
            if !(*self & bit).is_empty() {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}
