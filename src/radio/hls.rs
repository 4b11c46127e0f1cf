//! The live playlist: a snapshot in, text out. Same snapshot, same bytes, same CID.
//!
//! RFC 8216bis; what each tag is there for was measured on players (`HOLD-BACK` and `START` keep them 2·TD behind the
//! air, `VERSION:9` is what AVPlayer wants for `SERVER-CONTROL`).

use std::fmt::Write;

use cid::Cid;

use super::{
    aired::{Aired, Axis, Piece, Run},
    receipt::CidText,
    segment::cover_uri,
    time::Span,
    timeline::Snapshot,
};

/// The constant file name of every segment: a media extension that FFmpeg accepts and gateways do not mislabel.
pub const FILE_NAME: &str = "s.mpegts";

/// The URI of a segment: absolute on path gateways, inside the root's `ipfs/` folder on subdomain gateways.
pub fn segment_uri(cid: CidText) -> String {
    format!("/ipfs/{}?filename={FILE_NAME}", cid.0)
}

/// `EXTINF` from samples: six decimals, rounded to nearest, by integers.
pub fn seconds(samples: u64, rate: u32) -> String {
    let micros = Span::of_samples(samples, rate).0;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Renders the media playlist of a snapshot. An empty snapshot has no list.
pub fn render(snapshot: &Snapshot) -> Option<String> {
    render_with(snapshot, |aired| aired.segment.cid)
}

/// Renders that of a rung beside the default one: the same list with other segments.
pub fn render_rung(snapshot: &Snapshot, bitrate: u32) -> Option<String> {
    render_with(snapshot, |aired| aired.in_rung(bitrate).cid)
}

fn render_with(snapshot: &Snapshot, cid: impl Fn(&Aired) -> Cid) -> Option<String> {
    let first = snapshot.segments.first()?;
    let mut out = String::with_capacity(512 + snapshot.segments.len() * 200);
    header(snapshot, first, &mut out);
    let mut told = None;
    for aired in &snapshot.segments {
        let Aired { disc, run, air_samples, segment, .. } = aired;
        let (samples, cid) = (u64::from(segment.samples), CidText(cid(aired)));
        let listed = Entry { disc: *disc, run, air_samples: *air_samples, samples, cid };
        entry(&snapshot.axis, &listed, &mut told, &mut out);
    }
    Some(out)
}

fn header(snapshot: &Snapshot, first: &Aired, out: &mut String) {
    let hold_back = snapshot.hold_back_seconds;
    let removed = first.disc_seq - u64::from(first.disc);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n\
         #EXT-X-VERSION:9\n\
         #EXT-X-TARGETDURATION:{}\n\
         #EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back}.000\n\
         #EXT-X-START:TIME-OFFSET=-{hold_back}.000,PRECISE=NO\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{removed}\n",
        snapshot.axis.target_seconds, first.media_seq,
    );
}

/// A media segment of a playlist.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Whether a discontinuity precedes it.
    pub(super) disc: bool,
    /// The item it belongs to.
    pub(super) run: &'a Run,
    /// When it airs, in samples since the anchor.
    pub(super) air_samples: i64,
    /// Its length in samples.
    pub(super) samples: u64,
    /// What it plays.
    pub(super) cid: CidText,
}

/// Writes an entry; `told` is the item whose date range the list told last.
pub(super) fn entry(axis: &Axis, entry: &Entry<'_>, told: &mut Option<u64>, out: &mut String) {
    if entry.disc {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    let first = told.replace(entry.run.media_seq) != Some(entry.run.media_seq);
    let begins = (entry.air_samples - entry.run.air_samples).max(0) as u64;
    let ends = begins + entry.samples;
    for piece in entry.run.pieces() {
        let goes_on = first && piece.begins <= begins && begins < piece.ends;
        if goes_on || (begins..ends).contains(&piece.begins) {
            date_range(axis, entry.run, &piece, out);
        }
    }
    let _ = write!(
        out,
        "#EXT-X-PROGRAM-DATE-TIME:{}\n#EXTINF:{},{}\n{}\n",
        axis.date(entry.air_samples),
        seconds(entry.samples, axis.rate),
        plain(&entry.run.piece_at(begins).label()),
        segment_uri(entry.cid),
    );
}

/// The `EXT-X-DATERANGE` of an item, or of a chapter of it: its attributes are those that were frozen when the item was
/// scheduled.
fn date_range(axis: &Axis, run: &Run, piece: &Piece<'_>, out: &mut String) {
    // From the printed dates, so that an item ends where the next one begins, to the millisecond.
    let date = |at: u64| axis.date(run.air_samples + at as i64);
    let (starts, ends) = (date(piece.begins), date(piece.ends));
    let millis = ends.millis() - starts.millis();
    let number = if piece.index == 0 { String::new() } else { format!("-{}", piece.index) };
    // A chapter is of the long recording, which has no code for it.
    let long = !run.chapters.is_empty();
    let album: &str = if long && run.album.is_empty() { &run.title } else { &run.album };
    let isrc: &str = if long { "" } else { &run.isrc };
    let _ = write!(
        out,
        "#EXT-X-DATERANGE:ID=\"{}-{}{number}\",CLASS=\"org.ipfs-radio.{}\",START-DATE=\"{}\",DURATION={}.{:03}",
        axis.epoch,
        run.media_seq,
        run.kind.word(),
        starts,
        millis / 1_000,
        millis % 1_000,
    );
    for (key, value) in [("X-TITLE", piece.title), ("X-ARTIST", piece.artist), ("X-ALBUM", album), ("X-ISRC", isrc)] {
        if !value.is_empty() {
            let _ = write!(out, ",{key}=\"{}\"", quoted(value));
        }
    }
    if let Some(cover) = run.cover {
        let _ = write!(out, ",X-COVER=\"{}\"", cover_uri(cover.cid));
    }
    out.push('\n');
}

/// Text without control characters, fit for a title.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Text fit for a quoted string: RFC 8216 allows neither line breaks nor double quotes, and has no escape.
fn quoted(text: &str) -> String {
    plain(text).replace('"', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        cue::Chapter,
        receipt::StartedBody,
        segment::{RAW, cid_of},
        time::Time,
    };

    #[test]
    fn durations_are_printed_from_samples() {
        assert_eq!(seconds(258 * 1_024, 44_100), "5.990748");
        assert_eq!(seconds(281 * 1_024, 48_000), "5.994667");
        assert_eq!(seconds(0, 44_100), "0.000000");
        assert_eq!(seconds(264_600, 44_100), "6.000000");
    }

    #[test]
    fn a_list_that_begins_where_a_chapter_ends_tells_of_the_next_alone() {
        let chapter = |at: u64, title: &str| Chapter { at, title: title.into(), artist: String::new() };
        let chapters = vec![chapter(0, "one"), chapter(264_600, "two")];
        let run = Run::from_body(&StartedBody { chapters, ..StartedBody::whole(2, 529_200) });
        let axis = Axis { epoch: 1, anchor: Time(0), rate: 44_100, target_seconds: 6 };
        let cid = CidText(cid_of(RAW, b"2"));
        for (air_samples, told) in [(264_600, ["two"].as_slice()), (264_599, &["one", "two"])] {
            let part = Entry { disc: false, air_samples, samples: 264_600, run: &run, cid };
            let mut text = String::new();
            entry(&axis, &part, &mut None, &mut text);
            let named: Vec<&str> =
                ["one", "two"].into_iter().filter(|title| text.contains(&format!("\"{title}\""))).collect();
            assert_eq!(named, told, "{text}");
        }
    }

    #[test]
    fn titles_cannot_break_the_list() {
        assert_eq!(plain("a\nb\r\u{2028}c"), "a b  c");
        assert_eq!(quoted("say \"hi\"\u{7}"), "say 'hi' ");
    }
}
