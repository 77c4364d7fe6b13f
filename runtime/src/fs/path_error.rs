//! What was tried on which path when the operating system refused.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was tried, on which path, and the operating system's answer.
///
/// It is inside the [`io::Error`]s of the functions that take a path, whose
/// [kind](io::Error::kind) is that of the answer, so `match error.kind()` works as ever. What gets
/// lost on the way is [`io::Error::raw_os_error`], which is `None` for an error that says more than
/// a number; the number is [here](PathError::raw_os_error). Errors of an open
/// [`File`](crate::fs::File) are the operating system's, unchanged.
///
/// # Examples
/// ```
/// use runtime::fs::{self, PathError};
/// use std::io::ErrorKind;
///
/// # runtime::Builder::new().build().unwrap().block_on(async {
/// let error = fs::read("/no/such/file").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(
///     error.to_string(),
///     "cannot read \"/no/such/file\": No such file or directory (os error 2)"
/// );
/// let inside = error.get_ref().and_then(|inside| inside.downcast_ref::<PathError>());
/// assert_eq!(inside.and_then(PathError::raw_os_error), Some(2));
/// # });
/// ```
#[derive(Debug)]
pub struct PathError {
    tried: &'static str,
    path: PathBuf,
    to: Option<PathBuf>,
    source: io::Error,
}

impl PathError {
    /// Adds to `source` what was tried; `to` is the second path of a call that has two.
    pub(crate) fn wrap(
        source: io::Error,
        tried: &'static str,
        path: &Path,
        to: Option<&Path>,
    ) -> io::Error {
        let kind = source.kind();
        let to = to.map(Path::to_owned);
        io::Error::new(kind, PathError { tried, path: path.to_owned(), to, source })
    }

    /// The path that the call was about; the first where there are two.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error number of the operating system, if the error came from there.
    #[must_use]
    pub fn raw_os_error(&self) -> Option<i32> {
        self.source.raw_os_error()
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {:?}", self.tried, self.path)?;
        if let Some(to) = &self.to {
            write!(f, " to {to:?}")?;
        }
        write!(f, ": {}", self.source)
    }
}

impl Error for PathError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}
