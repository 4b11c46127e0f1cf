//! Whose order airs.

use std::fs;

use ipfs_radio::setup::{Job, Options, OrderFate};

use super::world::{Station, job};

const EDITED: &str = "#EXTM3U\nmusic/2.wav\nmusic/1.wav\nmusic/2.wav\n";

#[test]
fn an_edited_order_is_never_overwritten() {
    let station = Station::with_music();
    station.run(&job());
    let playlist = station.layout.processed().playlist();
    fs::write(&playlist, EDITED).unwrap();

    station.record("music/3.wav", 550, 1_300);
    fs::remove_file(station.path("music/1.wav")).unwrap();
    let report = station.run(&Job { cycle: 1, ..job() });
    assert_eq!(fs::read_to_string(&playlist).unwrap(), EDITED);
    let OrderFate::Edited { new, gone } = report.order else { panic!("{:?}", report.order) };
    assert_eq!(new, ["music/3.wav"]);
    assert_eq!(gone, ["line 3: `music/1.wav` names no entry of the manifest that airs"]);
    let generated = fs::read_to_string(station.layout.processed().generated_order()).unwrap();
    assert!(generated.contains("music/3.wav"));

    assert!(matches!(station.run(&job()).order, OrderFate::Edited { .. }), "it stays edited");
    let report = station.try_run(&job(), &Options { reorder: true, ..Options::default() }).unwrap();
    assert_eq!(report.order, OrderFate::Written);
    assert_eq!(station.order(), ["jingles/1.wav", "music/2.wav", "music/3.wav", "jingles/2.wav", "music/10.wav"]);
    assert_eq!(station.run(&Job { cycle: 1, ..job() }).order, OrderFate::Written, "and is setup's again");
}

#[test]
fn an_order_that_was_there_first_is_somebodys() {
    let station = Station::with_music();
    station.write("processed/playlist.m3u", EDITED.as_bytes());
    assert!(matches!(station.run(&job()).order, OrderFate::Edited { .. }));
    assert_eq!(station.order(), ["music/2.wav", "music/1.wav", "music/2.wav"]);
}

#[test]
fn a_deleted_order_is_written_again() {
    let station = Station::with_music();
    station.run(&job());
    fs::remove_file(station.layout.processed().playlist()).unwrap();
    assert_eq!(station.run(&job()).order, OrderFate::Written);
    assert_eq!(station.order().len(), 5);
}

#[test]
fn a_damaged_manifest_is_made_anew_without_encoding() {
    let station = Station::with_music();
    station.run(&job());
    let path = station.layout.processed().manifest();
    let good = fs::read(&path).unwrap();
    for bytes in [&b"{"[..], b"", &good[..good.len() / 2]] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(station.run(&job()).order, OrderFate::Unchanged);
        assert_eq!(fs::read(&path).unwrap(), good);
    }
    assert_eq!(station.encodes(), 5);
}

#[test]
fn first_results_air_early_and_leave_no_trace() {
    let (whole, early) = (Station::with_music(), Station::with_music());
    whole.run(&job());
    let options = Options { first_samples: 2 * 44_100, ..Options::default() };
    early.try_run(&Job { jobs: 1, ..job() }, &options).unwrap();

    let told = early.told.lock().unwrap().clone();
    let published: Vec<_> = told.iter().filter(|line| line.starts_with("Published")).collect();
    assert_eq!(
        published,
        ["Published { entries: 2, complete: false }", "Published { entries: 5, complete: true }"],
        "a jingle of 1.1 s and a track of 1.9 s make two seconds"
    );
    let at = told.iter().position(|line| line.contains("entries: 2")).unwrap();
    assert_eq!(told[..at].iter().filter(|line| line.starts_with("Done")).count(), 2);
    assert_eq!(super::tree(&whole.path("processed")), super::tree(&early.path("processed")));
}

#[test]
fn a_later_run_shrinks_nothing_while_it_works() {
    let station = Station::with_music();
    station.run(&job());
    station.record("jingles/0.wav", 700, 1_000);
    let playlist = station.layout.processed().playlist();
    let during = playlist.clone();
    *station.before_encode.lock().unwrap() = Some(Box::new(move || {
        assert!(fs::read_to_string(&during).unwrap().lines().count() >= 11, "five entries at least");
    }));
    station.try_run(&Job { jobs: 1, ..job() }, &Options { first_samples: 1, ..Options::default() }).unwrap();
    let told = station.told.lock().unwrap().clone();
    assert!(told.contains(&"Published { entries: 6, complete: false }".to_owned()), "{told:?}");
    assert_eq!(fs::read_to_string(playlist).unwrap().lines().count(), 11);
}
