//! What this node wants of others: all are asked who has it, and one who has it is asked for it. Pure: time is an
//! argument.
//!
//! A peer is talked to over its newest connection. Whoever opens one is told all that is wanted, whatever it was told
//! before: it may be another process under the same identity, and the old connection may end later or never.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};

use cid::Cid;
use libp2p::{PeerId, swarm::ConnectionId};
use tokio::time::Instant;

use super::wire::Want;

/// Who has a block and does not send it for so long is left for another who has it…
const PATIENCE: Duration = Duration::from_secs(5);
/// …and where there is no other one, for so long: a narrow line is not helped by asking twice.
const PATIENCE_MAX: Duration = Duration::from_secs(20);
/// How often all are told anew what nobody has sent.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is searched for elsewhere as long as nobody has it.
const SEARCH: Duration = Duration::from_secs(5);

/// Entries of a want-list for one connection.
pub(super) type Entries = Vec<(Cid, Want)>;

#[derive(Debug, Default)]
pub(super) struct Fetches {
    wants: HashMap<Cid, Fetch>,
    /// The connections of each peer, the newest last.
    peers: HashMap<PeerId, Vec<ConnectionId>>,
    told: BTreeMap<PeerId, Entries>,
}

/// A block that is wanted.
#[derive(Debug)]
struct Fetch {
    /// When all were told.
    told_at: Instant,
    /// When to search elsewhere.
    search_at: Instant,
    /// Who has it and was not asked for it.
    sources: VecDeque<PeerId>,
    /// Who was asked for it, and when.
    asked: Option<(PeerId, Instant)>,
}

impl Fetch {
    /// Whether it was asked for so long ago.
    fn waits(&self, now: Instant, patience: Duration) -> bool {
        self.asked.is_some_and(|(_, since)| now >= since + patience)
    }
}

impl Fetches {
    /// A block is wanted from now on, until it comes or is let go.
    pub(super) fn want(&mut self, cid: Cid, now: Instant) {
        if self.wants.contains_key(&cid) {
            return;
        }
        self.wants.insert(cid, Fetch { told_at: now, search_at: now, sources: VecDeque::new(), asked: None });
        self.tell_all(cid, Want::Have);
    }

    /// A block is no longer wanted: it has come, or whoever wanted it has gone. False if it was not.
    pub(super) fn let_go(&mut self, cid: &Cid) -> bool {
        let wanted = self.wants.remove(cid).is_some();
        if wanted {
            self.tell_all(*cid, Want::Cancel);
        }
        wanted
    }

    /// Whether anything is wanted.
    pub(super) fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }

    /// A connection to a peer has been made.
    pub(super) fn opened(&mut self, peer: PeerId, at: ConnectionId, now: Instant) {
        self.peers.entry(peer).or_default().push(at);
        self.begin_anew(peer, now);
    }

    /// A connection has ended, or the peer takes no wants over it.
    pub(super) fn closed(&mut self, peer: PeerId, at: ConnectionId, now: Instant) {
        let Some(open) = self.peers.get_mut(&peer) else { return };
        let newest = open.last() == Some(&at);
        open.retain(|other| *other != at);
        if open.is_empty() {
            self.peers.remove(&peer);
        }
        if newest {
            self.begin_anew(peer, now);
        }
    }

    /// A peer says that it has a block.
    pub(super) fn has(&mut self, peer: PeerId, cid: Cid, now: Instant) {
        let Some(fetch) = self.wants.get_mut(&cid) else { return };
        if fetch.asked.is_some_and(|(asked, _)| asked == peer) || fetch.sources.contains(&peer) {
            return;
        }
        fetch.sources.push_back(peer);
        if fetch.asked.is_none() {
            self.ask(cid, now);
        }
    }

    /// A peer says that it does not have a block.
    pub(super) fn has_not(&mut self, peer: PeerId, cid: Cid, now: Instant) {
        let Some(fetch) = self.wants.get_mut(&cid) else { return };
        fetch.sources.retain(|other| *other != peer);
        if fetch.asked.is_some_and(|(asked, _)| asked == peer) {
            self.ask(cid, now);
        }
    }

    /// Goes on with what does not come. Gives what is to be searched for elsewhere.
    pub(super) fn on_tick(&mut self, now: Instant) -> Vec<Cid> {
        let mut searches = Vec::new();
        for cid in self.wants.keys().copied().collect::<Vec<_>>() {
            let Some(fetch) = self.wants.get_mut(&cid) else { continue };
            if fetch.waits(now, PATIENCE_MAX) || fetch.waits(now, PATIENCE) && !fetch.sources.is_empty() {
                self.ask(cid, now);
            }
            let Some(fetch) = self.wants.get_mut(&cid) else { continue };
            if now >= fetch.search_at && (fetch.asked.is_none() || fetch.waits(now, PATIENCE)) {
                fetch.search_at = now + SEARCH;
                searches.push(cid);
            }
            if now >= fetch.told_at + AGAIN && fetch.asked.is_none() {
                fetch.told_at = now;
                self.tell_all(cid, Want::Have);
            }
        }
        searches
    }

    /// What is to be told to whom since the last call.
    pub(super) fn take_told(&mut self) -> impl Iterator<Item = (PeerId, ConnectionId, Entries)> {
        let told = std::mem::take(&mut self.told).into_iter();
        told.filter_map(|(peer, entries)| Some((peer, *self.peers.get(&peer)?.last()?, entries)))
    }

    /// Peers that were asked for a block that has not come.
    pub(super) fn asked(&self) -> impl Iterator<Item = PeerId> {
        self.wants.values().filter_map(|fetch| fetch.asked.map(|(peer, _)| peer))
    }

    /// What a peer was told and what it said holds no longer.
    fn begin_anew(&mut self, peer: PeerId, now: Instant) {
        self.told.remove(&peer);
        let here = self.peers.contains_key(&peer);
        for cid in self.wants.keys().copied().collect::<Vec<_>>() {
            self.has_not(peer, cid, now);
            if here {
                self.told.entry(peer).or_default().push((cid, Want::Have));
            }
        }
    }

    /// Asks the next peer that has a block for it, or nobody.
    fn ask(&mut self, cid: Cid, now: Instant) {
        let Some(fetch) = self.wants.get_mut(&cid) else { return };
        fetch.asked = None;
        while let Some(peer) = fetch.sources.pop_front() {
            if self.peers.contains_key(&peer) {
                fetch.asked = Some((peer, now));
                self.told.entry(peer).or_default().push((cid, Want::Block));
                return;
            }
        }
    }

    fn tell_all(&mut self, cid: Cid, want: Want) {
        for peer in self.peers.keys() {
            self.told.entry(*peer).or_default().push((cid, want));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    fn cid(number: u8) -> Cid {
        cid_of(RAW, &[number])
    }

    fn at(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// What was told since the last look.
    fn told(fetches: &mut Fetches) -> Vec<(PeerId, ConnectionId, Entries)> {
        fetches.take_told().collect()
    }

    /// Some peers with a connection each, numbered from 0.
    fn among(count: usize, now: Instant) -> (Fetches, Vec<PeerId>) {
        let mut peers: Vec<_> = (0..count).map(|_| PeerId::random()).collect();
        peers.sort_unstable();
        let mut fetches = Fetches::default();
        peers.iter().enumerate().for_each(|(number, peer)| fetches.opened(*peer, at(number), now));
        assert_eq!(told(&mut fetches), []);
        (fetches, peers)
    }

    #[tokio::test]
    async fn all_are_asked_who_has_it_and_the_first_who_has_it_for_it() {
        let now = Instant::now();
        let (mut fetches, peers) = among(3, now);
        fetches.want(cid(1), now);
        fetches.want(cid(1), now);
        let have = vec![(cid(1), Want::Have)];
        assert_eq!(told(&mut fetches), [0, 1, 2].map(|number| (peers[number], at(number), have.clone())));
        fetches.has_not(peers[0], cid(1), now);
        fetches.has(peers[1], cid(1), now);
        fetches.has(peers[2], cid(1), now);
        fetches.has(peers[1], cid(9), now);
        assert_eq!(told(&mut fetches), [(peers[1], at(1), vec![(cid(1), Want::Block)])]);
        assert_eq!(fetches.asked().collect::<Vec<_>>(), [peers[1]]);
        assert!(fetches.let_go(&cid(1)) && !fetches.let_go(&cid(1)) && fetches.is_empty());
        let cancel = vec![(cid(1), Want::Cancel)];
        assert_eq!(told(&mut fetches), [0, 1, 2].map(|number| (peers[number], at(number), cancel.clone())));
    }

    #[tokio::test]
    async fn who_does_not_send_is_left_for_another_and_then_all_are_asked_again() {
        let now = Instant::now();
        let (mut fetches, peers) = among(2, now);
        fetches.want(cid(1), now);
        peers.iter().for_each(|peer| fetches.has(*peer, cid(1), now));
        told(&mut fetches);
        let later = now + PATIENCE;
        assert_eq!(fetches.on_tick(later), []);
        assert_eq!(told(&mut fetches), [(peers[1], at(1), vec![(cid(1), Want::Block)])]);
        fetches.has_not(peers[1], cid(1), later);
        assert_eq!(fetches.on_tick(later), [cid(1)]);
        assert_eq!((fetches.on_tick(later), told(&mut fetches)), (vec![], vec![]));
        assert_eq!(fetches.on_tick(now + AGAIN), [cid(1)]);
        assert_eq!(told(&mut fetches).len(), 2);
    }

    #[tokio::test]
    async fn the_only_one_who_has_it_is_given_time_while_others_are_searched_for() {
        let now = Instant::now();
        let (mut fetches, peers) = among(1, now);
        fetches.want(cid(1), now);
        fetches.has(peers[0], cid(1), now);
        told(&mut fetches);
        assert_eq!(fetches.on_tick(now + PATIENCE / 2), []);
        assert_eq!(fetches.on_tick(now + PATIENCE), [cid(1)]);
        assert_eq!((fetches.on_tick(now + AGAIN), told(&mut fetches)), (vec![cid(1)], vec![]));
        fetches.on_tick(now + PATIENCE_MAX);
        assert_eq!(told(&mut fetches), [(peers[0], at(0), vec![(cid(1), Want::Have)])]);
    }

    #[tokio::test]
    async fn a_new_connection_is_told_everything_whatever_the_old_one_was() {
        let now = Instant::now();
        let (mut fetches, peers) = among(1, now);
        (1..3).for_each(|number| fetches.want(cid(number), now));
        fetches.has(peers[0], cid(1), now);
        told(&mut fetches);
        // The same identity calls again, and the old connection has not ended.
        fetches.opened(peers[0], at(7), now);
        let said = |fetches: &mut Fetches| {
            let (peer, at, mut entries) = told(fetches).remove(0);
            entries.sort_unstable_by_key(|(cid, _)| *cid);
            (peer, at, entries)
        };
        let mut all = vec![(cid(1), Want::Have), (cid(2), Want::Have)];
        all.sort_unstable_by_key(|(cid, _)| *cid);
        assert_eq!(said(&mut fetches), (peers[0], at(7), all.clone()));
        fetches.closed(peers[0], at(0), now);
        assert_eq!(told(&mut fetches), [], "the old one ends later");
        fetches.opened(peers[0], at(8), now);
        told(&mut fetches);
        fetches.closed(peers[0], at(8), now);
        assert_eq!(said(&mut fetches), (peers[0], at(7), all.clone()), "the one before is there still");
        fetches.closed(peers[0], at(7), now);
        assert_eq!((told(&mut fetches), fetches.asked().count()), (vec![], 0));
        fetches.opened(peers[0], at(9), now);
        assert_eq!(said(&mut fetches), (peers[0], at(9), all));
    }

    #[tokio::test]
    async fn another_is_asked_when_the_one_that_was_asked_goes() {
        let now = Instant::now();
        let (mut fetches, peers) = among(3, now);
        fetches.want(cid(1), now);
        peers.iter().for_each(|peer| fetches.has(*peer, cid(1), now));
        told(&mut fetches);
        fetches.closed(peers[1], at(1), now);
        fetches.closed(peers[0], at(0), now);
        assert_eq!(told(&mut fetches), [(peers[2], at(2), vec![(cid(1), Want::Block)])]);
        fetches.closed(peers[2], at(2), now);
        assert!(!fetches.is_empty() && fetches.peers.is_empty() && told(&mut fetches).is_empty());
        assert_eq!(fetches.on_tick(now), [cid(1)]);
    }
}
