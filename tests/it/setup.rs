//! Setup from files to `processed/`, with the real encoder on a real disk.

use std::fs;

use ipfs_radio::{
    disk::Lock,
    radio::segment::{chunk_name, is_of},
    setup::{self, Error, Job, Options, OrderFate},
};
use world::{Station, job, stamps, tree};

mod callback;
mod chapters;
mod crash;
mod damage;
mod duplicates;
mod garbage;
mod generator;
mod keeping;
mod order;
mod outside;
mod overrides;
mod progress;
mod quality;
mod schema;
mod size;
mod split;
mod texts;
mod world;

#[test]
fn files_become_segments_lists_and_an_order() {
    let station = Station::with_music();
    let report = station.run(&job());
    assert_eq!((report.encoded, report.ready, report.exit_code()), (5, 0, 0));
    assert_eq!((report.entries, report.items), (5, 5));

    let (manifest, store) = (station.manifest(), station.layout.processed());
    for entry in manifest.entries() {
        let (line, meta) = (manifest.item(&entry.id).unwrap(), station.meta(&entry.id));
        let item = meta.item(line);
        assert_eq!((item.samples(), meta.line().renditions), (line.samples, line.renditions.clone()));
        assert_eq!(meta.source.sha256[..32], entry.id);
        for segment in &item.segments {
            let bytes = fs::read(store.chunk(&chunk_name(&segment.cid))).unwrap();
            assert!(is_of(&segment.cid, &bytes) && bytes.len() == segment.bytes as usize);
            assert!(segment.samples <= 44_100 && segment.samples % 1_024 == 0, "no longer than one second");
        }
        assert!(item.segments.len() >= 2, "{item:?}");
        assert_eq!(
            fs::read(store.stream(&meta.id, &meta.streams[0])).unwrap(),
            meta.renditions[0].list(44_100).as_bytes()
        );
    }
    assert_eq!(
        station.order(),
        ["jingles/1.wav", "music/1.wav", "music/2.wav", "jingles/2.wav", "music/10.wav"],
        "natural order in rotation"
    );
    assert_eq!(fs::read(store.playlist()).unwrap(), fs::read(store.generated_order()).unwrap());
    assert_eq!(manifest.item(&manifest.entry("music/10.wav").unwrap().id).unwrap().title, "10");
}

#[test]
fn a_second_run_encodes_nothing_and_writes_nothing() {
    let station = Station::with_music();
    station.run(&job());
    let before = station.files_with_times();
    let report = station.run(&job());
    assert_eq!((report.encoded, report.ready, station.encodes()), (0, 5, 5));
    assert_eq!(report.order, OrderFate::Unchanged);
    assert_eq!(station.files_with_times(), before);
}

#[test]
fn another_cycle_encodes_nothing() {
    let station = Station::with_music();
    station.run(&job());
    let report = station.run(&Job { cycle: 1, ..job() });
    assert_eq!((report.encoded, station.encodes(), report.order), (0, 5, OrderFate::Written));
    let expected = ["jingles/1.wav", "music/1.wav", "jingles/2.wav", "music/2.wav", "jingles/1.wav", "music/10.wav"];
    assert_eq!(station.order(), expected);
}

#[test]
fn a_new_or_changed_file_encodes_only_itself() {
    let station = Station::with_music();
    station.run(&job());
    station.record("music/3.wav", 330, 1_500);
    assert_eq!((station.run(&job()).encoded, station.encodes()), (1, 6));
    station.record("music/1.wav", 999, 1_700);
    assert_eq!((station.run(&job()).encoded, station.encodes()), (1, 7));
    fs::rename(station.path("music/2.wav"), station.path("music/moved.wav")).unwrap();
    assert_eq!((station.run(&job()).encoded, station.encodes()), (0, 7), "a name is not a content");
    assert!(station.order().contains(&"music/moved.wav".to_owned()));
}

#[test]
fn another_setting_that_shapes_bytes_encodes_all() {
    let station = Station::with_music();
    station.run(&job());
    let longer = world::with_settings(|settings| settings.segment_seconds = 2);
    assert_eq!(station.run(&longer).encoded, 5);
    let fresh = Station::with_music();
    fresh.run(&longer);
    assert_eq!(station.manifest(), fresh.manifest(), "the past leaves no trace in what airs");
    assert_eq!(station.run(&job()).encoded, 5);
    assert_eq!(station.run(&world::with_settings(|settings| settings.loudness_target = None)).encoded, 5);
    let rungs = world::with_settings(|settings| settings.bitrates = vec![96_000, 48_000]);
    station.run(&rungs);
    let manifest = station.manifest();
    assert!(manifest.items().iter().all(|item| item.renditions.len() == 2));
}

#[test]
fn the_same_input_gives_the_same_bytes_anywhere() {
    let (one, other) = (Station::with_music(), Station::with_music());
    one.run(&Job { jobs: 1, ..job() });
    other.run(&Job { jobs: 4, ..job() });
    assert_eq!(tree(&one.path("processed")), tree(&other.path("processed")));
}

#[test]
fn a_bad_file_is_skipped_and_named() {
    let station = Station::with_music();
    station.write("music/bad.mp3", b"this is no music");
    station.write("music/again.flac", b"this is no music");
    station.write("music/empty.ogg", b"");
    station.record("music/short.wav", 440, 100);
    station.write("music/cover.jpg", b"not a recording");
    let report = station.run(&job());
    let named: Vec<_> = report.skipped.iter().map(|skipped| skipped.path.as_str()).collect();
    assert_eq!(named, ["music/again.flac", "music/bad.mp3", "music/empty.ogg", "music/short.wav"]);
    assert!(report.skipped.iter().all(|skipped| !skipped.why.is_empty()));
    assert_eq!((report.exit_code(), report.entries), (3, 5));
}

#[test]
fn hostile_names_air_like_any_other() {
    let station = Station::empty();
    let names: [&[u8]; 6] =
        [b"a\nb.wav", b"# comment.wav", b"100%41.wav", b"  spaces .wav", "über Jaß.wav".as_bytes(), b"\xff\xfe.. .wav"];
    for (index, name) in names.iter().enumerate() {
        station.record_bytes(&[b"music/", *name].concat(), 300 + index as u32 * 50, 600);
    }
    let report = station.run(&job());
    assert_eq!((report.entries, report.items, report.exit_code()), (6, 6, 0));
    assert_eq!(station.order().len(), 6);
    let text = fs::read_to_string(station.layout.processed().playlist()).unwrap();
    assert_eq!(text.lines().count(), 1 + 2 * 6, "no name breaks a line: {text}");
    assert_eq!(station.run(&job()).encoded, 0);
}

#[test]
fn one_name_with_two_endings_is_two_entries() {
    let station = Station::empty();
    station.record("music/a.wav", 220, 900);
    station.record("music/a.flac", 330, 900);
    station.record("music/a..wav", 440, 900);
    assert_eq!((station.run(&job()).items, station.order().len()), (3, 3));
    let titles: Vec<_> = station.manifest().items().iter().map(|item| item.title.clone()).collect();
    assert!(titles.iter().all(|title| title.starts_with('a')), "{titles:?}");
}

#[test]
fn two_paths_with_the_same_bytes_are_two_entries_and_one_item() {
    let station = Station::empty();
    for path in ["music/b.wav", "music/a.wav", "jingles/c.wav"] {
        station.record(path, 440, 1_200);
    }
    let report = station.run(&Job { jobs: 3, ..job() });
    assert_eq!((report.entries, report.items, station.encodes()), (3, 1, 1));
    assert_eq!(station.order(), ["jingles/c.wav", "music/a.wav", "music/b.wav"]);
    assert_eq!(station.manifest().items()[0].title, "c", "called like the first of its paths");
}

#[test]
fn a_station_on_air_keeps_its_constants() {
    let station = Station::with_music();
    let options = Options { station_constants: Some((6, 44_100)), ..Options::default() };
    let refused = station.try_run(&job(), &options).unwrap_err();
    assert!(matches!(refused, Error::Constant { key: "audio.segment_duration", wanted: 1, constant: 6 }), "{refused}");
    assert!(refused.to_string().contains("--new-epoch"));
    assert_eq!(station.encodes(), 0);
    station.try_run(&job(), &Options { new_epoch: true, ..options }).unwrap();
    station.try_run(&job(), &Options { station_constants: Some((1, 44_100)), ..Options::default() }).unwrap();
}

#[test]
fn only_one_at_a_time() {
    let station = Station::with_music();
    let store = station.layout.processed();
    fs::create_dir_all(store.root()).unwrap();
    let held = Lock::take(&store.lock()).unwrap();
    let busy = station.try_run(&job(), &Options::default()).unwrap_err().to_string();
    assert!(busy.contains(&format!("process {}", std::process::id())), "{busy}");
    drop(held);
    station.run(&job());
}

#[test]
fn a_dry_run_tells_and_writes_nothing() {
    let station = Station::with_music();
    station.run(&job());
    station.record("music/3.wav", 330, 1_500);
    station.write("music/bad.mp3", b"this is no music");
    fs::remove_file(station.path("music/2.wav")).unwrap();
    let before = station.files_with_times();
    let report = station.try_run(&job(), &Options { dry_run: true, ..Options::default() }).unwrap();
    assert_eq!((report.encoded, report.ready, station.encodes()), (1, 4, 5));
    assert_eq!(report.skipped[0].path, "music/bad.mp3");
    assert_eq!(report.notices, ["`music/2.wav` would leave the programme"]);
    assert_eq!(station.files_with_times(), before);
}

#[test]
fn the_sources_are_never_written_to() {
    let station = Station::with_music();
    station.write("music/1.wav.toml", b"title = \"One\"\n");
    station.write("music/bad.mp3", b"this is no music");
    let sources = || ["music", "jingles"].map(|folder| (tree(&station.path(folder)), stamps(&station.path(folder))));
    let before = sources();
    station.run(&job());
    assert_eq!(sources(), before);
    station.try_run(&job(), &Options { prune: true, repair: true, ..Options::default() }).unwrap();
    assert_eq!(sources(), before);
}

#[test]
fn the_pipeline_names_every_setting() {
    let plain = setup::pipeline(&job().settings);
    let changes: [fn(&mut ipfs_radio::audio::Settings); 9] = [
        |s| s.segment_seconds = 7,
        |s| s.rate = 48_000,
        |s| s.channels = 1,
        |s| s.bitrates = vec![96_000],
        |s| s.loudness_target = None,
        |s| s.reference = ipfs_radio::audio::Reference::Album,
        |s| s.peak_ceiling = -2.0,
        |s| s.trim_silence = true,
        |s| s.fade_ms = 1,
    ];
    for change in changes {
        assert_ne!(setup::pipeline(&world::with_settings(change).settings), plain);
    }
    assert_eq!(setup::pipeline(&job().settings), plain);
}

#[test]
fn tags_and_picture_come_along() {
    let station = Station::empty();
    let picture = [&b"\xff\xd8\xff\xe0"[..], &[7; 500]].concat();
    let tag = id3(&[
        (b"TIT2", text("Satta")),
        (b"TPE1", text("The Ones")),
        (b"TALB", text("Record")),
        (b"TYER", text("1976")),
        (b"TSRC", text("JMABC7600001")),
        (b"APIC", [&b"\0image/jpeg\0\x03\0"[..], &picture].concat()),
    ]);
    station.write("music/a.wav", &[tag, world::wav(440, 800)].concat());
    station.run(&job());
    let manifest = station.manifest();
    let line = &manifest.items()[0];
    assert_eq!((line.title.as_str(), line.artist.as_str(), line.album.as_str()), ("Satta", "The Ones", "Record"));
    assert_eq!((line.year, line.isrc.as_str()), (Some(1976), "JMABC7600001"));
    let stored = fs::read(station.layout.processed().cover(&line.id)).unwrap();
    assert_eq!(stored, picture);
    assert!(is_of(&line.cover.unwrap(), &stored));
    let order = fs::read_to_string(station.layout.processed().playlist()).unwrap();
    assert_eq!(order, "#EXTM3U\n#EXTINF:1,The Ones - Satta\nmusic/a.wav\n");
    assert_eq!(station.run(&job()).encoded, 0);
    fs::remove_file(station.layout.processed().cover(&line.id)).unwrap();
    assert_eq!(setup::check(&station.layout).unwrap()[0].what, "the picture is missing or damaged");
    assert_eq!(station.run(&job()).encoded, 1);
}

fn text(text: &str) -> Vec<u8> {
    [b"\0", text.as_bytes()].concat()
}

/// An ID3v2.3 tag.
fn id3(frames: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, content) in frames {
        body.extend(*name);
        body.extend((content.len() as u32).to_be_bytes());
        body.extend([0, 0]);
        body.extend(content);
    }
    let length = body.len() as u32;
    let synchsafe = [21, 14, 7, 0].map(|shift| (length >> shift) as u8 & 0x7f);
    [&b"ID3\x03\0\0"[..], &synchsafe, &body].concat()
}
