//! Which blocks of the repo are kept, shared by who stores and who lets go: what is about to air again is not deleted
//! between the two.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use cid::Cid;
use tokio::{
    sync::Mutex,
    task::{self, JoinHandle},
};

use crate::{
    disk,
    ipfs::{Blocks, Store, store::refused::Refusal},
    radio::{
        retention::{Keep, Retention},
        time::Time,
    },
};

/// Blocks deleted in one go.
const EXPIRE_MAX: usize = 64;
/// The longest list of adopted blocks that is read, in bytes.
const LONGEST: u64 = 64 << 20;

/// The blocks that are kept and until when, by the station clock. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    store: Store,
    keep: Keep,
    retention: Arc<Mutex<Retention>>,
    adopted: PathBuf,
}

impl Shelf {
    /// `adopted` is the file in which a start tells the next one what it has adopted.
    pub(super) fn new(store: Store, keep: Keep, retention: Retention, adopted: PathBuf) -> Self {
        Self { store, keep, retention: Arc::new(Mutex::new(retention)), adopted }
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

    /// Waits until the disk has refused a block: perhaps there is no room.
    pub(super) async fn refused(&self) {
        self.store.refused().came().await;
    }

    /// What the repo holds in memory, because its disk does not take it.
    pub(super) fn in_memory(&self) -> Option<Refusal> {
        self.store.refused().told()
    }

    /// Keeps the blocks that are there until `until`, but what a start before has adopted no longer than it said: a station
    /// that starts again and again would let nothing go. Gives the task that tells the next start, which nobody needs to wait
    /// for: without it more is kept for a while.
    pub(super) async fn adopt(&self, until: Time) -> JoinHandle<()> {
        let path = self.adopted.clone();
        let former = task::spawn_blocking(move || recall(&path)).await.unwrap_or_default();
        let held = self.store.held().await;
        let adopted = self.retention.lock().await.adopt(held, &former, until);
        let path = self.adopted.clone();
        task::spawn_blocking(move || record(&path, adopted))
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

/// What the start before has adopted, and until when. What cannot be read is as if nothing was.
fn recall(path: &Path) -> HashMap<Cid, Time> {
    let read = disk::read_if_there(path, LONGEST).map(Option::unwrap_or_default);
    let found: BTreeMap<String, Time> = match read.map(|bytes| serde_json::from_slice(&bytes)) {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => return HashMap::new(),
        Err(error) => {
            tracing::warn!(%error, "old blocks are kept longer than they need be");
            return HashMap::new();
        }
    };
    found.into_iter().filter_map(|(cid, until)| Some((cid.parse().ok()?, until))).collect()
}

fn record(path: &Path, adopted: HashMap<Cid, Time>) {
    let adopted: BTreeMap<String, Time> = adopted.into_iter().map(|(cid, until)| (cid.to_string(), until)).collect();
    let written = serde_json::to_vec(&adopted).map(|bytes| disk::replace(path, &bytes));
    if let Ok(Err(error)) = written {
        tracing::warn!(%error, "the next start keeps old blocks longer than it need");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    fn shelf(store: &Store, folder: &Path) -> Shelf {
        Shelf::new(store.clone(), Keep::default(), Retention::default(), folder.join("adopted.json"))
    }

    #[tokio::test]
    async fn what_one_start_has_adopted_goes_although_others_follow() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("ipfs")).await.unwrap();
        let [old, new] = [b"old", b"new"].map(|text| (cid_of(RAW, text), Bytes::from_static(text)));
        store.put(vec![old.clone()]).await.unwrap();
        shelf(&store, folder.path()).adopt(Time(100)).await.await.unwrap();
        store.put(vec![new.clone()]).await.unwrap();
        let second = shelf(&store, folder.path());
        second.adopt(Time(150)).await.await.unwrap();
        second.let_go(Time(100)).await;
        assert_eq!(store.held().await, [new.0]);
        std::fs::write(folder.path().join("adopted.json"), "no JSON").unwrap();
        let third = shelf(&store, folder.path());
        third.adopt(Time(200)).await.await.unwrap();
        third.let_go(Time(199)).await;
        assert_eq!(store.held().await, [new.0], "what cannot be read is as if it was not there");
    }

    #[tokio::test]
    async fn what_is_kept_again_before_it_is_put_again_is_not_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let shelf = shelf(&store, folder.path());
        let strange = (cid_of(RAW, b"strange"), Bytes::from_static(b"strange"));
        let old = (cid_of(RAW, b"old"), Bytes::from_static(b"old"));
        store.put(vec![strange.clone(), old.clone()]).await.unwrap();
        shelf.keep([old.0], Time(5)).await;
        shelf.adopt(Time(30)).await.await.unwrap();
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
