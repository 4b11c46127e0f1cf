//! Transport streams, the boxes of an MP4 file, and tags, as functions of bytes: see [`crate::fuzz`].

use super::{
    cut::FRAME,
    legacy,
    mp4::{self, Trim},
    mpegts::Muxer,
    ts::{Reader, adts},
};
use crate::radio::{cue, fuzz::Feed, time::Span};

/// Bytes of the longest AAC-LC frame of two channels (ISO/IEC 14496-3), with its header.
const LONGEST_FRAME: usize = 2 * 768 + 7;
/// Names of boxes.
pub(crate) const WORDS: [&str; 18] = [
    "moov", "trak", "mdia", "hdlr", "soun", "edts", "elst", "mvhd", "mdhd", "udta", "chpl", "vide", "minf", "stbl",
    "stsd", "stsz", "mvex", "vp09",
];
/// Names of frames and chunks.
pub(crate) const FRAMES: [&str; 12] =
    ["ID3\x02", "ID3\x03", "ID3\x04", "TIT2", "TT2", "CHAP", "TAG", "LIST", "INFO", "INAM", "id3 ", "NAME"];
const RATES: [u32; 5] = [22_050, 24_000, 32_000, 44_100, 48_000];

/// Whatever frames there are, the segments made of them are read as those frames, dated one behind the other.
pub(crate) fn ts(data: &[u8]) {
    let mut feed = Feed(data);
    let rate = RATES[feed.below(RATES.len())];
    let (mut muxer, mut reader, mut count) = (Muxer::new(rate), Reader::default(), 0_u64);
    for _ in 0..1 + feed.below(3) {
        let frames: Vec<Vec<u8>> = (0..1 + feed.below(20)).map(|_| frame(&mut feed)).collect();
        let bytes = muxer.segment(&frames).expect("frames fit into packets");
        assert_eq!(bytes.len() % 188, 0);
        let units = reader.segment(&bytes);
        for unit in &units {
            assert_eq!(unit.pts, 900_000 + count * FRAME * 90_000 / u64::from(rate));
            count += adts(&unit.data).len() as u64;
        }
        let read: Vec<&[u8]> = units.iter().flat_map(|unit| adts(&unit.data)).collect();
        assert!(read.iter().eq(frames.iter()), "other frames than were written");
        assert_eq!(muxer.frames(), count);
    }
}

/// A frame of up to the longest length, whose content is some of the input over and over.
fn frame(feed: &mut Feed<'_>) -> Vec<u8> {
    let length = 7 + feed.below(LONGEST_FRAME - 6);
    let content = feed.bytes();
    let mut frame =
        vec![0xff, 0xf1, 0x50, 0x80 | (length >> 11) as u8, (length >> 3) as u8, (length << 5) as u8 | 0x1f, 0xfc];
    frame.extend(content.iter().cycle().take(length - 7));
    frame.resize(length, 0);
    frame
}

pub(crate) fn ts_seeds() -> Vec<Vec<u8>> {
    let frames = [100, 1, 2, 71, 72, 255, 5].map(|length: u8| [length, 1, 3, 0xff, 0xf1, length]).concat();
    vec![Vec::new(), [&[3, 0, 6], &frames[..]].concat(), [&[0, 2, 19], &frames[..], &[0x47; 60]].concat()]
}

/// An MP4 file: no more is cut than there is, and chapters are fit to show.
pub(crate) fn mp4(data: &[u8]) {
    let (trim, marks, _) = mp4::of_bytes(data);
    assert!(marks.len() <= 255);
    let chapters = cue::chapters(&marks, Span(0), 0, 44_100, 1 << 40);
    assert!(chapters.len() <= cue::MOST && chapters.windows(2).all(|pair| pair[0].at < pair[1].at));
    let itunes = std::str::from_utf8(data).ok().and_then(Trim::of_itunes);
    for trim in [trim, itunes].into_iter().flatten() {
        let mut kept = 0;
        for at in [0, 1_000, u64::MAX - 2_000] {
            let mut block = vec![0.0; 2_000];
            trim.apply(at, 2, &mut block);
            assert_eq!(block.len() % 2, 0);
            kept += block.len();
        }
        assert!(kept <= 6_000);
    }
}

pub(crate) fn mp4_seeds() -> Vec<Vec<u8>> {
    let atom = |name: &[u8], content: &[u8]| [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat();
    let numbers = |numbers: &[u32]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let edits = atom(b"edts", &atom(b"elst", &numbers(&[0, 1, 700, 1_024, 1 << 16])));
    let handler = atom(b"hdlr", &[numbers(&[0, 0]), b"soun".to_vec()].concat());
    let media = atom(b"mdia", &[atom(b"mdhd", &numbers(&[0, 0, 0, 44_100, 99_999])), handler].concat());
    let chapters = [&[0, 0, 0, 0, 2][..], &[0; 8], b"\x03One", &12_500_000_u64.to_be_bytes(), b"\x00"].concat();
    let data = atom(b"udta", &atom(b"chpl", &chapters));
    let header = atom(b"mvhd", &numbers(&[0, 0, 0, 1_000, 700]));
    let movie = atom(b"moov", &[header, atom(b"trak", &[edits, media].concat()), data].concat());
    let comment = b" 00000000 00000840 000001CA 00000000003F31F6 00000000".to_vec();
    let entry = atom(b"stsd", &[numbers(&[0, 1, 16]), b"vp09".to_vec()].concat());
    let table = atom(b"stbl", &[entry, atom(b"stsz", &numbers(&[0, 0, 2]))].concat());
    let handler = atom(b"hdlr", &[numbers(&[0, 0]), b"vide".to_vec()].concat());
    let media = atom(b"mdia", &[handler, atom(b"minf", &table)].concat());
    let video = atom(b"moov", &[atom(b"trak", &media), atom(b"mvex", &[])].concat());
    vec![[atom(b"ftyp", b"M4A "), movie].concat(), comment, video]
}

/// The texts of a recording: what is made of them is fit to show.
pub(crate) fn tags(data: &[u8]) {
    for text in legacy::of_bytes(data) {
        assert!(!text.is_empty() && text.trim() == text && !text.contains(char::is_control), "{text:?}");
    }
}

pub(crate) fn tags_seeds() -> Vec<Vec<u8>> {
    // Cyrillic in windows-1251, and UTF-8.
    let (title, artist) = (b"\xc3\xf0\xf3\xef\xef\xe0", "Motörhead".as_bytes());
    let frame = |name: &[u8], text: &[u8]| [name, &(text.len() as u32 + 1).to_be_bytes(), &[0, 0, 0], text].concat();
    let chapter = [b"CHAP", &[0, 0, 0, 39, 0, 0, b'1', 0][..], &[0; 16], &frame(b"TIT2", artist)].concat();
    let frames = [frame(b"TIT2", title), frame(b"TPE1", artist), chapter].concat();
    let id3 = |version: u8| [b"ID3", &[version, 0, 0, 0, 0, 0, frames.len() as u8][..], &frames].concat();
    let mut id3v1 = [b"TAG", &title[..]].concat();
    id3v1.resize(128, 0);
    let chunk = |name: &[u8], size: [u8; 4], text: &[u8]| [name, &size, text].concat();
    let list = [&b"INFO"[..], &chunk(b"INAM", 6_u32.to_le_bytes(), title)].concat();
    let list = chunk(b"LIST", (list.len() as u32).to_le_bytes(), &list);
    let wave = [&b"RIFF\0\0\0\0WAVE"[..], &list].concat();
    let aiff = [&b"FORM\0\0\0\0AIFF"[..], &chunk(b"NAME", 6_u32.to_be_bytes(), title)].concat();
    vec![id3(3), id3(4), id3v1, wave, aiff]
}
