//! The embedded peer. The only room that names `rust_ipfs`, `rust_ipns` and `libp2p`.

use std::future::Future;

use bytes::Bytes;
use cid::Cid;

pub mod dag;
pub mod memory;

/// Why the peer could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block store failed.
    #[error("the block store failed: {0}")]
    Store(String),
    /// The bytes are not those that the CID names.
    #[error("block {0} does not hash to its name")]
    Corrupt(Cid),
    /// Nobody could be reached in time.
    #[error("no answer from the network: {0}")]
    Network(String),
    /// The peer has stopped.
    #[error("the peer has stopped")]
    Stopped,
}

/// Blocks kept by this node: the narrow edge that the streamer and the gateway stand on.
pub trait Blocks: Clone + Send + Sync + 'static {
    /// Stores, pins and reads back every block; on success all of them are durable and hash to their names.
    fn put(&self, blocks: Vec<(Cid, Bytes)>) -> impl Future<Output = Result<(), Error>> + Send;

    /// A block of our own, verified; `None` if it is not here. Never asks the network.
    fn get(&self, cid: Cid) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Unpins and deletes; what is not here is no error.
    fn remove(&self, cids: Vec<Cid>) -> impl Future<Output = Result<(), Error>> + Send;
}
