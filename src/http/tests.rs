//! Over real sockets on loopback, with blocks in memory.

mod car;
mod connections;
mod gateway;
mod vod;

use std::collections::BTreeMap;

use cid::Cid;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::ipfs::{
    dag::{Directory, Entry, File, Part},
    memory::Memory,
};
use fuzz::{LIST, STATION, STREAM, air};

const LONG: Duration = Duration::from_secs(20);

/// A node that serves until it is dropped.
struct Node {
    address: SocketAddr,
    air: watch::Sender<Option<Arc<OnAir>>>,
    records: watch::Sender<Records>,
    blocks: Memory,
    segment: Cid,
    root: Cid,
    file: Cid,
    site: Site<Memory>,
    recordings: tempfile::TempDir,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Four packets of a transport stream, as far as anybody looks.
fn segment() -> Bytes {
    (0..4 * 188).map(|i| if i % 188 == 0 { 0x47 } else { (i % 251) as u8 }).collect()
}

fn raw(bytes: impl Into<Bytes>) -> (Cid, Bytes) {
    let bytes = bytes.into();
    (cid_of(RAW, &bytes), bytes)
}

fn folder(entries: &[(&str, Cid)]) -> (Cid, Bytes) {
    let entries = entries.iter().map(|(name, cid)| Entry { name: (*name).into(), cid: *cid, tsize: 1 }).collect();
    let node = Directory::new(entries).unwrap().encode().unwrap();
    (node.cid, node.bytes)
}

async fn node() -> Node {
    node_within(Limits::default()).await
}

async fn node_within(limits: Limits) -> Node {
    node_behind(limits, |listener| listener).await
}

async fn node_behind<D: Door + Send + 'static>(limits: Limits, door: impl FnOnce(TcpListener) -> D) -> Node {
    let (first, second, page, list) = (raw(segment()), raw("the rest"), raw("<!doctype html><p>hi"), raw(LIST));
    let parts = [&first, &second].map(|(cid, bytes)| Part { cid: *cid, bytes: bytes.len() as u64 });
    let file = File::Parts(parts.to_vec()).encode().unwrap();
    let inner = folder(&[(&first.0.to_string(), first.0)]);
    let lists = ["live.m3u8", "live-64000.m3u8", "master.m3u8"].map(|name| (name, list.0));
    let rest = [("index.html", page.0), ("ipfs", inner.0), ("long.mpegts", file.cid)];
    let root = folder(&[&lists[..], &rest].concat());
    let (segment, root_cid, file_cid) = (first.0, root.0, file.cid);
    let blocks = Memory::default();
    blocks.put(vec![first, second, page, list, inner, root, (file.cid, file.bytes)]).await.unwrap();
    let held = blocks.clone();

    let (air, on_air) = watch::channel(Some(air(root_cid, "ok")));
    let signed = Records { station: Some("record of the station".into()), stream: None };
    let (records, record_changes) = watch::channel(signed);
    let recordings = tempfile::tempdir().unwrap();
    let site = Site {
        station: STATION.into(),
        stream: STREAM.into(),
        peer: "12D3KooW".into(),
        title: "Rödio <1>".into(),
        blocks,
        on_air,
        records: record_changes,
        recordings: ["processed", "generated"].map(|name| Store::new(recordings.path().join(name))).into(),
        originals: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let routes = watch::channel(router(site.clone())).1;
    let (door, stopped) = (door(listener), stop.clone());
    let ended = tokio::spawn(async move { serve_within(limits, &door, routes, stopped).await });
    Node { address, air, records, blocks: held, segment, root: root_cid, file: file_cid, site, recordings, stop, ended }
}

impl Node {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the node closes.
    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        // The node may answer and close before it has read all.
        let _ = stream.write_all(request).await;
        let mut bytes = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the node closes");
        parse(&bytes)
    }

    async fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        self.raw(request.as_bytes()).await
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or_else(|| panic!("no head: {bytes:?}"));
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| line.split_once(": ").unwrap()).map(|(k, v)| (k.into(), v.into())).collect();
    Answer { status, headers, body: bytes[end + 4..].to_vec() }
}

#[tokio::test]
async fn before_the_first_list_the_page_shows_and_lists_wait() {
    let node = node().await;
    node.air.send(None).unwrap();
    assert_eq!(node.get("/").await.status, 200);
    let lists = [format!("/ipns/{STREAM}"), format!("/ipns/{STATION}/live.m3u8")];
    for target in lists.into_iter().chain(["/now.json", "/status.json", "/health", "/metrics"].map(String::from)) {
        let answer = node.get(&target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{target}");
    }
    assert_eq!(node.get(&format!("/ipfs/{}", node.segment)).await.status, 200);
}

#[tokio::test]
async fn metrics_are_those_of_the_air() {
    let node = node().await;
    let mut air = OnAir::clone(&air(node.root, "the disk is full"));
    air.ledger = Some(counted::Ledgered { receipts: 12, ..counted::Ledgered::default() });
    node.air.send(Some(Arc::new(air.clone()))).unwrap();
    let answer = node.get("/metrics").await;
    assert_eq!((answer.status, answer.text()), (200, counted::text(&air).as_str()));
    assert_eq!((answer.header("content-type"), answer.header("cache-control")), (counted::MEDIA_TYPE, "no-store"));
}

#[tokio::test]
async fn health_and_status_say_what_the_station_says() {
    let node = node().await;
    assert_eq!(node.get("/health").await.text(), "ok\n");
    node.air.send(Some(air(node.root, "the disk is full"))).unwrap();
    let answer = node.get("/health").await;
    assert_eq!((answer.status, answer.text()), (503, "the disk is full\n"));

    let status: serde_json::Value = serde_json::from_slice(&node.get("/status.json").await.body).unwrap();
    let keys: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "station",
        "stream",
        "peer",
        "addresses",
        "gateways",
        "findable",
        "network",
        "media_sequence",
        "now",
        "next",
        "tolerated_staleness_seconds",
        "needed_staleness_seconds",
        "last_publish",
        "setup",
        "health",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(node.get("/now.json").await.text(), "{\"now\":null}");
}
