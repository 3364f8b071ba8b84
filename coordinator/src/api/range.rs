//! Which part of a file a `Range` header asks for. Pure.

#![deny(clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

use std::ops::Range;

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole file: nothing else was asked for, or in a form that may be passed over.
    All,
    /// These bytes; never none.
    Part(Range<u64>),
    /// Nothing: the file has no such bytes.
    Nothing,
}

/// Reads a `Range` header for a file of `size` bytes. Several ranges at once, other units and what makes no sense are
/// passed over, as HTTP allows: the whole file is then the answer.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let spec = header.and_then(|text| text.trim().strip_prefix("bytes="));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else {
        return Wanted::All;
    };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
        _ => return Wanted::All,
    };
    match part.is_empty() {
        true => Wanted::Nothing,
        false => Wanted::Part(part),
    }
}

/// A run of digits; one that is too long for any file counts as the largest number.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_range_is_cut_to_the_file() {
        for (header, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("bytes=10-19", 10..20),
            ("bytes=10-1000", 10..100),
            ("bytes=99-", 99..100),
            ("bytes=0-", 0..100),
            ("bytes=-1", 99..100),
            ("bytes=-1000", 0..100),
            ("bytes=5-18446744073709551615", 5..100),
            ("bytes=5-99999999999999999999999", 5..100),
        ] {
            assert_eq!(wanted(Some(header), 100), Wanted::Part(part), "{header}");
        }
    }

    #[test]
    fn bytes_that_are_not_there_cannot_be_had() {
        for header in [
            "bytes=100-",
            "bytes=100-200",
            "bytes=-0",
            "bytes=99999999999999999999999-",
        ] {
            assert_eq!(wanted(Some(header), 100), Wanted::Nothing, "{header}");
        }
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
        assert_eq!(wanted(Some("bytes=-5"), 0), Wanted::Nothing);
    }

    #[test]
    fn what_makes_no_sense_is_passed_over() {
        assert_eq!(wanted(None, 100), Wanted::All);
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=9-3",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=0-1,5-6",
            "bytes=1-2-3",
            "bytes=- 5",
            "lines=0-1",
        ] {
            assert_eq!(wanted(Some(header), 100), Wanted::All, "{header}");
        }
    }
}
