//! The task that owns the swarm. It never waits for anything but the swarm, its commands and its tick.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use bytes::Bytes;
use cid::Cid;
use futures::StreamExt;
use libp2p::{
    Multiaddr, PeerId, Swarm,
    kad::{self, QueryId, QueryResult, QueryStats},
    ping,
    swarm::{
        SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, timeout},
};

use super::{
    Status,
    provides::{self, Provides},
    redial::Redial,
    swarm::{Protocols, ProtocolsEvent},
};
use crate::ipfs::{Error, Name, Record};

/// How often pauses and the status are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a start waits for the listeners to tell their addresses.
const SETTLE: Duration = Duration::from_secs(2);
/// Idle connections are closed after half a minute and come back within seconds; that is no loss of the DHT.
const GRACE: Duration = Duration::from_secs(30);

/// What the handle asks for.
pub(super) enum Command {
    Provide(Vec<Cid>),
    StopProviding(Vec<Cid>),
    NotifyNewBlocks(Vec<Cid>),
    Publish { record: Record, reply: oneshot::Sender<Result<(), Error>> },
    Lookup { name: Name, replies: mpsc::Sender<Result<Bytes, Error>> },
    Stop,
}

/// What a running query of the DHT is for.
enum Query {
    Provide(provides::Key),
    Put(oneshot::Sender<Result<(), Error>>),
    Get(mpsc::Sender<Result<Bytes, Error>>),
}

pub(super) struct Task {
    swarm: Swarm<Protocols>,
    commands: mpsc::Receiver<Command>,
    status: watch::Sender<Status>,
    queries: HashMap<QueryId, Query>,
    provides: Provides,
    redial: Redial,
    dht_seen: Option<Instant>,
}

impl Task {
    pub(super) fn new(
        swarm: Swarm<Protocols>,
        commands: mpsc::Receiver<Command>,
        status: watch::Sender<Status>,
        bootstrap: &BTreeMap<PeerId, Vec<Multiaddr>>,
    ) -> Self {
        let redial = Redial::new(bootstrap, Instant::now());
        let (queries, provides) = (HashMap::new(), Provides::default());
        Self { swarm, commands, status, queries, provides, redial, dht_seen: None }
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
            Command::Provide(cids) => self.provide(&cids),
            Command::StopProviding(cids) => self.stop_providing(&cids),
            Command::NotifyNewBlocks(cids) => self.swarm.behaviour_mut().bitswap.notify_new_blocks(cids),
            Command::Publish { record, reply } => self.publish(&record, reply),
            Command::Lookup { name, replies } => {
                let query = self.kad().get_record(kad::RecordKey::from(name.routing_key()));
                self.queries.insert(query, Query::Get(replies));
            }
            Command::Stop => {}
        }
    }

    fn provide(&mut self, cids: &[Cid]) {
        let refused = cids.iter().filter(|cid| !self.provides.want(cid.hash().to_bytes())).count();
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
            self.kad().stop_providing(&kad::RecordKey::from(key));
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
        while let Some(key) = self.provides.next() {
            match self.kad().start_providing(kad::RecordKey::from(key.clone())) {
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
        for (peer, addresses) in self.redial.due(dht_peers, now) {
            let call = DialOpts::peer_id(peer).addresses(addresses).condition(PeerCondition::DisconnectedAndNotDialing);
            if let Err(error) = self.swarm.dial(call.build()) {
                tracing::debug!(%peer, %error, "a bootstrap peer cannot be called");
                self.redial.failed(&peer, now);
            }
        }
        let left = self.queries.iter().filter(|(_, query)| query.is_left()).map(|(id, _)| *id).collect::<Vec<_>>();
        left.into_iter().for_each(|id| self.end(id));
        self.tell();
    }

    fn on_event(&mut self, event: SwarmEvent<ProtocolsEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(ProtocolsEvent::Kad(event)) => return self.on_dht(event, now),
            SwarmEvent::Behaviour(ProtocolsEvent::Ping(ping::Event { peer, connection, result: Err(error) }))
                if !matches!(error, ping::Failure::Unsupported) =>
            {
                tracing::debug!(%peer, %error, "a peer answers no more");
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.redial.connected(&peer_id, now),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => self.redial.lost(&peer_id, now),
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                tracing::debug!(%peer, %error, "a peer could not be called");
                self.redial.failed(&peer, now);
            }
            SwarmEvent::NewListenAddr { address, .. } => tracing::info!(%address, "listening"),
            SwarmEvent::ExpiredListenAddr { address, .. } => tracing::info!(%address, "no longer listening"),
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener has closed");
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

    fn tell(&mut self) {
        let own = *self.swarm.local_peer_id();
        let text = |address: &Multiaddr| address.clone().with_p2p(own).unwrap_or_else(|other| other).to_string();
        let dht_peers = self.dht_peers();
        let now = Status {
            listening: self.swarm.listeners().map(text).collect(),
            external: self.swarm.external_addresses().map(text).collect(),
            peers: self.swarm.network_info().num_peers(),
            dht_peers,
            dht_at_hand: dht_peers > 0 || self.dht_seen.is_some_and(|seen| seen.elapsed() < GRACE),
            provided: self.provides.count(),
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
            Self::Provide(_) => false,
            Self::Put(reply) => reply.is_closed(),
            Self::Get(replies) => replies.is_closed(),
        }
    }
}
