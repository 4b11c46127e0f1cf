//! The built-in generator's pieces.

use std::fs;

use ipfs_radio::{
    radio::{manifest::Manifest, playlist, segment::Kind},
    setup::{Options, OrderFate},
};

use super::world::{Station, job, tree, with_settings};

fn manifest(station: &Station) -> Manifest {
    Manifest::parse(&fs::read(station.layout.generated().manifest()).unwrap()).unwrap()
}

#[test]
fn a_station_without_music_gets_pieces_one_after_the_other() {
    let station = Station::empty();
    let report = station.generate(1, &job(), &Options::default()).unwrap();
    assert_eq!((report.encoded, report.entries, report.order), (8, 8, OrderFate::Written));
    let told = station.told.lock().unwrap().clone();
    let published: Vec<_> = told.iter().filter(|line| line.starts_with("Published")).collect();
    assert_eq!(published.len(), 8);
    assert_eq!(published[0], "Published { entries: 1, complete: false }");
    assert_eq!(published[7], "Published { entries: 8, complete: true }");
    assert!(!station.layout.processed().root().exists(), "processed/ is not the generator's");

    let manifest = manifest(&station);
    let bytes = fs::read(station.layout.generated().playlist()).unwrap();
    let order = playlist::parse("playlist.m3u", &bytes, &manifest).unwrap();
    let kinds: Vec<_> = order.paths.iter().map(|path| manifest.entry(path).unwrap().kind).collect();
    let (t, j) = (Kind::Track, Kind::Jingle);
    assert_eq!(kinds, [j, t, t, t, j, t, t, t]);
    assert!(manifest.items().iter().all(|item| !item.title.is_empty() && !item.artist.is_empty()));
}

#[test]
fn pieces_are_rendered_once() {
    let (station, other) = (Station::empty(), Station::empty());
    station.generate(1, &job(), &Options::default()).unwrap();
    let before = station.files_with_times();
    let report = station.generate(1, &job(), &Options::default()).unwrap();
    assert_eq!((report.encoded, report.ready, report.order), (0, 8, OrderFate::Unchanged));
    assert_eq!(station.encodes(), 8);
    let lock = station.layout.generated().lock();
    let mut after = station.files_with_times();
    after.insert(lock.clone(), before[&lock]);
    assert_eq!(after, before);

    other.generate(1, &job(), &Options::default()).unwrap();
    assert_eq!(tree(&other.path("state")), tree(&station.path("state")));
    assert_eq!(station.generate(2, &job(), &Options::default()).unwrap().encoded, 8, "another seed is other music");
}

#[test]
fn the_pieces_keep_the_constants_of_the_station() {
    let station = Station::empty();
    let on_air = Options { station_constants: Some((1, 44_100)), ..Options::default() };
    station.generate(1, &job(), &on_air).unwrap();
    let before = manifest(&station);
    let edited = with_settings(|settings| (settings.segment_seconds, settings.rate) = (4, 48_000));
    let report = station.generate(1, &edited, &on_air).unwrap();
    assert_eq!((report.encoded, report.ready), (0, 8));
    assert_eq!(manifest(&station), before);

    let report = station.generate(1, &edited, &Options { new_epoch: true, ..on_air }).unwrap();
    assert_eq!(report.encoded, 8);
    assert!(manifest(&station).items().iter().all(|item| item.rate == 48_000));
}
