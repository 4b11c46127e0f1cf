//! Blocks in memory: the stand-in for the repo in tests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use cid::Cid;

use super::{Blocks, Error};
use crate::radio::segment::is_of;

/// A block store that forgets everything when it is dropped.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    blocks: Arc<Mutex<HashMap<Cid, Bytes>>>,
}

impl Memory {
    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<Cid, Bytes>) -> T) -> T {
        work(&mut self.blocks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Blocks for Memory {
    async fn put(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        if let Some((cid, _)) = blocks.iter().find(|(cid, bytes)| !is_of(cid, bytes)) {
            return Err(Error::Corrupt(*cid));
        }
        self.locked(|held| held.extend(blocks));
        Ok(())
    }

    async fn get(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        Ok(self.locked(|held| held.get(&cid).cloned()))
    }

    async fn remove(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.locked(|held| cids.iter().for_each(|cid| drop(held.remove(cid))));
        Ok(())
    }
}
