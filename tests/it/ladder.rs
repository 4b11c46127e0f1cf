//! Several rungs on one timeline, run by the real binary.

use std::{collections::BTreeMap, fs};

use ipfs_radio::{
    disk::Layout,
    radio::{
        manifest::{Manifest, Meta},
        segment::{chunk_name, is_of},
    },
};

use crate::{
    air::{Observer, furnish},
    mirror::{Dht, name_of},
    station::{List, Station},
};

const LOW: &str = "live-64000.m3u8";

/// Says how the station's items are made from now on.
fn configure(station: &Station, bitrates: &str) {
    let setup = format!("[audio]\nsegment_duration = 1\nbitrates = {bitrates}\n[jingles]\ncycle = 2\n");
    fs::write(station.path().join("setup.toml"), setup).unwrap();
}

fn laddered(station: Station) -> Station {
    configure(&station, "[128000, 64000]");
    furnish(&station);
    station
}

/// A file of the root.
fn file(station: &Station, name: &str) -> Option<String> {
    let status = station.status()?;
    station.get(&format!("/ipns/{}/{name}", status["station"].as_str()?))
}

/// The live list of the root, and that of the other rung in the same root.
fn both(station: &Station) -> Option<(List, List)> {
    let status = station.status()?;
    let get = |name: &str| station.get(&format!("/ipns/{}/{name}", status["station"].as_str()?));
    let (live, low, again) = (get("live.m3u8")?, get(LOW)?, get("live.m3u8")?);
    (live == again).then(|| (List::read(&live), List::read(&low)))
}

/// The lines of a list but for the segments.
fn frame(list: &List) -> Vec<&str> {
    list.text.lines().filter(|line| !line.starts_with('/')).collect()
}

fn stands_in(live: &List, low: &List) -> usize {
    live.segments.iter().filter(|(number, entry)| low.segments[number].uri == entry.uri).count()
}

/// Bandwidths and names in a master list.
fn variants(master: &str) -> Vec<(u64, String)> {
    let lines: Vec<&str> = master.lines().collect();
    let of = |pair: &[&str]| {
        let peak = pair[0].strip_prefix("#EXT-X-STREAM-INF:BANDWIDTH=")?.split(',').next()?.parse().ok()?;
        Some((peak, pair[1].to_owned()))
    };
    lines.windows(2).filter_map(of).collect()
}

#[test]
fn every_rung_has_its_list_and_keeps_it_when_the_station_is_killed() {
    let mut station = laddered(Station::new(6, 4));
    let (mut default, mut other) = (Observer::default(), Observer::default());
    for round in 0..3 {
        station.run();
        let wanted = default.last.as_ref().map_or(0, List::last) + 3 + round;
        station.wait("both lists to go on", |station| {
            let (live, low) = both(station)?;
            assert_eq!(frame(&live), frame(&low));
            assert_eq!(stands_in(&live, &low), 0);
            let there = live.last() >= wanted.max(live.first + 8);
            default.see(live);
            other.see(low);
            there.then_some(())
        });
        station.kill();
    }
    station.run();
    let (master, low) = station.wait("the lists after a kill", |station| {
        let (live, low) = both(station)?;
        default.see(live);
        other.see(low.clone());
        Some((file(station, "master.m3u8")?, low))
    });
    let variants = variants(&master);
    assert_eq!(variants.iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["live.m3u8", LOW], "{master}");
    assert!(variants[0].0 > 128_000 && (64_000..variants[0].0).contains(&variants[1].0), "{master}");
    let list = low.segments.values().map(|entry| &entry.uri);
    let bytes: Vec<_> = list.filter_map(|uri| Some((uri, station.get_bytes(uri)?))).collect();
    assert!(bytes.len() + 2 >= low.segments.len(), "{} of {}", bytes.len(), low.segments.len());
    for (uri, bytes) in bytes {
        let cid = uri.strip_prefix("/ipfs/").unwrap().split('?').next().unwrap();
        assert!(is_of(&cid.parse().unwrap(), &bytes), "{uri}");
    }
    assert_eq!(station.stop(), Some(0));
    in_the_receipts(&station, &other);
    let verified = station.call(&["receipts", "verify", "--blocks"]);
    assert!(verified.status.success(), "{verified:?}");
    let uri = &other.seen.values().next().unwrap().uri;
    let cid = uri.strip_prefix("/ipfs/").unwrap().split('?').next().unwrap();
    let found = station.call(&["receipts", "get", "--cid", cid]);
    assert!(found.status.success() && String::from_utf8_lossy(&found.stdout).contains(cid), "{found:?}");
    outlasts_setup(&station, &other);
}

/// What the end of the ledger names stays in `processed/`, whatever is made there and however it is tidied up.
fn outlasts_setup(station: &Station, seen: &Observer) {
    configure(station, "[96000]");
    let pruned = station.call(&["setup", "--prune"]);
    assert!(pruned.status.success(), "{pruned:?}");
    let store = Layout::new(station.path()).processed();
    for entry in seen.seen.values() {
        let cid = entry.uri.strip_prefix("/ipfs/").unwrap().split('?').next().unwrap();
        assert!(store.chunk(&chunk_name(&cid.parse().unwrap())).exists(), "{cid}");
    }
}

/// The receipts tell of what was listed of the other rung, and of nothing else.
fn in_the_receipts(station: &Station, seen: &Observer) {
    let mut told = BTreeMap::new();
    let mut files: Vec<_> =
        fs::read_dir(station.path().join("state/ledger")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files {
        // Behind the last receipt lies the room for the next ones.
        for line in fs::read_to_string(file).unwrap().lines().filter(|line| !line.starts_with('\0')) {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let receipt = &line["r"];
            if receipt["kind"] == "segment" {
                let renditions = receipt["renditions"].as_array().unwrap();
                assert_eq!((renditions.len(), renditions[0]["bitrate"].as_u64()), (1, Some(64_000)));
                let cid = renditions[0]["cid"].as_str().unwrap();
                told.insert(receipt["media_seq"].as_u64().unwrap(), format!("/ipfs/{cid}?filename=s.mpegts"));
            }
        }
    }
    assert!(seen.seen.len() > 10);
    for (number, entry) in &seen.seen {
        assert_eq!(told.get(number), Some(&entry.uri), "segment {number}");
    }
}

#[test]
fn the_default_rendition_stands_in_for_one_that_is_lost_or_no_longer_made() {
    let mut station = laddered(Station::new(6, 4));
    let store = Layout::new(station.path()).processed();
    let manifest = Manifest::parse(&fs::read(store.manifest()).unwrap()).unwrap();
    let id = &manifest.entry("music/a.wav").unwrap().id;
    let meta = Meta::parse(&fs::read(store.meta(id)).unwrap()).unwrap();
    assert_eq!(meta.renditions[1].bitrate, 64_000);
    for segment in &meta.renditions[1].segments {
        fs::remove_file(store.chunk(&chunk_name(&segment.cid))).unwrap();
    }
    station.run();
    let mut other = Observer::default();
    station.wait("the item that lacks a rendition", |station| {
        let (live, low) = both(station)?;
        other.see(low.clone());
        let of_a = |title: &str| title.split_once(',').is_some_and(|(_, title)| title == "a");
        let (of_a, others): (Vec<_>, Vec<_>) = live.segments.iter().partition(|(_, entry)| of_a(&entry.title));
        assert!(of_a.iter().all(|(number, entry)| low.segments[number].uri == entry.uri), "{}", low.text);
        assert!(others.iter().all(|(number, entry)| low.segments[number].uri != entry.uri), "{}", low.text);
        (of_a.len() >= 3 && others.len() >= 3).then_some(())
    });
    let said = station.wait("health to say so", |station| {
        let said = station.status()?["health"].as_str()?.to_owned();
        said.contains("music/a.wav").then_some(said)
    });
    assert!(said.contains("rendition"), "{said}");

    // Made anew without that rung: whoever plays its list hears the default one, and the master list names it no more.
    configure(&station, "[128000]");
    station.set_up();
    station.wait("the default rung alone", |station| {
        let (live, low) = both(station)?;
        other.see(low.clone());
        (stands_in(&live, &low) == live.segments.len()).then_some(())
    });
    let master = station.wait("the master list", |station| file(station, "master.m3u8"));
    assert_eq!(variants(&master).len(), 1, "{master}");
    station.kill();
    station.run();
    station.wait("its list after a kill", |station| both(station).map(|(_, low)| other.see(low)));
    assert_eq!(station.stop(), Some(0));
}

#[test]
fn a_station_of_one_rung_has_a_master_list_and_receipts_as_ever() {
    let mut station = Station::new(6, 4);
    furnish(&station);
    station.run();
    let master = station.wait("the master list", |station| file(station, "master.m3u8"));
    assert_eq!(variants(&master).iter().map(|(_, name)| name.as_str()).collect::<Vec<_>>(), ["live.m3u8"]);
    assert_eq!(station.stop(), Some(0));
    let ledger = fs::read_to_string(station.path().join("state/ledger/000001.jsonl")).unwrap();
    assert!(ledger.contains("\"kind\":\"segment\"") && !ledger.contains("renditions"), "{ledger}");
}

#[test]
fn a_mirror_has_the_lists_of_all_rungs() {
    let dht = Dht::start();
    let mut station = laddered(Station::among(6, 20, &[&dht.address]));
    station.run();
    let name = name_of(&station);
    let mut mirror = Station::mirror(&name, &dht.address);
    mirror.run();
    let mut default = Observer::default();
    let (live, low) = mirror.wait("both lists of the mirror", both);
    assert_eq!((frame(&live), stands_in(&live, &low)), (frame(&low), 0));
    for uri in low.segments.values().chain(live.segments.values()).map(|entry| &entry.uri) {
        assert!(mirror.get(uri).is_some(), "{uri} is not on the mirror");
    }
    assert_eq!(variants(&file(&mirror, "master.m3u8").unwrap()).len(), 2);
    default.see(low.clone());
    mirror.wait("the list of the rung to go on", |mirror| {
        let (_, next) = both(mirror)?;
        let there = next.last() > low.last();
        default.see(next);
        there.then_some(())
    });
    assert_eq!(mirror.stop(), Some(0));
    station.stop();
}
