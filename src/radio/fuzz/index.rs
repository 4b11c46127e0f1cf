//! The index of what airs: `manifest.json` and the `meta.json` of an item.

use super::{line_count, said};
use crate::radio::{
    cue::Chapter,
    manifest::{
        Entry, Error, ItemLine, Manifest, Meta, Pipeline, RenditionLine,
        meta::{Flaws, Loudness, Origin, Rendition, Tags},
    },
    playlist,
    segment::{Kind, RAW, Segment, cid_of, is_short_name, short_name},
};

/// A manifest whose entries have these paths, each with an item of its own.
pub(super) fn manifest_of(entries: &[(&str, Kind)]) -> Manifest {
    let id = |path: &str| short_name(path.as_bytes());
    let entry =
        |(path, kind): &(&str, Kind)| Entry { path: playlist::spell(path.as_bytes()), kind: *kind, id: id(path) };
    let item = |(path, _): &(&str, Kind)| ItemLine {
        id: id(path),
        samples: 441_000,
        rate: 44_100,
        renditions: vec![RenditionLine { bitrate: 128_000, stream: short_name(b"list"), segments: 2 }],
        title: "Ti\ntle".into(),
        artist: "Artist".into(),
        album: String::new(),
        year: Some(1_977),
        isrc: String::new(),
        cover: Some(cid_of(RAW, b"cover")),
    };
    let (items, entries) = (entries.iter().map(item).collect(), entries.iter().map(entry).collect());
    Manifest::new(Pipeline::default(), "0".repeat(64), entries, items).expect("it makes sense")
}

/// A manifest: what is read is written back the same, and its entries are found and can stand in an order.
pub(crate) fn manifest(data: &[u8]) {
    meta(data);
    let manifest = match Manifest::parse(data) {
        Ok(manifest) => manifest,
        Err(error) => return refused(&error, data),
    };
    let bytes = manifest.to_bytes();
    let back = Manifest::parse(&bytes).expect("what is written can be read");
    assert_eq!(back, manifest);
    assert_eq!(back.to_bytes(), bytes);
    for entry in manifest.entries() {
        assert_eq!(manifest.entry(&entry.path), Some(entry));
        assert!(manifest.item(&entry.id).is_some_and(|item| item.samples > 0 && !item.renditions.is_empty()));
    }
    let airs = |entry: &&Entry| entry.kind != Kind::Vod && !entry.path.trim_ascii().is_empty();
    let aired: Vec<_> = manifest.entries().iter().filter(airs).map(|entry| entry.path.clone()).collect();
    let order = playlist::parse("m3u", playlist::print(manifest.entries(), &manifest).as_bytes(), &manifest);
    assert_eq!(order.map(|order| order.paths).unwrap_or_default(), aired);
}

fn meta(data: &[u8]) {
    let meta = match Meta::parse(data) {
        Ok(meta) => meta,
        Err(error) => return refused(&error, data),
    };
    let bytes = meta.to_bytes();
    let back = Meta::parse(&bytes).expect("what is written can be read");
    assert_eq!(back, meta);
    assert_eq!(back.to_bytes(), bytes);
    let line = meta.line();
    let item = meta.item(&line);
    assert_eq!((item.samples(), line.samples), (meta.samples, meta.samples));
    for rendition in &meta.renditions {
        let list = rendition.list(meta.rate);
        assert_eq!(list.lines().filter(|line| is_short_name(line)).count(), rendition.segments.len());
    }
}

/// A refusal names a line that is there, or a field.
fn refused(error: &Error, data: &[u8]) {
    said(error);
    if let Error::Json { line, .. } = error {
        assert!(*line <= line_count(data), "line {line}");
    }
}

pub(crate) fn manifest_seeds() -> Vec<Vec<u8>> {
    let manifest = manifest_of(&[("music/a.mp3", Kind::Track), ("jingles/#1.wav", Kind::Jingle), ("100%", Kind::Vod)]);
    let compact: serde_json::Value = serde_json::from_slice(&manifest.to_bytes()).unwrap_or_default();
    let segment = |n: u32| Segment { cid: cid_of(RAW, &n.to_be_bytes()), samples: n * 1_024, bytes: 90_000 };
    let renditions = vec![Rendition { bitrate: 128_000, segments: vec![segment(258), segment(130)] }];
    let loudness = Loudness { integrated_lufs: Some(-16.04), gain_db: 3.1, ..Loudness::default() };
    let (tags, source) = (Tags { title: "Song".into(), ..Tags::default() }, Origin::default());
    let (id, pipeline) = (short_name(b"song"), Pipeline::default());
    let (warnings, flaws) = (vec!["one".into()], Flaws::default());
    let meta = Meta::new(id, pipeline, 44_100, 2, tags, source, loudness, flaws, warnings, renditions);
    let mut meta = meta.expect("it makes sense");
    meta.chapters = [0, 9_000].map(|at| Chapter { at, title: "x".into(), artist: "y".into() }).into();
    let whole = meta.to_bytes();
    let short: serde_json::Value = serde_json::from_slice(&whole).unwrap_or_default();
    vec![manifest.to_bytes(), compact.to_string().into_bytes(), whole, short.to_string().into_bytes()]
}
