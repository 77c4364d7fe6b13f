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
    use proptest::prelude::*;
    use proptest::test_runner::FileFailurePersistence;

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

    proptest! {
        // What once failed is tried first; its seed stands in a file beside this one.
        #![proptest_config(ProptestConfig {
            cases: 1000,
            failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            ..ProptestConfig::default()
        })]

        #[test]
        fn a_range_selects_the_bytes_that_a_count_selects(
            first in prop::option::of(0..24_u64),
            last in prop::option::of(prop_oneof![0..24_u64, Just(u64::MAX)]),
            length in 0..20_u64,
        ) {
            let text = |number: Option<u64>| number.map_or(String::new(), |it| it.to_string());
            let header = format!("bytes={}-{}", text(first), text(last));
            let is_meant = |byte: &u64| match (first, last) {
                (Some(first), last) => *byte >= first && last.is_none_or(|last| *byte <= last),
                (None, Some(suffix)) => length - byte <= suffix,
                (None, None) => false,
            };
            let meant: Vec<u64> = (0..length).filter(is_meant).collect();
            match Part::of(&header, length) {
                Part::Whole => prop_assert!(
                    first.is_none() && last.is_none()
                        || first.zip(last).is_some_and(|(first, last)| first > last)
                ),
                Part::Nothing => prop_assert_eq!(meant, []),
                Part::Bytes(bytes) => prop_assert_eq!(meant, bytes.collect::<Vec<_>>()),
            }
        }

        #[test]
        fn no_text_is_a_range_outside_of_the_file(
            header in "bytes=[0-9]{0,3}-[0-9]{0,20}|(bytes|items)? ?=? ?[-+0-9a, ]{0,24}|\\PC*",
            length in prop_oneof![0..300_u64, any::<u64>()],
        ) {
            if let Part::Bytes(bytes) = Part::of(&header, length) {
                prop_assert!(bytes.start < bytes.end && bytes.end <= length);
            }
        }
    }
}
