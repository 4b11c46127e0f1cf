//! Setup beside the air: what is made while the station runs, and what it does without.

use std::{fs, process::Stdio};

use ipfs_radio::{
    disk::{self, Layout, Lock},
    radio::time::Time,
};

use crate::{
    air::{Observer, with_music},
    station::{Entry, Station},
};

/// A station whose generator has a few short pieces and renders no others while the lock is held.
pub(crate) fn with_short_filler() -> (Station, Lock) {
    let pieces = Station::new(6, 4);
    pieces.tone("music/f1.wav", 250, 1_600);
    pieces.tone("music/f2.wav", 350, 2_300);
    pieces.set_up();
    let station = Station::new(6, 4);
    fs::create_dir(station.path().join("state")).unwrap();
    fs::rename(pieces.path().join("processed"), station.path().join("state/generated")).unwrap();
    let lock = station.without_generator();
    (station, lock)
}

pub(crate) fn title(entry: &Entry) -> &str {
    entry.title.split_once(',').unwrap().1
}

/// Watches the list until `wanted` is the title of its last segments, and that long nothing is missing.
fn until_heard(station: &Station, observer: &mut Observer, wanted: &str) {
    station.wait(wanted, |station| {
        let list = station.list()?;
        observer.see(list.clone());
        list.segments.values().rev().take(3).all(|entry| title(entry) == wanted).then_some(())
    });
}

/// Each segment begins when the one before it ends, and another item begins with a discontinuity.
pub(crate) fn nothing_is_missing(observer: &Observer) {
    let entries: Vec<&Entry> = observer.seen.values().collect();
    for pair in entries.windows(2) {
        let starts = |entry: &Entry| Time::parse(&entry.date).unwrap();
        let seconds: f64 = pair[0].title.split_once(',').unwrap().0.parse().unwrap();
        let measured = starts(pair[1]).since(starts(pair[0])).0 as f64 / 1e6;
        assert!((measured - seconds).abs() < 0.002, "{pair:?}");
        assert!(pair[1].disc || title(pair[0]) == title(pair[1]), "{pair:?}");
    }
}

#[test]
fn music_that_is_dropped_in_takes_over_from_the_generator_at_an_item_boundary() {
    let (mut station, _lock) = with_short_filler();
    station.start(&["run"]);
    let mut observer = Observer::default();
    until_heard(&station, &mut observer, "f2");
    station.tone("music/a.wav", 440, 3_500);
    until_heard(&station, &mut observer, "a");
    assert_eq!(station.status().unwrap()["setup"]["state"], "done");
    assert_eq!(station.stop(), Some(0));
    nothing_is_missing(&observer);
    let titles: Vec<&str> = observer.seen.values().map(title).collect();
    let switch = titles.iter().position(|title| *title == "a").unwrap();
    assert!(titles[switch..].iter().all(|title| *title == "a"), "{titles:?}");
}

#[test]
fn setup_that_is_kept_out_does_not_keep_the_station_silent() {
    let (mut station, _generator) = with_short_filler();
    station.tone("music/a.wav", 440, 3_500);
    station.let_settle();
    let processed = Layout::new(station.path()).processed();
    fs::create_dir_all(processed.root()).unwrap();
    let other = Lock::take(&processed.lock()).unwrap();
    station.start(&["run"]);
    let mut observer = Observer::default();
    until_heard(&station, &mut observer, "f2");
    let status = station.status().unwrap();
    assert!(status["health"].as_str().unwrap().contains("another process"), "{status}");
    drop(other);
    until_heard(&station, &mut observer, "a");
    assert_eq!(station.stop(), Some(0));
    nothing_is_missing(&observer);
}

#[test]
fn a_folder_that_is_gone_is_told_while_its_music_plays_on() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.start(&["run"]);
    station.wait("a list", Station::list);
    let (music, away) = (station.path().join("music"), station.path().join("away"));
    let health = |station: &Station| Some(station.status()?["health"].as_str()?.to_owned());
    fs::rename(&music, &away).unwrap();
    let gone = "sources: `music` is missing or empty; the 3 entries that came from it stay";
    station.wait("health to name it", |station| health(station).filter(|told| told.contains(gone)));
    let before = station.list().unwrap().last();
    fs::rename(&away, &music).unwrap();
    station.wait("health to be well again", |station| health(station).filter(|told| !told.contains("sources")));
    station.wait("another segment", |station| station.list().filter(|list| list.last() > before));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_child_ends_with_the_station_that_began_it_and_leaves_no_lock() {
    let station = Station::new(6, 4);
    let lock = Layout::new(station.path()).generated().lock();
    let mut child = station.command(&["setup", "--generated", "--child"]).stdin(Stdio::piped()).spawn().unwrap();
    let alive = child.stdin.take();
    station.wait("the child at work", |_| disk::is_held(&lock).then_some(()));
    drop(alive);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!disk::is_held(&lock));
}

#[test]
fn setup_may_be_called_while_the_station_is_on_air() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.run();
    let mut observer = Observer::default();
    until_heard(&station, &mut observer, "b");
    station.tone("music/d.wav", 600, 3_500);
    station.set_up();
    until_heard(&station, &mut observer, "d");
    assert_eq!(station.stop(), Some(0));
    nothing_is_missing(&observer);
}

#[test]
fn what_is_processed_airs_without_sources_and_without_configuration_of_setup() {
    let mut station = with_music();
    let _lock = station.without_generator();
    fs::remove_dir_all(station.path().join("music")).unwrap();
    fs::remove_dir_all(station.path().join("jingles")).unwrap();
    fs::remove_file(station.path().join("setup.toml")).unwrap();
    station.run();
    let list = station.wait("a list", Station::list);
    let titles: Vec<&str> = list.segments.values().map(title).collect();
    assert!(["a", "b", "c", "j"].iter().all(|wanted| titles.contains(wanted)), "{titles:?}");
    assert_eq!(station.stop(), Some(0));
}
