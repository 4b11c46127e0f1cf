//! The station among others: servers of the DHT, good ones and bad ones, and a router, all on loopback.

use std::{fs, net::SocketAddr, time::Duration};

use ipfs_radio::{
    ipfs::{
        Key, Record, Router, View,
        lab::{DhtServer, Helps, HttpRouter, Mode, Wire},
    },
    radio::time::{Span, Time},
};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{
    air::{Observer, furnished},
    station::{Entry, Station},
};

/// Segments of a second that are listed before they air.
const LOOK_AHEAD: u64 = 10;
/// By how many of them a busy machine may be late.
const SLACK: u64 = 3;

#[test]
fn a_station_is_found_through_others_and_yields_to_another_node_with_its_keys() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let helps = Helps { calls_back: true, ..Helps::default() };
    let (dht, router) = runtime.block_on(async {
        let dht = DhtServer::start_with(&Key::generate(), "/ip4/127.0.0.1/tcp/0", helps).await.unwrap();
        (dht, HttpRouter::start().await.unwrap())
    });
    let mut station = Station::new(10, 10);
    let path = station.path().join("streaming.toml");
    let text = fs::read_to_string(&path).unwrap();
    let peer = format!("bootstrap = [{:?}]\ndelegated_routers = [{:?}]", dht.address(), router.url());
    let text = text.replace("bootstrap = []\ndelegated_routers = []", &peer) + "[ipns]\npublish_interval_seconds = 1\n";
    fs::write(&path, text).unwrap();
    station.tone("music/a.wav", 440, 20_000);
    station.set_up();
    station.run();

    let status = station.wait("being found", |station| {
        let status: Value = serde_json::from_str(&station.get("/status.json")?).ok()?;
        let network = &status["network"];
        let seen = |name: &str| network[name]["seen"].as_u64().is_some_and(|seen| seen > 0);
        (status["findable"] == true && seen("stream") && seen("station")).then_some(status)
    });
    let network = &status["network"];
    assert_eq!((&network["state"], &network["reach"][0]["proof"]), (&"yes".into(), &"called".into()), "{network}");
    assert_eq!(network["routers"][0]["state"], "ok");
    assert!(network["told"]["in_time"].as_u64().unwrap() > 0, "{network}");
    assert!(network["stream"]["behind_seconds"].as_f64().unwrap() < 30.0, "{network}");
    assert_eq!(status["health"], "ok");

    let key = Key::load_or_create(&station.path().join("state/keys/stream.key"), false).unwrap();
    let (ours, told) = (dht.record(key.name()).unwrap(), router.record(key.name()).unwrap());
    assert_eq!(told.name(), ours.name());
    let sequence = ours.view().sequence + 1_000_000_000;
    let validity = Time::from_millis(sequence);
    let view = View { value: ours.view().value.clone(), sequence, validity, ttl: Span::seconds(60), numbers: None };
    let other = Record::sign(&key, &view).unwrap();
    runtime.block_on(async { Router::check(&[router.url()]).unwrap()[0].put(&other).await }).unwrap();
    station.wait("the other node being seen", |station| {
        let status: Value = serde_json::from_str(&station.get("/status.json")?).ok()?;
        status["health"].as_str()?.contains("another node publishes").then_some(())
    });
    let (before, list) = (dht.record(key.name()), station.list().unwrap());
    station.wait("the air going on", |station| station.list().filter(|next| next.last() > list.last() + 5));
    assert_eq!(dht.record(key.name()), before, "the name rests");
    assert_eq!(station.stop(), Some(0));
}

/// Servers of the DHT, each behind a wire but for the last one, which comes and goes.
struct Servers {
    runtime: Runtime,
    wired: Vec<(DhtServer, Wire)>,
    identity: Key,
    place: String,
    last: Option<DhtServer>,
    addresses: Vec<String>,
}

impl Servers {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (wired, addresses): (Vec<_>, Vec<_>) = runtime.block_on(async {
            let mut wired = Vec::new();
            for _ in 0..3 {
                let server = DhtServer::start().await.unwrap();
                let (place, peer) = server.address().split_once("/p2p/").unwrap();
                let port = place.rsplit_once('/').unwrap().1.parse().unwrap();
                let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], port))).await.unwrap();
                let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{peer}", wire.local().port());
                wired.push(((server, wire), address));
            }
            wired.into_iter().unzip()
        });
        // Its place is known before it is there.
        let identity = Key::generate();
        let seat = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = format!("/ip4/127.0.0.1/tcp/{}", seat.local_addr().unwrap().port());
        let last = format!("{place}/p2p/{}", identity.peer_id());
        Self { runtime, wired, identity, place, last: None, addresses: addresses.into_iter().chain([last]).collect() }
    }

    fn are_bad(&mut self) {
        let bad = [Mode::Hang, Mode::Drip(Duration::from_millis(20)), Mode::Refuse];
        self.wired.iter().zip(bad).for_each(|((_, wire), mode)| wire.set(mode));
        if let Some(last) = self.last.take() {
            self.runtime.block_on(last.vanish());
        }
    }

    fn are_good(&mut self) {
        self.wired.iter().for_each(|(_, wire)| wire.set(Mode::Good));
        let started = self.runtime.block_on(DhtServer::start_at(&self.identity, &self.place));
        self.last = Some(started.unwrap());
    }

    /// The newest record of the station's stream that any of them took, if one was told as well who has that list.
    fn told_of(&self, station: &Station) -> Option<Record> {
        let name = station.status()?["stream"].as_str()?.parse().unwrap();
        let servers = || self.wired.iter().map(|(server, _)| server).chain(&self.last);
        let newest = servers().filter_map(|server| server.record(name)).max_by_key(|record| record.view().sequence)?;
        let list = newest.view().value.strip_prefix("/ipfs/")?.parse().unwrap();
        servers().any(|server| server.provider(&list).is_some()).then_some(newest)
    }
}

#[test]
fn a_partition_is_told_with_what_to_do_and_heals() {
    let mut servers = Servers::start();
    servers.are_good();
    // The one that can go: whoever has met another behind a wire knows its own address, too.
    let last = servers.addresses.last().unwrap();
    let mut station = furnished(Station::among(20, LOOK_AHEAD as u32, &[last]));
    station.run();
    let health = |wanted: &dyn Fn(&str) -> bool| {
        station.wait("another health", |station| {
            let health = station.status()?["health"].as_str()?.to_owned();
            wanted(&health).then_some(health)
        })
    };
    station.wait("the name being put", |station| servers.told_of(station));
    assert_eq!(health(&|health| health == "ok"), "ok");
    servers.are_bad();
    let said = health(&|health| health != "ok");
    for words in ["network: ", "the stream name: nobody has taken its record since 20", "`[peer] bootstrap`"] {
        assert!(said.contains(words), "{said}");
    }
    let words = station.words("/health").unwrap();
    assert!(words.contains("nobody has taken its record"), "{words}");
    servers.are_good();
    health(&|health| health == "ok");
    assert_eq!(station.get("/health").unwrap(), "ok\n");
    assert_eq!(station.stop(), Some(0));
}

/// Looks at what is on air: by the station's own clock the look-ahead is listed.
fn look(station: &Station, observer: &mut Observer) -> Option<u64> {
    let on_air = station.status()?["media_sequence"].as_u64()?;
    let list = station.list()?;
    let last = list.last();
    assert!(last + 1 + SLACK >= on_air + LOOK_AHEAD, "{on_air} is on air, listed up to {last}");
    observer.see(list);
    Some(last)
}

/// What was seen, with its number: what the network must have no part in. Its dates go on without a jump.
fn heard(observer: &Observer) -> Vec<(u64, bool, String)> {
    let date = |entry: &Entry| Time::parse(&entry.date).unwrap().millis();
    for (one, next) in observer.seen.values().zip(observer.seen.values().skip(1)) {
        let lasts = one.title.split(',').next().unwrap().parse::<f64>().unwrap() * 1_000.0;
        let off = (date(next) - date(one)) as f64 - lasts;
        assert!(off.abs() < 1.5, "the dates jump by {off} ms behind {one:?}"); // Dates are whole milliseconds.
    }
    let first = observer.seen.first_key_value().map_or(0, |(number, _)| *number);
    observer.seen.iter().map(|(number, entry)| (number - first, entry.disc, entry.title.clone())).collect()
}

#[test]
fn the_air_goes_on_number_for_number_whatever_the_dht_does() {
    let mut servers = Servers::start();
    servers.are_bad();
    let bootstrap: Vec<&str> = servers.addresses.iter().map(String::as_str).collect();
    let mut station = furnished(Station::among(20, LOOK_AHEAD as u32, &bootstrap));
    let mut alone = furnished(Station::new(20, LOOK_AHEAD as u32));
    for station in [&mut station, &mut alone] {
        let order = "music/a.wav\nmusic/b.wav\nmusic/c.wav\n";
        fs::write(station.path().join("processed/playlist.m3u"), order).unwrap();
        station.run();
    }
    let (mut among, mut control) = (Observer::default(), Observer::default());
    for _ in 0..2 {
        servers.are_bad();
        let from = station.wait("a list", |station| look(station, &mut among));
        station.wait("the air going on", |station| {
            look(&alone, &mut control);
            look(station, &mut among).filter(|last| *last >= from + 12)
        });
        let put = servers.told_of(&station).map_or(0, |record| record.view().sequence);
        servers.are_good();
        station.wait("the name being put again", |station| {
            look(&alone, &mut control);
            look(station, &mut among);
            servers.told_of(station).filter(|record| record.view().sequence > put)
        });
    }
    let (among, control) = (heard(&among), heard(&control));
    let both = among.len().min(control.len());
    assert!(both >= 30, "{both} segments were seen of both");
    assert_eq!(among[..both], control[..both], "the same as with nobody there");
    assert_eq!(station.stop(), Some(0));
    alone.stop();
}
