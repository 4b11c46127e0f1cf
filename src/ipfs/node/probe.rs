//! Is this node reachable? AutoNAT v2 asks peers to call an address back; this says which addresses, and asks again.
//!
//! The client of libp2p-autonat 0.15 takes every address that anybody has seen, for ever, asks one peer about each, and
//! never asks again. Behind a NAT that gives each connection a port of its own that grows without end, and a port that is
//! opened later is never noticed. So few and likely addresses reach it, and it is made anew from time to time.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    autonat::v2::client,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

use crate::ipfs::options::Scope;

/// Addresses that are counted before they are believed.
const MAX_SEEN: usize = 64;
/// Addresses that are asked about.
const MAX_ASKED: usize = 8;
/// Addresses that the client is told of until it is made anew: it forgets none, and whoever makes some up takes the place of
/// others among those that are asked about.
const MAX_TOLD: usize = 64;
/// Connections that must have seen the same address before it is asked about.
const SEEN: u32 = 2;

/// What a peer speaks that calls others back (AutoNAT v2, spec autonat-v2).
pub(super) const SERVES: StreamProtocol = StreamProtocol::new("/libp2p/autonat/2/dial-request");

/// Asks peers to call this node back.
pub(in crate::ipfs) struct Behaviour {
    inner: client::Behaviour,
    /// The connections that `inner` knows of: those made since it was.
    known: HashSet<ConnectionId>,
    candidates: Candidates,
    /// How many addresses it was told of since it was made.
    told: usize,
}

/// Addresses under which this node might be reached.
#[derive(Debug)]
struct Candidates {
    scope: Scope,
    seen: HashMap<Multiaddr, u32>,
    /// The one that was named longest ago first.
    asked: VecDeque<Asked>,
}

#[derive(Debug)]
struct Asked {
    address: Multiaddr,
    /// Whether this node listens there: then it stays.
    listens: bool,
}

impl Behaviour {
    /// Asks only about addresses that are of use within `scope`.
    pub(super) fn new(scope: Scope) -> Self {
        let candidates = Candidates { scope, seen: HashMap::new(), asked: VecDeque::new() };
        Self { inner: client::Behaviour::default(), known: HashSet::new(), candidates, told: 0 }
    }

    /// Asks anew about every address that was asked about, and about `more`, five seconds later. Only connections made
    /// from now on are used for that.
    pub(super) fn renew<'a>(&mut self, more: impl Iterator<Item = &'a Multiaddr>) {
        for address in more {
            self.candidates.ask(address, false);
        }
        self.inner = client::Behaviour::default();
        self.known.clear();
        self.told = self.candidates.asked.len();
        for Asked { address: addr, .. } in &self.candidates.asked {
            self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }));
        }
    }

    fn ask_if(&mut self, asked: bool, addr: &Multiaddr) {
        if asked && self.told < MAX_TOLD {
            self.told += 1;
            self.inner.on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }));
        }
    }
}

impl Candidates {
    /// A peer says that it sees this node under `address`. True if it is to be asked about from now on.
    fn see(&mut self, address: &Multiaddr) -> bool {
        if !self.scope.holds(address) || self.named_again(address) {
            return false;
        }
        if self.seen.len() >= MAX_SEEN && !self.seen.contains_key(address) {
            self.seen.retain(|_, times| *times >= SEEN);
        }
        let times = self.seen.entry(address.clone()).or_default();
        *times += 1;
        *times >= SEEN && self.ask(address, false)
    }

    /// Asks about `address`, in place of the one that nobody has named for the longest time where there are many. False if
    /// that is done already or is of no use.
    fn ask(&mut self, address: &Multiaddr, listens: bool) -> bool {
        if !self.scope.holds(address) || self.named_again(address) {
            return false;
        }
        if self.asked.len() >= MAX_ASKED {
            let Some(oldest) = self.asked.iter().position(|asked| !asked.listens) else { return false };
            self.asked.remove(oldest);
        }
        self.seen.remove(address);
        self.asked.push_back(Asked { address: address.clone(), listens });
        true
    }

    /// Whether this address is asked about already; it was named just now.
    fn named_again(&mut self, address: &Multiaddr) -> bool {
        let known = self.asked.iter().position(|asked| asked.address == *address);
        let asked = known.and_then(|at| self.asked.remove(at));
        let is_known = asked.is_some();
        self.asked.extend(asked);
        is_known
    }

    fn forget(&mut self, address: &Multiaddr) {
        self.asked.retain(|asked| asked.address != *address);
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = <client::Behaviour as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = client::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }) => {
                let asked = self.candidates.see(addr);
                self.ask_if(asked, addr);
            }
            FromSwarm::NewListenAddr(listen) => {
                let asked = self.candidates.ask(listen.addr, true);
                self.ask_if(asked, listen.addr);
            }
            FromSwarm::ExpiredListenAddr(listen) => self.candidates.forget(listen.addr),
            FromSwarm::ConnectionEstablished(connection) => {
                self.known.insert(connection.connection_id);
                self.inner.on_swarm_event(event);
            }
            FromSwarm::ConnectionClosed(connection) if self.known.contains(&connection.connection_id) => {
                self.known.remove(&connection.connection_id);
                self.inner.on_swarm_event(event);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        if self.known.contains(&connection) {
            self.inner.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(scope: Scope) -> Candidates {
        Behaviour::new(scope).candidates
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/8.8.8.8/tcp/{port}").parse().unwrap()
    }

    #[tokio::test]
    async fn an_address_is_believed_when_two_have_seen_it() {
        let mut candidates = candidates(Scope::World);
        assert!(!candidates.see(&address(4_001)));
        assert!(candidates.see(&address(4_001)));
        assert!(!candidates.see(&address(4_001)), "it is asked about already");
    }

    #[tokio::test]
    async fn a_nat_that_gives_each_connection_its_port_costs_nothing() {
        let mut candidates = candidates(Scope::World);
        (1..10_000).for_each(|port| assert!(!candidates.see(&address(port))));
        assert!(candidates.seen.len() <= MAX_SEEN && candidates.asked.is_empty());
        for port in 1_000..2_000 {
            assert!(!candidates.see(&address(port)) && candidates.see(&address(port)));
        }
        assert!(
            candidates.seen.len() <= MAX_SEEN && candidates.asked.len() == MAX_ASKED,
            "nor do those who make them up"
        );
    }

    #[tokio::test]
    async fn who_makes_addresses_up_does_not_fill_the_client() {
        let mut probe = Behaviour::new(Scope::World);
        let say = |probe: &mut Behaviour, port: u16| {
            let addr = &address(port);
            (0..SEEN).for_each(|_| {
                probe.on_swarm_event(FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }));
            });
        };
        (1..1_000).for_each(|port| say(&mut probe, port));
        assert_eq!(probe.told, MAX_TOLD);
        probe.renew(std::iter::empty());
        assert_eq!(probe.told, MAX_ASKED, "those that were named last");
        say(&mut probe, 2_000);
        assert_eq!(probe.told, MAX_ASKED + 1);
    }

    #[tokio::test]
    async fn a_new_address_takes_the_place_of_the_one_that_was_named_longest_ago() {
        let mut candidates = candidates(Scope::World);
        assert!(candidates.ask(&address(1), true));
        (2..=MAX_ASKED as u16).for_each(|port| assert!(candidates.ask(&address(port), false)));
        assert!(!candidates.see(&address(2)), "it is asked about already");
        assert!(candidates.ask(&address(100), false));
        let asked: Vec<_> = candidates.asked.iter().map(|asked| asked.address.clone()).collect();
        assert_eq!(asked, [1, 4, 5, 6, 7, 8, 2, 100].map(address), "what it listens at stays");
        candidates.forget(&address(4));
        assert!(candidates.ask(&address(4), false) && candidates.asked.len() == MAX_ASKED);
        assert_eq!((200..=210).filter(|port| candidates.ask(&address(*port), true)).count(), MAX_ASKED - 1);
        assert!(candidates.asked.iter().all(|asked| asked.listens) && candidates.asked.len() == MAX_ASKED);
        assert!(!candidates.ask(&address(300), false));
    }

    #[tokio::test]
    async fn a_private_address_is_asked_about_in_a_private_network_only() {
        let private: Multiaddr = "/ip4/192.168.1.7/tcp/4001".parse().unwrap();
        assert!(!candidates(Scope::World).ask(&private, true));
        assert!(candidates(Scope::Local).ask(&private, true));
    }
}
