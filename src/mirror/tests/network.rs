//! A mirror among peers on loopback, and a station that is played by the test.

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::ipfs::{
    Blocks, Record, View,
    lab::{Answers, DhtServer, HttpRouter},
};

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
/// Nothing here takes so long; what hangs fails instead.
const BOUND: Duration = Duration::from_secs(60);

/// A station that publishes what it is told to.
struct Stage {
    server: Key,
    dht: DhtServer,
    node: Node,
    store: Store,
    station: Key,
    stream: Key,
    sequence: u64,
    _folder: TempDir,
}

fn options(bootstrap: &[&str], announce: bool) -> Options {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own = format!("/ip4/127.0.0.1/tcp/{port}");
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    let (listen, announced) = if announce { (vec![own.clone()], vec![own]) } else { (list(&[LOOPBACK]), vec![]) };
    Options::check(&listen, &announced, &list(bootstrap)).unwrap()
}

fn record(key: &Key, value: Cid, sequence: u64, validity: Time) -> Record {
    let value = format!("/ipfs/{value}");
    Record::sign(key, &View { value, sequence, validity, ttl: Span::seconds(1), numbers: None }).unwrap()
}

impl Stage {
    async fn new() -> Self {
        let server = Key::generate();
        let dht = DhtServer::start_at(&server, LOOPBACK).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let node = Node::start(options(&[dht.address()], true), &Key::generate(), &store).await.unwrap();
        timeout(BOUND, node.watch().wait_for(|status| status.dht_peers > 0)).await.unwrap().unwrap();
        let (station, stream) = (Key::generate(), Key::generate());
        Self { server, dht, node, store, station, stream, sequence: 0, _folder: folder }
    }

    fn publication(&self, first: u64) -> Publication {
        Publication::new(&self.station.name().to_string(), &self.stream.name().to_string(), first)
    }

    async fn publish(&mut self, made: &Made) -> [Record; 2] {
        self.sequence += 1;
        self.store.put(made.blocks.clone()).await.unwrap();
        self.node.provide(vec![made.root, made.list]).await.unwrap();
        let mut records = Vec::new();
        for (key, value) in [(&self.station, made.root), (&self.stream, made.list)] {
            let record = record(key, value, self.sequence, Time::from_millis(4_000_000_000_000));
            timeout(BOUND, self.node.publish(&record)).await.unwrap().unwrap();
            records.push(record);
        }
        records.try_into().unwrap()
    }

    /// A mirror in `folder`; without a network it has nobody to ask.
    async fn mirror(&self, folder: &TempDir, among: bool) -> (Mirror, CancellationToken) {
        let layout = Layout::new(folder.path());
        layout.create_keys().unwrap();
        let lock = Lock::take(&layout.state_lock()).unwrap();
        let bootstrap = if among { vec![self.dht.address()] } else { vec![] };
        let settings = Settings {
            layout,
            station: self.station.name(),
            peer: options(&bootstrap, among),
            routers: vec![],
            keep_segments: Span::seconds(3_600),
            keep_lists: Span::seconds(3_600),
            gateways: vec!["http://here/ipns/{stream}".into()],
        };
        let stop = CancellationToken::new();
        (start(settings, lock, stop.clone()).await.unwrap(), stop)
    }
}

async fn ended(mirror: Mirror, stop: CancellationToken) {
    stop.cancel();
    timeout(BOUND, mirror.running).await.unwrap().unwrap().unwrap();
}

/// Waits until the mirror shows this root.
async fn shows(mirror: &Mirror, made: &Made) -> Arc<OnAir> {
    let mut on_air = mirror.on_air.clone();
    let wanted = |air: &Option<Arc<OnAir>>| {
        air.as_ref().is_some_and(|air| air.root_cid == made.root && air.list_cid == made.list)
    };
    let seen = timeout(BOUND, on_air.wait_for(wanted)).await;
    seen.unwrap_or_else(|_| panic!("not shown: {}", *mirror.health.borrow())).unwrap().clone().unwrap()
}

async fn says(mirror: &Mirror, words: &str) {
    let mut health = mirror.health.clone();
    let heard = timeout(BOUND, health.wait_for(|health| health.contains(words))).await;
    assert!(heard.is_ok(), "{words}: {}", *mirror.health.borrow());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_store_has_broken_ends_with_words() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mirror, _stop) = stage.mirror(&folder, false).await;
    mirror.blocks.blocks.close().await;
    let ended = timeout(BOUND, mirror.running).await.unwrap().unwrap();
    assert!(ended.unwrap_err().to_string().contains("the block store was broken off by a bug"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_is_mirrored_by_its_name_and_goes_on_being_so_without_it() {
    let mut stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mirror, stop) = stage.mirror(&folder, true).await;
    let first = stage.publication(1).make();
    stage.publish(&first).await;
    let air = shows(&mirror, &first).await;
    assert_eq!(air.list, first.text);
    assert_eq!(air.status.gateways, [format!("http://here/ipns/{}", stage.stream.name())]);
    let second = stage.publication(3).make();
    let records = stage.publish(&second).await;
    shows(&mirror, &second).await;
    let shown = mirror.records.borrow().clone();
    assert_eq!(shown.station.as_ref(), Some(records[0].bytes()), "byte for byte");
    assert_eq!(shown.stream.as_ref(), Some(records[1].bytes()), "byte for byte");
    for (cid, bytes) in first.blocks.iter().chain(&second.blocks) {
        assert_eq!(mirror.blocks.get(*cid).await.unwrap().as_ref(), Some(bytes));
    }
    let told = Told { title: "Radio".into(), stream: stage.stream.name().to_string() };
    assert_eq!(*mirror.told.borrow(), Some(told));
    ended(mirror, stop).await;

    // Neither station nor network: what was verified is shown at once.
    let (mirror, stop) = stage.mirror(&folder, false).await;
    shows(&mirror, &second).await;
    assert_eq!(mirror.records.borrow().station.as_ref(), Some(records[0].bytes()));
    for (cid, bytes) in &second.blocks {
        assert_eq!(mirror.blocks.get(*cid).await.unwrap().as_ref(), Some(bytes));
    }
    ended(mirror, stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_hostile_station_publishes_is_named_and_never_shown() {
    let mut stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mirror, stop) = stage.mirror(&folder, true).await;
    let good = stage.publication(100).make();
    let records = stage.publish(&good).await;
    shows(&mirror, &good).await;
    let other = serde_json::json!({ "name": "x", "stream": stage.stream.name().to_string(), "station": "k51other" });
    let evil: Vec<(Publication, &str)> = vec![
        (Publication { without: Some("station.json"), ..stage.publication(101) }, "no station.json"),
        (Publication { station_json: Some(other.to_string()), ..stage.publication(102) }, "another station"),
        (Publication { left_out: 2, ..stage.publication(103) }, "names segment 103, which is not in ipfs/"),
        (Publication { list: Some("#EXTM3U\nhttp://elsewhere/x.ts\n".into()), ..stage.publication(104) }, "is refused"),
        (stage.publication(42), "goes back from 100–107 to 42–49"),
    ];
    for (publication, words) in evil {
        let made = publication.make();
        stage.publish(&made).await;
        says(&mirror, words).await;
        says(&mirror, "the last good one stays").await;
        let air = mirror.on_air.borrow().clone().unwrap();
        assert_eq!((air.root_cid, air.list_cid), (good.root, good.list), "{words}");
        assert_eq!(mirror.records.borrow().station.as_ref(), Some(records[0].bytes()), "{words}");
        assert_eq!(mirror.blocks.get(made.root).await.unwrap(), None, "{words}: nothing of it is served");
    }
    let again = stage.publication(105).make();
    stage.publish(&again).await;
    shows(&mirror, &again).await;
    ended(mirror, stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_state_goes_on_being_served_and_is_told() {
    let mut stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mirror, stop) = stage.mirror(&folder, true).await;
    let made = stage.publication(1).make();
    stage.publish(&made).await;
    shows(&mirror, &made).await;
    ended(mirror, stop).await;

    let path = Layout::new(folder.path()).follow();
    let mut saved = Saved::read(&std::fs::read(&path).unwrap()).unwrap();
    let over = clock::wall().minus(Span::seconds(60));
    let old = [(&stage.station, made.root), (&stage.stream, made.list)].map(|(key, value)| record(key, value, 2, over));
    saved.root.as_mut().unwrap().record = old[0].bytes().to_vec().into();
    saved.list.as_mut().unwrap().record = old[1].bytes().to_vec().into();
    std::fs::write(&path, saved.write()).unwrap();
    let (mirror, stop) = stage.mirror(&folder, false).await;
    shows(&mirror, &made).await;
    says(&mirror, "the last verified state is served").await;
    assert_eq!(mirror.records.borrow().stream.as_ref(), Some(old[1].bytes()));
    assert!(mirror.blocks.get(made.root).await.unwrap().is_some());
    ended(mirror, stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_network_lost_are_put_again() {
    let mut stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (mirror, stop) = stage.mirror(&folder, true).await;
    let made = stage.publication(1).make();
    let records = stage.publish(&made).await;
    shows(&mirror, &made).await;

    let listen = stage.dht.address().split("/p2p/").next().unwrap().to_owned();
    stage.dht.vanish().await;
    let dht = DhtServer::start_at(&stage.server, &listen).await.unwrap();
    let again = async {
        while dht.record(stage.station.name()).as_ref() != Some(&records[0])
            || dht.record(stage.stream.name()).as_ref() != Some(&records[1])
        {
            time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(BOUND, again).await.expect("nothing was put again");
    ended(mirror, stop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_asked_of_the_dht_and_of_routers_and_the_newest_record_wins() {
    let stage = Stage::new().await;
    let (one, two) = (HttpRouter::start().await.unwrap(), HttpRouter::start().await.unwrap());
    let routers = Router::check(&[one.url(), two.url()]).unwrap();
    let name = stage.station.name();
    let ask = async || timeout(BOUND, names::resolve(&stage.node, &routers, name)).await.unwrap();
    assert_eq!(ask().await, Ok(None));
    let of = |sequence| record(&stage.station, raw("x").0, sequence, Time::from_millis(4_000_000_000_000));
    routers[0].put(&of(7)).await.unwrap();
    assert_eq!(ask().await, Ok(Some(of(7))));
    timeout(BOUND, stage.node.publish(&of(8))).await.unwrap().unwrap();
    assert_eq!(ask().await, Ok(Some(of(8))));
    let put = timeout(BOUND, names::put(&stage.node, &routers, name, &state::said(&of(9)))).await.unwrap();
    assert_eq!(put.unwrap().sequence, 9);
    assert_eq!([one.record(name), two.record(name), stage.dht.record(name)], [Some(of(9)), Some(of(9)), Some(of(9))]);
    one.answer(Answers::Status(500));
    two.answer(Answers::Endlessly);
    assert_eq!(ask().await, Ok(Some(of(9))));
    let broken = Router::check(&[one.url()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let alone = Node::start(options(&[], false), &Key::generate(), &store).await.unwrap();
    assert!(timeout(BOUND, names::resolve(&alone, &broken, name)).await.unwrap().unwrap_err().contains("500"));
    let said = state::said(&of(9));
    let nowhere = names::put(&alone, &broken, name, &said);
    assert!(timeout(BOUND, nowhere).await.unwrap().unwrap_err().contains("500"));
    alone.stop().await;
}

#[tokio::test]
async fn a_folder_is_a_station_or_a_mirror_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    let (one, two) = (Key::generate().name(), Key::generate().name());
    check_folder(&layout, Some(one)).unwrap();
    check_folder(&layout, None).unwrap();
    layout.create_keys().unwrap();
    state::load(&layout.follow(), one).unwrap();
    check_folder(&layout, Some(one)).unwrap();
    let words = |follow| check_folder(&layout, follow).unwrap_err().to_string();
    assert!(words(None).contains(&format!("a mirror of {one}")) && words(None).contains("--follow"));
    assert!(words(Some(two)).contains(&format!("follows {one}")));
    std::fs::write(layout.follow(), "{").unwrap();
    assert!(words(Some(one)).contains("cannot be used"));
    std::fs::remove_file(layout.follow()).unwrap();
    Key::generate().save_new(&layout.stream_key()).unwrap();
    assert!(words(Some(one)).contains("a station of its own"));
    check_folder(&layout, None).unwrap();
}

#[tokio::test]
async fn a_saved_record_that_another_key_signed_is_refused() {
    let (one, two) = (Key::generate(), Key::generate());
    let saved = |key: &Key| {
        let record = record(key, raw("x").0, 1, Time::from_millis(4_000_000_000_000)).bytes().to_vec().into();
        let extent = crate::radio::follow::Extent { first: 1, last: 2, ends: Time(0) };
        let root = Some(crate::radio::follow::SavedName { record, extent });
        Saved { root, ..Saved::new(&one.name().to_string()) }
    };
    let path = std::path::Path::new("follow.json");
    let (root, _) = state::verified(path, &saved(&one), one.name()).unwrap();
    assert_eq!(root.unwrap().sequence, 1);
    assert!(state::verified(path, &saved(&two), one.name()).unwrap_err().to_string().contains("cannot be used"));
}
