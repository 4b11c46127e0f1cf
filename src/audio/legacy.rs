//! Texts of tags that say nothing of their encoding, or what is not true: ID3 frames and RIFF lists of Windows, of Russian,
//! Japanese and Chinese programs.
//!
//! Symphonia takes ID3 for Latin-1, and what does not fit is lost in that; the lists of WAV files it does not show at all. So the
//! bytes are read once more, all texts of a recording are looked at together, and what symphonia shows of each is replaced by
//! what it means.

use std::{cell::OnceCell, collections::HashMap, fs::File, path::Path};

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

use self::raw::{Shown, Text};
use super::tags::text;

mod guess;
mod raw;

/// What the texts of a recording mean. Its bytes are only read when symphonia shows one that is not plain.
#[derive(Debug)]
pub(super) struct Legacy<'a> {
    path: &'a Path,
    meanings: OnceCell<Meanings>,
}

impl<'a> Legacy<'a> {
    /// Those of the recording that lies there.
    pub(super) const fn of_file(path: &'a Path) -> Self {
        Self { path, meanings: OnceCell::new() }
    }

    /// What is meant by a text that symphonia has read, fit to show, if anything is left of it.
    pub(super) fn text(&self, read: &str) -> Option<String> {
        let shown = text(read)?;
        if read.is_ascii() {
            return Some(shown);
        }
        Some(self.meanings().of(shown))
    }

    /// The text of this name in the list of a WAV file, fit to show.
    pub(super) fn listed(&self, name: &[u8; 4]) -> Option<String> {
        self.meanings().listed.iter().find(|(listed, _)| listed == name).map(|(_, text)| text.clone())
    }

    fn meanings(&self) -> &Meanings {
        let texts = || File::open(self.path).and_then(raw::texts).unwrap_or_default();
        self.meanings.get_or_init(|| Meanings::of_texts(&texts()))
    }
}

/// What texts mean, fit to show.
#[derive(Debug, Default)]
struct Meanings {
    /// By what is shown of them; nothing where the same is shown of different ones.
    meant: HashMap<String, Option<String>>,
    /// By their names, of which nothing is shown.
    listed: Vec<([u8; 4], String)>,
}

impl Meanings {
    fn of_texts(texts: &[Text]) -> Self {
        let unknown = |bytes: &&[u8]| !bytes.is_ascii() && utf8(bytes).is_none();
        let mut unknown: Vec<_> = texts.iter().map(|text| &text.bytes[..]).filter(unknown).collect();
        // A word says no more where it stands twice.
        unknown.sort_unstable();
        unknown.dedup();
        let encoding = guess::encoding(&unknown);
        let mut meanings = Self::default();
        for Text { bytes, shown } in texts {
            let means = text(&utf8(bytes).map_or_else(|| decoded(bytes, encoding), str::to_owned));
            match (shown, means) {
                (Shown::As(shown), means) => meanings.add(text(shown), means),
                (Shown::Not(name), Some(means)) => meanings.listed.push((*name, means)),
                (Shown::Not(_), None) => {}
            }
        }
        meanings
    }

    fn add(&mut self, shown: Option<String>, means: Option<String>) {
        let Some(shown) = shown else { return };
        let known = self.meant.entry(shown).or_insert_with(|| means.clone());
        if *known != means {
            *known = None;
        }
    }

    fn of(&self, shown: String) -> String {
        self.meant.get(&shown).cloned().flatten().unwrap_or(shown)
    }
}

/// A file of text: as it is if it is UTF-8, else from UTF-16 if a byte order mark says so, else from the encoding for which its
/// lines together speak.
pub fn text_of(bytes: Vec<u8>) -> String {
    if let Some((encoding, _)) = Encoding::for_bom(&bytes).filter(|(encoding, _)| *encoding != UTF_8) {
        return encoding.decode(&bytes).0.into_owned();
    }
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let bytes = error.as_bytes();
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_ascii()).collect();
        decoded(bytes, guess::encoding(&lines))
    })
}

/// What the texts of a file mean, by its bytes.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn of_bytes(bytes: &[u8]) -> Vec<String> {
    let Meanings { meant, listed } = Meanings::of_texts(&raw::texts(std::io::Cursor::new(bytes)).unwrap_or_default());
    meant.into_values().flatten().chain(listed.into_iter().map(|(_, text)| text)).collect()
}

/// Whether a text looks as if its encoding was not understood: it has what stands for lost characters, three of the upper half
/// of Latin-1 in a row, or two that are one character of UTF-8.
pub fn looks_wrong(text: &str) -> bool {
    let upper = |c: &char| ('\u{a1}'..='\u{ff}').contains(c);
    let letters: Vec<char> = text.chars().collect();
    letters.contains(&char::REPLACEMENT_CHARACTER)
        || letters.windows(3).any(|row| row.iter().all(upper))
        || letters.windows(2).any(|pair| matches!(pair, ['\u{c2}'..='\u{f4}', '\u{a0}'..='\u{bf}']))
}

/// A text in UTF-8 that is not all ASCII. A field of fixed length may cut it within a character.
fn utf8(bytes: &[u8]) -> Option<&str> {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    std::str::from_utf8(whole).ok().filter(|text| !text.is_ascii())
}

fn decoded(bytes: &[u8], encoding: &'static Encoding) -> String {
    let as_guessed = encoding.decode_without_bom_handling_and_without_replacement(bytes);
    as_guessed.unwrap_or_else(|| WINDOWS_1252.decode_without_bom_handling(bytes).0).into_owned()
}

#[cfg(test)]
mod tests;
