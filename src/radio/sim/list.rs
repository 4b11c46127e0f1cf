//! A strict reader of the playlists that the station writes, made apart from the writer: what does not look exactly
//! as the contract says is refused.

/// What one playlist says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct List<'t> {
    pub(in super::super) target_seconds: u64,
    pub(in super::super) hold_back_seconds: u64,
    pub(in super::super) media_sequence: u64,
    pub(in super::super) discontinuity_sequence: u64,
    pub(in super::super) parts: Vec<Part<'t>>,
}

/// What it says of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Part<'t> {
    pub(in super::super) disc: bool,
    pub(in super::super) ranges: Vec<Range<'t>>,
    pub(in super::super) pdt: &'t str,
    pub(in super::super) pdt_millis: u64,
    pub(in super::super) extinf_micros: u64,
    pub(in super::super) title: &'t str,
    pub(in super::super) uri: &'t str,
}

/// One `EXT-X-DATERANGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Range<'t> {
    pub(in super::super) line: &'t str,
    pub(in super::super) id: &'t str,
    pub(in super::super) start: &'t str,
    pub(in super::super) millis: u64,
}

/// A list that the master list names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Variant<'t> {
    pub(in super::super) bandwidth: u64,
    pub(in super::super) average: u64,
    pub(in super::super) uri: &'t str,
}

/// Reads a whole master list.
pub(in super::super) fn read_master(text: &str) -> Result<Vec<Variant<'_>>, String> {
    let body = text.strip_suffix('\n').ok_or("the last line does not end")?;
    let mut lines = body.split('\n').peekable();
    exactly(&mut lines, "#EXTM3U")?;
    exactly(&mut lines, "#EXT-X-VERSION:9")?;
    exactly(&mut lines, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    let mut variants = Vec::new();
    while lines.peek().is_some() {
        let attributes = after(&mut lines, "#EXT-X-STREAM-INF:BANDWIDTH=")?;
        let (bandwidth, rest) = attributes.split_once(",AVERAGE-BANDWIDTH=").ok_or("no AVERAGE-BANDWIDTH")?;
        let average = rest.strip_suffix(",CODECS=\"mp4a.40.2\"").ok_or("no CODECS")?;
        let uri = lines.next().filter(|uri| !uri.starts_with('#') && !uri.contains('/')).ok_or("no relative URI")?;
        variants.push(Variant { bandwidth: number(bandwidth)?, average: number(average)?, uri });
    }
    if variants.is_empty() { Err("it names no list".into()) } else { Ok(variants) }
}

type Lines<'t> = std::iter::Peekable<std::str::Split<'t, char>>;

/// Reads a whole live playlist.
pub(in super::super) fn read(text: &str) -> Result<List<'_>, String> {
    read_below(text, header)
}

/// Reads a whole coarse playlist; it has nothing to hold back.
pub(in super::super) fn read_coarse(text: &str) -> Result<List<'_>, String> {
    read_below(text, coarse_header)
}

type Header<'t> = fn(&mut Lines<'t>) -> Result<List<'t>, String>;

fn read_below<'t>(text: &'t str, header: Header<'t>) -> Result<List<'t>, String> {
    let body = text.strip_suffix('\n').ok_or("the last line does not end")?;
    if let Some(odd) = body.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{feff}') {
        return Err(format!("holds {odd:?}"));
    }
    let mut lines = body.split('\n').peekable();
    let mut list = header(&mut lines)?;
    while lines.peek().is_some() {
        list.parts.push(part(&mut lines)?);
    }
    Ok(list)
}

fn header<'t>(lines: &mut Lines<'t>) -> Result<List<'t>, String> {
    exactly(lines, "#EXTM3U")?;
    exactly(lines, "#EXT-X-VERSION:9")?;
    let target_seconds = number(after(lines, "#EXT-X-TARGETDURATION:")?)?;
    let hold_back = after(lines, "#EXT-X-SERVER-CONTROL:HOLD-BACK=")?;
    let start = after(lines, "#EXT-X-START:TIME-OFFSET=-")?;
    if start.strip_suffix(",PRECISE=NO") != Some(hold_back) {
        return Err("START is not −HOLD-BACK".into());
    }
    exactly(lines, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    Ok(List {
        target_seconds,
        hold_back_seconds: number(hold_back.strip_suffix(".000").ok_or("HOLD-BACK has no milliseconds")?)?,
        media_sequence: number(after(lines, "#EXT-X-MEDIA-SEQUENCE:")?)?,
        discontinuity_sequence: number(after(lines, "#EXT-X-DISCONTINUITY-SEQUENCE:")?)?,
        parts: Vec::new(),
    })
}

fn coarse_header<'t>(lines: &mut Lines<'t>) -> Result<List<'t>, String> {
    exactly(lines, "#EXTM3U")?;
    exactly(lines, "#EXT-X-VERSION:3")?;
    let target_seconds = number(after(lines, "#EXT-X-TARGETDURATION:")?)?;
    exactly(lines, "#EXT-X-INDEPENDENT-SEGMENTS")?;
    Ok(List {
        target_seconds,
        hold_back_seconds: 0,
        media_sequence: number(after(lines, "#EXT-X-MEDIA-SEQUENCE:")?)?,
        discontinuity_sequence: number(after(lines, "#EXT-X-DISCONTINUITY-SEQUENCE:")?)?,
        parts: Vec::new(),
    })
}

fn part<'t>(lines: &mut Lines<'t>) -> Result<Part<'t>, String> {
    let disc = lines.next_if_eq(&"#EXT-X-DISCONTINUITY").is_some();
    let mut ranges = Vec::new();
    while let Some(line) = lines.next_if(|line| line.starts_with("#EXT-X-DATERANGE:")) {
        ranges.push(range(line)?);
    }
    let pdt = after(lines, "#EXT-X-PROGRAM-DATE-TIME:")?;
    let (seconds, title) = after(lines, "#EXTINF:")?.split_once(',').ok_or("EXTINF has no comma")?;
    let uri = lines.next().ok_or("the last segment has no URI")?;
    let cid = uri.strip_prefix("/ipfs/").and_then(|rest| rest.strip_suffix("?filename=s.mpegts"));
    let plain = |cid: &&str| cid.len() == 59 && cid.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    cid.filter(plain).ok_or_else(|| format!("{uri:?} is no segment"))?;
    Ok(Part { disc, ranges, pdt, pdt_millis: millis(pdt)?, extinf_micros: fixed(seconds, 6)?, title, uri })
}

fn range(line: &str) -> Result<Range<'_>, String> {
    let wrong = || format!("{line:?} is not what a date range looks like");
    let rest = line.strip_prefix("#EXT-X-DATERANGE:ID=\"").ok_or_else(wrong)?;
    let (id, rest) = rest.split_once("\",CLASS=\"org.ipfs-radio.").ok_or_else(wrong)?;
    let (kind, rest) = rest.split_once("\",START-DATE=\"").ok_or_else(wrong)?;
    let (start, rest) = rest.split_once("\",DURATION=").ok_or_else(wrong)?;
    let (duration, mut rest) = rest.split_once(',').map_or((rest, ""), |(duration, rest)| (duration, rest));
    if !matches!(kind, "track" | "jingle" | "filler") {
        return Err(wrong());
    }
    millis(start)?;
    let mut keys = ["X-TITLE", "X-ARTIST", "X-ALBUM", "X-ISRC", "X-COVER"].iter();
    while !rest.is_empty() {
        let (key, value) = rest.split_once("=\"").ok_or_else(wrong)?;
        keys.find(|known| **known == key).ok_or_else(wrong)?;
        let (value, behind) = value.split_once('"').ok_or_else(wrong)?;
        let is_fit = *key != *"X-COVER" || value.strip_prefix("/ipfs/").is_some_and(|cid| cid.len() == 59);
        if value.is_empty() || !is_fit || !(behind.is_empty() || behind.starts_with(',')) {
            return Err(wrong());
        }
        rest = behind.strip_prefix(',').unwrap_or_default();
    }
    Ok(Range { line, id, start, millis: fixed(duration, 3)? })
}

fn exactly(lines: &mut Lines<'_>, wanted: &str) -> Result<(), String> {
    let line = lines.next();
    if line == Some(wanted) { Ok(()) } else { Err(format!("{line:?} where {wanted:?} belongs")) }
}

fn after<'t>(lines: &mut Lines<'t>, prefix: &str) -> Result<&'t str, String> {
    let line = lines.next().unwrap_or_default();
    line.strip_prefix(prefix).ok_or_else(|| format!("{line:?} where {prefix:?} belongs"))
}

fn number(text: &str) -> Result<u64, String> {
    let value = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if format!("{value}") == text { Ok(value) } else { Err(format!("{text:?} is not the plain {value}")) }
}

/// A number with exactly so many decimals, without its point.
fn fixed(text: &str, decimals: usize) -> Result<u64, String> {
    let (whole, part) = text.split_once('.').ok_or_else(|| format!("{text:?} has no point"))?;
    if part.len() != decimals || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} does not have {decimals} decimals"));
    }
    let part: u64 = part.parse().map_err(|_| format!("{text:?} is no number"))?;
    Ok(number(whole)? * 10_u64.pow(decimals as u32) + part)
}

/// Milliseconds since 1970 of `2026-11-21T09:18:04.893Z`, by counting years and months.
pub(super) fn millis(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no date");
    let at = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u64>().ok()).ok_or_else(wrong);
    let marks: String = [4, 7, 10, 13, 16, 19, 23].iter().filter_map(|at| text.get(*at..at + 1)).collect();
    if text.len() != 24 || marks != "--T::.Z" {
        return Err(wrong());
    }
    let (year, month, day) = (at(0, 4)?, at(5, 7)?, at(8, 10)?);
    let leap = |year: u64| (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let known = months.get((month as usize).wrapping_sub(1)).is_some_and(|days| (1..=*days).contains(&day));
    let (hour, minute, second) = (at(11, 13)?, at(14, 16)?, at(17, 19)?);
    if !known || year < 1970 || hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let days = years + months[..month as usize - 1].iter().sum::<u64>() + day - 1;
    Ok((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + at(20, 23)?)
}
