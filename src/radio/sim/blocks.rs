//! The repo of the station: what is stored, what is kept, and for how long what was listed can be had (I8).

use std::collections::{HashMap, HashSet};

use cid::Cid;

use super::super::{
    history::Kept,
    retention::Retention,
    rules::Rules,
    time::{Span, Time},
};

/// More than the time by which dates may be off while nobody sets a clock.
const SLACK: u64 = 300;
/// Blocks let go of in one go.
const EXPIRE_MAX: usize = 64;
/// Players and gateways may ask for what was listed for so much longer than twice the window, in seconds.
const OVERHEAD: u64 = 60;

#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) stored: HashSet<Cid>,
    kept: Retention,
    /// How long a block is kept after it was on air: not much longer than is promised.
    keep: Span,
    /// For how long a block must be there after it was listed, in microseconds.
    owed: u64,
    /// Until when blocks were listed that are not listed any more, in real time.
    listed: HashMap<Cid, u64>,
    /// The list that is visible: numbers and blocks.
    visible: Vec<(u64, Cid)>,
    /// The last segment that this process has listed.
    known: Option<u64>,
    adopted: bool,
    pub(super) gone: u64,
}

impl Blocks {
    pub(super) fn new(rules: &Rules) -> Self {
        let seconds = |samples: u64| samples.div_ceil(u64::from(rules.rate));
        let keep = Span::seconds(seconds(3 * rules.window() + rules.look_ahead()) + OVERHEAD + SLACK);
        let owed = Span::seconds(2 * seconds(rules.window()) + OVERHEAD).0;
        let (stored, kept, listed) = (HashSet::new(), Retention::default(), HashMap::new());
        Self { stored, kept, keep, owed, listed, visible: Vec::new(), known: None, adopted: false, gone: 0 }
    }

    /// Another process begins.
    pub(super) fn restart(&mut self) {
        (self.kept, self.known, self.adopted) = (Retention::default(), None, false);
    }

    /// A receipt is read back.
    pub(super) fn read(&mut self, kept: &Kept) {
        let all = std::iter::once(kept.cid).chain(kept.rungs.iter().map(|(cid, _)| *cid));
        all.for_each(|cid| self.kept.keep(cid, kept.until.plus(self.keep)));
    }

    /// The dates went back there: those before were too late.
    pub(super) fn reanchored(&mut self, at: Time) {
        self.kept.keep_at_most(at.plus(Span(2 * self.keep.0)));
    }

    /// These are stored, if they can be had.
    pub(super) fn store(&mut self, cids: &[Cid], now: Time) {
        let until = now.plus(self.keep);
        cids.iter().for_each(|cid| self.kept.keep(*cid, until));
        self.stored.extend(cids);
    }

    /// Lists become visible, `now` is real time: numbers and blocks of their segments, each with its end by the station
    /// clock.
    pub(super) fn show(&mut self, list: impl Iterator<Item = (u64, Vec<Cid>, Time)> + Clone, station: Time, now: u64) {
        let first = list.clone().next().map_or(0, |(seq, ..)| seq);
        // What is listed is kept like the list: it may be long past if the air stood still.
        let like_list = station.plus(Span(self.owed));
        for (_, cid) in self.visible.drain(..).take_while(|(seq, _)| *seq < first) {
            self.listed.insert(cid, now);
            self.kept.keep(cid, like_list);
        }
        for (seq, cids, off_air) in list {
            let fresh = self.known.is_none_or(|known| seq > known);
            for cid in cids {
                self.visible.push((seq, cid));
                if fresh {
                    self.kept.keep(cid, off_air.plus(self.keep));
                }
                self.kept.keep(cid, like_list);
            }
            self.known = self.known.max(Some(seq));
        }
    }

    /// The wall clock was set. A start goes by the dates of receipts, so what was listed until now may go with it.
    pub(super) fn step(&mut self) {
        self.listed.clear();
    }

    /// Lets go of what is over by the station clock; `now` is real time.
    pub(super) fn let_go(&mut self, station: Time, now: u64) {
        if !self.adopted {
            self.adopted = true;
            let until = station.plus(Span(self.owed));
            self.stored.iter().for_each(|cid| self.kept.keep(*cid, until));
        }
        for cid in self.kept.expired(station, EXPIRE_MAX) {
            assert!(self.visible.iter().all(|(_, listed)| *listed != cid), "a block is let go that is listed (I8)");
            let owed = self.listed.remove(&cid).is_some_and(|listed| now < listed + self.owed);
            assert!(!owed, "a block is let go too soon after it was listed (I8)");
            self.gone += u64::from(self.stored.remove(&cid));
        }
    }
}
