//! Over real sockets on loopback, with blocks in memory.

use std::collections::BTreeMap;

use cid::{
    Cid,
    multibase::{self, Base},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::*;
use crate::{
    ipfs::{
        dag::{Directory, Entry, File, Part},
        memory::Memory,
    },
    radio::status::{SetupProgress, Status},
};

const STATION: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
const STREAM: &str = "k51qzi5uqu5dhvnprrkkdvhtdz7d6xmc9n6qf0mfkczqvgs1dnhyl0z59ac53g";
const LIST: &str = "#EXTM3U\n#EXT-X-VERSION:9\n";
const LONG: Duration = Duration::from_secs(20);
const IMMUTABLE: &str = "public, max-age=29030400, immutable";

/// A node that serves until it is dropped.
struct Node {
    address: SocketAddr,
    air: watch::Sender<Option<Arc<OnAir>>>,
    records: watch::Sender<Records>,
    segment: Cid,
    root: Cid,
    file: Cid,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
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

fn air(root_cid: Cid, health: &str) -> Arc<OnAir> {
    let status = Status {
        station: STATION.into(),
        stream: STREAM.into(),
        peer: "12D3KooW".into(),
        addresses: vec![],
        gateways: vec![],
        findable: false,
        media_sequence: 7,
        now: None,
        next: None,
        tolerated_staleness_seconds: 270.0,
        needed_staleness_seconds: 198.0,
        last_publish: None,
        setup: SetupProgress { state: "done".into(), done: 1, total: 1 },
        health: health.into(),
    };
    let now_json = "{\"now\":null}".into();
    Arc::new(OnAir { list: LIST.into(), list_cid: raw(LIST).0, root_cid, now_json, status })
}

async fn node() -> Node {
    node_within(Limits::default()).await
}

async fn node_within(limits: Limits) -> Node {
    let (first, second, page, list) = (raw(segment()), raw("the rest"), raw("<!doctype html><p>hi"), raw(LIST));
    let parts = [&first, &second].map(|(cid, bytes)| Part { cid: *cid, bytes: bytes.len() as u64 });
    let file = File::Parts(parts.to_vec()).encode().unwrap();
    let inner = folder(&[(&first.0.to_string(), first.0)]);
    let files = [("index.html", page.0), ("live.m3u8", list.0), ("ipfs", inner.0), ("long.mpegts", file.cid)];
    let root = folder(&files);
    let (segment, root_cid, file_cid) = (first.0, root.0, file.cid);
    let blocks = Memory::default();
    blocks.put(vec![first, second, page, list, inner, root, (file.cid, file.bytes)]).await.unwrap();

    let (air, on_air) = watch::channel(Some(air(root_cid, "ok")));
    let held = Records { station: Some("record of the station".into()), stream: None };
    let (records, record_changes) = watch::channel(held);
    let site = Site {
        station: STATION.into(),
        stream: STREAM.into(),
        peer: "12D3KooW".into(),
        title: "Rödio <1>".into(),
        blocks,
        on_air,
        records: record_changes,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let ended = tokio::spawn(serve_within(limits, listener, router(site), stop.clone()));
    Node { address, air, records, segment, root: root_cid, file: file_cid, stop, ended }
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
async fn lists_segments_and_pages_have_their_headers() {
    let node = node().await;
    let (segment, root) = (node.segment, node.root);
    let table = [
        (format!("/ipns/{STREAM}"), "application/vnd.apple.mpegurl", "no-cache"),
        (format!("/ipns/{STATION}/live.m3u8"), "application/vnd.apple.mpegurl", "no-cache"),
        (format!("/ipns/{STATION}/"), "text/html; charset=utf-8", "no-cache"),
        (format!("/ipns/{STATION}/ipfs/{segment}?filename=s.mpegts"), "video/mp2t", "no-cache"),
        (format!("/ipfs/{segment}?filename=s.mpegts"), "video/mp2t", IMMUTABLE),
        (format!("/ipfs/{segment}"), "video/mp2t", IMMUTABLE),
        (format!("/ipfs/{root}/"), "text/html; charset=utf-8", IMMUTABLE),
        (format!("/ipfs/{root}/long.mpegts"), "video/mp2t", IMMUTABLE),
        (format!("/ipfs/{segment}?format=raw"), "application/vnd.ipld.raw", IMMUTABLE),
        (format!("/ipns/{STATION}?format=ipns-record"), "application/vnd.ipfs.ipns-record", "no-cache"),
        ("/ipfs/bafkqaaa?format=raw".into(), "application/vnd.ipld.raw", IMMUTABLE),
        ("/".into(), "text/html; charset=utf-8", "no-cache"),
        ("/now.json".into(), "application/json", "no-cache"),
        ("/status.json".into(), "application/json", "no-cache"),
    ];
    for (target, content_type, cache) in table {
        let answer = node.get(&target).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        assert_eq!(answer.header("content-type"), content_type, "{target}");
        assert_eq!(answer.header("cache-control"), cache, "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{target}");
        assert!(answer.header("access-control-expose-headers").contains("X-Ipfs-Roots"), "{target}");
        assert_eq!(answer.header("accept-ranges"), "bytes", "{target}");
        assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{target}");
        assert!(answer.header("etag").starts_with('"') && answer.header("etag").ends_with('"'), "{target}");
        assert!(answer.headers.contains_key("date"), "{target}");
    }
}

#[tokio::test]
async fn paths_are_told_and_tagged_by_their_content() {
    let node = node().await;
    let (segment, root) = (node.segment, node.root);
    let list = node.get(&format!("/ipns/{STREAM}")).await;
    assert_eq!(list.text(), LIST);
    assert_eq!(list.header("etag"), format!("\"{}\"", raw(LIST).0));
    assert_eq!(list.header("x-ipfs-path"), format!("/ipns/{STREAM}"));
    assert_eq!(list.header("x-ipfs-roots"), raw(LIST).0.to_string());

    let deep = node.get(&format!("/ipns/{STATION}/ipfs/{segment}")).await;
    assert_eq!(deep.body, segment_bytes());
    let roots: Vec<_> = deep.header("x-ipfs-roots").split(',').collect();
    assert_eq!((roots.len(), roots[0], roots[2]), (3, &*root.to_string(), &*segment.to_string()));

    let named = node.get(&format!("/ipfs/{segment}?filename=s.mpegts")).await;
    assert_eq!(named.header("content-disposition"), "inline; filename=\"s.mpegts\"");
    let saved = node.get(&format!("/ipfs/{segment}?filename=a%22%0d%0ab.ts&download=true")).await;
    assert_eq!(saved.header("content-disposition"), "attachment; filename=\"a_b.ts\"; filename*=UTF-8''a%22b.ts");
    let block = node.get(&format!("/ipfs/{segment}?format=raw")).await;
    assert_eq!(block.header("content-disposition"), format!("attachment; filename=\"{segment}.bin\""));
    assert_eq!(block.header("etag"), format!("\"{segment}.raw\""));
    assert_eq!(block.header("x-content-type-options"), "nosniff");
}

fn segment_bytes() -> Vec<u8> {
    segment().to_vec()
}

#[tokio::test]
async fn raw_blocks_and_records_are_what_a_verifying_client_needs() {
    let node = node().await;
    for (cid, codec) in [(node.root, 0x70), (node.file, 0x70), (node.segment, 0x55)] {
        let accept = "Accept: application/vnd.ipld.raw\r\n";
        let answer = node.ask("GET", &format!("/ipfs/{cid}"), accept).await;
        assert_eq!(answer.status, 200);
        assert_eq!(cid_of(codec, &answer.body), cid);
        assert_eq!(node.get(&format!("/ipfs/{cid}?format=raw")).await.body, answer.body);
    }
    let live = node.get(&format!("/ipns/{STATION}/live.m3u8?format=raw")).await;
    assert_eq!(live.text(), LIST);
    let probe = node.get("/ipfs/bafkqaaa?format=raw").await;
    assert_eq!((probe.status, probe.body.len()), (200, 0));

    let accept = "Accept: application/vnd.ipfs.ipns-record\r\n";
    let record = node.ask("GET", &format!("/ipns/{STATION}"), accept).await;
    assert_eq!((record.status, record.text()), (200, "record of the station"));
    assert_eq!(record.header("content-disposition"), format!("attachment; filename=\"{STATION}.ipns-record\""));

    let target = format!("/ipns/{STREAM}?format=ipns-record");
    let early = node.get(&target).await;
    assert_eq!((early.status, early.header("retry-after")), (503, "2"));
    node.records.send(Records { station: None, stream: Some("newer".into()) }).unwrap();
    assert_eq!(node.get(&target).await.text(), "newer");
}

#[tokio::test]
async fn ranges_are_cut_from_one_block_and_across_blocks() {
    let node = node().await;
    let mut whole = segment_bytes();
    whole.extend(b"the rest");
    let (one, many) = (format!("/ipfs/{}", node.segment), format!("/ipfs/{}", node.file));
    for (target, all) in [(&one, &whole[..752]), (&many, &whole[..])] {
        let last = all.len() - 1;
        let table = [
            ("0-0".to_owned(), 0..1),
            (format!("{}-{}", last - 9, last), last - 9..all.len()),
            ("740-".to_owned(), 740..all.len()),
            ("-20".to_owned(), all.len() - 20..all.len()),
            ("0-99999".to_owned(), 0..all.len()),
            ("200-300".to_owned(), 200..301),
        ];
        for (range, expected) in table {
            let answer = node.ask("GET", target, &format!("Range: bytes={range}\r\n")).await;
            assert_eq!(answer.status, 206, "{range}");
            let content_range = format!("bytes {}-{}/{}", expected.start, expected.end - 1, all.len());
            assert_eq!(answer.header("content-range"), content_range);
            assert_eq!(answer.body, all[expected], "{range}");
        }
        for range in ["99999-", "-0"] {
            let answer = node.ask("GET", target, &format!("Range: bytes={range}\r\n")).await;
            assert_eq!((answer.status, answer.header("content-range")), (416, &*format!("bytes */{}", all.len())));
        }
        for range in ["5-3", "a-b", "0-0,4-5", &"0-,".repeat(300)] {
            let answer = node.ask("GET", target, &format!("Range: bytes={range}\r\n")).await;
            assert_eq!((answer.status, &*answer.body), (200, all), "{range}");
        }
        let plain = node.get(target).await;
        assert_eq!((plain.status, &*plain.body), (200, all));
    }
}

#[tokio::test]
async fn if_range_and_if_none_match_go_by_the_etag() {
    let node = node().await;
    let target = format!("/ipfs/{}", node.segment);
    let etag = node.get(&target).await.header("etag").to_owned();
    for (condition, status) in [
        (format!("If-Range: {etag}"), 206),
        (format!("If-Range: W/{etag}"), 200),
        ("If-Range: \"other\"".into(), 200),
        ("If-Range: Sat, 21 Nov 2026 00:00:00 GMT".into(), 200),
    ] {
        let answer = node.ask("GET", &target, &format!("Range: bytes=0-9\r\n{condition}\r\n")).await;
        assert_eq!(answer.status, status, "{condition}");
    }
    for target in [target, format!("/ipns/{STREAM}"), "/".into(), "/now.json".into()] {
        let first = node.get(&target).await;
        let etag = first.header("etag");
        for known in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".into()] {
            for method in ["GET", "HEAD"] {
                let answer = node.ask(method, &target, &format!("If-None-Match: {known}\r\n")).await;
                assert_eq!((answer.status, answer.body.len()), (304, 0), "{target} {known}");
                assert_eq!(answer.header("etag"), etag);
                assert_eq!(answer.header("cache-control"), first.header("cache-control"));
            }
        }
        let answer = node.ask("GET", &target, "If-None-Match: \"x\"\r\n").await;
        assert_eq!(answer.status, 200, "{target}");
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let node = node().await;
    let targets = [
        "/".into(),
        format!("/ipns/{STREAM}"),
        format!("/ipns/{STATION}"),
        format!("/ipfs/{}?filename=s.mpegts", node.segment),
        format!("/ipfs/{}", node.file),
        format!("/ipfs/{}?format=raw", node.root),
        "/status.json".into(),
        "/health".into(),
        "/nothing".into(),
    ];
    for target in targets {
        let (mut get, mut head) = (node.get(&target).await, node.ask("HEAD", &target, "").await);
        get.headers.remove("date");
        head.headers.remove("date");
        assert_eq!((head.status, &head.headers), (get.status, &get.headers), "{target}");
        assert!(head.body.is_empty(), "{target}");
    }
}

#[tokio::test]
async fn what_is_not_ours_is_refused_in_the_right_words() {
    let node = node().await;
    let stranger = raw("not here").0;
    let name = "k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r";
    let (root, segment) = (node.root, node.segment);
    let table = [
        ("/nothing".to_owned(), 404),
        ("/ipfs".into(), 404),
        ("/ipfs/".into(), 404),
        (format!("/ipfs/{stranger}"), 404),
        (format!("/ipfs/{stranger}/a/b"), 404),
        (format!("/ipfs/{stranger}?format=raw"), 404),
        (format!("/ipfs/{segment}/below"), 404),
        (format!("/ipfs/{root}/missing"), 404),
        (format!("/ipfs/{root}/ipfs/"), 404),
        (format!("/ipns/{name}"), 404),
        ("/ipns/example.org/".into(), 404),
        (format!("/ipns/{STREAM}/below"), 404),
        (format!("/ipns/{STATION}/missing"), 404),
        ("/ipfs/nonsense".into(), 400),
        ("/ipfs/bafkrei".into(), 400),
        ("/ipfs/%00".into(), 400),
        (format!("/ipfs/{root}//index.html"), 400),
        (format!("/ipfs/{root}/../{root}"), 400),
        (format!("/ipfs/{root}/%2e%2e/{root}"), 400),
        (format!("/ipfs/{root}/ipfs%2f{segment}"), 400),
        (format!("/ipfs/{root}/{}", "a/".repeat(20)), 400),
        (format!("/ipfs/{root}?format=ipns-record"), 400),
        (format!("/ipns/{STATION}/live.m3u8?format=ipns-record"), 400),
        (format!("/ipfs/{root}?format=raw&format=raw"), 400),
        (format!("/ipfs/{root}?format=tar"), 406),
        (format!("/ipfs/{root}?format=car"), 501),
        (format!("/ipfs/{}", cid_of(0x71, b"x")), 404),
        (format!("/{}", "u".repeat(MAX_URI_BYTES)), 414),
    ];
    for (target, status) in table {
        let answer = node.get(&target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        assert!(answer.text().ends_with('\n') && answer.body.len() > 5, "{target} has words");
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{target}");
    }
    let probe = node.ask("HEAD", &format!("/ipfs/{stranger}"), "Cache-Control: only-if-cached\r\n").await;
    assert_eq!(probe.status, 412);
    let probe = node.ask("HEAD", &format!("/ipfs/{segment}"), "Cache-Control: only-if-cached\r\n").await;
    assert_eq!(probe.status, 200);
}

#[tokio::test]
async fn folders_end_with_a_slash_and_files_do_not() {
    let node = node().await;
    let (root, segment) = (node.root, node.segment);
    let hash = Cid::try_from(STATION).unwrap().hash().to_bytes();
    let base58 = multibase::encode(Base::Base58Btc, hash)[1..].to_owned();
    let table = [
        (format!("/ipns/{STATION}"), 301, format!("/ipns/{STATION}/")),
        (format!("/ipns/{STATION}?x=1"), 301, format!("/ipns/{STATION}/?x=1")),
        (format!("/ipfs/{root}"), 301, format!("/ipfs/{root}/")),
        (format!("/ipfs/{root}/ipfs"), 301, format!("/ipfs/{root}/ipfs/")),
        (format!("/ipfs/{segment}/"), 301, format!("/ipfs/{segment}")),
        (format!("/ipns/{STREAM}/"), 301, format!("/ipns/{STREAM}")),
        (format!("/ipns/{base58}"), 302, format!("/ipns/{STATION}")),
        (format!("/ipns/{base58}/live.m3u8?x=%20"), 302, format!("/ipns/{STATION}/live.m3u8?x=%20")),
    ];
    for (target, status, location) in table {
        let answer = node.get(&target).await;
        assert_eq!((answer.status, answer.header("location")), (status, &*location), "{target}");
    }
}

#[tokio::test]
async fn only_reading_methods_without_a_body_are_taken() {
    let node = node().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "get", "LIST"] {
        for target in ["/", "/ipfs/bafkqaaa", "/nothing"] {
            let answer = node.ask(method, target, "X-HTTP-Method-Override: GET\r\n").await;
            assert_eq!((answer.status, answer.header("allow")), (405, METHODS), "{method} {target}");
        }
    }
    let options = node.ask("OPTIONS", &format!("/ipns/{STREAM}"), "Origin: http://x\r\n").await;
    assert_eq!((options.status, options.header("access-control-allow-methods")), (204, METHODS));
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
        let answer = node.raw(format!("GET / HTTP/1.1\r\nHost: x\r\n{body}").as_bytes()).await;
        assert_eq!((answer.status, answer.header("connection")), (413, "close"), "{body}");
    }
    assert_eq!(node.ask("GET", "/", "Content-Length: 0\r\n").await.status, 200);
    assert_eq!(node.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await.status, 400, "no Host");
    assert_eq!(node.ask("GET", "/", "Host: y\r\n").await.status, 400, "two Hosts");
    assert_eq!(node.raw(b"nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn heads_are_bounded() {
    let node = node().await;
    assert_eq!(node.ask("GET", "/", &"X: y\r\n".repeat(70)).await.status, 431, "too many");
    assert_eq!(node.ask("GET", "/", &format!("X: {}\r\n", "y".repeat(MAX_HEAD_BYTES))).await.status, 431, "too long");
    assert_eq!(node.ask("GET", "/", &"X: y\r\n".repeat(60)).await.status, 200);
}

#[tokio::test]
async fn before_the_first_list_the_page_shows_and_lists_wait() {
    let node = node().await;
    node.air.send(None).unwrap();
    assert_eq!(node.get("/").await.status, 200);
    let lists = [format!("/ipns/{STREAM}"), format!("/ipns/{STATION}/live.m3u8")];
    for target in lists.into_iter().chain(["/now.json", "/status.json", "/health"].map(String::from)) {
        let answer = node.get(&target).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "2"), "{target}");
    }
    assert_eq!(node.get(&format!("/ipfs/{}", node.segment)).await.status, 200);
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

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let node = node().await;
    let mut stream = node.connect().await;
    for _ in 0..3 {
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"ok\n") {
            let read = timeout(LONG, stream.read_buf(&mut bytes)).await.unwrap().unwrap();
            assert_ne!(read, 0, "closed after {bytes:?}");
        }
    }
}

#[tokio::test]
async fn slow_heads_and_silent_clients_are_closed_while_others_are_served() {
    let short = Duration::from_millis(50);
    let node = node_within(Limits { head_within: short, ..Limits::default() }).await;
    let mut slow = node.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    assert_eq!(node.get("/health").await.status, 200);
    assert!(is_closed(&mut slow).await, "a head that does not end");

    let node = node_within(Limits { idle: short, ..Limits::default() }).await;
    let mut silent = node.connect().await;
    assert!(is_closed(&mut silent).await, "a client that never asks");
    let mut idle = node.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(is_closed(&mut idle).await, "a client that asks no more");
}

#[tokio::test]
async fn a_request_may_come_in_pieces_and_late_on_a_kept_connection() {
    let limits = Limits { head_within: Duration::from_millis(400), ..Limits::default() };
    let node = node_within(limits).await;
    let mut stream = node.connect().await;
    for _ in 0..2 {
        for piece in ["GET /health HTTP/1.1\r\n", "Host: x\r\n\r\n"] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"ok\n") {
            assert_ne!(timeout(LONG, stream.read_buf(&mut bytes)).await.unwrap().unwrap(), 0);
        }
        // Longer than a head may take: time between requests is not time of a head.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_closed() {
    let node = node_within(Limits { write_stall: Duration::from_millis(100), ..Limits::default() }).await;
    let mut stream = node.connect().await;
    let request = format!("GET /ipfs/{} HTTP/1.1\r\nHost: x\r\n\r\n", node.segment);
    let many = request.repeat(1_000);
    // Asks for far more than the buffers between the two hold, and reads nothing.
    let asking = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
    timeout(LONG, asking).await.expect("the node closes");
}

/// Whether the node closes the connection; what it says before that does not matter.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_room_comes_back() {
    let node = node_within(Limits { connections: 2, ..Limits::default() }).await;
    let (first, mut second) = (node.connect().await, node.connect().await);
    second.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(second.read_u8().await.is_ok());
    let mut third = node.connect().await;
    assert!(matches!(timeout(LONG, third.read(&mut [0])).await.unwrap(), Ok(0) | Err(_)));
    drop(first);
    let served = async {
        loop {
            let mut again = node.connect().await;
            let _ = again.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
            if again.read_u8().await.is_ok() {
                break;
            }
        }
    };
    timeout(LONG, served).await.expect("room for one more");
}

#[tokio::test]
async fn a_stop_ends_the_service_and_its_connections() {
    let mut node = node().await;
    let mut idle = node.connect().await;
    idle.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert!(idle.read_u8().await.is_ok());
    node.stop.cancel();
    timeout(LONG, &mut node.ended).await.unwrap().unwrap().unwrap();
    assert!(is_closed(&mut idle).await);
    assert!(TcpStream::connect(node.address).await.is_err());
}
