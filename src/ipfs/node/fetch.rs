//! What others have: who has a block is asked of the DHT, the block comes over bitswap.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use cid::Cid;
use futures::{StreamExt, stream};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};

use super::{Node, task::Command};
use crate::{
    ipfs::{Blocks, Error},
    radio::segment::SHA2_256,
};

/// Blocks fetched in one call.
pub const MAX_FETCHED: usize = 64;
/// Blocks fetched at once by all calls together, each of at most two MiB.
pub(super) const MAX_WANTED: usize = 16;
/// Providers that a search tells of.
pub const MAX_PROVIDERS: usize = 20;
/// Answers to a search that may wait to be read; the DHT asks 20 peers.
const WAITING_ANSWERS: usize = 64;
/// Searches for providers of wanted blocks at once.
pub(super) const MAX_SEARCHES: usize = 8;
/// Providers that are called for one wanted block by one answer.
pub(super) const MAX_CALLS: usize = 8;

impl Node {
    /// The peers (`12D3KooW…`) that have `cid` as others in the DHT say, each once, at most [`MAX_PROVIDERS`]: what has
    /// been told when `limit` ends. What this node knows of itself does not count. Waits within `limit` for a first
    /// peer of the DHT; an error: nobody could be asked.
    pub async fn providers(&self, cid: Cid, limit: Duration) -> Result<Vec<String>, Error> {
        let end = Instant::now() + limit;
        self.dht_before(end).await?;
        let (replies, mut answers) = mpsc::channel(WAITING_ANSWERS);
        self.order(Command::Providers { cid, replies }).await?;
        let mut found = Vec::new();
        while let Ok(Some(answer)) = timeout_at(end, answers.recv()).await {
            for peer in answer? {
                let peer = peer.to_string();
                if !found.contains(&peer) {
                    found.push(peer);
                }
                if found.len() == MAX_PROVIDERS {
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }

    /// Blocks, at most [`MAX_FETCHED`], in the order of `cids`: from the store where they are there, else over bitswap
    /// from the connected peers and from those that the DHT names. Each hashes (SHA-256) to its name and is below two
    /// MiB. What has not come when `limit` ends is missing. What came lies in the store and is not pinned: put it to
    /// keep it, remove it to let it go.
    pub async fn fetch(&self, cids: &[Cid], limit: Duration) -> Result<Vec<(Cid, Bytes)>, Error> {
        if cids.len() > MAX_FETCHED {
            return Err(Error::Network(format!("{} blocks are asked for, {MAX_FETCHED} at most at once", cids.len())));
        }
        let end = Instant::now() + limit;
        let one = |cid: Cid| async move { self.fetch_one(cid, end).await.map(|bytes| bytes.map(|bytes| (cid, bytes))) };
        let mut fetched = Vec::new();
        let mut blocks = stream::iter(cids.iter().copied()).map(one).buffered(MAX_WANTED);
        while let Some(block) = blocks.next().await {
            fetched.extend(block?);
        }
        Ok(fetched)
    }

    async fn fetch_one(&self, cid: Cid, end: Instant) -> Result<Option<Bytes>, Error> {
        if cid.hash().code() != SHA2_256 {
            return Ok(None);
        }
        // A block of ours that broke on disk was deleted by the look at it, and may come from others.
        if let Ok(Some(bytes)) = self.store.get(cid).await {
            return Ok(Some(bytes));
        }
        let Ok(permit) = timeout_at(end, self.wanted.acquire()).await else { return Ok(None) };
        let _permit = permit.map_err(|_| Error::Stopped)?;
        let (reply, came) = oneshot::channel();
        self.order(Command::Fetch { cid, reply }).await?;
        match timeout_at(end, came).await {
            Ok(Ok(())) => self.store.get(cid).await,
            Ok(Err(_)) => Err(Error::Stopped),
            Err(_) => Ok(None),
        }
    }
}

/// Blocks that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct Wants {
    waiting: HashMap<Cid, Vec<oneshot::Sender<()>>>,
}

impl Wants {
    /// Somebody waits for `cid`. True if nobody did before.
    pub(super) fn add(&mut self, cid: Cid, reply: oneshot::Sender<()>) -> bool {
        let waiting = self.waiting.entry(cid).or_default();
        waiting.push(reply);
        waiting.len() == 1
    }

    pub(super) fn holds(&self, cid: &Cid) -> bool {
        self.waiting.contains_key(cid)
    }

    /// Tells all that wait for it that the block is in the store.
    pub(super) fn came(&mut self, cid: &Cid) {
        for reply in self.waiting.remove(cid).into_iter().flatten() {
            // Who no longer waits has what it wanted otherwise.
            let _ = reply.send(());
        }
    }

    /// Forgets those that wait no more, and says which blocks nobody wants any longer.
    pub(super) fn left(&mut self) -> Vec<Cid> {
        let mut left = Vec::new();
        self.waiting.retain(|cid, waiting| {
            waiting.retain(|reply| !reply.is_closed());
            if waiting.is_empty() {
                left.push(*cid);
            }
            !waiting.is_empty()
        });
        left
    }
}
