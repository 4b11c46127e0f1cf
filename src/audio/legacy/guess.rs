//! In what encoding the texts of a recording are.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{Encoding, SHIFT_JIS, WINDOWS_1252};

/// Letters of another script that all texts together must have, for a script of one byte a letter and of two.
const LETTERS_NARROW: usize = 4;
const LETTERS_WIDE: usize = 2;
/// Letters that another Latin encoding must read otherwise: a name or two with accents are Western.
const LETTERS_LATIN: usize = 5;

/// The encoding that texts which are not UTF-8 have in common; windows-1252, the Western one, unless another is convincing.
pub(super) fn encoding(texts: &[&[u8]]) -> &'static Encoding {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    for text in texts {
        detector.feed(text, false);
        detector.feed(b"\n", false);
    }
    detector.feed(b"", true);
    let guess = detector.guess(None, Utf8Detection::Deny);
    // The detector takes short Japanese texts for others, which have no kana.
    let has_kana = || Reading::of(SHIFT_JIS, texts).is_some_and(|reading| reading.kana > 0 && reading.is_convincing());
    match Reading::of(guess, texts) {
        Some(reading) if reading.is_convincing() => guess,
        _ if has_kana() => SHIFT_JIS,
        _ => WINDOWS_1252,
    }
}

/// What texts are in an encoding.
struct Reading {
    encoding: &'static Encoding,
    /// Bytes that are not ASCII.
    bytes: usize,
    /// Letters that are not ASCII, and those of them beside one that is.
    letters: usize,
    among_plain: usize,
    /// Symbols that are not ASCII between two such letters.
    inner_symbols: usize,
    /// Japanese syllables.
    kana: usize,
    /// Characters that are others in windows-1252.
    differ: usize,
}

impl Reading {
    /// Nothing if they cannot be in it.
    fn of(encoding: &'static Encoding, texts: &[&[u8]]) -> Option<Self> {
        let none = Self { encoding, bytes: 0, letters: 0, among_plain: 0, inner_symbols: 0, kana: 0, differ: 0 };
        texts.iter().try_fold(none, |mut reading, text| {
            let read: Vec<char> = encoding.decode_without_bom_handling_and_without_replacement(text)?.chars().collect();
            if read.iter().any(|c| is_strange(*c)) {
                return None;
            }
            reading.bytes += text.iter().filter(|byte| !byte.is_ascii()).count();
            let western = WINDOWS_1252.decode_without_bom_handling(text).0;
            reading.differ += western.chars().zip(&read).filter(|(western, read)| western != *read).count();
            reading.count(&read);
            Some(reading)
        })
    }

    fn count(&mut self, read: &[char]) {
        let foreign = |c: &char| !c.is_ascii() && c.is_alphabetic();
        for (at, c) in read.iter().enumerate() {
            let beside = [at.checked_sub(1), Some(at + 1)].map(|at| read.get(at?));
            let are_beside = |what: fn(&char) -> bool| beside.iter().flatten().filter(|c| what(c)).count();
            self.kana += usize::from(('\u{3041}'..='\u{30fe}').contains(c));
            if foreign(c) {
                self.letters += 1;
                self.among_plain += usize::from(are_beside(char::is_ascii_alphabetic) > 0);
            } else if !c.is_ascii() && !is_thai(*c) {
                self.inner_symbols += usize::from(are_beside(foreign) == 2);
            }
        }
    }

    /// Accented letters of Western words stand among plain ones, and so they do when they are taken for another script; words
    /// of another script have no plain letters in them, and no symbols.
    fn is_convincing(&self) -> bool {
        let enough = match self.encoding {
            latin if is_latin(latin) => return self.differ >= LETTERS_LATIN,
            narrow if narrow.is_single_byte() => {
                self.letters >= LETTERS_NARROW && 8 * self.inner_symbols <= self.letters
            }
            // A letter of two bytes may be an accented and a plain one.
            wide => {
                self.letters >= LETTERS_WIDE && (self.bytes >= 2 * LETTERS_WIDE || (wide == SHIFT_JIS && self.kana > 1))
            }
        };
        enough && 8 * self.among_plain <= self.letters
    }
}

/// Whether a character is Thai, whose marks are no letters.
fn is_thai(c: char) -> bool {
    ('\u{e00}'..='\u{e7f}').contains(&c)
}

/// What no title has: control characters and those that nobody but its maker can read.
fn is_strange(c: char) -> bool {
    (c.is_control() && c != '\n') || ('\u{e000}'..='\u{f8ff}').contains(&c)
}

/// Whether an encoding is one of Latin letters.
fn is_latin(encoding: &'static Encoding) -> bool {
    use encoding_rs as all;
    [
        all::WINDOWS_1250,
        WINDOWS_1252,
        all::WINDOWS_1254,
        all::WINDOWS_1257,
        all::WINDOWS_1258,
        all::ISO_8859_2,
        all::ISO_8859_4,
    ]
    .contains(&encoding)
}
