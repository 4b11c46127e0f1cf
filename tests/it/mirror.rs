//! Mirrors, run by the real binary: a chain of them, each with nobody but the one before it to ask.

use std::{fs, thread, time::Duration};

use ipfs_radio::ipfs::{Key, lab::DhtServer};

use crate::{
    air::{Observer, furnished},
    station::{List, Station},
};

/// A server of the DHT that runs beside a test.
pub(crate) struct Dht {
    pub(crate) address: String,
    server: DhtServer,
    _runtime: tokio::runtime::Runtime,
}

impl Dht {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(DhtServer::start()).unwrap();
        Self { address: server.address().to_owned(), server, _runtime: runtime }
    }

    /// The newest record of a name, as text.
    fn record(&self, name: &str) -> Option<String> {
        let record = self.server.record(name.parse().unwrap())?;
        Some(String::from_utf8_lossy(record.bytes()).into_owned())
    }
}

pub(crate) fn name_of(station: &Station) -> String {
    let status = station.wait("the status", |station| station.get("/status.json"));
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    status["station"].as_str().unwrap().to_owned()
}

/// Both records, byte for byte but for what is no UTF-8, and the list.
fn shown(mirror: &Station, station: &str) -> Option<(String, String, String)> {
    let status: serde_json::Value = serde_json::from_str(&mirror.get("/status.json")?).ok()?;
    let stream = status["stream"].as_str()?;
    let record = |name: &str| mirror.get(&format!("/ipns/{name}?format=ipns-record"));
    Some((record(station)?, record(stream)?, mirror.get(&format!("/ipns/{stream}"))?))
}

#[test]
fn three_mirrors_hand_a_station_on_when_it_and_the_mirrors_before_are_gone() {
    let dht = Dht::start();
    let mut station = furnished(Station::among(6, 20, &[&dht.address]));
    station.run();
    let name = name_of(&station);
    let mut first = Station::mirror(&name, &dht.address);
    first.run();
    let mut observer = Observer::default();
    let begun = first.wait("the list of the first mirror", Station::list);
    observer.see(begun.clone());
    first.wait("it to go on", |first| {
        let list = first.list()?;
        let there = list.last() > begun.last();
        observer.see(list);
        there.then_some(())
    });
    let mut last = killed_while_mirrored(&mut station, &first, &name, &dht);
    let mut before = first;
    for _ in 0..2 {
        let mut next = Station::mirror(&name, &dht.address);
        next.run();
        let same = next.wait("the next mirror to show the same", |next| shown(next, &name).filter(|it| *it == last));
        before.kill();
        for line in same.2.lines().filter(|line| line.starts_with('/')) {
            assert!(next.get(line).is_some(), "{line} is not on the mirror");
        }
        (before, last) = (next, same);
    }
    let mut third = before;
    observer.see(third.list().unwrap());

    // Restarted without anybody left to ask, it shows the same.
    third.kill();
    third.run();
    assert_eq!(third.wait("the list after a kill", |third| shown(third, &name)), last);
    station.run();
    let until = observer.last.as_ref().map_or(0, List::last);
    third.wait("the station to be followed again", |third| {
        let list = third.list()?;
        let there = list.last() > until;
        observer.see(list);
        there.then_some(())
    });
    assert_eq!(third.stop(), Some(0), "a clean stop");
    station.stop();
}

/// Kills the station at a moment at which its mirror has all that it has told of, and gives what the mirror shows: what a
/// station told of and nobody has fetched dies with it, and then it is started once more.
fn killed_while_mirrored(station: &mut Station, mirror: &Station, name: &str, dht: &Dht) -> (String, String, String) {
    for _ in 0..10 {
        settled(mirror, name, dht);
        station.kill();
        for _ in 0..200 {
            if let Some(last) = newest(mirror, name, dht) {
                return last;
            }
            thread::sleep(Duration::from_millis(50));
        }
        station.run();
        station.wait("the station to be back", Station::list);
    }
    panic!("ten times it was killed before its mirror had the last root");
}

/// What a mirror shows once both records are the last that the DHT has taken.
fn settled(mirror: &Station, name: &str, dht: &Dht) -> (String, String, String) {
    mirror.wait("the last records", |mirror| newest(mirror, name, dht))
}

fn newest(mirror: &Station, name: &str, dht: &Dht) -> Option<(String, String, String)> {
    let now = shown(mirror, name)?;
    let status: serde_json::Value = serde_json::from_str(&mirror.get("/status.json")?).ok()?;
    let taken = [name, status["stream"].as_str()?].map(|name| dht.record(name));
    (taken == [Some(now.0.clone()), Some(now.1.clone())]).then_some(now)
}

#[test]
fn a_folder_is_a_station_or_a_mirror_and_a_name_is_checked() {
    let name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
    let other = Key::generate().name().to_string();
    let refused = |station: &Station, arguments: &[&str], words: &str| {
        let output = station.call(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    };
    let mut mirror = Station::new(6, 4);
    refused(&mirror, &["run", "--follow", "nonsense"], "no IPNS name");
    refused(&mirror, &["run", "--follow"], "--follow");
    refused(&mirror, &["run", "--no-setup", "--follow", name], "cannot be used with");
    assert!(!mirror.path().join("state").exists(), "a wrong word leaves nothing behind");

    mirror.follow(name);
    mirror.run();
    mirror.wait("the mirror's file", |mirror| mirror.path().join("state/follow.json").exists().then_some(()));
    let waits = mirror.wait("an answer in words", |mirror| mirror.words("/health"));
    assert!(waits.contains("not on air yet: looking for k51"), "{waits}");
    assert_eq!(mirror.stop(), Some(0));
    refused(&mirror, &["run"], &format!("a mirror of {name}"));
    refused(&mirror, &["run", "--follow", &other], &format!("follows {name}"));
    assert!(!mirror.path().join("state/keys/station.key").exists());

    let mut station = furnished(Station::new(6, 4));
    station.run();
    station.wait("a list", Station::list);
    station.stop();
    refused(&station, &["run", "--follow", name], "a station of its own");
    assert!(!station.path().join("state/follow.json").exists());
    fs::remove_dir_all(station.path().join("state")).unwrap();
}
