//! What a mirror shows: blocks, records and status for listeners, providing for peers, and what is let go.

use std::time::Duration;

use bytes::Bytes;
use cid::Cid;

use super::{
    Told, Work,
    gather::{List, Root},
    kept,
};
use crate::{
    ipfs::{Blocks, Records},
    radio::time::Span,
};

/// Blocks deleted at one tick.
const EXPIRE_MAX: usize = 64;
/// How often the store is searched for blocks that nobody accounts for.
const SWEEP: Span = Span::seconds(3_600);
/// The longest time by which other rungs are told of later than the default one.
const LATER_SECONDS: u64 = 7_200;
/// How long lists and roots that names pointed to are provided.
const PROVIDE_LISTS: Span = Span::seconds(900);

impl Work {
    /// Puts what the core shows before listeners and other peers.
    pub(super) async fn show(&mut self) {
        let Some((station, stream)) = self.follow.shown() else { return };
        let records = Records {
            station: Some(Bytes::copy_from_slice(&station.bytes)),
            stream: Some(Bytes::copy_from_slice(&stream.bytes)),
        };
        let (root_cid, list_cid) = (station.block(), stream.block());
        let (old_root, old_list) = self.shown.clone().unzip();
        let root = [&self.newest.0, &old_root].into_iter().flatten().find(|root| Some(root.cid) == root_cid).cloned();
        let list = [&self.newest.1, &old_list].into_iter().flatten().find(|list| Some(list.cid) == list_cid).cloned();
        let (Some(root), Some(list)) = (root, list) else {
            // The core shows nothing but what was gathered in this run.
            return tracing::error!("what is to be shown is not at hand");
        };
        self.shelve(&root, &list).await;
        tracing::info!(root = %root.cid, list = %list.cid, last = list.listing.extent().last, "list");
        self.told.send_if_modified(|told| {
            let now = Some(Told { title: root.about.title.clone(), stream: root.about.stream.clone() });
            let changed = *told != now;
            *told = now;
            changed
        });
        self.shown = Some((root, list));
        self.records.send_replace(records);
        self.refresh();
    }

    /// Serves and provides these from now on, what is due first, and no longer what they do not hold.
    async fn shelve(&mut self, root: &Root, list: &List) {
        let now = self.clock.now().station;
        let blocks: Vec<_> = root.blocks.iter().chain(&list.blocks).copied().collect();
        let (fresh, left) = kept::locked(&self.shelf, |shelf| {
            let fresh: Vec<Cid> = blocks.iter().map(|block| block.cid).filter(|cid| !shelf.serves(cid)).collect();
            (fresh, shelf.serve(&blocks, now))
        });
        let wall = self.clock.now().wall;
        // Other rungs only once all of the default one is told of, where the DHT takes no more in that time.
        let later = Span::seconds(list.listing.hold_back_seconds().min(LATER_SECONDS));
        let rungs =
            root.rungs.iter().flat_map(|rung| rung.airing(wall)).map(|(cid, airs)| (cid, Span(airs.0 + later.0)));
        let airing = list.listing.airing(wall).chain(rungs);
        let airing = airing.map(|(cid, airs)| (cid, Duration::from_micros(airs.0))).collect();
        let (segments, lists): (Vec<Cid>, Vec<Cid>) = left.into_iter().partition(|cid| self.is_old_segment(cid));
        self.leaving.extend(lists.into_iter().map(|cid| (cid, now.plus(PROVIDE_LISTS))));
        // A node that has stopped provides nothing; the mirror stops with it.
        let _ = self.node.notify_new_blocks(fresh).await;
        let _ = self.node.provide(vec![root.cid, list.cid]).await;
        let _ = self.node.provide_before(airing).await;
        let _ = self.node.provide(root.folder.iter().copied().collect()).await;
        let _ = self.node.stop_providing(segments).await;
    }

    fn is_old_segment(&self, cid: &Cid) -> bool {
        self.shown.as_ref().is_some_and(|(root, _)| root.folder.contains(cid))
    }

    pub(super) async fn tick(&mut self) {
        let now = self.clock.now().station;
        // Not while something is gathered: it may count on a block that is about to go.
        if !self.gathering {
            let gone = kept::locked(&self.shelf, |shelf| shelf.expired(now, EXPIRE_MAX));
            if !gone.is_empty()
                && let Err(error) = self.store.remove(gone.clone()).await
            {
                // They are asked for no more; the next sweep takes what stays.
                tracing::warn!(%error, count = gone.len(), "old blocks cannot be deleted");
            }
            // Behind the first list, which must not wait for it.
            if self.shown.is_some() && self.swept.is_none_or(|swept| swept.plus(SWEEP) < now) {
                self.swept = Some(now);
                self.sweep().await;
            }
        }
        let mut over = Vec::new();
        while self.leaving.front().is_some_and(|(_, until)| *until <= now) {
            over.extend(self.leaving.pop_front().map(|(cid, _)| cid));
        }
        over.retain(|cid| !kept::locked(&self.shelf, |shelf| shelf.serves(cid)));
        let _ = self.node.stop_providing(over).await;
        self.refresh();
    }

    /// Takes note of blocks of former runs, and of those that came too late: they go when lists go.
    async fn sweep(&self) {
        let now = self.clock.now().station;
        for (cid, bytes) in self.store.held_bytes().await {
            kept::locked(&self.shelf, |shelf| {
                if !shelf.knows(&cid) {
                    shelf.found(cid, bytes, now);
                }
            });
        }
    }
}
