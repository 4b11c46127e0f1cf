//! How far back a ledger must be read: the dates of receipts do not tell, for the wall clock may have been set.

use super::read::{field, number_in};

/// The coarse list, with what is known behind it, reaches back so many seconds from its end: 20 entries of a minute.
const COARSE_SECONDS: u64 = 1_200;

/// What was seen of the receipts, the newest first.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// The number of the segment that must be reached; `None` before a segment was seen.
    listed: Option<u64>,
    /// The number behind the last group of the coarse list.
    group_end: u64,
    /// How many seconds of it, times 1 000, were seen.
    coarse_millis: u64,
    /// The number of the segment that was taken last, and whether a discontinuity precedes it.
    next: Option<(u64, bool)>,
    /// Whether the item was seen that what must be reached is of.
    begun: bool,
    /// Whether a reservation of sequences was seen.
    reserved: bool,
}

impl Reach {
    /// Takes the lines of the next older file that count. Whether it and those after it hold all that a station goes on
    /// from: the segments of the last lists, with the beginning of the first one's item, and the last sequences that were
    /// reserved.
    pub(super) fn is_within(&mut self, lines: &[&[u8]]) -> bool {
        for line in lines.iter().rev() {
            if self.begun && self.reserved {
                break;
            }
            if let Ok(line) = std::str::from_utf8(line) {
                self.take(line);
            }
        }
        self.begun && self.reserved
    }

    fn take(&mut self, line: &str) {
        match field(line, "kind") {
            Some("segment") => {
                let number = |key| number_in(line, key).unwrap_or_default();
                let seq = number("media_seq");
                if self.listed.is_none() {
                    (self.listed, self.group_end) = (Some(number("first_seq")), number("group_end"));
                }
                if number("group_seq") < self.group_end {
                    self.coarse_millis += 1_000 * number("samples") / number("rate").max(1);
                }
                self.next = Some((seq, line.contains(r#""disc":true"#)));
            }
            Some("item_started") => {
                let Some((seq, (next, disc))) = number_in(line, "media_seq").zip(self.next) else { return };
                // One that was started at a segment that goes on without a discontinuity never came to be.
                let came_to_be = if disc { seq == next } else { seq < next };
                let whole = self.group_end == 0 || self.coarse_millis >= 1_000 * COARSE_SECONDS;
                self.begun |= came_to_be && whole && self.listed.is_some_and(|listed| seq <= listed);
            }
            Some("ipns_reserved") => self.reserved = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVED: &str = r#"{"r":{"kind":"ipns_reserved","until":7}}"#;

    fn began(seq: u64) -> String {
        format!(r#"{{"r":{{"kind":"item_started","media_seq":{seq}}}}}"#)
    }

    /// A segment of a minute. `disc` is whether it begins an item, `group` its own and the one behind the coarse list.
    fn segment(seq: u64, disc: bool, first_seq: u64, group: (u64, u64)) -> String {
        let (group_seq, group_end) = group;
        format!(
            r#"{{"r":{{"disc":{disc},"first_seq":{first_seq},"group_end":{group_end},"group_seq":{group_seq},"kind":"segment","media_seq":{seq},"rate":44100,"samples":2646000}}}}"#
        )
    }

    /// How many of these lines must be read, from the newest on.
    fn needed(lines: &[String]) -> Option<usize> {
        let mut reach = Reach::default();
        let needed = lines.iter().rev().position(|line| reach.is_within(&[line.as_bytes()])).map(|at| at + 1);
        let all: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        assert_eq!(Reach::default().is_within(&all), needed.is_some(), "in one file");
        needed
    }

    /// The segments `from..to`, of which those at `begins` begin an item.
    fn aired(from: u64, to: u64, begins: &[u64], first_seq: u64, group: impl Fn(u64) -> (u64, u64)) -> Vec<String> {
        let one = |seq: u64| {
            let disc = begins.contains(&seq);
            disc.then(|| began(seq)).into_iter().chain([segment(seq, disc, first_seq, group(seq))])
        };
        (from..to).flat_map(one).collect()
    }

    fn none(_: u64) -> (u64, u64) {
        (0, 0)
    }

    #[test]
    fn a_start_reads_to_where_the_first_listed_item_began_and_to_what_was_reserved() {
        for (first_seq, segments) in [(10, 10), (12, 8), (14, 8), (15, 5), (19, 5)] {
            let mut lines = aired(8, 20, &[8, 10, 12, 15], first_seq, none);
            assert_eq!(needed(&lines), None, "nothing was reserved");
            lines.insert(0, RESERVED.into());
            assert_eq!(needed(&lines), Some(lines.len()));
            let items = [10, 12, 15].iter().filter(|begin| **begin >= 20 - segments).count();
            lines.push(RESERVED.into());
            assert_eq!(needed(&lines), Some(1 + segments as usize + items), "from {first_seq} on");
        }
        assert_eq!(needed(&[RESERVED.into()]), None);
    }

    #[test]
    fn an_item_that_never_came_to_be_is_not_where_the_list_begins() {
        let whole = |lines: &[String]| needed(lines) == Some(lines.len());
        let reserved = || RESERVED.to_string();
        // A crash came before its first segment.
        let mut lines = aired(10, 12, &[10], 13, none);
        lines.extend([began(12), segment(12, false, 13, (0, 0)), segment(13, false, 13, (0, 0)), reserved()]);
        assert!(whole(&lines), "another item went on");
        let never = [vec![began(10)], aired(10, 12, &[], 13, none), vec![began(12)], aired(14, 15, &[14], 13, none)];
        let mut lines = never.concat();
        lines[1] = segment(10, true, 13, (0, 0));
        lines.push(reserved());
        assert!(whole(&lines), "another item began");
        // Its first segments aired without a receipt.
        let mut lines = [aired(10, 12, &[10], 14, none), vec![began(12), segment(14, false, 14, (0, 0))]].concat();
        lines.push(reserved());
        assert_eq!(needed(&lines), Some(3));
    }

    #[test]
    fn a_start_reads_as_far_back_as_the_coarse_list_reaches() {
        let all: Vec<u64> = (100..200).collect();
        let mut lines = aired(100, 200, &all, 195, |seq| (seq, 190));
        lines.push(RESERVED.into());
        assert_eq!(needed(&lines), Some(1 + 2 * (200 - 170)), "20 minutes before group 190");
        let mut lines = aired(100, 200, &[100, 165, 175], 195, |seq| (seq, 190));
        lines.push(RESERVED.into());
        assert_eq!(needed(&lines), Some(1 + (200 - 165) + 2), "and to where an item began");
        let mut lines = aired(180, 200, &[180, 185], 195, |seq| (seq, 190));
        lines.push(RESERVED.into());
        assert_eq!(needed(&lines), None, "there is more of it");
    }
}
