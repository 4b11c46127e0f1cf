//! `manifest.json`: which entries there are and which items they play (contract §1).
//!
//! The manifest holds no segments and no times, and is sorted, so that the same recordings and settings give the same
//! bytes. The segments of an item are in its `meta.json`: see [`meta`].

use cid::Cid;
use serde::{Deserialize, Serialize};

pub use meta::Meta;

use super::{
    playlist,
    quote::{quote, told},
    segment::{Kind, is_short_name},
};

pub mod meta;

/// The version of the format.
pub const VERSION: u32 = 1;
/// Longest manifest that is read, in bytes.
pub const LONGEST: u64 = 256 << 20;
/// Most entries, and most items, in a manifest.
pub const MOST: usize = 200_000;

/// Which entries there are and which items they play. Sorted; every entry's item is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Manifest {
    v: u32,
    pipeline: Pipeline,
    order_sha256: String,
    entries: Vec<Entry>,
    items: Vec<ItemLine>,
}

/// What made the segments.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// The encoder.
    pub encoder: String,
    /// The version of the chain from recording to segment.
    pub version: u32,
    /// The fingerprint of all settings that shape the bytes, in hex.
    pub settings: String,
}

/// A recording under its name in a source folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The path relative to the station's folder, spelled as in `playlist.m3u` (see [`playlist::spell`]).
    pub path: String,
    /// Track, jingle, or on demand only.
    pub kind: Kind,
    /// The id of the item that plays.
    pub id: String,
}

/// An item as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemLine {
    /// The first 32 hex digits of the SHA-256 of its source bytes.
    pub id: String,
    /// Its length in samples per channel.
    pub samples: u64,
    /// Samples per second.
    pub rate: u32,
    /// Its renditions, the default one first.
    pub renditions: Vec<RenditionLine>,
    /// What it says it is called; the file's stem where it says nothing.
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

/// A rendition as the manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenditionLine {
    /// Bits per second.
    pub bitrate: u32,
    /// The name of its VOD list: `tracks/audio/<id>/stream/<stream>.m3u8`.
    pub stream: String,
    /// How many segments it has.
    pub segments: u32,
}

/// Why a manifest or a `meta.json` is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not JSON of the right shape.
    #[error("line {line}, column {column}: {message}")]
    Json {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the reader says.
        message: String,
    },
    /// It is of a version that this program does not know.
    #[error("format version {0} is not known to this program, which reads version {VERSION}; use a newer one")]
    Version(u32),
    /// A field holds what it cannot hold.
    #[error("{0}")]
    Field(String),
}

impl Manifest {
    /// Sorts and checks.
    pub fn new(
        pipeline: Pipeline,
        order_sha256: String,
        mut entries: Vec<Entry>,
        mut items: Vec<ItemLine>,
    ) -> Result<Self, Error> {
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        items.sort_by(|a, b| a.id.cmp(&b.id));
        let manifest = Self { v: VERSION, pipeline, order_sha256, entries, items };
        manifest.check()?;
        Ok(manifest)
    }

    /// Reads the file. Fields that this version does not know are left alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let raw: Raw = read(bytes)?;
        Self::new(raw.pipeline, raw.order_sha256, raw.entries, raw.items)
    }

    /// The file: the same bytes for the same content.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }

    /// The same manifest beside another `playlist.generated.m3u`.
    pub fn with_order_sha256(self, order_sha256: String) -> Self {
        Self { order_sha256, ..self }
    }

    /// What made the segments.
    pub const fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The SHA-256 of `playlist.generated.m3u` in hex.
    pub fn order_sha256(&self) -> &str {
        &self.order_sha256
    }

    /// All entries, sorted by path.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All items, sorted by id.
    pub fn items(&self) -> &[ItemLine] {
        &self.items
    }

    /// The entry with this path, by binary search.
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// The item with this id, by binary search.
    pub fn item(&self, id: &str) -> Option<&ItemLine> {
        let at = self.items.binary_search_by(|item| item.id.as_str().cmp(id)).ok()?;
        self.items.get(at)
    }

    fn check(&self) -> Result<(), Error> {
        if self.entries.len() > MOST || self.items.len() > MOST {
            return Err(Error::Field(format!("more than {MOST} entries or items")));
        }
        if let Some(pair) = self.entries.windows(2).find(|pair| pair[0].path == pair[1].path) {
            return Err(Error::Field(format!("entry `{}` is there twice", quote(&pair[0].path))));
        }
        if let Some(pair) = self.items.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(Error::Field(format!("item {} is there twice", pair[0].id)));
        }
        self.items.iter().try_for_each(ItemLine::check)?;
        for entry in &self.entries {
            if entry.path.is_empty() || playlist::spell(&playlist::unspell(&entry.path)) != entry.path {
                return Err(Error::Field(format!(
                    "entry `{}`: the path is not spelled as in playlist.m3u",
                    quote(&entry.path)
                )));
            }
            if self.item(&entry.id).is_none() {
                let (path, id) = (quote(&entry.path), quote(&entry.id));
                return Err(Error::Field(format!("entry `{path}`: there is no item {id}")));
            }
        }
        Ok(())
    }
}

impl ItemLine {
    fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Field(format!("item {}: {what}", quote(&self.id))));
        if !is_short_name(&self.id) {
            return wrong("an id is 32 hex digits in lower case");
        }
        if self.samples == 0 || !(1..=768_000).contains(&self.rate) {
            return wrong("it has no length");
        }
        if self.renditions.is_empty() || self.renditions.iter().any(|r| r.segments == 0 || !is_short_name(&r.stream)) {
            return wrong("a rendition needs segments and the name of its list, 32 hex digits");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Raw {
    pipeline: Pipeline,
    order_sha256: String,
    entries: Vec<Entry>,
    items: Vec<ItemLine>,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Reads JSON whose version is ours.
fn read<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let failed =
        |error: serde_json::Error| Error::Json { line: error.line(), column: error.column(), message: told(&error) };
    match serde_json::from_slice(bytes).map_err(failed)? {
        Version { v: VERSION } => serde_json::from_slice(bytes).map_err(failed),
        Version { v } => Err(Error::Version(v)),
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("text keys and finite numbers are always JSON");
    bytes.push(b'\n');
    bytes
}

/// A CID as its text, nothing as an empty text.
mod as_text {
    use cid::Cid;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(cid: &Option<Cid>, serializer: S) -> Result<S::Ok, S::Error> {
        match cid {
            Some(cid) => serializer.collect_str(cid),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cid>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::radio::segment::short_name;

    /// A manifest whose entries have these paths, each with an item of its own that lasts ten seconds.
    pub(crate) fn manifest_of(paths: &[&str]) -> Manifest {
        let id = |path: &str| short_name(path.as_bytes());
        let entries =
            paths.iter().map(|path| Entry { path: playlist::spell(path.as_bytes()), kind: Kind::Track, id: id(path) });
        let items = paths.iter().map(|path| item_of(&id(path)));
        Manifest::new(Pipeline::default(), String::new(), entries.collect(), items.collect()).unwrap()
    }

    fn item_of(id: &str) -> ItemLine {
        ItemLine {
            id: id.to_owned(),
            samples: 441_000,
            rate: 44_100,
            renditions: vec![RenditionLine { bitrate: 128_000, stream: short_name(b"list"), segments: 2 }],
            title: "Title".into(),
            artist: "Artist".into(),
            album: String::new(),
            year: Some(1977),
            isrc: String::new(),
            cover: None,
        }
    }

    #[test]
    fn comes_back_byte_for_byte_and_in_one_order() {
        let manifest = manifest_of(&["music/b.mp3", "music/a.mp3", "jingles/#1.wav", "music/100%.mp3"]);
        let bytes = manifest.to_bytes();
        let back = Manifest::parse(&bytes).unwrap();
        assert_eq!(back, manifest);
        assert_eq!(back.to_bytes(), bytes);
        assert_eq!(manifest_of(&["music/100%.mp3", "jingles/#1.wav", "music/a.mp3", "music/b.mp3"]).to_bytes(), bytes);
    }

    #[test]
    fn finds_entries_and_items() {
        let manifest = manifest_of(&["music/b.mp3", "music/a.mp3", "music/100%.mp3"]);
        let entry = manifest.entry("music/100%25.mp3").unwrap();
        assert_eq!(manifest.item(&entry.id).unwrap().id, entry.id);
        assert_eq!(manifest.entry("music/c.mp3"), None);
        assert_eq!(manifest.item("00"), None);
        assert_eq!(manifest.items().len(), 3);
        assert_eq!(manifest.with_order_sha256("ab".into()).order_sha256(), "ab");
    }

    #[test]
    fn refuses_in_words_what_it_cannot_hold() {
        let good = String::from_utf8(manifest_of(&["music/a.mp3"]).to_bytes()).unwrap();
        let id = short_name(b"music/a.mp3");
        for (from, to, expected) in [
            ("\"v\": 1", "\"v\": 2", "version 2"),
            ("\"samples\": 441000", "\"samples\": 0", "no length"),
            ("\"samples\": 441000", "\"samples\": -1", "line "),
            ("\"rate\": 44100", "\"rate\": 0", "no length"),
            ("\"segments\": 2", "\"segments\": 0", "needs segments"),
            ("music/a.mp3", "", "not spelled"),
            ("music/a.mp3", "#music/a.mp3", "not spelled"),
            ("\"kind\": \"track\"", "\"kind\": \"opera\"", "opera"),
            ("\"cover\": \"\"", "\"cover\": \"nonsense\"", "line "),
            (&id, "../../etc/passwd", "32 hex"),
        ] {
            let error = Manifest::parse(good.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{to}: {error}");
        }
        let orphan = good.replacen(&id, &short_name(b"other"), 1);
        assert!(Manifest::parse(orphan.as_bytes()).unwrap_err().to_string().contains("there is no item"));
        assert!(Manifest::parse(b"").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn unknown_fields_do_no_harm() {
        let text = String::from_utf8(manifest_of(&["music/a.mp3"]).to_bytes()).unwrap();
        let newer = text.replace("\"v\": 1", "\"v\": 1, \"mood\": \"blue\"");
        assert_eq!(Manifest::parse(newer.as_bytes()).unwrap(), manifest_of(&["music/a.mp3"]));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(at in 0usize..2_000, byte: u8, cut in 0usize..2_000) {
            let mut bytes = manifest_of(&["music/a.mp3", "music/b.mp3"]).to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % bytes.len());
            if let Ok(manifest) = Manifest::parse(&bytes) {
                prop_assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
            }
        }
    }
}
