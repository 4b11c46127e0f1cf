//! Blocks on disk: the repo of `rust_ipfs`, behind one writer.

use std::{
    fmt,
    fs::DirEntry,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use cid::Cid;
use rust_ipfs::repo::{DefaultStorage, Repo};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
};

pub use super::dag::MAX_BLOCK_BYTES;
use super::{Blocks, Error};
use crate::radio::segment::{COVER_MAX, is_of};

pub mod care;
mod files;
pub mod refused;
mod writer;

use care::Care;
use refused::Refused;
use writer::{Desk, First, Held, Job};

/// Jobs that may wait for the writer; whoever brings more waits with them.
const WAITING_JOBS: usize = 32;

const _: () = assert!(COVER_MAX <= MAX_BLOCK_BYTES);

/// The blocks of this node, pinned, in a folder. Cheap to clone.
///
/// Every write goes through one task, so that no two of them meet; reads go to the disk at once. What the disk refuses,
/// because it is full or broken, is held in memory and counts as put. The repo holds a lock on its folder until the last
/// clone is gone.
#[derive(Clone)]
pub struct Store {
    repo: Repo<DefaultStorage>,
    folder: PathBuf,
    jobs: mpsc::Sender<Job>,
    first: mpsc::Sender<First>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
    care: Care,
    refused: Refused,
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
        let (care, refused) = (Care::new(), Refused::default());
        let (held, wanted) = (refused.clone(), care.clone());
        let desk =
            Desk { repo: repo.clone(), folder: folder.clone(), first: ahead, refused: held, care: wanted, owed: 0 };
        let writer = tokio::spawn(writer::run(desk, waiting));
        Ok(Self { repo, folder, jobs, first, writer: Arc::new(Mutex::new(Some(writer))), care, refused })
    }

    /// Every block that is here, pinned or not, in order: what is to be swept is among them. Those that cannot be listed are
    /// told of, and are for another time.
    pub async fn held(&self) -> Vec<Cid> {
        self.list(|_| Ok(()), |_| ()).await.into_iter().map(|(cid, ())| cid).collect()
    }

    /// The same, with the size of each in bytes.
    pub async fn held_bytes(&self) -> Vec<(Cid, u64)> {
        self.list(|file| Ok(file.metadata()?.len()), |bytes| bytes.len() as u64).await
    }

    async fn list<T: Ord + Send + 'static>(
        &self,
        told: fn(&DirEntry) -> io::Result<T>,
        of: fn(Bytes) -> T,
    ) -> Vec<(Cid, T)> {
        let (mut held, wrong) = match files::list(self.folder.clone(), told).await {
            Ok(listed) => listed,
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if let Some(why) = wrong {
            tracing::warn!(why, "blocks cannot be listed; they stay until a start can list them");
        }
        let refused = self.refused.cids().into_iter();
        held.extend(refused.filter_map(|cid| Some((cid, of(self.refused.get(&cid)?)))));
        held.sort_unstable();
        held.dedup_by_key(|(cid, _)| *cid);
        held
    }

    /// Every block that is pinned.
    #[cfg(test)]
    pub async fn pinned(&self) -> Result<Vec<Cid>, Error> {
        use futures::TryStreamExt;
        self.repo.list_pins(None).await.map_ok(|(cid, _)| cid).try_collect().await.map_err(failed)
    }

    /// Whether a block is here, hashes to its name, and is pinned. One that no longer hashes to its name is deleted.
    pub async fn is_kept(&self, cid: &Cid) -> Result<bool, Error> {
        if self.refused.has(cid) {
            return Ok(true);
        }
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

    /// Blocks that the disk does not take, and are held in memory.
    pub const fn refused(&self) -> &Refused {
        &self.refused
    }

    /// The same as [`Blocks::put`], ahead of everything else that waits or is being put: for what airs next.
    pub async fn put_first(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        check(&blocks)?;
        let (reply, answer) = oneshot::channel();
        self.first.send(First(blocks, reply)).await.map_err(|_| Error::Stopped)?;
        answer.await.map_err(|_| Error::Stopped)?
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

    /// Waits until its writer has ended; that is a bug if nobody has called [`Store::close`].
    pub async fn ended(&self) {
        self.jobs.closed().await;
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
        if let Some(bytes) = self.refused.get(&cid) {
            return Ok(Some(bytes));
        }
        let read = writer::read(&self.repo, &cid).await;
        match read.inspect_err(|error| tracing::warn!(%cid, %error, "a block cannot be read"))? {
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
mod tests;
