//! `tracks/audio/<id>/meta.json`: one item with all its segments.

use cid::Cid;
use serde::{Deserialize, Serialize};

pub use figures::{Flaws, Loudness};
use figures::{LARGEST, written};

use super::{Error, ItemLine, Pipeline, RenditionLine, VERSION, as_text, read, to_json};
use crate::radio::{
    cue::{self, Chapter},
    ladder::BITRATE_MIN,
    quote::quote,
    segment::{Item, Rung, Segment, chunk_name, is_segment, is_short_name, short_name},
};

mod figures;

/// Longest `meta.json` that is read, in bytes.
pub const LONGEST: u64 = 64 << 20;

/// One item: what it is called, where it came from, and its segments.
///
/// The names in camel case are those of the splitter that this format continues; they describe the output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    v: u32,
    /// The id of the item.
    #[serde(rename = "audioId")]
    pub id: String,
    /// What made the segments.
    pub pipeline: Pipeline,
    /// Samples per second.
    #[serde(rename = "sampleRate")]
    pub rate: u32,
    /// 1 or 2.
    pub channels: u8,
    /// The codec, `aac`.
    pub codec: String,
    /// Bits per second of the default rendition.
    #[serde(rename = "bitRate")]
    pub bitrate: u32,
    /// The length in samples per channel.
    pub samples: u64,
    /// The length in seconds, for people and other programs: `samples` counts.
    #[serde(rename = "durationSec")]
    pub duration_seconds: f64,
    /// The names of the VOD lists, the default rendition's first.
    pub streams: Vec<String>,
    /// What the recording says of itself.
    #[serde(flatten)]
    pub tags: Tags,
    /// The recording.
    pub source: Origin,
    /// The levels that were measured.
    pub loudness: Loudness,
    /// What is wrong or odd about the recording, in figures.
    #[serde(default)]
    pub flaws: Flaws,
    /// What was odd about the recording, in words.
    pub warnings: Vec<String>,
    /// The renditions, the default one first.
    pub renditions: Vec<Rendition>,
    /// Where titles change inside it, in order; none in a recording of one piece.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chapters: Vec<Chapter>,
    /// The short name of the cue sheet that the chapters are from; empty where the recording itself tells them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cue_sheet: String,
    /// How much silence was cut off its beginning, in samples per channel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lead: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a recording says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tags {
    /// What it is called; empty where it says nothing: the manifest then takes the file's name.
    pub title: String,
    /// Who plays it; empty where nobody says.
    pub artist: String,
    /// The record it is from; empty where nobody says.
    pub album: String,
    /// The year of the record.
    pub year: Option<u16>,
    /// ISO 3901 recording code; empty where nobody says.
    pub isrc: String,
    /// The CID of its picture.
    #[serde(with = "as_text")]
    pub cover: Option<Cid>,
}

/// The recording that an item was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The SHA-256 of its bytes in hex; of its description for what the generator made.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The container it is in, as the decoder calls it.
    pub container: String,
    /// The codec it is in, as the decoder calls it.
    pub codec: String,
    /// Its samples per second, if stated.
    pub rate: Option<u32>,
    /// Its channels, if stated.
    pub channels: Option<u16>,
}

/// One rendition of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Bits per second.
    pub bitrate: u32,
    /// Its segments in order, at least one.
    pub segments: Vec<Segment>,
}

impl Rendition {
    /// The VOD list: bare chunk names, as `tracks/audio/<id>/stream/<name>.m3u8` holds them. Byte-stable.
    pub fn list(&self, rate: u32) -> String {
        let longest = self.segments.iter().map(|segment| segment.samples).max().unwrap_or_default();
        let target = longest.div_ceil(rate.max(1));
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n"
        );
        for segment in &self.segments {
            let micros = (u64::from(segment.samples) * 1_000_000 + u64::from(rate) / 2) / u64::from(rate.max(1));
            let name = chunk_name(&segment.cid);
            text.push_str(&format!("#EXTINF:{}.{:06},\n{name}\n", micros / 1_000_000, micros % 1_000_000));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        text
    }

    /// The name of the VOD list: the first 32 hex digits of the SHA-256 of [`Rendition::list`].
    pub fn stream(&self, rate: u32) -> String {
        short_name(self.list(rate).as_bytes())
    }

    fn samples(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.samples)).sum()
    }
}

impl Meta {
    /// Puts an item together; what follows from the renditions is filled in.
    #[allow(clippy::too_many_arguments, reason = "one argument for each part of the file")]
    pub fn new(
        id: String,
        pipeline: Pipeline,
        rate: u32,
        channels: u8,
        tags: Tags,
        source: Origin,
        loudness: Loudness,
        flaws: Flaws,
        warnings: Vec<String>,
        renditions: Vec<Rendition>,
    ) -> Result<Self, Error> {
        let samples = renditions.first().map_or(0, Rendition::samples);
        let meta = Self {
            v: VERSION,
            id,
            pipeline,
            rate,
            channels,
            codec: "aac".into(),
            bitrate: renditions.first().map_or(0, |rendition| rendition.bitrate),
            samples,
            duration_seconds: written(samples as f64 / f64::from(rate.max(1))),
            streams: renditions.iter().map(|rendition| rendition.stream(rate)).collect(),
            tags,
            source,
            loudness: loudness.written(),
            flaws,
            warnings,
            renditions,
            chapters: Vec::new(),
            cue_sheet: String::new(),
            lead: 0,
        };
        meta.check()?;
        Ok(meta)
    }

    /// Reads the file. Fields that this version does not know are left alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let read: Self = read(bytes)?;
        read.check()?;
        let (duration_seconds, loudness) = (written(read.duration_seconds), read.loudness.clone().written());
        Ok(Self { duration_seconds, loudness, ..read })
    }

    /// The file: the same bytes for the same content.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The item as the timeline airs it, without its picture. What it is called is the manifest's to say.
    pub fn item(&self, line: &ItemLine) -> Item {
        Item {
            id: self.id.clone(),
            title: line.title.clone(),
            artist: line.artist.clone(),
            album: line.album.clone(),
            isrc: line.isrc.clone(),
            cover: None,
            segments: self.renditions[0].segments.clone(),
            rungs: self.rungs(),
            chapters: self.chapters.clone(),
        }
    }

    /// The other renditions of each segment; none where there is only the default one.
    fn rungs(&self) -> Vec<Vec<Rung>> {
        let others = &self.renditions[1..];
        let rung = |rendition: &Rendition, index: usize| {
            let Segment { cid, bytes, .. } = rendition.segments[index];
            Rung { bitrate: rendition.bitrate, cid, bytes }
        };
        let of = |index| others.iter().map(|rendition| rung(rendition, index)).collect();
        let count = if others.is_empty() { 0 } else { self.renditions[0].segments.len() };
        (0..count).map(of).collect()
    }

    /// The item as the manifest lists it, without a title where the recording has none.
    pub fn line(&self) -> ItemLine {
        let tags = self.tags.clone();
        let renditions = self.renditions.iter().zip(&self.streams).map(|(rendition, stream)| RenditionLine {
            bitrate: rendition.bitrate,
            stream: stream.clone(),
            segments: rendition.segments.len() as u32,
        });
        ItemLine {
            id: self.id.clone(),
            samples: self.samples,
            rate: self.rate,
            renditions: renditions.collect(),
            title: tags.title,
            artist: tags.artist,
            album: tags.album,
            year: tags.year,
            isrc: tags.isrc,
            cover: tags.cover,
        }
    }

    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Field(format!("item {}: {what}", quote(&self.id))));
        if !is_short_name(&self.id) {
            return wrong("`audioId` is 32 hex digits in lower case");
        }
        if !(1..=768_000).contains(&self.rate) {
            return wrong("`sampleRate` is out of range");
        }
        if self.duration_seconds.abs() > LARGEST || !self.loudness.is_plausible() {
            return wrong("`durationSec` or a figure of `loudness` is out of range");
        }
        let Some(default) = self.renditions.first() else { return wrong("there are no renditions") };
        let hollow = |rendition: &Rendition| {
            rendition.segments.is_empty() || rendition.segments.iter().any(|s| s.samples == 0 || s.bytes == 0)
        };
        if self.renditions.iter().any(hollow) {
            return wrong("a rendition needs segments with samples and bytes");
        }
        if !self.renditions.iter().flat_map(|rendition| &rendition.segments).all(|segment| is_segment(&segment.cid)) {
            return wrong("a segment has the CIDv1 of a raw block by its SHA-256");
        }
        if default.samples() != self.samples {
            return wrong("`samples` is not the sum over the segments");
        }
        let cut = |rendition: &Rendition| rendition.segments.iter().map(|segment| segment.samples).collect::<Vec<_>>();
        let known = |at: usize| self.renditions[..at].iter().any(|one| one.bitrate == self.renditions[at].bitrate);
        if (1..self.renditions.len()).any(|at| known(at) || self.renditions[at].bitrate < BITRATE_MIN)
            || self.renditions.iter().any(|rendition| cut(rendition) != cut(default))
        {
            return wrong("its renditions are of different bit rates, and cut alike");
        }
        let rising = self.chapters.windows(2).all(|pair| pair[0].at < pair[1].at);
        if !rising
            || self.chapters.len() > cue::MOST
            || self.chapters.last().is_some_and(|last| last.at >= self.samples)
        {
            return wrong("`chapters` are not in order within its length, or too many");
        }
        if self.streams.len() != self.renditions.len() || !self.streams.iter().all(|name| is_short_name(name)) {
            return wrong("`streams` names one list of 32 hex digits for each rendition");
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct RawSegment {
    cid: String,
    samples: u32,
    bytes: u32,
}

#[derive(Serialize, Deserialize)]
struct RawRendition {
    bitrate: u32,
    segments: Vec<RawSegment>,
}

impl Serialize for Rendition {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = |s: &Segment| RawSegment { cid: s.cid.to_string(), samples: s.samples, bytes: s.bytes };
        let segments = self.segments.iter().map(raw).collect();
        RawRendition { bitrate: self.bitrate, segments }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rendition {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawRendition::deserialize(deserializer)?;
        let segment = |raw: RawSegment| {
            let cid = raw.cid.parse().map_err(serde::de::Error::custom)?;
            Ok(Segment { cid, samples: raw.samples, bytes: raw.bytes })
        };
        let segments = raw.segments.into_iter().map(segment).collect::<Result<_, _>>()?;
        Ok(Self { bitrate: raw.bitrate, segments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{DAG_PB, RAW, cid_of};

    fn meta() -> Meta {
        let segment = |part: u8| Segment { cid: cid_of(RAW, &[part]), samples: 258 * 1_024, bytes: 100_000 };
        let rendition = |bitrate| Rendition { bitrate, segments: (0..3).map(segment).collect() };
        Meta::new(
            short_name(b"source"),
            Pipeline { encoder: "fdk-aac".into(), version: 1, settings: "00".into() },
            44_100,
            2,
            Tags { title: "One \"two\"\n".into(), artist: "Ünö".into(), year: Some(1977), ..Tags::default() },
            Origin { sha256: "ab".into(), bytes: 7, codec: "flac".into(), rate: Some(48_000), ..Origin::default() },
            Loudness { integrated_lufs: Some(-9.25), gain_db: -6.75, ..Loudness::default() },
            Flaws { decode_errors: 2, mono: true, ..Flaws::default() },
            vec!["2 decode errors".into()],
            vec![rendition(128_000), rendition(64_000)],
        )
        .unwrap()
    }

    #[test]
    fn comes_back_byte_for_byte() {
        let bytes = meta().to_bytes();
        assert_eq!(Meta::parse(&bytes).unwrap(), meta());
        assert_eq!(Meta::parse(&bytes).unwrap().to_bytes(), bytes);
    }

    #[test]
    fn figures_of_many_digits_come_back_as_they_are_written() {
        let text = String::from_utf8(meta().to_bytes()).unwrap();
        assert!(text.contains("\"durationSec\": 17.972245"));
        for figure in ["17.972244897959182", "9.009344203628118", "-0.1", "1e9"] {
            let once = Meta::parse(text.replace("17.972245", figure).replace("-9.25", figure).as_bytes()).unwrap();
            assert_eq!(Meta::parse(&once.to_bytes()).unwrap(), once, "{figure}");
        }
        let endless = Meta::parse(text.replace("-9.25", "1e300").as_bytes()).unwrap_err().to_string();
        assert!(endless.contains("out of range"), "{endless}");
    }

    #[test]
    fn has_the_fields_that_other_programs_read() {
        let json: serde_json::Value = serde_json::from_slice(&meta().to_bytes()).unwrap();
        assert_eq!(json["v"], 1);
        assert_eq!(json["audioId"], short_name(b"source"));
        assert_eq!((json["sampleRate"].as_u64(), json["channels"].as_u64()), (Some(44_100), Some(2)));
        assert_eq!((json["codec"].as_str(), json["bitRate"].as_u64()), (Some("aac"), Some(128_000)));
        assert_eq!(json["durationSec"].as_f64(), Some(17.972245), "to six decimals");
        assert_eq!(json["streams"].as_array().map(Vec::len), Some(2));
        assert_eq!(json["renditions"][0]["segments"][2]["cid"], cid_of(RAW, &[2]).to_string());
    }

    #[test]
    fn an_older_file_without_the_newer_figures_is_read() {
        let mut json: serde_json::Value = serde_json::from_slice(&meta().to_bytes()).unwrap();
        json.as_object_mut().unwrap().remove("flaws").unwrap();
        json["loudness"] = serde_json::json!({"integrated_lufs": -9.25, "peak_dbfs": null, "gain_db": -6.75});
        let old = Meta::parse(json.to_string().as_bytes()).unwrap();
        assert_eq!(old, Meta { flaws: Flaws::default(), ..meta() });
    }

    #[test]
    fn becomes_an_item_and_a_line_of_the_manifest() {
        let line = ItemLine { title: "file name".into(), ..meta().line() };
        let item = meta().item(&line);
        assert_eq!((item.samples(), item.title.as_str()), (line.samples, "file name"));
        assert_eq!((item.segments.len(), line.renditions[0].segments), (3, 3));
        assert_eq!(line.renditions[1].bitrate, 64_000);
    }

    #[test]
    fn an_item_has_all_renditions_of_each_segment() {
        let rungs = meta().item(&meta().line()).rungs;
        let of = |part: u8| vec![Rung { bitrate: 64_000, cid: cid_of(RAW, &[part]), bytes: 100_000 }];
        assert_eq!(rungs, [of(0), of(1), of(2)]);
        let one = Meta { renditions: meta().renditions[..1].to_vec(), ..meta() };
        assert!(one.item(&one.line()).rungs.is_empty());
    }

    #[test]
    fn renditions_are_of_different_bit_rates_and_cut_alike() {
        let told = |bitrate: u32, samples: u32| {
            let mut other = meta();
            other.renditions[1].bitrate = bitrate;
            other.renditions[1].segments[2].samples = samples;
            Meta::parse(&other.to_bytes()).map_err(|error| error.to_string())
        };
        let usual = 258 * 1_024;
        assert!(told(64_000, usual).is_ok() && told(BITRATE_MIN, usual).is_ok());
        for wrong in [told(128_000, usual), told(BITRATE_MIN - 1, usual), told(64_000, usual - 1_024)] {
            assert!(wrong.unwrap_err().contains("its renditions are of different bit rates, and cut alike"));
        }
    }

    #[test]
    fn the_vod_list_names_chunks_and_six_decimals() {
        let list = meta().renditions[0].list(44_100);
        let [first, second, third] = [0, 1, 2].map(|part| chunk_name(&cid_of(RAW, &[part])));
        let expected = format!(
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXT-X-INDEPENDENT-SEGMENTS\n#EXTINF:5.990748,\n{first}\n#EXTINF:5.990748,\n{second}\n\
             #EXTINF:5.990748,\n{third}\n#EXT-X-ENDLIST\n"
        );
        assert_eq!(list, expected);
        let frame = Segment { cid: cid_of(RAW, &[0]), samples: 1_024, bytes: 100 };
        let list = Rendition { bitrate: 128_000, segments: vec![frame] }.list(44_100);
        assert!(list.contains("#EXTINF:0.023220,\n"), "rounded to the nearest: {list}");
    }

    #[test]
    fn chapters_are_kept_and_must_be_in_order() {
        let chapter = |at, title: &str| Chapter { at, title: title.into(), artist: String::new() };
        let chapters = vec![chapter(0, "a"), chapter(9_000, "b")];
        let long = Meta { chapters: chapters.clone(), cue_sheet: short_name(b"sheet"), lead: 7, ..meta() };
        assert_eq!(Meta::parse(&long.to_bytes()).unwrap(), long);
        assert_eq!(long.item(&long.line()).chapters, chapters);
        let plain = String::from_utf8(meta().to_bytes()).unwrap();
        assert!(!plain.contains("chapters") && !plain.contains("cue_sheet") && !plain.contains("lead"));
        let mut many: Vec<Chapter> = (0..cue::MOST as u64).map(|at| chapter(at, "x")).collect();
        assert!(Meta::parse(&Meta { chapters: many.clone(), ..meta() }.to_bytes()).is_ok());
        many.push(chapter(9_000, "x"));
        for wrong in [vec![chapter(5, "a"), chapter(5, "b")], vec![chapter(792_576, "a")], many] {
            let error = Meta::parse(&Meta { chapters: wrong, ..meta() }.to_bytes()).unwrap_err();
            assert!(error.to_string().contains("`chapters`"), "{error}");
        }
    }

    #[test]
    fn there_is_one_list_for_each_rendition() {
        let name = short_name(b"list");
        for wrong in [vec![name.clone()], vec![name, "x".into()]] {
            let error = Meta::parse(&Meta { streams: wrong, ..meta() }.to_bytes()).unwrap_err();
            assert!(error.to_string().contains("`streams`"), "{error}");
        }
    }

    #[test]
    fn refuses_sums_and_names_that_are_wrong() {
        let good = String::from_utf8(meta().to_bytes()).unwrap();
        let (first, node) = (cid_of(RAW, &[0]).to_string(), cid_of(DAG_PB, &[0]).to_string());
        for (from, to, expected) in [
            (&*first, "bafkqaaa", "a raw block by its SHA-256"),
            (&first, &node, "a raw block by its SHA-256"),
            ("\"samples\": 792576", "\"samples\": 1", "not the sum"),
            ("\"bytes\": 100000", "\"bytes\": 0", "needs segments"),
            ("\"sampleRate\": 44100", "\"sampleRate\": 0", "out of range"),
            ("bafkrei", "nonsense", "line "),
        ] {
            let error = Meta::parse(good.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
