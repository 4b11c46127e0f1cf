//! The ladder: one timeline in several bit rates, each with a list of its own, and the master list that names them.
//!
//! The list of a rung is the live list in all but the names of its segments: a pure function of the same frozen segments.
//! Where a part has no such rendition the default one stands in for it, so no list ever has a hole. `live.m3u8` is the
//! default rung.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    aired::{Aired, Axis},
    hls,
    segment::Segment,
    status::RungShown,
    time::Span,
    timeline::Snapshot,
};

/// The name of the master list.
pub const MASTER: &str = "master.m3u8";
/// The name of the list of the default rung.
pub const LIVE: &str = "live.m3u8";
/// Renditions of a segment beside the default one.
pub const RUNGS_MAX: usize = 7;
/// The lowest bit rate of a rung: below are the names of lists that are none, such as `live-60.m3u8`.
pub const BITRATE_MIN: u32 = 1_000;
/// Rungs that are known at a time: items of different settings may be on air one after the other.
pub const KNOWN_MAX: usize = 16;
/// A rung keeps its list for so long after its last part has aired: who plays it goes on with the default rendition.
const KEPT: Span = Span::seconds(24 * 3_600);
/// Bandwidths are whole multiples of so many bits per second: the master list does not change with every segment.
const STEP: u128 = 1_000;

/// The name of the list of a rung.
pub fn list_name(bitrate: u32) -> String {
    format!("live-{bitrate}.m3u8")
}

/// The bit rate of the rung whose list has this name; `None` for any other file.
pub fn rung_of(name: &str) -> Option<u32> {
    let number = name.strip_prefix("live-")?.strip_suffix(".m3u8")?;
    number.parse().ok().filter(|bitrate| *bitrate >= BITRATE_MIN && list_name(*bitrate) == name)
}

/// The rungs beside the default one, each with the end of the last part that has it, in samples since the anchor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder(BTreeMap<u32, i64>);

impl Ladder {
    /// Takes the next frozen segment.
    pub fn take(&mut self, aired: &Aired, axis: &Axis) {
        for rung in &aired.rungs {
            self.0.insert(rung.bitrate, aired.air_end());
        }
        let kept = KEPT.to_samples(axis.rate) as i64;
        self.0.retain(|_, end| *end + kept > aired.air_samples);
        while self.0.len() > KNOWN_MAX {
            let oldest = self.0.iter().min_by_key(|(bitrate, end)| (**end, **bitrate)).map(|(bitrate, _)| *bitrate);
            self.0.retain(|bitrate, _| Some(*bitrate) != oldest);
        }
    }

    /// Their bit rates, the lowest first.
    pub fn bitrates(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }
}

/// Renders the list of each rung beside the default one, with its name. An empty snapshot has none.
pub fn render(snapshot: &Snapshot) -> Vec<(String, String)> {
    let list = |bitrate| Some((list_name(bitrate), hls::render_rung(snapshot, bitrate)?));
    snapshot.ladder.bitrates().filter_map(list).collect()
}

/// How the list of each rung beside the default one is filled.
pub fn shown(snapshot: &Snapshot) -> Vec<RungShown> {
    let rung = |bitrate| {
        let stood_in = snapshot.segments.iter().filter(|aired| !aired.has_rung(bitrate)).count() as u64;
        RungShown { bitrate, segments: snapshot.segments.len() as u64, stood_in }
    };
    snapshot.ladder.bitrates().map(rung).collect()
}

/// Renders the master list: the default rung, and each other one of which a part is listed. An empty snapshot has none.
pub fn master(snapshot: &Snapshot) -> Option<String> {
    let mut out = String::from("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    variant(snapshot, LIVE, |aired| aired.segment, &mut out)?;
    let is_listed = |bitrate: &u32| snapshot.segments.iter().any(|aired| aired.has_rung(*bitrate));
    for bitrate in snapshot.ladder.bitrates().filter(is_listed) {
        variant(snapshot, &list_name(bitrate), |aired| aired.in_rung(bitrate), &mut out)?;
    }
    Some(out)
}

fn variant(snapshot: &Snapshot, name: &str, of: impl Fn(&Aired) -> Segment, out: &mut String) -> Option<()> {
    let segments: Vec<Segment> = snapshot.segments.iter().map(of).collect();
    let (peak, average) = bandwidth(&segments, &snapshot.axis)?;
    // Writing to a String cannot fail.
    let _ =
        write!(out, "#EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},CODECS=\"mp4a.40.2\"\n{name}\n");
    Some(())
}

/// The peak and the average bit rate of these segments, rounded up. The peak is the highest of any stretch that lasts
/// between half and one and a half target durations (RFC 8216 §4.3.4.2).
fn bandwidth(segments: &[Segment], axis: &Axis) -> Option<(u128, u128)> {
    let target = u64::from(axis.target_seconds) * u64::from(axis.rate);
    let rate = |bytes: u64, samples: u64| {
        let bits = u128::from(bytes) * 8 * u128::from(axis.rate);
        bits.checked_div(u128::from(samples)).map(|_| bits.div_ceil(u128::from(samples) * STEP) * STEP)
    };
    let sum = |segments: &[Segment]| {
        let all = segments.iter().map(|segment| (u64::from(segment.bytes), u64::from(segment.samples)));
        all.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    };
    let (bytes, samples) = sum(segments);
    let average = rate(bytes, samples)?;
    let mut peak = None;
    for from in 0..segments.len() {
        let mut stretch = (0, 0);
        for segment in &segments[from..] {
            stretch = (stretch.0 + u64::from(segment.bytes), stretch.1 + u64::from(segment.samples));
            if 2 * stretch.1 > 3 * target {
                break;
            }
            if 2 * stretch.1 >= target {
                peak = peak.max(rate(stretch.0, stretch.1));
            }
        }
    }
    Some((peak.unwrap_or(average).max(average), average))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::radio::{
        aired::Run,
        coarse::Groups,
        receipt::CidText,
        segment::{Kind, RAW, Rung, cid_of},
        time::Time,
    };

    const AXIS: Axis = Axis { epoch: 1, anchor: Time(0), rate: 44_100, target_seconds: 6 };

    fn segment(seconds_tenths: u32, bytes: u32) -> Segment {
        Segment { cid: cid_of(RAW, b"x"), samples: seconds_tenths * 4_410, bytes }
    }

    #[test]
    fn the_bandwidth_is_that_of_the_worst_stretch_and_of_all() {
        let steady = [segment(60, 96_000); 4];
        assert_eq!(bandwidth(&steady, &AXIS), Some((128_000, 128_000)));
        assert_eq!(bandwidth(&[segment(60, 96_001)], &AXIS), Some((129_000, 129_000)), "rounded up");
        // Too short to count alone, and 2 s + 6 s are within one and a half targets.
        let burst = [segment(60, 96_000), segment(20, 64_000), segment(60, 96_000)];
        assert_eq!(bandwidth(&burst, &AXIS), Some((160_000, 147_000)));
        // As long as half a target counts, longer than one and a half does not.
        assert_eq!(bandwidth(&[segment(30, 60_000), segment(60, 48_000)], &AXIS), Some((160_000, 96_000)));
        let low = [segment(29, 60_000), segment(62, 0)];
        assert_eq!(bandwidth(&low, &AXIS), Some((53_000, 53_000)), "neither counts, nor do both");
        let short = |next| [segment(29, 60_000), segment(next, 0), segment(60, 0)];
        assert_eq!(bandwidth(&short(61), &AXIS), Some((54_000, 32_000)), "one and a half targets count");
        assert_eq!(bandwidth(&short(62), &AXIS), Some((32_000, 32_000)), "a stretch that is longer does not");
        assert_eq!(bandwidth(&[], &AXIS), None);
    }

    fn aired(air_samples: i64, bitrates: &[u32]) -> Aired {
        let rung = |bitrate: &u32| Rung { bitrate: *bitrate, cid: cid_of(RAW, &bitrate.to_be_bytes()), bytes: 1 };
        let run = Run {
            media_seq: 1,
            air_samples: 0,
            samples: 264_600,
            item: "item".into(),
            entry: "music/a.mp3".into(),
            kind: Kind::Track,
            title: String::new(),
            artist: String::new(),
            album: String::new(),
            isrc: String::new(),
            cover: None,
            list: CidText(cid_of(RAW, b"list")),
            part: 0,
            parts: 1,
            order: "order".into(),
            position: 0,
            chapters: Vec::new(),
        };
        Aired {
            media_seq: 1,
            disc: true,
            disc_seq: 1,
            air_samples,
            segment: segment(60, 96_000),
            rungs: bitrates.iter().map(rung).collect(),
            part: 0,
            run: Arc::new(run),
            first_seq: 1,
            group_seq: 1,
            group_end: 1,
        }
    }

    #[test]
    fn a_list_is_called_by_its_bit_rate() {
        assert_eq!((list_name(64_000), rung_of("live-64000.m3u8")), ("live-64000.m3u8".into(), Some(64_000)));
        for other in [LIVE, MASTER, "live-60.m3u8", "live-064000.m3u8", "live-+64000.m3u8", "live-64000", "live-.m3u8"]
        {
            assert_eq!(rung_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_rung_is_known_for_a_day_after_its_last_part() {
        let mut ladder = Ladder::default();
        ladder.take(&aired(0, &[64_000, 32_000]), &AXIS);
        ladder.take(&aired(264_600, &[64_000]), &AXIS);
        let day = 24 * 3_600 * 44_100;
        let end = aired(0, &[]).air_end();
        let mut known = |at: i64| {
            ladder.take(&aired(at, &[]), &AXIS);
            ladder.bitrates().collect::<Vec<_>>()
        };
        assert_eq!(known(end + day - 1), [32_000, 64_000]);
        assert_eq!(known(end + day), [64_000]);
        assert_eq!(known(end + day + 264_600), [0_u32; 0]);
    }

    #[test]
    fn of_too_many_rungs_those_that_aired_last_are_known() {
        let mut ladder = Ladder::default();
        for n in 0..100 {
            ladder.take(&aired(i64::from(n), &[64_000 + n as u32]), &AXIS);
        }
        assert!(ladder.bitrates().eq(64_084..64_100), "{ladder:?}");
    }

    #[test]
    fn all_that_a_part_plays_is_the_default_rendition_and_its_others() {
        let cids: Vec<_> = aired(0, &[64_000, 32_000]).all().map(|segment| (segment.cid, segment.samples)).collect();
        let rung = |bitrate: u32| cid_of(RAW, &bitrate.to_be_bytes());
        assert_eq!(cids, [segment(60, 1).cid, rung(64_000), rung(32_000)].map(|cid| (cid, 264_600)));
    }

    #[test]
    fn each_rung_has_a_list_in_which_the_default_rendition_stands_in() {
        let segments: Vec<Aired> = (0..3)
            .map(|n: u32| Aired {
                media_seq: 1 + u64::from(n),
                disc: n == 0,
                ..aired(264_600 * i64::from(n), if n == 1 { &[] } else { &[64_000] })
            })
            .collect();
        let mut ladder = Ladder::default();
        segments.iter().for_each(|aired| ladder.take(aired, &AXIS));
        let groups = Groups::default();
        let snapshot = Snapshot { axis: AXIS, hold_back_seconds: 30, segments, groups, ladder };
        assert_eq!(shown(&snapshot), [RungShown { bitrate: 64_000, segments: 3, stood_in: 1 }]);
        let lists = render(&snapshot);
        let uri = |cid| hls::segment_uri(CidText(cid));
        let (default, rung) = (uri(segment(60, 1).cid), uri(cid_of(RAW, &64_000_u32.to_be_bytes())));
        let live = hls::render(&snapshot).unwrap();
        let mut parts = [&rung, &default, &rung].into_iter();
        let rest =
            live.split(default.as_str()).map(str::to_string).reduce(|out, next| out + parts.next().unwrap() + &next);
        assert_eq!(lists, [("live-64000.m3u8".to_string(), rest.unwrap())]);
        let empty = Snapshot { segments: Vec::new(), ..snapshot };
        assert_eq!((render(&empty), master(&empty)), (Vec::new(), None));
    }
}
