//! What a mirror gives to listeners: blocks that belong to something verified, and nothing else that lies in the store.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cid::Cid;

use crate::{
    ipfs::{Blocks, Error},
    radio::follow::Shelf,
};

/// The blocks of a mirror that may be served. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Kept<B> {
    pub(super) blocks: B,
    shelf: Arc<Mutex<Shelf>>,
}

impl<B> Kept<B> {
    pub(super) fn new(blocks: B, shelf: Arc<Mutex<Shelf>>) -> Self {
        Self { blocks, shelf }
    }
}

impl<B: Blocks> Blocks for Kept<B> {
    async fn put(&self, blocks: Vec<(Cid, Bytes)>) -> Result<(), Error> {
        self.blocks.put(blocks).await
    }

    /// As [`Blocks::get`]. A block that should be here and is not is fetched anew with the next root that holds it.
    async fn get(&self, cid: Cid) -> Result<Option<Bytes>, Error> {
        if !locked(&self.shelf, |shelf| shelf.gives(&cid)) {
            return Ok(None);
        }
        let got = self.blocks.get(cid).await;
        if matches!(got, Ok(None) | Err(Error::Corrupt(_))) {
            locked(&self.shelf, |shelf| shelf.lost(&cid));
        }
        got
    }

    async fn remove(&self, cids: Vec<Cid>) -> Result<(), Error> {
        self.blocks.remove(cids).await
    }
}

pub(super) fn locked<T>(shelf: &Mutex<Shelf>, work: impl FnOnce(&mut Shelf) -> T) -> T {
    work(&mut shelf.lock().unwrap_or_else(PoisonError::into_inner))
}
