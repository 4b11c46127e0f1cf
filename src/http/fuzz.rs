//! A request to the listener port as a function of bytes: see [`crate::fuzz`].

use std::sync::LazyLock;

use axum::{
    body::to_bytes,
    http::{HeaderName, StatusCode, Uri},
};
use cid::Cid;
use futures::executor::block_on;

use super::*;
use crate::{
    ipfs::{
        dag::{Directory, Entry, File, Part},
        memory::Memory,
    },
    radio::{
        fuzz::said,
        segment::is_of,
        status::{Network, SetupProgress, Status},
    },
};
use address::{Address, Query};
use range::{Wanted, wanted};

pub(super) const STATION: &str = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
pub(super) const STREAM: &str = "k51qzi5uqu5dhvnprrkkdvhtdz7d6xmc9n6qf0mfkczqvgs1dnhyl0z59ac53g";
pub(super) const LIST: &str = "#EXTM3U\n#EXT-X-VERSION:9\n";
/// What the port may answer: never that it failed.
const STATUSES: [u16; 15] = [200, 204, 206, 301, 302, 304, 400, 404, 405, 406, 412, 413, 414, 416, 503];

/// Texts that mean something in a request.
pub(crate) const WORDS: [&str; 22] = [
    "/ipfs/",
    "/ipns/",
    "/chunks/",
    "/audio/",
    "/stream/",
    "?format=",
    "raw",
    "car",
    "ipns-record",
    "&filename=",
    "&download=true",
    "&dag-scope=",
    "&entity-bytes=",
    "%2e%2e",
    "%00",
    "\nrange: bytes=",
    "\naccept: ",
    "\nif-none-match: ",
    "\nif-range: ",
    "application/vnd.ipld.raw",
    "application/vnd.ipld.car; dups=y",
    "18446744073709551615",
];

/// The port of a station with a segment, a file of two blocks, a folder and a page.
struct Port {
    routes: Router,
    root: Cid,
    segment: Cid,
    file: Cid,
}

static PORT: LazyLock<Port> = LazyLock::new(port);

fn port() -> Port {
    let raw = |bytes: &'static [u8]| (cid_of(RAW, bytes), Bytes::from_static(bytes));
    let (first, second, page, list) =
        (raw(b"one segment"), raw(b"the rest"), raw(b"<!doctype html>"), raw(LIST.as_bytes()));
    let parts = [&first, &second].map(|(cid, bytes)| Part { cid: *cid, bytes: bytes.len() as u64 });
    let file = File::Parts(parts.to_vec()).encode().expect("two blocks are few");
    let entry = |(name, cid): (&str, Cid)| Entry { name: name.into(), cid, tsize: 1 };
    let entries = [("index.html", page.0), ("live.m3u8", list.0), ("long.mpegts", file.cid), ("ü", first.0)];
    let folder = Directory::new(entries.map(entry).into()).and_then(|folder| folder.encode()).expect("four entries");
    let (segment, root, file_cid) = (first.0, folder.cid, file.cid);
    let blocks = Memory::default();
    let held = vec![first, second, page, list, (file.cid, file.bytes), (folder.cid, folder.bytes)];
    block_on(blocks.put(held)).expect("they hash to their names");
    let records = Records { station: Some(Bytes::from_static(b"a record")), stream: None };
    let site = Site {
        station: STATION.into(),
        stream: STREAM.into(),
        peer: "12D3KooW".into(),
        title: "Rödio <1>".into(),
        blocks,
        on_air: watch::channel(Some(air(root, "ok"))).1,
        records: watch::channel(records).1,
        recordings: [].into(),
        originals: None,
    };
    Port { routes: router(site), root, segment, file: file_cid }
}

/// What is on air: a list of nothing.
pub(super) fn air(root_cid: Cid, health: &str) -> Arc<OnAir> {
    let status = Status {
        station: STATION.into(),
        stream: STREAM.into(),
        peer: "12D3KooW".into(),
        addresses: vec![],
        gateways: vec![],
        findable: false,
        network: Network::default(),
        media_sequence: 7,
        now: None,
        next: None,
        rungs: Vec::new(),
        tolerated_staleness_seconds: 270.0,
        needed_staleness_seconds: 198.0,
        last_publish: None,
        setup: SetupProgress { state: "done".into(), done: 1, total: 1 },
        clock: None,
        mirror: None,
        health: health.into(),
    };
    let (list_cid, now_json) = (cid_of(RAW, LIST.as_bytes()), "{\"now\":null}".into());
    Arc::new(OnAir { list: LIST.into(), list_cid, root_cid, now_json, status, ledger: None })
}

/// The first line of the input is a target, the others are headers. Whatever they are, the answer is one of those that
/// there are, and what is sent is what was asked for.
pub(crate) fn gateway(data: &[u8]) {
    LazyLock::force(&PORT);
    let mut lines = data.split(|byte| *byte == b'\n');
    let target = lines.next().unwrap_or_default();
    let headers: Vec<(HeaderName, HeaderValue)> = lines.filter_map(named).take(MAX_HEADERS - 1).collect();
    for range in headers.iter().filter_map(|(_, value)| value.to_str().ok()) {
        ranged(range);
    }
    words(&String::from_utf8_lossy(data));
    let Ok(uri) = Uri::try_from(target) else { return };
    placed(&uri);
    let mut request =
        Request::builder().uri(uri.clone()).header(header::HOST, "x").body(()).expect("its parts are good");
    request.headers_mut().extend(headers);
    let answered = |method| {
        let mut head = request.clone();
        *head.method_mut() = method;
        block_on(asked(head))
    };
    let (got, body) = answered(Method::GET);
    let (told, nothing) = answered(Method::HEAD);
    assert!(nothing.is_empty() || !told.status.is_success(), "HEAD has no body");
    if !request.headers().contains_key(header::RANGE) {
        assert_eq!((got.status, got.headers.get(header::ETAG)), (told.status, told.headers.get(header::ETAG)));
    }
    if got.status == StatusCode::PARTIAL_CONTENT {
        request.headers_mut().remove(header::RANGE);
        let (_, whole) = block_on(asked(request.clone()));
        partial(&got, &body, &whole);
    }
    true_to_its_name(&uri, &got, &body);
}

fn named(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    // One Host is there, and a body is refused before it is looked at.
    Some((name, value)).filter(|(name, _)| *name != header::HOST)
}

/// The answer to a request.
async fn asked(request: Request<()>) -> (axum::http::response::Parts, Bytes) {
    let request = request.map(|()| axum::body::Body::empty());
    let (head, body) = answer(PORT.routes.clone(), request).await.into_parts();
    assert!(STATUSES.contains(&head.status.as_u16()), "{}", head.status);
    if let Some(place) = head.headers.get(header::LOCATION) {
        let place = place.to_str().expect("a location is ASCII");
        assert!(place.starts_with("/ipfs/") || place.starts_with("/ipns/"), "{place}");
    }
    let body = to_bytes(body, usize::MAX).await.expect("all blocks are here");
    if let Some(length) = head.headers.get(header::CONTENT_LENGTH).filter(|_| !body.is_empty()) {
        assert_eq!(length.to_str().ok().and_then(|length| length.parse().ok()), Some(body.len()));
    }
    (head, body)
}

fn partial(head: &axum::http::response::Parts, body: &[u8], whole: &[u8]) {
    let told = head.headers.get(header::CONTENT_RANGE).and_then(|told| told.to_str().ok()).expect("it tells its range");
    let numbers: Vec<usize> = told.split([' ', '-', '/']).filter_map(|number| number.parse().ok()).collect();
    let [first, last, length] = numbers[..] else { panic!("{told}") };
    assert!(length == whole.len() && first <= last && last < length, "{told}");
    assert_eq!(&whole[first..=last], body);
}

/// The block of a name hashes to it.
fn true_to_its_name(uri: &Uri, head: &axum::http::response::Parts, body: &[u8]) {
    let kind = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let bare = Address::read(uri, "/ipfs/").ok().filter(|address| address.path.is_empty());
    let cid = bare.and_then(|address| address::cid(&address.root).ok());
    if let Some(cid) = cid.filter(|_| head.status == StatusCode::OK && kind == b"application/vnd.ipld.raw") {
        assert!(cid.hash().code() == 0 || is_of(&cid, body));
    }
}

/// A path below a namespace is decoded once and names nothing else.
fn placed(uri: &Uri) {
    for namespace in ["/ipfs/", "/ipns/"] {
        let Ok(Address { root, path, .. }) = Address::read(uri, namespace) else { continue };
        for part in path.iter().chain([&root]) {
            assert!(!matches!(part.as_str(), "" | "." | "..") && !part.contains(['/', '\\']), "{part:?}");
            assert!(!part.contains(char::is_control), "{part:?}");
        }
        assert!(!address::is_spelling_of(&root, STATION) || !address::is_spelling_of(&root, STREAM));
        drop(address::cid(&root));
    }
    vod::placed(uri.path());
    drop(Query::read(uri));
}

/// A range is within what there is, and not empty.
fn ranged(text: &str) {
    for length in [0, 1, 10, u64::MAX] {
        if let Wanted::Part(range) = wanted(Some(text), length) {
            assert!(range.start < range.end && range.end <= length, "{range:?} of {length}");
        }
    }
}

/// Any text can be the name of a download, and any bytes are of some kind.
fn words(text: &str) {
    for download in [true, false] {
        let told = kind::disposition(download, text);
        assert!(HeaderValue::try_from(&told).is_ok() && told.matches('"').count() == 2, "{told}");
    }
    assert!(!kind::content_type(text.as_bytes(), text).is_empty());
    if let Err(refusal) = address::cid(text) {
        said(&format!("{refusal:?}"));
    }
}

pub(crate) fn gateway_seeds() -> Vec<Vec<u8>> {
    let Port { root, segment, file, .. } = &*PORT;
    let plain = [
        format!("/ipfs/{segment}?filename=s.mpegts\nrange: bytes=0-3"),
        format!("/ipfs/{file}\nrange: bytes=5-\nif-range: \"{file}\""),
        format!("/ipfs/{file}?format=raw\nrange: bytes=-4"),
        format!("/ipfs/{root}/?download=true"),
        format!("/ipfs/{root}?ü"),
        format!("/ipfs/{root}/%C3%BC\nif-none-match: W/\"{segment}\", *"),
        format!("/ipfs/{root}?format=car&dag-scope=entity&entity-bytes=0:*&car-dups=y"),
        format!("/ipfs/{root}/long.mpegts\naccept: application/vnd.ipld.car; version=1; order=dfs; dups=y"),
        format!("/ipns/{STATION}/live.m3u8\naccept: application/vnd.ipld.raw"),
        format!("/ipns/{STREAM}?format=ipns-record"),
        format!("/ipns/{STATION}\naccept: application/vnd.ipfs.ipns-record"),
        format!("/ipns/{}/x?y", STATION.to_uppercase()),
        "/ipfs/bafkqaaa\ncache-control: only-if-cached".into(),
        "/ipfs/a/%2e%2e/b%2fc//\\".into(),
        "/chunks/0123456789abcdef0123456789abcdef.ts".into(),
        "/status.json\nif-none-match: *".into(),
        "http://x/\ncontent-length: 1\ntransfer-encoding: chunked".into(),
    ];
    plain.map(String::into_bytes).into()
}
