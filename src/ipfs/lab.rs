//! Counterparts on loopback for tests and benches: a server of the DHT and a peer that asks. No part of a station.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    kad::{self, store::RecordStore},
    multiaddr::Protocol,
    swarm::SwarmEvent,
};
use rust_ipfs::{p2p::bitswap, repo::Repo};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Key, Name, Options, Record,
    node::swarm::{self, Protocols, ProtocolsEvent},
};

pub(super) mod caller;
pub mod crowd;
pub mod far;
mod mischief;
mod reader;

/// A server of the DHT on loopback. Like the public ones it takes valid IPNS records and providers with addresses only.
/// It ends when it is dropped.
#[derive(Debug)]
pub struct DhtServer {
    address: String,
    taken: Arc<Mutex<Taken>>,
    frozen: CancellationToken,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Taken {
    records: HashMap<Vec<u8>, Record>,
    providers: HashMap<Vec<u8>, Vec<String>>,
}

impl DhtServer {
    /// Starts a server under a new identity on a free port.
    pub async fn start() -> Result<Self, Error> {
        Self::start_at(&Key::generate(), "/ip4/127.0.0.1/tcp/0").await
    }

    /// Starts a server that listens at `address`.
    pub async fn start_at(identity: &Key, address: &str) -> Result<Self, Error> {
        let mut swarm = peer(identity, &[address.to_owned()]).await?;
        let address = listening(&mut swarm).await;
        swarm.behaviour_mut().kad.set_mode(Some(kad::Mode::Server));
        let (taken, frozen) = (Arc::default(), CancellationToken::new());
        let task = tokio::spawn(serve(swarm, Arc::clone(&taken), frozen.clone()));
        Ok(Self { address: with_peer(&address, identity), taken, frozen, task })
    }

    /// Where it is, as `peer.bootstrap` wants it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The newest record that it took for `name`.
    pub fn record(&self, name: Name) -> Option<Record> {
        self.locked(|taken| taken.records.get(&name.routing_key()).cloned())
    }

    /// The addresses of the last peer that told it of `cid`.
    pub fn provider(&self, cid: &Cid) -> Option<Vec<String>> {
        self.locked(|taken| taken.providers.get(&cid.hash().to_bytes()).cloned())
    }

    /// Keeps its connections and answers nothing any more.
    pub fn freeze(&self) {
        self.frozen.cancel();
    }

    /// Vanishes: its port is closed when this returns.
    pub async fn vanish(mut self) {
        self.task.abort();
        // Being cut off is what was asked for.
        let _ = (&mut self.task).await;
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Taken) -> T) -> T {
        work(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for DhtServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Fetches blocks over bitswap from the peer at `address`, which ends in `/p2p/<peer id>`; they hash to their names.
/// What has not come when `limit` ends is missing.
pub async fn fetch(address: &str, cids: &[Cid], limit: Duration) -> Result<Vec<(Cid, Bytes)>, Error> {
    let repo = Repo::new_memory();
    repo.init().await.map_err(|error| Error::Store(error.to_string()))?;
    let mut swarm = swarm::build(Key::generate().pair(), &repo, &Options::check(&[], &[], &[])?)?;
    let provider = call(&mut swarm, address)?;
    let mut wanted: HashSet<Cid> = cids.iter().copied().collect();
    let all = async {
        while !wanted.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => {
                    swarm.behaviour_mut().bitswap.gets(cids.to_vec(), &[provider], Some(limit));
                }
                SwarmEvent::Behaviour(ProtocolsEvent::Bitswap(bitswap::Event::BlockRetrieved { cid })) => {
                    wanted.remove(&cid);
                }
                _ => {}
            }
        }
    };
    // What came in time is what was asked for.
    let _ = timeout(limit, all).await;
    let mut fetched = Vec::new();
    for cid in cids {
        let block = repo.get_block_now(cid).await.map_err(|error| Error::Store(error.to_string()))?;
        fetched.extend(block.map(|block| block.into_inner()));
    }
    Ok(fetched)
}

/// Asks the DHT, beginning with the server at `address`, who has `cid`: peer ids.
pub async fn providers(address: &str, cid: &Cid, limit: Duration) -> Result<Vec<String>, Error> {
    let mut swarm = peer(&Key::generate(), &[]).await?;
    call(&mut swarm, address)?;
    let asked = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(ProtocolsEvent::Kad(kad::Event::RoutingUpdated { .. })) => {
                    swarm.behaviour_mut().kad.get_providers(kad::RecordKey::from(cid.hash().to_bytes()));
                }
                SwarmEvent::Behaviour(ProtocolsEvent::Kad(kad::Event::OutboundQueryProgressed {
                    result: kad::QueryResult::GetProviders(Ok(kad::GetProvidersOk::FoundProviders { providers, .. })),
                    ..
                })) => return providers.iter().map(PeerId::to_string).collect(),
                _ => {}
            }
        }
    };
    timeout(limit, asked).await.map_err(|_| Error::Network("nobody told of a provider".into()))
}

async fn serve(mut swarm: Swarm<Protocols>, taken: Arc<Mutex<Taken>>, frozen: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = frozen.cancelled() => std::future::pending().await,
        };
        let SwarmEvent::Behaviour(ProtocolsEvent::Kad(kad::Event::InboundRequest { request })) = event else {
            continue;
        };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        take(swarm.behaviour_mut().kad.store_mut(), &mut taken, request);
    }
}

fn take(store: &mut kad::store::MemoryStore, taken: &mut Taken, request: kad::InboundRequest) {
    match request {
        kad::InboundRequest::PutRecord { record: Some(put), .. } => {
            let Some(record) = valid(&put) else { return };
            let key = put.key.to_vec();
            if taken.records.get(&key).is_none_or(|held| record.is_newer_than(held)) && store.put(put).is_ok() {
                taken.records.insert(key, record);
            }
        }
        kad::InboundRequest::AddProvider { record: Some(told) } if !told.addresses.is_empty() => {
            let addresses = told.addresses.iter().map(Multiaddr::to_string).collect();
            let key = told.key.to_vec();
            if store.add_provider(told).is_ok() {
                taken.providers.insert(key, addresses);
            }
        }
        _ => {}
    }
}

fn valid(put: &kad::Record) -> Option<Record> {
    let peer = PeerId::from_bytes(put.key.as_ref().strip_prefix(b"/ipns/")?).ok()?;
    Record::open(Name::of(peer), put.value.clone()).ok()
}

async fn peer(identity: &Key, listen: &[String]) -> Result<Swarm<Protocols>, Error> {
    let repo = Repo::new_memory();
    repo.init().await.map_err(|error| Error::Store(error.to_string()))?;
    let options = Options::check(listen, &[], &[])?;
    let mut swarm = swarm::build(identity.pair(), &repo, &options)?;
    swarm::listen(&mut swarm, &options.listen)?;
    Ok(swarm)
}

async fn listening(swarm: &mut Swarm<Protocols>) -> Multiaddr {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

fn call(swarm: &mut Swarm<Protocols>, address: &str) -> Result<PeerId, Error> {
    let options = Options::check(&[], &[], &[address.to_owned()])?;
    let (peer, addresses) = options.bootstrap.into_iter().next().ok_or(Error::Stopped)?;
    for address in addresses {
        swarm.dial(address).map_err(|error| Error::Network(error.to_string()))?;
    }
    Ok(peer)
}

fn with_peer(address: &Multiaddr, identity: &Key) -> String {
    address.clone().with(Protocol::P2p(identity.name().peer())).to_string()
}
