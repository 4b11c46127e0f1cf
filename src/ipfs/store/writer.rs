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

pub(super) async fn run(repo: Repo<DefaultStorage>, folder: PathBuf, mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        let (done, reply) = match job {
            Job::Put(blocks, reply) => (put(&repo, &folder, &blocks).await, reply),
            Job::Remove(cids, reply) => (remove(&repo, &cids).await, reply),
            Job::Heal(cid, reply) => (heal(&repo, &cid).await, reply),
            Job::Close => return,
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = reply.send(done);
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
        let written = batch.iter().map(|(cid, bytes)| Block::new_unchecked(*cid, bytes.clone())).collect();
        repo.put_blocks(written).await.map_err(failed)?;
        for (cid, bytes) in batch {
            settle(repo, cid, bytes).await?;
        }
    }
    files::sync(folder.to_owned()).await
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

/// Goes on to the next block when one fails, so that one bad file keeps no others alive.
async fn remove(repo: &Repo<DefaultStorage>, cids: &[Cid]) -> Result<(), Error> {
    let mut done = Ok(());
    for cid in cids {
        done = done.and(delete(repo, cid).await);
    }
    done
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
