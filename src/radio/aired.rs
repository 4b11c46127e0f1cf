//! Segments that have their place on the timeline: frozen as soon as their receipts are durable.

use std::sync::Arc;

use super::{
    cue::Chapter,
    receipt::{Body, CidText, Constants, CoverBody, RenditionBody, SegmentBody, StartedBody},
    segment::{Cover, Item, Kind, RAW, Rung, Segment, cid_of},
    time::{Span, Time},
};

/// The most samples per second that a station can have; no encoder has more.
const RATE_MAX: u32 = 768_000;
/// The longest target duration that a station can have, in seconds.
const TARGET_MAX: u32 = 3_600;

/// The axis on which a station's air times lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// See [`Constants::epoch`].
    pub epoch: u64,
    /// The date of sample 0.
    pub anchor: Time,
    /// Samples per second.
    pub rate: u32,
    /// Target duration in seconds.
    pub target_seconds: u32,
}

impl Axis {
    /// The date of a position; negative ones lie before the anchor.
    pub fn date(&self, air_samples: i64) -> Time {
        let span = Span::of_samples(air_samples.unsigned_abs(), self.rate);
        if air_samples < 0 { self.anchor.minus(span) } else { self.anchor.plus(span) }
    }

    /// The position of a date; negative before the anchor.
    pub fn position(&self, date: Time) -> i64 {
        if date >= self.anchor {
            date.since(self.anchor).to_samples(self.rate) as i64
        } else {
            -(self.anchor.since(date).to_samples(self.rate) as i64)
        }
    }

    /// As the ledger keeps it.
    pub fn constants(&self) -> Constants {
        Constants {
            epoch: self.epoch,
            anchor: self.anchor.to_string(),
            target_duration: u64::from(self.target_seconds),
            rate: u64::from(self.rate),
        }
    }

    /// As the ledger has it; `None` where a field makes no sense.
    pub fn from_constants(constants: &Constants) -> Option<Self> {
        Some(Self {
            epoch: constants.epoch,
            anchor: Time::parse(&constants.anchor)?,
            rate: u32::try_from(constants.rate).ok().filter(|rate| (1..=RATE_MAX).contains(rate))?,
            target_seconds: u32::try_from(constants.target_duration)
                .ok()
                .filter(|seconds| (1..=TARGET_MAX).contains(seconds))?,
        })
    }
}

/// One item's run on air without a jump: what `EXT-X-DATERANGE` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of its first segment; names it.
    pub media_seq: u64,
    /// When it begins, in samples since the anchor.
    pub air_samples: i64,
    /// How much of it there was to air when it began, in samples.
    pub samples: u64,
    /// Id of the item.
    pub item: String,
    /// Path of the entry.
    pub entry: String,
    /// Track, jingle or filler.
    pub kind: Kind,
    /// Title.
    pub title: String,
    /// Artist, may be empty.
    pub artist: String,
    /// Album, may be empty.
    pub album: String,
    /// ISRC, may be empty.
    pub isrc: String,
    /// Its picture, if it has one.
    pub cover: Option<Cover>,
    /// The block that lists the item's segments.
    pub list: CidText,
    /// Index of the first segment that airs in this run.
    pub part: u32,
    /// How many segments the item has.
    pub parts: u32,
    /// SHA-256 of the order it was taken from.
    pub order: Arc<str>,
    /// Its index in that order.
    pub position: u64,
    /// Where titles change in what there was to air; none where there is one for all of it, else the first is at 0.
    pub chapters: Vec<Chapter>,
}

/// What plays in a part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'r> {
    /// Its index in the run.
    pub index: usize,
    /// Where it begins, in samples since the run began.
    pub begins: u64,
    /// Where it ends, likewise.
    pub ends: u64,
    /// Title.
    pub title: &'r str,
    /// Artist, may be empty.
    pub artist: &'r str,
}

impl Piece<'_> {
    /// `Artist - Title`, or the title alone.
    pub fn label(&self) -> String {
        if self.artist.is_empty() { self.title.to_owned() } else { format!("{} - {}", self.artist, self.title) }
    }
}

impl Run {
    /// What plays in it: its chapters, or all of it as one. There is at least one, and together they are the run.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let whole = self.chapters.is_empty().then_some((0, self.title.as_str(), self.artist.as_str()));
        let parts = self.chapters.iter().map(|chapter| (chapter.at, chapter.title.as_str(), chapter.artist.as_str()));
        whole.into_iter().chain(parts).enumerate().map(move |(index, (begins, title, artist))| {
            let ends = self.chapters.get(index + 1).map_or(self.samples, |next| next.at);
            Piece { index, begins, ends, title, artist }
        })
    }

    /// What plays `at` so many samples behind its beginning.
    pub fn piece_at(&self, at: u64) -> Piece<'_> {
        let whole = Piece { index: 0, begins: 0, ends: self.samples, title: &self.title, artist: &self.artist };
        self.pieces().take_while(|piece| piece.begins <= at).last().unwrap_or(whole)
    }

    /// The item that it plays, with these segments and their other renditions.
    pub fn item(&self, segments: Vec<Segment>, rungs: Vec<Vec<Rung>>) -> Item {
        let before: u64 = segments.iter().take(self.part as usize).map(|segment| u64::from(segment.samples)).sum();
        let chapters = self.chapters.iter().map(|chapter| Chapter { at: chapter.at + before, ..chapter.clone() });
        Item {
            chapters: chapters.collect(),
            id: self.item.clone(),
            title: self.title.clone(),
            artist: self.artist.clone(),
            album: self.album.clone(),
            isrc: self.isrc.clone(),
            cover: self.cover,
            segments,
            rungs,
        }
    }

    /// When all of it has aired, in samples since the anchor.
    pub const fn air_end(&self) -> i64 {
        self.air_samples + self.samples as i64
    }

    /// Whether `segment` can be of this run: its first one, behind a discontinuity, or a later one.
    pub const fn begins_at_or_before(&self, segment: &SegmentBody) -> bool {
        if segment.disc { self.media_seq == segment.media_seq } else { self.media_seq < segment.media_seq }
    }

    /// Its receipt.
    pub fn body(&self) -> Body {
        Body::ItemStarted(Box::new(StartedBody {
            media_seq: self.media_seq,
            air_samples: self.air_samples,
            list: self.list,
            item: self.item.clone(),
            entry: self.entry.clone(),
            item_kind: self.kind,
            title: self.title.clone(),
            artist: self.artist.clone(),
            album: self.album.clone(),
            isrc: self.isrc.clone(),
            cover: self.cover.map(|cover| CoverBody { cid: CidText(cover.cid), byte_count: u64::from(cover.bytes) }),
            part: u64::from(self.part),
            parts: u64::from(self.parts),
            samples: self.samples,
            order: self.order.to_string(),
            position: self.position,
            chapters: self.chapters.clone(),
        }))
    }

    /// What its receipt says.
    pub fn from_body(body: &StartedBody) -> Self {
        Self {
            media_seq: body.media_seq,
            air_samples: body.air_samples,
            samples: body.samples,
            item: body.item.clone(),
            entry: body.entry.clone(),
            kind: body.item_kind,
            title: body.title.clone(),
            artist: body.artist.clone(),
            album: body.album.clone(),
            isrc: body.isrc.clone(),
            cover: body.cover.map(|cover| Cover { cid: cover.cid.0, bytes: cover.byte_count as u32 }),
            list: body.list,
            part: body.part as u32,
            parts: body.parts as u32,
            order: body.order.as_str().into(),
            position: body.position,
            chapters: body.chapters.clone(),
        }
    }
}

/// A segment on the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aired {
    /// Its number.
    pub media_seq: u64,
    /// Whether a discontinuity precedes it.
    pub disc: bool,
    /// Discontinuities so far, its own included.
    pub disc_seq: u64,
    /// When it airs, in samples since the anchor.
    pub air_samples: i64,
    /// What it plays.
    pub segment: Segment,
    /// The same in other renditions, each of another bit rate.
    pub rungs: Vec<Rung>,
    /// Index in its item.
    pub part: u32,
    /// The item it belongs to.
    pub run: Arc<Run>,
    /// The number of the first segment in the list that this one completes.
    pub first_seq: u64,
    /// The number of its group in the coarse list; 0 where none was counted.
    pub group_seq: u64,
    /// The number behind the last group of the coarse list that belongs to that list.
    pub group_end: u64,
}

impl Aired {
    /// Its end, in samples since the anchor.
    pub fn air_end(&self) -> i64 {
        self.air_samples + i64::from(self.segment.samples)
    }

    /// What the list of a rung plays: the default rendition where there is no such one.
    pub fn in_rung(&self, bitrate: u32) -> Segment {
        self.rung(bitrate).map_or(self.segment, |rung| rung.segment(self.segment.samples))
    }

    /// Whether it has a rendition of its own of this rung, which is not the default one.
    pub fn has_rung(&self, bitrate: u32) -> bool {
        self.rung(bitrate).is_some()
    }

    fn rung(&self, bitrate: u32) -> Option<&Rung> {
        self.rungs.iter().find(|rung| rung.bitrate == bitrate)
    }

    /// All that it plays, the default rendition first.
    pub fn all(&self) -> impl Iterator<Item = Segment> {
        std::iter::once(self.segment).chain(self.rungs.iter().map(|rung| rung.segment(self.segment.samples)))
    }

    /// Its receipt.
    pub fn body(&self, axis: &Axis) -> Body {
        Body::Segment(Box::new(SegmentBody {
            media_seq: self.media_seq,
            disc: self.disc,
            disc_seq: self.disc_seq,
            epoch: axis.epoch,
            air_samples: self.air_samples,
            pdt: axis.date(self.air_samples).to_string(),
            samples: u64::from(self.segment.samples),
            rate: u64::from(axis.rate),
            cid: CidText(self.segment.cid),
            sha256_audio: sha256(&self.segment.cid),
            byte_count: u64::from(self.segment.bytes),
            codec: "aac".into(),
            item: self.run.item.clone(),
            entry: self.run.entry.clone(),
            item_kind: self.run.kind,
            part: u64::from(self.part),
            parts: u64::from(self.run.parts),
            order: self.run.order.to_string(),
            position: self.run.position,
            title: self.run.title.clone(),
            artist: self.run.artist.clone(),
            first_seq: self.first_seq,
            group_seq: self.group_seq,
            group_end: self.group_end,
            renditions: self.rungs.iter().map(rendition).collect(),
            late: false,
        }))
    }

    /// What its receipt says; `run` is the item that had begun before it.
    pub fn from_body(body: &SegmentBody, run: Arc<Run>) -> Self {
        Self {
            media_seq: body.media_seq,
            disc: body.disc,
            disc_seq: body.disc_seq,
            air_samples: body.air_samples,
            segment: Segment { cid: body.cid.0, samples: body.samples as u32, bytes: body.byte_count as u32 },
            rungs: body.renditions.iter().map(rung).collect(),
            part: body.part as u32,
            run,
            first_seq: body.first_seq,
            group_seq: body.group_seq,
            group_end: body.group_end,
        }
    }
}

fn sha256(cid: &cid::Cid) -> String {
    data_encoding::HEXLOWER.encode(cid.hash().digest())
}

fn rendition(rung: &Rung) -> RenditionBody {
    let (bitrate, byte_count) = (u64::from(rung.bitrate), u64::from(rung.bytes));
    RenditionBody { bitrate, cid: CidText(rung.cid), sha256: sha256(&rung.cid), byte_count }
}

fn rung(body: &RenditionBody) -> Rung {
    Rung { bitrate: body.bitrate as u32, cid: body.cid.0, bytes: body.byte_count as u32 }
}

/// The block that lists an item's segments: one line `<cid> <samples> <bytes>` each, with ` <bitrate> <cid> <bytes>`
/// behind it for each of `rungs`, the other renditions.
pub fn segment_list(segments: &[Segment], rungs: &[Vec<Rung>]) -> (CidText, String) {
    let mut text = String::new();
    for (index, segment) in segments.iter().enumerate() {
        text.push_str(&format!("{} {} {}", segment.cid, segment.samples, segment.bytes));
        for rung in rungs.get(index).into_iter().flatten() {
            text.push_str(&format!(" {} {} {}", rung.bitrate, rung.cid, rung.bytes));
        }
        text.push('\n');
    }
    (CidText(cid_of(RAW, text.as_bytes())), text)
}

/// Reads what [`segment_list`] wrote.
pub fn parse_segment_list(text: &str) -> Option<(Vec<Segment>, Vec<Vec<Rung>>)> {
    let line = |line: &str| {
        let mut fields = line.split(' ').peekable();
        let segment = Segment {
            cid: fields.next()?.parse().ok()?,
            samples: fields.next()?.parse().ok()?,
            bytes: fields.next()?.parse().ok()?,
        };
        let mut rungs = Vec::new();
        while fields.peek().is_some() {
            rungs.push(Rung {
                bitrate: fields.next()?.parse().ok()?,
                cid: fields.next()?.parse().ok()?,
                bytes: fields.next()?.parse().ok()?,
            });
        }
        Some((segment, rungs))
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Segment> {
        (0..2_u8).map(|part| Segment { cid: cid_of(RAW, &[part]), samples: 264_192, bytes: 97_000 }).collect()
    }

    fn rungs() -> Vec<Vec<Rung>> {
        let rung = |part: u8, bitrate: u32| Rung { bitrate, cid: cid_of(RAW, &[part, 1]), bytes: bitrate / 2 };
        (0..2_u8).map(|part| vec![rung(part, 64_000), rung(part, 192_000)]).collect()
    }

    #[test]
    fn the_list_of_an_item_of_one_rendition_has_three_fields_a_line() {
        let (cid, text) = segment_list(&segments(), &[]);
        let cids = segments().into_iter().map(|segment| segment.cid);
        let wanted: String = cids.map(|cid| format!("{cid} 264192 97000\n")).collect();
        assert_eq!((text.as_str(), cid.0), (wanted.as_str(), cid_of(RAW, wanted.as_bytes())));
        assert_eq!(parse_segment_list(&text), Some((segments(), vec![vec![]; 2])));
    }

    #[test]
    fn the_list_of_an_item_has_its_other_renditions() {
        let (_, text) = segment_list(&segments(), &rungs());
        assert_eq!(text.lines().next().map(|line| line.split(' ').count()), Some(9));
        assert_eq!(parse_segment_list(&text), Some((segments(), rungs())));
        for wrong in ["", " 1 2", " x", " 64000 bafy 3"] {
            let torn = text.replacen(" 96000\n", &format!("{wrong}\n"), 1);
            assert_eq!(parse_segment_list(&torn), None, "{torn}");
        }
    }

    #[test]
    fn chapters_of_a_run_are_where_they_were_in_its_item() {
        let chapters = [0, 10].map(|at| Chapter { at, title: at.to_string(), artist: String::new() }).to_vec();
        let body = StartedBody { part: 2, chapters, ..StartedBody::whole(3, 30) };
        let segment = Segment { cid: cid_of(RAW, b"1"), samples: 30, bytes: 1 };
        let item = Run::from_body(&body).item(vec![segment; 3], Vec::new());
        assert_eq!(item.chapters.iter().map(|chapter| chapter.at).collect::<Vec<_>>(), [60, 70]);
    }
}
