//! Small files: cue sheets, and what a mirror keeps and reads.

use super::{line_count, said};
use crate::radio::{
    cue,
    follow::{About, Extent, Saved, SavedName},
    time::{Span, Time},
};

const RATE: u32 = 44_100;
const STATION: &str = "k51a";

/// A cue sheet: the chapters of an item are in order and within it, also those of what is left of it.
pub(crate) fn cue(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for recording in ["mix.mp3", "a.b"] {
        let marks = match cue::parse(&text, recording) {
            Ok(marks) => marks,
            Err(fault) => {
                said(&fault);
                assert!((1..=line_count(data)).contains(&fault.line), "line {}", fault.line);
                continue;
            }
        };
        assert!(marks.windows(2).all(|pair| pair[0].at < pair[1].at) && !marks.is_empty());
        for (from, lead, samples) in [(0, 0, u64::MAX), (0, 0, 1), (1_000_000, 44_100, 10_000_000)] {
            let chapters = cue::chapters(&marks, Span(from), lead, RATE, samples);
            in_order(&chapters, samples);
            for skipped in [0, 1, samples / 2] {
                in_order(&cue::behind(&chapters, skipped, "item", "somebody"), samples);
            }
        }
    }
}

fn in_order(chapters: &[cue::Chapter], samples: u64) {
    assert!(chapters.windows(2).all(|pair| pair[0].at < pair[1].at) && chapters.len() <= cue::MOST + 1);
    for chapter in chapters {
        assert!(chapter.at < samples && !chapter.title.contains(char::is_control));
        assert!(chapter.title.chars().count() <= 200 && chapter.artist.chars().count() <= 200);
    }
}

pub(crate) fn cue_seeds() -> Vec<Vec<u8>> {
    let one = "PERFORMER \"The DJ\"\nFILE \"mix.wav\" WAVE\n  TRACK 01 AUDIO\n    TITLE \"One\"\n    INDEX 01 00:00:37\n  \
               TRACK 02 AUDIO\n    PERFORMER \"B\"\n    INDEX 00 01:00:00\n    INDEX 01 61:02:74\n";
    let several =
        "FILE \"D:\\x\\A.wav\" WAVE\nTRACK 1 AUDIO\nINDEX 1 0:0:0\nFILE \"mix.wav\" WAVE\nTRACK 2 AUDIO\nINDEX 1 0:1:0";
    let latin = b"TRACK 1 AUDIO\r\nTITLE \"Caf\xe9 \x93x\x94\"\r\nINDEX 1 00:00:00\r\n".to_vec();
    vec![one.into(), several.into(), latin, [b"\xef\xbb\xbf".as_slice(), one.as_bytes()].concat()]
}

/// `follow.json` and `station.json`: what is read is written back the same, and what is shown is fit to show.
pub(crate) fn follow(data: &[u8]) {
    match Saved::read(data) {
        Ok(saved) => {
            let back = Saved::read(saved.write().as_bytes()).expect("what is written can be read");
            assert_eq!(back, saved);
        }
        Err(why) => drop(said(&why)),
    }
    match About::read(data, STATION) {
        Ok(about) => {
            let length = about.title.chars().count();
            assert!((1..=100).contains(&length) && !about.title.contains(char::is_control));
            assert_ne!(about.stream, STATION);
        }
        Err(why) => drop(said(&why)),
    }
}

pub(crate) fn follow_seeds() -> Vec<Vec<u8>> {
    let extent = Extent { first: 7, last: 9, ends: Time::from_millis(1_795_252_684_893) };
    let name = |byte: u8| Some(SavedName { record: vec![byte; 40].into(), extent });
    let saved = Saved { stream: Some("k51b".into()), root: name(1), list: name(2), ..Saved::new(STATION) };
    let about = r#"{"name":"Radio\n 1","stream":"k51b","station":"k51a","peer":"12D","epoch":1,"more":[]}"#;
    vec![saved.write().into_bytes(), Saved::new(STATION).write().into_bytes(), about.as_bytes().to_vec()]
}
