//! The node among others, on loopback.

use std::future::Future;

use bytes::Bytes;
use futures::FutureExt;
use tempfile::TempDir;

use super::*;
use crate::{
    ipfs::{
        Blocks,
        lab::{self, DhtServer},
        record::View,
    },
    radio::{
        segment::{RAW, cid_of},
        time::{Span, Time},
    },
};

mod fetch;
mod reach;

const LOOPBACK: &str = "/ip4/127.0.0.1/tcp/0";
/// Nothing here takes so long; what hangs fails instead.
const BOUND: Duration = Duration::from_secs(60);

/// A node of ours with its store in a folder that goes with it.
struct Station {
    node: Node,
    store: Store,
    key: Key,
    _folder: TempDir,
}

fn options(listen: &[&str], announce: &[&str], bootstrap: &[&str]) -> Options {
    let list = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    Options::check(&list(listen), &list(announce), &list(bootstrap)).unwrap()
}

async fn station(options: Options) -> Station {
    let folder = tempfile::tempdir().unwrap();
    let (key, store) = (Key::generate(), Store::open(folder.path()).await.unwrap());
    let node = Node::start(options, &key, &store).await.unwrap();
    Station { node, store, key, _folder: folder }
}

fn record(key: &Key, sequence: u64) -> Record {
    let value = format!("/ipfs/{}", cid_of(RAW, &sequence.to_be_bytes()));
    let (validity, ttl) = (Time::from_millis(4_000_000_000_000), Span::seconds(60));
    Record::sign(key, &View { value, sequence, validity, ttl, numbers: None }).unwrap()
}

fn cids(numbers: std::ops::Range<u32>) -> Vec<Cid> {
    numbers.map(|number| cid_of(RAW, &number.to_be_bytes())).collect()
}

async fn bounded<T>(work: impl Future<Output = T>) -> T {
    timeout(BOUND, work).await.expect("it hangs")
}

async fn until(node: &Node, wanted: impl FnMut(&Status) -> bool) -> Status {
    bounded(node.watch().wait_for(wanted)).await.unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_is_told() {
    let ours = station(options(&[], &[], &[])).await;
    assert!(ours.node.ended().now_or_never().is_none());
    ours.node.task.lock().await.as_ref().unwrap().abort();
    bounded(ours.node.ended()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_reaches_the_dht_and_a_third_peer_reads_it() {
    let server = DhtServer::start().await.unwrap();
    let ours = station(options(&[LOOPBACK], &[], &[server.address()])).await;
    until(&ours.node, |status| status.dht_peers > 0).await;
    let stream = Key::generate();
    for sequence in [7, 8] {
        let published = bounded(ours.node.publish(&record(&stream, sequence))).await.unwrap();
        assert_eq!(published.sequence, sequence);
    }
    assert_eq!(server.record(stream.name()), Some(record(&stream, 8)));

    let other = station(options(&[], &[], &[server.address()])).await;
    let read = bounded(other.node.lookup(stream.name(), BOUND)).await.unwrap();
    assert_eq!(read, Some(record(&stream, 8)));
    assert_eq!(bounded(other.node.lookup(Key::generate().name(), BOUND)).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_takes_the_newest_of_several_answers_and_not_our_own_memory() {
    let (behind, ahead) = (DhtServer::start().await.unwrap(), DhtServer::start().await.unwrap());
    let stream = Key::generate();
    for (server, sequence) in [(&behind, 1), (&ahead, 2)] {
        let to_one = station(options(&[], &[], &[server.address()])).await;
        until(&to_one.node, |status| status.dht_peers > 0).await;
        bounded(to_one.node.publish(&record(&stream, sequence))).await.unwrap();
    }
    let ours = station(options(&[], &[], &[behind.address(), ahead.address()])).await;
    until(&ours.node, |status| status.dht_peers == 2).await;
    assert_eq!(bounded(ours.node.lookup(stream.name(), BOUND)).await.unwrap(), Some(record(&stream, 2)));

    bounded(ours.node.publish(&record(&stream, 9))).await.unwrap();
    behind.freeze();
    ahead.freeze();
    let alone = bounded(ours.node.lookup(stream.name(), Duration::from_secs(1))).await;
    assert!(matches!(alone, Ok(None)), "{alone:?} can only be our own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_goes_to_every_server_that_is_close_not_to_the_first_that_answers() {
    let mut servers = Vec::new();
    for _ in 0..8 {
        servers.push(DhtServer::start().await.unwrap());
    }
    let addresses: Vec<_> = servers.iter().map(DhtServer::address).collect();
    let ours = station(options(&[], &[], &addresses)).await;
    until(&ours.node, |status| status.dht_peers == 8).await;
    let published = record(&ours.key, 1);
    bounded(ours.node.publish(&published)).await.unwrap();
    let arrived = async {
        while servers.iter().any(|server| server.record(ours.key.name()) != Some(published.clone())) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    bounded(arrived).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provided_block_is_found_with_its_address_and_fetched() {
    let server = DhtServer::start().await.unwrap();
    let announced = "/ip4/127.0.0.1/tcp/4001";
    let ours = station(options(&[LOOPBACK], &[announced], &[server.address()])).await;
    assert_eq!(until(&ours.node, |status| status.dht_at_hand).await.findable(false), Findable::NotTold);
    let block = (cid_of(RAW, b"a segment"), Bytes::from_static(b"a segment"));
    ours.store.put(vec![block.clone()]).await.unwrap();
    ours.node.provide(vec![block.0]).await.unwrap();
    until(&ours.node, |status| (status.provided.done, status.provided.waiting) == (1, 0)).await;

    let found = bounded(lab::providers(server.address(), &block.0, BOUND)).await.unwrap();
    assert_eq!(found, [ours.node.id()]);
    let told = format!("{announced}/p2p/{}", ours.node.id());
    assert_eq!(server.provider(&block.0).unwrap(), [told.as_str()]);
    assert_eq!(ours.node.status().reach, [Reach { address: told, proof: Proof::Announced }]);
    assert!(bounded(ours.node.is_told_of(block.0, BOUND)).await.unwrap());
    assert!(!bounded(ours.node.is_told_of(cids(0..1)[0], BOUND)).await.unwrap());
    assert_eq!(ours.node.status().findable(true), Findable::Claimed);
    server.freeze();
    let alone = bounded(ours.node.is_told_of(block.0, Duration::from_secs(1))).await;
    assert!(matches!(alone, Err(Error::Network(_))), "{alone:?} can only be its own memory");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_travel_over_tcp_and_quic() {
    for listen in [LOOPBACK, "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let ours = station(options(&[listen], &[], &[])).await;
        let blocks: Vec<_> = (0..50_u8).map(|number| vec![number; 95_000]).collect();
        let blocks: Vec<_> = blocks.into_iter().map(|bytes| (cid_of(RAW, &bytes), Bytes::from(bytes))).collect();
        ours.store.put(blocks.clone()).await.unwrap();
        let names: Vec<_> = blocks.iter().map(|(cid, _)| *cid).collect();
        let address = ours.node.status().addresses().remove(0);
        assert!(address.ends_with(&ours.key.peer_id()), "{address}");
        let fetched = bounded(lab::fetch(&address, &names, BOUND)).await.unwrap();
        assert!(fetched == blocks, "{} of 50 blocks came over {listen}", fetched.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_block_travels() {
    let ours = station(options(&[LOOPBACK], &[], &[])).await;
    let bytes = vec![1; crate::ipfs::store::MAX_BLOCK_BYTES];
    let block = (cid_of(RAW, &bytes), Bytes::from(bytes));
    ours.store.put(vec![block.clone()]).await.unwrap();
    let address = ours.node.status().addresses().remove(0);
    let fetched = bounded(lab::fetch(&address, &[block.0], BOUND)).await.unwrap();
    assert!(fetched == [block], "the largest block did not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_refuses_travels_all_the_same() {
    let ours = station(options(&[LOOPBACK], &[], &[])).await;
    let block = (cid_of(RAW, b"refused"), Bytes::from_static(b"refused"));
    ours.store.refused().hold(block.0, block.1.clone(), "full", |_| true);
    let address = ours.node.status().addresses().remove(0);
    let fetched = bounded(lab::fetch(&address, &[block.0], BOUND)).await.unwrap();
    assert_eq!(fetched, [block]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_here_is_not_fetched_for_others() {
    let ours = station(options(&[LOOPBACK], &[], &[])).await;
    let address = ours.node.status().addresses().remove(0);
    let strange = cid_of(RAW, b"not ours");
    let fetched = bounded(lab::fetch(&address, &[strange], Duration::from_secs(1))).await.unwrap();
    assert_eq!(fetched, []);
    assert_eq!(ours.store.held().await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_no_dht_even_with_a_public_address() {
    let ours = station(options(&[LOOPBACK], &["/ip4/127.0.0.1/tcp/4001"], &[])).await;
    let address = ours.node.status().listening.remove(0);
    let asked = lab::providers(&address, &cids(0..1)[0], Duration::from_secs(1)).await;
    assert!(matches!(asked, Err(Error::Network(_))), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_is_put_late_reaches_who_waits_for_it() {
    let ours = station(options(&[LOOPBACK], &[], &[])).await;
    let address = ours.node.status().addresses().remove(0);
    let late = (cid_of(RAW, b"late"), Bytes::from_static(b"late"));
    let waits = tokio::spawn(async move { lab::fetch(&address, &[late.0], BOUND).await });
    until(&ours.node, |status| status.peers > 0).await;
    ours.store.put(vec![late.clone()]).await.unwrap();
    let told = async {
        while !waits.is_finished() {
            ours.node.notify_new_blocks(vec![late.0]).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    bounded(told).await;
    assert_eq!(waits.await.unwrap().unwrap(), [late]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_provides_leave_a_window_of_fifty() {
    let server = DhtServer::start().await.unwrap();
    let ours = station(options(&[], &["/ip4/127.0.0.1/tcp/4001"], &[server.address()])).await;
    for number in 0..2_000 {
        ours.node.provide(cids(number..number + 1)).await.unwrap();
        if let Some(gone) = number.checked_sub(50) {
            ours.node.stop_providing(cids(gone..gone + 1)).await.unwrap();
        }
    }
    until(&ours.node, |status| (status.provided.done, status.provided.waiting) == (50, 0)).await;
    for cid in cids(1_950..2_000) {
        assert!(server.provider(&cid).is_some(), "{cid} was not told");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_nothing_is_provided_and_nothing_is_lost() {
    let server = DhtServer::start().await.unwrap();
    let ours = station(options(&[], &[], &[server.address()])).await;
    ours.node.provide(cids(0..3)).await.unwrap();
    until(&ours.node, |status| status.dht_peers > 0).await;
    for sequence in 0..3 {
        bounded(ours.node.publish(&record(&ours.key, sequence))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let status = ours.node.status();
    assert_eq!(status.provided, Provided { waiting: 3, ..Provided::default() });
    assert_eq!(status.findable(true), Findable::NoAddress);
    assert!(cids(0..3).iter().all(|cid| server.provider(cid).is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_there_a_publish_fails_at_once_and_a_lookup_in_its_limit() {
    for bootstrap in [vec![], vec!["/ip4/127.0.0.1/tcp/9/p2p/12D3KooWKnDdG3iXw9eTFijk3EWSunZcFi54Zka4wmtqtt6rPxc8"]] {
        let ours = station(options(&[LOOPBACK], &["/ip4/127.0.0.1/tcp/4001"], &bootstrap)).await;
        let published = bounded(ours.node.publish(&record(&ours.key, 1))).await;
        assert!(matches!(published, Err(Error::Network(_))), "{published:?}");
        let found = bounded(ours.node.lookup(ours.key.name(), Duration::from_millis(300))).await;
        assert!(matches!(found, Err(Error::Network(_))), "{found:?}");
        assert_eq!(ours.node.status().findable(true), Findable::NoPeer);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dht_that_vanishes_or_freezes_costs_one_limit_and_comes_back() {
    let identity = Key::generate();
    let server = DhtServer::start_at(&identity, LOOPBACK).await.unwrap();
    let address = server.address().to_owned();
    let listen = address.split("/p2p/").next().unwrap().to_owned();
    let patient = options(&[], &["/ip4/127.0.0.1/tcp/4001"], &[&address]);
    let ours = station(patient.with_put_limit(Duration::from_secs(2))).await;
    until(&ours.node, |status| status.dht_peers > 0).await;
    bounded(ours.node.publish(&record(&ours.key, 1))).await.unwrap();

    server.freeze();
    let published = bounded(ours.node.publish(&record(&ours.key, 2))).await;
    assert!(matches!(&published, Err(Error::Network(why)) if why.contains("within 2s")), "{published:?}");
    server.vanish().await;
    let published = bounded(ours.node.publish(&record(&ours.key, 4))).await;
    assert!(matches!(published, Err(Error::Network(_))), "{published:?}");
    ours.node.provide(cids(0..10)).await.unwrap();
    until(&ours.node, |status| status.provided.waiting == 10 && status.dht_peers == 0).await;

    let server = DhtServer::start_at(&identity, &listen).await.unwrap();
    until(&ours.node, |status| status.dht_peers > 0).await;
    bounded(ours.node.publish(&record(&ours.key, 5))).await.unwrap();
    assert_eq!(server.record(ours.key.name()), Some(record(&ours.key, 5)));
    until(&ours.node, |status| status.provided.done == 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_does_not_work_is_no_reason_to_stay_off() {
    let elsewhere = "/ip4/192.0.2.1/tcp/0";
    let ours = station(options(&[LOOPBACK, elsewhere], &[], &[])).await;
    assert_eq!(ours.node.status().listening.len(), 1);
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("/ip4/127.0.0.1/tcp/{}", other.local_addr().unwrap().port());
    let deaf = station(options(&[elsewhere, &taken], &[], &[])).await.node.status();
    assert!(deaf.listening.is_empty());
    for (said, address) in deaf.not_listening.iter().zip([elsewhere, &taken]) {
        assert!(said.starts_with(&format!("{address}: ")) && said.contains("os error"), "{said}");
    }
    assert_eq!(deaf.not_listening.len(), 2);
    // That of another node, whose port could be shared.
    let shared = ours.node.status().listening[0].split("/p2p/").next().unwrap().to_owned();
    let second = station(options(&[&shared], &[], &[])).await.node.status();
    assert_eq!((second.listening.len(), second.not_listening.len()), (0, 1), "{shared}");
    assert!(station(options(&[], &[], &[])).await.node.status().listening.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_who_it_is_and_frees_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys/peer.key");
    let (mut listen, mut id) = (LOOPBACK.to_owned(), None);
    for _ in 0..3 {
        let key = Key::load_or_create(&path, id.is_none()).unwrap();
        let store = Store::open(&folder.path().join("ipfs")).await.unwrap();
        let node = Node::start(options(&[&listen], &[], &[]), &key, &store).await.unwrap();
        assert_eq!(id.get_or_insert_with(|| node.id().to_owned()), node.id());
        listen = node.status().listening[0].split("/p2p/").next().unwrap().to_owned();
        bounded(node.stop()).await;
        assert!(matches!(node.provide(cids(0..1)).await, Err(Error::Stopped)));
        assert!(matches!(node.publish(&record(&key, 1)).await, Err(Error::Stopped)));
        bounded(store.close()).await;
    }
}
