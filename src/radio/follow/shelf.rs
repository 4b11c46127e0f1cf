//! Which blocks a mirror holds, and what may be let go: bounded in time and in bytes.

use std::collections::{BTreeSet, HashMap, HashSet};

use cid::Cid;

use crate::radio::time::{Span, Time};

/// The blocks of a mirror. What is served now is never let go.
#[derive(Clone, Debug)]
pub struct Shelf {
    rules: ShelfRules,
    held: HashMap<Cid, Held>,
    queue: BTreeSet<(Time, Cid)>,
    served: HashSet<Cid>,
    bytes: u64,
}

/// How long and how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShelfRules {
    /// How long a segment is kept after it left the root.
    pub keep_segments: Span,
    /// How long lists, roots and folders are kept after another took their place.
    pub keep_lists: Span,
    /// The most bytes on the shelf, beside those that are served now.
    pub bytes_max: u64,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    until: Time,
    bytes: u64,
    /// How long it is kept when it is served no more.
    keep: Span,
    /// Whether it has belonged to something that was served.
    verified: bool,
}

/// A block of what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its name.
    pub cid: Cid,
    /// Its size.
    pub bytes: u64,
    /// Whether it is a segment, which is kept longer.
    pub segment: bool,
}

impl Shelf {
    /// Nothing on it.
    pub fn new(rules: ShelfRules) -> Self {
        Self { rules, held: HashMap::new(), queue: BTreeSet::new(), served: HashSet::new(), bytes: 0 }
    }

    /// A block is here for something that is not served (yet): it is counted upon, and goes after all that is older.
    pub fn stored(&mut self, cid: Cid, bytes: u64, now: Time) {
        self.strange(cid, bytes, self.rules.keep_segments, now);
    }

    /// A block of a former run lies in the store.
    pub fn found(&mut self, cid: Cid, bytes: u64, now: Time) {
        self.strange(cid, bytes, self.rules.keep_lists, now);
    }

    /// From now on exactly these blocks are served; they are in the store. Gives those that were served until now.
    pub fn serve(&mut self, blocks: &[Block], now: Time) -> Vec<Cid> {
        for block in blocks {
            let keep = if block.segment { self.rules.keep_segments } else { self.rules.keep_lists };
            self.put(block.cid, Held { until: now.plus(keep), bytes: block.bytes, keep, verified: true });
        }
        let served = blocks.iter().map(|block| block.cid).collect();
        let before = std::mem::replace(&mut self.served, served);
        let left: Vec<Cid> = before.into_iter().filter(|cid| !self.served.contains(cid)).collect();
        for cid in &left {
            if let Some(held) = self.held.get(cid).copied() {
                self.put(*cid, Held { until: now.plus(held.keep), ..held });
            }
        }
        left
    }

    /// Whether a listener may have it: it is, or was, part of something verified, and is still here.
    pub fn gives(&self, cid: &Cid) -> bool {
        self.held.get(cid).is_some_and(|held| held.verified)
    }

    /// Whether it is served now.
    pub fn serves(&self, cid: &Cid) -> bool {
        self.served.contains(cid)
    }

    /// The size of a block that is served now, and so needs no look whether it is here.
    pub fn served_bytes(&self, cid: &Cid) -> Option<u64> {
        self.held.get(cid).filter(|_| self.served.contains(cid)).map(|held| held.bytes)
    }

    /// Whether it is on the shelf at all.
    pub fn knows(&self, cid: &Cid) -> bool {
        self.held.contains_key(cid)
    }

    /// It is not in the store any more: it is to be fetched anew.
    pub fn lost(&mut self, cid: &Cid) {
        self.served.remove(cid);
        self.drop(cid);
    }

    /// How many blocks there are, and their bytes.
    pub fn usage(&self) -> (usize, u64) {
        (self.held.len(), self.bytes)
    }

    /// Lets go of up to `count` blocks whose time is over at `now` or for which there is no room, oldest first.
    pub fn expired(&mut self, now: Time, count: usize) -> Vec<Cid> {
        let served: u64 = self.served.iter().filter_map(|cid| self.held.get(cid)).map(|held| held.bytes).sum();
        let mut over = (self.bytes - served).saturating_sub(self.rules.bytes_max);
        let mut gone = Vec::new();
        for (until, cid) in &self.queue {
            if gone.len() == count || (*until > now && over == 0) {
                break;
            }
            if !self.served.contains(cid) {
                gone.push(*cid);
                over = over.saturating_sub(self.held.get(cid).map_or(0, |held| held.bytes));
            }
        }
        gone.iter().for_each(|cid| self.drop(cid));
        gone
    }

    fn strange(&mut self, cid: Cid, bytes: u64, keep: Span, now: Time) {
        let held = Held { until: now.plus(keep), bytes, keep, verified: false };
        match self.held.get(&cid).copied() {
            Some(before) => self.put(cid, Held { until: before.until.max(held.until), ..before }),
            None => self.put(cid, held),
        }
    }

    fn put(&mut self, cid: Cid, held: Held) {
        self.drop(&cid);
        self.bytes += held.bytes;
        self.queue.insert((held.until, cid));
        self.held.insert(cid, held);
    }

    fn drop(&mut self, cid: &Cid) {
        if let Some(held) = self.held.remove(cid) {
            self.bytes -= held.bytes;
            self.queue.remove(&(held.until, *cid));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    const RULES: ShelfRules =
        ShelfRules { keep_segments: Span::seconds(100), keep_lists: Span::seconds(10), bytes_max: 1_000 };

    fn block(number: u8, bytes: u64, segment: bool) -> Block {
        Block { cid: cid_of(RAW, &[number]), bytes, segment }
    }

    fn at(seconds: u64) -> Time {
        Time::from_millis(1_000_000 + seconds * 1_000)
    }

    #[test]
    fn what_is_served_stays_and_what_left_goes_when_its_time_is_over() {
        let mut shelf = Shelf::new(RULES);
        let (segment, old, new) = (block(1, 10, true), block(2, 10, false), block(3, 10, false));
        assert_eq!(shelf.serve(&[segment, old], at(0)), []);
        assert_eq!(shelf.expired(at(1_000), 9), [], "served however long");
        assert_eq!(shelf.serve(&[segment, new], at(1_000)), [old.cid]);
        assert!(shelf.gives(&old.cid) && !shelf.serves(&old.cid) && shelf.knows(&old.cid));
        assert_eq!([segment, old].map(|block| shelf.served_bytes(&block.cid)), [Some(10), None]);
        assert_eq!(shelf.expired(at(1_009), 9), [], "its time counts from when it was served last");
        assert_eq!(shelf.expired(at(1_010), 9), [old.cid]);
        assert_eq!(shelf.serve(&[new], at(1_020)), [segment.cid]);
        assert_eq!(shelf.expired(at(1_119), 9), []);
        assert_eq!(shelf.expired(at(1_120), 9), [segment.cid]);
        assert_eq!(shelf.usage(), (1, 10));
    }

    #[test]
    fn what_was_only_fetched_is_not_given_and_does_not_stay() {
        let mut shelf = Shelf::new(RULES);
        let strange = block(1, 10, true);
        shelf.stored(strange.cid, 10, at(0));
        shelf.found(block(2, 10, true).cid, 10, at(0));
        assert!(!shelf.gives(&strange.cid));
        assert_eq!(shelf.expired(at(10), 9), [block(2, 10, true).cid]);
        shelf.serve(&[strange], at(20));
        shelf.stored(strange.cid, 10, at(21));
        assert!(shelf.gives(&strange.cid), "to be stored again takes nothing away");
        shelf.serve(&[], at(30));
        assert_eq!(shelf.expired(at(129), 9), []);
        assert_eq!(shelf.expired(at(130), 9), [strange.cid]);
        assert_eq!(shelf.usage(), (0, 0));
    }

    #[test]
    fn a_block_that_is_counted_upon_again_stays() {
        let mut shelf = Shelf::new(RULES);
        let (block, other) = (block(1, 10, true), block(2, 995, true));
        shelf.serve(&[block], at(0));
        shelf.serve(&[], at(10));
        shelf.stored(block.cid, 10, at(100));
        assert_eq!(shelf.expired(at(150), 9), [], "it would have gone at 110");
        assert!(shelf.gives(&block.cid));
        shelf.found(other.cid, 995, at(150));
        assert_eq!(shelf.expired(at(151), 9), [other.cid], "what nobody counts upon goes first where there is no room");
    }

    #[test]
    fn what_was_lost_counts_as_never_had() {
        let mut shelf = Shelf::new(RULES);
        let block = block(1, 10, true);
        shelf.serve(&[block], at(0));
        shelf.lost(&block.cid);
        assert!(!shelf.serves(&block.cid) && !shelf.gives(&block.cid) && !shelf.knows(&block.cid));
        assert_eq!(shelf.usage(), (0, 0));
        assert_eq!(shelf.serve(&[block], at(1)), []);
        assert!(shelf.serves(&block.cid));
    }

    #[test]
    fn beyond_its_bytes_the_oldest_goes_first_but_never_what_is_served() {
        let mut shelf = Shelf::new(RULES);
        let blocks: Vec<Block> = (0..20).map(|number| block(number, 100, true)).collect();
        for (second, block) in blocks.iter().enumerate() {
            shelf.serve(&[*block, blocks[0]], at(second as u64));
        }
        // Eighteen are not served, ten fit.
        let gone = shelf.expired(at(20), 3);
        assert_eq!(gone, [blocks[1].cid, blocks[2].cid, blocks[3].cid]);
        assert_eq!(shelf.expired(at(20), 99).len(), 5);
        assert_eq!(shelf.expired(at(20), 99), []);
        assert!(shelf.gives(&blocks[0].cid) && shelf.gives(&blocks[19].cid));
    }
}
