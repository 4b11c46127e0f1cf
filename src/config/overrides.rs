//! The file beside a recording: what holds for that recording alone.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::{
    Error, Text,
    key::{Key, NumberOrWord},
    read,
};
use crate::{radio::time::Span, setup::Overrides};

/// Every key of the file, in the order in which they are told.
pub const KEYS: &[Key] = &[TITLE, ARTIST, ALBUM, GAIN, CUE_IN, CUE_OUT, EXCLUDE];

const TITLE: Key = Key::words("title", TEXT, "");
const ARTIST: Key = Key::words("artist", TEXT, "");
const ALBUM: Key = Key::words("album", TEXT, "");
const GAIN: Key = Key::decimal("gain_db", -20.0, 12.0, "dB", "0.0");
const CUE_IN: Key = Key::decimal("cue_in_seconds", 0.0, LONGEST_SECONDS, "seconds", "0.0");
const CUE_OUT: Key = Key::decimal("cue_out_seconds", 0.0, LONGEST_SECONDS, "seconds", "");
const EXCLUDE: Key = Key::switch("exclude", "false");

const TEXT: &str = "a text of 1 to 500 characters on one line";
const LONGEST_TEXT: usize = 500;
/// No item is longer.
const LONGEST_SECONDS: f64 = 86_400.0;
/// No item is shorter.
const SHORTEST_SECONDS: f64 = 0.5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    title: Option<Spanned<String>>,
    artist: Option<Spanned<String>>,
    album: Option<Spanned<String>>,
    gain_db: Option<Spanned<NumberOrWord>>,
    cue_in_seconds: Option<Spanned<NumberOrWord>>,
    cue_out_seconds: Option<Spanned<NumberOrWord>>,
    exclude: Option<bool>,
}

/// Reads the file; nothing is overridden if there is none.
pub fn overrides(path: &Path) -> Result<Overrides, Error> {
    parse(path, &read(path)?)
}

/// Reads `text`; `name` is the file that messages name.
pub(super) fn parse(name: &Path, text: &str) -> Result<Overrides, Error> {
    let text = Text { name, text };
    let raw: Raw = text.raw(KEYS)?;
    let cue_in = number(&CUE_IN, text, raw.cue_in_seconds.as_ref())?;
    let cue_out = number(&CUE_OUT, text, raw.cue_out_seconds.as_ref())?;
    if let (Some(out), Some(raw)) = (cue_out, &raw.cue_out_seconds)
        && out - cue_in.unwrap_or_default() < SHORTEST_SECONDS
    {
        let reason =
            format!("an item lasts at least {SHORTEST_SECONDS} s, and it begins at {} s", cue_in.unwrap_or_default());
        return Err(text.refuse_because(&CUE_OUT, raw.span(), &reason));
    }
    let words = |key: &Key, raw| key.checked(text, raw, None, |words: String| shown(&words).map(Some));
    Ok(Overrides {
        title: words(&TITLE, raw.title)?,
        artist: words(&ARTIST, raw.artist)?,
        album: words(&ALBUM, raw.album)?,
        gain_db: number(&GAIN, text, raw.gain_db.as_ref())?.unwrap_or_default(),
        cue_in: span(cue_in.unwrap_or_default()),
        cue_out: cue_out.map(span),
        exclude: raw.exclude.unwrap_or_default(),
    })
}

fn number(key: &Key, text: Text<'_>, raw: Option<&Spanned<NumberOrWord>>) -> Result<Option<f64>, Error> {
    let Some(raw) = raw else { return Ok(None) };
    match raw.get_ref() {
        NumberOrWord::Number(value) => key.measure(text, *value, raw.span()).map(Some),
        NumberOrWord::Word(_) => Err(text.refuse(key, raw.span())),
    }
}

fn shown(words: &str) -> Option<String> {
    let words = words.trim();
    let fits = (1..=LONGEST_TEXT).contains(&words.chars().count()) && !words.chars().any(char::is_control);
    fits.then(|| words.to_owned())
}

fn span(seconds: f64) -> Span {
    Span((seconds * 1e6).round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Overrides, String> {
        parse(Path::new("song.mp3.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_is_read() {
        let all = "title = \" One \"\nartist = \"Two\"\nalbum = \"Three\"\ngain_db = -2.5\ncue_in_seconds = 1\n\
                   cue_out_seconds = 61.25\nexclude = true\n";
        let expected = Overrides {
            title: Some("One".into()),
            artist: Some("Two".into()),
            album: Some("Three".into()),
            gain_db: -2.5,
            cue_in: Span::seconds(1),
            cue_out: Some(Span::millis(61_250)),
            exclude: true,
        };
        assert_eq!(read_text(all), Ok(expected));
        assert_eq!(read_text("# nothing\n"), Ok(Overrides::default()));
    }

    #[test]
    fn what_cannot_stand_there_is_shown_where_it_is() {
        for (text, place, words) in [
            ("gain = 3\n", "song.mp3.toml:1:1: unknown key `gain`", "`gain_db`"),
            ("\ngain_db = 13\n", "song.mp3.toml:2:11: `gain_db` must be a number from -20 to 12 dB", "gain_db = 0.0"),
            ("gain_db = \"loud\"\n", "song.mp3.toml:1:11: ", "-20 to 12"),
            ("title = \"\"\n", "song.mp3.toml:1:9: ", "a text of 1 to 500"),
            ("title = \"a\\nb\"\n", "song.mp3.toml:1:9: ", "on one line"),
            ("title = 7\n", "song.mp3.toml:1:9: ", "a text of 1 to 500"),
            ("exclude = \"yes\"\n", "song.mp3.toml:1:11: ", "true or false"),
            ("cue_in_seconds = -1\n", "song.mp3.toml:1:18: ", "from 0 to 86400 seconds"),
            (
                "cue_in_seconds = 9\ncue_out_seconds = 9.4\n",
                "song.mp3.toml:2:19: ",
                "at least 0.5 s, and it begins at 9 s",
            ),
            ("cue_out_seconds = nan\n", "song.mp3.toml:1:19: ", "from 0 to 86400"),
            ("title = \"a\"\ntitle = \"b\"\n", "song.mp3.toml:2:1: ", "duplicate key"),
            ("[song]\n", "song.mp3.toml:1:", "unknown key `song`"),
        ] {
            let refused = read_text(text).unwrap_err();
            assert!(
                refused.starts_with(place) && refused.contains(words) && refused.contains('^'),
                "{text}: {refused}"
            );
        }
    }
}
