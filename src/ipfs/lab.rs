//! Counterparts on loopback for tests and benches: a server of the DHT, which may relay and call back too, a router
//! that is asked over HTTP, a peer that asks, and a bad wire. No part of a station.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm, autonat,
    kad::{self, store::RecordStore},
    multiaddr::Protocol,
    relay,
    swarm::{NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
};
use rust_ipfs::repo::{DefaultStorage, Repo};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Error, Key, Name, Options, Record,
    node::{
        exchange,
        swarm::{self, Protocols, ProtocolsEvent},
    },
};

pub(super) mod caller;
pub mod crowd;
pub mod far;
mod mischief;
mod reader;
mod router;
mod wire;

pub use router::{Answers, HttpRouter};
pub use wire::{Mode, Wire};

/// What a server does besides serving the DHT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Helps {
    /// Passes calls on to peers that ask for it.
    pub relays: bool,
    /// Calls back peers that ask for it (AutoNAT v2).
    pub calls_back: bool,
}

#[derive(NetworkBehaviour)]
struct Server {
    ours: Protocols,
    relay: Toggle<relay::Behaviour>,
    calls_back: Toggle<autonat::v2::server::Behaviour>,
}

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
        Self::start_with(identity, address, Helps::default()).await
    }

    /// The same with more to do.
    pub async fn start_with(identity: &Key, address: &str, helps: Helps) -> Result<Self, Error> {
        let (repo, options) = (memory_repo().await?, Options::check(&[address.to_owned()], &[], &[])?);
        let relay = |peer| relay::Behaviour::new(peer, relay::Config::default());
        let mut swarm = swarm::build_with(identity.pair(), &repo, &options, |ours| Server {
            ours,
            relay: helps.relays.then(|| relay(identity.name().peer())).into(),
            calls_back: helps.calls_back.then(autonat::v2::server::Behaviour::default).into(),
        })?;
        let (_, failures) = swarm::listen(&mut swarm, &options.listen);
        if !failures.is_empty() {
            return Err(Error::Listen(failures.join("; ")));
        }
        let address = listening(&mut swarm).await;
        swarm.behaviour_mut().ours.kad.set_mode(Some(kad::Mode::Server));
        if helps.relays {
            // A relay names its own addresses in a reservation.
            swarm.add_external_address(address.clone());
        }
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
    let repo = memory_repo().await?;
    let mut swarm = asker(&repo)?;
    call(&mut swarm, address)?;
    let mut wanted: HashSet<Cid> = cids.iter().copied().collect();
    let all = async {
        while !wanted.is_empty() {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => {
                    cids.iter().for_each(|cid| swarm.behaviour_mut().bitswap.want(*cid));
                }
                SwarmEvent::Behaviour(ProtocolsEvent::Bitswap(exchange::Event::Came(cid))) => {
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
    let mut swarm = asker(&memory_repo().await?)?;
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

async fn serve(mut swarm: Swarm<Server>, taken: Arc<Mutex<Taken>>, frozen: CancellationToken) {
    loop {
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = frozen.cancelled() => std::future::pending().await,
        };
        let SwarmEvent::Behaviour(ServerEvent::Ours(event)) = event else { continue };
        let ProtocolsEvent::Kad(kad::Event::InboundRequest { request }) = event else { continue };
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        take(swarm.behaviour_mut().ours.kad.store_mut(), &mut taken, request);
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

fn asker(repo: &Repo<DefaultStorage>) -> Result<Swarm<Protocols>, Error> {
    swarm::build(Key::generate().pair(), repo, &Options::check(&[], &[], &[])?)
}

async fn memory_repo() -> Result<Repo<DefaultStorage>, Error> {
    let repo = Repo::new_memory();
    repo.init().await.map_err(|error| Error::Store(error.to_string()))?;
    Ok(repo)
}

async fn listening(swarm: &mut Swarm<Server>) -> Multiaddr {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

fn call(swarm: &mut Swarm<Protocols>, address: &str) -> Result<(), Error> {
    let options = Options::check(&[], &[], &[address.to_owned()])?;
    for address in options.bootstrap.into_values().flatten() {
        swarm.dial(address).map_err(|error| Error::Network(error.to_string()))?;
    }
    Ok(())
}

fn with_peer(address: &Multiaddr, identity: &Key) -> String {
    address.clone().with(Protocol::P2p(identity.name().peer())).to_string()
}
