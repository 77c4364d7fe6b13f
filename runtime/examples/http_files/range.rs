//! Parts of a file.

use std::ops::Range;

/// What a `Range` header means for a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it: there is no such header, or one that must be ignored.
    Whole,
    /// These bytes, at least one.
    Bytes(Range<u64>),
    /// None: all that was asked for lies behind the end.
    Nothing,
}

impl Part {
    /// As RFC 9110, section 14, has it. What it calls invalid is ignored, and so are several ranges
    /// at once, which a server need not support.
    pub(crate) fn of(header: &str, length: u64) -> Part {
        let Some((unit, spec)) = header.split_once('=') else { return Part::Whole };
        let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Part::Whole;
        }
        let bytes = match (number(first), number(last)) {
            (Number::Absent, Number::Of(suffix)) => length.saturating_sub(suffix)..length,
            (Number::Of(first), Number::Absent) => first..length,
            (Number::Of(first), Number::Of(last)) if first <= last => {
                first..length.min(last.saturating_add(1))
            }
            _ => return Part::Whole,
        };
        if bytes.is_empty() { Part::Nothing } else { Part::Bytes(bytes) }
    }
}

enum Number {
    Absent,
    Of(u64),
    Invalid,
}

/// A number too large for us is behind the end of every file.
fn number(digits: &str) -> Number {
    match digits {
        "" => Number::Absent,
        _ if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Number::Of(digits.parse().unwrap_or(u64::MAX))
        }
        _ => Number::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_what_the_standard_says() {
        let cases = [
            ("bytes=0-0", Part::Bytes(0..1)),
            ("bytes=0-99", Part::Bytes(0..10)),
            ("bytes=9-", Part::Bytes(9..10)),
            ("Bytes = 2-3", Part::Bytes(2..4)),
            ("bytes=-3", Part::Bytes(7..10)),
            ("bytes=-99", Part::Bytes(0..10)),
            ("bytes=3-18446744073709551615", Part::Bytes(3..10)),
            ("bytes=3-99999999999999999999999", Part::Bytes(3..10)),
            ("bytes=10-", Part::Nothing),
            ("bytes=99999999999999999999999-", Part::Nothing),
            ("bytes=-0", Part::Nothing),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes", Part::Whole),
            ("lines=1-2", Part::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(Part::of(header, 10), expected, "{header}");
        }
        assert_eq!(Part::of("bytes=0-", 0), Part::Nothing);
        assert_eq!(Part::of("bytes=-5", 0), Part::Nothing);
    }
}
