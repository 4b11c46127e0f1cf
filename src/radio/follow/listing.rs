//! A live list of another station, read and checked: what a mirror needs to know of it.

use std::{collections::BTreeSet, iter::Peekable, str::Chars};

use cid::Cid;
use serde_json::json;

use super::Extent;
use crate::radio::{
    segment::{Kind, cover_uri, is_segment},
    status::Airing,
    time::{Span, Time},
};

/// A list has fewer segments than this.
pub const SEGMENTS_MAX: usize = 10_000;
/// Longer than any segment may be, in microseconds.
const LONGEST: u64 = 60_000_000;
/// How many past items `now.json` tells of.
const RECENT_MAX: usize = 10;

/// A live list. [`Listing::read`] makes one only of a list in which everything that matters makes sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    first: u64,
    target_seconds: u64,
    hold_back_seconds: u64,
    segments: Vec<Listed>,
    runs: Vec<Airs>,
}

/// One segment of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    cid: Cid,
    starts: Time,
    lasts: Span,
}

/// One item of it, as its `EXT-X-DATERANGE` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Airs {
    starts: Time,
    ends: Time,
    kind: Kind,
    title: String,
    artist: String,
    cover: Option<Cid>,
}

impl Listing {
    /// Reads a list as [`crate::radio::hls`] writes it (RFC 8216bis). Tags that are not known are passed over; a list
    /// that names anything but raw blocks under `/ipfs/` is refused. The error says why, for people.
    pub fn read(text: &str) -> Result<Self, String> {
        if !text.starts_with("#EXTM3U\n") {
            return Err("it does not begin with #EXTM3U".into());
        }
        let mut list = Self {
            first: number(text, "#EXT-X-MEDIA-SEQUENCE:")?,
            target_seconds: number(text, "#EXT-X-TARGETDURATION:")?,
            hold_back_seconds: hold_back(text),
            segments: Vec::new(),
            runs: text.lines().filter_map(|line| line.strip_prefix("#EXT-X-DATERANGE:")).filter_map(airs).collect(),
        };
        list.read_segments(text)?;
        if list.segments.is_empty() {
            return Err("it lists no segment".into());
        }
        if list.first.checked_add(list.segments.len() as u64).is_none() {
            return Err("its media sequence is beyond any number".into());
        }
        Ok(list)
    }

    fn read_segments(&mut self, text: &str) -> Result<(), String> {
        let (mut starts, mut lasts) = (None, None);
        for line in text.lines() {
            if let Some(date) = line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:") {
                starts = Some(Time::parse(date).ok_or_else(|| format!("{} is no date", shown(date)))?);
            } else if let Some(info) = line.strip_prefix("#EXTINF:") {
                lasts = Some(span(info).ok_or_else(|| format!("{} is no length of a segment", shown(info)))?);
            } else if !line.is_empty() && !line.starts_with('#') {
                let number = self.first.saturating_add(self.segments.len() as u64);
                let cid = block(line).ok_or_else(|| format!("segment {number}: {} is no block", shown(line)))?;
                let (Some(starts), Some(lasts)) = (starts.take(), lasts.take()) else {
                    return Err(format!("segment {number} has no date or no length"));
                };
                if self.segments.len() == SEGMENTS_MAX {
                    return Err(format!("it lists more than {SEGMENTS_MAX} segments"));
                }
                self.segments.push(Listed { cid, starts, lasts });
            }
        }
        Ok(())
    }

    /// From where to where it reaches.
    pub fn extent(&self) -> Extent {
        let ends = self.segments.last().map_or(Time(0), |last| last.starts.plus(last.lasts));
        Extent { first: self.first, last: self.first + self.segments.len() as u64 - 1, ends }
    }

    /// The blocks that it names, in air order.
    pub fn blocks(&self) -> impl Iterator<Item = Cid> {
        self.segments.iter().map(|listed| listed.cid)
    }

    /// The blocks that have not aired at `now`, in air order, and how long from now each airs.
    pub fn airing(&self, now: Time) -> impl Iterator<Item = (Cid, Span)> {
        let ahead = self.segments.iter().filter(move |listed| listed.starts.plus(listed.lasts) > now);
        ahead.map(move |listed| (listed.cid, listed.starts.since(now)))
    }

    /// The number of the first segment that is not in `folder`.
    pub fn first_missing(&self, folder: &BTreeSet<Cid>) -> Option<u64> {
        let place = self.segments.iter().position(|listed| !folder.contains(&listed.cid));
        place.map(|place| self.first + place as u64)
    }

    /// Target duration in seconds.
    pub const fn target_seconds(&self) -> u64 {
        self.target_seconds
    }

    /// How far behind the end of the list players begin, in whole seconds; 0 where it does not say.
    pub const fn hold_back_seconds(&self) -> u64 {
        self.hold_back_seconds
    }

    /// The number of the segment on air at `now`; the next one's in a gap, the last one's once the list has run out.
    pub fn media_sequence(&self, now: Time) -> u64 {
        let past = self.segments.iter().take_while(|listed| listed.starts.plus(listed.lasts) <= now).count();
        self.first + past.min(self.segments.len() - 1) as u64
    }

    /// What is on air at `now`, and what comes after it as far as the list tells.
    pub fn now_and_next(&self, now: Time) -> (Option<Airing>, Option<Airing>) {
        let current = self.runs.iter().position(|run| run.starts <= now && now < run.ends);
        let next = current.and_then(|current| self.runs.get(current + 1));
        (current.map(|current| self.runs[current].airing()), next.map(Airs::airing))
    }

    /// The text of `now.json`, as the station's own port has it.
    pub fn now_json(&self, now: Time) -> String {
        let (current, next) = self.now_and_next(now);
        let past = self.runs.iter().rev().filter(|run| run.ends <= now);
        let recent: Vec<Airing> = past.take(RECENT_MAX).map(Airs::airing).collect();
        format!("{}\n", json!({ "now": current, "next": next, "recent": recent }))
    }
}

impl Airs {
    fn airing(&self) -> Airing {
        Airing {
            title: self.title.clone(),
            artist: self.artist.clone(),
            kind: self.kind,
            cover: self.cover.map(cover_uri),
            starts: self.starts.to_string(),
            ends: self.ends.to_string(),
        }
    }
}

fn number(text: &str, tag: &str) -> Result<u64, String> {
    let mut values = text.lines().filter_map(|line| line.strip_prefix(tag));
    let tag = tag.trim_end_matches(':');
    let value = values.next().ok_or_else(|| format!("it has no {tag}"))?;
    if values.next().is_some() {
        return Err(format!("it has {tag} twice"));
    }
    value.parse().map_err(|_| format!("{tag} is {}, not a number", shown(value)))
}

fn hold_back(text: &str) -> u64 {
    let control = text.lines().find_map(|line| line.strip_prefix("#EXT-X-SERVER-CONTROL:")).unwrap_or_default();
    let value = attributes(control).into_iter().find(|(key, _)| key == "HOLD-BACK");
    value.and_then(|(_, value)| micros(&value)).unwrap_or(0) / 1_000_000
}

fn span(info: &str) -> Option<Span> {
    let (seconds, _) = info.split_once(',')?;
    micros(seconds).filter(|micros| (1..=LONGEST).contains(micros)).map(Span)
}

/// Decimal seconds with at most six decimals, in microseconds.
fn micros(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if part.len() > 6 || !digits(part) || !digits(whole) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = format!("{part:0<6}").parse().ok()?;
    whole.checked_mul(1_000_000)?.checked_add(part)
}

/// The block of a URI `/ipfs/<cid>`, with or without a query: raw, CIDv1, SHA-256.
fn block(uri: &str) -> Option<Cid> {
    let below = uri.strip_prefix("/ipfs/")?;
    let cid = below.split_once('?').map_or(below, |(cid, _)| cid).parse().ok()?;
    is_segment(&cid).then_some(cid)
}

fn airs(line: &str) -> Option<Airs> {
    let attributes = attributes(line);
    let value = |key: &str| attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let kind = match value("CLASS")?.strip_prefix("org.ipfs-radio.")? {
        "track" => Kind::Track,
        "jingle" => Kind::Jingle,
        "filler" => Kind::Filler,
        _ => return None,
    };
    let starts = Time::parse(value("START-DATE")?)?;
    let text = |key| value(key).unwrap_or_default().to_owned();
    Some(Airs {
        starts,
        ends: starts.plus(Span(micros(value("DURATION")?)?)),
        kind,
        title: text("X-TITLE"),
        artist: text("X-ARTIST"),
        cover: value("X-COVER").and_then(block),
    })
}

/// An attribute list: names and values, quotes taken off.
fn attributes(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while rest.peek().is_some() {
        let name = until(&mut rest, '=');
        let quoted = rest.next_if_eq(&'"').is_some();
        let value = until(&mut rest, if quoted { '"' } else { ',' });
        if quoted {
            until(&mut rest, ',');
        }
        found.push((name, value));
    }
    found
}

fn until(rest: &mut Peekable<Chars<'_>>, end: char) -> String {
    let taken: String = std::iter::from_fn(|| rest.next_if(|c| *c != end)).collect();
    rest.next();
    taken
}

/// A piece of a strange text, fit for a message.
fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{
        golden::golden,
        hls,
        segment::{DAG_PB, RAW, cid_of},
    };

    const TITLES: &str = include_str!("../../../tests/golden/titles.m3u8");

    fn at(text: &str) -> Time {
        Time::parse(text).unwrap()
    }

    #[test]
    fn every_golden_list_is_read() {
        for (name, snapshot) in golden() {
            let text = hls::render(&snapshot).unwrap();
            let list = Listing::read(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(list.segments.len(), snapshot.segments.len(), "{name}");
            assert_eq!(list.runs.len(), text.matches("#EXT-X-DATERANGE").count(), "{name}");
        }
    }

    #[test]
    fn a_list_tells_what_is_on_air() {
        let list = Listing::read(TITLES).unwrap();
        let extent = list.extent();
        assert_eq!((extent.first, extent.last), (1_795_252_684, 1_795_252_688));
        assert_eq!(extent.ends, at("2026-11-21T15:36:27.217Z").minus(Span(231)));
        assert_eq!((list.target_seconds(), list.hold_back_seconds()), (6, 36));
        let (now, next) = list.now_and_next(at("2026-11-21T15:36:13.000Z"));
        assert_eq!(now.as_ref().unwrap().title, "You are listening");
        assert_eq!(now.unwrap().kind, Kind::Jingle);
        assert_eq!(next.as_ref().unwrap().title, "a b c d");
        assert_eq!(next.unwrap().artist, "DJ Tab");
        assert_eq!(list.media_sequence(at("2026-11-21T15:36:13.000Z")), 1_795_252_686);
        let airing: Vec<Span> = list.airing(at("2026-11-21T15:36:13.000Z")).map(|(_, airs)| airs).collect();
        assert_eq!(airing, [Span(0), Span::millis(2_630), Span::millis(8_435)]);
        let first = &list.segments[0];
        assert_eq!(list.airing(first.starts.plus(first.lasts)).count(), 4, "what has just aired has aired");
        assert_eq!(list.media_sequence(at("2026-11-21T15:00:00.000Z")), 1_795_252_684);
        assert_eq!(list.media_sequence(at("2026-11-21T16:00:00.000Z")), 1_795_252_688);
        assert_eq!(list.now_and_next(at("2026-11-21T16:00:00.000Z")), (None, None));
        let told: serde_json::Value = serde_json::from_str(&list.now_json(at("2026-11-21T15:36:13.000Z"))).unwrap();
        assert_eq!(told["recent"][0]["title"], "Über 'Alles' und 日本 𝄞");
        assert_eq!(told["now"]["ends"], "2026-11-21T15:36:15.630Z");
    }

    #[test]
    fn a_list_says_which_of_its_segments_are_not_in_a_folder() {
        let list = Listing::read(TITLES).unwrap();
        let mut folder: BTreeSet<Cid> = list.blocks().collect();
        assert_eq!(list.first_missing(&folder), None);
        folder.remove(&list.segments[3].cid);
        assert_eq!(list.first_missing(&folder), Some(list.first + 3));
    }

    #[test]
    fn what_is_no_list_of_ours_is_refused_in_words() {
        let raw = cid_of(RAW, b"x");
        for (from, to, words) in [
            ("#EXTM3U\n", "#EXTM3U8\n", "#EXTM3U"),
            ("#EXT-X-MEDIA-SEQUENCE:1795252684\n", "", "no #EXT-X-MEDIA-SEQUENCE"),
            ("#EXT-X-MEDIA-SEQUENCE:1795252684\n", "#EXT-X-MEDIA-SEQUENCE:-1\n", "not a number"),
            ("#EXT-X-MEDIA-SEQUENCE:1795252684\n", "#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n", "beyond"),
            ("#EXT-X-VERSION:9\n", "#EXT-X-TARGETDURATION:5\n", "twice"),
            ("2026-11-21T15:36:00.630Z", "yesterday", "\"yesterday\" is no date"),
            ("#EXTINF:5.990748,Ä", "#EXTINF:5.9907480,Ä", "no length"),
            ("#EXTINF:5.990748,Ä", "#EXTINF:5.+90748,Ä", "no length"),
            ("#EXTINF:5.990748,Ä", "#EXTINF:+5.990748,Ä", "no length"),
            ("#EXTINF:5.990748,Ä", "#EXTINF:nan,Ä", "no length"),
            ("#EXTINF:5.990748,Ä", "#EXTINF:99999,Ä", "no length"),
            ("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T15:36:00.630Z\n", "", "no date or no length"),
            ("\n/ipfs/bafkreie4", "\nhttps://elsewhere/ipfs/bafkreie4", "no block"),
            ("/ipfs/bafkreie4", "/ipns/bafkreie4", "no block"),
            ("/ipfs/bafkreie4", "/ipfs/../bafkreie4", "no block"),
        ] {
            assert!(TITLES.contains(from), "{from}");
            let refused = Listing::read(&TITLES.replacen(from, to, 1)).unwrap_err();
            assert!(refused.contains(words), "{from} → {to}: {refused}");
        }
        let head = &TITLES[..TITLES.find("#EXT-X-DATERANGE").unwrap()];
        assert!(Listing::read(head).unwrap_err().contains("no segment"));
        let other = cid_of(DAG_PB, b"x").to_string();
        let entry =
            |cid: &str| format!("#EXT-X-PROGRAM-DATE-TIME:2026-11-21T15:36:00.630Z\n#EXTINF:1.0,\n/ipfs/{cid}\n");
        assert!(Listing::read(&format!("{head}{}", entry(&other))).unwrap_err().contains("no block"));
        let many = entry(&raw.to_string()).repeat(SEGMENTS_MAX + 1);
        assert!(Listing::read(&format!("{head}{many}")).unwrap_err().contains("more than"));
    }

    #[test]
    fn garbage_never_panics() {
        for length in 0..TITLES.len() {
            if TITLES.is_char_boundary(length) {
                let _ = Listing::read(&TITLES[..length]);
                let _ = attributes(&TITLES[length..]);
            }
        }
    }
}
