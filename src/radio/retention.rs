//! How long blocks are kept after they were on air.
//!
//! A block is asked for as long as any list that names it may be seen. What is kept follows from durable receipts
//! alone, so that nothing that is restored can list what was let go.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
};

use cid::Cid;

use super::time::{Span, Time};

/// For how long blocks are kept after they were on air.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// At least, also when there is no room.
    pub least: Span,
    /// As a rule.
    pub usual: Span,
}

/// The blocks that are kept and until when.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    until: HashMap<Cid, Until>,
    queue: BinaryHeap<Reverse<(Time, Cid)>>,
    short: bool,
}

#[derive(Clone, Copy, Debug)]
struct Until {
    least: Time,
    usual: Time,
}

impl Until {
    const fn due(self, short: bool) -> Time {
        if short { self.least } else { self.usual }
    }
}

impl Retention {
    /// Keeps `cid` at least until `until`. A block that airs again is kept again.
    pub fn keep(&mut self, cid: Cid, until: Time) {
        self.keep_until(cid, Until { least: until, usual: until });
    }

    /// Keeps `cid` for as long as a block is kept that goes off air at `off_air`.
    pub fn keep_aired(&mut self, cid: Cid, off_air: Time, keep: Keep) {
        self.keep_until(cid, Until { least: off_air.plus(keep.least), usual: off_air.plus(keep.usual) });
    }

    fn keep_until(&mut self, cid: Cid, until: Until) {
        match self.until.entry(cid) {
            Entry::Vacant(free) => {
                free.insert(until);
                self.queue.push(Reverse((until.due(self.short), cid)));
            }
            // Its place in the queue follows when its turn comes: a block has one, however often it is kept.
            Entry::Occupied(mut held) => {
                let held = held.get_mut();
                *held = Until { least: until.least.max(held.least), usual: until.usual.max(held.usual) };
            }
        }
    }

    /// Keeps all blocks that are `held` after a start until `until`: when they were listed last follows from no receipt. One
    /// that no receipt tells of is kept until then once: where a start before has adopted it, that is in `former`, and it
    /// goes when that start said. Gives all that no receipt tells of, for the next start.
    pub fn adopt(&mut self, held: Vec<Cid>, former: &HashMap<Cid, Time>, until: Time) -> HashMap<Cid, Time> {
        let mut adopted = HashMap::new();
        for cid in held {
            let told = self.until.contains_key(&cid);
            let due = former.get(&cid).filter(|_| !told).map_or(until, |due| until.min(*due));
            if !told {
                adopted.insert(cid, due);
            }
            self.keep(cid, due);
        }
        adopted
    }

    /// From now on blocks are kept no longer than at least, if there is no room for more (`short`), or as a rule.
    pub fn set_short(&mut self, short: bool) {
        if short && !self.short {
            self.queue = self.until.iter().map(|(cid, until)| Reverse((until.least, *cid))).collect();
        }
        self.short = short;
    }

    /// Keeps nothing longer than until `until`, whatever was said so far: it was dated by a clock that was wrong.
    pub fn keep_at_most(&mut self, until: Time) {
        for held in self.until.values_mut() {
            *held = Until { least: until.min(held.least), usual: until.min(held.usual) };
        }
        self.queue = self.until.iter().map(|(cid, held)| Reverse((held.due(self.short), *cid))).collect();
    }

    /// Lets go of up to `count` blocks whose time is over at `now`, oldest first.
    pub fn expired(&mut self, now: Time, count: usize) -> Vec<Cid> {
        let mut gone = Vec::new();
        while gone.len() < count {
            let Some(Reverse((until, cid))) = self.queue.peek().copied().filter(|Reverse((until, _))| *until <= now)
            else {
                break;
            };
            self.queue.pop();
            let due = self.until.get(&cid).map(|held| held.due(self.short));
            if let Some(later) = due.filter(|later| *later > until) {
                self.queue.push(Reverse((later, cid)));
                continue;
            }
            self.until.remove(&cid);
            gone.push(cid);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::segment::{RAW, cid_of};

    #[test]
    fn what_no_receipt_tells_of_is_adopted_once_however_often_the_station_starts() {
        let [told, list, newer] = [b"told" as &[u8], b"list", b"newer"].map(|text| cid_of(RAW, text));
        let start = |former: &HashMap<Cid, Time>, held: Vec<Cid>, now: u64| {
            let mut retention = Retention::default();
            retention.keep(told, Time(5));
            let adopted = retention.adopt(held, former, Time(now + 100));
            (retention, adopted)
        };
        let (_, first) = start(&HashMap::new(), vec![told, list], 0);
        assert_eq!(first, HashMap::from([(list, Time(100))]));
        let (_, second) = start(&first, vec![told, list, newer], 60);
        assert_eq!(second, HashMap::from([(list, Time(100)), (newer, Time(160))]));
        let (mut third, _) = start(&second, vec![told, list, newer], 90);
        assert_eq!(third.expired(Time(99), 9), []);
        assert_eq!(third.expired(Time(100), 9), [list]);
        assert_eq!(third.expired(Time(160), 9), [newer]);
        assert_eq!(third.expired(Time(189), 9), [], "it may have been listed until the start");
        assert_eq!(third.expired(Time(190), 9), [told]);
    }

    #[test]
    fn an_adoption_dated_by_a_clock_that_was_ahead_lasts_no_longer_than_one_of_this_start() {
        let (list, mut retention) = (cid_of(RAW, b"list"), Retention::default());
        let adopted = retention.adopt(vec![list], &HashMap::from([(list, Time(900))]), Time(100));
        assert_eq!(adopted, HashMap::from([(list, Time(100))]));
        assert_eq!(retention.expired(Time(100), 9), [list]);
    }

    #[test]
    fn a_block_that_airs_again_is_kept_again() {
        let (one, two) = (cid_of(RAW, b"1"), cid_of(RAW, b"2"));
        let mut retention = Retention::default();
        retention.keep(one, Time(10));
        retention.keep(two, Time(20));
        retention.keep(one, Time(30));
        retention.keep(one, Time(5));
        assert_eq!(retention.expired(Time(19), 9), []);
        assert_eq!(retention.expired(Time(25), 9), [two]);
        assert_eq!(retention.expired(Time(30), 9), [one]);
        assert_eq!(retention.expired(Time(99), 9), []);
        assert!(retention.queue.is_empty() && retention.until.is_empty());
    }

    #[test]
    fn dates_of_a_wrong_clock_keep_nothing_for_ever() {
        let (one, two) = (cid_of(RAW, b"1"), cid_of(RAW, b"2"));
        let mut retention = Retention::default();
        retention.keep(one, Time(10));
        retention.keep(two, Time(1_000_000));
        retention.keep_at_most(Time(50));
        retention.keep(one, Time(60));
        assert_eq!(retention.expired(Time(55), 9), [two]);
        assert_eq!(retention.expired(Time(60), 9), [one]);
    }

    #[test]
    fn it_lets_go_in_bounded_steps() {
        let mut retention = Retention::default();
        (0..10_u8).for_each(|n| retention.keep(cid_of(RAW, &[n]), Time(u64::from(n))));
        assert_eq!(retention.expired(Time(100), 4).len(), 4);
        assert_eq!(retention.expired(Time(100), 40).len(), 6);
    }

    #[test]
    fn without_room_what_has_aired_goes_when_it_may_and_nothing_sooner() {
        let [old, new, list] = [b"1", b"2", b"3"].map(|text| cid_of(RAW, text));
        let keep = Keep { least: Span(10), usual: Span(100) };
        let mut retention = Retention::default();
        retention.keep_aired(old, Time(1), keep);
        retention.keep_aired(new, Time(50), keep);
        retention.keep(list, Time(30));
        assert_eq!(retention.expired(Time(29), 9), []);
        retention.set_short(true);
        assert_eq!(retention.expired(Time(29), 9), [old]);
        // It airs again while there is no room.
        retention.keep_aired(old, Time(45), keep);
        assert_eq!(retention.expired(Time(54), 9), [list]);
        assert_eq!(retention.expired(Time(55), 9), [old]);
        retention.set_short(false);
        assert_eq!(retention.expired(Time(149), 9), []);
        retention.set_short(true);
        assert_eq!(retention.expired(Time(149), 9), [new]);
        assert!(retention.queue.is_empty() && retention.until.is_empty());
    }
}
