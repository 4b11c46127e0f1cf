//! The bytes of a ledger file as lines, and how they end.
//!
//! A file is preallocated: behind its last line there are zeros. A crash may leave a last batch of receipts in pieces.
//! What was not durable was never acknowledged, so it may be cut off; what was must not be. The two are told apart
//! here.

/// What a lost write leaves is whole sectors of zeros, in bytes.
const SECTOR: usize = 512;
const PRODUCED_AT: &[u8] = b"\"produced_at\":\"";
const TIME_BYTES: usize = 24;

/// A file as far as it is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines<'a> {
    /// The lines that end with a newline and hold no zero, without their newlines.
    pub whole: Vec<&'a [u8]>,
    /// Where they end, in bytes.
    pub end: usize,
    /// What comes behind them.
    pub rest: Rest,
}

/// What is behind the last whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, or zeros.
    Nothing,
    /// What a crash leaves of receipts that nobody had been told were durable, or receipts that are being written: so
    /// many bytes.
    Torn(usize),
    /// A line that had been durable and has zeros in it.
    Damaged,
}

impl<'a> Lines<'a> {
    /// Reads a file.
    pub fn of(text: &'a [u8]) -> Self {
        let (mut whole, mut end) = (Vec::new(), 0);
        while let Some(length) = memchr::memchr2(b'\n', 0, &text[end..]).filter(|length| text[end + length] == b'\n') {
            whole.push(&text[end..end + length]);
            end += length + 1;
        }
        let rest = rest(&text[end..], end);
        Self { whole, end, rest }
    }
}

fn rest(rest: &[u8], at: usize) -> Rest {
    let Some(last) = rest.iter().rposition(|b| *b != 0) else { return Rest::Nothing };
    let (rest, torn) = (&rest[..=last], Rest::Torn(last + 1));
    let Some(newline) = rest.iter().position(|b| *b == b'\n') else { return torn };
    let never_durable = has_lost_sectors(&rest[..newline], at) && is_one_batch(rest);
    if never_durable { torn } else { Rest::Damaged }
}

/// Whether the zeros of a line are sectors that never reached the disk, and not bytes that were overwritten.
fn has_lost_sectors(line: &[u8], at: usize) -> bool {
    let Some(first) = line.iter().position(|b| *b == 0) else { return false };
    let zeros = line[first..].iter().take_while(|b| **b == 0).count();
    let (begin, end) = (at + first, at + first + zeros);
    let aligned = |place: usize| place.is_multiple_of(SECTOR);
    (first == 0 || aligned(begin)) && aligned(end)
}

/// Whether these lines were appended together: receipts of one batch have one date.
fn is_one_batch(lines: &[u8]) -> bool {
    let mut dates = lines.split(|b| *b == b'\n').filter_map(date);
    let first = dates.next();
    dates.all(|date| Some(date) == first)
}

fn date(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(PRODUCED_AT.len()).position(|window| window == PRODUCED_AT)? + PRODUCED_AT.len();
    // A sector that was lost may begin within it.
    line.get(at..at + TIME_BYTES).filter(|date| !date.contains(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: usize, date: usize) -> String {
        let filler = "x".repeat(200 + 37 * number);
        format!("{{\"n\":{number},\"filler\":\"{filler}\",\"produced_at\":\"2026-11-21T09:18:{date:02}.000Z\"}}\n")
    }

    fn file(dates: &[usize]) -> Vec<u8> {
        let text: String = dates.iter().enumerate().map(|(number, date)| line(number, *date)).collect();
        text.into_bytes()
    }

    #[test]
    fn zeros_behind_the_last_line_are_nothing() {
        for zeros in [0, 1, 5_000] {
            let mut text = file(&[1, 2]);
            let end = text.len();
            text.resize(end + zeros, 0);
            let lines = Lines::of(&text);
            assert_eq!((lines.whole.len(), lines.end, lines.rest), (2, end, Rest::Nothing));
        }
        assert_eq!(Lines::of(b"").rest, Rest::Nothing);
    }

    #[test]
    fn one_line_in_pieces_is_torn_wherever_it_tears() {
        let (text, kept) = (file(&[1, 2]), file(&[1]).len());
        for cut in kept + 1..text.len() {
            let mut torn = text.clone();
            torn[cut..].fill(0);
            assert_eq!(Lines::of(&torn).rest, Rest::Torn(cut - kept));
            let lines = Lines::of(&text[..cut]);
            assert_eq!((lines.end, lines.rest), (kept, Rest::Torn(cut - kept)));
        }
        let mut holed = text.clone();
        holed[kept + 20] = 0;
        assert_eq!(Lines::of(&holed).rest, Rest::Damaged, "no write loses a single byte");
    }

    #[test]
    fn a_zero_in_a_line_is_damage() {
        let text = file(&[1, 2, 3, 4]);
        let third = file(&[1, 2]).len();
        for at in third..file(&[1, 2, 3]).len() {
            let mut damaged = text.clone();
            damaged[at] = 0;
            let lines = Lines::of(&damaged);
            assert_eq!((lines.whole.len(), lines.rest), (2, Rest::Damaged), "byte {at}");
        }
    }

    #[test]
    fn a_lost_sector_is_torn_only_within_the_last_batch() {
        let batch = file(&[1, 2, 2, 2, 2]);
        let durable = file(&[1]).len();
        for sector in durable.div_ceil(SECTOR)..batch.len() / SECTOR {
            let mut torn = batch.clone();
            torn[sector * SECTOR..][..SECTOR].fill(0);
            assert!(matches!(Lines::of(&torn).rest, Rest::Torn(_)), "sector {sector}");
        }
        let mut apart = file(&[1, 2, 3, 4, 5, 6, 7]);
        apart[2 * SECTOR..][..SECTOR].fill(0);
        assert_eq!(Lines::of(&apart).rest, Rest::Damaged);
    }

    #[test]
    fn zeros_that_are_no_whole_sectors_are_damage() {
        let (batch, durable) = (file(&[1, 2, 2, 2, 2]), file(&[1]).len());
        let sector = durable.next_multiple_of(SECTOR);
        let holed = |from: usize, to: usize| {
            let mut text = batch.clone();
            text[from..to].fill(0);
            Lines::of(&text).rest
        };
        assert!(matches!(holed(durable, sector), Rest::Torn(_)), "the rest of the sector in which the batch begins");
        assert_eq!(holed(durable, sector - 1), Rest::Damaged);
        assert_eq!(holed(sector, sector + 100), Rest::Damaged);
    }
}
