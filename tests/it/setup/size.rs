//! Ten thousand items.

use ipfs_radio::radio::{
    manifest::{Entry, ItemLine, Manifest, Pipeline, RenditionLine},
    playlist,
    segment::{Kind, short_name},
};

/// The manifest of so many items.
fn manifest(count: u32) -> Manifest {
    let item = |number: u32| ItemLine {
        id: short_name(&number.to_be_bytes()),
        samples: 35 * 258 * 1_024,
        rate: 44_100,
        renditions: vec![RenditionLine { bitrate: 128_000, stream: short_name(b"list"), segments: 35 }],
        title: format!("Title number {number}"),
        artist: "Somebody with a name".into(),
        album: "An album".into(),
        year: Some(1977),
        isrc: "QZES71982312".into(),
        cover: None,
    };
    let entry = |number: u32| Entry {
        path: format!("music/artist {}/album {}/{number}.flac", number / 100, number / 10),
        kind: if number % 100 == 0 { Kind::Jingle } else { Kind::Track },
        id: short_name(&number.to_be_bytes()),
    };
    let (entries, items) = ((0..count).map(entry).collect(), (0..count).map(item).collect());
    Manifest::new(Pipeline::default(), String::new(), entries, items).unwrap()
}

#[test]
fn ten_thousand_items_come_back() {
    let whole = manifest(10_000);
    let bytes = whole.to_bytes();
    let order = playlist::print(whole.entries(), &whole);
    for _ in 0..rounds() {
        let read = Manifest::parse(&bytes).unwrap();
        let played = playlist::parse("playlist.m3u", order.as_bytes(), &read).unwrap();
        assert_eq!((read.items().len(), played.paths.len(), played.skipped_count), (10_000, 10_000, 0));
    }
}

/// More than one for who measures: `ROUNDS=100`.
fn rounds() -> u32 {
    std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
