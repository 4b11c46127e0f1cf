//! Bitswap within bounds. `rust_ipfs` fetches; what others want is answered here, since its own serving keeps all that a
//! peer does not read in memory, all that it ever asked for as well, and a lock of the repo while it waits for either.
//!
//! Each peer has a queue of its own with an end, a few look-ups at a time and a rate, and must take what it is sent
//! before more is read for it; who takes nothing for a minute is hung up on. Look-ups run in tasks of their own, so that
//! none holds the repo while the swarm is busy.

use std::{
    collections::{HashMap, VecDeque},
    ops::{Deref, DerefMut},
    task::{Context, Poll},
    time::Duration,
};

use cid::Cid;
use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
        THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, behaviour::ConnectionEstablished,
    },
};
use rust_ipfs::{
    p2p::bitswap,
    repo::{DefaultStorage, Repo},
};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

mod queue;
mod stream;
#[cfg(test)]
mod tests;
pub(in crate::ipfs) mod wire;

use queue::{Peer, Want};
use stream::{Handler, News, Order};

/// Look-ups at once, of all peers.
const MAX_LOOK_UPS: usize = 64;
/// With so many bytes on their way only peers that take theirs are served.
const MAX_UNSENT_BYTES: usize = 64 * 1024 * 1024;
/// Who takes nothing for so long of what is on its way is hung up on.
const STALL: Duration = Duration::from_secs(60);
/// How often stalls and rates are looked at.
const TICK: Duration = Duration::from_millis(250);

type Event = ToSwarm<bitswap::Event, Order>;

/// A look-up that has ended.
struct LookUp {
    peer: PeerId,
    want: Want,
    /// The answer, and whether the block is here.
    answer: Option<Vec<u8>>,
    here: bool,
}

pub(in crate::ipfs) struct Behaviour {
    inner: bitswap::Behaviour,
    repo: Repo<DefaultStorage>,
    peers: HashMap<PeerId, Peer>,
    /// Peers with wants that wait, in turn.
    turns: VecDeque<PeerId>,
    look_ups: JoinSet<LookUp>,
    unsent_bytes: usize,
    events: VecDeque<Event>,
    tick: Interval,
}

impl Behaviour {
    /// Must be called within a Tokio runtime.
    pub(in crate::ipfs) fn new(repo: &Repo<DefaultStorage>) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            inner: bitswap::Behaviour::new(repo, bitswap::Config::default()),
            repo: repo.clone(),
            peers: HashMap::new(),
            turns: VecDeque::new(),
            look_ups: JoinSet::new(),
            unsent_bytes: 0,
            events: VecDeque::new(),
            tick,
        }
    }

    /// Answers the peers that have asked for these blocks, which were just put.
    pub(in crate::ipfs) fn notify_new_blocks(&mut self, cids: Vec<Cid>) {
        for (id, peer) in &mut self.peers {
            let waited = peer.is_waiting();
            cids.iter().for_each(|cid| peer.came(cid));
            if !waited && peer.is_waiting() {
                self.turns.push_back(*id);
            }
        }
        self.look_up(Instant::now());
    }

    fn asked(&mut self, id: PeerId, at: ConnectionId, wants: Vec<Want>, all: bool, now: Instant) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let waited = peer.is_waiting();
        peer.ask(at, wants, all);
        if !waited && peer.is_waiting() {
            self.turns.push_back(id);
        }
        self.look_up(now);
    }

    /// Starts look-ups, one of each peer in turn.
    fn look_up(&mut self, now: Instant) {
        let mut passed = 0;
        while self.look_ups.len() < MAX_LOOK_UPS && passed < self.turns.len() {
            let Some(id) = self.turns.pop_front() else { return };
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            match peer.next(now, self.unsent_bytes >= MAX_UNSENT_BYTES) {
                Some(want) => {
                    self.look_ups.spawn(look_up(self.repo.clone(), id, want));
                    passed = 0;
                }
                None => passed += 1,
            }
            if peer.is_waiting() {
                self.turns.push_back(id);
            }
        }
    }

    fn looked_up(&mut self, done: LookUp, now: Instant) {
        let Some(peer) = self.peers.get_mut(&done.peer) else { return };
        peer.looked_up(done.want, done.here);
        if let Some(answer) = done.answer
            && let Some(at) = peer.answer(answer.len(), now)
        {
            self.unsent_bytes += answer.len();
            self.events.push_back(ToSwarm::NotifyHandler {
                peer_id: done.peer,
                handler: NotifyHandler::One(at),
                event: Order::Answer(answer),
            });
        }
    }

    fn on_tick(&mut self, now: Instant) {
        for (id, peer) in &self.peers {
            if peer.stalled_since().is_some_and(|since| now >= since + STALL) {
                tracing::debug!(peer = %id, "it takes nothing of what it asked for");
                self.events.push_back(ToSwarm::CloseConnection { peer_id: *id, connection: CloseConnection::All });
            }
        }
        self.unsent_bytes = self.peers.values().map(Peer::unsent_bytes).sum();
        self.look_up(now);
    }
}

/// Fetching is that of `rust_ipfs`.
impl Deref for Behaviour {
    type Target = bitswap::Behaviour;

    fn deref(&self) -> &Self::Target {
        &self.inner
    }
}

impl DerefMut for Behaviour {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.inner
    }
}

async fn look_up(repo: Repo<DefaultStorage>, peer: PeerId, want: Want) -> LookUp {
    let cid = want.cid;
    // What cannot be read is not here.
    let (here, found) = if want.block {
        let block = repo.get_block_now(&cid).await.ok().flatten();
        (block.is_some(), block.map(|block| wire::block(&cid, block.data())))
    } else {
        let here = repo.contains(&cid).await.unwrap_or(false);
        (here, here.then(|| wire::presence(&cid, true)))
    };
    let answer = found.or_else(|| want.or_not.then(|| wire::presence(&cid, false)));
    LookUp { peer, want, answer, here }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = bitswap::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote).map(Handler::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port).map(Handler::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, .. }) => {
                self.peers.entry(peer_id).or_insert_with(|| Peer::new(Instant::now())).connected(connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, remaining_established: 0, .. }) => {
                self.peers.remove(&peer_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.disconnected(connection_id);
                }
            }
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, id: PeerId, at: ConnectionId, event: THandlerOutEvent<Self>) {
        let now = Instant::now();
        match event {
            News::Inner(event) => self.inner.on_connection_handler_event(id, at, event),
            News::Wants { wants, all } => self.asked(id, at, wants, all, now),
            News::Taken(bytes) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.taken(at, bytes, now);
                }
                self.unsent_bytes = self.unsent_bytes.saturating_sub(bytes);
                self.look_up(now);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if self.tick.poll_tick(cx).is_ready() {
            self.on_tick(Instant::now());
        }
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.look_ups.poll_join_next(cx) {
                // One that failed has no answer; the peer asks again.
                Poll::Ready(Some(done)) => {
                    let now = Instant::now();
                    if let Ok(done) = done {
                        self.looked_up(done, now);
                    }
                    self.look_up(now);
                }
                _ => break,
            }
        }
        self.inner.poll(cx).map(|event| event.map_in(Order::Inner))
    }
}
