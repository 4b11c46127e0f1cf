//! Lists: the running order, the live list of another station, and the one that a station writes.

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use super::{Feed, index, line_count, said};
use crate::radio::{
    aired::{Aired, Axis, Run, segment_list},
    coarse::Groups,
    cue::Chapter,
    follow::{Extent, Listing, SEGMENTS_MAX, Saved, SavedName},
    hls,
    ladder::{self, Ladder},
    manifest::Manifest,
    playlist::{self, Refused},
    segment::{Cover, Kind, RAW, Rung, Segment, cid_of},
    time::Time,
    timeline::Snapshot,
    vod,
};

const ORDER: &str = "processed/playlist.m3u";
const FRAME: u32 = 1_024;

static MANIFEST: LazyLock<Manifest> = LazyLock::new(|| {
    index::manifest_of(&[
        ("music/a.mp3", Kind::Track),
        ("music/100%.mp3", Kind::Track),
        (" music/b.mp3 ", Kind::Track),
        ("./c", Kind::Jingle),
        ("c", Kind::Track),
        ("#d\u{85}\r", Kind::Jingle),
        ("live/mix.flac", Kind::Vod),
    ])
});

/// A running order as people write it: each usable line airs, each other one is told, and what is printed is read back.
pub(crate) fn m3u(data: &[u8]) {
    let spelled = playlist::spell(data);
    assert_eq!(playlist::unspell(&spelled), data);
    assert!(!spelled.contains(char::is_control) && !spelled.starts_with('#'));
    let (manifest, lines) = (&*MANIFEST, line_count(data));
    let order = match playlist::parse(ORDER, data, manifest) {
        Ok(order) => order,
        Err(refused) => {
            assert!(said(&refused).starts_with(ORDER));
            if let Refused::NothingUsable { line, .. } | Refused::TooLong { line, .. } = refused {
                assert!((1..=lines).contains(&line), "line {line} of {lines}");
            }
            return;
        }
    };
    assert!(!order.paths.is_empty() && order.paths.len() + order.skipped_count <= lines);
    assert_eq!(order.skipped.len(), order.skipped_count.min(playlist::MOST_TOLD));
    assert!(order.skipped.windows(2).all(|pair| pair[0].line < pair[1].line));
    for skipped in &order.skipped {
        said(skipped);
        assert!((1..=lines).contains(&skipped.line) && !skipped.text.contains(char::is_control));
    }
    let entries: Vec<_> =
        order.paths.iter().map(|path| manifest.entry(path).expect("a path of the manifest")).collect();
    assert!(entries.iter().all(|entry| entry.kind != Kind::Vod));
    let printed = playlist::print(entries, manifest);
    let back = playlist::parse(ORDER, printed.as_bytes(), manifest).expect("what is printed can be read");
    assert_eq!((back.paths, back.skipped_count), (order.paths, 0));
}

pub(crate) fn m3u_seeds() -> Vec<Vec<u8>> {
    let printed = playlist::print(MANIFEST.entries(), &MANIFEST);
    let written =
        "\u{feff}#EXTM3U\r\n\r\n  music/a.mp3  \r\n./music/a.mp3\nmusic/100%.mp3\n#x\n music/b.mp3 \nnone\n../etc";
    vec![printed.into_bytes(), written.as_bytes().to_vec(), b"\xff\xc3\x28%zz\n%2e%2E/c\n./c\nc".to_vec()]
}

/// A live list: of another station, and one whose titles are whatever they are.
pub(crate) fn m3u8(data: &[u8]) {
    foreign(data);
    own(data);
}

fn foreign(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rewritten = vod::rewrite(&text, vod::CHUNKS);
    assert_eq!(vod::rewrite(&rewritten, vod::CHUNKS), rewritten);
    let list = match Listing::read(&text) {
        Ok(list) => list,
        Err(why) => return drop(said(&why)),
    };
    let extent = list.extent();
    let folder: BTreeSet<_> = list.blocks().collect();
    let count = list.blocks().count();
    assert!((1..=SEGMENTS_MAX).contains(&count) && extent.last - extent.first == count as u64 - 1);
    assert_eq!((list.first_missing(&folder), list.first_missing(&BTreeSet::new())), (None, Some(extent.first)));
    for now in [Time(0), Time(extent.ends.0 / 2), extent.ends, Time(u64::MAX)] {
        assert!((extent.first..=extent.last).contains(&list.media_sequence(now)));
        assert!(list.airing(now).count() <= count);
        let (current, next) = list.now_and_next(now);
        for airing in current.iter().chain(&next) {
            let (starts, ends) = (Time::parse(&airing.starts), Time::parse(&airing.ends));
            assert!(starts.is_some() && ends >= starts, "{airing:?}");
        }
        serde_json::from_str::<serde_json::Value>(&list.now_json(now)).expect("it is JSON");
    }
    kept(extent);
    let more = text.replacen("#EXTM3U\n", "#EXTM3U\n#EXT-X-NOT-KNOWN:1\n", 1);
    assert_eq!(Listing::read(&more), Ok(list), "a tag that is not known changes nothing");
}

/// A mirror finds again after a restart how far a list reached.
fn kept(extent: Extent) {
    let list = Some(SavedName { record: Arc::from([]), extent });
    let written = Saved { stream: Some("k51b".into()), list, ..Saved::new("k51a") }.write();
    let read = Saved::read(written.as_bytes()).expect("what is saved is read back");
    assert_eq!(read.write(), written);
}

/// However items are called, the list is one of ours with the same segments, and nothing of a title is a line.
fn own(data: &[u8]) {
    let snapshot = snapshot(&mut Feed(data));
    let text = hls::render(&snapshot).expect("it has segments");
    assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))));
    for line in text.lines() {
        assert!(line.starts_with("#EXT") || line.starts_with("/ipfs/"), "{line:?}");
        assert!(!line.starts_with("#EXT-X-DATERANGE") || line.matches('"').count() % 2 == 0, "{line:?}");
    }
    rungs_of(&snapshot, &text);
    let list = Listing::read(&text).expect("a list of ours can be followed");
    let cids: Vec<_> = snapshot.segments.iter().map(|aired| aired.segment.cid).collect();
    assert!(list.blocks().eq(cids.iter().copied()));
    assert_eq!(list.extent().first, snapshot.segments[0].media_seq);
    assert_eq!(list.hold_back_seconds(), snapshot.hold_back_seconds);
    for aired in &snapshot.segments {
        // As it is printed.
        let begins = Time::from_millis(snapshot.axis.date(aired.run.air_samples).millis());
        let (now, _) = list.now_and_next(begins);
        assert!(now.is_some_and(|now| now.kind == aired.run.kind), "an item is told of when it begins");
    }
}

/// The list of each rung is the live list in all but the names of segments, and the master list names it if it has any.
fn rungs_of(snapshot: &Snapshot, live: &str) {
    let master = ladder::master(snapshot).expect("it has segments");
    let named = |name: &str| master.lines().filter(|line| *line == name).count();
    assert_eq!(named("live.m3u8"), 1);
    for (name, text) in ladder::render(snapshot) {
        assert!(live.lines().zip(text.lines()).all(|(one, other)| one == other || one.starts_with("/ipfs/")));
        assert!(text.lines().count() == live.lines().count() && text != live && named(&name) == 1);
    }
}

fn snapshot(feed: &mut Feed<'_>) -> Snapshot {
    let axis = Axis { epoch: 1, anchor: Time::from_millis(1_795_252_684_893), rate: 44_100, target_seconds: 6 };
    let (mut media_seq, mut disc_seq, mut air_samples) = (1_795_252_684, 7, 0);
    let (mut segments, mut ladder) = (Vec::new(), Ladder::default());
    for _ in 0..1 + feed.below(3) {
        let frames: Vec<u32> = (0..1 + feed.below(3)).map(|_| 22 + feed.below(236) as u32).collect();
        let all: Vec<Segment> = frames.iter().zip(media_seq..).map(|(frames, at)| segment(*frames, at)).collect();
        let run = Arc::new(run(feed, media_seq, air_samples, &all));
        disc_seq += 1;
        for (part, segment) in (0..).zip(all) {
            let (disc, run) = (part == 0, run.clone());
            let (first_seq, group_seq, group_end) = (0, 0, 0);
            let rungs = rungs(feed, media_seq);
            let aired = Aired {
                media_seq,
                disc,
                disc_seq,
                air_samples,
                segment,
                rungs,
                part,
                run,
                first_seq,
                group_seq,
                group_end,
            };
            ladder.take(&aired, &axis);
            air_samples += i64::from(segment.samples);
            media_seq += 1;
            segments.push(aired);
        }
    }
    Snapshot { axis, hold_back_seconds: 36, segments, groups: Groups::default(), ladder }
}

/// None, one or two other renditions.
fn rungs(feed: &mut Feed<'_>, media_seq: u64) -> Vec<Rung> {
    let all = [64_000, 192_000].map(|bitrate: u32| {
        let cid = cid_of(RAW, &[&media_seq.to_be_bytes()[..], &bitrate.to_be_bytes()].concat());
        Rung { bitrate, cid, bytes: bitrate / 2 }
    });
    all[..feed.below(3)].to_vec()
}

fn segment(frames: u32, media_seq: u64) -> Segment {
    Segment { cid: cid_of(RAW, &media_seq.to_be_bytes()), samples: frames * FRAME, bytes: frames * 400 }
}

fn run(feed: &mut Feed<'_>, media_seq: u64, air_samples: i64, segments: &[Segment]) -> Run {
    let samples = segments.iter().map(|segment| u64::from(segment.samples)).sum();
    let inner: BTreeSet<u64> = (0..feed.below(3)).map(|_| 1 + feed.below(20_000) as u64).collect();
    let places = if inner.is_empty() { None } else { Some(0) }.into_iter().chain(inner);
    Run {
        media_seq,
        air_samples,
        samples,
        item: "item".into(),
        entry: "music/a.mp3".into(),
        kind: [Kind::Track, Kind::Jingle, Kind::Filler][feed.below(3)],
        title: feed.text(),
        artist: feed.text(),
        album: feed.text(),
        isrc: feed.text(),
        cover: feed.below(2).checked_sub(1).map(|_| Cover { cid: cid_of(RAW, b"picture"), bytes: 7 }),
        list: segment_list(segments, &[]).0,
        part: 0,
        parts: segments.len() as u32,
        order: "o".into(),
        position: 0,
        chapters: places.map(|at| Chapter { at, title: feed.text(), artist: feed.text() }).collect(),
    }
}

pub(crate) fn m3u8_seeds() -> Vec<Vec<u8>> {
    let named = [&[2, 1, 100, 50, 2, 9][..], b"\x06Song\n1\x06Some\"b\x03a\rb\x01x\x04\xe2\x80\xa8,\x02=\""].concat();
    let plain = hls::render(&snapshot(&mut Feed(&named))).unwrap_or_default();
    let last = plain.replace("2026-11-21", "9999-12-31");
    let bare = "#EXTM3U\r\n#EXTINF:6,\r\n0123456789abcdef0123456789abcdef\r\n";
    vec![plain.into_bytes(), last.into_bytes(), bare.as_bytes().to_vec(), named]
}
