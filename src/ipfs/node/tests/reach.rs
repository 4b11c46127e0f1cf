//! Being reachable, with servers that call back and servers that relay.

use super::*;
use crate::ipfs::lab::Helps;

/// A peer is asked to call back five seconds after a round has begun.
const PAUSE: Duration = Duration::from_secs(7);

async fn helper(helps: Helps) -> DhtServer {
    DhtServer::start_with(&Key::generate(), LOOPBACK, helps).await.unwrap()
}

fn proofs(status: &Status) -> Vec<Proof> {
    status.reach.iter().map(|reach| reach.proof).collect()
}

fn block(bytes: usize) -> (Cid, Bytes) {
    (cid_of(RAW, &vec![7; bytes]), Bytes::from(vec![7; bytes]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_peer_calls_back_is_told_with_the_blocks() {
    let server = helper(Helps { calls_back: true, ..Helps::default() }).await;
    let ours = station(options(&[LOOPBACK], &[], &[server.address()]).with_pause(PAUSE)).await;
    assert_eq!(ours.node.status().findable(true), Findable::NoAddress);
    let block = block(1_000);
    ours.store.put(vec![block.clone()]).await.unwrap();
    ours.node.provide(vec![block.0]).await.unwrap();
    let status = until(&ours.node, |status| status.provided.done == 1).await;
    assert_eq!(proofs(&status), [Proof::Called]);
    assert_eq!(status.reach[0].address, status.listening[0]);
    assert_eq!((status.findable(false), status.findable(true)), (Findable::NotTold, Findable::Yes));
    assert_eq!(server.provider(&block.0).unwrap(), [status.listening[0].as_str()]);
    let other = station(options(&[], &[], &[server.address()])).await;
    assert_eq!(bounded(other.node.fetch(&[block.0], BOUND)).await.unwrap(), [block]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announced_address_is_proven_or_disproved_by_those_who_call_it() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(helper(Helps { calls_back: true, ..Helps::default() }).await);
    }
    let bootstrap: Vec<_> = servers.iter().map(DhtServer::address).collect();
    let (open, closed) = (fetch::free_address(), fetch::free_address());
    let theirs = station(options(&[&open], &[&open], &bootstrap).with_pause(PAUSE)).await;
    let ours = station(options(&[], &[&closed], &bootstrap).with_pause(PAUSE)).await;
    assert_eq!(ours.node.status().findable(true), Findable::NoPeer);
    until(&theirs.node, |status| proofs(status) == [Proof::Called]).await;
    let status = until(&ours.node, |status| proofs(status) == [Proof::Refused]).await;
    assert_eq!(status.findable(true), Findable::Refused);
    assert!(status.reach[0].address.starts_with(&closed), "what is announced stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_can_call_is_found_through_a_relay() {
    let server = helper(Helps { relays: true, ..Helps::default() }).await;
    let ours = station(options(&[], &[], &[server.address()]).with_pause(Duration::from_secs(1))).await;
    let block = block(10_000);
    ours.store.put(vec![block.clone()]).await.unwrap();
    ours.node.provide(vec![block.0]).await.unwrap();
    let status = until(&ours.node, |status| status.provided.done == 1).await;
    assert_eq!(proofs(&status), [Proof::Relayed]);
    assert_eq!((status.findable(false), status.findable(true)), (Findable::NotTold, Findable::Relayed));
    assert!(status.reach[0].address.starts_with(server.address()), "{:?}", status.reach);
    let other = station(options(&[], &[], &[server.address()])).await;
    assert_eq!(bounded(other.node.fetch(&[block.0], BOUND)).await.unwrap(), [block]);

    server.vanish().await;
    until(&ours.node, |status| status.reach.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_meet_at_a_relay_go_on_without_it() {
    let server = helper(Helps { relays: true, ..Helps::default() }).await;
    let ours = station(options(&[LOOPBACK], &[], &[server.address()]).with_pause(Duration::from_secs(1))).await;
    // More than a relay carries for one connection (128 KiB).
    let block = block(500_000);
    ours.store.put(vec![block.clone()]).await.unwrap();
    ours.node.provide(vec![block.0]).await.unwrap();
    assert_eq!(proofs(&until(&ours.node, |status| status.provided.done == 1).await), [Proof::Relayed]);
    let other = station(options(&[LOOPBACK], &[], &[server.address()])).await;
    assert_eq!(bounded(other.node.fetch(&[block.0], BOUND)).await.unwrap(), [block]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_is_given_up_when_peers_can_call_and_nobody_is_asked_without_bootstrap() {
    let relay = helper(Helps { relays: true, ..Helps::default() }).await;
    let (identity, place) = (Key::generate(), fetch::free_address());
    let late = format!("{place}/p2p/{}", identity.peer_id());
    let soon = options(&[LOOPBACK], &[], &[relay.address(), &late]).with_pause(PAUSE);
    let ours = station(soon).await;
    until(&ours.node, |status| proofs(status) == [Proof::Relayed]).await;
    let helps = Helps { calls_back: true, ..Helps::default() };
    let server = DhtServer::start_with(&identity, &place, helps).await.unwrap();
    until(&ours.node, |status| proofs(status) == [Proof::Called]).await;
    drop(server);

    let alone = station(options(&[LOOPBACK], &[], &[]).with_pause(Duration::from_millis(1))).await;
    let called = lab::fetch(&alone.node.status().listening[0], &[cids(0..1)[0]], Duration::from_secs(3)).await;
    assert_eq!(called.unwrap(), []);
    assert_eq!(alone.node.status().reach, []);
}
