//! Being reachable: the addresses of this node, the proofs of them, and relays while there is none.
//!
//! What counts: an address that the operator announces is a claim; one that a peer has called back (AutoNAT), that the
//! router passes on (UPnP) or that a relay has reserved is evidence. Peers that cannot call disprove either.

use std::collections::{HashMap, HashSet};

use libp2p::{
    Multiaddr, PeerId, Swarm,
    autonat::v2::client,
    core::transport::ListenerId,
    identify,
    multiaddr::Protocol::{self, Ip4, Ip6, P2p, P2pCircuit, QuicV1, Tcp, Udp},
    relay,
    swarm::dial_opts::{DialOpts, PeerCondition},
};
use tokio::time::Instant;

use super::{
    probe,
    reach::{Addresses, Reach},
    relays::Relays,
    swarm::Protocols,
};
use crate::ipfs::options::{Options, Pace, Scope};

/// Peers that are called to be called back by one of them.
const MAX_ASKED: usize = 3;

#[derive(Debug)]
pub(super) struct Reaching {
    addresses: Addresses,
    relays: Relays,
    /// Peers that this node has called, with where.
    called: HashMap<PeerId, Multiaddr>,
    /// Those among them that call others back.
    call_back: HashSet<PeerId>,
    scope: Scope,
    pace: Pace,
    /// Whether this node calls anybody at all.
    calls: bool,
    relays_from: Instant,
    probe_at: Instant,
    /// Whether the world knows old addresses only, and from when on it is told anew.
    changed: bool,
    tell_from: Instant,
}

impl Reaching {
    pub(super) fn new(options: &Options, now: Instant) -> Self {
        Self {
            addresses: Addresses::announced(options.announce.iter()),
            relays: Relays::default(),
            called: HashMap::new(),
            call_back: HashSet::new(),
            scope: options.scope(),
            pace: options.pace,
            calls: !options.bootstrap.is_empty(),
            relays_from: now + options.pace.before_relays,
            probe_at: now,
            changed: false,
            tell_from: now,
        }
    }

    /// What is told of the addresses of `own`.
    pub(super) fn list(&self, own: PeerId) -> Vec<Reach> {
        self.addresses.list(own)
    }

    pub(super) fn connected(&mut self, peer: PeerId, address: &Multiaddr) {
        self.called.insert(peer, address.clone());
    }

    pub(super) fn lost(&mut self, peer: &PeerId) {
        self.called.remove(peer);
        self.call_back.remove(peer);
        self.relays.lost(peer);
    }

    /// A peer tells what it speaks. One that relays is kept in mind if this node has called it: others can, too.
    pub(super) fn identified(&mut self, peer: PeerId, info: &identify::Info) {
        let Some(called) = self.called.get(&peer).filter(|_| self.calls) else { return };
        if info.protocols.contains(&probe::SERVES) {
            self.call_back.insert(peer);
        }
        if !info.protocols.contains(&relay::HOP_PROTOCOL_NAME) {
            return;
        }
        let mut addresses = std::iter::once(called).chain(&info.listen_addrs);
        if let Some(address) = addresses.find_map(|address| plain(address, self.scope)) {
            self.relays.offered(peer, address);
        }
    }

    /// A peer has answered whether it can call this node back.
    pub(super) fn probed(&mut self, event: client::Event, swarm: &mut Swarm<Protocols>) {
        let client::Event { tested_addr: address, server, result, .. } = event;
        match result {
            Ok(()) => self.addresses.called(&address),
            Err(error) => {
                tracing::debug!(%address, %server, %error, "a peer cannot call this node");
                if self.addresses.refused(&address, server) {
                    tracing::info!(%address, "others cannot call this address; it is no longer told");
                    swarm.remove_external_address(&address);
                    self.addresses.expired(&address);
                }
            }
        }
    }

    /// An address of ours has been confirmed.
    pub(super) fn confirmed(&mut self, address: &Multiaddr) {
        if self.addresses.confirmed(address) {
            tracing::info!(%address, "others reach this node here");
            self.changed = true;
        }
    }

    /// The router passes calls on.
    pub(super) fn mapped(&mut self, address: &Multiaddr) {
        self.addresses.mapped(address);
    }

    pub(super) fn expired(&mut self, address: &Multiaddr) {
        tracing::info!(%address, "others no longer reach this node here");
        self.addresses.expired(address);
    }

    pub(super) fn reserved(&mut self, relay: &PeerId) {
        self.relays.accepted(relay);
    }

    /// A listener has ended. True if it was at a relay.
    pub(super) fn listener_ended(&mut self, listener: ListenerId, now: Instant) -> bool {
        self.relays.ended(listener, now)
    }

    /// Looks after proofs and relays.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Protocols>, now: Instant) {
        if self.calls && self.probe_at <= now {
            let pause = if self.addresses.proven() { self.pace.proven } else { self.pace.unproven };
            self.probe_at = now + pause;
            swarm.behaviour_mut().probe.renew(self.addresses.all_direct());
            self.call_askers(swarm);
        }
        if self.addresses.direct() {
            self.relays_from = now + self.pace.before_relays;
            for relay in self.relays.used() {
                // The reservation ends with the connection, and the address with it.
                let _ = swarm.disconnect_peer_id(*relay);
            }
        } else if self.calls && self.relays_from <= now {
            self.listen_at_relays(swarm, now);
        }
    }

    /// Whether what the world was told names addresses that are no longer all. True once for each change.
    pub(super) fn tells_anew(&mut self, now: Instant) -> bool {
        let due = self.changed && self.tell_from <= now;
        if due {
            (self.changed, self.tell_from) = (false, now + self.pace.tell_anew);
        }
        due
    }

    /// Peers are asked to call back over connections made after the renewal only.
    fn call_askers(&self, swarm: &mut Swarm<Protocols>) {
        for peer in self.call_back.iter().take(MAX_ASKED) {
            let Some(address) = self.called.get(peer) else { continue };
            let call = DialOpts::peer_id(*peer).addresses(vec![address.clone()]).condition(PeerCondition::Always);
            if let Err(error) = swarm.dial(call.allocate_new_port().build()) {
                tracing::debug!(%peer, %error, "a peer that calls back is not called");
            }
        }
    }

    fn listen_at_relays(&mut self, swarm: &mut Swarm<Protocols>, now: Instant) {
        while let Some((peer, address)) = self.relays.next(now) {
            match swarm.listen_on(address.with(P2p(peer)).with(P2pCircuit)) {
                Ok(listener) => self.relays.began(listener, peer),
                Err(error) => {
                    tracing::debug!(%peer, %error, "no listening at this relay");
                    self.relays.failed(&peer, now);
                }
            }
        }
    }
}

/// An address of a relay as others can use it: a plain IP address within `scope`.
fn plain(address: &Multiaddr, scope: Scope) -> Option<Multiaddr> {
    let parts: Vec<Protocol<'_>> = address.iter().filter(|part| !matches!(part, P2p(_))).collect();
    let usable = matches!(parts[..], [Ip4(_) | Ip6(_), Tcp(_)] | [Ip4(_) | Ip6(_), Udp(_), QuicV1]);
    (usable && scope.holds(address)).then(|| parts.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_named_by_an_address_that_others_can_use() {
        let peer = PeerId::random();
        let plain = |text: &str| plain(&text.parse().unwrap(), Scope::World).map(|address| address.to_string());
        assert_eq!(plain(&format!("/ip4/9.9.9.9/tcp/4001/p2p/{peer}")), Some("/ip4/9.9.9.9/tcp/4001".into()));
        assert_eq!(plain("/ip4/9.9.9.9/udp/4001/quic-v1"), Some("/ip4/9.9.9.9/udp/4001/quic-v1".into()));
        for useless in [
            "/ip4/192.168.0.1/tcp/4001",
            "/dns4/a.example/tcp/4001",
            "/ip4/9.9.9.9/tcp/4001/ws",
            "/ip4/9.9.9.9/udp/4001",
        ] {
            assert_eq!(plain(useless), None, "{useless}");
        }
    }
}
