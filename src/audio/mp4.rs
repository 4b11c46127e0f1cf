//! What an MP4 file says of the samples that only prime and fill the codec (its edit list, or iTunes' comment), of its
//! chapters, and of pictures.

use std::{
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use symphonia::core::codecs::audio::AudioCodecParameters;

use super::Error;
use crate::radio::{cue::Mark, time::Span};

/// No codec primes with more than this; a longer cut is an edit of another kind.
const LONGEST_PRIMING: u64 = 16_384;
/// No list of 255 chapters is longer, in bytes.
const LONGEST_CHAPTERS: u64 = 128 << 10;
/// Sample entries of still pictures: covers, also one for each chapter.
const STILL: [&Name; 4] = [b"jpeg", b"mjpa", b"mjpb", b"png "];
/// Boxes that are looked at before a file is given up.
const MOST_BOXES: usize = 10_000;

/// The part of the decoded samples that is the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trim {
    /// Samples per channel in front of the recording.
    skip: u64,
    /// Samples per channel of the recording, if known.
    keep: Option<u64>,
}

impl Trim {
    /// From iTunes' comment: hexadecimal numbers, of which the second is the priming and the fourth the length.
    pub(super) fn of_itunes(comment: &str) -> Option<Self> {
        let mut numbers = comment.split_ascii_whitespace().map(|number| u64::from_str_radix(number, 16));
        let skip = numbers.nth(1)?.ok()?;
        let keep = numbers.nth(1)?.ok()?;
        (skip <= LONGEST_PRIMING && keep > 0).then_some(Self { skip, keep: Some(keep) })
    }

    /// From the edit list of the only audio track (ISO/IEC 14496-12 §8.6.6). A file whose edits are of another kind,
    /// or cannot be understood, is left as it is.
    pub(super) fn of_edit_list(path: &Path, parameters: &AudioCodecParameters) -> Result<Option<Self>, Error> {
        let Some(rate) = parameters.sample_rate else { return Ok(None) };
        let file = File::open(path).map_err(Error::Read)?;
        match Boxes::new(BufReader::new(file)).and_then(|mut boxes| boxes.trim(u64::from(rate))) {
            Ok(trim) => Ok(trim),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(Error::Read(error)),
        }
    }

    /// Cuts a block of interleaved samples whose first frame is decoded frame `at`.
    pub(super) fn apply(&self, at: u64, channels: usize, samples: &mut Vec<f32>) {
        let len = (samples.len() / channels) as u64;
        let within = |edge: u64| edge.saturating_sub(at).min(len) as usize * channels;
        let end = self.keep.map_or(samples.len(), |keep| within(self.skip.saturating_add(keep)));
        samples.truncate(end);
        samples.drain(..within(self.skip).min(end));
    }
}

/// The chapters of an MP4 file as Nero's list has them; none where there is no such list, or where it makes no sense.
pub(super) fn chapters(path: &Path) -> Vec<Mark> {
    let read = File::open(path).and_then(|file| Boxes::new(BufReader::new(file))?.chapters());
    read.unwrap_or_default()
}

/// Whether there are moving pictures in an MP4 file, whatever their codec; none where that cannot be understood.
pub(super) fn is_video(path: &Path) -> bool {
    let read = File::open(path).and_then(|file| Boxes::new(BufReader::new(file))?.moves());
    read.unwrap_or_default()
}

/// Version and flags, four bytes more from version 1 on, a count; then of each chapter its beginning in tenths of a
/// microsecond and its title (FFmpeg's `mov.c`; no standard has it).
fn nero(list: &[u8]) -> Option<Vec<Mark>> {
    let head = if *list.first()? == 0 { 4 } else { 8 };
    let (count, mut rest) = list.get(head..)?.split_first()?;
    let mut marks = Vec::new();
    for _ in 0..*count {
        let (begins, behind) = rest.split_first_chunk::<8>()?;
        let (length, behind) = behind.split_first()?;
        let (title, behind) = behind.split_at_checked(usize::from(*length))?;
        let title = String::from_utf8_lossy(title).into_owned();
        marks.push(Mark { at: Span(u64::from_be_bytes(*begins) / 10), title, artist: String::new() });
        rest = behind;
    }
    Some(marks)
}

/// A reader of boxes: headers and small fields, never whole tables.
struct Boxes<R> {
    reader: R,
    len: u64,
    left: usize,
}

type Name = [u8; 4];

impl<R: Read + Seek> Boxes<R> {
    fn new(mut reader: R) -> io::Result<Self> {
        let len = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, len, left: MOST_BOXES })
    }

    fn trim(&mut self, rate: u64) -> io::Result<Option<Trim>> {
        let Some(movie) = self.find(0..self.len, b"moov")? else { return Ok(None) };
        let movie_scale = self.scale(movie.clone(), b"mvhd")?;
        let audio = self.tracks(movie, b"soun")?;
        let [(track, media)] = &audio[..] else { return Ok(None) };
        if self.scale(media.clone(), b"mdhd")? != rate {
            return Ok(None);
        }
        let Some(edits) = self.find(track.clone(), b"edts")? else { return Ok(None) };
        let Some(list) = self.find(edits, b"elst")? else { return Ok(None) };
        self.edit(list, rate, movie_scale)
    }

    /// The tracks of a kind, and the media of each.
    fn tracks(&mut self, movie: Range<u64>, kind: &Name) -> io::Result<Vec<(Range<u64>, Range<u64>)>> {
        let mut tracks = Vec::new();
        for (_, track) in self.children(movie)?.into_iter().filter(|(name, _)| name == b"trak") {
            let Some(media) = self.find(track.clone(), b"mdia")? else { continue };
            let Some(handler) = self.find(media.clone(), b"hdlr")? else { continue };
            if self.number(handler.start + 8, 4)? == u64::from(u32::from_be_bytes(*kind)) {
                tracks.push((track, media));
            }
        }
        Ok(tracks)
    }

    /// Whether a video track has more than one picture, or says how many only in fragments.
    fn moves(&mut self) -> io::Result<bool> {
        let Some(movie) = self.find(0..self.len, b"moov")? else { return Ok(false) };
        let is_fragmented = self.find(movie.clone(), b"mvex")?.is_some();
        for (_, media) in self.tracks(movie, b"vide")? {
            let Some(information) = self.find(media, b"minf")? else { continue };
            let Some(table) = self.find(information, b"stbl")? else { continue };
            let Some(entries) = self.find(table.clone(), b"stsd")? else { continue };
            let Some(sizes) = self.find(table, b"stsz")? else { continue };
            let entry = (self.number(entries.start + 12, 4)? as u32).to_be_bytes();
            let pictures = self.number(sizes.start + 8, 4)?;
            if !STILL.contains(&&entry) && (pictures > 1 || is_fragmented) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn chapters(&mut self) -> io::Result<Vec<Mark>> {
        let Some(movie) = self.find(0..self.len, b"moov")? else { return Ok(Vec::new()) };
        let Some(data) = self.find(movie, b"udta")? else { return Ok(Vec::new()) };
        let Some(list) = self.find(data, b"chpl")? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        self.reader.seek(SeekFrom::Start(list.start))?;
        (&mut self.reader).take((list.end - list.start).min(LONGEST_CHAPTERS)).read_to_end(&mut bytes)?;
        nero(&bytes).ok_or_else(invalid)
    }

    /// The one edit that shows media, if there is one alone and it starts behind no more than a codec's priming.
    fn edit(&mut self, list: Range<u64>, rate: u64, movie_scale: u64) -> io::Result<Option<Trim>> {
        let width = if self.number(list.start, 1)? == 1 { 8 } else { 4 };
        let hidden = if width == 8 { u64::MAX } else { u64::from(u32::MAX) };
        let count = self.number(list.start + 4, 4)?;
        let mut shown = Vec::new();
        for index in 0..count.min(16) {
            let at = list.start + 8 + index * (2 * width + 4);
            let (duration, start) = (self.number(at, width)?, self.number(at + width, width)?);
            if start != hidden {
                shown.push((duration, start));
            }
        }
        let &[(duration, skip)] = &shown[..] else { return Ok(None) };
        if skip > LONGEST_PRIMING || movie_scale == 0 {
            return Ok(None);
        }
        // A length in coarser ticks than samples is rounded by its writer: one tick more loses nothing.
        let rounding = u64::from(movie_scale != rate);
        let keep = duration.saturating_add(rounding).saturating_mul(rate).div_ceil(movie_scale);
        Ok(Some(Trim { skip, keep: Some(keep).filter(|_| duration > 0) }))
    }

    /// Ticks per second that a header box states.
    fn scale(&mut self, parent: Range<u64>, name: &Name) -> io::Result<u64> {
        let Some(header) = self.find(parent, name)? else { return Ok(0) };
        let times = if self.number(header.start, 1)? == 1 { 16 } else { 8 };
        self.number(header.start + 4 + times, 4)
    }

    fn find(&mut self, parent: Range<u64>, name: &Name) -> io::Result<Option<Range<u64>>> {
        Ok(self.children(parent)?.into_iter().find(|(child, _)| child == name).map(|(_, range)| range))
    }

    /// Names and contents of the boxes within a range.
    fn children(&mut self, parent: Range<u64>) -> io::Result<Vec<(Name, Range<u64>)>> {
        let mut children = Vec::new();
        let mut at = parent.start;
        while at + 8 <= parent.end {
            self.left = self.left.checked_sub(1).ok_or_else(invalid)?;
            let name = (self.number(at + 4, 4)? as u32).to_be_bytes();
            let (header, size) = match self.number(at, 4)? {
                0 => (8, parent.end - at),
                1 => (16, self.number(at + 8, 8)?),
                size => (8, size),
            };
            let end = at.checked_add(size).filter(|end| *end <= parent.end && size >= header).ok_or_else(invalid)?;
            children.push((name, at + header..end));
            at = end;
        }
        Ok(children)
    }

    /// A number of `width` bytes, the highest first.
    fn number(&mut self, at: u64, width: u64) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.reader.seek(SeekFrom::Start(at))?;
        self.reader.read_exact(&mut bytes[8 - width as usize..])?;
        Ok(u64::from_be_bytes(bytes))
    }
}

/// What the bytes of a file say: the trim at 44 100 Hz, the chapters, and whether it is a video.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn of_bytes(bytes: &[u8]) -> (Option<Trim>, Vec<Mark>, bool) {
    let boxes = || Boxes::new(io::Cursor::new(bytes));
    let trim = boxes().and_then(|mut boxes| boxes.trim(44_100)).unwrap_or_default();
    let chapters = boxes().and_then(|mut boxes| boxes.chapters()).unwrap_or_default();
    (trim, chapters, boxes().and_then(|mut boxes| boxes.moves()).unwrap_or_default())
}

fn invalid() -> io::Error {
    ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn atom(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        [&(content.len() as u32 + 8).to_be_bytes()[..], name, content].concat()
    }

    fn numbers(numbers: &[u32]) -> Vec<u8> {
        numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn track(handler: &[u8; 4], edits: &[u8]) -> Vec<u8> {
        let header = atom(b"mdhd", &numbers(&[0, 0, 0, 44_100, 99_999]));
        let handler = atom(b"hdlr", &[&numbers(&[0, 0])[..], handler].concat());
        let media = atom(b"mdia", &[header, handler].concat());
        atom(b"trak", &[atom(b"edts", &atom(b"elst", edits)), media].concat())
    }

    fn movie(tracks: &[Vec<u8>]) -> Vec<u8> {
        let header = atom(b"mvhd", &numbers(&[0, 0, 0, 1_000, 700]));
        [atom(b"ftyp", b"M4A "), atom(b"moov", &[header, tracks.concat()].concat())].concat()
    }

    fn trim(file: Vec<u8>) -> Option<Trim> {
        Boxes::new(Cursor::new(file)).and_then(|mut boxes| boxes.trim(44_100)).unwrap_or_default()
    }

    const EDIT: [u32; 5] = [0, 1, 700, 1_024, 1 << 16];

    #[test]
    fn an_edit_list_says_what_to_skip_and_keep() {
        let wanted = Some(Trim { skip: 1_024, keep: Some(30_915) });
        assert_eq!(trim(movie(&[track(b"soun", &numbers(&EDIT))])), wanted);
        let wide = numbers(&[1 << 24, 1, 0, 700, 0, 1_024, 1 << 16]);
        assert_eq!(trim(movie(&[track(b"soun", &wide)])), wanted);
        let delayed = numbers(&[0, 2, 50, u32::MAX, 1 << 16, 700, 1_024, 1 << 16]);
        assert_eq!(trim(movie(&[track(b"vide", &[]), track(b"soun", &delayed)])), wanted);
    }

    #[test]
    fn what_is_no_priming_or_makes_no_sense_is_left_alone() {
        let sound = |edits: &[u32]| track(b"soun", &numbers(edits));
        assert_eq!(trim(movie(&[sound(&[0, 1, 700, 50_000, 1 << 16])])), None);
        assert_eq!(trim(movie(&[sound(&[0, 2, 300, 0, 1 << 16, 300, 9_000, 1 << 16])])), None);
        assert_eq!(trim(movie(&[sound(&[0, 9, 700])])), None);
        assert_eq!(trim(movie(&[sound(&EDIT), sound(&EDIT)])), None);
        let whole = movie(&[sound(&EDIT)]);
        for len in 0..whole.len() {
            assert_eq!(trim(whole[..len].to_vec()), None, "cut to {len} bytes");
        }
        assert_eq!(trim(atom(b"free", &[]).repeat(MOST_BOXES + 1)), None);
    }

    #[test]
    fn a_list_of_chapters_is_read_as_far_as_it_makes_sense() {
        let chapter = |begins: u64, title: &[u8]| [&begins.to_be_bytes()[..], &[title.len() as u8], title].concat();
        let both = [chapter(0, b"One"), chapter(12_500_000, b"")].concat();
        let listed = |head: &[u8]| atom(b"moov", &atom(b"udta", &atom(b"chpl", &[head, &both].concat())));
        let read = |file: Vec<u8>| Boxes::new(Cursor::new(file)).and_then(|mut boxes| boxes.chapters()).ok();
        let mark = |at, title: &str| Mark { at: Span(at), title: title.into(), artist: String::new() };
        let wanted = Some(vec![mark(0, "One"), mark(1_250_000, "")]);
        assert_eq!(read(listed(&[0, 0, 0, 0, 2])), wanted);
        assert_eq!(read(listed(&[1, 0, 0, 0, 0, 0, 0, 0, 2])), wanted);
        assert_eq!(read(listed(&[0, 0, 0, 0, 3])), None);
        assert_eq!(read(movie(&[])), Some(vec![]));
        let whole = listed(&[0, 0, 0, 0, 2]);
        for len in 0..whole.len() {
            assert!(read(whole[..len].to_vec()).is_none_or(|marks| marks.is_empty()), "cut to {len} bytes");
        }
    }

    #[test]
    fn a_video_track_with_fragments_moves() {
        let entry = atom(b"stsd", &[&numbers(&[0, 1, 16])[..], b"vp09"].concat());
        let moves = |pictures: u32, more: Vec<u8>| {
            let table = atom(b"stbl", &[entry.clone(), atom(b"stsz", &numbers(&[0, 0, pictures]))].concat());
            let handler = atom(b"hdlr", &[&numbers(&[0, 0])[..], b"vide"].concat());
            let media = atom(b"mdia", &[handler, atom(b"minf", &table)].concat());
            let file = movie(&[atom(b"trak", &media), more]);
            Boxes::new(Cursor::new(file)).and_then(|mut boxes| boxes.moves()).unwrap()
        };
        assert!(moves(2, Vec::new()) && moves(0, atom(b"mvex", &[])));
        assert!(!moves(1, Vec::new()) && !moves(0, Vec::new()));
    }

    #[test]
    fn itunes_comments_are_read() {
        let comment = " 00000000 00000840 000001CA 00000000003F31F6 00000000 00000000";
        assert_eq!(Trim::of_itunes(comment), Some(Trim { skip: 0x840, keep: Some(0x3f_31f6) }));
        for wrong in ["", "0 840 1CA", "0 840 1CA 0", "0 FFFFFF 1CA 3F31F6", "0 x 1CA 3F31F6"] {
            assert_eq!(Trim::of_itunes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_trim_cuts_across_blocks() {
        let trim = Trim { skip: 3, keep: Some(4) };
        let mut kept = Vec::new();
        for at in [0, 2, 4, 6, 8] {
            let mut block = vec![at as f32, at as f32, at as f32 + 1.0, at as f32 + 1.0];
            trim.apply(at, 2, &mut block);
            kept.extend(block);
        }
        assert_eq!(kept, [3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 6.0, 6.0]);
    }
}
