//! How many connections there may be. As libp2p-connection-limits 0.6, which remembers every peer that was ever connected.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
        ToSwarm, dummy,
    },
};

const MAX_PER_PEER: usize = 8;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipfs) struct Most {
    /// That others begin to make.
    pub(super) pending_in: usize,
    /// That this node begins to make.
    pub(super) pending_out: usize,
    /// That others have made.
    pub(super) standing_in: usize,
    /// That this node has made.
    pub(super) standing_out: usize,
}

impl Most {
    pub(in crate::ipfs) const USUAL: Self =
        Self { pending_in: 64, pending_out: 256, standing_in: 512, standing_out: 768 };

    /// So many in all, in the usual proportion; no more than usual.
    pub(in crate::ipfs) fn of(all: usize) -> Self {
        let Self { pending_in, pending_out, standing_in, standing_out } = Self::USUAL;
        let usual = Self::USUAL.all();
        let share = |most: usize| (most * all.min(usual) / usual).max(1);
        Self {
            pending_in: share(pending_in),
            pending_out: share(pending_out),
            standing_in: share(standing_in),
            standing_out: share(standing_out),
        }
    }

    /// So many of the connections that others have made are for who is there already.
    pub(super) const fn guests(self) -> usize {
        self.standing_in - self.standing_in.div_ceil(8)
    }

    pub(in crate::ipfs) const fn all(self) -> usize {
        self.pending_in + self.pending_out + self.standing_in + self.standing_out
    }
}

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no more than {most} {what}")]
struct TooMany {
    what: &'static str,
    most: usize,
}

/// Refuses connections beyond the limits.
#[derive(Debug)]
pub(in crate::ipfs) struct Behaviour {
    most: Most,
    /// Peers that are never refused.
    welcome: HashSet<PeerId>,
    pending_in: HashSet<ConnectionId>,
    pending_out: HashSet<ConnectionId>,
    /// Those that stand, with whether the other has made them.
    standing: HashMap<ConnectionId, bool>,
    standing_in: usize,
    peers: HashMap<PeerId, usize>,
}

impl Behaviour {
    pub(super) fn new(most: Most, welcome: impl Iterator<Item = PeerId>) -> Self {
        Self {
            most,
            welcome: welcome.collect(),
            pending_in: HashSet::new(),
            pending_out: HashSet::new(),
            standing: HashMap::new(),
            standing_in: 0,
            peers: HashMap::new(),
        }
    }

    /// Whether one more connection with `peer` may stand.
    fn check(&self, peer: &PeerId, incoming: bool) -> Result<(), TooMany> {
        if self.welcome.contains(peer) {
            return Ok(());
        }
        check("connections with one peer", self.peers.get(peer).copied().unwrap_or_default(), MAX_PER_PEER)?;
        if incoming {
            check("connections made by others", self.standing_in, self.most.standing_in)
        } else {
            check("connections made by this node", self.standing.len() - self.standing_in, self.most.standing_out)
        }
    }

    fn began(&mut self, peer: PeerId, connection: ConnectionId, incoming: bool) {
        self.standing.insert(connection, incoming);
        self.standing_in += usize::from(incoming);
        *self.peers.entry(peer).or_default() += 1;
    }

    fn ended(&mut self, peer: &PeerId, connection: &ConnectionId) {
        let Some(incoming) = self.standing.remove(connection) else { return };
        self.standing_in -= usize::from(incoming);
        if let Some(count) = self.peers.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(peer);
            }
        }
    }
}

fn check(what: &'static str, count: usize, most: usize) -> Result<(), TooMany> {
    if count < most { Ok(()) } else { Err(TooMany { what, most }) }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        check("handshakes of others", self.pending_in.len(), self.most.pending_in).map_err(ConnectionDenied::new)?;
        self.pending_in.insert(connection);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_in.remove(&connection);
        self.check(&peer, true).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if peer.is_none_or(|peer| !self.welcome.contains(&peer)) {
            check("calls at once", self.pending_out.len(), self.most.pending_out).map_err(ConnectionDenied::new)?;
            self.pending_out.insert(connection);
        }
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending_out.remove(&connection);
        self.check(&peer, false).map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.began(event.peer_id, event.connection_id, event.endpoint.is_listener());
            }
            FromSwarm::ConnectionClosed(event) => self.ended(&event.peer_id, &event.connection_id),
            FromSwarm::DialFailure(event) => drop(self.pending_out.remove(&event.connection_id)),
            FromSwarm::ListenFailure(event) => drop(self.pending_in.remove(&event.connection_id)),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn as_many_may_stand_as_the_limits_say_and_those_who_are_welcome_always() {
        let (peer, friend) = (PeerId::random(), PeerId::random());
        let mut limits = Behaviour::new(Most::USUAL, [friend].into_iter());
        (0..MAX_PER_PEER).for_each(|number| limits.began(peer, at(number), false));
        let most = |result: Result<(), TooMany>| result.map_err(|error| error.most);
        assert_eq!(most(limits.check(&peer, true)), Err(MAX_PER_PEER));
        let others: Vec<_> =
            (0..Most::USUAL.standing_in).map(|number| (PeerId::random(), at(MAX_PER_PEER + number))).collect();
        for (other, at) in &others {
            assert_eq!(limits.check(other, true), Ok(()));
            limits.began(*other, *at, true);
        }
        let stranger = PeerId::random();
        assert_eq!(most(limits.check(&stranger, true)), Err(Most::USUAL.standing_in));
        assert_eq!((limits.check(&stranger, false), limits.check(&friend, true)), (Ok(()), Ok(())));
        limits.ended(&others[0].0, &others[0].1);
        assert_eq!(limits.check(&stranger, true), Ok(()));
    }

    #[test]
    fn where_fewer_are_possible_all_kinds_have_their_share() {
        assert_eq!(Most::of(1_600), Most::USUAL);
        assert_eq!(Most::of(100_000), Most::USUAL);
        assert_eq!(Most::USUAL.guests(), 448);
        let few = Most::of(160);
        assert_eq!(few, Most { pending_in: 6, pending_out: 25, standing_in: 51, standing_out: 76 });
        assert_eq!((few.all(), few.guests()), (158, 44));
        assert_eq!(Most::of(0), Most { pending_in: 1, pending_out: 1, standing_in: 1, standing_out: 1 });
    }

    #[test]
    fn handshakes_have_a_limit_of_their_own() {
        let (mut limits, address) = (Behaviour::new(Most::USUAL, std::iter::empty()), Multiaddr::empty());
        let mut call = |number| limits.handle_pending_inbound_connection(at(number), &address, &address).is_ok();
        assert!((0..Most::USUAL.pending_in).all(&mut call) && !call(Most::USUAL.pending_in));
        let done = limits.handle_established_inbound_connection(at(0), PeerId::random(), &address, &address);
        assert!(done.is_ok() && limits.pending_in.len() == Most::USUAL.pending_in - 1);
    }

    #[test]
    fn nothing_stays_of_who_has_gone() {
        let mut limits = Behaviour::new(Most::USUAL, std::iter::empty());
        for number in 0..1_000 {
            let peer = PeerId::random();
            [0, 1].into_iter().for_each(|more| limits.began(peer, at(2 * number + more), more == 0));
            [0, 1, 1].into_iter().for_each(|more| limits.ended(&peer, &at(2 * number + more)));
        }
        assert!(limits.peers.is_empty() && limits.standing.is_empty() && limits.standing_in == 0);
    }
}
