//! What a client asks for: the request line and the headers.

use httparse::{EMPTY_HEADER, Error, Header, Status as Parsed};

use crate::status::Status;

/// More headers than any browser sends.
const MAX_HEADERS: usize = 64;

/// The head of a request, as far as this server cares.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// As it was sent, without a scheme and a host.
    pub(crate) target: &'a str,
    /// Whether the connection stays open afterwards, if nothing goes wrong.
    pub(crate) keep_alive: bool,
    /// Whether it is HTTP/1.0, where keeping alive must be said.
    pub(crate) is_http_1_0: bool,
    /// Whether the client waits for permission before it sends the body.
    pub(crate) expects_continue: bool,
    pub(crate) body: Body,
    pub(crate) range: Option<&'a str>,
    pub(crate) if_range: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
    pub(crate) if_modified_since: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Head,
    Other,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes, mostly none.
    Bytes(u64),
    /// Chunks, whose end only their parser would find.
    Chunked,
}

/// Why a request is refused, with a sentence for whoever reads the answer.
pub(crate) type Refusal = (Status, &'static str);

/// Finds a head at the beginning of `bytes`; `None`: more must come. With it comes its length.
///
/// # Errors
/// With what to answer. Where the next request would begin is unknown then.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Request<'_>, usize)>, Refusal> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let length = match head.parse(bytes) {
        Ok(Parsed::Complete(length)) => length,
        Ok(Parsed::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => {
            return Err((Status::HeadTooLarge, "there are more than 64 headers"));
        }
        Err(Error::Version) => {
            return Err((Status::VersionNotSupported, "this server speaks HTTP/1.1 and HTTP/1.0"));
        }
        Err(_) => return Err((Status::BadRequest, "this is no HTTP request")),
    };
    let is_http_1_0 = head.version == Some(0);
    let mut request = Request {
        method: match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => Method::Other,
        },
        target: origin_form(head.path.unwrap_or_default()),
        keep_alive: !is_http_1_0,
        is_http_1_0,
        expects_continue: false,
        body: Body::Bytes(0),
        range: None,
        if_range: None,
        if_none_match: None,
        if_modified_since: None,
    };
    request.read_headers(head.headers)?;
    Ok(Some((request, length)))
}

/// Headers that tell where a request ends, whose it is, and what follows it. One that we do not understand
/// and somebody in between does, or the other way round, would make two requests of one.
const SAYS_WHERE_IT_ENDS: [&str; 5] =
    ["connection", "content-length", "expect", "host", "transfer-encoding"];

impl<'a> Request<'a> {
    fn read_headers(&mut self, headers: &[Header<'a>]) -> Result<(), Refusal> {
        let (mut hosts, mut length) = (0, None);
        for header in headers {
            let name = header.name.to_ascii_lowercase();
            let Ok(value) = std::str::from_utf8(header.value) else {
                if SAYS_WHERE_IT_ENDS.contains(&&*name) {
                    return Err((Status::BadRequest, "a header of the connection is no text"));
                }
                continue;
            };
            let value = value.trim_matches([' ', '\t']);
            // Of the conditions the first counts, should a client send two.
            let keep_first = |slot: &mut Option<&'a str>| _ = slot.get_or_insert(value);
            match &*name {
                "host" => hosts += 1,
                "connection" => self.read_connection(value),
                "content-length" => length = Some(content_length(value, length)?),
                "transfer-encoding" => self.body = Body::Chunked,
                "expect" if value.eq_ignore_ascii_case("100-continue") => {
                    self.expects_continue = true;
                }
                "expect" => return Err((Status::ExpectationFailed, "only 100-continue is known")),
                "range" => keep_first(&mut self.range),
                "if-range" => keep_first(&mut self.if_range),
                "if-none-match" => keep_first(&mut self.if_none_match),
                "if-modified-since" => keep_first(&mut self.if_modified_since),
                _ => {}
            }
        }
        if hosts > 1 || hosts == 0 && !self.is_http_1_0 {
            return Err((Status::BadRequest, "a request names one host"));
        }
        match (self.body, length) {
            // Whoever is between the client and us may believe the other one of the two, and take
            // the body for a request of somebody else.
            (Body::Chunked, Some(_)) => {
                Err((Status::BadRequest, "a body has a length or an encoding, not both"))
            }
            (Body::Bytes(_), Some(length)) => {
                self.body = Body::Bytes(length);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    fn read_connection(&mut self, value: &str) {
        for option in value.split(',').map(str::trim) {
            if option.eq_ignore_ascii_case("close") {
                self.keep_alive = false;
                return;
            }
            self.keep_alive |= option.eq_ignore_ascii_case("keep-alive");
        }
    }
}

fn content_length(value: &str, earlier: Option<u64>) -> Result<u64, Refusal> {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let length = if is_number { value.parse().ok() } else { None };
    match (length, earlier) {
        (Some(length), None) => Ok(length),
        (Some(length), Some(earlier)) if length == earlier => Ok(length),
        _ => Err((Status::BadRequest, "the content length is not one number")),
    }
}

/// Clients of proxies send whole addresses; RFC 9112 wants every server to understand them.
fn origin_form(target: &str) -> &str {
    let scheme = target.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let Some(scheme) = scheme else { return target };
    let rest = &target[scheme.len()..];
    rest.find('/').map_or("/", |path| &rest[path..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

    fn refused(head: &str) -> Option<Status> {
        parse(head.as_bytes()).err().map(|(status, _)| status)
    }

    #[test]
    fn a_head_is_found_at_the_start_and_what_follows_is_left() {
        let bytes = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b";
        for end in 0..28 {
            assert!(parse(&bytes[..end]).expect("nothing is wrong so far").is_none(), "{end}");
        }
        let (request, length) = parse(bytes).expect("it is right").expect("it is whole");
        assert_eq!((request.target, request.method, length), ("/a", Method::Get, 28));
        assert!(request.keep_alive && request.body == Body::Bytes(0));
    }

    #[test]
    fn a_connection_is_kept_as_its_version_and_its_header_say() {
        let cases = [
            ("HTTP/1.1", "", true),
            ("HTTP/1.1", "Connection: close\r\n", false),
            ("HTTP/1.1", "Connection: Upgrade, CLOSE\r\n", false),
            ("HTTP/1.0", "", false),
            ("HTTP/1.0", "connection: Keep-Alive\r\n", true),
        ];
        for (version, header, expected) in cases {
            let head = format!("GET / {version}\r\nHost: x\r\n{header}\r\n");
            let (request, _) = parse(head.as_bytes()).expect("it is right").expect("it is whole");
            assert_eq!(request.keep_alive, expected, "{version} {header}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let head = |headers: &str| format!("GET / HTTP/1.1\r\n{headers}\r\n");
        for headers in [
            "",
            "Host: a\r\nHost: b\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "Host: a\r\nContent-Length: +1\r\n",
            "Host: a\r\nContent-Length: 1, 1\r\n",
            "Host: a\r\nContent-Length: 99999999999999999999\r\n",
            "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Host : a\r\n",
            "Host: a\r\nno colon\r\n",
        ] {
            assert_eq!(refused(&head(headers)), Some(Status::BadRequest), "{headers}");
        }
        for name in SAYS_WHERE_IT_ENDS {
            let host = if name == "host" { "" } else { "Host: a\r\n" };
            let mut bytes = format!("GET / HTTP/1.1\r\n{host}{name}: 1").into_bytes();
            bytes.extend(b"\xff\r\n\r\n");
            let error = parse(&bytes).err().map(|(status, _)| status);
            assert_eq!(error, Some(Status::BadRequest), "{name}");
        }
        // What the standard takes for space, and HTTP does not.
        let wide = head("Host: a\r\nContent-Length: 5\u{a0}\r\n");
        assert_eq!(refused(&wide), Some(Status::BadRequest));
        parse(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n").expect("it is of no concern");
        assert_eq!(refused("GET / HTTP/2.0\r\n"), Some(Status::VersionNotSupported));
        assert_eq!(refused("\x16\x03\x01"), Some(Status::BadRequest));
    }

    #[test]
    fn a_whole_address_is_cut_to_its_path() {
        for (target, expected) in [
            ("/a", "/a"),
            ("http://x/a?b", "/a?b"),
            ("HTTP://x", "/"),
            ("*", "*"),
            ("http:/", "http:/"),
        ] {
            assert_eq!(origin_form(target), expected);
        }
    }

    /// Bytes that often are nearly a request, or two.
    fn nearly_a_request() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..],
            b"HEAD /a HTTP/1.0\r\n",
            b"PUT http://x/a HTTP/1.1\n",
            b"Host: x\r\n",
            b"Host: x\r\n",
            b"Content-Length: 3\r\n",
            b"Content-Length: -1\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"Range: bytes=0-1\r\n",
            b"Connection: close, Keep-Alive\r\n",
            b"If-Range: \xff\r\n",
            b"\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b":",
            b"\0",
            b"x",
        ]);
        let whole = prop::collection::vec(pieces, 0..8).prop_map(|pieces| {
            [&[&b"GET / HTTP/1.1\r\nHost: x\r\n"[..]], pieces.as_slice()].concat().concat()
        });
        prop_oneof![4 => whole, 1 => prop::collection::vec(any::<u8>(), 0..64)]
    }

    proptest! {
        // What once failed is tried first; its seed stands in a file beside this one.
        #![proptest_config(ProptestConfig {
            cases: 1000,
            failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_head_has_the_same_end_however_it_arrives(
            bytes in nearly_a_request(),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = parse(&bytes);
            let part = &bytes[..cut.index(bytes.len() + 1)];
            match (parse(part), &whole) {
                (Ok(None), _) => {}
                (Ok(Some((request, length))), Ok(Some((same, end)))) => {
                    prop_assert!(length <= part.len());
                    prop_assert_eq!(length, *end);
                    prop_assert_eq!(format!("{request:?}"), format!("{same:?}"));
                }
                // What is refused early is refused whole, or lacks the bytes that would say why not.
                (Err((status, _)), Err((same, _))) => prop_assert_eq!(status, *same),
                (part, whole) => prop_assert!(false, "{:?}, but whole {:?}", part, whole),
            }
        }
    }
}
