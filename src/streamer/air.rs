//! What the listener port and the names are told: the list on air, the root directory around it, and the status.

use bytes::Bytes;
use cid::Cid;

use crate::{
    ipfs::dag::{self, Directory},
    radio::{
        aired::{Aired, Axis, Piece, Run},
        coarse::{self, Group},
        hls, ladder,
        receipt::CidText,
        segment::{RAW, Segment, cid_of, cover_uri},
        status::{Airing, Skew},
        time::Time,
        timeline::{Clocks, Snapshot},
    },
};

/// A snapshot with the moment from which it counts.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) snapshot: std::sync::Arc<Snapshot>,
    /// When its first segment airs by the station clock, in samples since the anchor.
    pub(super) from: i64,
}

impl Shown {
    /// The segments, each with its end by the station clock: dates jump, and this clock does not.
    pub(super) fn ends(&self) -> impl Iterator<Item = (&Aired, Time)> {
        let mut end = self.from;
        self.snapshot.segments.iter().map(move |aired| {
            end += i64::from(aired.segment.samples);
            (aired, self.snapshot.axis.date(end))
        })
    }

    /// When by the station clock something is over that the run with this number dates so. What left the list is dated
    /// as its beginning is: late rather than early where dates jumped.
    pub(super) fn off_air(&self, run: u64, date: Time) -> Time {
        let known = self.ends().find(|(aired, _)| aired.run.media_seq == run).or_else(|| self.ends().next());
        known.map_or(date, |(aired, ends)| moved(date, self.snapshot.axis.date(aired.air_end()), ends))
    }

    /// How the dates stand to the wall clock: on air, and of what follows the list.
    pub(super) fn skew(&self, clocks: Clocks) -> Option<Skew> {
        let tenths = |(aired, ends): (&Aired, Time)| {
            let dated = moved(self.snapshot.axis.date(aired.air_end()), ends, clocks.station);
            let ahead = dated.since(clocks.wall).0 as i64 - clocks.wall.since(dated).0 as i64;
            (ahead + ahead.signum() * 50_000) / 100_000 * 100
        };
        let last = self.ends().last()?;
        let on_air = self.ends().find(|(_, ends)| *ends > clocks.station).unwrap_or(last);
        Some(Skew { pdt_skew_ms: tenths(on_air), next_pdt_skew_ms: tenths(last) })
    }

    /// The segment on air at station time `now` and those behind it, in order.
    fn on_air(&self, now: Time) -> &[Aired] {
        let now = self.snapshot.axis.position(now);
        let mut end = self.from;
        let segments = &self.snapshot.segments;
        let past = segments.iter().take_while(|aired| {
            end += i64::from(aired.segment.samples);
            end <= now
        });
        let past = past.count();
        &segments[past..]
    }

    /// The number of the segment on air; the last one's once the list has run out.
    pub(super) fn media_sequence(&self, now: Time) -> u64 {
        let on_air = self.on_air(now).first().or_else(|| self.snapshot.segments.last());
        on_air.map_or(0, |aired| aired.media_seq)
    }

    /// What is on air, and what comes after it as far as the list tells.
    pub(super) fn now_and_next(&self, now: Time) -> (Option<Airing>, Option<Airing>) {
        let rest = self.on_air(now);
        let Some(current) = rest.first() else { return (None, None) };
        let into = self.how_far_in(current, now);
        let over = |(run, piece): &(&Run, Piece<'_>)| run.media_seq == current.run.media_seq && piece.ends <= into;
        let mut coming = runs(rest.iter()).flat_map(pieces).skip_while(over);
        let mut airing = || coming.next().map(|(run, piece)| self.airing(run, &piece));
        (airing(), airing())
    }

    /// How far the run of the segment on air is, in samples; less than its length.
    fn how_far_in(&self, on_air: &Aired, now: Time) -> u64 {
        let ends = self.ends().find(|(aired, _)| aired.media_seq == on_air.media_seq).map_or(now, |(_, ends)| ends);
        let left = ends.since(now).to_samples(self.snapshot.axis.rate).min(u64::from(on_air.segment.samples));
        let into = on_air.air_end() - left as i64 - on_air.run.air_samples;
        (into.max(0) as u64).min(on_air.run.samples.saturating_sub(1))
    }

    fn airing(&self, run: &Run, piece: &Piece<'_>) -> Airing {
        let axis = &self.snapshot.axis;
        Airing {
            title: piece.title.to_owned(),
            artist: piece.artist.to_owned(),
            kind: run.kind,
            cover: run.cover.map(|cover| cover_uri(cover.cid)),
            starts: axis.date(run.air_samples + piece.begins as i64).to_string(),
            ends: axis.date(run.air_samples + piece.ends as i64).to_string(),
        }
    }

    /// The text of `now.json`.
    pub(super) fn now_json(&self, now: Time) -> String {
        let (current, next) = self.now_and_next(now);
        let value = serde_json::json!({ "now": current, "next": next, "recent": self.recent(now) });
        format!("{value}\n")
    }

    /// What has aired, the latest first.
    fn recent(&self, now: Time) -> Vec<Airing> {
        let (segments, on_air) = (&self.snapshot.segments, self.on_air(now).first());
        let past = &segments[..segments.len() - self.on_air(now).len()];
        let into = on_air.map(|current| (current.run.media_seq, self.how_far_in(current, now)));
        let over = |(run, piece): &(&Run, Piece<'_>)| {
            into.is_none_or(|(seq, into)| run.media_seq != seq || piece.ends <= into)
        };
        let begun = on_air.into_iter().chain(past.iter().rev());
        let latest = runs(begun).flat_map(|run| pieces(run).collect::<Vec<_>>().into_iter().rev()).filter(over);
        latest.take(RECENT_MAX).map(|(run, piece)| self.airing(run, &piece)).collect()
    }
}

/// Where `time` lies when all moves by as much as `from` does to become `to`.
const fn moved(time: Time, from: Time, to: Time) -> Time {
    time.plus(to.since(from)).minus(from.since(to))
}

/// The runs of segments that follow one another, each once.
fn runs<'a>(segments: impl Iterator<Item = &'a Aired>) -> impl Iterator<Item = &'a Run> {
    let mut last = None;
    let first = move |aired: &&Aired| last.replace(aired.run.media_seq) != Some(aired.run.media_seq);
    segments.filter(first).map(|aired| &*aired.run)
}

/// What plays in a run.
fn pieces(run: &Run) -> impl Iterator<Item = (&Run, Piece<'_>)> {
    run.pieces().map(move |piece| (run, piece))
}

/// How many past items `now.json` tells of.
const RECENT_MAX: usize = 10;

/// Everything of a root that does not change while the node runs.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) page: String,
    pub(super) station_json: String,
}

/// The file of a group: what its entry in the coarse list names.
#[derive(Clone, Debug)]
pub(super) struct GroupFile {
    pub(super) seq: u64,
    pub(super) cid: Cid,
    /// The bytes of all its blocks.
    pub(super) tsize: u64,
    /// The number of its run.
    pub(super) run: u64,
    /// The end of its air time.
    pub(super) until: Time,
    /// Its node over the segments; a group of one segment is that segment.
    pub(super) node: Option<(Cid, Bytes)>,
}

/// The file of a group, without a copy of what it plays.
pub(super) fn group_file(group: &Group, axis: &Axis) -> Result<GroupFile, dag::Error> {
    let (seq, run, until) = (group.seq, group.run.media_seq, axis.date(group.air_end()));
    if let [only] = group.segments[..] {
        return Ok(GroupFile { seq, cid: only.cid, tsize: u64::from(only.bytes), run, until, node: None });
    }
    let part = |segment: &Segment| dag::Part { cid: segment.cid, bytes: u64::from(segment.bytes) };
    let node = dag::File::Parts(group.segments.iter().map(part).collect()).encode()?;
    Ok(GroupFile { seq, cid: node.cid, tsize: node.tsize, run, until, node: Some((node.cid, node.bytes)) })
}

/// The files of all groups that a snapshot knows.
pub(super) fn group_files(snapshot: &Snapshot) -> Result<Vec<GroupFile>, dag::Error> {
    snapshot.groups.all().map(|group| group_file(group, &snapshot.axis)).collect()
}

/// The text of `live-60.m3u8`; `files` are those of all groups. `None` before the first group has aired.
fn coarse_list(snapshot: &Snapshot, files: &[GroupFile]) -> Option<String> {
    let listed = snapshot.groups.listed(&snapshot.axis);
    let named = snapshot.groups.all().zip(files).map(|(group, file)| (&**group, CidText(file.cid)));
    coarse::render(&snapshot.axis, named.skip(listed.start).take(listed.len()))
}

/// A rendered list and the root around it, as blocks.
#[derive(Clone, Debug)]
pub(super) struct Rendered {
    pub(super) list: String,
    pub(super) list_cid: Cid,
    pub(super) root_cid: Cid,
    pub(super) blocks: Vec<(Cid, Bytes)>,
}

/// Renders lists and root (contract §4). `groups` are the files of all groups, `held` is the root's `ipfs/` folder:
/// segments and groups with their sizes, `ledger` its `ledger/` folder, which is stored already.
pub(super) fn render(
    shown: &Shown,
    groups: &[GroupFile],
    held: &[(Cid, u64)],
    frame: &Frame,
    ledger: Option<&dag::Entry>,
    now: Time,
) -> Result<Option<Rendered>, dag::Error> {
    let Some(list) = hls::render(&shown.snapshot) else { return Ok(None) };
    let now_json = shown.now_json(now);
    let mut blocks = Vec::new();
    let mut file = |name: &str, text: &str| {
        let bytes = Bytes::copy_from_slice(text.as_bytes());
        let cid = cid_of(RAW, &bytes);
        let entry = dag::Entry { name: name.into(), cid, tsize: bytes.len() as u64 };
        blocks.push((cid, bytes));
        entry
    };
    let mut entries = vec![
        file(ladder::LIVE, &list),
        file("index.html", &frame.page),
        file("now.json", &now_json),
        file("station.json", &frame.station_json),
    ];
    let list_cid = entries[0].cid;
    entries.extend(ladder::master(&shown.snapshot).map(|text| file(ladder::MASTER, &text)));
    entries.extend(ladder::render(&shown.snapshot).iter().map(|(name, text)| file(name, text)));
    entries.extend(coarse_list(&shown.snapshot, groups).map(|text| file("live-60.m3u8", &text)));
    let segments = held.iter().map(|(cid, size)| dag::Entry { name: cid.to_string(), cid: *cid, tsize: *size });
    let folder = Directory::new(segments.collect())?.encode()?;
    entries.extend(ledger.cloned());
    entries.push(dag::Entry { name: "ipfs".into(), cid: folder.cid, tsize: folder.tsize });
    let root = Directory::new(entries)?.encode()?;
    blocks.push((folder.cid, folder.bytes));
    blocks.push((root.cid, root.bytes));
    Ok(Some(Rendered { list, list_cid, root_cid: root.cid, blocks }))
}
