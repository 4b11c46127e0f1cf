//! What one peer is answered, and what it cannot do to the others.

use bytes::Bytes;
use futures::{AsyncWriteExt, StreamExt};
use libp2p::Stream;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{
    wire::{Answer, PROTOCOL, Want},
    *,
};
use crate::{
    ipfs::{
        Blocks, Key, Node, Options, Store,
        lab::{self, caller::Caller},
    },
    radio::segment::{RAW, cid_of},
};

/// Nothing here takes so long; what hangs fails instead.
const BOUND: Duration = Duration::from_secs(60);
const SEGMENT_BYTES: usize = 95_000;

struct Station {
    node: Node,
    store: Store,
    blocks: Vec<(Cid, Bytes)>,
    _folder: TempDir,
}

/// A node that has `count` blocks.
async fn station(count: u64) -> Station {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let listen = ["/ip4/127.0.0.1/tcp/0".to_owned()];
    let node = Node::start(Options::check(&listen, &[], &[]).unwrap(), &Key::generate(), &store).await.unwrap();
    let blocks: Vec<_> = (0..count).map(block).collect();
    store.put(blocks.clone()).await.unwrap();
    Station { node, store, blocks, _folder: folder }
}

fn block(number: u64) -> (Cid, Bytes) {
    let bytes = number.to_be_bytes().repeat(SEGMENT_BYTES / 8);
    (cid_of(RAW, &bytes), bytes.into())
}

impl Station {
    fn address(&self) -> String {
        self.node.status().addresses().remove(0)
    }
}

async fn send(stream: &mut Stream, bytes: &[u8]) {
    timeout(BOUND, stream.write_all(bytes)).await.expect("it hangs").unwrap();
    stream.flush().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_want_has_its_answer_whatever_was_said_before() {
    let ours = station(2).await;
    let (mut caller, mut incoming) = Caller::call(&ours.address(), 1, BOUND).await.unwrap();
    for nonsense in [wire::framed(&[0xff; 99]), wire::prefix(u64::MAX), vec![0xff; 99], wire::prefix(2_000_000)] {
        send(&mut caller.open(PROTOCOL).await.unwrap(), &nonsense).await;
    }
    let (here, whole, nowhere) = (ours.blocks[0].0, ours.blocks[1].clone(), cid_of(RAW, b"not here"));
    let mut out = caller.open(PROTOCOL).await.unwrap();
    send(&mut out, &wire::wants([(here, Want::Have), (whole.0, Want::Block), (nowhere, Want::Block)])).await;
    let (_, mut stream) = timeout(BOUND, incoming.next()).await.unwrap().unwrap();
    let mut all = Answer::default();
    while all.blocks.len() + all.presences.len() < 3 {
        let message = timeout(BOUND, wire::next(&mut stream)).await.expect("it hangs").unwrap().unwrap();
        let answer = wire::answer(&message).unwrap();
        all.blocks.extend(answer.blocks);
        all.presences.extend(answer.presences);
    }
    all.presences.sort_unstable();
    let mut presences = vec![(here, true), (nowhere, false)];
    presences.sort_unstable();
    assert_eq!(all, Answer { blocks: vec![whole], presences });
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_do_not_end_take_nothing_from_the_others() {
    let ours = station(50).await;
    let wanted: Vec<Cid> = ours.blocks.iter().map(|(cid, _)| *cid).collect();
    let half = [wire::prefix(4_000_000), vec![7; 1_000_000]].concat();
    let mut hostile = Vec::new();
    for _ in 0..2 * MAX_UNASKED_BYTES / half.len() / 4 {
        let (mut caller, incoming) = Caller::call(&ours.address(), 1, BOUND).await.unwrap();
        let mut streams = Vec::new();
        for _ in 0..4 {
            let mut stream = caller.open(PROTOCOL).await.unwrap();
            // What finds no room is cut off while it is sent.
            let _ = timeout(BOUND, stream.write_all(&half)).await.expect("it hangs");
            streams.push(stream);
        }
        hostile.push((caller, incoming, streams));
    }
    let fetched = timeout(BOUND, lab::fetch(&ours.address(), &wanted, BOUND)).await.expect("it hangs").unwrap();
    assert!(fetched == ours.blocks, "{} of {} blocks came", fetched.len(), wanted.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_once_and_asks_no_more_is_not_kept() {
    let ours = station(1).await;
    let (mut caller, _incoming) = Caller::call(&ours.address(), 1, BOUND).await.unwrap();
    let mut out = caller.open(PROTOCOL).await.unwrap();
    send(&mut out, &wire::wants([(ours.blocks[0].0, Want::Have)])).await;
    let there = async { ours.node.watch().wait_for(|status| status.peers == 1).await.map(drop) };
    timeout(BOUND, there).await.expect("it is not seen").unwrap();
    let gone = async { ours.node.watch().wait_for(|status| status.peers == 0).await.map(drop) };
    timeout(BOUND, gone).await.expect("its open streams keep it").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_taken_a_block_stays_as_long_as_it_wants_to() {
    let ours = station(1).await;
    let peers = |count: usize| {
        let mut watch = ours.node.watch();
        async move { timeout(BOUND, watch.wait_for(|status| status.peers == count)).await.map(drop) }
    };
    let mut callers = Vec::new();
    for want in [Want::Block, Want::Have] {
        let (mut caller, mut incoming) = Caller::call(&ours.address(), 1, BOUND).await.unwrap();
        let mut out = caller.open(PROTOCOL).await.unwrap();
        send(&mut out, &wire::wants([(ours.blocks[0].0, want)])).await;
        let (_, mut stream) = timeout(BOUND, incoming.next()).await.unwrap().unwrap();
        timeout(BOUND, wire::next(&mut stream)).await.expect("it hangs").unwrap().unwrap();
        callers.push((caller, incoming, out, stream));
    }
    peers(2).await.expect("they are not seen");
    peers(1).await.expect("who took nothing stays, or none does");
    // What the other one asks for now comes over the connection that it has.
    let (_, _, out, stream) = &mut callers[0];
    send(out, &wire::wants([(ours.blocks[0].0, Want::Block)])).await;
    let answer = timeout(BOUND, wire::next(stream)).await.expect("it hangs").unwrap().unwrap();
    assert_eq!(wire::answer(&answer).unwrap().blocks, ours.blocks);
    callers.clear();
    peers(0).await.expect("nothing keeps it now");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_and_who_wants_nonsense_take_nothing_from_the_others() {
    let ours = station(200).await;
    let wanted: Vec<Cid> = ours.blocks.iter().map(|(cid, _)| *cid).collect();
    let all = wire::wants(wanted.iter().map(|cid| (*cid, Want::Block)));
    let mut hostile = Vec::new();
    for round in 0..4_u64 {
        let (mut caller, incoming) = Caller::call(&ours.address(), 1, BOUND).await.unwrap();
        let mut out = caller.open(PROTOCOL).await.unwrap();
        for part in 0..5 {
            let nonsense = (0..5_000_u64)
                .map(|number| (cid_of(RAW, &[round, part, number].map(u64::to_be_bytes).concat()), Want::Block));
            send(&mut out, &wire::wants(nonsense)).await;
            send(&mut out, &all).await;
        }
        // What comes back is held and never read.
        hostile.push((caller, incoming, out));
    }
    let fetched = timeout(BOUND, lab::fetch(&ours.address(), &wanted, BOUND)).await.expect("it hangs").unwrap();
    assert!(fetched == ours.blocks, "{} of {} blocks came", fetched.len(), wanted.len());
    timeout(BOUND, ours.store.put(vec![block(1_000)])).await.expect("nothing can be stored any more").unwrap();
    assert!(hostile.iter().all(|(caller, ..)| caller.connections() == 1));
}
