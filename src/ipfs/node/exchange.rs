//! Bitswap within bounds: what others want of us is answered, what we want of others is fetched. The behaviour of
//! `rust_ipfs` does neither within bounds: it keeps in memory all that a peer does not read and all that it ever asked
//! for, holds a lock of the repo while it waits for either, and never talks again to a peer that has come back.
//!
//! Each peer has a queue of its own with an end, a few look-ups at a time and a rate, and must take what it is sent
//! before more is read for it; who takes nothing for a minute is hung up on. Look-ups run in tasks of their own, so that
//! none holds the repo while the swarm is busy. What comes in takes little memory before it is whole, in all. A
//! connection is kept as long as it is used.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
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
    Block,
    repo::{DefaultStorage, Repo},
};
use tokio::{
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use crate::ipfs::store::{
    care::Care,
    refused::{Refused, refusal},
};

mod fetches;
#[cfg(any(test, feature = "fuzz"))]
pub(in crate::ipfs) mod fuzz;
mod guests;
mod inbox;
mod queue;
mod stream;
#[cfg(test)]
mod tests;
pub(in crate::ipfs) mod wire;

use fetches::Fetches;
use guests::Guests;
use inbox::Room;
use queue::{Peer, Want};
use stream::{Handler, News, Order};
use wire::Answer;

/// Look-ups at once, of all peers.
const MAX_LOOK_UPS: usize = 64;
/// With so many bytes on their way only peers that take theirs are served.
const MAX_UNSENT_BYTES: usize = 64 * 1024 * 1024;
/// Bytes of messages that are not whole, of all peers that were asked for no block…
const MAX_UNASKED_BYTES: usize = 16 * 1024 * 1024;
/// …and of those that were: each of the blocks that are fetched at once, at its largest.
const MAX_ASKED_BYTES: usize = 32 * 1024 * 1024;
/// Who takes nothing for so long of what is on its way is hung up on.
const STALL: Duration = Duration::from_secs(60);
/// How often stalls, rates and what does not come are looked at.
const TICK: Duration = Duration::from_millis(250);

/// An answer that is as long brings a block, not only word of one.
const MIN_BLOCK_BYTES: usize = 128;

/// Wants that are kept of all peers together: some 40 MB.
const MAX_WANTS: usize = 128 * 1024;

type ToDo = ToSwarm<Event, Order>;

/// What has become of a wanted block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipfs) enum Event {
    /// It has come, and is in the store unless that refused it.
    Came(Cid),
    /// None of the connected peers has it so far.
    Search(Cid),
}

/// A look-up that has ended.
struct LookUp {
    peer: PeerId,
    want: Want,
    /// The answer, and whether the block is here.
    answer: Option<Vec<u8>>,
    here: bool,
}

/// What the connections have in common.
#[derive(Clone, Debug)]
struct Common {
    unasked: Room,
    asked: Room,
    /// Whether anything is wanted, and who was asked for it.
    fetching: Arc<RwLock<(bool, HashSet<PeerId>)>>,
}

pub(in crate::ipfs) struct Behaviour {
    repo: Repo<DefaultStorage>,
    /// Hears of blocks that peers want and that are not here as they should be.
    care: Option<Care>,
    /// Blocks that are held in memory because the disk does not take them.
    refused: Refused,
    common: Common,
    peers: HashMap<PeerId, Peer>,
    guests: Guests,
    /// Peers with wants that wait, in turn.
    turns: VecDeque<PeerId>,
    look_ups: JoinSet<LookUp>,
    unsent_bytes: usize,
    fetches: Fetches,
    /// Blocks that have come and are being stored.
    storing: JoinSet<Cid>,
    to_do: VecDeque<ToDo>,
    tick: Interval,
}

impl Common {
    fn new() -> Self {
        let (unasked, asked) = (Room::of(MAX_UNASKED_BYTES), Room::of(MAX_ASKED_BYTES));
        Self { unasked, asked, fetching: Arc::default() }
    }

    /// The room for the messages of a peer.
    fn room(&self, peer: &PeerId) -> &Room {
        let asked = self.fetching.read().unwrap_or_else(PoisonError::into_inner).1.contains(peer);
        if asked { &self.asked } else { &self.unasked }
    }

    fn is_fetching(&self) -> bool {
        self.fetching.read().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Behaviour {
    /// With more than `guests` connections that others have made the least useful end, so that there is always room for who
    /// comes next. Must be called within a Tokio runtime.
    pub(in crate::ipfs) fn new(repo: &Repo<DefaultStorage>, guests: usize) -> Self {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            repo: repo.clone(),
            care: None,
            refused: Refused::default(),
            common: Common::new(),
            peers: HashMap::new(),
            guests: Guests::new(guests),
            turns: VecDeque::new(),
            look_ups: JoinSet::new(),
            unsent_bytes: 0,
            fetches: Fetches::default(),
            storing: JoinSet::new(),
            to_do: VecDeque::new(),
            tick,
        }
    }

    /// From now on `care` hears of what peers want and is not here, and they are given what is in `refused`, too.
    pub(in crate::ipfs) fn tell(&mut self, care: Care, refused: Refused) {
        (self.care, self.refused) = (Some(care), refused);
    }

    /// Fetches a block into the repo, from whom of the connected peers has it. The block is raw or dag-pb under a CIDv1
    /// with SHA-256: no other one comes. Goes on until it is there or [`Behaviour::let_go`].
    pub(in crate::ipfs) fn want(&mut self, cid: Cid) {
        self.fetches.want(cid, Instant::now());
        self.tell_wants();
    }

    /// A block is no longer wanted.
    pub(in crate::ipfs) fn let_go(&mut self, cid: &Cid) {
        self.fetches.let_go(cid);
        self.tell_wants();
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
                    self.look_ups.spawn(look_up(self.repo.clone(), self.refused.clone(), id, want));
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
        if !done.here
            && let Some(care) = &self.care
        {
            care.missed(&done.want.cid);
        }
        let Some(peer) = self.peers.get_mut(&done.peer) else { return };
        peer.looked_up(done.want, done.here);
        if let Some(answer) = done.answer
            && let Some(at) = peer.answer(answer.len(), now)
        {
            self.unsent_bytes += answer.len();
            self.to_do.push_back(ToSwarm::NotifyHandler {
                peer_id: done.peer,
                handler: NotifyHandler::One(at),
                event: Order::Answer(answer),
            });
        }
    }

    /// Takes what came for our wants. The blocks hash to their names.
    fn answered(&mut self, peer: PeerId, answer: Answer, now: Instant) {
        for (cid, bytes) in answer.blocks {
            if self.fetches.let_go(&cid) {
                self.storing.spawn(store(self.repo.clone(), self.refused.clone(), cid, bytes));
            }
        }
        for (cid, here) in answer.presences {
            if here {
                self.fetches.has(peer, cid, now);
            } else {
                self.fetches.has_not(peer, cid, now);
            }
        }
        self.tell_wants();
    }

    /// Tells others what they are to know of our wants.
    fn tell_wants(&mut self) {
        for (peer_id, at, entries) in self.fetches.take_told() {
            let (handler, event) = (NotifyHandler::One(at), Order::Wants(entries));
            self.to_do.push_back(ToSwarm::NotifyHandler { peer_id, handler, event });
        }
        let now = (!self.fetches.is_empty(), self.fetches.asked().collect());
        *self.common.fetching.write().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn on_tick(&mut self, now: Instant) {
        let searches = self.fetches.on_tick(now);
        self.to_do.extend(searches.into_iter().map(|cid| ToSwarm::GenerateEvent(Event::Search(cid))));
        self.tell_wants();
        for (id, peer) in &self.peers {
            if peer.stalled_since().is_some_and(|since| now >= since + STALL) {
                tracing::debug!(peer = %id, "it takes nothing of what it asked for");
                self.to_do.push_back(ToSwarm::CloseConnection { peer_id: *id, connection: CloseConnection::All });
            }
        }
        let wants = self.peers.iter().map(|(id, peer)| (peer.wants(), *id)).collect();
        for peer_id in self.guests.surplus(now).into_iter().chain(queue::greediest(wants, MAX_WANTS)) {
            tracing::debug!(peer = %peer_id, "it makes room for others");
            self.to_do.push_back(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
        }
        self.unsent_bytes = self.peers.values().map(Peer::unsent_bytes).sum();
        self.look_up(now);
    }
}

async fn look_up(repo: Repo<DefaultStorage>, refused: Refused, peer: PeerId, want: Want) -> LookUp {
    let cid = want.cid;
    // What cannot be read is not here.
    let (here, found) = if want.block {
        let block = match refused.get(&cid) {
            Some(bytes) => Some(bytes),
            None => repo.get_block_now(&cid).await.ok().flatten().map(|block| block.into_inner().1),
        };
        (block.is_some(), block.map(|bytes| wire::block(&cid, &bytes)))
    } else {
        let here = refused.has(&cid) || repo.contains(&cid).await.unwrap_or(false);
        (here, here.then(|| wire::presence(&cid, true)))
    };
    let answer = found.or_else(|| want.or_not.then(|| wire::presence(&cid, false)));
    LookUp { peer, want, answer, here }
}

async fn store(repo: Repo<DefaultStorage>, refused: Refused, cid: Cid, bytes: Bytes) -> Cid {
    if let Err(error) = repo.put_block(&Block::new_unchecked(cid, bytes.clone())).await {
        match refusal(&error) {
            // Whoever wanted it must have it, and puts it.
            Some(why) => refused.hold(cid, bytes, &why, |_| true),
            None => tracing::warn!(%cid, %error, "a block that came cannot be stored"),
        }
    }
    cid
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.common.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, self.common.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let now = Instant::now();
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                if endpoint.is_listener() {
                    self.guests.came(peer_id, connection_id, now);
                }
                self.peers.entry(peer_id).or_insert_with(|| Peer::new(now)).connected(connection_id);
                self.fetches.opened(peer_id, connection_id, now);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, remaining_established, .. }) => {
                if remaining_established == 0 {
                    self.peers.remove(&peer_id);
                } else if let Some(peer) = self.peers.get_mut(&peer_id) {
                    peer.disconnected(connection_id);
                }
                self.guests.left(&connection_id);
                self.fetches.closed(peer_id, connection_id, now);
            }
            _ => return,
        }
        self.tell_wants();
    }

    fn on_connection_handler_event(&mut self, id: PeerId, at: ConnectionId, event: THandlerOutEvent<Self>) {
        let now = Instant::now();
        match event {
            News::Wants { wants, all } => self.asked(id, at, wants, all, now),
            News::Answer(answer) => self.answered(id, answer, now),
            News::Taken(bytes) => {
                if let Some(peer) = self.peers.get_mut(&id) {
                    peer.taken(at, bytes, now);
                }
                if bytes >= MIN_BLOCK_BYTES {
                    self.guests.served(&id, now);
                }
                self.unsent_bytes = self.unsent_bytes.saturating_sub(bytes);
                self.look_up(now);
            }
            News::Unsupported => {
                self.fetches.closed(id, at, now);
                self.tell_wants();
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if self.tick.poll_tick(cx).is_ready() {
            self.on_tick(Instant::now());
        }
        loop {
            if let Some(event) = self.to_do.pop_front() {
                return Poll::Ready(event);
            }
            if let Poll::Ready(Some(stored)) = self.storing.poll_join_next(cx) {
                // One that failed is wanted anew by whoever waits for it.
                self.to_do.extend(stored.ok().map(|cid| ToSwarm::GenerateEvent(Event::Came(cid))));
                continue;
            }
            // One that failed has no answer; the peer asks again.
            let Poll::Ready(Some(done)) = self.look_ups.poll_join_next(cx) else { return Poll::Pending };
            let now = Instant::now();
            if let Ok(done) = done {
                self.looked_up(done, now);
            }
            self.look_up(now);
        }
    }
}
