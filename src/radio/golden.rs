//! Playlists as other people's readers read them; `src/golden.rs` holds them against files, byte for byte.

use std::sync::Arc;

use m3u8_rs::MediaPlaylist;

use super::{
    aired::{Aired, Axis, Run, segment_list},
    coarse::{self, Group, Groups},
    cue::Chapter,
    hls,
    ladder::{self, Ladder},
    receipt::CidText,
    segment::{Cover, DAG_PB, Kind, RAW, Rung, Segment, cid_of},
    time::Time,
    timeline::Snapshot,
};

/// One item of a list: its name, kind, tags, and its segments in frames of 1 024 samples.
struct Part<'n> {
    name: &'n str,
    kind: Kind,
    title: &'n str,
    artist: &'n str,
    frames: Vec<u32>,
    /// Index of the first segment that is listed.
    from: usize,
    /// Samples by which the dates jump before it.
    jump: i64,
}

fn part<'n>(name: &'n str, title: &'n str, artist: &'n str, frames: Vec<u32>) -> Part<'n> {
    Part { name, kind: Kind::Track, title, artist, frames, from: 0, jump: 0 }
}

/// A list of these items, one after the other.
fn snapshot(axis: Axis, look_ahead: u64, parts: &[Part<'_>]) -> Snapshot {
    let (mut media_seq, mut disc_seq, mut air_samples) = (1_795_252_684, 1_795_252_684, 1_000_000_000);
    let (mut segments, mut groups, mut group_seq) = (Vec::new(), Groups::default(), 1_795_250_000);
    let mut ladder = Ladder::default();
    for part in parts {
        air_samples += part.jump;
        let all: Vec<Segment> =
            part.frames.iter().enumerate().map(|(at, frames)| block(part.name, at, *frames)).collect();
        let before: u64 = all[..part.from].iter().map(|one| u64::from(one.samples)).sum();
        let run = Arc::new(Run {
            media_seq: media_seq - part.from as u64,
            air_samples: air_samples - before as i64,
            samples: all.iter().map(|one| u64::from(one.samples)).sum(),
            item: part.name.into(),
            entry: format!("music/{}.flac", part.name),
            kind: part.kind,
            title: part.title.into(),
            artist: part.artist.into(),
            album: if part.name == "songs" { "Album \"X\"".into() } else { String::new() },
            isrc: if part.name == "songs" { "QZES71982312".into() } else { String::new() },
            cover: (part.name == "songs").then(|| Cover { cid: cid_of(RAW, b"picture"), bytes: 7 }),
            list: segment_list(&all, &[]).0,
            part: 0,
            parts: all.len() as u32,
            order: "0".repeat(64).into(),
            position: 0,
            chapters: if part.name == "mix" { mixed() } else { Vec::new() },
        });
        for (at, segment) in all.iter().enumerate().skip(part.from) {
            disc_seq += u64::from(at == 0);
            let (disc, segment, part, run) = (at == 0, *segment, at as u32, run.clone());
            group_seq += u64::from(coarse::begins(disc, part, &axis));
            // The last segment is on air.
            let (first_seq, group_end) = (0, group_seq);
            let rungs = rungs(&run.item, at);
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
            groups.take(&aired, &axis);
            ladder.take(&aired, &axis);
            segments.push(aired);
            media_seq += 1;
            air_samples += i64::from(segment.samples);
        }
    }
    let hold_back_seconds = (look_ahead + 2) * u64::from(axis.target_seconds);
    Snapshot { axis, hold_back_seconds, segments, groups, ladder }
}

/// The other renditions of a part: some items have two, some have one of them, and most have none.
fn rungs(name: &str, at: usize) -> Vec<Rung> {
    let has: &[u32] = match name {
        "ladder" => &[64_000, 192_000],
        "half a ladder" => &[64_000],
        _ => &[],
    };
    let rung = |bitrate: &u32| {
        let cid = cid_of(RAW, format!("{name} {at} {bitrate}").as_bytes());
        Rung { bitrate: *bitrate, cid, bytes: bitrate / 8 * 6 }
    };
    has.iter().map(rung).collect()
}

/// Two of them begin in one segment.
fn mixed() -> Vec<Chapter> {
    let marks = [(0, "One"), (400_000, "Two"), (700_000, "Three"), (720_000, "Four \"4\""), (1_500_000, "Five")];
    marks.map(|(at, title)| Chapter { at, title: title.into(), artist: "Somebody".into() }).into()
}

fn block(name: &str, at: usize, frames: u32) -> Segment {
    let cid = cid_of(RAW, format!("{name} {at}").as_bytes());
    Segment { cid, samples: frames * 1_024, bytes: frames * 400 }
}

const AXIS: Axis = Axis { epoch: 1, anchor: Time::from_millis(1_795_252_684_893), rate: 44_100, target_seconds: 6 };

/// All golden lists with their names.
pub(super) fn golden() -> Vec<(&'static str, Snapshot)> {
    let whole = |count| vec![258; count];
    let songs = [
        Part { from: 2, ..part("songs", "Über \"Alles\"\nund 日本 𝄞", "Ärzte & Co, Ltd.", whole(4)) },
        Part { kind: Kind::Jingle, ..part("jingle", "You are listening", "", vec![130]) },
        part("next", "a\u{2028}b\u{7f}c\u{85}d", "DJ\tTab", vec![250, 249]),
    ];
    let outage =
        [part("before", "Before", "A", whole(3)), Part { jump: 79_380_007, ..part("after", "After", "A", whole(3)) }];
    let reanchored =
        [part("before", "Before", "A", whole(3)), Part { jump: -79_380_007, ..part("after", "After", "A", whole(3)) }];
    let shorts: Vec<String> = (0..8).map(|at| format!("short {at}")).collect();
    let shorts: Vec<Part<'_>> = shorts
        .iter()
        .zip([22, 23, 44, 100, 258, 22, 1, 257])
        .map(|(name, frames)| part(name, name, "", vec![frames]))
        .collect();
    let ladder = [
        part("ladder", "Three", "A", whole(3)),
        part("none", "One", "A", whole(2)),
        part("half a ladder", "Two", "A", whole(3)),
    ];
    let high = Axis { epoch: 3, rate: 48_000, target_seconds: 10, ..AXIS };
    vec![
        ("one_item", snapshot(AXIS, 4, &[part("item", "Title", "Artist", whole(6))])),
        ("titles", snapshot(AXIS, 4, &songs)),
        ("filler", snapshot(AXIS, 2, &[Part { kind: Kind::Filler, ..part("filler", "ipfs-radio", "", vec![200; 5]) }])),
        ("outage", snapshot(AXIS, 4, &outage)),
        ("reanchored", snapshot(AXIS, 4, &reanchored)),
        ("shorter_than_a_segment", snapshot(AXIS, 2, &shorts)),
        ("three_hours", snapshot(AXIS, 50, &[Part { from: 1_700, ..part("concert", "Concert", "B", whole(1_803)) }])),
        ("mix", snapshot(AXIS, 4, &[Part { from: 1, ..part("mix", "The mix", "The DJ", whole(6)) }])),
        ("ladder", snapshot(AXIS, 4, &ladder)),
        ("ten_seconds_at_48_khz", snapshot(high, 4, &[part("item", "Title", "Artist", vec![468; 7])])),
    ]
}

/// What a group's file is called where nobody makes one.
fn file_of(group: &Group) -> CidText {
    let cids: Vec<u8> = group.segments.iter().flat_map(|segment| segment.cid.to_bytes()).collect();
    CidText(cid_of(DAG_PB, &cids))
}

/// The listed groups, and the coarse list of them.
fn coarse_list(snapshot: &Snapshot) -> Option<(Vec<Arc<Group>>, String)> {
    let listed = snapshot.groups.listed(&snapshot.axis);
    let groups: Vec<Arc<Group>> = snapshot.groups.all().skip(listed.start).take(listed.len()).cloned().collect();
    let text = coarse::render(&snapshot.axis, groups.iter().map(|group| (&**group, file_of(group))))?;
    Some((groups, text))
}

/// The texts of all of them, each with the name of its file.
pub(crate) fn texts() -> Vec<(String, String)> {
    let fine = golden().into_iter().map(|(name, snapshot)| (name.to_owned(), hls::render(&snapshot).unwrap()));
    let rungs = golden().into_iter().flat_map(|(name, snapshot)| {
        let lists = ladder::render(&snapshot).into_iter();
        let master = (name == "ladder").then(|| ("master.m3u8".into(), ladder::master(&snapshot).unwrap()));
        lists.chain(master).map(move |(list, text)| (format!("{name}.{}", list.trim_end_matches(".m3u8")), text))
    });
    let coarse = golden().into_iter().filter_map(|(name, snapshot)| {
        let (_, text) = coarse_list(&snapshot)?;
        Some((format!("{name}.coarse"), text))
    });
    let files = fine.chain(rungs).chain(coarse);
    files.map(|(name, text)| (format!("{name}.m3u8"), text)).collect()
}

#[test]
fn an_empty_list_has_no_text() {
    let empty = snapshot(AXIS, 4, &[]);
    assert_eq!(hls::render(&empty), None);
    assert_eq!(coarse_list(&empty), None);
}

#[test]
fn our_own_strict_reader_takes_them() {
    for (name, snapshot) in golden() {
        let text = hls::render(&snapshot).unwrap();
        let list = super::sim::list::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(list.parts.len(), snapshot.segments.len());
        let Some((groups, text)) = coarse_list(&snapshot) else { continue };
        let list = super::sim::list::read_coarse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(list.parts.len(), groups.len());
    }
}

fn read_by_m3u8_rs(text: &str) -> MediaPlaylist {
    // It ends a title at its second comma and takes the rest of the line for a URI.
    let cut = |line: &str| match line.strip_prefix("#EXTINF:").and_then(|rest| rest.split_once(',')) {
        Some((seconds, title)) => format!("#EXTINF:{seconds},{}\n", title.replace(',', ";")),
        None => format!("{line}\n"),
    };
    let text: String = text.lines().map(cut).collect();
    m3u8_rs::parse_media_playlist_res(text.as_bytes()).unwrap()
}

#[test]
fn m3u8_rs_reads_them() {
    for (name, snapshot) in golden() {
        let list = read_by_m3u8_rs(&hls::render(&snapshot).unwrap());
        let first = &snapshot.segments[0];
        assert_eq!(list.version, Some(9), "{name}");
        assert_eq!(list.target_duration, u64::from(snapshot.axis.target_seconds));
        assert_eq!(list.media_sequence, first.media_seq);
        assert_eq!(list.discontinuity_sequence, first.disc_seq - u64::from(first.disc));
        assert!(list.independent_segments && !list.end_list && list.playlist_type.is_none());
        assert_eq!(list.start.unwrap().time_offset, -(snapshot.hold_back_seconds as f64));
        assert_eq!(list.segments.len(), snapshot.segments.len());
        for (read, aired) in list.segments.iter().zip(&snapshot.segments) {
            assert_eq!(read.uri, hls::segment_uri(CidText(aired.segment.cid)));
            assert_eq!(read.discontinuity, aired.disc);
            let seconds = f64::from(aired.segment.samples) / f64::from(snapshot.axis.rate);
            assert!((f64::from(read.duration) - seconds).abs() < 1e-5);
            let millis = read.program_date_time.unwrap().timestamp_millis() as u64;
            assert_eq!(millis, snapshot.axis.date(aired.air_samples).millis());
        }
        let told = list.segments.iter().filter(|segment| segment.daterange.is_some()).count();
        let runs = snapshot.segments.iter().filter(|aired| aired.disc).count();
        let chapters = if name == "mix" { 2 } else { 0 };
        assert_eq!(told, runs + usize::from(!first.disc) + chapters, "{name}");
    }
}

#[test]
fn m3u8_rs_reads_the_coarse_ones() {
    for (name, snapshot) in golden() {
        let Some((groups, text)) = coarse_list(&snapshot) else { continue };
        let list = read_by_m3u8_rs(&text);
        assert_eq!(list.version, Some(3), "{name}");
        assert_eq!(list.target_duration, 60);
        assert_eq!(list.media_sequence, groups[0].seq);
        assert_eq!(list.discontinuity_sequence, groups[0].disc_seq - u64::from(groups[0].disc));
        assert!(list.independent_segments && !list.end_list && list.playlist_type.is_none() && list.start.is_none());
        assert_eq!(list.segments.len(), groups.len());
        for (read, group) in list.segments.iter().zip(&groups) {
            assert_eq!((&read.uri, read.discontinuity), (&hls::segment_uri(file_of(group)), group.disc));
            let seconds = group.samples() as f64 / f64::from(snapshot.axis.rate);
            assert!((f64::from(read.duration) - seconds).abs() < 1e-5 && read.duration <= 60.0);
            let millis = read.program_date_time.unwrap().timestamp_millis() as u64;
            assert_eq!(millis, snapshot.axis.date(group.air_samples).millis());
        }
    }
}

#[test]
fn hls_m3u8_reads_them() {
    for (name, snapshot) in golden() {
        // It knows SERVER-CONTROL only with CAN-BLOCK-RELOAD, and no version beyond 7.
        let known = |line: &&str| !line.starts_with("#EXT-X-SERVER-CONTROL") && !line.starts_with("#EXT-X-VERSION");
        let text = hls::render(&snapshot).unwrap();
        let text: String = text.lines().filter(known).map(|line| format!("{line}\n")).collect();
        let list = hls_m3u8::MediaPlaylist::try_from(text.as_str()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(list.target_duration.as_secs(), u64::from(snapshot.axis.target_seconds));
        assert_eq!(list.media_sequence as u64, snapshot.segments[0].media_seq);
        if let Some((groups, text)) = coarse_list(&snapshot) {
            let list = hls_m3u8::MediaPlaylist::try_from(text.as_str());
            let list = list.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!((list.media_sequence as u64, list.segments.num_elements()), (groups[0].seq, groups.len()));
        }
        let uris: Vec<&str> = list.segments.iter().map(|(_, segment)| segment.uri().as_ref()).collect();
        let wanted: Vec<String> =
            snapshot.segments.iter().map(|aired| hls::segment_uri(CidText(aired.segment.cid))).collect();
        assert_eq!(uris, wanted);
    }
}
