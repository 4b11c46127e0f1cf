//! Blocks in memory: the stand-in for the repo in tests, with the faults of a disk on demand.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use cid::Cid;

use super::{Blocks, Error};
use crate::radio::segment::is_of;

/// A block store that forgets everything when its last clone is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    blocks: HashMap<Cid, Bytes>,
    refuses: bool,
}

impl Memory {
    /// From now on every put fails like a disk that is full, or none does any more.
    pub fn refuse_puts(&self, refuse: bool) {
        self.locked(|held| held.refuses = refuse);
    }

    /// Breaks a block, as a bad disk does. False if it is not here.
    pub fn damage(&self, cid: &Cid) -> bool {
        let broken = Bytes::from_static(b"damaged");
        self.locked(|held| held.blocks.get_mut(cid).map(|bytes| *bytes = broken).is_some())
    }

    /// Every block that is here.
    pub fn held(&self) -> Vec<Cid> {
        self.locked(|held| held.blocks.keys().copied().collect())
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Held) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Blocks for Memory {
    async fn put(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        if let Some((cid, _)) = blocks.iter().find(|(cid, bytes)| !is_of(cid, bytes)) {
            return Err(Error::Corrupt(*cid));
        }
        self.locked(|held| {
            if held.refuses {
                return Err(Error::Store("no space left on device".into()));
            }
            held.blocks.extend(blocks);
            Ok(())
        })
    }

    async fn get(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        self.locked(|held| match held.blocks.get(&cid) {
            Some(bytes) if !is_of(&cid, bytes) => {
                held.blocks.remove(&cid);
                Err(Error::Corrupt(cid))
            }
            bytes => Ok(bytes.cloned()),
        })
    }

    async fn remove(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.locked(|held| cids.iter().for_each(|cid| drop(held.blocks.remove(cid))));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    #[tokio::test]
    async fn faults_come_on_demand_and_heal() {
        let memory = Memory::default();
        let block = (cid_of(RAW, b"bytes"), Bytes::from_static(b"bytes"));
        memory.refuse_puts(true);
        assert!(matches!(memory.put(vec![block.clone()]).await, Err(Error::Store(_))));
        assert!(!memory.damage(&block.0));
        memory.refuse_puts(false);
        memory.put(vec![block.clone()]).await.unwrap();
        assert!(memory.damage(&block.0));
        assert!(matches!(memory.get(block.0).await, Err(Error::Corrupt(cid)) if cid == block.0));
        assert_eq!(memory.get(block.0).await.unwrap(), None);
        memory.put(vec![block.clone()]).await.unwrap();
        assert_eq!((memory.get(block.0).await.unwrap(), memory.held()), (Some(block.1), vec![block.0]));
    }
}
