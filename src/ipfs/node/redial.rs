//! When to call the bootstrap peers again. Pure: the task that owns the swarm asks it whom to call.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

/// With as many peers of the DHT connected nobody needs to be called.
const ENOUGH: usize = 4;
/// The pause after a first failure; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A connection that held so long was a good one: the pauses start anew.
const GOOD: Duration = Duration::from_secs(20);

#[derive(Debug)]
enum State {
    Due(Instant),
    Calling,
    Connected(Instant),
}

#[derive(Debug)]
struct Peer {
    addresses: Vec<Multiaddr>,
    state: State,
    failures: u32,
}

#[derive(Debug)]
pub(super) struct Redial {
    peers: HashMap<PeerId, Peer>,
}

impl Redial {
    pub(super) fn new(peers: &BTreeMap<PeerId, Vec<Multiaddr>>, now: Instant) -> Self {
        let peer =
            |addresses: &Vec<Multiaddr>| Peer { addresses: addresses.clone(), state: State::Due(now), failures: 0 };
        Self { peers: peers.iter().map(|(id, addresses)| (*id, peer(addresses))).collect() }
    }

    /// Whom to call at `now`, with `connected` peers of the DHT at hand; they count as being called.
    pub(super) fn due(&mut self, connected: usize, now: Instant) -> Vec<(PeerId, Vec<Multiaddr>)> {
        if connected >= ENOUGH {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (id, peer) in &mut self.peers {
            if matches!(peer.state, State::Due(at) if at <= now) {
                peer.state = State::Calling;
                due.push((*id, peer.addresses.clone()));
            }
        }
        due
    }

    pub(super) fn connected(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer).filter(|peer| !matches!(peer.state, State::Connected(_))) {
            peer.state = State::Connected(now);
        }
    }

    /// The last connection to a peer has ended.
    pub(super) fn lost(&mut self, peer: &PeerId, now: Instant) {
        let Some(peer) = self.peers.get_mut(peer) else { return };
        if matches!(peer.state, State::Connected(since) if now >= since + GOOD) {
            peer.failures = 0;
        }
        peer.pause(now);
    }

    /// A peer could not be called.
    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer).filter(|peer| matches!(peer.state, State::Calling)) {
            peer.pause(now);
        }
    }
}

impl Peer {
    fn pause(&mut self, now: Instant) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(16)).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Due(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> (PeerId, Redial, Instant) {
        let (peer, now) = (PeerId::random(), Instant::now());
        (peer, Redial::new(&[(peer, vec![])].into(), now), now)
    }

    #[tokio::test]
    async fn calls_again_after_pauses_that_double_up_to_a_minute() {
        let (peer, mut redial, mut now) = one();
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(redial.due(0, now), [(peer, vec![])]);
            assert!(redial.due(0, now).is_empty(), "it is being called");
            redial.failed(&peer, now);
            now += Duration::from_secs(pause);
            assert!(redial.due(0, now - Duration::from_millis(1)).is_empty());
        }
    }

    #[tokio::test]
    async fn a_good_connection_forgives_and_a_short_one_does_not() {
        let (peer, mut redial, mut now) = one();
        for (held, pause) in [(1, 1), (1, 2), (1, 4), (20, 1), (1, 2)] {
            assert_eq!(redial.due(0, now).len(), 1);
            redial.connected(&peer, now);
            now += Duration::from_secs(held);
            redial.lost(&peer, now);
            assert!(redial.due(0, now + Duration::from_secs(pause) - Duration::from_millis(1)).is_empty());
            now += Duration::from_secs(pause);
        }
    }

    #[tokio::test]
    async fn nobody_is_called_while_there_are_peers_enough_or_none_is_known() {
        let (_, mut redial, now) = one();
        assert!(redial.due(ENOUGH, now).is_empty());
        assert_eq!(redial.due(ENOUGH - 1, now).len(), 1);
        assert!(Redial::new(&BTreeMap::new(), now).due(0, now).is_empty());
    }
}
