//! Blocks on disk: the repo of `rust_ipfs`, behind one writer.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, TryStreamExt};
use rust_ipfs::repo::{DefaultStorage, Repo};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

use super::{Blocks, Error};
use crate::radio::segment::is_of;

pub mod care;
mod files;
mod writer;

use care::Care;
use writer::{First, Held, Job};

/// Jobs that may wait for the writer; whoever brings more waits with them.
const WAITING_JOBS: usize = 32;

/// The largest block that may be put: messages of bitswap hold two MiB, the block and a little beside it.
pub const MAX_BLOCK_BYTES: usize = (2 << 20) - (4 << 10);

/// The blocks of this node, pinned, in a folder. Cheap to clone.
///
/// Every write goes through one task, so that no two of them meet; reads go to the disk at once. The repo holds a lock
/// on its folder until the last clone is gone.
#[derive(Clone)]
pub struct Store {
    repo: Repo<DefaultStorage>,
    jobs: mpsc::Sender<Job>,
    first: mpsc::Sender<First>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
    care: Care,
}

/// How much a [`Store`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The number of blocks.
    pub blocks: u64,
    /// The bytes in them.
    pub bytes: u64,
}

impl Store {
    /// Opens the repo in `folder`, which is made if need be, and sweeps what an interrupted write left there.
    /// An error says that the folder cannot be used or that another process holds it.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let folder = folder.to_owned();
        tokio::fs::create_dir_all(&folder).await.map_err(failed)?;
        let repo = Repo::new_fs(&folder);
        repo.init()
            .await
            .map_err(|error| failed(format!("{}: {error}; is another process at it?", folder.display())))?;
        let swept = files::sweep(folder.clone()).await?;
        if swept > 0 {
            tracing::info!(files = swept, "swept what an interrupted write left in the block store");
        }
        let (jobs, waiting) = mpsc::channel(WAITING_JOBS);
        let (first, ahead) = mpsc::channel(WAITING_JOBS);
        let writer = tokio::spawn(writer::run(repo.clone(), folder, waiting, ahead));
        Ok(Self { repo, jobs, first, writer: Arc::new(Mutex::new(Some(writer))), care: Care::new() })
    }

    /// Every block that is here, pinned or not: what is to be swept is among them.
    pub async fn held(&self) -> Vec<Cid> {
        self.repo.list_blocks().await.collect().await
    }

    /// Every block that is pinned.
    pub async fn pinned(&self) -> Result<Vec<Cid>, Error> {
        self.repo.list_pins(None).await.map_ok(|(cid, _)| cid).try_collect().await.map_err(failed)
    }

    /// Whether a block is here, hashes to its name, and is pinned. One that no longer hashes to its name is deleted.
    pub async fn is_kept(&self, cid: &Cid) -> Result<bool, Error> {
        match writer::read(&self.repo, cid).await? {
            Held::Whole(_) => self.repo.is_pinned(cid).await.map_err(failed),
            Held::Not => Ok(false),
            Held::Broken => self.ask(|reply| Job::Heal(*cid, reply)).await.map(|()| false),
        }
    }

    /// What must be here, and what of it was missed by whoever asked for it.
    pub const fn care(&self) -> &Care {
        &self.care
    }

    /// The same as [`Blocks::put`], ahead of everything else that waits or is being put: for what airs next.
    pub async fn put_first(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        check(&blocks)?;
        let (reply, answer) = oneshot::channel();
        self.first.send(First(blocks, reply)).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }

    /// How much is here. Looks at every block: not for a hot path.
    pub async fn usage(&self) -> Result<Usage, Error> {
        let blocks = self.repo.list_blocks().await.count().await as u64;
        let bytes = self.repo.get_total_size().await.map_err(failed)? as u64;
        Ok(Usage { blocks, bytes })
    }

    /// Lets the writer finish what waits for it and ends it; later writes are refused. Returns when all is on disk.
    pub async fn close(&self) {
        let Some(writer) = self.writer.lock().await.take() else { return };
        if self.jobs.send(Job::Close).await.is_err() {
            return;
        }
        if let Err(error) = writer.await {
            tracing::error!(%error, "the writer of the block store failed");
        }
    }

    pub(super) fn repo(&self) -> &Repo<DefaultStorage> {
        &self.repo
    }

    async fn ask(&self, job: impl FnOnce(oneshot::Sender<Result<(), Error>>) -> Job) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
    }
}

impl Blocks for Store {
    async fn put(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        check(&blocks)?;
        self.ask(|reply| Job::Put(blocks, reply)).await
    }

    async fn get(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        match writer::read(&self.repo, &cid).await? {
            Held::Whole(bytes) => Ok(Some(bytes)),
            Held::Not => {
                self.care.missed(&cid);
                Ok(None)
            }
            Held::Broken => {
                tracing::warn!(%cid, "a block on disk no longer hashes to its name; it is deleted");
                self.ask(|reply| Job::Heal(cid, reply)).await?;
                self.care.missed(&cid);
                Err(Error::Corrupt(cid))
            }
        }
    }

    async fn remove(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.ask(|reply| Job::Remove(cids, reply)).await
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("waiting", &(WAITING_JOBS - self.jobs.capacity())).finish_non_exhaustive()
    }
}

/// Says why blocks cannot be put.
fn check(blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
    if let Some((cid, _)) = blocks.iter().find(|(cid, bytes)| !is_of(cid, bytes)) {
        return Err(Error::Corrupt(*cid));
    }
    if let Some((cid, bytes)) = blocks.iter().find(|(_, bytes)| bytes.len() > MAX_BLOCK_BYTES) {
        let size = bytes.len();
        return Err(Error::Store(format!("block {cid} of {size} bytes cannot travel: {MAX_BLOCK_BYTES} at most")));
    }
    Ok(())
}

/// The file in which the repo in `folder` keeps a block, for who reads beside the process that holds it: the shard is
/// named by the last but one and two characters of the CID (flatfs, "next-to-last/2").
pub fn block_file(folder: &Path, cid: &Cid) -> PathBuf {
    let name = cid.to_string();
    let shard = &name[name.len().saturating_sub(3)..name.len().saturating_sub(1)];
    folder.join("blockstore").join(shard).join(format!("{name}.data"))
}

fn failed(error: impl fmt::Display) -> Error {
    Error::Store(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        assert_eq!(store.usage().await.unwrap(), Usage { blocks: 50, bytes: 50_000 });
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
}
