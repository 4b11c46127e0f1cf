//! What one peer wants of us, bounded whatever it sends. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap, HashSet};

use cid::Cid;
use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

/// Wants of one peer that wait to be looked up; what is beyond is not heard. Kubo takes 1 024.
pub(super) const MAX_WAITING: usize = 2_048;
/// Wants of one peer for what is not here, which a new block may answer.
const MAX_OPEN: usize = 1_024;
/// Look-ups of one peer at once.
const MAX_LOOK_UPS: usize = 8;
/// With so many bytes on their way to a peer it must take some of them before more is read for it.
const MAX_UNSENT_BYTES: usize = 512 * 1024;
/// Look-ups that a peer may ask for in a second, and saved up. Gateways ask everybody for everything that they look for.
const LOOK_UPS_PER_SECOND: f64 = 1_000.0;
const LOOK_UPS_SAVED: f64 = 4_096.0;

/// A want as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ipfs) struct Want {
    pub(super) cid: Cid,
    /// The block is wanted, not only whether it is here.
    pub(super) block: bool,
    /// The peer wants to be told when it is not here.
    pub(super) or_not: bool,
    pub(super) cancel: bool,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    /// In the order in which they came.
    waiting: BTreeMap<u64, Want>,
    places: HashMap<Cid, u64>,
    next_place: u64,
    open: HashMap<Cid, Want>,
    look_ups: usize,
    saved: f64,
    saved_at: Instant,
    /// Bytes that each connection has not yet taken.
    unsent: HashMap<ConnectionId, usize>,
    taken_at: Instant,
    /// Where it asked last.
    asks_at: Option<ConnectionId>,
}

impl Peer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            open: HashMap::new(),
            look_ups: 0,
            saved: LOOK_UPS_SAVED,
            saved_at: now,
            unsent: HashMap::new(),
            taken_at: now,
            asks_at: None,
        }
    }

    /// Takes a want-list: a change, or all that the peer wants.
    pub(super) fn ask(&mut self, at: ConnectionId, wants: Vec<Want>, all: bool) {
        self.asks_at = Some(at);
        if all {
            let kept: HashSet<Cid> = wants.iter().filter(|want| !want.cancel).map(|want| want.cid).collect();
            self.open.retain(|cid, _| kept.contains(cid));
            let gone: Vec<Cid> = self.places.keys().filter(|cid| !kept.contains(*cid)).copied().collect();
            gone.iter().for_each(|cid| self.forget(cid));
        }
        for want in wants {
            self.open.remove(&want.cid);
            match self.places.get(&want.cid) {
                Some(_) if want.cancel => self.forget(&want.cid),
                Some(place) => drop(self.waiting.insert(*place, want)),
                None if want.cancel || self.waiting.len() >= MAX_WAITING => {}
                None => self.queue(want),
            }
        }
    }

    /// Wants that are kept for it.
    pub(super) fn wants(&self) -> usize {
        self.waiting.len() + self.open.len()
    }

    /// The next want to look up, if the peer may have one looked up now. `crowded`: only a peer that takes what it
    /// is sent may.
    pub(super) fn next(&mut self, now: Instant, crowded: bool) -> Option<Want> {
        let unsent = self.unsent_bytes();
        if self.look_ups >= MAX_LOOK_UPS || unsent >= MAX_UNSENT_BYTES || (crowded && unsent + self.look_ups > 0) {
            return None;
        }
        self.saved = LOOK_UPS_SAVED.min(self.saved + LOOK_UPS_PER_SECOND * (now - self.saved_at).as_secs_f64());
        self.saved_at = now;
        if self.saved < 1.0 {
            return None;
        }
        let (_, want) = self.waiting.pop_first()?;
        self.places.remove(&want.cid);
        self.saved -= 1.0;
        self.look_ups += 1;
        Some(want)
    }

    /// Whether anything waits to be looked up.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// A look-up has ended. What is not here stays open.
    pub(super) fn looked_up(&mut self, want: Want, here: bool) {
        // One of an earlier connection may end in this one.
        self.look_ups = self.look_ups.saturating_sub(1);
        if here {
            return;
        }
        if self.open.len() >= MAX_OPEN
            && let Some(other) = self.open.keys().next().copied()
        {
            self.open.remove(&other);
        }
        self.open.insert(want.cid, want);
    }

    /// A block has come: if it is wanted, it is looked up next.
    pub(super) fn came(&mut self, cid: &Cid) {
        if let Some(want) = self.open.remove(cid) {
            self.queue(want);
        }
    }

    /// The connection over which to answer, which counts `bytes` as on their way.
    pub(super) fn answer(&mut self, bytes: usize, now: Instant) -> Option<ConnectionId> {
        let at =
            self.asks_at.filter(|at| self.unsent.contains_key(at)).or_else(|| self.unsent.keys().next().copied())?;
        if self.unsent_bytes() == 0 {
            self.taken_at = now;
        }
        *self.unsent.get_mut(&at)? += bytes;
        Some(at)
    }

    /// A connection has taken bytes, or has lost them.
    pub(super) fn taken(&mut self, at: ConnectionId, bytes: usize, now: Instant) {
        self.taken_at = now;
        if let Some(unsent) = self.unsent.get_mut(&at) {
            *unsent = unsent.saturating_sub(bytes);
        }
    }

    pub(super) fn connected(&mut self, at: ConnectionId) {
        self.unsent.insert(at, 0);
    }

    pub(super) fn disconnected(&mut self, at: ConnectionId) {
        self.unsent.remove(&at);
    }

    pub(super) fn unsent_bytes(&self) -> usize {
        self.unsent.values().sum()
    }

    /// Since when it has taken nothing of what is on its way.
    pub(super) fn stalled_since(&self) -> Option<Instant> {
        (self.unsent_bytes() > 0).then_some(self.taken_at)
    }

    fn queue(&mut self, want: Want) {
        self.places.insert(want.cid, self.next_place);
        self.waiting.insert(self.next_place, want);
        self.next_place += 1;
    }

    fn forget(&mut self, cid: &Cid) {
        if let Some(place) = self.places.remove(cid) {
            self.waiting.remove(&place);
        }
    }
}

/// Who must go when all peers together have more than `most` wants kept: those with the most of them.
pub(super) fn greediest(mut wants: Vec<(usize, PeerId)>, most: usize) -> Vec<PeerId> {
    let mut over = wants.iter().map(|(count, _)| count).sum::<usize>().saturating_sub(most);
    wants.sort_unstable_by(|one, other| other.cmp(one));
    let mut greedy = Vec::new();
    for (count, peer) in wants {
        if over == 0 {
            break;
        }
        over = over.saturating_sub(count);
        greedy.push(peer);
    }
    greedy
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    fn here() -> ConnectionId {
        ConnectionId::new_unchecked(1)
    }

    fn want(number: u64) -> Want {
        Want { cid: cid_of(RAW, &number.to_be_bytes()), block: true, or_not: true, cancel: false }
    }

    fn cancel(number: u64) -> Want {
        Want { cancel: true, ..want(number) }
    }

    fn peer(now: Instant) -> Peer {
        let mut peer = Peer::new(now);
        peer.connected(here());
        peer
    }

    #[tokio::test]
    async fn wants_are_looked_up_in_order_once_each_and_not_when_cancelled() {
        let now = Instant::now();
        let mut peer = peer(now);
        peer.ask(here(), vec![want(1), want(2), want(1), want(3), cancel(2), cancel(9)], false);
        let next: Vec<_> = std::iter::from_fn(|| peer.next(now, false)).collect();
        assert_eq!(next, [want(1), want(3)]);
        peer.ask(here(), vec![want(4), want(5)], false);
        peer.ask(here(), vec![want(5), want(6)], true);
        let next: Vec<_> = std::iter::from_fn(|| peer.next(now, false)).collect();
        assert_eq!(next, [want(5), want(6)], "the whole list leaves out what it does not name");
    }

    #[test]
    fn those_who_want_most_go_until_there_is_room() {
        let peers = [(); 4].map(|()| PeerId::random());
        let wants = |counts: [usize; 4]| counts.into_iter().zip(peers).collect::<Vec<_>>();
        assert_eq!(greediest(wants([9, 1, 5, 5]), 20), []);
        assert_eq!(greediest(wants([9, 1, 5, 5]), 19), [peers[0]]);
        assert_eq!(greediest(wants([4, 1, 9, 6]), 10), [peers[2], peers[3]]);
    }

    #[tokio::test]
    async fn a_flood_leaves_no_more_than_the_limits() {
        let now = Instant::now();
        let mut peer = peer(now);
        for round in 0..50_u64 {
            let first = round * 10_000;
            peer.ask(here(), (first..first + 10_000).map(want).collect(), false);
            peer.ask(here(), (first..first + 1_000).map(cancel).collect(), false);
            while let Some(want) = peer.next(now, false) {
                peer.looked_up(want, false);
            }
            assert!(peer.waiting.len() <= MAX_WAITING && peer.places.len() == peer.waiting.len());
            assert!(peer.open.len() <= MAX_OPEN);
        }
        assert_eq!(peer.next(now, false), None, "what was saved up is spent");
        let second = now + Duration::from_secs(1);
        let looked_up = std::iter::from_fn(|| peer.next(second, false).map(|want| peer.looked_up(want, false))).count();
        assert_eq!(looked_up, LOOK_UPS_PER_SECOND as usize);
    }

    #[tokio::test]
    async fn who_does_not_take_what_it_is_sent_is_read_no_more() {
        let now = Instant::now();
        let mut peer = peer(now);
        peer.ask(here(), (0..100).map(want).collect(), false);
        let mut answered = 0;
        while let Some(want) = peer.next(now, false) {
            peer.looked_up(want, true);
            assert_eq!(peer.answer(100_000, now), Some(here()));
            answered += 1;
        }
        assert_eq!(answered, MAX_UNSENT_BYTES.div_ceil(100_000));
        assert_eq!(peer.stalled_since(), Some(now));
        let later = now + Duration::from_secs(9);
        peer.taken(here(), 100_000, later);
        assert_eq!((peer.next(later, true), peer.stalled_since()), (None, Some(later)));
        assert!(peer.next(later, false).is_some());
        peer.disconnected(here());
        assert_eq!((peer.answer(1, later), peer.unsent_bytes(), peer.stalled_since()), (None, 0, None));
    }

    #[tokio::test]
    async fn what_was_not_here_is_looked_up_again_when_it_comes() {
        let now = Instant::now();
        let mut peer = peer(now);
        peer.ask(here(), vec![want(1), want(2)], false);
        while let Some(want) = peer.next(now, false) {
            peer.looked_up(want, false);
        }
        peer.ask(here(), vec![cancel(2)], false);
        peer.came(&want(1).cid);
        peer.came(&want(2).cid);
        assert_eq!(std::iter::from_fn(|| peer.next(now, false)).collect::<Vec<_>>(), [want(1)]);
    }
}
