//! Ten thousand items.

use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
};

use ipfs_radio::{
    audio::{self, Cores, Encoded, Part, Settings, Source},
    disk::{Disk, Fuse},
    radio::{
        manifest::{Entry, ItemLine, Manifest, Pipeline, RenditionLine},
        playlist,
        segment::{Kind, short_name},
        time::{Span, Time},
    },
    setup::{self, Job, Options, Overrides, Tools},
};

use super::world::{Station, job, wav};

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
        kind: if number.is_multiple_of(100) { Kind::Jingle } else { Kind::Track },
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

/// What a big library costs beside encoding, with a stand-in for the encoder. `FILES=10000` for who measures.
#[test]
fn a_big_library_is_found_again() {
    let station = Station::empty();
    let files = std::env::var("FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    for number in 0..files {
        station.write(&format!("music/{}/{number}.wav", number / 100), &wav_of(number));
    }
    let encode = |_: &dyn Source,
                  _: &Settings,
                  _: &Cores,
                  _: &AtomicBool,
                  sink: &mut dyn FnMut(Part) -> io::Result<()>|
     -> Result<Encoded, audio::Error> {
        station.count_encode();
        for part in 0..35 {
            let bytes = format!("{} {part}", station.encodes()).into_bytes();
            sink(Part { rung: 0, part, samples: 1_024, bytes }).map_err(audio::Error::Sink)?;
        }
        Ok(Encoded { samples: 35 * 1_024, ..Encoded::default() })
    };
    let job = Job { jobs: 1, ..job() };
    for round in 0..=rounds() {
        let disk = Disk::with_fuse(Arc::new(Fuse::never()));
        let tools = Tools {
            disk,
            encode: &encode,
            overrides: &|_| Ok(Overrides::default()),
            retention: Span(0),
            aired: &|| None,
            made: &|_| {},
            now: &|| Time(u64::MAX / 2),
            tell: &|_| {},
        };
        let options = Options { first_samples: u64::MAX, ..Options::default() };
        let report = setup::run(&station.layout, &job, &options, &tools, &station.stop).unwrap();
        assert_eq!(report.encoded, if round == 0 { files as usize } else { 0 });
        assert_eq!(report.items, files as usize);
    }
}

/// A recording too short to matter, with bytes of its own.
fn wav_of(number: u32) -> Vec<u8> {
    let mut bytes = wav(440, 10);
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// More than one for who measures: `ROUNDS=100`.
fn rounds() -> u32 {
    std::env::var("ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
