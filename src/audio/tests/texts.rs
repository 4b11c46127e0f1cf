//! Texts of tags in encodings of old.

use encoding_rs::{Encoding, GBK, SHIFT_JIS, UTF_8, WINDOWS_1251, WINDOWS_1252};

use super::{super::decode::*, files::*};

/// A frame of an ID3v2 tag with a text.
fn frame(version: u8, name: &str, encoding: u8, text: &[u8]) -> Vec<u8> {
    let content = [&[encoding][..], text].concat();
    let size = (content.len() as u32).to_be_bytes();
    let size = if version == 2 { &size[1..] } else { &size[..] };
    [name.as_bytes(), size, if version == 2 { &[] } else { &[0, 0] }, &content].concat()
}

/// An MP3 file with these frames before it, or what is left of them when nothing may look like audio.
fn with_frames(version: u8, flags: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut frames = frames.concat();
    if flags & 0x80 != 0 {
        frames = frames.iter().flat_map(|byte| [*byte, 0].into_iter().take(1 + usize::from(*byte == 0xff))).collect();
    }
    let len = frames.len();
    assert!(len < 1 << 14);
    let header = [b'I', b'D', b'3', version, 0, flags, 0, 0, (len >> 7) as u8, len as u8 & 0x7f];
    [&header[..], &frames, &bytes_of("bare.mp3")].concat()
}

/// Title, artist and album, a word for each.
fn told(bytes: &[u8], name: &str) -> [String; 3] {
    let (_folder, file) = written(bytes, name);
    let tags = probe(&file.path).unwrap().tags;
    [tags.title, tags.artist, tags.album].map(Option::unwrap_or_default)
}

fn encoded(encoding: &'static Encoding, text: &str) -> Vec<u8> {
    let (bytes, _, failed) = encoding.encode(text);
    assert!(!failed, "{text}");
    bytes.into_owned()
}

#[test]
fn frames_that_only_claim_to_be_latin_are_understood() {
    for (encoding, texts) in [
        (WINDOWS_1252, ["Don’t", "Björk", "“Début”"]),
        (UTF_8, ["Don’t", "Björk", "Группа крови"]),
        (WINDOWS_1251, ["Земля", "Кино", "Ночь"]),
        (SHIFT_JIS, ["上を向いて歩こう", "坂本九", "ベスト"]),
        (GBK, ["月亮代表我的心", "邓丽君", "精选"]),
    ] {
        for version in [2, 3, 4] {
            let names = if version == 2 { ["TT2", "TP1", "TAL"] } else { ["TIT2", "TPE1", "TALB"] };
            let written: Vec<_> =
                names.iter().zip(texts).map(|(name, text)| frame(version, name, 0, &encoded(encoding, text))).collect();
            let flags: &[u8] = if version == 4 { &[0] } else { &[0, 0x80] };
            for flags in flags {
                let file = with_frames(version, *flags, &written);
                assert_eq!(told(&file, "a.mp3"), texts, "{} in 2.{version}, {flags:#x}", encoding.name());
            }
        }
    }
}

#[test]
fn frames_that_state_unicode_are_left_as_they_are() {
    let strange = "Êèíî – Ãðóïïà êðîâè";
    let wide: Vec<u8> = strange.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let frames = [frame(4, "TIT2", 3, strange.as_bytes()), frame(4, "TPE1", 2, &wide), frame(4, "TALB", 0, b"Album")];
    assert_eq!(told(&with_frames(4, 0, &frames), "a.mp3"), [strange, strange, "Album"]);
}

#[test]
fn other_tags_without_a_stated_encoding_are_understood() {
    let words = ["Группа крови", "Кино", "Ночь"];
    let [title, artist, album] = words.map(|text| encoded(WINDOWS_1251, text));
    let field = |text: &[u8]| [text, &vec![0; 30 - text.len()]].concat();
    let id3v1 = [b"TAG".to_vec(), field(&title), field(&artist), field(&album), vec![0; 35]].concat();
    assert_eq!(told(&[bytes_of("bare.mp3"), id3v1].concat(), "a.mp3"), words);
    let chunk = |name: &[u8; 4], text: &[u8]| {
        let text = [text, &vec![0; text.len() % 2]].concat();
        [name, &(text.len() as u32).to_le_bytes()[..], &text].concat()
    };
    let list = [
        b"INFO".to_vec(),
        chunk(b"INAM", &title),
        chunk(b"IART", &artist),
        chunk(b"IPRD", &album),
        chunk(b"ICRD", b"1988-05"),
    ]
    .concat();
    let list = chunk(b"LIST", &list);
    let mut wav = bytes_of("mono.wav");
    let size = u32::from_le_bytes(wav[4..8].try_into().unwrap()) + list.len() as u32;
    wav[4..8].copy_from_slice(&size.to_le_bytes());
    let wav = [&wav[..12], &list, &wav[12..]].concat();
    assert_eq!(told(&wav, "a.wav"), words);
    let (_folder, file) = written(&wav, "a.wav");
    assert_eq!(probe(&file.path).unwrap().tags.year, Some(1_988));
}

#[test]
fn chapters_without_a_stated_encoding_are_understood() {
    let chapter = |id: &[u8; 2], begins: u32, text: &str| {
        let times = [begins, begins + 200, u32::MAX, u32::MAX].map(u32::to_be_bytes).concat();
        let title = frame(3, "TIT2", 0, &encoded(SHIFT_JIS, text));
        let content = [&id[..], &times, &title].concat();
        [b"CHAP", &(content.len() as u32).to_be_bytes()[..], &[0, 0], &content].concat()
    };
    let titles = ["上を向いて歩こう", "さくらさくら"];
    let frames = [chapter(b"a\0", 0, titles[0]), chapter(b"b\0", 300, titles[1])];
    let (_folder, file) = written(&with_frames(3, 0, &frames), "a.mp3");
    let marks = probe(&file.path).unwrap().marks;
    assert!(marks.iter().map(|mark| mark.title.as_str()).eq(titles), "{marks:?}");
}

#[test]
fn several_texts_in_one_frame_are_read() {
    let latin =
        [frame(4, "TIT2", 0, b"One\0Two"), frame(4, "TPE1", 3, b"Simon\0Garfunkel\0"), frame(4, "TALB", 3, b"A\0B")];
    assert_eq!(told(&with_frames(4, 0, &latin), "a.mp3"), ["One", "Simon, Garfunkel", "A"]);
    let wide: Vec<u8> = "\u{feff}Simon\0\u{feff}Garfunkel".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = [frame(4, "TPE1", 1, &wide), frame(4, "TIT2", 3, b"One")];
    assert_eq!(told(&with_frames(4, 0, &wide), "a.mp3"), ["One", "Simon, Garfunkel", ""]);
    let windows = ["Кино", "Алиса"].map(|text| encoded(WINDOWS_1251, text)).join(&[0][..]);
    let windows =
        [frame(4, "TIT2", 0, &encoded(WINDOWS_1251, "Группа крови на рукаве")), frame(4, "TPE1", 0, &windows)];
    assert_eq!(told(&with_frames(4, 0, &windows), "a.mp3"), ["Группа крови на рукаве", "Кино, Алиса", ""]);
}
