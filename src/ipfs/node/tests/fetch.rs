//! What others have, and how it comes here.

use super::*;

/// An address on a port that was free a moment ago, for a node that has to announce it before it listens.
pub(super) fn free_address() -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/tcp/{port}")
}

/// A node that holds `blocks` and has told the DHT so.
async fn provider(server: &DhtServer, blocks: &[(Cid, Bytes)]) -> Station {
    let address = free_address();
    let theirs = station(options(&[&address], &[&address], &[server.address()])).await;
    theirs.store.put(blocks.to_vec()).await.unwrap();
    theirs.node.provide(blocks.iter().map(|(cid, _)| *cid).collect()).await.unwrap();
    until(&theirs.node, |status| status.provided.done == blocks.len()).await;
    theirs
}

fn blocks(count: u8, bytes: usize) -> Vec<(Cid, Bytes)> {
    let block = |number: u8| (cid_of(RAW, &vec![number; bytes]), Bytes::from(vec![number; bytes]));
    (0..count).map(block).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_block_is_heard_from_others_only() {
    let server = DhtServer::start().await.unwrap();
    let blocks = blocks(1, 100);
    let theirs = provider(&server, &blocks).await;
    let ours = station(options(&[], &[], &[server.address()])).await;
    assert_eq!(bounded(ours.node.providers(blocks[0].0, BOUND)).await.unwrap(), [theirs.node.id()]);
    assert!(bounded(ours.node.providers(cids(0..1)[0], BOUND)).await.unwrap().is_empty());

    server.freeze();
    let alone = bounded(theirs.node.providers(blocks[0].0, Duration::from_secs(1))).await;
    assert_eq!(alone.unwrap(), [] as [String; 0], "this can only be its own memory");
    let nobody = station(options(&[], &[], &[])).await;
    let asked = bounded(nobody.node.providers(blocks[0].0, Duration::from_millis(300))).await;
    assert!(matches!(asked, Err(Error::Network(_))), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_come_from_a_provider_that_the_dht_names() {
    let server = DhtServer::start().await.unwrap();
    let blocks = blocks(60, 95_000);
    let theirs = provider(&server, &blocks).await;
    let ours = station(options(&[], &[], &[server.address()])).await;
    until(&ours.node, |status| status.dht_peers > 0).await;
    let names: Vec<_> = blocks.iter().map(|(cid, _)| *cid).collect();
    let fetched = bounded(ours.node.fetch(&names, BOUND)).await.unwrap();
    assert!(fetched == blocks, "{} of 60 blocks came", fetched.len());
    assert_eq!(ours.store.pinned().await.unwrap(), [], "to keep them is the caller's");
    drop(theirs);
    assert_eq!(bounded(ours.node.fetch(&names[..1], BOUND)).await.unwrap(), blocks[..1], "they are here now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_peer_is_asked_without_any_dht() {
    let theirs = station(options(&[LOOPBACK], &[], &[])).await;
    let blocks = blocks(2, 1_000);
    theirs.store.put(blocks.clone()).await.unwrap();
    let address = theirs.node.status().listening.remove(0);
    let ours = station(options(&[], &[], &[&address])).await;
    let names = [blocks[1].0, cids(0..1)[0], blocks[0].0];
    let fetched = bounded(ours.node.fetch(&names, Duration::from_secs(3))).await.unwrap();
    assert_eq!(fetched, [blocks[1].clone(), blocks[0].clone()], "what nobody has is missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_and_comes_back_is_asked_each_time() {
    let (folder, identity, place) = (tempfile::tempdir().unwrap(), Key::generate(), free_address());
    let ours = station(options(&[], &[], &[&format!("{place}/p2p/{}", identity.peer_id())])).await;
    for block in blocks(3, 1_000) {
        let store = Store::open(folder.path()).await.unwrap();
        store.put(vec![block.clone()]).await.unwrap();
        let theirs = Node::start(options(&[&place], &[], &[]), &identity, &store).await.unwrap();
        let fetched = bounded(ours.node.fetch(&[block.0], BOUND / 2)).await.unwrap();
        assert_eq!(fetched, [block]);
        bounded(theirs.stop()).await;
        bounded(store.close()).await;
        until(&ours.node, |status| status.peers == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_want_is_told_again_and_ends_with_its_limit() {
    let theirs = station(options(&[LOOPBACK], &[], &[])).await;
    let address = theirs.node.status().listening.remove(0);
    let ours = station(options(&[], &[], &[&address])).await;
    let late = blocks(1, 50).remove(0);
    let waits = tokio::spawn({
        let node = ours.node.clone();
        async move { node.fetch(&[late.0], BOUND).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    theirs.store.put(vec![late.clone()]).await.unwrap();
    assert_eq!(bounded(waits).await.unwrap().unwrap(), [late]);

    let nothing = bounded(ours.node.fetch(&cids(0..3), Duration::from_millis(200))).await.unwrap();
    assert_eq!(nothing, []);
    bounded(ours.node.stop()).await;
    assert!(matches!(ours.node.fetch(&cids(0..1), BOUND).await, Err(Error::Stopped)));
    let many = cids(0..MAX_FETCHED as u32 + 1);
    assert!(matches!(ours.node.fetch(&many, BOUND).await, Err(Error::Network(_))));
}
