//! The bytes of the texts in ID3 tags, RIFF lists and AIFF chunks, of which symphonia only gives characters, and of those in WAV
//! files nothing.

use std::{
    borrow::Cow,
    io::{self, Read, Seek, SeekFrom},
};

/// More of an ID3v2 tag is not read, in bytes: texts behind a cover that is larger than any that is kept.
const LONGEST_TAG: u64 = 5 << 20;
/// A longer text is none, in bytes.
const LONGEST_TEXT: usize = 4 << 10;
/// Chunks that are looked at, and texts that are taken of a file.
const MOST: usize = 1_000;

/// A text as it is stored, and as symphonia shows it, or the name that it has in a list that symphonia does not show.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    pub(super) shown: Shown,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    As(String),
    Not([u8; 4]),
}

/// All texts of a file whose encoding is not stated.
pub(super) fn texts(mut file: impl Read + Seek) -> io::Result<Vec<Text>> {
    let len = file.seek(SeekFrom::End(0))?;
    let mut texts = Vec::new();
    match &piece(&mut file, 0, 12)?[..] {
        [b'I', b'D', b'3', ..] => id3v2(&piece(&mut file, 0, LONGEST_TAG)?, &mut texts),
        [b'R', b'I', b'F', b'F', .., b'W', b'A', b'V', b'E'] => {
            chunks(&mut file, 12..len, u32::from_le_bytes, &mut texts)?;
        }
        [b'F', b'O', b'R', b'M', .., b'A', b'I', b'F', b'F' | b'C'] => {
            chunks(&mut file, 12..len, u32::from_be_bytes, &mut texts)?;
        }
        _ => {}
    }
    if let [b'T', b'A', b'G', fields @ ..] = &piece(&mut file, len.saturating_sub(128), 128)?[..] {
        fields.chunks(30).take(3).for_each(|field| take(until_zero(field), latin1, &mut texts));
    }
    texts.truncate(MOST);
    Ok(texts)
}

fn piece(file: &mut (impl Read + Seek), at: u64, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(longest).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The chunks of a WAV or AIFF file, and of a list in it.
fn chunks(
    file: &mut (impl Read + Seek),
    range: std::ops::Range<u64>,
    number: fn([u8; 4]) -> u32,
    texts: &mut Vec<Text>,
) -> io::Result<()> {
    let mut at = range.start;
    for _ in 0..MOST {
        let head = piece(file, at, 12)?;
        let Some((name, size)) = head.split_first_chunk::<4>() else { break };
        let Some(size) = size.first_chunk::<4>().copied().map(number) else { break };
        let (begins, ends) = (at + 8, at + 8 + u64::from(size));
        if ends > range.end {
            break;
        }
        let mut content = |longest: u64| piece(file, begins, longest.min(u64::from(size)));
        match name {
            b"LIST" if head.ends_with(b"INFO") => list(&content(LONGEST_TAG)?, texts),
            b"id3 " | b"ID3 " => id3v2(&content(LONGEST_TAG)?, texts),
            b"NAME" | b"AUTH" => take(until_zero(&content(LONGEST_TEXT as u64)?), latin1, texts),
            _ => {}
        }
        at = ends + ends % 2;
    }
    Ok(())
}

/// The list of texts of a WAV file.
fn list(mut rest: &[u8], texts: &mut Vec<Text>) {
    rest = rest.get(4..).unwrap_or_default();
    while let Some((head, behind)) = rest.split_first_chunk::<8>() {
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let Some(content) = behind.get(..size) else { break };
        if texts.len() == MOST {
            break;
        }
        if content.len() <= LONGEST_TEXT {
            let shown = Shown::Not([head[0], head[1], head[2], head[3]]);
            texts.push(Text { bytes: until_zero(content).to_vec(), shown });
        }
        rest = behind.get(size + size % 2..).unwrap_or_default();
    }
}

/// An ID3v2 tag from its first byte on (id3.org, 2.2 to 2.4).
fn id3v2(tag: &[u8], texts: &mut Vec<Text>) {
    let Some((&[b'I', b'D', b'3', version @ 2..=4, _, flags, a, b, c, d], rest)) = tag.split_first_chunk::<10>() else {
        return;
    };
    let content = rest.get(..syncsafe([a, b, c, d])).unwrap_or(rest);
    let content = if flags & 0x80 != 0 && version < 4 { synchronised(content) } else { Cow::Borrowed(content) };
    let size = content.first_chunk::<4>().copied().unwrap_or_default();
    let extended = match version {
        3 if flags & 0x40 != 0 => (u32::from_be_bytes(size) as usize).saturating_add(4),
        4 if flags & 0x40 != 0 => syncsafe(size),
        _ => 0,
    };
    frames(content.get(extended..).unwrap_or_default(), version, true, texts);
}

/// The frames of a tag, or of a chapter in it.
fn frames(mut rest: &[u8], version: u8, outer: bool, texts: &mut Vec<Text>) {
    while let Some(Frame { name, content, behind }) = frame(rest, version) {
        rest = behind;
        match (name, &content[..]) {
            _ if texts.len() >= MOST => break,
            (b"CHAP", chapter) if outer => {
                // Its name, and where it begins and ends.
                let named = chapter.iter().position(|byte| *byte == 0).unwrap_or(chapter.len());
                frames(chapter.get(named + 17..).unwrap_or_default(), version, false, texts);
            }
            ([b'T', ..], [0, text @ ..]) => text.split(|byte| *byte == 0).for_each(|text| take(text, strict, texts)),
            _ => {}
        }
    }
}

/// A frame of ID3v2, and what is behind it.
struct Frame<'a> {
    name: &'a [u8],
    content: Cow<'a, [u8]>,
    behind: &'a [u8],
}

/// The next frame.
fn frame(rest: &[u8], version: u8) -> Option<Frame<'_>> {
    let (head, rest) = rest.split_at_checked(if version == 2 { 6 } else { 10 })?;
    let (name, size, flags) = match *head {
        [_, _, _, a, b, c] => (&head[..3], u32::from_be_bytes([0, a, b, c]) as usize, 0),
        [_, _, _, _, a, b, c, d, _, flags] if version == 3 => {
            (&head[..4], u32::from_be_bytes([a, b, c, d]) as usize, flags)
        }
        [_, _, _, _, a, b, c, d, _, flags] => (&head[..4], syncsafe([a, b, c, d]), flags),
        _ => return None,
    };
    if !name.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return None;
    }
    let (content, behind) = rest.split_at_checked(size)?;
    let content = match (version, flags) {
        (2, _) | (_, 0) => Cow::Borrowed(content),
        // Its length comes first, and it may keep clear of what looks like MPEG audio.
        (4, 1) => Cow::Borrowed(content.get(4..)?),
        (4, 2) => synchronised(content),
        (4, 3) => synchronised(content.get(4..)?),
        // Compressed, encrypted, or in a group: symphonia's reading stands.
        _ => Cow::Borrowed(&[][..]),
    };
    Some(Frame { name, content, behind })
}

fn syncsafe(bytes: [u8; 4]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 7 | usize::from(byte & 0x7f))
}

/// Without the zeros that are written behind each 0xff.
fn synchronised(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut before = 0;
    let kept = bytes.iter().filter(|byte| std::mem::replace(&mut before, **byte) != 0xff || **byte != 0);
    Cow::Owned(kept.copied().collect())
}

fn take(bytes: &[u8], shown: fn(&u8) -> char, texts: &mut Vec<Text>) {
    if !bytes.is_empty() && bytes.len() <= LONGEST_TEXT && texts.len() < MOST {
        texts.push(Text { bytes: bytes.to_vec(), shown: Shown::As(bytes.iter().map(shown).collect()) });
    }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn latin1(byte: &u8) -> char {
    char::from(*byte)
}

/// Latin-1 without control characters, as ID3v2 wants it.
fn strict(byte: &u8) -> char {
    match *byte {
        b'\n' | 0x20..=0x7f | 0xa0.. => char::from(*byte),
        _ => char::REPLACEMENT_CHARACTER,
    }
}
