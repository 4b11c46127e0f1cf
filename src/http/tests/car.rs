//! `format=car`: which blocks come, in which order, and what is said of them. The cases are those of the trustless part
//! of gateway-conformance, on graphs of our own.

use super::*;
use crate::ipfs::dag;

/// What a CAR holds: its root, and its blocks in their order, each of which must hash to its name.
fn read(car: &[u8]) -> (Cid, Vec<Cid>) {
    let mut rest = car;
    let header = frame(&mut rest);
    let link = header.strip_prefix(b"\xa2\x65roots\x81\xd8\x2a").expect("one root");
    let (link, end) = link.split_at(link.len() - 9);
    assert_eq!(end, b"\x67version\x01");
    let length = if link[0] == 0x58 { 2 } else { 1 };
    assert_eq!(link[length], 0, "the marker of a CID");
    let root = Cid::try_from(&link[length + 1..]).unwrap();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let mut section = frame(&mut rest);
        let cid = Cid::read_bytes(&mut section).unwrap();
        assert!(crate::radio::segment::is_of(&cid, section), "{cid}");
        blocks.push(cid);
    }
    (root, blocks)
}

fn frame<'c>(rest: &mut &'c [u8]) -> &'c [u8] {
    let (mut length, mut shift) = (0, 0);
    loop {
        let (byte, after) = rest.split_first().expect("a length");
        *rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let (frame, after) = rest.split_at(length);
    *rest = after;
    frame
}

/// The bytes of a chunked body, and whether it came to its end.
fn chunks(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(line) = body.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        if length == 0 {
            return (bytes, true);
        }
        let Some(chunk) = body.get(line + 2..line + 2 + length) else { break };
        bytes.extend_from_slice(chunk);
        body = &body[(line + 4 + length).min(body.len())..];
    }
    (bytes, false)
}

impl Answer {
    /// The CAR of a whole answer.
    fn car(&self) -> (Cid, Vec<Cid>) {
        assert_eq!((self.status, self.header("transfer-encoding")), (200, "chunked"), "{self:?}");
        let (bytes, ended) = chunks(&self.body);
        assert!(ended);
        read(&bytes)
    }
}

/// The blocks of the node's root, by name.
struct Parts {
    page: Cid,
    folder: Cid,
    list: Cid,
    rest: Cid,
}

impl Node {
    /// The blocks that come before the node ends the connection; what it had not sent by then is lost.
    async fn torn_car(&self, target: &str) -> Vec<Cid> {
        let mut stream = self.connect().await;
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the node closes").unwrap();
        if bytes.is_empty() {
            return Vec::new();
        }
        let (car, ended) = chunks(&parse(&bytes).body);
        assert!(!ended, "what is not whole must not look whole");
        read(&car).1
    }

    fn parts(&self) -> Parts {
        let folder = folder(&[(&self.segment.to_string(), self.segment)]).0;
        Parts { page: raw("<!doctype html><p>hi").0, folder, list: raw(LIST).0, rest: raw("the rest").0 }
    }
}

#[tokio::test]
async fn a_root_comes_with_everything_below_it_depth_first() {
    let node = node().await;
    let (root, segment, file) = (node.root, node.segment, node.file);
    let Parts { page, folder, list, rest } = node.parts();
    let once = vec![root, page, folder, segment, list, file, rest];
    // One list under three names.
    let each = vec![root, page, folder, segment, list, list, file, segment, rest, list];
    let accept = "Accept: application/vnd.ipld.car; version=1; order=dfs; dups=";
    for (target, accept, blocks) in [
        (format!("/ipfs/{root}?format=car"), String::new(), &once),
        (format!("/ipfs/{root}/?format=car"), String::new(), &once),
        (format!("/ipfs/{root}?format=car&dag-scope=all&car-order=unk"), String::new(), &once),
        (format!("/ipfs/{root}"), format!("{accept}n\r\n"), &once),
        (format!("/ipfs/{root}?format=car"), format!("{accept}y\r\n"), &each),
        (format!("/ipfs/{root}?car-dups=y"), format!("{accept}n\r\n"), &each),
        (format!("/ipns/{STATION}?format=car"), String::new(), &once),
        (format!("/ipns/{STATION}/"), "Accept: application/vnd.ipld.car\r\n".into(), &once),
    ] {
        let answer = node.ask("GET", &target, &accept).await;
        assert_eq!(answer.car(), (root, blocks.clone()), "{target} {accept}");
        let dups = if blocks.len() == each.len() { "y" } else { "n" };
        let media_type = format!("application/vnd.ipld.car; version=1; order=dfs; dups={dups}");
        assert_eq!(answer.header("content-type"), media_type);
    }
}

#[tokio::test]
async fn a_path_comes_first_and_the_scope_says_what_follows() {
    let node = node().await;
    let (root, segment, file) = (node.root, node.segment, node.file);
    let Parts { folder, rest, .. } = node.parts();
    let below = |cid: Cid| format!("/ipfs/{root}/ipfs/{cid}");
    for (path, query, end, blocks) in [
        (below(segment), "", segment, vec![root, folder, segment]),
        (below(segment), "&dag-scope=block", segment, vec![root, folder, segment]),
        (format!("/ipfs/{root}/ipfs"), "", folder, vec![root, folder, segment]),
        (format!("/ipfs/{root}/ipfs"), "&dag-scope=entity", folder, vec![root, folder]),
        (format!("/ipfs/{root}/ipfs/"), "&entity-bytes=0:5", folder, vec![root, folder]),
        (format!("/ipfs/{root}"), "&dag-scope=block", root, vec![root]),
        (format!("/ipfs/{root}/long.mpegts"), "&dag-scope=block", file, vec![root, file]),
        (format!("/ipfs/{root}/long.mpegts"), "&dag-scope=entity", file, vec![root, file, segment, rest]),
        (format!("/ipfs/{root}/long.mpegts"), "", file, vec![root, file, segment, rest]),
        (format!("/ipfs/{file}"), "&entity-bytes=0:*", file, vec![file, segment, rest]),
        (format!("/ipfs/{file}"), "&entity-bytes=0:0", file, vec![file, segment]),
        (format!("/ipfs/{file}"), "&entity-bytes=752:*", file, vec![file, rest]),
        (format!("/ipfs/{file}"), "&entity-bytes=751:752", file, vec![file, segment, rest]),
        (format!("/ipfs/{file}"), "&entity-bytes=-5:*", file, vec![file, rest]),
        (format!("/ipfs/{file}"), "&entity-bytes=-9999:-9", file, vec![file, segment]),
        (format!("/ipfs/{file}"), "&entity-bytes=9999:*", file, vec![file]),
        (format!("/ipfs/{segment}"), "&entity-bytes=5:7", segment, vec![segment]),
        ("/ipfs/bafkqaaa".into(), "", "bafkqaaa".parse().unwrap(), vec![]),
        ("/ipfs/bafkqaaa".into(), "&car-dups=y&dag-scope=entity", "bafkqaaa".parse().unwrap(), vec![]),
    ] {
        let answer = node.get(&format!("{path}?format=car{query}")).await;
        assert_eq!(answer.car(), (end, blocks), "{path} {query}");
    }
}

#[tokio::test]
async fn cars_say_what_they_are() {
    let node = node().await;
    let target = format!("/ipfs/{}?format=car", node.root);
    let answer = node.get(&target).await;
    assert_eq!(answer.header("accept-ranges"), "none");
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{}.car\"", node.root));
    assert_eq!(answer.header("cache-control"), "public, max-age=29030400, immutable");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("x-ipfs-roots"), node.root.to_string());
    assert_eq!((answer.header("vary"), answer.header("content-location")), ("Accept", ""));
    let named = node.get(&format!("{target}&filename=window.car")).await;
    assert_eq!(named.header("content-disposition"), "attachment; filename=\"window.car\"");
    // A range is not to be had; nothing is sent for what is known.
    let ranged = node.ask("GET", &target, "Range: bytes=0-9\r\n").await;
    assert_eq!(ranged.car(), answer.car());
    let etag = answer.header("etag");
    let known = node.ask("GET", &target, &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, etag));
    let mut tags = vec![etag.to_owned()];
    for query in ["&dag-scope=entity", "&dag-scope=block", "&entity-bytes=0:*", "&entity-bytes=1:*", "&car-dups=y"] {
        tags.push(node.get(&format!("{target}{query}")).await.header("etag").to_owned());
    }
    tags.push(node.get(&format!("/ipfs/{}/", node.root)).await.header("etag").to_owned());
    assert!((0..tags.len()).all(|at| tags[at].starts_with('"') != tags[..at].contains(&tags[at])), "{tags:?}");

    let mut head = node.ask("HEAD", &target, "").await;
    let mut get = answer;
    assert!(head.body.is_empty());
    for answer in [&mut head, &mut get] {
        answer.headers.remove("date");
        answer.headers.remove("transfer-encoding"); // There is nothing to be transferred for HEAD.
    }
    assert_eq!((head.status, &head.headers), (200, &get.headers));
}

#[tokio::test]
async fn what_accept_asked_for_has_an_address_of_its_own() {
    let node = node().await;
    let root = node.root;
    for (target, accept, location) in [
        (format!("/ipfs/{root}"), "application/vnd.ipld.raw", format!("/ipfs/{root}?format=raw")),
        (
            format!("/ipfs/{root}?car-dups=y&dag-scope=block"),
            "application/vnd.ipld.car",
            format!("/ipfs/{root}?car-dups=y&dag-scope=block&format=car&car-version=1&car-order=dfs"),
        ),
        (format!("/ipns/{STATION}"), "application/vnd.ipfs.ipns-record", format!("/ipns/{STATION}?format=ipns-record")),
    ] {
        let negotiated = node.ask("GET", &target, &format!("Accept: {accept}\r\n")).await;
        assert_eq!(negotiated.header("content-location"), location);
        let direct = node.get(&location).await;
        let shown = [&negotiated, &direct].map(|answer| (answer.header("content-type"), &answer.body));
        assert_eq!(shown[0], shown[1], "{location}");
    }
    assert_eq!(node.get(&format!("/ipns/{STREAM}")).await.header("content-location"), "");
}

#[tokio::test]
async fn blocks_that_are_not_here_are_refused_or_end_the_connection() {
    let node = node().await;
    let (root, file) = (node.root, node.file);
    let stranger = raw("not here").0;
    for (target, status) in [
        (format!("/ipfs/{stranger}?format=car"), 404),
        (format!("/ipfs/{root}/missing?format=car"), 404),
        (format!("/ipfs/{}?format=car", cid_of(0x71, b"x")), 404),
        (format!("/ipfs/{root}?format=car&dag-scope=some"), 400),
        (format!("/ipfs/{root}?format=car&entity-bytes=x"), 400),
        (format!("/ipfs/{root}?format=car&car-version=2"), 406),
    ] {
        for method in ["GET", "HEAD"] {
            assert_eq!(node.ask(method, &target, "").await.status, status, "{target}");
        }
    }
    let cached = node.ask("HEAD", &format!("/ipfs/{stranger}?format=car"), "Cache-Control: only-if-cached\r\n").await;
    assert_eq!(cached.status, 412);

    let rest = node.parts().rest;
    node.blocks.remove(vec![rest]).await.unwrap();
    for target in [format!("/ipfs/{root}?format=car"), format!("/ipfs/{file}?format=car")] {
        assert!(!node.torn_car(&target).await.contains(&rest));
    }
    // What does not need the block is whole: a block after the range, or one that a path passes by.
    for query in ["entity-bytes=0:751", "entity-bytes=5:9", "dag-scope=block"] {
        let (_, blocks) = node.get(&format!("/ipfs/{file}?format=car&{query}")).await.car();
        assert!(blocks.starts_with(&[file]) && !blocks.contains(&rest), "{query}");
    }
    node.blocks.put(vec![raw("the rest")]).await.unwrap();
    node.blocks.remove(vec![node.segment]).await.unwrap();
    assert_eq!(node.get(&format!("/ipfs/{file}?format=car&entity-bytes=752:*")).await.car().1, [file, rest]);
}

#[tokio::test]
async fn a_graph_without_end_is_cut_off() {
    let node = node().await;
    // Each level links the one below it a thousand times: with repeats that is a million blocks.
    let (mut below, leaf) = (node.segment, node.segment);
    for _ in 0..2 {
        let names: Vec<String> = (0..1_000).map(|at| format!("{at:04}")).collect();
        let entries: Vec<(&str, Cid)> = names.iter().map(|name| (name.as_str(), below)).collect();
        let wide = folder(&entries);
        below = wide.0;
        node.blocks.put(vec![wide]).await.unwrap();
    }
    let once = node.get(&format!("/ipfs/{below}?format=car")).await.car().1;
    assert_eq!((once.len(), once[2]), (3, leaf));
    let each = node.torn_car(&format!("/ipfs/{below}?format=car&car-dups=y")).await.len();
    assert!((dag::walk::MAX_BLOCKS / 2..=dag::walk::MAX_BLOCKS).contains(&each), "{each}");

    for _ in 0..dag::MAX_DEPTH {
        let deep = folder(&[("below", below)]);
        below = deep.0;
        node.blocks.put(vec![deep]).await.unwrap();
    }
    assert!(node.torn_car(&format!("/ipfs/{below}?format=car")).await.len() <= dag::MAX_DEPTH + 1);
}
