//! What is answered: headers, ranges, conditions, refusals.

use cid::multibase::{self, Base};

use super::*;

const IMMUTABLE: &str = "public, max-age=29030400, immutable";

#[tokio::test]
async fn lists_segments_and_pages_have_their_headers() {
    let node = node().await;
    let (segment, root) = (node.segment, node.root);
    let table = [
        (format!("/ipns/{STREAM}"), "application/vnd.apple.mpegurl", "no-cache"),
        (format!("/ipns/{STATION}/live.m3u8"), "application/vnd.apple.mpegurl", "no-cache"),
        (format!("/ipns/{STATION}/live-64000.m3u8"), "application/vnd.apple.mpegurl", "no-cache"),
        (format!("/ipns/{STATION}/master.m3u8"), "application/vnd.apple.mpegurl", "no-cache"),
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

    // A folder's page is tagged as the folder, and nothing below it is told.
    for target in [format!("/ipfs/{root}/"), format!("/ipns/{STATION}/")] {
        let page = node.get(&target).await;
        assert_eq!(page.header("etag"), format!("\"{root}\""));
        assert_eq!((page.header("x-ipfs-roots"), page.text()), (&*root.to_string(), "<!doctype html><p>hi"));
    }

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

    let named = node.get(&format!("/ipns/{STATION}?format=ipns-record&filename=a.record")).await;
    assert_eq!(named.header("content-disposition"), "attachment; filename=\"a.record\"");

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
                if method == "HEAD" {
                    assert_eq!(answer.header("content-length"), first.header("content-length"), "{target}");
                }
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
async fn content_that_a_request_brings_along_is_not_served() {
    let node = node().await;
    let inline = |codec: u64, bytes: &[u8]| Cid::new_v1(codec, multihash::Multihash::wrap(0, bytes).unwrap());
    let html = inline(RAW, b"<html><script>alert(1)</script>");
    let page = File::Whole("<html>".into()).encode().unwrap().bytes;
    for cid in [html, inline(0x70, &page)] {
        for target in
            [format!("/ipfs/{cid}"), format!("/ipfs/{cid}?format=raw"), format!("/ipfs/{cid}?filename=a.html")]
        {
            assert_eq!(node.get(&target).await.status, 404, "{target}");
        }
    }
    for target in ["/ipfs/bafkqaaa", "/ipfs/bafkqaaa?format=raw"] {
        let probe = node.get(target).await;
        assert_eq!((probe.status, probe.body.len()), (200, 0), "{target}");
    }
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
        (format!("/ipfs/{root}?ü=%20"), 301, format!("/ipfs/{root}/?%C3%BC=%20")),
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
