//! One range of bytes (RFC 9110 §14). Several ranges in one request are answered with the whole, which is allowed.

use std::ops::Range;

/// What a `Range` header comes to for a representation of a known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: no range, one in another unit, or one that cannot be read.
    Whole,
    /// These bytes; not empty, within the representation.
    Part(Range<u64>),
    /// A range that lies outside.
    Outside,
}

/// Reads the value of a `Range` header.
pub(super) fn wanted(header: Option<&str>, length: u64) -> Wanted {
    let Some(spec) = header.and_then(|value| value.trim().strip_prefix("bytes=")) else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    match (number(first), number(last)) {
        (Some(Bound::Open), Some(Bound::At(suffix))) => within(length.saturating_sub(suffix), length, length),
        (Some(Bound::At(first)), Some(Bound::Open)) => within(first, length, length),
        (Some(Bound::At(first)), Some(Bound::At(last))) if first <= last => {
            within(first, last.saturating_add(1).min(length), length)
        }
        _ => Wanted::Whole,
    }
}

enum Bound {
    Open,
    At(u64),
}

fn number(digits: &str) -> Option<Bound> {
    if digits.is_empty() {
        return Some(Bound::Open);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than fit mean a place far behind the end.
    Some(Bound::At(digits.parse().unwrap_or(u64::MAX)))
}

fn within(start: u64, end: u64, length: u64) -> Wanted {
    if start >= length {
        return Wanted::Outside;
    }
    Wanted::Part(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let table = [
            ("bytes=0-9", Wanted::Part(0..10)),
            ("bytes=0-0", Wanted::Part(0..1)),
            ("bytes=3-5", Wanted::Part(3..6)),
            ("bytes=9-", Wanted::Part(9..10)),
            ("bytes=0-", Wanted::Part(0..10)),
            ("bytes=0-99", Wanted::Part(0..10)),
            ("bytes=-4", Wanted::Part(6..10)),
            ("bytes=-99", Wanted::Part(0..10)),
            ("bytes=0-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=-99999999999999999999999", Wanted::Part(0..10)),
            ("bytes=-0", Wanted::Outside),
            ("bytes=10-", Wanted::Outside),
            ("bytes=10-20", Wanted::Outside),
            ("bytes=99999999999999999999999-", Wanted::Outside),
            ("bytes=5-3", Wanted::Whole),
            ("bytes=-", Wanted::Whole),
            ("bytes=", Wanted::Whole),
            ("bytes=a-b", Wanted::Whole),
            ("bytes=+1-2", Wanted::Whole),
            ("bytes=1--2", Wanted::Whole),
            ("bytes=0-1,3-4", Wanted::Whole),
            ("bytes=0-,0-,0-", Wanted::Whole),
            ("items=0-1", Wanted::Whole),
            ("", Wanted::Whole),
        ];
        for (header, expected) in table {
            assert_eq!(wanted(Some(header), 10), expected, "{header}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Outside);
    }
}
