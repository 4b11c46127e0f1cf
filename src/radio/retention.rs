//! How long blocks are kept after they were on air.
//!
//! A block is asked for as long as any list that names it may be seen. What is kept follows from durable receipts
//! alone, so that nothing that is restored can list what was let go.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::Entry},
};

use cid::Cid;

use super::time::Time;

/// The blocks that are kept and until when.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    until: HashMap<Cid, Time>,
    queue: BinaryHeap<Reverse<(Time, Cid)>>,
}

impl Retention {
    /// Keeps `cid` at least until `until`. A block that airs again is kept again.
    pub fn keep(&mut self, cid: Cid, until: Time) {
        match self.until.entry(cid) {
            Entry::Vacant(free) => {
                free.insert(until);
                self.queue.push(Reverse((until, cid)));
            }
            // Its place in the queue follows when its turn comes: a block has one, however often it is kept.
            Entry::Occupied(mut held) => *held.get_mut() = until.max(*held.get()),
        }
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
            if let Some(later) = self.until.get(&cid).filter(|later| **later > until) {
                self.queue.push(Reverse((*later, cid)));
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
    fn it_lets_go_in_bounded_steps() {
        let mut retention = Retention::default();
        (0..10_u8).for_each(|n| retention.keep(cid_of(RAW, &[n]), Time(u64::from(n))));
        assert_eq!(retention.expired(Time(100), 4).len(), 4);
        assert_eq!(retention.expired(Time(100), 40).len(), 6);
    }
}
