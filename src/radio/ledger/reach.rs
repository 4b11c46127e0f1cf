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
                let coarse = self.group_end > 0 && self.coarse_millis < 1_000 * COARSE_SECONDS;
                if coarse && number("group_seq") < self.group_end {
                    self.coarse_millis += 1_000 * number("samples") / number("rate").max(1);
                }
                if coarse {
                    self.listed = self.listed.map(|listed| listed.min(seq));
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
