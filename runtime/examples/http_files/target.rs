//! Which file a request means: the path in its first line.

use crate::request::Refusal;
use crate::status::Status;

/// Where below the root a target points.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The names of the folders and of the file, decoded: each fit to be a file's name, and none
    /// leads upwards.
    names: Vec<Vec<u8>>,
    /// Whether it ends with a slash, as a folder's does.
    pub(crate) is_folder: bool,
}

impl Target {
    /// Decodes a target; what follows a `?` has no meaning here.
    ///
    /// # Errors
    /// With what to answer.
    pub(crate) fn parse(target: &str) -> Result<Target, Refusal> {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        let Some(path) = path.strip_prefix('/') else {
            return Err((Status::BadRequest, "a path begins with a slash"));
        };
        let mut names = Vec::new();
        // First apart, then decoded: an encoded slash is no separator.
        for part in path.split('/') {
            let name = decode(part).ok_or((Status::BadRequest, "a `%` needs two hex digits"))?;
            match &*name {
                b"" | b"." => {}
                b".." => return Err((Status::BadRequest, "a path must not lead upwards")),
                _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => {
                    return Err((Status::NotFound, "no file has such a name"));
                }
                _ if name[0] == b'.' && name != b".well-known" => {
                    return Err((Status::NotFound, "there is no such file"));
                }
                _ => names.push(name),
            }
        }
        let last = path.rsplit('/').next().unwrap_or_default();
        Ok(Target { names, is_folder: matches!(last, "" | "." | "%2e" | "%2E") })
    }

    /// The path on the disk, relative to the root; the root itself is `.`.
    pub(crate) fn path(&self) -> Vec<u8> {
        if self.names.is_empty() { b".".to_vec() } else { self.names.join(&b'/') }
    }

    /// The path of a file in the folder that this is.
    pub(crate) fn path_of(&self, name: &str) -> Vec<u8> {
        [&self.path(), name.as_bytes()].join(&b'/')
    }

    /// The name of the file, which tells its type.
    pub(crate) fn name(&self) -> &[u8] {
        self.names.last().map_or(b"", Vec::as_slice)
    }

    /// The same as a folder, encoded. Begins with a single slash, since two would name a host.
    pub(crate) fn as_folder(&self) -> String {
        let names = self.names.iter().map(|name| encode(name) + "/");
        names.fold("/".to_owned(), |path, name| path + &name)
    }

    /// As a person would write it.
    pub(crate) fn title(&self) -> String {
        let names = self.names.iter().map(|name| String::from_utf8_lossy(name) + "/");
        names.fold("/".to_owned(), |path, name| path + &name)
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).expect("two hex digits are one byte")
            }
            byte => byte,
        });
    }
    Some(decoded)
}

/// Everything but what is certain to have no meaning anywhere, quotes and line ends included.
pub(crate) fn encode(name: &[u8]) -> String {
    let mut encoded = String::with_capacity(name.len());
    for &byte in name {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;
    use std::path::{Component, Path};

    fn path(target: &str) -> Result<String, Status> {
        let path = Target::parse(target).map_err(|(status, _)| status)?.path();
        Ok(String::from_utf8(path).expect("these are text"))
    }

    #[test]
    fn a_target_is_decoded_to_a_path_below_the_root() {
        for (target, expected) in [
            ("/", "."),
            ("//", "."),
            ("/.", "."),
            ("/a", "a"),
            ("/a//b/./c", "a/b/c"),
            ("/a%20b%C3%A9", "a bé"),
            ("/a%2Eb", "a.b"),
            ("/a?../b", "a"),
            ("/a%3fb", "a?b"),
            ("/%2561", "%61"),
            ("/.well-known/x", ".well-known/x"),
            ("/...", ""),
        ] {
            let expected =
                if expected.is_empty() { Err(Status::NotFound) } else { Ok(expected.into()) };
            assert_eq!(path(target), expected, "{target}");
        }
    }

    #[test]
    fn nothing_leads_upwards() {
        for target in [
            "/..",
            "/../etc/passwd",
            "/a/..",
            "/%2e%2e/x",
            "/%2E./x",
            "/.%2e",
            "/a/%2e%2e/%2e%2e/x",
        ] {
            assert_eq!(path(target), Err(Status::BadRequest), "{target}");
        }
        for target in ["/..%2fx", "/a%2f..%2f..", "/a%00b", "/.git/config", "/%2egit"] {
            assert_eq!(path(target), Err(Status::NotFound), "{target}");
        }
        for target in ["", "a", "*", "/%", "/%1", "/%g1", "/%+1"] {
            assert_eq!(path(target), Err(Status::BadRequest), "{target}");
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        let every: Vec<u8> = (0..=255).collect();
        let encoded = encode(&every);
        assert!(encoded.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>&/".contains(&byte)));
        assert_eq!(decode(&encoded), Some(every));
    }

    #[test]
    fn a_folder_begins_with_one_slash() {
        let target = Target::parse("//example.com/a b").expect("it is right");
        assert_eq!(target.as_folder(), "/example.com/a%20b/");
    }

    /// Targets made of what has led upwards elsewhere.
    fn nasty() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "/",
            "/",
            "/",
            "..",
            ".",
            "%2e",
            "%2E",
            "%2f",
            "%5c",
            "\\",
            "%00",
            "%",
            "%25",
            "%c0%ae",
            "a",
            ".git",
            ".well-known",
            "?",
            "#",
            "//x",
            "\u{e9}",
        ]);
        let concat = |pieces: Vec<&str>| format!("/{}", pieces.concat());
        prop_oneof![prop::collection::vec(pieces, 0..12).prop_map(concat), any::<String>()]
    }

    proptest! {
        // What once failed is tried first; its seed stands in a file beside this one.
        #![proptest_config(ProptestConfig {
            cases: 2000,
            failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            ..ProptestConfig::default()
        })]

        #[test]
        fn whatever_is_accepted_stays_below_the_root(target in nasty()) {
            use std::os::unix::ffi::OsStrExt;

            let Ok(parsed) = Target::parse(&target) else { return Ok(()) };
            let path = parsed.path();
            if path != b"." {
                let path = Path::new(std::ffi::OsStr::from_bytes(&path));
                prop_assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
                prop_assert_eq!(path.components().count(), parsed.names.len());
            }
            prop_assert!(!path.contains(&0));
            let folder = parsed.as_folder();
            prop_assert!(folder.starts_with('/') && !folder.starts_with("//"), "{}", folder);
            let again = Target::parse(&folder);
            prop_assert_eq!(again.map(|again| again.path()), Ok(path));
        }
    }
}
