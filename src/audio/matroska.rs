//! What symphonia 0.6.1 does not make of Matroska and WebM (RFC 9559): the title of a file, and chapters whose edition has no
//! number, which it refuses with the whole file although FFmpeg writes none.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use symphonia::core::io::MediaSource;

use super::tags::text;

const EBML: u64 = 0x1a45_dfa3;
const SEGMENT: u64 = 0x1853_8067;
const CLUSTER: u64 = 0x1f43_b675;
const INFO: u64 = 0x1549_a966;
const TITLE: u64 = 0x7ba9;
const CHAPTERS: u64 = 0x1043_a770;
const EDITION_ENTRY: u64 = 0x45b9;
const EDITION_UID: u64 = 0x45bc;
/// Elements of one level that are looked at.
const MOST: usize = 1_000;
/// A longer title is none, in bytes.
const LONGEST_TITLE: u64 = 4 << 10;
/// The widest size of an element, which FFmpeg always writes, in bytes.
const WIDEST: u64 = 8;

/// What stands before the audio.
#[derive(Debug, Default)]
struct Head {
    title: Option<String>,
    /// Sizes of editions without a number, by place: instead of each as many bytes with a narrower size, and the number 1.
    numbers: Vec<(u64, [u8; WIDEST as usize])>,
}

/// An element: what it is, where its size stands, and where its content does.
struct Element {
    id: u64,
    size_at: u64,
    content: Range<u64>,
}

/// The title of a file, if it is Matroska and has one.
pub(super) fn title(path: &Path) -> Option<String> {
    head(&mut File::open(path).ok()?).ok()?.title
}

/// The file as symphonia takes it. Any that is not Matroska is what it is.
pub(super) fn numbered(mut file: File) -> io::Result<Numbered> {
    // What is damaged is left to the reader, which says so.
    let head = head(&mut file).unwrap_or_default();
    file.rewind()?;
    Ok(Numbered { file, at: 0, numbers: head.numbers })
}

/// A file of which some bytes are read as others.
#[derive(Debug)]
pub(super) struct Numbered {
    file: File,
    at: u64,
    numbers: Vec<(u64, [u8; WIDEST as usize])>,
}

impl Read for Numbered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        for (place, bytes) in &self.numbers {
            for (byte, place) in bytes.iter().zip(*place..) {
                let index = place.checked_sub(self.at).filter(|index| *index < read as u64);
                if let Some(there) = index.and_then(|index| buffer.get_mut(index as usize)) {
                    *there = *byte;
                }
            }
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Numbered {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}

impl MediaSource for Numbered {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        self.file.metadata().ok().map(|told| told.len())
    }
}

fn head(file: &mut (impl Read + Seek)) -> io::Result<Head> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut head = Head::default();
    let segment = match &elements(file, 0..end, 2)?[..] {
        [ebml, segment] if (ebml.id, segment.id) == (EBML, SEGMENT) => segment.content.clone(),
        _ => return Ok(head),
    };
    for element in elements(file, segment, MOST)? {
        match element.id {
            CLUSTER => break,
            INFO => {
                let title = elements(file, element.content, MOST)?.into_iter().find(|element| element.id == TITLE);
                head.title = title.and_then(|title| read_text(file, title.content).ok()?);
            }
            CHAPTERS => {
                for edition in elements(file, element.content, MOST)? {
                    head.numbers.extend(number_of(file, &edition)?);
                }
            }
            _ => {}
        }
    }
    Ok(head)
}

/// What gives an edition a number, unless it has one.
fn number_of(file: &mut (impl Read + Seek), edition: &Element) -> io::Result<Option<(u64, [u8; WIDEST as usize])>> {
    let is_wide = edition.content.start - edition.size_at == WIDEST;
    if edition.id != EDITION_ENTRY || !is_wide {
        return Ok(None);
    }
    if elements(file, edition.content.clone(), MOST)?.iter().any(|element| element.id == EDITION_UID) {
        return Ok(None);
    }
    // A size of three bytes, and the number as an element of five.
    let size = edition.content.end - edition.content.start + 5;
    let [.., a, b, c] = size.to_be_bytes();
    Ok((size < 1 << 21).then_some((edition.size_at, [0x20 | a, b, c, 0x45, 0xbc, 0x82, 0x00, 0x01])))
}

fn read_text(file: &mut (impl Read + Seek), content: Range<u64>) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(content.start))?;
    file.take((content.end - content.start).min(LONGEST_TITLE)).read_to_end(&mut bytes)?;
    Ok(text(&String::from_utf8_lossy(&bytes)))
}

/// The elements in a part of a file, at most so many; up to the first cluster, of which there are many.
fn elements(file: &mut (impl Read + Seek), part: Range<u64>, most: usize) -> io::Result<Vec<Element>> {
    let mut elements = Vec::new();
    let mut at = part.start;
    while at < part.end && elements.len() < most {
        file.seek(SeekFrom::Start(at))?;
        let (id, id_width) = number(file, false)?;
        let (size, size_width) = number(file, true)?;
        let size_at = at + id_width;
        let begins = size_at + size_width;
        // One of unknown length reaches to the end.
        let is_unknown = size == (1 << (7 * size_width)) - 1;
        let ends = if is_unknown { part.end } else { begins.saturating_add(size).min(part.end) };
        elements.push(Element { id, size_at, content: begins..ends.max(begins) });
        if id == CLUSTER {
            break;
        }
        at = ends;
    }
    Ok(elements)
}

/// A number of one to eight bytes, whose first bit that is set says of how many, and its width (RFC 8794 §4). A size is read
/// without that bit.
fn number(file: &mut impl Read, is_size: bool) -> io::Result<(u64, u64)> {
    let mut first = [0];
    file.read_exact(&mut first)?;
    let width = u64::from(first[0].leading_zeros()) + 1;
    if width > WIDEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut number = u64::from(if is_size { first[0] & !(0x80 >> (width - 1)) } else { first[0] });
    for _ in 1..width {
        file.read_exact(&mut first)?;
        number = number << 8 | u64::from(first[0]);
    }
    Ok((number, width))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
        let size = [&[1][..], &(content.len() as u64).to_be_bytes()[1..]].concat();
        [id, &size, content].concat()
    }

    fn file(edition: &[u8]) -> Vec<u8> {
        let info = element(&[0x15, 0x49, 0xa9, 0x66], &element(&[0x7b, 0xa9], b"A title"));
        let chapters = element(&[0x10, 0x43, 0xa7, 0x70], &element(&[0x45, 0xb9], edition));
        let cluster = element(&[0x1f, 0x43, 0xb6, 0x75], &[0; 8]);
        let segment = [info, chapters, cluster].concat();
        [element(&[0x1a, 0x45, 0xdf, 0xa3], &[]), element(&[0x18, 0x53, 0x80, 0x67], &segment)].concat()
    }

    #[test]
    fn an_edition_is_numbered_in_its_place_unless_it_is_already() {
        let bytes = file(b"\xb6\x80");
        let head = head(&mut Cursor::new(&bytes)).unwrap();
        assert_eq!((head.title.as_deref(), head.numbers.len()), (Some("A title"), 1));
        let (at, number) = head.numbers[0];
        let mut numbered = bytes.clone();
        numbered[at as usize..at as usize + 8].copy_from_slice(&number);
        let again = super::head(&mut Cursor::new(&numbered)).unwrap();
        assert!(again.numbers.is_empty(), "it has one now");
        assert_eq!(numbered[at as usize - 2..][..12], *b"\x45\xb9\x20\x00\x07\x45\xbc\x82\x00\x01\xb6\x80");
        assert!(super::head(&mut Cursor::new(file(b"\x45\xbc\x81\x05"))).unwrap().numbers.is_empty());
    }

    #[test]
    fn what_is_cut_or_no_matroska_says_nothing_or_that_it_ends() {
        let bytes = file(b"\xb6\x80");
        for length in 0..bytes.len() {
            let _ = head(&mut Cursor::new(&bytes[..length]));
        }
        assert!(head(&mut Cursor::new(b"ID3\x04\x00\x00\x00\x00\x00\x00")).is_ok_and(|head| head.title.is_none()));
    }

    #[test]
    fn the_bytes_are_the_same_however_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mka");
        std::fs::write(&path, file(b"\xb6\x80")).unwrap();
        let read = |piece: usize| {
            let mut numbered = numbered(File::open(&path).unwrap()).unwrap();
            let (mut all, mut some) = (Vec::<u8>::new(), vec![0; piece]);
            loop {
                match numbered.read(&mut some).unwrap() {
                    0 => return all,
                    read => all.extend(&some[..read]),
                }
            }
        };
        let whole = read(1 << 16);
        assert!(whole != std::fs::read(&path).unwrap());
        for piece in [1, 2, 3, 7, 64] {
            assert_eq!(read(piece), whole);
        }
    }
}
