//! Who stays when more call than there is room for. A call that nobody uses ends by itself; of those that are used, as
//! little as it may be, the least useful end first. Pure: time is an argument.

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

/// Who has just come may first say what it wants.
const GRACE: Duration = Duration::from_secs(10);

/// Peers that have called this node.
#[derive(Debug)]
pub(super) struct Guests {
    /// As many connections may stand before somebody must go.
    room: usize,
    peers: HashMap<PeerId, Guest>,
    connections: HashMap<ConnectionId, PeerId>,
}

#[derive(Debug)]
struct Guest {
    connections: usize,
    came: Instant,
    /// When it last took a block.
    served: Option<Instant>,
}

impl Guests {
    pub(super) fn new(room: usize) -> Self {
        Self { room, peers: HashMap::new(), connections: HashMap::new() }
    }

    /// A peer has called.
    pub(super) fn came(&mut self, peer: PeerId, at: ConnectionId, now: Instant) {
        if self.connections.insert(at, peer).is_none() {
            self.peers.entry(peer).or_insert(Guest { connections: 0, came: now, served: None }).connections += 1;
        }
    }

    /// A connection has ended, whoever had made it.
    pub(super) fn left(&mut self, at: &ConnectionId) {
        let Some(peer) = self.connections.remove(at) else { return };
        let Some(guest) = self.peers.get_mut(&peer) else { return };
        guest.connections -= 1;
        if guest.connections == 0 {
            self.peers.remove(&peer);
        }
    }

    /// A peer has taken a block.
    pub(super) fn served(&mut self, peer: &PeerId, now: Instant) {
        if let Some(guest) = self.peers.get_mut(peer) {
            guest.served = Some(now);
        }
    }

    /// Who must go now: first who has never taken a block, the longest here first; then who took one the longest ago.
    /// Among equals who holds more connections.
    pub(super) fn surplus(&self, now: Instant) -> Vec<PeerId> {
        let mut over = self.connections.len().saturating_sub(self.room);
        if over == 0 {
            return Vec::new();
        }
        let mut all: Vec<_> = self.peers.iter().filter(|(_, guest)| now >= guest.came + GRACE).collect();
        all.sort_unstable_by_key(|(peer, guest)| (guest.served, guest.came, Reverse(guest.connections), **peer));
        let mut surplus = Vec::new();
        for (peer, guest) in all {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(guest.connections);
            surplus.push(*peer);
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[tokio::test]
    async fn who_takes_blocks_outstays_who_only_stands_there() {
        let begun = Instant::now();
        let mut guests = Guests::new(4);
        let peers: Vec<_> = (0..6).map(|_| PeerId::random()).collect();
        for (number, peer) in peers.iter().enumerate() {
            assert!(guests.surplus(begun + GRACE).is_empty() || number > 4);
            guests.came(*peer, at(number), begun + Duration::from_secs(number as u64));
        }
        assert_eq!(guests.surplus(begun), [], "all have just come");
        let now = begun + GRACE * 2;
        assert_eq!(guests.surplus(now), peers[..2]);
        guests.served(&peers[0], now);
        guests.served(&peers[2], begun);
        assert_eq!(guests.surplus(now), [peers[1], peers[3]]);
        for number in [1, 3, 4, 5] {
            guests.left(&at(number));
        }
        (10..13).for_each(|number| guests.came(peers[2], at(number), now));
        assert_eq!(guests.surplus(now), [peers[2]], "it took one before the other did");
    }

    #[tokio::test]
    async fn nothing_stays_of_who_has_left() {
        let now = Instant::now();
        let (mut guests, peer) = (Guests::new(1), PeerId::random());
        for number in 0..3 {
            guests.came(peer, at(number), now);
            guests.came(peer, at(number), now);
        }
        assert_eq!(guests.surplus(now + GRACE), [peer], "with all its connections");
        (0..4).for_each(|number| guests.left(&at(number)));
        guests.served(&peer, now);
        assert!(guests.peers.is_empty() && guests.connections.is_empty());
    }
}
