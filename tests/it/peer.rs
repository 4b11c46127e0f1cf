//! The station among others: a server of the DHT that calls back, and a router, both on loopback.

use std::fs;

use ipfs_radio::{
    ipfs::{
        Key, Record, Router, View,
        lab::{DhtServer, Helps, HttpRouter},
    },
    radio::time::{Span, Time},
};
use serde_json::Value;

use crate::station::Station;

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
