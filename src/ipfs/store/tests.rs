//! The repo on a real disk.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures::FutureExt;

use super::*;
use crate::radio::segment::{DAG_PB, RAW, cid_of};

fn blocks(count: usize, bytes: usize) -> Vec<(Cid, Bytes)> {
    let block = |number: usize| {
        let mut bytes = vec![number as u8; bytes];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        (cid_of(RAW, &bytes), Bytes::from(bytes))
    };
    (0..count).map(block).collect()
}

#[tokio::test]
async fn blocks_and_pins_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks(50, 1_000);
    let store = Store::open(folder.path()).await.unwrap();
    store.put(blocks.clone()).await.unwrap();
    let refused = Store::open(folder.path()).await.unwrap_err().to_string();
    assert!(refused.contains("another process") && refused.contains(folder.path().to_str().unwrap()), "{refused}");
    store.close().await;
    assert!(matches!(store.put(vec![]).await, Err(Error::Stopped)));
    drop(store);

    let store = Store::open(folder.path()).await.unwrap();
    for (cid, bytes) in &blocks {
        assert_eq!(store.get(*cid).await.unwrap().as_ref(), Some(bytes));
    }
    let (mut pinned, mut held) = (store.pinned().await.unwrap(), store.held().await);
    let mut wanted: Vec<_> = blocks.iter().map(|(cid, _)| *cid).collect();
    [&mut pinned, &mut held, &mut wanted].into_iter().for_each(|cids| cids.sort());
    assert_eq!((&pinned, &held), (&wanted, &wanted));
    assert_eq!(store.held_bytes().await, held.iter().map(|cid| (*cid, 1_000)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_writer_that_breaks_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    store.put(blocks(1, 100)).await.unwrap();
    assert!(store.ended().now_or_never().is_none());
    store.writer.lock().await.as_ref().unwrap().abort();
    store.ended().await;
    assert!(store.put(blocks(1, 100)).await.is_err());
}

#[tokio::test]
async fn what_airs_next_is_put_while_a_list_is_being_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (list, segment) = (blocks(400, 100), blocks(401, 100).pop().unwrap());
    let listing = tokio::spawn({
        let (store, list) = (store.clone(), list.clone());
        async move { store.put(list).await.unwrap() }
    });
    while store.get(list[0].0).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    store.put_first(vec![segment.clone()]).await.unwrap();
    assert!(!listing.is_finished());
    assert_eq!(store.get(segment.0).await.unwrap(), Some(segment.1));
    listing.await.unwrap();
    assert_eq!(store.pinned().await.unwrap().len(), 401);
    store.put_first(blocks(2, 50)).await.unwrap();
    store.close().await;
    assert!(matches!(store.put_first(blocks(1, 50)).await, Err(Error::Stopped)));
}

#[tokio::test]
async fn a_list_is_put_while_there_are_always_segments_to_be_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let (list, segments) = (blocks(60, 100), blocks(20, 200));
    let put = Arc::new(AtomicUsize::new(0));
    let feed = || {
        let (store, segments, put) = (store.clone(), segments.clone(), put.clone());
        tokio::spawn(async move {
            loop {
                store.put_first(segments.clone()).await.unwrap();
                put.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let feeding: Vec<_> = (0..4).map(|_| feed()).collect();
    while put.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let before = put.load(Ordering::SeqCst);
    store.put(list).await.unwrap();
    let meanwhile = put.load(Ordering::SeqCst) - before;
    feeding.iter().for_each(JoinHandle::abort);
    assert!(meanwhile < 20, "{meanwhile} times came first");
}

#[tokio::test]
async fn what_is_removed_is_gone_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(3, 100);
    let directory = (cid_of(DAG_PB, b"dag-pb bytes"), Bytes::from_static(b"dag-pb bytes"));
    store.put(blocks.clone()).await.unwrap();
    store.put(vec![directory.clone()]).await.unwrap();
    let not_here = cid_of(RAW, b"not here");
    store.remove(vec![blocks[0].0, not_here, blocks[1].0, directory.0]).await.unwrap();
    assert_eq!(store.held().await, [blocks[2].0]);
    assert_eq!(store.pinned().await.unwrap(), [blocks[2].0]);
    for (cid, _) in &blocks[..2] {
        assert_eq!(store.get(*cid).await.unwrap(), None);
        assert!(!block_file(folder.path(), cid).exists());
    }
    store.remove(vec![blocks[0].0]).await.unwrap();
}

#[tokio::test]
async fn a_block_that_broke_on_disk_is_reported_once_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let block = blocks(1, 100).remove(0);
    let path = block_file(folder.path(), &block.0);
    for broken in [b"".as_slice(), b"something else", &[1; 100]] {
        store.put(vec![block.clone()]).await.unwrap();
        fs::write(&path, broken).unwrap();
        assert!(matches!(store.get(block.0).await, Err(Error::Corrupt(cid)) if cid == block.0));
        assert!(!path.exists());
        assert_eq!(store.get(block.0).await.unwrap(), None);
    }
    store.put(vec![block.clone()]).await.unwrap();
    fs::write(&path, b"broken, and nobody looked").unwrap();
    store.put(vec![block.clone()]).await.unwrap();
    assert_eq!(store.get(block.0).await.unwrap(), Some(block.1));
    assert_eq!(store.pinned().await.unwrap(), [block.0]);
}

#[tokio::test]
async fn a_block_that_must_be_here_and_is_not_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(2, 100);
    let (one, two) = (blocks[0].0, blocks[1].0);
    store.put(blocks).await.unwrap();
    assert!(store.is_kept(&one).await.unwrap());
    store.care().want([one].into());
    for cid in [one, two] {
        fs::write(block_file(folder.path(), &cid), b"broken").unwrap();
        assert!(store.get(cid).await.is_err());
    }
    assert_eq!(store.care().next().await, one);
    store.care().ended(&one);
    assert_eq!(store.get(one).await.unwrap(), None);
    assert_eq!(store.care().next().await, one);
    assert!(!store.is_kept(&one).await.unwrap() && !store.is_kept(&two).await.unwrap());
}

#[tokio::test]
async fn nothing_is_stored_under_a_name_that_is_not_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let mut blocks = blocks(2, 100);
    blocks[1].1 = Bytes::from_static(b"other bytes");
    assert!(matches!(store.put(blocks.clone()).await, Err(Error::Corrupt(cid)) if cid == blocks[1].0));
    assert_eq!(store.held().await, []);
    let large = vec![0; MAX_BLOCK_BYTES + 1];
    let large = vec![(cid_of(RAW, &large), Bytes::from(large))];
    assert!(matches!(store.put(large).await, Err(Error::Store(why)) if why.contains("cannot travel")));
    assert_eq!(store.held().await, []);
    let other_hash: Cid = "bafkqaaa".parse().unwrap();
    assert_eq!(store.get(other_hash).await.unwrap(), None);
}

#[tokio::test]
async fn a_disk_that_refuses_is_an_error_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(2, 100);
    let shard = block_file(folder.path(), &blocks[0].0).parent().unwrap().to_owned();
    fs::write(&shard, b"a file where a folder should be").unwrap();
    assert!(matches!(store.put(vec![blocks[0].clone()]).await, Err(Error::Store(_))));
    fs::remove_file(&shard).unwrap();
    store.put(blocks.clone()).await.unwrap();
    assert_eq!(store.held().await.len(), 2);
}

#[tokio::test]
async fn what_a_full_disk_refuses_is_here_and_goes_to_the_disk_as_soon_as_it_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(4, 100);
    store.put(vec![blocks[0].clone()]).await.unwrap();
    store.refused().pretend(true);
    store.put_first(vec![blocks[1].clone(), blocks[2].clone()]).await.unwrap();
    store.put(vec![blocks[3].clone()]).await.unwrap();
    let told = store.refused().told().unwrap();
    assert_eq!((told.blocks, told.bytes), (3, 300));
    assert!(told.to_string().contains("no room") && told.to_string().contains("up to 1 MiB"), "{told}");
    for (cid, bytes) in &blocks[1..] {
        assert_eq!(store.get(*cid).await.unwrap().as_ref(), Some(bytes));
        assert!(store.is_kept(cid).await.unwrap() && !block_file(folder.path(), cid).exists());
    }
    assert_eq!(store.held().await.len(), 4);
    store.remove(vec![blocks[1].0, blocks[0].0]).await.unwrap();
    assert_eq!((store.get(blocks[1].0).await.unwrap(), store.held().await.len()), (None, 2));
    store.refused().pretend(false);
    // One that is put again is on the disk at once, the others when it is their turn, at the latest at the end.
    store.put(vec![blocks[2].clone()]).await.unwrap();
    assert!(block_file(folder.path(), &blocks[2].0).exists());
    store.close().await;
    assert_eq!(store.refused().told(), None);
    drop(store);
    let store = Store::open(folder.path()).await.unwrap();
    assert_eq!(store.get(blocks[3].0).await.unwrap().as_ref(), Some(&blocks[3].1));
    assert_eq!(store.pinned().await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_refused_is_offered_again_while_nothing_else_is_put() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(30, 20);
    store.refused().pretend(true);
    store.put(blocks.clone()).await.unwrap();
    store.refused().pretend(false);
    while store.refused().told().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(store.pinned().await.unwrap().len(), 30);
    assert!(blocks.iter().all(|(cid, _)| block_file(folder.path(), cid).exists()));
}

#[tokio::test]
async fn what_a_killed_writer_left_is_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let block = blocks(1, 100).remove(0);
    store.put(vec![block.clone()]).await.unwrap();
    store.close().await;
    drop(store);
    let path = block_file(folder.path(), &block.0);
    let stray = path.with_extension("data.1.0.tmp");
    fs::hard_link(&path, &stray).unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    assert!(!stray.exists());
    assert_eq!(store.get(block.0).await.unwrap(), Some(block.1));
}

#[tokio::test]
async fn blocks_in_memory_and_on_disk_behave_alike() {
    let folder = tempfile::tempdir().unwrap();
    behaves(Store::open(folder.path()).await.unwrap()).await;
    behaves(crate::ipfs::memory::Memory::default()).await;
}

async fn behaves(store: impl Blocks) {
    let blocks = blocks(3, 64);
    let (cid, bytes) = blocks[0].clone();
    assert_eq!(store.get(cid).await.unwrap(), None);
    for _ in 0..2 {
        store.put(blocks.clone()).await.unwrap();
        assert_eq!(store.get(cid).await.unwrap().as_ref(), Some(&bytes));
    }
    let false_name = vec![(cid, Bytes::from_static(b"other"))];
    assert!(matches!(store.put(false_name).await, Err(Error::Corrupt(named)) if named == cid));
    store.remove(vec![cid, cid_of(RAW, b"not here")]).await.unwrap();
    assert_eq!(store.get(cid).await.unwrap(), None);
    assert!(store.get(blocks[1].0).await.unwrap().is_some());
}

#[tokio::test]
async fn many_writers_and_readers_at_once_all_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let blocks = blocks(200, 500);
    let tasks = blocks.chunks(5).map(|part| {
        let (store, part) = (store.clone(), part.to_vec());
        tokio::spawn(async move {
            store.put(part.clone()).await.unwrap();
            for (cid, bytes) in part {
                assert_eq!(store.get(cid).await.unwrap(), Some(bytes));
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(store.pinned().await.unwrap().len(), 200);
}
