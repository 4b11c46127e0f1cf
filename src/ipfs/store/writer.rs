//! The one task that writes to the repo.

use std::{io, path::PathBuf};

use bytes::Bytes;
use cid::Cid;
use rust_ipfs::{
    Block,
    repo::{DefaultStorage, PinStore, Repo},
};
use tokio::sync::{mpsc, oneshot};

use super::{failed, files};
use crate::ipfs::Error;

/// The only hash that blocks of ours have.
const SHA2_256: u64 = 0x12;
/// Blocks written under one hold of the repo's lock: readers wait that long.
const BATCH: usize = 16;

type Reply = oneshot::Sender<Result<(), Error>>;

/// Blocks to be put before anything else that waits.
pub(super) struct First(pub(super) Vec<(Cid, Bytes)>, pub(super) Reply);

/// Something to write.
pub(super) enum Job {
    /// Write, pin and read back.
    Put(Vec<(Cid, Bytes)>, Reply),
    /// Unpin and delete.
    Remove(Vec<Cid>, Reply),
    /// Delete it if it is still broken.
    Heal(Cid, Reply),
    /// Do no more.
    Close,
}

/// What the disk holds under a name.
pub(super) enum Held {
    Whole(Bytes),
    Broken,
    Not,
}

pub(super) async fn run(
    repo: Repo<DefaultStorage>,
    folder: PathBuf,
    mut jobs: mpsc::Receiver<Job>,
    first: mpsc::Receiver<First>,
) {
    let mut desk = Desk { repo, folder, first };
    loop {
        let job = tokio::select! {
            biased;
            Some(first) = desk.first.recv() => {
                desk.put_first(first).await;
                continue;
            }
            job = jobs.recv() => job,
        };
        let (done, reply) = match job {
            Some(Job::Put(blocks, reply)) => (desk.put(&blocks).await, reply),
            Some(Job::Remove(cids, reply)) => (desk.remove(&cids).await, reply),
            Some(Job::Heal(cid, reply)) => (heal(&desk.repo, &cid).await, reply),
            Some(Job::Close) | None => return desk.give_way().await,
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = reply.send(done);
    }
}

/// The repo, and who may interrupt what is being done with it: on a slow disk a list takes longer than a segment lasts.
struct Desk {
    repo: Repo<DefaultStorage>,
    folder: PathBuf,
    first: mpsc::Receiver<First>,
}

impl Desk {
    async fn put_first(&self, First(blocks, reply): First) {
        let _ = reply.send(put(&self.repo, &self.folder, &blocks).await);
    }

    /// Lets through who comes first.
    async fn give_way(&mut self) {
        while let Ok(first) = self.first.try_recv() {
            self.put_first(first).await;
        }
    }

    async fn put(&mut self, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
        for block in blocks.chunks(1) {
            self.give_way().await;
            put_batch(&self.repo, block).await?;
        }
        files::sync(self.folder.clone()).await
    }

    /// Goes on to the next block when one fails, so that one bad file keeps no others alive.
    async fn remove(&mut self, cids: &[Cid]) -> Result<(), Error> {
        let mut done = Ok(());
        for cid in cids {
            self.give_way().await;
            done = done.and(delete(&self.repo, cid).await);
        }
        done
    }
}

/// Reads a block and checks that it hashes to its name. Never waits for the network.
pub(super) async fn read(repo: &Repo<DefaultStorage>, cid: &Cid) -> Result<Held, Error> {
    if cid.hash().code() != SHA2_256 {
        return Ok(Held::Not);
    }
    match repo.get_block_now(cid).await {
        Ok(Some(block)) => Ok(Held::Whole(block.into_inner().1)),
        Ok(None) => Ok(Held::Not),
        Err(error) => match error.downcast_ref::<io::Error>() {
            Some(io) if io.kind() == io::ErrorKind::InvalidData => Ok(Held::Broken),
            _ => Err(failed(error)),
        },
    }
}

async fn put(repo: &Repo<DefaultStorage>, folder: &std::path::Path, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
    for batch in blocks.chunks(BATCH) {
        put_batch(repo, batch).await?;
    }
    files::sync(folder.to_owned()).await
}

async fn put_batch(repo: &Repo<DefaultStorage>, batch: &[(Cid, Bytes)]) -> Result<(), Error> {
    let written = batch.iter().map(|(cid, bytes)| Block::new_unchecked(*cid, bytes.clone())).collect();
    repo.put_blocks(written).await.map_err(failed)?;
    for (cid, bytes) in batch {
        settle(repo, cid, bytes).await?;
    }
    Ok(())
}

/// Reads a block back and pins it. The repo leaves a file alone that is there already, so one that broke on disk is
/// written anew.
async fn settle(repo: &Repo<DefaultStorage>, cid: &Cid, bytes: &Bytes) -> Result<(), Error> {
    if !matches!(read(repo, cid).await?, Held::Whole(_)) {
        tracing::warn!(%cid, "a block on disk no longer hashes to its name; it is written anew");
        delete(repo, cid).await?;
        repo.put_block(&Block::new_unchecked(*cid, bytes.clone())).await.map_err(failed)?;
        if !matches!(read(repo, cid).await?, Held::Whole(_)) {
            return Err(Error::Corrupt(*cid));
        }
    }
    if repo.is_pinned(cid).await.map_err(failed)? {
        return Ok(());
    }
    repo.data_store().insert_direct_pin(cid).await.map_err(failed)
}

async fn heal(repo: &Repo<DefaultStorage>, cid: &Cid) -> Result<(), Error> {
    match read(repo, cid).await? {
        Held::Broken => delete(repo, cid).await,
        Held::Whole(_) | Held::Not => Ok(()),
    }
}

async fn delete(repo: &Repo<DefaultStorage>, cid: &Cid) -> Result<(), Error> {
    if repo.is_pinned(cid).await.map_err(failed)? {
        repo.data_store().remove_direct_pin(cid).await.map_err(failed)?;
    }
    let removed = repo.remove_block(cid, false).await.map_err(failed)?;
    if removed.is_empty() && repo.contains(cid).await.map_err(failed)? {
        return Err(Error::Store(format!("block {cid} cannot be deleted")));
    }
    Ok(())
}
