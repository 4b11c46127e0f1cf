//! Titles inside a long recording: cue sheets, and the chapters of an item that follow from them.

use serde::{Deserialize, Serialize};

use super::{quote::quote, time::Span};

/// Longest cue sheet that is read, in bytes.
pub const LONGEST: u64 = 1 << 20;
/// Most chapters of an item: they go into one receipt.
pub const MOST: usize = 300;
/// Longest title or artist, in characters.
const LONGEST_TEXT: usize = 200;
/// Frames of a compact disc in a second, by which cue sheets count.
const FRAMES: u64 = 75;

/// A place in a recording from which on something else plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where in the recording.
    pub at: Span,
    /// What plays from there on.
    pub title: String,
    /// Who plays it; empty where nobody says.
    pub artist: String,
}

/// A place in an item from which on something else plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chapter {
    /// Where in the item, in samples.
    pub at: u64,
    /// What plays from there on.
    pub title: String,
    /// Who plays it; empty where nobody says.
    pub artist: String,
}

/// Why a cue sheet cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there and what to do.
    pub what: String,
}

/// The chapters of an item of `samples` at `rate` that was made of a recording from `from` on, without its first `lead`
/// samples of silence there. At most [`MOST`].
pub fn chapters(marks: &[Mark], from: Span, lead: u64, rate: u32, samples: u64) -> Vec<Chapter> {
    let mut marks: Vec<&Mark> = marks.iter().collect();
    marks.sort_by_key(|mark| mark.at);
    let mut chapters: Vec<Chapter> = Vec::new();
    for mark in marks {
        let at = Span(mark.at.0.saturating_sub(from.0)).to_samples(rate).saturating_sub(lead);
        if at >= samples {
            break;
        }
        // Of those that begin before the item only the last one is heard.
        if chapters.last().is_some_and(|last| last.at == at) {
            chapters.pop();
        }
        if chapters.len() < MOST {
            chapters.push(Chapter { at, title: shown(&mark.title), artist: shown(&mark.artist) });
        }
    }
    chapters
}

/// The chapters of what is left of an item behind its first `skipped` samples; the first one begins with it. None if the
/// item has none. `title` and `artist` are those of the item.
pub fn behind(chapters: &[Chapter], skipped: u64, title: &str, artist: &str) -> Vec<Chapter> {
    if chapters.is_empty() {
        return Vec::new();
    }
    let begun = chapters.iter().rev().find(|chapter| chapter.at <= skipped);
    let first = begun.cloned().unwrap_or_else(|| Chapter { at: 0, title: title.to_owned(), artist: artist.to_owned() });
    let later = chapters.iter().filter(|chapter| chapter.at > skipped);
    let later = later.map(|chapter| Chapter { at: chapter.at - skipped, ..chapter.clone() });
    std::iter::once(Chapter { at: 0, ..first }).chain(later).collect()
}

/// Reads the cue sheet of the recording whose file is called `recording`. A sheet of several files must name it.
///
/// With or without byte order mark. Commands that are not about titles are passed over.
pub fn parse(text: &str, recording: &str) -> Result<Vec<Mark>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sheet = Sheet::default();
    for (index, line) in text.lines().enumerate() {
        sheet.take(index + 1, line.trim())?;
    }
    sheet.marks(recording)
}

#[derive(Default)]
struct Sheet {
    performer: String,
    /// Names and lines.
    files: Vec<(String, usize)>,
    tracks: Vec<Track>,
}

struct Track {
    line: usize,
    number: String,
    /// How many files were named before it.
    file: usize,
    title: String,
    performer: String,
    at: Option<Span>,
}

impl Sheet {
    fn take(&mut self, line: usize, text: &str) -> Result<(), Fault> {
        let (command, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match (command.to_ascii_uppercase().as_str(), self.tracks.last_mut()) {
            ("FILE", _) => self.files.push((value(rest), line)),
            ("TRACK", _) => {
                let number = rest.split_whitespace().next().unwrap_or_default().to_owned();
                let (title, performer) = (String::new(), String::new());
                self.tracks.push(Track { line, number, file: self.files.len(), title, performer, at: None });
            }
            ("TITLE", Some(track)) => track.title = value(rest),
            ("PERFORMER", Some(track)) => track.performer = value(rest),
            ("PERFORMER", None) => self.performer = value(rest),
            ("INDEX", Some(track)) if rest.split_whitespace().next().and_then(|n| n.parse().ok()) == Some(1_u32) => {
                let place = rest.split_whitespace().nth(1).unwrap_or_default();
                track.at = Some(time(place).ok_or_else(|| Fault {
                    line,
                    what: format!("`{}` is no place: write minutes:seconds:frames, such as 03:25:00", quote(place)),
                })?);
            }
            _ => {}
        }
        Ok(())
    }

    fn marks(self, recording: &str) -> Result<Vec<Mark>, Fault> {
        let file = self.file_of(recording)?;
        let mut marks: Vec<Mark> = Vec::new();
        for track in self.tracks.into_iter().filter(|track| track.file == file) {
            let Track { line, title, performer, at, .. } = track;
            let number = quote(&track.number);
            let fault = |what| Err(Fault { line, what });
            let Some(at) = at else { return fault(format!("track {number} has no INDEX 01")) };
            if marks.last().is_some_and(|last| last.at >= at) {
                return fault(format!("track {number} does not begin behind the one before"));
            }
            let title = if title.is_empty() { format!("Track {number}") } else { title };
            let artist = if performer.is_empty() { self.performer.clone() } else { performer };
            marks.push(Mark { at, title, artist });
        }
        match marks.is_empty() {
            true => Err(Fault { line: 1, what: "it has no TRACK".into() }),
            false => Ok(marks),
        }
    }

    /// How many files were named when the tracks of `recording` came.
    fn file_of(&self, recording: &str) -> Result<usize, Fault> {
        let called = |name: &str| {
            let name = name.rsplit(['/', '\\']).next().unwrap_or(name);
            let stem = |name: &str| name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_lowercase();
            stem(name) == stem(recording)
        };
        match &self.files[..] {
            [] => Ok(0),
            [_] => Ok(1),
            several => several.iter().position(|(name, _)| called(name)).map(|index| index + 1).ok_or_else(|| Fault {
                line: several[0].1,
                what: format!("it names several files, and none of them is called like `{recording}`"),
            }),
        }
    }
}

/// What is quoted, else all that is there.
fn value(rest: &str) -> String {
    match rest.strip_prefix('"') {
        Some(quoted) => quoted.rsplit_once('"').map_or(quoted, |(inside, _)| inside).to_owned(),
        None => rest.to_owned(),
    }
}

/// `minutes:seconds:frames`.
fn time(text: &str) -> Option<Span> {
    let mut fields = text.split(':').map(|field| {
        let digits = !field.is_empty() && field.len() <= 5 && field.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| field.parse::<u64>().ok()).flatten()
    });
    let (minutes, seconds, frames) = (fields.next()??, fields.next()??, fields.next()??);
    if fields.next().is_some() || seconds >= 60 || frames >= FRAMES {
        return None;
    }
    Some(Span((minutes * 60 + seconds) * 1_000_000 + (frames * 1_000_000 + FRAMES / 2) / FRAMES))
}

/// A text fit to show.
fn shown(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    shown.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHEET: &str = "REM GENRE Dub\nPERFORMER \"The DJ\"\nTITLE \"The mix\"\nFILE \"mix.wav\" WAVE\n  TRACK 01 AUDIO\n    \
                         TITLE \"One \"two\"\"\n    INDEX 00 00:00:00\n    INDEX 01 00:01:37\n  track 02 AUDIO\n    title Bare \
                         words\n    PERFORMER \"Somebody\"\n    INDEX 01 61:02:74\n  TRACK 03 AUDIO\n    INDEX 01 62:00:00\n";

    fn mark(micros: u64, title: &str, artist: &str) -> Mark {
        Mark { at: Span(micros), title: title.into(), artist: artist.into() }
    }

    #[test]
    fn a_sheet_says_what_plays_from_where_on() {
        let expected = [
            mark(1_493_333, "One \"two\"", "The DJ"),
            mark(3_662_986_667, "Bare words", "Somebody"),
            mark(3_720_000_000, "Track 03", "The DJ"),
        ];
        assert_eq!(parse(SHEET, "mix.mp3").unwrap(), expected);
        let windows = format!("\u{feff}{}", SHEET.replace('\n', "\r\n"));
        assert_eq!(parse(&windows, "other.mp3").unwrap(), expected, "one file is meant whatever its name");
    }

    #[test]
    fn a_sheet_of_several_files_must_name_this_one() {
        let track = |n: u32| format!("TRACK {n} AUDIO\nTITLE \"{n}\"\nINDEX 01 00:0{n}:00\n");
        let sheet = format!("FILE \"D:\\x\\A.wav\" WAVE\n{}FILE \"b.wav\" WAVE\n{}{}", track(1), track(2), track(3));
        assert_eq!(parse(&sheet, "a.flac").unwrap(), [mark(1_000_000, "1", "")]);
        assert_eq!(parse(&sheet, "b.mp3").unwrap().len(), 2);
        let refused = parse(&sheet, "c.mp3").unwrap_err();
        assert_eq!((refused.line, refused.what.contains("`c.mp3`")), (1, true));
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_line() {
        let track = "TRACK 01 AUDIO\n";
        for (sheet, line, words) in [
            (String::new(), 1, "no TRACK"),
            (track.into(), 1, "track 01 has no INDEX 01"),
            (format!("{track}INDEX 00 00:00:00"), 1, "no INDEX 01"),
            (format!("{track}INDEX 01 00:60:00"), 2, "`00:60:00` is no place"),
            (format!("{track}INDEX 01 00:00:75"), 2, "is no place"),
            (format!("{track}INDEX 01 0:0"), 2, "is no place"),
            (format!("{track}INDEX 01 0:0:0:0"), 2, "is no place"),
            (format!("{track}INDEX 01 -1:00:00"), 2, "is no place"),
            (format!("{track}INDEX 01 999999999:00:00"), 2, "is no place"),
            (format!("{track}INDEX 01"), 2, "`` is no place"),
            (format!("{track}INDEX 01 0:9:0\nTRACK 02 AUDIO\nINDEX 01 0:9:0"), 3, "track 02 does not begin behind"),
        ] {
            let refused = parse(&sheet, "a.mp3").unwrap_err();
            assert_eq!(refused.line, line, "{sheet}: {refused}");
            assert!(refused.to_string().contains(words), "{sheet}: {refused}");
        }
    }

    fn at(at: u64, title: &str) -> Chapter {
        Chapter { at, title: title.into(), artist: String::new() }
    }

    #[test]
    fn chapters_are_counted_from_where_the_item_begins() {
        let marks = [mark(0, "a", ""), mark(10_000_000, "b", ""), mark(20_000_000, "c\n", "")];
        assert_eq!(chapters(&marks, Span(0), 0, 1_000, 30_000), [at(0, "a"), at(10_000, "b"), at(20_000, "c")]);
        assert_eq!(chapters(&marks, Span::seconds(12), 0, 1_000, 18_000), [at(0, "b"), at(8_000, "c")]);
        assert_eq!(chapters(&marks, Span::seconds(1), 500, 1_000, 18_500), [at(0, "a"), at(8_500, "b")]);
        assert_eq!(chapters(&marks[1..], Span(0), 0, 1_000, 10_000), []);
        let many: Vec<Mark> = (0..1_000).map(|n| mark(n * 1_000_000, "x", "")).collect();
        assert_eq!(chapters(&many, Span(0), 0, 1_000, u64::MAX).len(), MOST);
    }

    #[test]
    fn what_is_left_of_an_item_begins_with_what_plays_there() {
        let all = [at(10, "a"), at(20, "b"), at(30, "c")];
        let left = |skipped| behind(&all, skipped, "item", "");
        assert_eq!(left(0), [at(0, "item"), at(10, "a"), at(20, "b"), at(30, "c")]);
        assert_eq!(left(10), [at(0, "a"), at(10, "b"), at(20, "c")]);
        assert_eq!(left(25), [at(0, "b"), at(5, "c")]);
        assert_eq!(left(99), [at(0, "c")]);
        assert_eq!(behind(&[], 5, "item", ""), []);
        assert_eq!(behind(&left(25), 3, "", ""), left(28));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, lines in "((FILE|TRACK|TITLE|INDEX|PERFORMER) ?[\"0-9a:]{0,9}\n){0,9}") {
            let _ = parse(&String::from_utf8_lossy(&bytes), "a.mp3");
            let _ = parse(&lines, "a.mp3");
        }
    }
}
