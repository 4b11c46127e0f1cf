//! Recordings on demand: they are made like any other, never air, and stay.

use std::{fs, path::PathBuf, process::Command};

use ipfs_radio::{
    radio::{
        manifest::{Entry, Manifest},
        segment::{Kind, chunk_name, short_name},
    },
    setup::{Options, Split},
};

use super::world::{PRUNE, Station, job, tree, wav, with_settings};

fn split(station: &Station, paths: &[&str]) -> Split {
    let files: Vec<PathBuf> = paths.iter().map(|path| station.path(path)).collect();
    station.split(&job(), &files).unwrap()
}

fn on_demand(manifest: &Manifest) -> Vec<&Entry> {
    manifest.entries().iter().filter(|entry| entry.kind == Kind::Vod).collect()
}

#[test]
fn it_is_made_and_never_airs_and_survives_setup() {
    let station = Station::with_music();
    station.run(&job());
    let (order, before) = (station.order(), station.manifest());
    station.record("uploads/talk.wav", 500, 1_500);
    let made = split(&station, &["uploads/talk.wav"]);
    let id = short_name(&wav(500, 1_500));
    let meta = station.meta(&id);
    assert_eq!((made.exit_code(), made.skipped.len(), made.recorded.len()), (0, 0, 1));
    assert_eq!(made.recorded[0].path, "uploads/talk.wav");
    assert_eq!(made.recorded[0].lists, [format!("/audio/{id}/stream/{}.m3u8", meta.streams[0])]);

    let manifest = station.manifest();
    assert_eq!((manifest.entries().len(), manifest.order_sha256()), (6, before.order_sha256()));
    assert_eq!(on_demand(&manifest), [&Entry { path: "uploads/talk.wav".into(), kind: Kind::Vod, id: id.clone() }]);
    assert_eq!(manifest.item(&id).unwrap().title, "talk");
    assert_eq!(station.order(), order);

    let encodes = station.encodes();
    assert_eq!(split(&station, &["uploads/talk.wav"]), made, "nothing is made twice");
    station.run(&job());
    fs::remove_dir_all(station.path("music")).unwrap();
    assert!(station.run(&job()).kept[0].contains("the 3 entries"), "the one on demand is no track that is missed");
    fs::remove_dir_all(station.path("jingles")).unwrap();
    station.try_run(&job(), &PRUNE).unwrap();
    assert_eq!((station.encodes(), on_demand(&station.manifest()).len()), (encodes, 1));
    assert_eq!(station.manifest().entries().len(), 1);
    let chunk = station.layout.processed().chunk(&chunk_name(&meta.renditions[0].segments[0].cid));
    assert!(chunk.exists());

    fs::remove_file(station.path("uploads/talk.wav")).unwrap();
    station.run(&job());
    assert_eq!(on_demand(&station.manifest()).len(), 1, "it stays without its recording");
    station.try_run(&job(), &PRUNE).unwrap();
    assert!(station.manifest().entries().is_empty() && !chunk.exists(), "but not when setup tidies up");
}

#[test]
fn alone_it_is_no_programme() {
    let station = Station::empty();
    station.record("talk.wav", 500, 1_500);
    split(&station, &["talk.wav"]);
    let report = station.run(&job());
    assert_eq!((report.entries, report.exit_code()), (1, 0));
    let store = station.layout.processed();
    assert!(!store.playlist().exists() && !store.generated_order().exists());
    station.record("music/1.wav", 220, 1_500);
    station.run(&job());
    assert_eq!((station.order(), station.manifest().entries().len()), (vec!["music/1.wav".to_owned()], 2));
}

#[test]
fn the_same_bytes_are_one_item_at_the_level_at_which_they_air() {
    let station = Station::with_music();
    let lower = || ipfs_radio::setup::Job { jingle_offset: -4.0, ..job() };
    station.run(&lower());
    for path in ["a.wav", "b.wav"] {
        fs::copy(station.path("jingles/1.wav"), station.path(path)).unwrap();
    }
    let before = station.manifest();
    let files = ["a.wav", "b.wav", "a.wav"].map(|path| station.path(path));
    let made = station.split(&lower(), &files).unwrap();
    assert_eq!((made.recorded.len(), station.encodes()), (2, 5), "it was made as a jingle already");
    assert_eq!(station.manifest().items(), before.items(), "and is called as before");
    station.run(&lower());
    assert_eq!((station.encodes(), station.manifest().items()), (5, before.items()));
}

#[test]
fn an_order_cannot_name_it() {
    let station = Station::with_music();
    station.run(&job());
    station.record("talk.wav", 500, 1_500);
    split(&station, &["talk.wav"]);
    let order = "#EXTM3U\ntalk.wav\nmusic/1.wav\n";
    let read = ipfs_radio::radio::playlist::parse("playlist.m3u", order.as_bytes(), &station.manifest()).unwrap();
    assert_eq!(read.paths, ["music/1.wav"]);
    assert_eq!(read.skipped[0].to_string(), "line 2: `talk.wav` names no entry of the manifest that airs");
    station.write("processed/playlist.m3u", order.as_bytes());
    station.run(&job());
    assert_eq!(fs::read(station.path("processed/playlist.m3u")).unwrap(), order.as_bytes());
}

#[test]
fn what_cannot_be_on_demand_is_named() {
    let station = Station::with_music();
    station.run(&job());
    let manifest = station.manifest();
    for name in ["clip.mp4", "mono.wv"] {
        fs::copy(format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR")), station.path(name)).unwrap();
    }
    station.write("empty.wav", b"");
    station.write("text.mp3", b"no music");
    fs::copy(station.path("text.mp3"), station.path("text again.mp3")).unwrap();
    let names = ["clip.mp4", "mono.wv", "empty.wav", "text.mp3", "text again.mp3", "gone.wav", "music", "music/1.wav"];
    let made = split(&station, &names);
    assert_eq!((made.exit_code(), made.recorded.len()), (3, 0));
    let why = |path: &str| {
        let skipped = made.skipped.iter().find(|skipped| skipped.path == path);
        skipped.unwrap_or_else(|| panic!("{path}: {made:?}")).why.as_str()
    };
    assert!(why("clip.mp4").contains("it is a video") && why("clip.mp4").contains("ffmpeg"), "{}", why("clip.mp4"));
    assert!(why("mono.wv").contains("WavPack"));
    assert!(why("gone.wav").contains("No such file"));
    assert!(why("music").contains("it is no file"));
    assert!(why("music/1.wav").contains("it lies in `music`"));
    assert_eq!(made.skipped.len(), names.len(), "{made:?}");
    assert_eq!(station.manifest(), manifest);
}

#[test]
fn a_cover_makes_no_video() {
    let station = Station::empty();
    fs::copy(format!("{}/tests/fixtures/cover.mov", env!("CARGO_MANIFEST_DIR")), station.path("cover.mov")).unwrap();
    assert_eq!(split(&station, &["cover.mov"]).recorded.len(), 1);
}

#[test]
fn nothing_is_added_to_a_manifest_that_is_damaged_or_gone() {
    let station = Station::with_music();
    station.run(&job());
    station.record("talk.wav", 500, 1_500);
    station.write("processed/manifest.json", b"{");
    let files = [station.path("talk.wav")];
    let refused = station.split(&job(), &files).unwrap_err();
    assert!(refused.to_string().contains("run `ipfs-radio setup` first"), "{refused}");
    fs::remove_file(station.path("processed/manifest.json")).unwrap();
    station.split(&job(), &files).unwrap_err();
    station.run(&job());
    assert_eq!(station.split(&job(), &files).unwrap().exit_code(), 0);
}

#[test]
fn a_change_of_the_settings_leaves_it_and_a_repair_makes_it_anew() {
    let station = Station::with_music();
    station.run(&job());
    station.record("talk.wav", 500, 1_500);
    split(&station, &["talk.wav"]);
    let id = short_name(&wav(500, 1_500));
    let meta = station.meta(&id);
    let other = with_settings(|settings| settings.bitrates = vec![96_000]);
    assert_eq!(station.run(&other).encoded, 5);
    assert_eq!(station.meta(&id), meta);
    let chunk = station.layout.processed().chunk(&chunk_name(&meta.renditions[0].segments[0].cid));
    fs::write(&chunk, b"rot").unwrap();
    let repair = Options { repair: true, ..Options::default() };
    assert_eq!(station.try_run(&job(), &repair).unwrap().skipped, []);
    assert_eq!(station.meta(&id), meta);
    assert_ne!(fs::read(chunk).unwrap(), b"rot");
}

#[test]
fn the_command_says_where_it_is() {
    let station = Station::empty();
    station.record("talk.wav", 500, 1_500);
    station.write("text.mp3", b"no music");
    let call = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
        let output = command.current_dir(station.path("")).arg("split").args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let id = short_name(&wav(500, 1_500));
    let (code, said) = call(&["talk.wav"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("talk.wav: /audio/{id}/stream/")), "{said}");
    let before = tree(&station.path("processed"));
    let (code, said) = call(&["text.mp3", "talk.wav"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("skipped text.mp3: ") && said.contains("talk.wav: /audio/"), "{said}");
    assert_eq!(tree(&station.path("processed")), before);
    assert_eq!(call(&[]).0, Some(64));
    let _busy = ipfs_radio::disk::Lock::take(&station.layout.processed().lock()).unwrap();
    assert_eq!(call(&["talk.wav"]).0, Some(75));
}
