//! Under which addresses the world reaches this node, and what speaks for each. Pure.

use std::collections::{BTreeMap, HashSet};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

/// As many failed calls in a row disprove an address…
const REFUSALS: u32 = 3;
/// …if they came from as many peers: one alone may be cut off from us.
const REFUSERS: usize = 2;

/// What speaks for an address, or against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The operator announces it; nobody has called it yet.
    Announced,
    /// The router says that it passes calls on (UPnP).
    Mapped,
    /// A relay has agreed to pass calls on.
    Relayed,
    /// A peer has called it (AutoNAT).
    Called,
    /// Peers could not call it (AutoNAT).
    Refused,
}

/// An address of this node and what speaks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// A multiaddr that ends in the peer id.
    pub address: String,
    /// What speaks for it.
    pub proof: Proof,
}

#[derive(Debug)]
struct Known {
    claim: Proof,
    called: bool,
    refusals: u32,
    refused_by: HashSet<PeerId>,
}

/// The addresses that others are told.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: BTreeMap<Multiaddr, Known>,
}

impl Addresses {
    pub(super) fn announced<'a>(addresses: impl Iterator<Item = &'a Multiaddr>) -> Self {
        let known = |address: &Multiaddr| (address.clone(), Known::claimed(Proof::Announced));
        Self { known: addresses.map(known).collect() }
    }

    /// An address has become one of ours. True if it is new.
    pub(super) fn confirmed(&mut self, address: &Multiaddr) -> bool {
        let claim = if is_relayed(address) { Proof::Relayed } else { Proof::Called };
        let known = !self.known.contains_key(address);
        self.known.entry(address.clone()).or_insert_with(|| Known::claimed(claim));
        known
    }

    /// The router passes calls on to an address of ours.
    pub(super) fn mapped(&mut self, address: &Multiaddr) {
        self.known.entry(address.clone()).or_insert_with(|| Known::claimed(Proof::Mapped)).claim = Proof::Mapped;
    }

    pub(super) fn expired(&mut self, address: &Multiaddr) {
        self.known.remove(address);
    }

    /// A peer has called an address.
    pub(super) fn called(&mut self, address: &Multiaddr) {
        if let Some(known) = self.known.get_mut(address) {
            known.called = true;
            known.refusals = 0;
            known.refused_by.clear();
        }
    }

    /// A peer could not call an address. True if it is to be given up: it is disproved, and nobody has announced it.
    pub(super) fn refused(&mut self, address: &Multiaddr, by: PeerId) -> bool {
        let Some(known) = self.known.get_mut(address) else { return false };
        known.refusals = known.refusals.saturating_add(1);
        if known.refused_by.len() < REFUSERS {
            known.refused_by.insert(by);
        }
        known.proof() == Proof::Refused && known.claim != Proof::Announced
    }

    /// Whether the world can call this node without a relay, as far as is known.
    pub(super) fn direct(&self) -> bool {
        self.known.values().any(|known| !matches!(known.proof(), Proof::Relayed | Proof::Refused))
    }

    /// Whether every address that is not at a relay has been called.
    pub(super) fn proven(&self) -> bool {
        let mut direct = self.known.values().map(Known::proof).filter(|proof| *proof != Proof::Relayed).peekable();
        direct.peek().is_some() && direct.all(|proof| proof == Proof::Called)
    }

    /// All of them that are not at a relay.
    pub(super) fn all_direct(&self) -> impl Iterator<Item = &Multiaddr> {
        self.known.keys().filter(|address| !is_relayed(address))
    }

    /// What is told of them, in a fixed order.
    pub(super) fn list(&self, own: PeerId) -> Vec<Reach> {
        let text = |address: &Multiaddr| address.clone().with_p2p(own).unwrap_or_else(|other| other).to_string();
        self.known.iter().map(|(address, known)| Reach { address: text(address), proof: known.proof() }).collect()
    }
}

impl Known {
    fn claimed(claim: Proof) -> Self {
        Self { claim, called: claim == Proof::Called, refusals: 0, refused_by: HashSet::new() }
    }

    fn proof(&self) -> Proof {
        match (self.refusals >= REFUSALS && self.refused_by.len() >= REFUSERS, self.called) {
            (true, _) => Proof::Refused,
            (false, true) => Proof::Called,
            (false, false) => self.claim,
        }
    }
}

impl Proof {
    /// The word used in the status.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Announced => "announced",
            Self::Mapped => "mapped",
            Self::Relayed => "relayed",
            Self::Called => "called",
            Self::Refused => "refused",
        }
    }
}

fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    fn proofs(addresses: &Addresses) -> Vec<Proof> {
        addresses.list(PeerId::random()).into_iter().map(|reach| reach.proof).collect()
    }

    #[test]
    fn an_announced_address_is_a_claim_until_somebody_calls_it() {
        let announced = address("/ip4/8.8.8.8/tcp/4001");
        let mut addresses = Addresses::announced([&announced].into_iter());
        assert_eq!(proofs(&addresses), [Proof::Announced]);
        assert!(addresses.direct() && !addresses.proven());
        assert!(!addresses.confirmed(&announced), "it is known");
        addresses.called(&announced);
        assert_eq!(proofs(&addresses), [Proof::Called]);
        assert!(addresses.proven());
    }

    #[test]
    fn three_failed_calls_of_two_peers_disprove_an_address_and_one_call_proves_it_again() {
        let (announced, seen) = (address("/ip4/8.8.8.8/tcp/4001"), address("/ip4/8.8.8.8/tcp/5000"));
        let mut addresses = Addresses::announced([&announced].into_iter());
        addresses.confirmed(&seen);
        let peers = [PeerId::random(), PeerId::random()];
        for peer in [peers[0]; 5] {
            assert!(!addresses.refused(&seen, peer) && !addresses.refused(&announced, peer));
        }
        assert!(addresses.direct());
        assert!(addresses.refused(&seen, peers[1]), "nobody has announced it");
        assert!(!addresses.refused(&announced, peers[1]), "what is announced stays");
        assert_eq!(proofs(&addresses), [Proof::Refused, Proof::Refused]);
        assert!(!addresses.direct());
        addresses.called(&announced);
        addresses.expired(&seen);
        assert_eq!(proofs(&addresses), [Proof::Called]);
    }

    #[test]
    fn a_relay_is_no_direct_address_and_a_mapping_is_one() {
        let relay = PeerId::random();
        let mut addresses = Addresses::default();
        assert!(addresses.confirmed(&address(&format!("/ip4/8.8.8.8/tcp/4001/p2p/{relay}/p2p-circuit"))));
        assert_eq!((proofs(&addresses), addresses.direct()), (vec![Proof::Relayed], false));
        let mapped = address("/ip4/9.9.9.9/udp/4001/quic-v1");
        addresses.confirmed(&mapped);
        addresses.mapped(&mapped);
        assert!(addresses.direct());
        assert_eq!(addresses.all_direct().collect::<Vec<_>>(), [&mapped]);
    }
}
