//! Blocks that must be here: whoever is asked for one that is not, or is damaged, tells it here, and somebody sees to it.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cid::Cid;
use tokio::sync::{Notify, watch};

/// Blocks that may be missing at once; the others are found by who looks at all of them.
const MISSED_MAX: usize = 256;

/// What must be here. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Care {
    open: Arc<Mutex<Open>>,
    told: Arc<Notify>,
    ended: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Open {
    wanted: HashSet<Cid>,
    missed: BTreeSet<Cid>,
}

impl Care {
    pub(super) fn new() -> Self {
        Self { open: Arc::default(), told: Arc::default(), ended: watch::Sender::new(()) }
    }

    /// From now on these must be here, and no others.
    pub fn want(&self, cids: HashSet<Cid>) {
        let mut open = self.open();
        open.missed.retain(|cid| cids.contains(cid));
        open.wanted = cids;
    }

    /// Whether a block must be here.
    pub(super) fn is_wanted(&self, cid: &Cid) -> bool {
        self.open().wanted.contains(cid)
    }

    /// Somebody was asked for a block that is not here. True if it must be, and somebody sees to it.
    pub fn missed(&self, cid: &Cid) -> bool {
        let mut open = self.open();
        if !open.wanted.contains(cid) || (open.missed.len() >= MISSED_MAX && !open.missed.contains(cid)) {
            return false;
        }
        if open.missed.insert(*cid) {
            self.told.notify_one();
        }
        true
    }

    /// The next block that is missed; it stays so until [`Care::ended`].
    pub async fn next(&self) -> Cid {
        loop {
            let told = self.told.notified();
            if let Some(cid) = self.open().missed.first().copied() {
                return cid;
            }
            told.await;
        }
    }

    /// An attempt at a block has ended, well or not.
    pub fn ended(&self, cid: &Cid) {
        self.open().missed.remove(cid);
        self.ended.send_replace(());
    }

    /// Waits for the end of an attempt at `cid`, if there is one.
    pub async fn attempted(&self, cid: &Cid) {
        let mut ended = self.ended.subscribe();
        while self.open().missed.contains(cid) {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    #[tokio::test]
    async fn who_misses_a_block_that_must_be_here_waits_until_it_was_seen_to() {
        let (one, two, strange) = (cid_of(RAW, b"1"), cid_of(RAW, b"2"), cid_of(RAW, b"3"));
        let care = Care::new();
        assert!(!care.missed(&one), "nothing must be here");
        care.want([one, two].into());
        assert!(care.missed(&one) && care.missed(&one) && !care.missed(&strange));
        care.attempted(&two).await;
        let waiting = tokio::spawn({
            let care = care.clone();
            async move { care.attempted(&one).await }
        });
        assert_eq!(care.next().await, one);
        assert!(!waiting.is_finished());
        care.ended(&one);
        waiting.await.unwrap();
        assert!(care.missed(&two));
        assert_eq!(care.next().await, two);
        care.want([one].into());
        care.attempted(&two).await;
    }
}
