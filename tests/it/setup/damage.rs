//! Finding damage and mending it.

use std::fs;

use ipfs_radio::{
    radio::segment::chunk_name,
    setup::{self, Options},
};

use super::world::{Station, job, tree};

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
    assert_eq!(setup::check(&station.layout).unwrap(), [], "nor has one without a manifest");
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
