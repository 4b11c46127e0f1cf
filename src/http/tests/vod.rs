//! Recordings on demand, from folders on disk.

use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::radio::{segment::short_name, vod::address};

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const ID: &str = "00112233445566778899aabbccddeeff";

/// Puts a chunk and the list that names it into the folder called `store`; gives the names of both.
fn record(node: &Node, store: &str) -> (String, String) {
    let store = Store::new(node.recordings.path().join(store));
    let chunk = short_name(&segment());
    let list = format!("#EXTM3U\n#EXTINF:1.000000,\n{chunk}\n#EXT-X-ENDLIST\n");
    let stream = short_name(list.as_bytes());
    fs::create_dir_all(store.chunks()).unwrap();
    fs::create_dir_all(store.streams(ID)).unwrap();
    fs::write(store.chunk(&chunk), segment()).unwrap();
    fs::write(store.stream(ID, &stream), list).unwrap();
    (chunk, stream)
}

#[tokio::test]
async fn lists_lead_to_chunks_and_neither_ever_changes() {
    for store in ["processed", "generated"] {
        let node = node().await;
        let (chunk, stream) = record(&node, store);
        let list = node.get(&address(ID, &stream)).await;
        let expected = format!("#EXTM3U\n#EXTINF:1.000000,\n/chunks/{chunk}.ts\n#EXT-X-ENDLIST\n");
        assert_eq!((list.status, list.text()), (200, &*expected));
        assert_eq!(list.header("content-type"), "application/vnd.apple.mpegurl");
        let audio = node.get(&format!("/chunks/{chunk}.ts")).await;
        assert_eq!((audio.status, audio.header("content-type")), (200, "video/mp2t"));
        assert_eq!(audio.body, segment());
        for answer in [&list, &audio] {
            assert_eq!(answer.header("cache-control"), IMMUTABLE);
            assert_eq!(answer.header("access-control-allow-origin"), "*");
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
            assert_eq!(answer.header("etag"), format!("\"{}\"", raw(answer.body.clone()).0));
        }
    }
}

#[tokio::test]
async fn conditions_ranges_and_head_hold_for_them() {
    let node = node().await;
    let (chunk, stream) = record(&node, "processed");
    for target in [address(ID, &stream), format!("/chunks/{chunk}.ts")] {
        let whole = node.get(&target).await;
        let etag = whole.header("etag");
        let known = node.ask("GET", &target, &format!("If-None-Match: {etag}\r\n")).await;
        assert_eq!((known.status, known.body.len(), known.header("cache-control")), (304, 0, IMMUTABLE));
        let part = node.ask("GET", &target, "Range: bytes=3-9\r\n").await;
        assert_eq!((part.status, &part.body[..]), (206, &whole.body[3..10]));
        assert_eq!(part.header("content-range"), format!("bytes 3-9/{}", whole.body.len()));
        let other = node.ask("GET", &target, &format!("Range: bytes=3-9\r\nIf-Range: \"x{}\r\n", &etag[1..])).await;
        assert_eq!((other.status, other.body.len()), (200, whole.body.len()));
        assert_eq!(node.ask("GET", &target, "Range: bytes=99999-\r\n").await.status, 416);
        let head = node.ask("HEAD", &target, "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        for name in ["content-length", "etag", "content-type", "cache-control", "accept-ranges"] {
            assert_eq!(head.header(name), whole.header(name), "{name}");
        }
    }
}

#[tokio::test]
async fn nothing_but_what_hashes_to_its_name_comes_out() {
    let node = node().await;
    let (chunk, stream) = record(&node, "processed");
    let store = Store::new(node.recordings.path().join("processed"));
    let secret = node.recordings.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let (planted, fifo) = (short_name(b"planted"), short_name(b"fifo"));
    symlink(&secret, store.chunk(&planted)).unwrap();
    fs::create_dir(store.chunk(&fifo)).unwrap();
    symlink(&secret, store.stream(ID, &planted)).unwrap();
    fs::write(store.chunks().join("notes.ts"), "secret").unwrap();
    let (unknown, upper) = (short_name(b"unknown"), chunk.to_uppercase());
    for (target, status) in [
        (format!("/chunks/{unknown}.ts"), 404),
        (address(ID, &unknown), 404),
        (address(&unknown, &stream), 404),
        (format!("/chunks/{upper}.ts"), 404),
        (format!("/chunks/{chunk}"), 404),
        ("/chunks/notes.ts".into(), 404),
        ("/chunks/".into(), 404),
        ("/audio/".into(), 404),
        (format!("/audio/{ID}/meta.json"), 404),
        ("/chunks/../secret".into(), 404),
        ("/chunks/%2e%2e/%2e%2e/secret".into(), 404),
        ("/chunks/..%2f..%2fsecret".into(), 404),
        (format!("/audio/{ID}/stream/../../../../../secret"), 404),
        (format!("/audio/..%2f{ID}/stream/{stream}.m3u8"), 404),
        (format!("/chunks/{chunk}%00.ts"), 404),
        (format!("/chunks/{planted}.ts"), 500),
        (format!("/chunks/{fifo}.ts"), 500),
        (address(ID, &planted), 500),
    ] {
        let answer = node.get(&target).await;
        assert_eq!(answer.status, status, "{target}: {answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store", "{target}");
        assert!(!answer.text().contains("secret\n") && answer.text() != "secret", "{target}: {answer:?}");
    }
    fs::write(store.chunk(&chunk), [segment(), segment()].concat()).unwrap();
    let damaged = node.get(&format!("/chunks/{chunk}.ts")).await;
    assert_eq!(damaged.status, 500);
    assert!(damaged.text().contains("setup --repair"), "{}", damaged.text());
    fs::write(store.chunk(&chunk), vec![0x47; 3 << 20]).unwrap();
    assert_eq!(node.get(&format!("/chunks/{chunk}.ts")).await.status, 500, "longer than any chunk");
}
