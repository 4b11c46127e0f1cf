//! The picture of an item on the air, run by the real binary.

use std::{fs, path::Path};

use ipfs_radio::disk::Layout;

use crate::{
    air::furnish,
    mirror::{Dht, name_of},
    station::Station,
};

const PNG: &[u8] = b"\x89PNG";

/// A station with a recording that has a picture, and others that have none.
fn pictured(station: Station) -> Station {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stereo.mp3");
    fs::copy(fixture, station.path().join("music/d.mp3")).unwrap();
    furnish(&station);
    station
}

/// The path of the picture that the live list names, if it names one.
fn named(station: &Station) -> Option<String> {
    let list = station.list()?;
    let line = list.text.lines().find_map(|line| line.split_once(",X-COVER=\""))?;
    Some(line.1.split('"').next()?.to_owned())
}

/// The picture as others find it: below the root, in the folder of which the list tells.
fn in_root(station: &Station, path: &str) -> Option<Vec<u8>> {
    let status = station.status()?;
    station.get_bytes(&format!("/ipns/{}{path}", status["station"].as_str()?))
}

#[test]
fn a_picture_is_in_the_root_named_in_the_list_and_in_what_plays_now() {
    let dht = Dht::start();
    let mut station = pictured(Station::among(60, 10, &[&dht.address]));
    station.run();
    let path = station.wait("a list with a picture", named);
    let picture = station.wait("the picture in the root", |station| in_root(station, &path));
    assert!(picture.starts_with(PNG), "{path}");
    assert_eq!(station.get_bytes(&path), Some(picture.clone()));
    station.wait("the item with the picture to be on air", |station| {
        let now = &station.status()?["now"];
        let told: serde_json::Value = serde_json::from_str(&station.get("/now.json")?).ok()?;
        // Another item may have begun between the two; it need not have a picture either.
        if now["title"] == told["now"]["title"] {
            assert_eq!(now["cover"], told["now"]["cover"]);
        }
        assert!(now["cover"].is_null() || now["cover"] == path.as_str(), "{now}");
        (now["cover"] == path.as_str()).then_some(())
    });

    let mut mirror = Station::mirror(&name_of(&station), &dht.address);
    mirror.run();
    mirror.wait("the picture on the mirror", |mirror| {
        let told: serde_json::Value = serde_json::from_str(&mirror.get("/now.json")?).ok()?;
        let all = [&told["now"], &told["next"]].into_iter().chain(told["recent"].as_array()?);
        let is_told = all.into_iter().any(|airing| airing["cover"] == path.as_str());
        (is_told && in_root(mirror, &path)? == picture).then_some(())
    });

    // What the repo has is there after a crash, whatever became of the folder. Without that the item does not come again: it
    // has to be one that the list does not let go before the next start.
    station.wait("the item with the picture to be on air again", |station| {
        (station.status()?["now"]["cover"] == path.as_str()).then_some(())
    });
    station.kill();
    fs::rename(station.path().join("processed"), station.path().join("gone")).unwrap();
    station.run();
    station.wait("the picture after a crash", |station| {
        (named(station)? == path && in_root(station, &path)? == picture).then_some(())
    });
}

#[test]
fn an_item_whose_picture_is_damaged_airs_without_it_and_says_so() {
    let mut station = pictured(Station::new(6, 4));
    let items = Layout::new(station.path()).processed().items();
    let covers = fs::read_dir(items).unwrap().map(|item| item.unwrap().path().join("cover"));
    let cover = covers.filter(|cover| cover.exists()).collect::<Vec<_>>();
    let [cover] = &cover[..] else { panic!("one item has a picture: {cover:?}") };
    fs::write(cover, b"another one").unwrap();
    station.run();
    station.wait("the item to be told of without a picture", |station| {
        assert_eq!(named(station), None);
        let health = station.words("/health")?;
        station.list()?.segments.values().find(|segment| segment.title.contains("Sweep"))?;
        (health.contains("cover is damaged") && health.contains("airs without its picture")).then_some(())
    });
}
