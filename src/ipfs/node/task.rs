//! The task that owns the swarm. It never waits for anything but the swarm, its commands and its tick.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    core::ConnectedPoint,
    dcutr, identify,
    kad::{self, QueryId, QueryResult, QueryStats},
    ping, relay,
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
    upnp,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Status,
    fetch::Wants,
    provides::{self, Due, Provides},
    reaching::Reaching,
    redial::Redial,
    swarm::{Protocols, ProtocolsEvent},
};
use crate::ipfs::{Error, Name, Options, Record};

mod blocks;

/// How often pauses and the status are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a start waits for the listeners to tell their addresses.
const SETTLE: Duration = Duration::from_secs(2);
/// Idle connections are closed after half a minute and come back within seconds; that is no loss of the DHT.
const GRACE: Duration = Duration::from_secs(30);

/// What the handle asks for.
pub(super) enum Command {
    Provide(Vec<(Cid, Due)>),
    StopProviding(Vec<Cid>),
    NotifyNewBlocks(Vec<Cid>),
    Publish {
        record: Record,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Lookup {
        name: Name,
        replies: mpsc::Sender<Result<Bytes, Error>>,
    },
    Providers {
        cid: Cid,
        replies: mpsc::Sender<Result<Vec<PeerId>, Error>>,
    },
    /// The reply comes when the block is in the store.
    Fetch {
        cid: Cid,
        reply: oneshot::Sender<()>,
    },
    /// Peers of the DHT that are connected, with their addresses.
    DhtPeers {
        reply: oneshot::Sender<Vec<(PeerId, Vec<Multiaddr>)>>,
    },
    Stop,
}

/// What a running query of the DHT is for.
enum Query {
    Provide(provides::Key),
    Put(oneshot::Sender<Result<(), Error>>),
    Get(mpsc::Sender<Result<Bytes, Error>>),
    Providers(mpsc::Sender<Result<Vec<PeerId>, Error>>),
    /// For a wanted block.
    Search(Cid),
}

pub(super) struct Task {
    swarm: Swarm<Protocols>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    queries: HashMap<QueryId, Query>,
    provides: Provides,
    wants: Wants,
    redial: Redial,
    dht_seen: Option<Instant>,
    reaching: Reaching,
    not_listening: Vec<String>,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Protocols>,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
        options: &Options,
        not_listening: Vec<String>,
    ) -> Self {
        let now = Instant::now();
        let (redial, reaching) = (Redial::new(&options.bootstrap, now), Reaching::new(options, now));
        let (queries, provides, wants) = (HashMap::new(), Provides::default(), Wants::default());
        Self { swarm, commands, status, queries, provides, wants, redial, dht_seen: None, reaching, not_listening }
    }

    /// Waits until as many listeners have told an address, within bounds.
    pub(super) async fn settle(&mut self, listeners: usize) {
        let told = async {
            let mut silent = listeners;
            while silent > 0 {
                let event = self.swarm.select_next_some().await;
                if matches!(event, SwarmEvent::NewListenAddr { .. } | SwarmEvent::ListenerClosed { .. }) {
                    silent -= 1;
                }
                self.on_event(event);
            }
        };
        if timeout(SETTLE, told).await.is_err() {
            tracing::warn!("some addresses to listen on did not come up");
        }
        self.tell();
    }

    pub(super) async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(Command::Stop) | None => return,
                    Some(command) => self.obey(command),
                },
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
            self.provide_next();
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Provide(wanted) => self.provide(&wanted),
            Command::StopProviding(cids) => self.stop_providing(&cids),
            Command::NotifyNewBlocks(cids) => self.swarm.behaviour_mut().bitswap.notify_new_blocks(cids),
            Command::Publish { record, reply } => self.publish(&record, reply),
            Command::Lookup { name, replies } => {
                let query = self.kad().get_record(kad::RecordKey::from(name.routing_key()));
                self.queries.insert(query, Query::Get(replies));
            }
            Command::Providers { cid, replies } => {
                let query = self.kad().get_providers(kad::RecordKey::from(cid.hash().to_bytes()));
                self.queries.insert(query, Query::Providers(replies));
            }
            Command::Fetch { cid, reply } => {
                if self.wants.add(cid, reply) {
                    self.swarm.behaviour_mut().bitswap.want(cid);
                }
            }
            Command::DhtPeers { reply } => drop(reply.send(self.connected_dht_peers())),
            Command::Stop => {}
        }
    }

    fn provide(&mut self, wanted: &[(Cid, Due)]) {
        let now = Instant::now();
        let mut want = |(cid, due): &(Cid, Due)| self.provides.want(cid.hash().to_bytes(), *due, now);
        let refused = wanted.iter().filter(|wanted| !want(wanted)).count();
        if refused > 0 {
            tracing::warn!(blocks = refused, limit = provides::MAX_PROVIDED, "too many blocks to provide");
        }
    }

    fn stop_providing(&mut self, cids: &[Cid]) {
        for cid in cids {
            let key = cid.hash().to_bytes();
            self.provides.forget(&key);
            let running =
                self.queries.iter().find(|(_, query)| matches!(query, Query::Provide(other) if *other == key));
            if let Some(id) = running.map(|(id, _)| *id) {
                self.end(id);
            }
        }
    }

    /// The record goes out and is not kept: nothing here repeats it, and a look-up hears others, not ourselves.
    fn publish(&mut self, record: &Record, reply: oneshot::Sender<Result<(), Error>>) {
        if self.kad().kbuckets().next().is_none() {
            let _ = reply.send(Err(Error::Network("no peer of the DHT is known".into())));
            return;
        }
        let key = kad::RecordKey::from(record.name().routing_key());
        let put = kad::Record::new(key.clone(), record.bytes().to_vec());
        match self.kad().put_record(put, kad::Quorum::One) {
            Ok(query) => drop(self.queries.insert(query, Query::Put(reply))),
            Err(error) => drop(reply.send(Err(Error::Network(error.to_string())))),
        }
        self.kad().remove_record(&key);
    }

    /// Starts what may start. Without an address of our own a provider record is void, and without a peer it has
    /// nowhere to go: then everything keeps its place.
    fn provide_next(&mut self) {
        if self.swarm.external_addresses().next().is_none() || self.status.borrow().dht_peers == 0 {
            return;
        }
        while let Some(key) = self.provides.next(Instant::now()) {
            let told = kad::RecordKey::from(key.clone());
            let query = self.kad().start_providing(told.clone());
            // What we told is not kept: who has it is heard from others, not from ourselves.
            self.kad().stop_providing(&told);
            match query {
                Ok(query) => drop(self.queries.insert(query, Query::Provide(key))),
                Err(error) => {
                    tracing::warn!(%error, "a block cannot be provided");
                    self.provides.finished(&key, false, Instant::now());
                }
            }
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.provides.wake(now);
        let dht_peers = self.dht_peers();
        if dht_peers > 0 {
            self.dht_seen = Some(now);
        }
        self.reaching.on_tick(&mut self.swarm, now);
        if self.reaching.tells_anew(now) {
            self.provides.tell_anew();
        }
        for (peer, addresses) in self.redial.due(dht_peers, now) {
            let call = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(call.build()) {
                tracing::debug!(%peer, %error, "a bootstrap peer cannot be called");
                self.redial.failed(&peer, now);
            }
        }
        let left = self.queries.iter().filter(|(_, query)| query.is_left()).map(|(id, _)| *id).collect::<Vec<_>>();
        left.into_iter().for_each(|id| self.end(id));
        for cid in self.wants.left() {
            self.end_search(&cid);
            self.swarm.behaviour_mut().bitswap.let_go(&cid);
        }
        self.tell();
    }

    fn on_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => return self.on_protocol(event, now),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.redial.connected(&peer_id, now);
                if let ConnectedPoint::Dialer { address, .. } = endpoint {
                    self.reaching.connected(peer_id, &address);
                }
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.redial.lost(&peer_id, now);
                self.reaching.lost(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "a peer could not be called");
                self.redial.failed(&peer, now);
            }
            SwarmEvent::ExternalAddrConfirmed { address } => self.reaching.confirmed(&address),
            SwarmEvent::ExternalAddrExpired { address } => self.reaching.expired(&address),
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ExpiredListenAddr { address, .. } => tracing::info!(%address, "no longer listening"),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            SwarmEvent::ListenerClosed { listener_id, addresses, reason } => {
                if self.reaching.listener_ended(listener_id, now) {
                    tracing::info!(?addresses, ?reason, "a relay no longer passes calls on");
                } else {
                    tracing::warn!(?addresses, ?reason, "a listener has closed");
                }
            }
            _ => return,
        }
        self.tell();
    }

    fn on_protocol(&mut self, event: ProtocolsEvent, now: Instant) {
        match event {
            ProtocolsEvent::Kad(event) => return self.on_dht(event, now),
            ProtocolsEvent::Bitswap(event) => return self.on_bitswap(event),
            ProtocolsEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                return self.reaching.identified(peer_id, &info);
            }
            ProtocolsEvent::Probe(event) => self.reaching.probed(event, &mut self.swarm),
            ProtocolsEvent::Relay(relay::client::Event::ReservationReqAccepted { relay_peer_id, .. }) => {
                self.reaching.reserved(&relay_peer_id);
            }
            ProtocolsEvent::Upnp(upnp::Event::NewExternalAddr(address)) => self.reaching.mapped(&address),
            ProtocolsEvent::Ping(ping::Event { peer, connection, result: Err(error) })
                if !matches!(error, ping::Failure::Unsupported) =>
            {
                tracing::debug!(%peer, %error, "a peer answers no more");
                self.swarm.close_connection(connection);
            }
            ProtocolsEvent::Dcutr(dcutr::Event { remote_peer_id, result }) => {
                tracing::debug!(peer = %remote_peer_id, ?result, "a relayed peer was called directly");
            }
            _ => return,
        }
        self.tell();
    }

    fn on_dht(&mut self, event: kad::Event, now: Instant) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, stats, step } => {
                self.on_answer(id, result, &stats, now);
                if step.last {
                    self.queries.remove(&id);
                }
            }
            kad::Event::RoutingUpdated { .. } => self.tell(),
            _ => {}
        }
    }

    fn on_answer(&mut self, id: QueryId, result: QueryResult, stats: &QueryStats, now: Instant) {
        if let QueryResult::GetProviders(result) = result {
            return self.on_providers(id, result, stats);
        }
        match (result, self.queries.get(&id)) {
            (QueryResult::StartProviding(result), Some(Query::Provide(key))) => {
                let told = result.is_ok() && stats.num_successes() > 0;
                self.provides.finished(key, told, now);
            }
            (QueryResult::GetRecord(Ok(kad::GetRecordOk::FoundRecord(found))), Some(Query::Get(replies))) => {
                // Who does not read in time has what came before.
                let _ = replies.try_send(Ok(found.record.value.into()));
            }
            (QueryResult::GetRecord(Err(error)), Some(Query::Get(replies))) if stats.num_successes() == 0 => {
                let _ = replies.try_send(Err(Error::Network(error.to_string())));
            }
            (QueryResult::PutRecord(result), Some(Query::Put(_))) => {
                if let Some(Query::Put(reply)) = self.queries.remove(&id) {
                    let result = result.map(drop).map_err(|error| Error::Network(error.to_string()));
                    let _ = reply.send(result);
                }
            }
            _ => {}
        }
    }

    /// Ends a query whose answer nobody wants.
    fn end(&mut self, id: QueryId) {
        self.queries.remove(&id);
        if let Some(mut query) = self.kad().query_mut(&id) {
            query.finish();
        }
    }

    fn dht_peers(&mut self) -> usize {
        let connected = |bucket: kad::KBucketRef<'_, _, _>| {
            bucket.iter().filter(|entry| entry.status == kad::NodeStatus::Connected).count()
        };
        self.kad().kbuckets().map(connected).sum()
    }

    fn connected_dht_peers(&mut self) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut peers = Vec::new();
        for bucket in self.kad().kbuckets() {
            let connected = bucket.iter().filter(|entry| entry.status == kad::NodeStatus::Connected);
            peers.extend(
                connected.map(|entry| (*entry.node.key.preimage(), entry.node.value.iter().cloned().collect())),
            );
        }
        peers
    }

    fn tell(&mut self) {
        let own = *self.swarm.local_peer_id();
        let text = |address: &Multiaddr| address.clone().with_p2p(own).unwrap_or_else(|other| other).to_string();
        let dht_peers = self.dht_peers();
        let now = Status {
            listening: self.swarm.listeners().map(text).collect(),
            not_listening: self.not_listening.clone(),
            reach: self.reaching.list(own),
            peers: self.swarm.network_info().num_peers(),
            dht_peers,
            dht_at_hand: dht_peers > 0 || self.dht_seen.is_some_and(|seen| seen.elapsed() < GRACE),
            provided: self.provides.count(Instant::now()),
        };
        self.status.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    }

    fn kad(&mut self) -> &mut kad::Behaviour<kad::store::MemoryStore> {
        &mut self.swarm.behaviour_mut().kad
    }
}

impl Query {
    /// Whether whoever asked has gone.
    fn is_left(&self) -> bool {
        match self {
            Self::Provide(_) | Self::Search(_) => false,
            Self::Providers(replies) => replies.is_closed(),
            Self::Put(reply) => reply.is_closed(),
            Self::Get(replies) => replies.is_closed(),
        }
    }

    /// The wanted block that it is for.
    fn searched(&self) -> Option<&Cid> {
        match self {
            Self::Search(cid) => Some(cid),
            _ => None,
        }
    }
}
