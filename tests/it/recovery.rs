//! What was lost or damaged on disk: it is never heard, it is told, and it is mended as far as anybody can.

use std::{collections::BTreeSet, fs, path::PathBuf};

use ipfs_radio::{
    disk::{Layout, Store},
    ipfs::store::block_file,
    radio::{
        manifest::{Manifest, Meta},
        segment::{Segment, chunk_name, is_of},
    },
};

use crate::{
    air::{Observer, furnished, with_music},
    beside::{nothing_is_missing, title, with_short_filler},
    mirror::{Dht, name_of},
    station::{Entry, Station},
};

fn processed(station: &Station) -> Store {
    Layout::new(station.path()).processed()
}

/// The segments of the entry at `path`.
fn segments(station: &Station, path: &str) -> Vec<Segment> {
    let store = processed(station);
    let manifest = Manifest::parse(&fs::read(store.manifest()).unwrap()).unwrap();
    let id = &manifest.entry(path).unwrap().id;
    Meta::parse(&fs::read(store.meta(id)).unwrap()).unwrap().renditions[0].segments.clone()
}

fn chunk(station: &Station, segment: &Segment) -> PathBuf {
    processed(station).chunk(&chunk_name(&segment.cid))
}

/// Flips a bit, cuts, empties or deletes.
fn damage(file: &PathBuf, how: usize) {
    let mut bytes = fs::read(file).unwrap();
    match how % 4 {
        0 => bytes[700] ^= 4,
        1 => bytes.truncate(1_000),
        2 => bytes.clear(),
        _ => return fs::remove_file(file).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

fn is_whole(station: &Station, segment: &Segment) -> bool {
    fs::read(chunk(station, segment)).is_ok_and(|bytes| is_of(&segment.cid, &bytes))
}

fn health(station: &Station) -> Option<String> {
    Some(station.status()?["health"].as_str()?.to_owned())
}

/// Watches the list until its last three segments are of `wanted`.
fn until(station: &Station, observer: &mut Observer, what: &str, wanted: impl Fn(&Entry) -> bool) {
    station.wait(what, |station| {
        let list = station.list()?;
        observer.see(list.clone());
        list.segments.values().rev().take(3).all(&wanted).then_some(())
    });
}

fn is_filler(entry: &Entry) -> bool {
    title(entry).starts_with('f')
}

/// Dates go on, with a jump where the station was away for longer than its look-ahead, and items begin with a discontinuity.
fn goes_on(observer: &Observer) {
    let entries: Vec<&Entry> = observer.seen.values().collect();
    for pair in entries.windows(2) {
        assert!(pair[1].date > pair[0].date, "{pair:?}");
        assert!(pair[1].disc || title(pair[0]) == title(pair[1]), "{pair:?}");
    }
}

/// The block behind a URI, and its file in the repo.
fn block(station: &Station, uri: &str) -> (cid::Cid, PathBuf) {
    let cid = uri.strip_prefix("/ipfs/").unwrap().split('?').next().unwrap().parse().unwrap();
    (cid, block_file(&station.path().join("state/ipfs"), &cid))
}

/// Everything that is listed can be fetched, and hashes to its name.
fn all_can_be_fetched(station: &Station) {
    let list = station.list().unwrap();
    let uris: BTreeSet<&str> = list.segments.values().map(|entry| entry.uri.as_str()).collect();
    for uri in uris {
        let (cid, _) = block(station, uri);
        let bytes = station.get_bytes(uri).unwrap_or_else(|| panic!("{uri} cannot be fetched"));
        assert!(is_of(&cid, &bytes), "{uri}");
    }
}

#[test]
fn a_chunk_that_is_damaged_before_it_is_on_air_is_made_anew_from_its_recording() {
    for how in 0..4 {
        let mut station = with_music();
        let _lock = station.without_generator();
        let parts = segments(&station, "music/b.wav");
        damage(&chunk(&station, &parts[1]), how);
        station.start(&["run"]);
        let mut observer = Observer::default();
        station.wait("the item to be on air", |station| {
            let list = station.list()?;
            observer.see(list.clone());
            list.segments.values().any(|entry| title(entry) == "b").then_some(())
        });
        assert!(parts.iter().all(|part| is_whole(&station, part)), "{how}");
        station.wait("health to be well again", |station| {
            observer.see(station.list()?);
            (!health(station)?.contains("b.wav")).then_some(())
        });
        // One that is missing is made anew with the start already.
        assert!(how == 3 || station.said().contains("music/b.wav cannot air"), "{}", station.said());
        all_can_be_fetched(&station);
        assert_eq!(station.stop(), Some(0));
        nothing_is_missing(&observer);
    }
}

#[test]
fn an_item_that_nobody_can_make_anew_is_stepped_over_and_named() {
    let mut station = with_music();
    let _lock = station.without_generator();
    let parts = segments(&station, "music/b.wav");
    let file = chunk(&station, &parts[2]);
    damage(&file, 0);
    station.run();
    let mut observer = Observer::default();
    let told = station.wait("a round of the order", |station| {
        let list = station.list()?;
        observer.see(list.clone());
        let rounds = observer.seen.values().filter(|entry| entry.disc && title(entry) == "c").count();
        (rounds >= 2).then(|| health(station)).flatten()
    });
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(told.contains("music/b.wav cannot air") && told.contains(name), "{told}");
    assert!(told.contains("setup --repair"), "{told}");
    assert!(observer.seen.values().all(|entry| title(entry) != "b"), "half of it was aired");

    // The operator does as told; the order is the same, and takes the item back by itself.
    assert_eq!(station.call(&["setup", "--check"]).status.code(), Some(1));
    assert_eq!(station.call(&["setup", "--repair"]).status.code(), Some(0));
    assert_eq!(station.call(&["setup", "--check"]).status.code(), Some(0));
    station.wait("the item", |station| {
        observer.see(station.list()?);
        let aired = observer.seen.values().any(|entry| title(entry) == "b");
        (aired && !health(station)?.contains("b.wav")).then_some(())
    });
    assert_eq!(station.stop(), Some(0));
    nothing_is_missing(&observer);
}

#[test]
fn without_any_chunk_the_filler_airs_in_the_same_timeline_and_the_order_comes_back_by_itself() {
    let (mut station, _lock) = with_short_filler();
    crate::air::furnish(&station);
    station.run();
    let mut observer = Observer::default();
    until(&station, &mut observer, "the order", |entry| !is_filler(entry));
    // What has aired lies in the repo, too, and would air on from there.
    station.kill();
    let chunks = processed(&station).chunks();
    fs::rename(&chunks, station.path().join("elsewhere")).unwrap();
    fs::remove_dir_all(station.path().join("state/ipfs/blockstore")).unwrap();
    station.run();
    until(&station, &mut observer, "the filler", is_filler);
    let told = station.wait("health to say why", |station| {
        health(station).filter(|told| told.contains("nothing of the order can air"))
    });
    assert!(told.contains("music/a.wav cannot air") && told.contains("is missing"), "{told}");
    fs::rename(station.path().join("elsewhere"), &chunks).unwrap();
    until(&station, &mut observer, "the order again", |entry| !is_filler(entry));
    station.wait("health to be well again", |station| {
        observer.see(station.list()?);
        (!health(station)?.contains("programme")).then_some(())
    });
    assert_eq!(station.stop(), Some(0));
    goes_on(&observer);
}

#[test]
fn an_order_that_cannot_be_used_at_the_start_gives_way_to_the_filler_until_it_can() {
    let (mut station, _lock) = with_short_filler();
    crate::air::furnish(&station);
    let order = processed(&station).playlist();
    let good = fs::read(&order).unwrap();
    for (bad, words) in [(&b"#EXTM3U\n"[..], "playlist.m3u"), (b"music/gone.mp3\n\xff\xfe\n", "playlist.m3u:1")] {
        fs::write(&order, bad).unwrap();
        station.run();
        let mut observer = Observer::default();
        until(&station, &mut observer, "the filler", is_filler);
        let told = health(&station).unwrap();
        assert!(told.contains(words) && told.contains("the filler airs"), "{told}");
        fs::write(&order, &good).unwrap();
        until(&station, &mut observer, "the order", |entry| !is_filler(entry));
        station.wait("health to be well again", |station| {
            observer.see(station.list()?);
            (!health(station)?.contains("order: ")).then_some(())
        });
        assert_eq!(station.stop(), Some(0));
        goes_on(&observer);
    }
}

#[test]
fn a_manifest_that_is_damaged_is_made_anew_while_the_order_plays_on() {
    let mut station = with_music();
    let _lock = station.without_generator();
    let manifest = processed(&station).manifest();
    let whole = fs::read(&manifest).unwrap();
    station.start(&["run"]);
    let mut observer = Observer::default();
    until(&station, &mut observer, "the order", |_| true);
    for bad in [Some(&whole[..whole.len() / 2]), Some(b""), None] {
        match bad {
            Some(bytes) => fs::write(&manifest, bytes).unwrap(),
            None => fs::remove_file(&manifest).unwrap(),
        }
        station.wait("it to be made anew", |station| {
            observer.see(station.list()?);
            (fs::read(&manifest).is_ok_and(|bytes| bytes == whole) && !health(station)?.contains("order: "))
                .then_some(())
        });
    }
    assert!(station.said().contains("the last accepted order plays on"), "{}", station.said());
    assert_eq!(station.stop(), Some(0));
    nothing_is_missing(&observer);
}

#[test]
fn a_listed_block_that_is_lost_or_damaged_is_put_again_before_whoever_asks_is_answered() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.run();
    let list = station.wait("a list", Station::list);
    let uris: BTreeSet<String> = list.segments.values().map(|entry| entry.uri.clone()).collect();
    assert!(uris.len() >= 4, "{uris:?}");
    for (how, uri) in uris.iter().enumerate() {
        let (cid, file) = block(&station, uri);
        damage(&file, how);
        let bytes = station.get_bytes(uri).unwrap_or_else(|| panic!("{how}: {uri} is not mended"));
        assert!(is_of(&cid, &bytes) && fs::read(&file).unwrap() == bytes, "{how}: {uri}");
    }
    // The file of a group has its bytes nowhere else.
    let group = station.wait("a group of two segments", |station| {
        let groups = station.coarse_list()?.segments;
        groups.values().map(|group| group.uri.clone()).find(|uri| block(station, uri).0.codec() != 0x55)
    });
    let (_, file) = block(&station, &group);
    let before = fs::read(&file).unwrap();
    station.wait("it to be looked after", |station| {
        let _ = fs::remove_file(&file);
        station.get_bytes(&group).map(|_| assert_eq!(fs::read(&file).unwrap(), before))
    });
    assert!(!health(&station).unwrap().contains("blocks: "));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn what_is_lost_of_the_ledgers_folder_is_put_back() {
    let mut station = with_music();
    station.run();
    let name = station.wait("the status", Station::status)["station"].as_str().unwrap().to_owned();
    let path = format!("/ipns/{name}/ledger/checkpoint");
    let note = station.wait("a checkpoint", |station| station.get_bytes(&path));
    let of_it = |file: &PathBuf| file.components().any(|part| part.as_os_str() == "blockstore");
    let lost: Vec<PathBuf> = station.files().into_keys().filter(|file| of_it(file)).collect();
    let lost: Vec<PathBuf> = lost.into_iter().filter(|file| fs::read(file).is_ok_and(|bytes| bytes == note)).collect();
    assert!(!lost.is_empty(), "its block was not found");
    lost.iter().for_each(|file| fs::remove_file(file).unwrap());
    station.wait("the block again", |_| lost.iter().all(|file| file.exists()).then_some(()));
    station.wait("the checkpoint again", |station| station.get_bytes(&path).filter(|again| *again == note));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn an_accepted_order_that_cannot_be_kept_is_told_until_it_is() {
    let mut station = with_music();
    let kept = station.path().join("state/order.m3u");
    fs::create_dir_all(kept.join("in the way")).unwrap();
    station.run();
    station.wait("health to name it", |station| health(station).filter(|told| told.contains("accepted order: ")));
    let order = processed(&station).playlist();
    let text = fs::read_to_string(&order).unwrap();
    fs::remove_dir_all(&kept).unwrap();
    fs::write(&order, text + "music/b.wav\n").unwrap();
    station.wait("health to be well again", |station| health(station).filter(|told| !told.contains("accepted order")));
    assert!(kept.is_file());
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_listed_block_that_nobody_has_is_named_until_somebody_has_it() {
    let mut station = with_music();
    let _lock = station.without_generator();
    station.run();
    let list = station.wait("a list", Station::list);
    let entry = list.segments.values().find(|entry| title(entry) == "b").unwrap().clone();
    let (cid, file) = block(&station, &entry.uri);
    let chunk = processed(&station).chunk(&chunk_name(&cid));
    let aside = station.path().join("aside.ts");
    fs::rename(&chunk, &aside).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(station.get_bytes(&entry.uri), None);
    let told = station.wait("health to name it", |station| health(station).filter(|told| told.contains("blocks: ")));
    for words in ["music/b.wav", &cid.to_string(), "is lost", "no peer is connected"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    fs::rename(&aside, &chunk).unwrap();
    // Whoever asks for it has it looked after, though not more than twice a minute.
    station.wait("it to be put again", |station| station.get_bytes(&entry.uri));
    station.wait("health to be well again", |station| health(station).filter(|told| !told.contains("blocks: ")));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_listed_block_that_only_a_mirror_has_is_fetched_back_from_it() {
    let dht = Dht::start();
    let mut station = furnished(Station::among(6, 20, &[&dht.address]));
    let _lock = station.without_generator();
    station.run();
    let mut mirror = Station::mirror(&name_of(&station), &dht.address);
    mirror.run();
    let mirrored = mirror.wait("the list of the mirror", Station::list);
    let uri = &mirrored.segments.values().next_back().unwrap().uri;
    let (cid, file) = block(&station, uri);
    let bytes = mirror.get_bytes(uri).unwrap();
    fs::remove_file(processed(&station).chunk(&chunk_name(&cid))).unwrap();
    fs::remove_file(&file).unwrap();
    let back = station.wait("the block to come back", |station| station.get_bytes(uri));
    assert!(back == bytes && is_of(&cid, &back));
    station.wait("it to be stored", |_| fs::read(&file).is_ok_and(|there| there == bytes).then_some(()));
    assert_eq!((mirror.stop(), station.stop()), (Some(0), Some(0)));
}
