//! Title, artist, cover and the like, from whatever kind of tags a recording carries.

use std::sync::Arc;

use symphonia::core::{
    common::Limit,
    formats::{FormatReader, well_known::FORMAT_ID_WAVE},
    meta::{
        Chapter, ChapterGroup, ChapterGroupItem, MetadataContainer, MetadataOptions, MetadataRevision, RawValue,
        StandardTag, StandardVisualKey, Tag, Visual,
        well_known::{METADATA_ID_ID3V1, METADATA_ID_MATROSKA},
    },
};

use super::{Reference, legacy::Legacy, mp4::Trim};
use crate::radio::{
    cue::{self, Mark},
    time::Span,
};

/// Pictures larger than this are left out, in bytes.
const LARGEST_COVER: usize = 4 << 20;
/// Tags larger than this are left out, in bytes.
const LARGEST_TAG: usize = 64 << 10;
/// Groups of chapters in groups that are looked into.
const GROUPS_DEEP: usize = 8;
/// No chapter begins later than a year.
const LATEST_MICROS: i128 = 365 * 86_400 * 1_000_000;
/// Texts are cut to this, in characters.
const LONGEST_TEXT: usize = 500;

/// What the tags of a recording say. Texts are trimmed, hold no control characters and at most 500 characters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tags {
    /// Title of the track.
    pub title: Option<String>,
    /// Artists of the track, joined by commas.
    pub artist: Option<String>,
    /// Title of the album.
    pub album: Option<String>,
    /// Year of release or recording.
    pub year: Option<u16>,
    /// International Standard Recording Code, as it stands.
    pub isrc: Option<String>,
    /// Loudness of the track in LUFS, from its ReplayGain or R128 gain.
    pub track_loudness: Option<f64>,
    /// Loudness of the album in LUFS, likewise.
    pub album_loudness: Option<f64>,
    /// The front cover, else the first picture.
    pub cover: Option<Cover>,
}

impl Tags {
    /// What they state of the recording's loudness in LUFS: the album's where levels go by albums, else its own.
    pub fn loudness(&self, reference: Reference) -> Option<f64> {
        match reference {
            Reference::Album => self.album_loudness,
            Reference::Track | Reference::ReplayGain => self.track_loudness,
        }
    }
}

/// A picture.
#[derive(Clone, PartialEq)]
pub struct Cover {
    /// Its media type, from its bytes: JPEG, PNG, GIF or WebP.
    pub mime: &'static str,
    /// The picture's file, at most 4 MiB.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Cover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cover({}, {} bytes)", self.mime, self.bytes.len())
    }
}

/// Limits on what is read of tags.
pub(super) fn limits() -> MetadataOptions {
    MetadataOptions::default()
        .limit_tag_bytes(Limit::Maximum(LARGEST_TAG))
        .limit_visual_bytes(Limit::Maximum(LARGEST_COVER))
}

/// Reads the tags. The metadata log of `format` is used up.
pub(super) fn read(format: &mut dyn FormatReader, legacy: &Legacy<'_>) -> Tags {
    let mut revisions = revisions(format);
    // ID3v1 cuts every text at 30 bytes: it only counts where nothing else speaks.
    revisions.sort_by_key(|revision| revision.info.metadata == METADATA_ID_ID3V1);
    let mut tags = Tags::default();
    for revision in &revisions {
        let read = from_revision(revision, legacy);
        tags = Tags {
            title: tags.title.or(read.title),
            artist: tags.artist.or(read.artist),
            album: tags.album.or(read.album),
            year: tags.year.or(read.year),
            isrc: tags.isrc.or(read.isrc),
            track_loudness: tags.track_loudness.or(read.track_loudness),
            album_loudness: tags.album_loudness.or(read.album_loudness),
            cover: tags.cover.or(read.cover),
        };
    }
    // Symphonia 0.6.1 reads the list of a WAV file and forgets it.
    if format.format_info().format == FORMAT_ID_WAVE {
        tags.title = tags.title.or_else(|| legacy.listed(b"INAM"));
        tags.artist = tags.artist.or_else(|| legacy.listed(b"IART"));
        tags.album = tags.album.or_else(|| legacy.listed(b"IPRD"));
        tags.year = tags.year.or_else(|| year(&legacy.listed(b"ICRD")?));
    }
    tags
}

/// The priming and length that iTunes notes in a comment of an MP4 file.
pub(super) fn itunes_gap(format: &mut dyn FormatReader) -> Option<Trim> {
    let metadata = format.metadata();
    let revision = metadata.current()?;
    let gap = containers(revision).flat_map(|container| &container.tags).find(|tag| tag.raw.key.ends_with("iTunSMPB"));
    match &gap?.raw.value {
        RawValue::String(text) => Trim::of_itunes(text),
        _ => None,
    }
}

/// What plays from where on, as the chapters of a recording say.
pub(super) fn marks(format: &dyn FormatReader, legacy: &Legacy<'_>) -> Vec<Mark> {
    let mut marks = Vec::new();
    if let Some(group) = format.chapters() {
        collect(group, legacy, GROUPS_DEEP, &mut marks);
    }
    marks
}

/// The same with a title for each; nothing where none of them has one.
pub(super) fn entitled(mut marks: Vec<Mark>) -> Vec<Mark> {
    if marks.iter().all(|mark| mark.title.is_empty()) {
        return Vec::new();
    }
    for (number, mark) in (1..).zip(&mut marks) {
        if mark.title.is_empty() {
            mark.title = format!("Chapter {number}");
        }
    }
    marks
}

fn collect(group: &ChapterGroup, legacy: &Legacy<'_>, deep: usize, marks: &mut Vec<Mark>) {
    for item in &group.items {
        match item {
            ChapterGroupItem::Chapter(chapter) if marks.len() < cue::MOST => marks.push(mark(chapter, legacy)),
            ChapterGroupItem::Group(group) if deep > 0 => collect(group, legacy, deep - 1, marks),
            ChapterGroupItem::Chapter(_) | ChapterGroupItem::Group(_) => {}
        }
    }
}

fn mark(chapter: &Chapter, legacy: &Legacy<'_>) -> Mark {
    let (mut title, mut artist) = (None, None);
    for tag in &chapter.tags {
        match &tag.std {
            Some(StandardTag::ChapterTitle(words) | StandardTag::TrackTitle(words)) => {
                title = title.or_else(|| legacy.text(words))
            }
            Some(StandardTag::Artist(words)) => artist = artist.or_else(|| legacy.text(words)),
            _ => {}
        }
    }
    let at = Span(chapter.start_time.as_micros().clamp(0, LATEST_MICROS) as u64);
    Mark { at, title: title.unwrap_or_default(), artist: artist.unwrap_or_default() }
}

/// All revisions, the newest first.
fn revisions(format: &mut dyn FormatReader) -> Vec<MetadataRevision> {
    let mut metadata = format.metadata();
    let mut revisions = Vec::new();
    while let Some(revision) = metadata.pop() {
        revisions.push(revision);
    }
    revisions.extend(metadata.current().cloned());
    revisions.reverse();
    revisions
}

fn containers(revision: &MetadataRevision) -> impl Iterator<Item = &MetadataContainer> {
    std::iter::once(&revision.media).chain(revision.per_track.iter().map(|track| &track.metadata))
}

fn from_revision(revision: &MetadataRevision, legacy: &Legacy<'_>) -> Tags {
    let mut tags = Tags::default();
    let (mut artists, mut album_artists, is_matroska) =
        (Vec::new(), Vec::new(), revision.info.metadata == METADATA_ID_MATROSKA);
    for tag in containers(revision).flat_map(|container| &container.tags) {
        match (&tag.std, &tag.raw.value) {
            // Symphonia 0.6.1 says what a text is, and of several in one tag does not.
            (None, RawValue::StringList(texts)) => {
                let tag = |text: &String| {
                    meaning(&tag.raw.key).map(|is| Tag::new_std(tag.raw.clone(), is(Arc::new(text.clone()))))
                };
                texts.iter().filter_map(tag).for_each(|tag| take(&tag, legacy, &mut tags, &mut artists));
            }
            // The artist of a Matroska file counts as that of an album.
            (Some(StandardTag::AlbumArtist(artist)), _) if is_matroska => album_artists.extend(legacy.text(artist)),
            _ => take(tag, legacy, &mut tags, &mut artists),
        }
    }
    let pictures: Vec<&Visual> = containers(revision).flat_map(|container| &container.visuals).collect();
    let front = pictures.iter().find(|picture| picture.usage == Some(StandardVisualKey::FrontCover));
    let artists = if artists.is_empty() { album_artists } else { artists };
    tags.artist = text(&artists.join(", "));
    tags.cover = front.into_iter().chain(&pictures).find_map(|picture| cover(picture));
    tags
}

fn take(tag: &Tag, legacy: &Legacy<'_>, tags: &mut Tags, artists: &mut Vec<String>) {
    match &tag.std {
        Some(StandardTag::TrackTitle(title)) => tags.title = tags.title.take().or_else(|| legacy.text(title)),
        Some(StandardTag::Album(album)) => tags.album = tags.album.take().or_else(|| legacy.text(album)),
        Some(StandardTag::IdentIsrc(isrc)) => tags.isrc = tags.isrc.take().or_else(|| text(isrc)),
        Some(StandardTag::Artist(artist)) => {
            artists.extend(legacy.text(artist).filter(|artist| !artists.contains(artist)));
        }
        Some(
            StandardTag::ReleaseYear(year)
            | StandardTag::RecordingYear(year)
            | StandardTag::OriginalReleaseYear(year)
            | StandardTag::OriginalRecordingYear(year),
        ) => tags.year = tags.year.or(Some(*year)),
        Some(
            StandardTag::ReleaseDate(date)
            | StandardTag::RecordingDate(date)
            | StandardTag::OriginalReleaseDate(date)
            | StandardTag::OriginalRecordingDate(date),
        ) => tags.year = tags.year.or_else(|| year(date)),
        Some(StandardTag::ReplayGainTrackGain(gain)) => {
            tags.track_loudness = tags.track_loudness.or_else(|| replay_gain(gain));
        }
        Some(StandardTag::ReplayGainAlbumGain(gain)) => {
            tags.album_loudness = tags.album_loudness.or_else(|| replay_gain(gain));
        }
        _ => take_r128(tag, tags),
    }
}

/// What a text of ID3v2 or APE is, by its name.
fn meaning(name: &str) -> Option<fn(Arc<String>) -> StandardTag> {
    match name.to_ascii_uppercase().as_str() {
        "TIT2" | "TT2" | "TITLE" => Some(StandardTag::TrackTitle),
        "TPE1" | "TP1" | "ARTIST" => Some(StandardTag::Artist),
        "TALB" | "TAL" | "ALBUM" => Some(StandardTag::Album),
        "TSRC" | "TRC" | "ISRC" => Some(StandardTag::IdentIsrc),
        "TDRC" | "TYER" | "TYE" | "YEAR" => Some(StandardTag::RecordingDate),
        _ => None,
    }
}

/// The loudness of what needs this gain to play at −18 LUFS (ReplayGain 2.0).
fn replay_gain(gain: &str) -> Option<f64> {
    let number = gain.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim_end();
    plausible(-18.0 - number.parse::<f64>().ok()?)
}

/// The gains of Opus, in 256ths of a dB to play at −23 LUFS (RFC 7845 §5.2.1).
fn take_r128(tag: &Tag, tags: &mut Tags) {
    let RawValue::String(gain) = &tag.raw.value else { return };
    let loudness = || plausible(-23.0 - f64::from(gain.trim().parse::<i16>().ok()?) / 256.0);
    if tag.raw.key.eq_ignore_ascii_case("R128_TRACK_GAIN") {
        tags.track_loudness = tags.track_loudness.or_else(loudness);
    } else if tag.raw.key.eq_ignore_ascii_case("R128_ALBUM_GAIN") {
        tags.album_loudness = tags.album_loudness.or_else(loudness);
    }
}

/// A loudness that a recording can have, in LUFS.
fn plausible(loudness: f64) -> Option<f64> {
    (-70.0..=5.0).contains(&loudness).then_some(loudness)
}

/// A text fit to show, if anything is left of it.
pub(super) fn text(raw: &str) -> Option<String> {
    let shown: String = raw.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    let trimmed = shown.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The year at the start of a date.
fn year(date: &str) -> Option<u16> {
    date.trim().get(..4)?.parse().ok()
}

fn cover(picture: &Visual) -> Option<Cover> {
    let mime = match &picture.data[..] {
        [0xff, 0xd8, 0xff, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => return None,
    };
    (picture.data.len() <= LARGEST_COVER).then(|| Cover { mime, bytes: picture.data.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_made_fit_to_show() {
        assert_eq!(text(" A\tB\u{7} ").as_deref(), Some("A B"));
        assert_eq!(text(" \0\n "), None);
        assert_eq!(text(&"é".repeat(900)).unwrap().chars().count(), LONGEST_TEXT);
    }

    #[test]
    fn a_year_is_the_start_of_a_date() {
        assert_eq!(year("2024-05-01"), Some(2_024));
        assert_eq!(year(" 1999"), Some(1_999));
        assert_eq!(year("May 1999"), None);
        assert_eq!(year("99"), None);
        assert_eq!(year("199é"), None);
    }

    #[test]
    fn a_gain_states_a_loudness() {
        assert_eq!(replay_gain("-6.50 dB"), Some(-11.5));
        assert_eq!(replay_gain(" +2.25dB "), Some(-20.25));
        assert_eq!(replay_gain("4"), Some(-22.0));
        for wrong in ["", "dB", "loud", "nan", "-1e9 dB", "inf"] {
            assert_eq!(replay_gain(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_picture_is_what_its_bytes_say() {
        let picture = |data: &[u8]| Visual {
            media_type: Some("image/png".to_owned()),
            dimensions: None,
            color_mode: None,
            usage: None,
            tags: Vec::new(),
            data: data.into(),
        };
        assert_eq!(cover(&picture(b"\xff\xd8\xff\xe0")).unwrap().mime, "image/jpeg");
        assert_eq!(cover(&picture(b"RIFF\x10\0\0\0WEBPVP8 ")).unwrap().mime, "image/webp");
        assert_eq!(cover(&picture(b"<svg onload='x'>")), None);
        let mut large = vec![0; LARGEST_COVER + 1];
        large[..4].copy_from_slice(b"GIF8");
        assert_eq!(cover(&picture(&large)), None);
    }
}
