//! Titles inside a long recording: from a cue sheet beside it, or from its own chapters.

use std::fs;

use ipfs_radio::radio::{cue::Chapter, segment::short_name};

use super::world::{Station, job, tree, wav};

const SHEET: &str = "PERFORMER \"The DJ\"\nFILE \"mix.wav\" WAVE\nTRACK 01 AUDIO\nTITLE \"One\"\nINDEX 01 00:00:00\n\
                     TRACK 02 AUDIO\nTITLE \"Two\"\nPERFORMER \"Somebody\"\nINDEX 01 00:02:00\n";

fn with_mix() -> (Station, String) {
    let station = Station::empty();
    station.record("music/mix.wav", 220, 4_000);
    (station, short_name(&wav(220, 4_000)))
}

fn chapter(at: u64, title: &str, artist: &str) -> Chapter {
    Chapter { at, title: title.into(), artist: artist.into() }
}

#[test]
fn a_cue_sheet_gives_titles_and_nothing_is_encoded_for_it() {
    let (station, id) = with_mix();
    station.run(&job());
    let before = tree(&station.path("processed"));
    station.write("music/mix.cue", SHEET.as_bytes());
    let report = station.run(&job());
    assert_eq!((report.encoded, report.exit_code()), (0, 0));
    assert_eq!(station.meta(&id).chapters, [chapter(0, "One", "The DJ"), chapter(88_200, "Two", "Somebody")]);
    assert_eq!(station.meta(&id).cue_sheet, short_name(SHEET.as_bytes()));

    let with_titles = tree(&station.path("processed"));
    station.run(&job());
    assert_eq!(tree(&station.path("processed")), with_titles);
    station.write("music/mix.cue", SHEET.replace("Two", "2").as_bytes());
    station.run(&job());
    assert_eq!(station.meta(&id).chapters[1].title, "2");
    fs::remove_file(station.path("music/mix.cue")).unwrap();
    station.run(&job());
    assert_eq!((tree(&station.path("processed")), station.encodes()), (before, 1));

    let fresh = Station::empty();
    fresh.record("music/mix.wav", 220, 4_000);
    fresh.write("music/mix.cue", SHEET.as_bytes());
    fresh.run(&job());
    assert_eq!(tree(&fresh.path("processed")), with_titles, "whenever the sheet came");
}

#[test]
fn a_sheet_that_makes_no_sense_is_named_and_changes_nothing() {
    let (station, id) = with_mix();
    station.write("music/mix.cue", SHEET.as_bytes());
    station.run(&job());
    let meta = station.meta(&id);
    station.write("music/mix.cue", SHEET.replace("00:02:00", "2 s").as_bytes());
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.entries, report.skipped.len()), (3, 1, 1));
    assert_eq!(report.skipped[0].path, "music/mix.cue");
    assert!(report.skipped[0].why.starts_with("line 9: `2` is no place"), "{report:?}");
    assert_eq!(station.meta(&id), meta);
}

#[test]
fn places_are_counted_from_where_the_item_begins() {
    let (station, id) = with_mix();
    station.write("music/mix.cue", SHEET.as_bytes());
    station.write("music/mix.wav.toml", b"cue_in_seconds = 0.5\n");
    station.run(&job());
    assert_eq!(station.meta(&id).chapters, [chapter(0, "One", "The DJ"), chapter(66_150, "Two", "Somebody")]);
    station.write("music/mix.wav.toml", b"cue_in_seconds = 2.5\n");
    station.run(&job());
    assert_eq!(station.meta(&id).chapters, [chapter(0, "Two", "Somebody")]);
    station.write("music/mix.wav.toml", b"cue_out_seconds = 1.5\n");
    station.run(&job());
    assert_eq!(station.meta(&id).chapters, [chapter(0, "One", "The DJ")]);
}

#[test]
fn its_own_chapters_hold_where_there_is_no_sheet() {
    let station = Station::empty();
    let file = fs::read(format!("{}/tests/fixtures/chapters.mp3", env!("CARGO_MANIFEST_DIR"))).unwrap();
    station.write("music/long.mp3", &file);
    station.run(&job());
    let id = short_name(&file);
    let own = [chapter(0, "First", ""), chapter(11_025, "Second", "")];
    assert_eq!(station.meta(&id).chapters, own);
    station.write("music/long.cue", b"TRACK 01 AUDIO\nTITLE \"Sheet\"\nINDEX 01 00:00:15\n");
    station.run(&job());
    assert_eq!(station.meta(&id).chapters, [chapter(8_820, "Sheet", "")]);
    fs::remove_file(station.path("music/long.cue")).unwrap();
    station.run(&job());
    assert_eq!((station.meta(&id).chapters, station.encodes()), (own.to_vec(), 1));
}
