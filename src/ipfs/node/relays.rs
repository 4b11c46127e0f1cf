//! Which relays to use while nobody can call this node directly. Pure: the task that owns the swarm asks it.
//!
//! Relays are found among the peers that this node has called anyway (peers of the DHT) and that say they relay.

use std::{collections::HashMap, time::Duration};

use libp2p::{Multiaddr, PeerId, core::transport::ListenerId};
use tokio::time::Instant;

/// The relays used at once.
const MAX_RELAYS: usize = 2;
/// Relays that are kept in mind.
const MAX_KNOWN: usize = 32;
/// The pause after a relay refused or broke off; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(30);
const MAX_PAUSE: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
struct Relay {
    address: Multiaddr,
    connected: bool,
    failures: u32,
    not_before: Option<Instant>,
}

#[derive(Debug, Default)]
pub(super) struct Relays {
    known: HashMap<PeerId, Relay>,
    used: HashMap<ListenerId, PeerId>,
}

impl Relays {
    /// A connected peer, called at `address`, says that it relays.
    pub(super) fn offered(&mut self, peer: PeerId, address: Multiaddr) {
        if let Some(relay) = self.known.get_mut(&peer) {
            (relay.address, relay.connected) = (address, true);
        } else {
            if self.known.len() >= MAX_KNOWN {
                let Some(worst) = self.worst() else { return };
                self.known.remove(&worst);
            }
            self.known.insert(peer, Relay { address, connected: true, failures: 0, not_before: None });
        }
    }

    /// The one that makes room for another: of those that have failed one that is gone, then the one that failed most often.
    fn worst(&self) -> Option<PeerId> {
        let used = |peer: &PeerId| self.used.values().any(|used| used == peer);
        let failed = self.known.iter().filter(|(peer, relay)| relay.failures > 0 && !used(peer));
        failed.max_by_key(|(_, relay)| (!relay.connected, relay.failures)).map(|(peer, _)| *peer)
    }

    /// The last connection to a peer has ended.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        let Some(relay) = self.known.get_mut(peer) else { return };
        relay.connected = false;
        // One that has never failed may be met again any time; only failures are worth remembering.
        if relay.failures == 0 && !self.used.values().any(|used| used == peer) {
            self.known.remove(peer);
        }
    }

    /// The next relay to listen at, if one more is wanted.
    pub(super) fn next(&self, now: Instant) -> Option<(PeerId, Multiaddr)> {
        if self.used.len() >= MAX_RELAYS {
            return None;
        }
        let free = |peer: &PeerId, relay: &Relay| {
            relay.connected
                && relay.not_before.is_none_or(|at| at <= now)
                && !self.used.values().any(|used| used == peer)
        };
        let candidates = self.known.iter().filter(|(peer, relay)| free(peer, relay));
        candidates.min_by_key(|(_, relay)| relay.failures).map(|(peer, relay)| (*peer, relay.address.clone()))
    }

    /// A listener at a relay has begun.
    pub(super) fn began(&mut self, listener: ListenerId, peer: PeerId) {
        self.used.insert(listener, peer);
    }

    /// A relay has given a reservation: it is a good one.
    pub(super) fn accepted(&mut self, peer: &PeerId) {
        if let Some(relay) = self.known.get_mut(peer) {
            relay.failures = 0;
        }
    }

    /// A listener has ended. True if it was at a relay.
    pub(super) fn ended(&mut self, listener: ListenerId, now: Instant) -> bool {
        let Some(peer) = self.used.remove(&listener) else { return false };
        self.failed(&peer, now);
        true
    }

    /// Nobody can listen at a relay.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        let Some(relay) = self.known.get_mut(peer) else { return };
        let pause = PAUSE.saturating_mul(1 << relay.failures.min(16)).min(MAX_PAUSE);
        relay.failures = relay.failures.saturating_add(1);
        relay.not_before = Some(now + pause);
    }

    /// The relays in use.
    pub(super) fn used(&self) -> impl Iterator<Item = &PeerId> {
        self.used.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address() -> Multiaddr {
        "/ip4/8.8.8.8/tcp/4001".parse().unwrap()
    }

    fn offered(count: usize) -> (Relays, Vec<PeerId>) {
        let peers: Vec<_> = (0..count).map(|_| PeerId::random()).collect();
        let mut relays = Relays::default();
        peers.iter().for_each(|peer| relays.offered(*peer, address()));
        (relays, peers)
    }

    #[tokio::test]
    async fn two_are_used_and_another_when_one_ends() {
        let (now, (mut relays, _)) = (Instant::now(), offered(4));
        let mut used = Vec::new();
        while let Some((peer, _)) = relays.next(now) {
            let listener = ListenerId::next();
            relays.began(listener, peer);
            used.push((listener, peer));
        }
        assert_eq!(used.len(), MAX_RELAYS);
        assert_ne!(used[0].1, used[1].1);
        assert!(relays.ended(used[0].0, now) && !relays.ended(used[0].0, now));
        let (third, _) = relays.next(now).unwrap();
        assert!(used.iter().all(|(_, peer)| *peer != third), "not the one that has just ended");
    }

    #[tokio::test]
    async fn a_relay_that_refuses_is_left_alone_for_longer_each_time() {
        let (mut now, (mut relays, peers)) = (Instant::now(), offered(1));
        for pause in [30, 60, 120, 240] {
            assert!(relays.next(now).is_some());
            relays.failed(&peers[0], now);
            now += Duration::from_secs(pause);
            assert!(relays.next(now - Duration::from_millis(1)).is_none());
        }
        relays.accepted(&peers[0]);
        relays.failed(&peers[0], now);
        assert!(relays.next(now + PAUSE).is_some());
    }

    #[tokio::test]
    async fn relays_that_have_failed_make_room() {
        let (now, (mut relays, peers)) = (Instant::now(), offered(MAX_KNOWN));
        let (gone, once, twice) = (peers[0], peers[1], peers[2]);
        relays.offered(PeerId::random(), address());
        assert!(peers.iter().all(|peer| relays.known.contains_key(peer)), "none has failed");
        peers.iter().skip(3).for_each(|peer| relays.began(ListenerId::next(), *peer));
        for peer in [gone, once, twice, twice].iter().chain(&peers[3..]) {
            relays.failed(peer, now);
        }
        relays.lost(&gone);
        for left in [gone, twice, once] {
            let next = PeerId::random();
            relays.offered(next, address());
            assert!(!relays.known.contains_key(&left) && relays.known.contains_key(&next));
        }
        relays.offered(PeerId::random(), address());
        assert!(peers.iter().skip(3).all(|peer| relays.known.contains_key(peer)), "these are used");
        assert_eq!(relays.known.len(), MAX_KNOWN);
    }

    #[tokio::test]
    async fn who_has_gone_is_not_asked_and_what_is_kept_is_bounded() {
        let (now, (mut relays, peers)) = (Instant::now(), offered(1_000));
        assert!(relays.known.len() <= MAX_KNOWN);
        peers.iter().for_each(|peer| relays.lost(peer));
        assert!(relays.next(now).is_none() && relays.known.is_empty());
        relays.offered(peers[0], address());
        assert!(relays.next(now).is_some());
    }
}
