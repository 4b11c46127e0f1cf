//! What is written beside a recording holds for it alone.

use std::{fs, process::Command};

use ipfs_radio::radio::segment::Kind;

use super::world::{Station, job, tree, with_settings};

#[test]
fn names_are_taken_and_nothing_is_encoded() {
    let station = Station::with_music();
    station.run(&job());
    let before = tree(&station.path("processed/tracks"));
    station.write("music/1.wav.toml", b"title = \"One\"\nartist = \"Somebody\"\n");
    let report = station.run(&job());
    assert_eq!((report.encoded, report.exit_code(), station.encodes()), (0, 0, 5));
    let manifest = station.manifest();
    let line = manifest.item(&manifest.entry("music/1.wav").unwrap().id).unwrap();
    assert_eq!((line.title.as_str(), line.artist.as_str(), line.album.as_str()), ("One", "Somebody", ""));
    assert!(fs::read_to_string(station.path("processed/playlist.m3u")).unwrap().contains("#EXTINF:2,Somebody - One\n"));
    assert_eq!(tree(&station.path("processed/tracks")), before);
    fs::remove_file(station.path("music/1.wav.toml")).unwrap();
    station.run(&job());
    let manifest = station.manifest();
    assert_eq!(manifest.item(&manifest.entry("music/1.wav").unwrap().id).unwrap().title, "1");
}

#[test]
fn gain_and_cues_make_that_recording_anew_and_no_other() {
    let station = Station::with_music();
    station.run(&job());
    let whole = tree(&station.path("processed"));
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    station.write("music/10.wav.toml", b"gain_db = -4.0\n");
    assert_eq!(station.run(&job()).encoded, 1);
    assert!((station.meta(&id).loudness.output_lufs.unwrap() + 20.0).abs() <= 0.1);

    station.write("music/10.wav.toml", b"cue_in_seconds = 0.5\ncue_out_seconds = 2\n");
    assert_eq!(station.run(&job()).encoded, 1);
    let frames = 1 + (66_150_u64).div_ceil(1_024);
    assert_eq!(station.meta(&id).samples, frames * 1_024);
    assert_eq!(station.meta(&id).warnings, [""; 0], "what is left out is not missing");
    assert_eq!(station.run(&job()).encoded, 0);

    fs::remove_file(station.path("music/10.wav.toml")).unwrap();
    assert_eq!((station.run(&job()).encoded, station.encodes()), (1, 8));
    assert_eq!(station.manifest().to_bytes(), whole[std::path::Path::new("manifest.json")]);
}

#[test]
fn a_gain_holds_where_levels_are_left_alone() {
    let station = Station::with_music();
    let off = with_settings(|settings| settings.loudness_target = None);
    station.run(&off);
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    let before = station.meta(&id).loudness.output_lufs.unwrap();
    station.write("music/10.wav.toml", b"gain_db = -6.0\n");
    assert_eq!(station.run(&off).encoded, 1);
    assert!((station.meta(&id).loudness.output_lufs.unwrap() - before + 6.0).abs() <= 0.1);
}

#[test]
fn what_is_excluded_leaves_without_a_question() {
    let station = Station::with_music();
    station.run(&job());
    let order = station.order();
    for path in ["music/1.wav", "music/2.wav", "jingles/1.wav", "jingles/2.wav"] {
        station.write(&format!("{path}.toml"), b"exclude = true\n");
    }
    let report = station.run(&job());
    assert_eq!((report.entries, report.exit_code()), (1, 0), "{report:?}");
    assert_eq!(report.notices, ["recordings that are left out, as is written beside them: 4"]);
    assert_eq!(station.order(), ["music/10.wav"]);
    for path in ["music/1.wav", "music/2.wav", "jingles/1.wav", "jingles/2.wav"] {
        fs::remove_file(station.path(&format!("{path}.toml"))).unwrap();
    }
    station.run(&job());
    assert_eq!((station.order(), station.encodes()), (order, 5));
}

#[test]
fn a_mistake_is_named_and_what_was_there_stays() {
    let station = Station::with_music();
    station.run(&job());
    let before = tree(&station.path("processed"));
    station.write("music/1.wav.toml", b"gain_db = \"loud\"\n");
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.encoded, report.entries), (3, 0, 5));
    assert_eq!(report.skipped[0].path, "music/1.wav");
    assert!(report.skipped[0].why.contains("music/1.wav.toml:1:11: `gain_db` must be a number"), "{report:?}");
    assert_eq!(tree(&station.path("processed")), before);

    station.record("music/new.wav", 550, 1_500);
    station.write("music/new.wav.toml", b"exclud = true\n");
    let report = station.run(&job());
    assert_eq!((report.skipped.len(), report.entries), (2, 5), "what is new waits until it is clear what is meant");

    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = command.arg("--dir").arg(station.path("")).args(["setup", "--dry-run"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("unknown key `exclud`") && said.contains("^^^^^^"), "{said}");
}

#[test]
fn cues_that_leave_nothing_are_named() {
    let station = Station::with_music();
    station.write("music/1.wav.toml", b"cue_in_seconds = 60\n");
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.entries), (3, 4));
    assert!(report.skipped[0].why.contains("no sample of it"), "{report:?}");
    assert!(report.skipped[0].why.contains("between the cues"), "{report:?}");
    station.write("music/2.wav.toml", b"cue_in_seconds = 60\n");
    fs::remove_file(station.path("music/1.wav.toml")).unwrap();
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.entries), (3, 5), "what was there before stays");
    assert_eq!(report.skipped[0].path, "music/2.wav");
}

#[test]
fn the_same_bytes_are_one_item_and_the_first_words_hold() {
    let station = Station::with_music();
    fs::copy(station.path("music/1.wav"), station.path("music/3.wav")).unwrap();
    station.write("music/3.wav.toml", b"title = \"Three\"\n");
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.items, report.entries), (0, 5, 6));
    let title = |station: &Station, path: &str| {
        let manifest = station.manifest();
        manifest.item(&manifest.entry(path).unwrap().id).unwrap().title.clone()
    };
    assert_eq!([title(&station, "music/1.wav"), title(&station, "music/3.wav")], ["Three", "Three"]);
    station.write("music/1.wav.toml", b"title = \"One\"\n");
    let report = station.run(&job());
    assert_eq!((report.exit_code(), report.entries), (3, 6));
    assert_eq!(report.skipped[0].path, "music/3.wav");
    assert!(report.skipped[0].why.contains("`music/1.wav`"), "{report:?}");
    assert_eq!([title(&station, "music/1.wav"), title(&station, "music/3.wav")], ["One", "One"]);
}

#[test]
fn a_recording_on_demand_has_them_as_well() {
    let station = Station::empty();
    station.record("talk.wav", 500, 2_000);
    station.write("talk.wav.toml", b"title = \"The talk\"\ncue_in_seconds = 1\n");
    let files = [station.path("talk.wav")];
    assert_eq!(station.split(&job(), &files).unwrap().exit_code(), 0);
    let manifest = station.manifest();
    assert_eq!((manifest.entries()[0].kind, manifest.items()[0].title.as_str()), (Kind::Vod, "The talk"));
    assert_eq!(manifest.items()[0].samples, (1 + 44_100_u64.div_ceil(1_024)) * 1_024);
    station.write("talk.wav.toml", b"title = \"\"\n");
    let made = station.split(&job(), &files).unwrap();
    assert_eq!((made.exit_code(), made.recorded.len()), (3, 0));
    assert_eq!(station.manifest(), manifest);
}
