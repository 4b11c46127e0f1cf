//! Which blocks of the repo are kept, shared by who stores and who lets go: what is about to air again is not deleted
//! between the two.

use std::sync::Arc;

use cid::Cid;
use tokio::sync::{Mutex, Notify};

use crate::{
    ipfs::{Blocks, Store},
    radio::{
        retention::{Keep, Retention},
        time::Time,
    },
};

/// Blocks deleted in one go.
const EXPIRE_MAX: usize = 64;

/// The blocks that are kept and until when, by the station clock. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    store: Store,
    keep: Keep,
    retention: Arc<Mutex<Retention>>,
    refused: Arc<Notify>,
}

impl Shelf {
    pub(super) fn new(store: Store, keep: Keep, retention: Retention) -> Self {
        Self { store, keep, retention: Arc::new(Mutex::new(retention)), refused: Arc::default() }
    }

    /// How long blocks are kept.
    pub(super) const fn keeps(&self) -> Keep {
        self.keep
    }

    /// Keeps blocks at least until `until`. Waits for a deletion under way: what is put afterwards stays.
    pub(super) async fn keep(&self, cids: impl IntoIterator<Item = Cid>, until: Time) {
        let mut retention = self.retention.lock().await;
        cids.into_iter().for_each(|cid| retention.keep(cid, until));
    }

    /// Keeps blocks that go off air at `off_air` for as long as there is room for them.
    pub(super) async fn keep_aired(&self, cids: impl IntoIterator<Item = Cid>, off_air: Time) {
        let mut retention = self.retention.lock().await;
        cids.into_iter().for_each(|cid| retention.keep_aired(cid, off_air, self.keep));
    }

    /// Whether there is no room for more than must be kept.
    pub(super) async fn set_short(&self, short: bool) {
        self.retention.lock().await.set_short(short);
    }

    /// The repo has refused a block: perhaps there is no room.
    pub(super) fn tell_refused(&self) {
        self.refused.notify_one();
    }

    /// Waits until the repo has refused a block.
    pub(super) async fn refused(&self) {
        self.refused.notified().await;
    }

    /// Keeps all blocks that are there at least until `until`, whatever is known of them.
    pub(super) async fn adopt(&self, until: Time) {
        let held = self.store.held().await;
        self.keep(held, until).await;
    }

    /// Deletes some of the blocks whose time is over at `now`.
    pub(super) async fn let_go(&self, now: Time) {
        let mut retention = self.retention.lock().await;
        let gone = retention.expired(now, EXPIRE_MAX);
        if !gone.is_empty()
            && let Err(error) = self.store.remove(gone.clone()).await
        {
            // They are asked for no more; the sweep at the next start takes what stays.
            tracing::warn!(%error, count = gone.len(), "old blocks cannot be deleted");
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    #[tokio::test]
    async fn what_is_kept_again_before_it_is_put_again_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let shelf = Shelf::new(store.clone(), Keep::default(), Retention::default());
        let strange = (cid_of(RAW, b"strange"), Bytes::from_static(b"strange"));
        let old = (cid_of(RAW, b"old"), Bytes::from_static(b"old"));
        store.put(vec![strange.clone(), old.clone()]).await.unwrap();
        shelf.keep([old.0], Time(5)).await;
        shelf.adopt(Time(30)).await;
        let blocks: Vec<_> = [b"again", b"never"].map(|text| (cid_of(RAW, text), Bytes::from_static(text))).into();
        store.put(blocks.clone()).await.unwrap();
        shelf.keep(blocks.iter().map(|(cid, _)| *cid), Time(10)).await;
        shelf.keep([blocks[0].0], Time(20)).await;
        shelf.let_go(Time(15)).await;
        assert!(store.get(blocks[0].0).await.unwrap().is_some(), "it was to air again");
        assert_eq!(store.get(blocks[1].0).await.unwrap(), None);
        shelf.let_go(Time(25)).await;
        assert_eq!(store.get(blocks[0].0).await.unwrap(), None);
        assert!(store.get(strange.0).await.unwrap().is_some());
        assert!(store.get(old.0).await.unwrap().is_some(), "it may be on a list that was made just before the start");
        shelf.let_go(Time(30)).await;
        assert_eq!(store.held().await, []);
    }
}
