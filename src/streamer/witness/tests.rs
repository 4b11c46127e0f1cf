use tempfile::TempDir;

use super::*;
use crate::{
    ipfs::{
        Blocks, Key, Options, Store, View,
        lab::{DhtServer, HttpRouter, Mode, Wire},
    },
    radio::{
        segment::{RAW, cid_of},
        time::{Span, Time},
    },
};

const BOUND: Duration = Duration::from_secs(60);
const PACE: Pace = Pace {
    names: Duration::from_millis(100),
    blocks: Duration::from_millis(100),
    untold: Duration::from_millis(100),
    limit: Duration::from_secs(2),
};

struct Ours {
    witness: Witness,
    stream: Key,
    store: Store,
    _folder: TempDir,
}

async fn ours(bootstrap: &[String], routers: &[String]) -> Ours {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let options = Options::check(&[], &["/ip4/127.0.0.1/tcp/4001".into()], bootstrap).unwrap();
    let node = Node::start(options, &Key::generate(), &store).await.unwrap();
    let (stream, station) = (Key::generate(), Key::generate());
    let witness = Witness {
        node,
        routers: Router::check(routers).unwrap(),
        stream: stream.name(),
        station: station.name(),
        calls: !bootstrap.is_empty(),
        pace: PACE,
    };
    Ours { witness, stream, store, _folder: folder }
}

fn record(key: &Key, sequence: u64) -> Record {
    let value = format!("/ipfs/{}", cid_of(RAW, b"x"));
    let (validity, ttl) = (Time::from_millis(4_000_000_000_000), Span::seconds(60));
    Record::sign(key, &View { value, sequence, validity, ttl, numbers: None }).unwrap()
}

async fn until(reports: &mut mpsc::Receiver<Report>, wanted: impl Fn(&Report) -> bool) -> Report {
    let found = async {
        loop {
            let report = reports.recv().await.unwrap();
            if wanted(&report) {
                return report;
            }
        }
    };
    timeout(BOUND, found).await.expect("nothing like it is reported")
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_blocks_are_seen_through_others() {
    let server = DhtServer::start().await.unwrap();
    let ours = ours(&[server.address().to_owned()], &[]).await;
    let (put, stop) = (watch::Sender::new(Sequences { stream: 9, station: 0 }), CancellationToken::new());
    let (reporting, mut reports) = mpsc::channel(8);
    let running = tokio::spawn(ours.witness.clone().run(put.subscribe(), reporting, stop.clone()));
    ours.witness.node.watch().wait_for(|status| status.dht_peers > 0).await.unwrap();
    ours.witness.node.publish(&record(&ours.stream, 7)).await.unwrap();
    let seen = until(&mut reports, |report| matches!(report, Report::Name { .. })).await;
    assert_eq!(seen, Report::Name { which: Which::Stream, seen: 7, put: 9 });

    let block = (cid_of(RAW, b"a block"), bytes::Bytes::from_static(b"a block"));
    ours.store.put(vec![block.clone()]).await.unwrap();
    ours.witness.node.provide(vec![block.0]).await.unwrap();
    until(&mut reports, |report| *report == Report::TellOf(true)).await;
    server.freeze();
    until(&mut reports, |report| *report == Report::TellOf(false)).await;
    stop.cancel();
    timeout(BOUND, running).await.expect("it does not stop").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_of_the_dht_and_the_routers_counts_and_a_dead_one_does_not() {
    let (server, behind, ahead) =
        (DhtServer::start().await.unwrap(), HttpRouter::start().await.unwrap(), HttpRouter::start().await.unwrap());
    let wire = Wire::to(ahead.local()).await.unwrap();
    let (wired, limit) = (format!("http://{}", wire.local()), Duration::from_secs(2));
    let ours = ours(&[server.address().to_owned()], &[behind.url(), wired]).await;
    let newest = async || ours.witness.newest(Which::Stream, limit).await;
    assert_eq!(newest().await.unwrap(), None);
    ours.witness.node.publish(&record(&ours.stream, 2)).await.unwrap();
    for (router, sequence) in [(&behind, 1), (&ahead, 3)] {
        Router::check(&[router.url()]).unwrap()[0].put(&record(&ours.stream, sequence)).await.unwrap();
    }
    assert_eq!(newest().await.unwrap(), Some(record(&ours.stream, 3)));
    wire.set(Mode::Hang);
    assert_eq!(newest().await.unwrap(), Some(record(&ours.stream, 2)));
    server.freeze();
    assert_eq!(newest().await.unwrap(), Some(record(&ours.stream, 1)));
    drop(behind);
    // It ends with its connections, a little later.
    let gone = async { while newest().await.unwrap().is_some() {} };
    timeout(BOUND, gone).await.expect("a router that has gone still answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_alone_is_enough_to_be_told_of_and_nobody_is_asked_without_any() {
    let router = HttpRouter::start().await.unwrap();
    let ours = ours(&[], &[router.url()]).await;
    let cid = cid_of(RAW, b"a block");
    assert!(!ours.witness.tell_of(cid).await);
    router.tell(&cid, ours.witness.node.id());
    assert!(ours.witness.tell_of(cid).await);

    let alone = Witness { routers: vec![], ..ours.witness };
    assert!(alone.newest(Which::Stream, BOUND).await.is_err());
    let (put, (reporting, _reports)) = (watch::Sender::new(Sequences::default()), mpsc::channel(1));
    timeout(BOUND, alone.run(put.subscribe(), reporting, CancellationToken::new())).await.expect("it asks somebody");
}
