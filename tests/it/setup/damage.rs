//! Finding damage and mending it.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use ipfs_radio::{
    radio::segment::chunk_name,
    setup::{self, Options},
};

use super::world::{Station, job, tree, with_settings};

const REPAIR: Options = Options {
    reorder: false,
    prune: false,
    dry_run: false,
    repair: true,
    suspects: Vec::new(),
    first_samples: 0,
    station_constants: None,
    new_epoch: false,
};

#[test]
fn a_sound_station_has_no_damage() {
    let station = Station::with_music();
    assert_eq!(setup::check(&station.layout).unwrap(), [], "nor has one of which nothing is made yet");
    station.run(&job());
    assert_eq!(setup::check(&station.layout).unwrap(), []);
}

#[test]
fn every_kind_of_damage_is_named_and_mended() {
    let station = Station::with_music();
    station.run(&job());
    let (whole, store) = (tree(&station.path("processed")), station.layout.processed());
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    let meta = station.meta(&id);
    let chunk = store.chunk(&chunk_name(&meta.renditions[0].segments[1].cid));
    let list = store.stream(&id, &meta.streams[0]);
    let flipped = {
        let mut bytes = fs::read(&chunk).unwrap();
        bytes[1_000] ^= 1;
        bytes
    };
    for (path, bytes, words) in [
        (&chunk, Some(flipped), "does not hash to its name"),
        (&chunk, Some(Vec::new()), "does not hash to its name"),
        (&chunk, None, "is missing"),
        (&list, Some(b"#EXTM3U".to_vec()), "list"),
        (&list, None, "list"),
        (&store.meta(&id), Some(b"{}".to_vec()), "meta.json is missing or damaged"),
        (&store.meta(&id), None, "meta.json is missing or damaged"),
    ] {
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        let damages = setup::check(&station.layout).unwrap();
        assert_eq!(damages.len(), 1, "{damages:?}");
        assert_eq!(
            (damages[0].id.as_str(), damages[0].paths.as_slice()),
            (id.as_str(), &["music/10.wav".to_owned()][..])
        );
        assert!(damages[0].what.contains(words), "{damages:?}");
        let report = station.try_run(&job(), &REPAIR).unwrap();
        assert_eq!((report.encoded, report.entries), (1, 5), "only what is damaged is made anew");
        assert_eq!(setup::check(&station.layout).unwrap(), []);
        assert_eq!(tree(&station.path("processed")), whole);
    }
}

/// The names of all chunks that the manifest promises.
fn chunks(station: &Station) -> BTreeSet<String> {
    let manifest = station.manifest();
    let metas = manifest.items().iter().map(|line| station.meta(&line.id));
    let renditions = metas.flat_map(|meta| meta.renditions);
    renditions.flat_map(|rendition| rendition.segments).map(|segment| chunk_name(&segment.cid)).collect()
}

/// Turns a bit of the file, cuts it, empties it or removes it.
fn spoil(path: &Path, way: usize, random: u32) {
    let mut bytes = fs::read(path).unwrap();
    let at = random as usize % bytes.len();
    match way % 4 {
        0 => bytes[at] ^= 1 << (random % 8),
        1 => bytes.truncate(at),
        2 => bytes.clear(),
        _ => return fs::remove_file(path).unwrap(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_hundred_spoiled_chunks_are_all_named_and_made_the_same_again() {
    let station = Station::empty();
    for number in 0..26 {
        station.record(&format!("music/{number}.wav"), 200 + 30 * number, 4_900);
    }
    let job = with_settings(|settings| settings.bitrates = vec![64_000, 128_000]);
    station.run(&job);
    let (whole, store) = (tree(&station.path("processed")), station.layout.processed());
    let all: Vec<String> = chunks(&station).into_iter().collect();
    assert!(all.len() > 250, "{} chunks", all.len());
    let mut random = 1_u32;
    for round in 0..4 {
        let (mut sound, mut spoiled) = (all.clone(), BTreeSet::new());
        for number in 0..25 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let chunk = sound.swap_remove((random >> 8) as usize % sound.len());
            spoil(&store.chunk(&chunk), round + number, random >> 4);
            spoiled.insert(chunk);
        }
        let damages = setup::check(&station.layout).unwrap();
        let named: BTreeSet<String> =
            spoiled.iter().filter(|chunk| damages.iter().any(|damage| damage.what.contains(*chunk))).cloned().collect();
        assert_eq!((named, damages.len()), (spoiled, 25), "round {round}: {damages:?}");
        let items: BTreeSet<&String> = damages.iter().map(|damage| &damage.id).collect();
        let report = station.try_run(&job, &REPAIR).unwrap();
        assert_eq!((report.encoded, report.entries), (items.len(), 26), "only what is damaged is made anew");
        assert_eq!(setup::check(&station.layout).unwrap(), []);
        assert!(tree(&station.path("processed")) == whole, "round {round}: it was made otherwise");
    }
}

/// What `setup` says over the real binary, and its exit code.
fn call(station: &Station, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipfs-radio"));
    let output = command.arg("--dir").arg(station.path("")).arg("setup").args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_manifest_that_is_damaged_or_gone_is_damage_and_a_repair_makes_it_anew() {
    let station = Station::with_music();
    station.run(&job());
    let (whole, store) = (tree(&station.path("processed")), station.layout.processed());
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    let chunk = store.chunk(&chunk_name(&station.meta(&id).renditions[0].segments[1].cid));
    for (bytes, words) in [(Some(&b"{"[..]), "manifest.json is damaged: "), (None, "manifest.json is missing")] {
        match bytes {
            Some(bytes) => fs::write(store.manifest(), bytes).unwrap(),
            None => fs::remove_file(store.manifest()).unwrap(),
        }
        fs::write(&chunk, b"damaged as well").unwrap();
        let (code, said) = call(&station, &["--check"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words) && said.contains("`ipfs-radio setup` makes it anew"), "{said}");
        let report = station.try_run(&job(), &REPAIR).unwrap();
        assert_eq!((report.encoded, report.entries), (1, 5), "what no manifest tells of is verified, too");
        assert_eq!(call(&station, &["--check"]), (Some(0), "every segment is what it should be\n".to_owned()));
        assert_eq!(tree(&station.path("processed")), whole);
    }
    fs::remove_file(store.manifest()).unwrap();
    fs::remove_dir_all(store.items()).unwrap();
    assert!(setup::check(&station.layout).unwrap()[0].what.contains("is missing"), "an order is left");
    fs::remove_file(store.playlist()).unwrap();
    fs::remove_dir_all(store.root()).unwrap();
    fs::write(station.layout.accepted_order(), "#EXTM3U\n").unwrap();
    assert_eq!(call(&station, &["--check"]).0, Some(1), "nothing is left of what has aired");
    fs::remove_file(station.layout.accepted_order()).unwrap();
    let nothing = "nothing was made yet: `ipfs-radio setup` does\n".to_owned();
    assert_eq!(call(&station, &["--check"]), (Some(0), nothing));
}

#[test]
fn a_chunk_of_another_size_or_that_is_no_file_is_made_anew_without_being_asked_for() {
    let station = Station::with_music();
    station.run(&job());
    let (whole, store) = (tree(&station.path("processed")), station.layout.processed());
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    let chunk = store.chunk(&chunk_name(&station.meta(&id).renditions[0].segments[1].cid));
    let bytes = fs::read(&chunk).unwrap();
    let damages: [&dyn Fn(); 5] = [
        &|| fs::write(&chunk, &bytes[..188]).unwrap(),
        &|| fs::write(&chunk, [&bytes[..], b"more"].concat()).unwrap(),
        &|| fs::write(&chunk, b"").unwrap(),
        &|| fs::remove_file(&chunk).and_then(|()| std::os::unix::fs::symlink("/nowhere", &chunk)).unwrap(),
        &|| {
            fs::remove_file(&chunk).unwrap();
            assert!(Command::new("mkfifo").arg(&chunk).status().unwrap().success());
        },
    ];
    for (number, damage) in damages.iter().enumerate() {
        damage();
        assert_eq!(station.run(&job()).encoded, 1, "damage {number}");
        assert_eq!(tree(&station.path("processed")), whole, "damage {number}");
    }
    fs::remove_file(&chunk).unwrap();
    fs::create_dir_all(chunk.join("a folder in its place")).unwrap();
    fs::remove_file(station.path("music/1.wav")).unwrap();
    station.record("music/1.wav", 225, 1_100);
    let report = station.run(&job());
    assert_eq!((report.encoded, report.entries, report.skipped.len()), (1, 5, 1), "the others are dealt with");
    assert!(report.skipped[0].why.contains("move it away"), "{:?}", report.skipped);
    fs::remove_dir_all(&chunk).unwrap();
    assert_eq!(station.run(&job()).encoded, 1);
    assert_eq!(fs::read(&chunk).unwrap(), bytes);
}

#[test]
fn an_order_that_is_gone_or_cannot_be_used_is_damage() {
    let station = Station::with_music();
    station.run(&job());
    let order = station.layout.processed().playlist();
    for (text, words, mending) in [
        (None, "playlist.m3u is missing; `ipfs-radio setup` writes it anew", Options::default()),
        (
            Some("#EXTM3U\nmusic/none.wav\n"),
            "playlist.m3u:2: `music/none.wav` names no entry",
            Options { reorder: true, ..Options::default() },
        ),
    ] {
        match text {
            Some(text) => fs::write(&order, text).unwrap(),
            None => fs::remove_file(&order).unwrap(),
        }
        let damages = setup::check(&station.layout).unwrap();
        assert!(damages.len() == 1 && damages[0].to_string().contains(words), "{damages:?}");
        station.try_run(&job(), &mending).unwrap();
        assert_eq!(setup::check(&station.layout).unwrap(), []);
    }
    fs::write(&order, "music/none.wav\nmusic/1.wav\n").unwrap();
    assert_eq!(setup::check(&station.layout).unwrap(), [], "it can be used");
}

#[test]
fn the_command_names_the_recordings_that_are_damaged() {
    let station = Station::with_music();
    for number in 3..9 {
        fs::copy(station.path("music/1.wav"), station.path(&format!("music/{number}.wav"))).unwrap();
    }
    station.run(&job());
    let id = |path: &str| station.manifest().entry(path).unwrap().id.clone();
    for id in [id("music/1.wav"), id("music/10.wav")] {
        fs::remove_file(station.layout.processed().meta(&id)).unwrap();
    }
    let (code, said) = call(&station, &["--check"]);
    assert_eq!(code, Some(1), "{said}");
    let line = |paths: &str, id: &str| format!("{paths} (item {id}): meta.json is missing or damaged\n");
    assert!(said.contains(&line("music/10.wav", &id("music/10.wav"))), "{said}");
    let first_five = "music/1.wav, music/3.wav, music/4.wav, music/5.wav, music/6.wav and 2 more";
    assert!(said.contains(&line(first_five, &id("music/1.wav"))), "{said}");
    assert!(said.contains("2 damaged; `ipfs-radio setup --repair` makes anew what has its recording\n"), "{said}");
}

#[test]
fn what_is_missing_is_made_anew_without_being_asked() {
    let station = Station::with_music();
    station.run(&job());
    let whole = tree(&station.path("processed"));
    let id = station.manifest().entry("music/1.wav").unwrap().id.clone();
    let cid = station.meta(&id).renditions[0].segments[0].cid;
    fs::remove_file(station.layout.processed().chunk(&chunk_name(&cid))).unwrap();
    assert_eq!(station.run(&job()).encoded, 1);
    assert_eq!(tree(&station.path("processed")), whole);
}

#[test]
fn other_bytes_under_the_name_of_a_chunk_are_not_taken_for_it() {
    let (station, fresh) = (Station::with_music(), Station::with_music());
    fresh.run(&job());
    let planted = fresh.layout.processed();
    let name = fs::read_dir(planted.chunks()).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    station.write(&format!("processed/chunks/{name}"), b"something else");
    station.run(&job());
    assert_eq!(tree(&station.path("processed")), tree(&fresh.path("processed")));
}

#[test]
fn without_its_source_an_item_is_not_thrown_away() {
    let station = Station::with_music();
    station.run(&job());
    let id = station.manifest().entry("music/10.wav").unwrap().id.clone();
    let cid = station.meta(&id).renditions[0].segments[1].cid;
    fs::write(station.layout.processed().chunk(&chunk_name(&cid)), b"damaged").unwrap();
    fs::remove_dir_all(station.path("music")).unwrap();
    let report = station.try_run(&job(), &REPAIR).unwrap();
    assert_eq!((report.encoded, report.entries), (0, 5));
    assert_eq!(setup::check(&station.layout).unwrap().len(), 1, "it is still damaged, and said to be");
}
