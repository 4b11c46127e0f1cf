//! A client far away: it resolves a name at the DHT, fetches over bitswap from one peer, and remembers nothing but the
//! newest record.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use cid::Cid;
use tokio::sync::Mutex;

use super::reader::Reader;
use crate::ipfs::{Error, Key, Name, Node, Options, Record, Store};

/// How long a name may take to resolve.
const RESOLVE: Duration = Duration::from_secs(60);
/// How long a call may take, and a block.
const CALL: Duration = Duration::from_secs(20);
const FETCH: Duration = Duration::from_secs(30);

/// The client.
#[derive(Debug)]
pub struct Far {
    node: Node,
    name: Name,
    address: String,
    newest: Mutex<Option<Record>>,
    /// Lists do not wait for segments.
    lists: Mutex<Option<Reader>>,
    segments: Mutex<Option<Reader>>,
}

impl Far {
    /// Joins the DHT through `bootstrap` and listens to `name`, whose blocks the peer at `address` has; `folder` is for
    /// what it does not need.
    pub async fn start(bootstrap: &[String], name: Name, address: &str, folder: &Path) -> Result<Self, Error> {
        let store = Store::open(folder).await?;
        let node = Node::start(Options::check(&[], &[], bootstrap)?, &Key::generate(), &store).await?;
        let (newest, lists, segments) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { node, name, address: address.to_owned(), newest, lists, segments })
    }

    /// The newest list: resolved and fetched anew. A record older than one seen before is not followed.
    pub async fn list(&self) -> Result<Bytes, Error> {
        let found = self.node.lookup(self.name, RESOLVE).await?;
        let record = {
            let mut newest = self.newest.lock().await;
            if let Some(found) = found
                && newest.as_ref().is_none_or(|newest| found.is_newer_than(newest))
            {
                *newest = Some(found);
            }
            newest.clone().ok_or_else(|| Error::Network("nobody knows the name".into()))?
        };
        let cid = record.view().value.strip_prefix("/ipfs/").and_then(|cid| cid.parse().ok());
        self.fetch(&self.lists, cid.ok_or_else(|| Error::Record("points to no block".into()))?).await
    }

    /// A block, fetched anew.
    pub async fn block(&self, cid: Cid) -> Result<Bytes, Error> {
        self.fetch(&self.segments, cid).await
    }

    async fn fetch(&self, slot: &Mutex<Option<Reader>>, cid: Cid) -> Result<Bytes, Error> {
        let mut slot = slot.lock().await;
        let reader = match slot.take().filter(Reader::is_connected) {
            Some(reader) => slot.insert(reader),
            None => slot.insert(Reader::connect(&self.address, CALL).await?),
        };
        match reader.fetch(&[cid], FETCH).await.map(|mut fetched| fetched.pop()) {
            Ok(Some(fetched)) => Ok(fetched.bytes),
            // The connection may be dead without anybody having said so: the next one is new.
            Ok(None) => {
                *slot = None;
                Err(Error::Network(format!("{cid} did not come in time")))
            }
            Err(error) => {
                *slot = None;
                Err(error)
            }
        }
    }
}
