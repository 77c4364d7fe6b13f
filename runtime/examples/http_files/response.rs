//! What is answered.

use std::fmt::Write;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};
use rustix::io::Errno;

use crate::Site;
use crate::listing;
use crate::media_type::media_type;
use crate::range::Part;
use crate::request::{Method, Refusal, Request};
use crate::served::Served;
use crate::status::Status;
use crate::target::Target;

/// An answer, apart from what concerns only the connection.
pub(crate) struct Response {
    pub(crate) status: Status,
    /// Each with its line end.
    headers: String,
    pub(crate) body: Content,
}

pub(crate) enum Content {
    /// Not even an empty one.
    None,
    Text(String),
    /// These bytes of a file.
    File(runtime::fs::File, Range<u64>),
}

impl Content {
    pub(crate) fn length(&self) -> Option<u64> {
        match self {
            Content::None => None,
            Content::Text(text) => Some(text.len() as u64),
            Content::File(_, bytes) => Some(bytes.end - bytes.start),
        }
    }
}

impl Response {
    /// An answer that says in a sentence what is wrong.
    pub(crate) fn problem((status, reason): Refusal) -> Response {
        let text = format!("{status}: {reason}\n");
        let mut response = Response::new(status, Content::Text(text));
        response.header("Content-Type", "text/plain; charset=utf-8");
        if status == Status::MethodNotAllowed {
            response.header("Allow", "GET, HEAD");
        }
        response
    }

    /// What a request deserves, whose framing is known to be right.
    pub(crate) async fn to(site: &Arc<Site>, request: &Request<'_>) -> Response {
        let outcome = match request.method {
            Method::Other => Err((Status::MethodNotAllowed, "files are read with GET and HEAD")),
            Method::Get | Method::Head => find(site, request).await,
        };
        outcome.unwrap_or_else(Response::problem)
    }

    fn new(status: Status, body: Content) -> Response {
        let mut response = Response { status, headers: String::new(), body };
        // Browsers should believe the type, and not look for a better one in what others uploaded.
        response.header("X-Content-Type-Options", "nosniff");
        response
    }

    fn header(&mut self, name: &str, value: impl std::fmt::Display) {
        write!(self.headers, "{name}: {value}\r\n").expect("a string takes everything");
    }

    /// The status line and all headers, up to the empty line.
    pub(crate) fn head(&self, connection: &str) -> Vec<u8> {
        let Response { status, headers, body } = self;
        let date = fmt_http_date(SystemTime::now());
        let mut head = format!("HTTP/1.1 {status}\r\nDate: {date}\r\n{headers}");
        if let Some(length) = body.length() {
            write!(head, "Content-Length: {length}\r\n").expect("a string takes everything");
        }
        write!(head, "Connection: {connection}\r\n\r\n").expect("a string takes everything");
        head.into_bytes()
    }
}

async fn find(site: &Arc<Site>, request: &Request<'_>) -> Result<Response, Refusal> {
    let target = Target::parse(request.target)?;
    let served = Served::open(site, target.path()).await.map_err(refusal)?;
    match (served.metadata.is_file(), served.metadata.is_dir()) {
        (true, _) if target.is_folder => Err((Status::NotFound, "this is no folder")),
        (true, _) => Ok(file_response(request, target.name(), served)),
        (_, true) if target.is_folder => folder_response(site, request, &target, served.file).await,
        (_, true) => {
            // Otherwise the links of its page would lead to its neighbours.
            let text = "this is a folder\n".to_owned();
            let mut response = Response::new(Status::MovedPermanently, Content::Text(text));
            response.header("Content-Type", "text/plain; charset=utf-8");
            response.header("Location", target.as_folder());
            Ok(response)
        }
        _ => Err((Status::Forbidden, "this is no regular file")),
    }
}

/// The index page of a folder, or a list of what is in it.
async fn folder_response(
    site: &Arc<Site>,
    request: &Request<'_>,
    target: &Target,
    folder: File,
) -> Result<Response, Refusal> {
    if let Ok(index) = Served::open(site, target.path_of("index.html")).await {
        if index.metadata.is_file() {
            return Ok(file_response(request, b"index.html", index));
        }
    }
    let title = target.title();
    let listing = runtime::spawn_blocking(move || listing::page(&folder, &title));
    let page = listing.await.unwrap_or_else(|error| Err(error.into()));
    let mut response = Response::new(Status::Ok, Content::Text(page.map_err(refusal)?));
    response.header("Content-Type", "text/html; charset=utf-8");
    response.header("Cache-Control", "no-cache");
    Ok(response)
}

/// What the operating system's refusal is in this protocol.
fn refusal(error: io::Error) -> Refusal {
    match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::XDEV) => {
            (Status::NotFound, "there is no such file")
        }
        Some(Errno::ACCESS | Errno::PERM | Errno::NXIO) => {
            (Status::Forbidden, "this file cannot be read")
        }
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => {
            (Status::Unavailable, "the server is too busy, try again later")
        }
        _ => {
            eprintln!("http_files: {error}");
            (Status::InternalError, "the file could not be opened")
        }
    }
}

/// Everything, a part, or that nothing has changed.
fn file_response(request: &Request<'_>, name: &[u8], served: Served) -> Response {
    let Served { file, metadata } = served;
    let file = runtime::fs::File::from_std(file);
    let (version, length) = (Version::of(&metadata), metadata.len());
    if version.is_known_to(request) {
        let mut response = Response::new(Status::NotModified, Content::None);
        version.describe(&mut response);
        return response;
    }
    let range = request.range.filter(|_| {
        request.method == Method::Get
            && request.if_range.is_none_or(|known| version.is_exactly(known))
    });
    let mut response = match range.map_or(Part::Whole, |range| Part::of(range, length)) {
        Part::Nothing => {
            let mut response =
                Response::problem((Status::RangeNotSatisfiable, "the file ends before"));
            response.header("Content-Range", format_args!("bytes */{length}"));
            return response;
        }
        Part::Whole => Response::new(Status::Ok, Content::File(file, 0..length)),
        Part::Bytes(bytes) => {
            let range = format!("bytes {}-{}/{length}", bytes.start, bytes.end - 1);
            let mut response = Response::new(Status::PartialContent, Content::File(file, bytes));
            response.header("Content-Range", range);
            response
        }
    };
    response.header("Content-Type", media_type(name));
    response.header("Accept-Ranges", "bytes");
    version.describe(&mut response);
    response
}

/// Which state of a file it is that a client has, or gets.
struct Version {
    etag: String,
    /// In whole seconds; `None` for times that HTTP cannot write.
    modified: Option<SystemTime>,
}

impl Version {
    fn of(metadata: &Metadata) -> Version {
        let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
        let age = modified.duration_since(UNIX_EPOCH);
        let nanoseconds = age.as_ref().map_or(0, Duration::as_nanos);
        /// The first second of the year 10000.
        const END: u64 = 253_402_300_800;
        let seconds = age.ok().map(|age| age.as_secs()).filter(|&seconds| seconds < END);
        Version {
            etag: format!("\"{nanoseconds:x}-{:x}\"", metadata.len()),
            modified: seconds.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    fn describe(&self, response: &mut Response) {
        response.header("ETag", &self.etag);
        if let Some(modified) = self.modified {
            response.header("Last-Modified", fmt_http_date(modified));
        }
    }

    /// Whether the client has this version already.
    fn is_known_to(&self, request: &Request<'_>) -> bool {
        if let Some(tags) = request.if_none_match {
            let mut tags = tags.split(',').map(str::trim);
            return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag);
        }
        let known = request.if_modified_since.and_then(|date| parse_http_date(date).ok());
        known.is_some_and(|known| self.modified.is_some_and(|modified| modified <= known))
    }

    /// Whether a part of what the client has would fit to a part of this version.
    fn is_exactly(&self, known: &str) -> bool {
        known == self.etag
            || self.modified.is_some_and(|time| parse_http_date(known).is_ok_and(|it| it == time))
    }
}
