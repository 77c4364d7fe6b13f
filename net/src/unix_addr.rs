//! Addresses of Unix sockets.

use socket2::SockAddr;
use std::error::Error;
use std::ffi::OsStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;
use std::path::Path;

/// The most bytes that a path may have; the system's array holds one more, for the NUL.
const MOST: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The address that a path names; on Linux, one that begins with a NUL byte is an abstract name.
///
/// # Errors
/// `InvalidInput`, saying which path, and why it cannot be one.
pub(crate) fn unix_addr(path: &Path) -> io::Result<SocketAddr> {
    let bytes = path.as_os_str().as_bytes();
    let refused = |why: &str| {
        let message = format!("{path:?} cannot be the address of a Unix socket: {why}");
        Err(io::Error::new(ErrorKind::InvalidInput, message))
    };
    // Both kinds have room for as many: a path for the NUL at its end, a name for that in front.
    let length = bytes.strip_prefix(b"\0").unwrap_or(bytes).len();
    if length > MOST {
        return refused(&format!(
            "it has {length} bytes, and {MOST} are the most that this system allows"
        ));
    }
    match bytes.split_first() {
        None => refused("it is empty"),
        Some((0, name)) => abstract_addr(name).or_else(|error| refused(&error.to_string())),
        Some(_) if bytes.contains(&0) => refused("it has a NUL byte inside"),
        Some(_) => SocketAddr::from_pathname(path),
    }
}

/// Adds to an error which address was tried: the system says only what is wrong with it.
pub(crate) fn naming<T>(
    addr: &SocketAddr,
    tried: &'static str,
    result: io::Result<T>,
) -> io::Result<T> {
    result.map_err(|error| {
        let kind = error.kind();
        io::Error::new(kind, Refused { tried, addr: addr.clone(), error })
    })
}

/// An address of which the operating system would not have what was tried.
#[derive(Debug)]
struct Refused {
    tried: &'static str,
    addr: SocketAddr,
    error: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} ", self.tried)?;
        match (self.addr.as_pathname(), abstract_name(&self.addr)) {
            (Some(path), _) => write!(f, "{path:?}")?,
            (None, Some(name)) => write!(f, "the abstract name \"{}\"", name.escape_ascii())?,
            (None, None) => f.write_str("an unnamed address")?,
        }
        write!(f, ": {}", self.error)
    }
}

impl Error for Refused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// The address as the system calls take it.
pub(crate) fn to_system(addr: &SocketAddr) -> io::Result<SockAddr> {
    if let Some(path) = addr.as_pathname() {
        return SockAddr::unix(path);
    }
    match abstract_name(addr) {
        Some(name) => {
            let bytes = [b"\0", name].concat();
            SockAddr::unix(OsStr::from_bytes(&bytes))
        }
        None => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "an unnamed Unix socket has no address to connect to",
        )),
    }
}

#[cfg(target_os = "linux")]
fn abstract_addr(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(target_os = "android")]
fn abstract_addr(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::android::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_addr(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(ErrorKind::Unsupported, "abstract names exist on Linux only"))
}

#[cfg(target_os = "linux")]
fn abstract_name(addr: &SocketAddr) -> Option<&[u8]> {
    use std::os::linux::net::SocketAddrExt;
    addr.as_abstract_name()
}

#[cfg(target_os = "android")]
fn abstract_name(addr: &SocketAddr) -> Option<&[u8]> {
    use std::os::android::net::SocketAddrExt;
    addr.as_abstract_name()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn abstract_name(_: &SocketAddr) -> Option<&[u8]> {
    None
}

#[cfg(all(test, not(windlass_loom)))]
mod tests {
    use super::*;

    fn refusal(path: &[u8]) -> String {
        let error = unix_addr(Path::new(OsStr::from_bytes(path))).expect_err("it is no address");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        error.to_string()
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_with_the_reason() {
        assert!(refusal(b"").contains("empty"));
        assert!(refusal(b"/tmp/a\0b").contains("NUL"));
        let long = vec![b'x'; MOST + 1];
        let message = refusal(&long);
        assert!(message.contains(&format!("{} bytes", MOST + 1)), "{message}");
        assert!(message.contains(&format!("{MOST} are the most")), "{message}");
    }

    #[test]
    fn the_longest_path_keeps_its_last_byte() {
        let path = "p".repeat(MOST);
        let addr = unix_addr(Path::new(&path)).expect("it fits");
        assert_eq!(addr.as_pathname(), Some(Path::new(&path)));
        let system = to_system(&addr).expect("it is named");
        assert_eq!(system.as_pathname(), Some(Path::new(&path)));
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn abstract_names_go_through_both_forms_byte_by_byte() {
        let longest = [b"\0", &[b'n'; MOST][..]].concat();
        let names: [&[u8]; 4] = [b"\0name", b"\0\0with\0NULs\0", b"\0x", &longest];
        for name in names {
            let addr = unix_addr(Path::new(OsStr::from_bytes(name))).expect("it is a name");
            assert_eq!(abstract_name(&addr), Some(&name[1..]));
            let system = to_system(&addr).expect("it is named");
            assert_eq!(system.as_abstract_namespace(), Some(&name[1..]));
        }
        assert!(refusal(&[b"\0", &[b'n'; MOST + 1][..]].concat()).contains("108 bytes"));
    }
}
