//! The one task that writes to the repo.

use std::{io, path::PathBuf, time::Duration};

use bytes::Bytes;
use cid::Cid;
use rust_ipfs::{
    Block,
    repo::{DefaultStorage, PinStore, Repo},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::{
    block_file,
    care::Care,
    failed, files,
    refused::{Refused, refusal},
};
use crate::{ipfs::Error, radio::segment::SHA2_256};

/// Blocks written under one hold of the repo's lock: readers wait that long.
const BATCH: usize = 16;
/// How often blocks that the disk has refused are offered to it again, and how many in one go.
const OFFER_AGAIN: Duration = Duration::from_secs(2);
const OFFERED: usize = 256;

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

pub(super) async fn run(mut desk: Desk, mut jobs: mpsc::Receiver<Job>) {
    let mut again = interval(OFFER_AGAIN);
    again.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if jobs.is_empty() {
            desk.owed = 0;
        }
        let job = tokio::select! {
            biased;
            Some(first) = desk.first.recv(), if desk.owed == 0 => {
                desk.put_first(first).await;
                continue;
            }
            job = jobs.recv() => job,
            _ = again.tick(), if !desk.refused.is_empty() => {
                desk.offer_again().await;
                continue;
            }
        };
        let (done, reply) = match job {
            Some(Job::Put(blocks, reply)) => (desk.put(&blocks).await, reply),
            Some(Job::Remove(cids, reply)) => (desk.remove(&cids).await, reply),
            Some(Job::Heal(cid, reply)) => (heal(&desk.repo, &cid).await, reply),
            Some(Job::Close) | None => {
                while let Ok(first) = desk.first.try_recv() {
                    desk.put_first(first).await;
                }
                return desk.offer_again().await;
            }
        };
        // Whoever asked may have gone; the work is done all the same.
        let _ = reply.send(done);
    }
}

/// The repo, and who may interrupt what is being done with it: on a slow disk a list takes longer than a segment lasts.
pub(super) struct Desk {
    pub(super) repo: Repo<DefaultStorage>,
    pub(super) folder: PathBuf,
    pub(super) first: mpsc::Receiver<First>,
    /// What the disk does not take.
    pub(super) refused: Refused,
    pub(super) care: Care,
    /// Blocks that were let through before others, and not made up for.
    pub(super) owed: usize,
}

impl Desk {
    async fn put_first(&mut self, First(blocks, reply): First) {
        self.owed += blocks.len();
        let _ = reply.send(self.put_at_once(&blocks).await);
    }

    async fn put_at_once(&self, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
        for batch in blocks.chunks(BATCH) {
            self.write(batch).await?;
        }
        self.sync(blocks).await
    }

    /// Lets through who comes first, once as much was done of the rest as was let through the last time: on a disk that
    /// does not keep up, segments without a list are of no use to anybody.
    async fn give_way(&mut self) {
        if self.owed > 0 {
            self.owed -= 1;
        } else if let Ok(first) = self.first.try_recv() {
            self.put_first(first).await;
        }
    }

    async fn put(&mut self, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
        for block in blocks.chunks(1) {
            self.give_way().await;
            self.write(block).await?;
        }
        self.sync(blocks).await
    }

    /// Writes blocks. Those that the disk refuses are held in memory.
    async fn write(&self, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
        match self.put_batch(blocks).await {
            Ok(()) => blocks.iter().for_each(|(cid, _)| self.refused.let_go(cid)),
            Err(Error::Refused(why)) => self.hold(blocks, &why),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn put_batch(&self, batch: &[(Cid, Bytes)]) -> Result<(), Error> {
        if self.refused.pretends() {
            return Err(Error::Refused("no room".into()));
        }
        // The repo writes and syncs a block before it looks whether it has it.
        let mut fresh = Vec::new();
        for block in batch {
            if !is_settled(&self.repo, &block.0).await {
                fresh.push(block);
            }
        }
        let written = fresh.iter().map(|(cid, bytes)| Block::new_unchecked(*cid, bytes.clone())).collect();
        self.repo.put_blocks(written).await.map_err(not_written)?;
        for (cid, bytes) in fresh {
            settle(&self.repo, cid, bytes).await?;
        }
        Ok(())
    }

    /// Makes durable where the blocks lie. Where that is refused, they lie there and are held as well.
    async fn sync(&self, blocks: &[(Cid, Bytes)]) -> Result<(), Error> {
        let files = blocks.iter().map(|(cid, _)| block_file(&self.folder, cid)).collect();
        match files::sync(self.folder.clone(), files).await {
            Err(Error::Refused(why)) => self.hold(blocks, &why),
            other => return other,
        }
        Ok(())
    }

    fn hold(&self, blocks: &[(Cid, Bytes)], why: &str) {
        if self.refused.is_empty() {
            tracing::warn!(
                why,
                "the disk takes no block now: it is held in memory, given out from there, and offered again"
            );
        }
        for (cid, bytes) in blocks {
            self.refused.hold(*cid, bytes.clone(), why, |cid| self.care.is_wanted(cid));
        }
    }

    /// Offers the disk what it has refused, as long as it takes it.
    async fn offer_again(&mut self) {
        let mut taken = Vec::new();
        while taken.len() < OFFERED
            && let Some(block) = self.refused.oldest()
        {
            self.give_way().await;
            if let Err(error) = self.put_batch(std::slice::from_ref(&block)).await {
                tracing::debug!(cid = %block.0, %error, "a block is still refused");
                if !matches!(error, Error::Refused(_)) {
                    // It is this block that cannot be put, not each: the others come first the next time.
                    self.hold(std::slice::from_ref(&block), &error.to_string());
                }
                break;
            }
            self.refused.let_go(&block.0);
            taken.push(block);
        }
        if taken.is_empty() {
            return;
        }
        match self.sync(&taken).await {
            Ok(()) => tracing::info!(blocks = taken.len(), "the disk has taken blocks that it had refused"),
            Err(error) => self.hold(&taken, &error.to_string()),
        }
    }

    /// Goes on to the next block when one fails, so that one bad file keeps no others alive.
    async fn remove(&mut self, cids: &[Cid]) -> Result<(), Error> {
        let mut done = Ok(());
        for cid in cids {
            self.give_way().await;
            self.refused.let_go(cid);
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

/// Whether a block is here whole, and pinned. What cannot be read is not, and is written again.
async fn is_settled(repo: &Repo<DefaultStorage>, cid: &Cid) -> bool {
    let settled = async {
        Ok::<_, Error>(matches!(read(repo, cid).await?, Held::Whole(_)) && repo.is_pinned(cid).await.map_err(failed)?)
    };
    settled.await.unwrap_or_else(|error| {
        tracing::warn!(%cid, %error, "a block cannot be read, and is written again");
        false
    })
}

/// Reads a block back and pins it. The repo leaves a file alone that is there already, so one that broke on disk is
/// written anew.
async fn settle(repo: &Repo<DefaultStorage>, cid: &Cid, bytes: &Bytes) -> Result<(), Error> {
    if !matches!(read(repo, cid).await?, Held::Whole(_)) {
        tracing::warn!(%cid, "a block on disk no longer hashes to its name; it is written anew");
        delete(repo, cid).await?;
        repo.put_block(&Block::new_unchecked(*cid, bytes.clone())).await.map_err(not_written)?;
        if !matches!(read(repo, cid).await?, Held::Whole(_)) {
            return Err(Error::Corrupt(*cid));
        }
    }
    if repo.is_pinned(cid).await.map_err(failed)? {
        return Ok(());
    }
    repo.data_store().insert_direct_pin(cid).await.map_err(not_written)
}

/// What a write has failed with.
fn not_written(error: rust_ipfs::Error) -> Error {
    refusal(&error).map_or_else(|| failed(error), Error::Refused)
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
