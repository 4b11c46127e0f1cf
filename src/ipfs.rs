//! The embedded peer. The only room that names `rust_ipfs`, `rust_ipns` and `libp2p`.
//!
//! A [`Store`] keeps the blocks, a [`Node`] brings them to others, a [`Record`] says what a [`Name`] points to.

use std::{future::Future, path::PathBuf};

use bytes::Bytes;
use cid::Cid;

pub mod dag;
pub mod delegated;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
pub mod key;
pub mod lab;
pub mod memory;
pub mod name;
pub mod node;
pub mod options;
pub mod record;
pub mod store;

pub use delegated::Router;
pub use key::Key;
pub use name::Name;
pub use node::{Findable, Node};
pub use options::{MAX_CONNECTIONS, Options};
pub use record::{Numbers, Record, Records, View};
pub use store::Store;

/// A log filter for what the peer's crates warn of and no operator can mend.
pub const QUIET: &str = "libp2p=error";

/// Why the peer could not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The block store failed.
    #[error("the block store failed: {0}")]
    Store(String),
    /// The disk takes nothing: it is full, or broken.
    #[error("the block store failed: {0}")]
    Refused(String),
    /// The bytes are not those that the CID names.
    #[error("block {0} does not hash to its name")]
    Corrupt(Cid),
    /// Nobody could be reached in time.
    #[error("no answer from the network: {0}")]
    Network(String),
    /// The peer has stopped.
    #[error("the peer has stopped")]
    Stopped,
    /// An address in the configuration that cannot be used.
    #[error("{field}: {value:?} {reason}")]
    Option {
        /// The configuration key.
        field: &'static str,
        /// What was given.
        value: String,
        /// What is wrong with it, and what to write instead.
        reason: String,
    },
    /// None of the addresses to listen on could be had.
    #[error("peer.listen: no address works: {0}")]
    Listen(String),
    /// A key file that cannot be read, written or understood.
    #[error("key {path:?}: {reason}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A text that is no IPNS name of an Ed25519 key.
    #[error("{text:?} is no IPNS name: {reason}")]
    Name {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An IPNS record that cannot be made or does not hold.
    #[error("IPNS record: {0}")]
    Record(String),
}

/// Blocks kept by this node: the narrow edge that the streamer and the gateway stand on.
pub trait Blocks: Clone + Send + Sync + 'static {
    /// Stores, pins and reads back every block; on success all of them are durable and hash to their names, but for those
    /// that a store holds in memory because its disk is full.
    fn put(&self, blocks: Vec<(Cid, Bytes)>) -> impl Future<Output = Result<(), Error>> + Send;

    /// A block of our own, verified; `None` if it is not here. Never asks the network. A block that no longer hashes
    /// to its name is deleted and reported as [`Error::Corrupt`] once; to put it again heals it.
    fn get(&self, cid: Cid) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;

    /// Unpins and deletes; what is not here is no error.
    fn remove(&self, cids: Vec<Cid>) -> impl Future<Output = Result<(), Error>> + Send;
}
