//! Crashes, and the start from what the ledger holds.

use std::sync::Arc;

use super::super::super::{
    aired::{Run, parse_segment_list},
    history::{History, Position},
    programme::{Entry, Slot},
    receipt::{Body, Receipt},
    segment::{Item, Kind},
    timeline::{Action, Clocks, First, Timeline},
};
use super::super::{
    catalogue,
    expect::{Begun, Expect},
};
use super::{Life, SECOND, World};

impl World {
    /// The process is killed; `doing` was about to be done, or an action is out. After a while it starts again.
    pub(super) fn crash(&mut self, doing: Option<Action>) {
        self.crashes += 1;
        let station = self.clocks().station;
        let out = self.life().out.take().map(|out| out.action);
        match doing.or(out) {
            Some(Action::Record(bodies)) if self.now >= self.ledger_down_until => {
                let known = self.known(&bodies);
                let durable = self.disk.crash_while_appending(&bodies, self.wall(), &mut self.chance);
                let (late, new) = bodies[..durable].split_at(known.min(durable));
                self.observer.written(late);
                self.observer.salvage(new, station);
            }
            Some(Action::Store(segments, _)) => {
                let some = self.chance.below(segments.len() + 1);
                let stored = segments[..some].iter().map(|segment| segment.cid);
                let bad = &self.bad;
                self.stored.extend(stored.filter(|cid| !bad.contains(cid)));
            }
            _ => {}
        }
        self.life = None;
        self.orders_due.clear();
        self.now += self.downtime() * SECOND;
        self.step_while_down();
        self.start();
    }

    pub(super) fn start(&mut self) {
        let durable = self.observer.durable_end();
        let lost = self.observer.lost_beyond(durable);
        let mut history = History::default();
        let mut begun = [None, None];
        self.disk.read(self.reach(), self.reserved_at, &mut |receipt| {
            history.take(receipt);
            note_begun(receipt, &mut begun);
        });
        self.names.restart(history.reserved(), &mut self.chance);
        let wall = self.wall();
        let clocks = Clocks { station: wall, wall };
        let shown_before = self.observer.visible.is_some();
        let timeline = match history.position() {
            Some(position) if !lost => self.resume(position, begun, clocks),
            _ => self.begin_anew(clocks),
        };
        self.life = Some(Life {
            timeline,
            born: self.now,
            base: wall.0,
            suspended: 0,
            out: None,
            wake: self.now,
            cycle: None,
            touched: false,
            failed: None,
            batch: (0, 0),
            more: false,
        });
        let constants = self.life().timeline.axis().constants();
        self.disk.open(Body::LedgerOpen(constants), wall);
        self.fill();
        self.accept();
        if shown_before && !lost {
            let mut copy = self.life().timeline.clone();
            assert!(matches!(copy.poll(clocks), Action::Show(_)), "a restart is heard: no list at once");
        }
        self.drive();
    }

    /// The segment with which the item begins that the last lists begin in.
    fn reach(&self) -> u64 {
        let Some(_) = self.observer.last() else { return 0 };
        self.observer.at(self.observer.listed_from().min(self.observer.coarse_from())).run
    }

    fn begin_anew(&mut self, clocks: Clocks) -> Timeline {
        let floor = (clocks.wall.0 / SECOND).max(self.observer.floor());
        let timeline = Timeline::new(self.config.rules.clone(), 1, First { media_seq: floor, disc_seq: floor }, clocks);
        self.observer.epoch = 1;
        self.observer.excused = 0;
        self.observer.begin(timeline.axis().anchor, clocks);
        self.audience.clear();
        self.expect = Expect::new([None, None], None);
        timeline
    }

    fn resume(&mut self, position: Position, begun: [Begun; 2], clocks: Clocks) -> Timeline {
        assert_eq!(position.next_seq, self.observer.next_seq(), "the ledger ends elsewhere");
        let listed: Vec<u64> = position.listed.iter().map(|aired| aired.media_seq).collect();
        let wanted: Vec<u64> = (self.observer.listed_from()..self.observer.next_seq()).collect();
        assert_eq!(listed, wanted, "the list that is read back is another one");
        self.observer.resume(clocks);
        let broken = self.observer.last().is_some_and(|last| last.part + 1 < last.parts);
        assert_eq!(position.unfinished().is_some(), broken, "the item that had begun");
        let readable = !self.chance.one_in(8);
        let run = position.unfinished().cloned();
        let item = run.as_ref().filter(|_| readable).and_then(|run| self.read_list(run));
        self.observer.excused = i64::from(broken && item.is_none());
        let unfinished = run.zip(item.clone()).map(|(run, item)| {
            let entry = Entry { path: run.entry.clone(), kind: run.kind, id: run.item.clone() };
            let slot = Slot { order: run.order.clone(), position: run.position as usize, entry };
            (slot, item, self.observer.last().map_or(0, |last| last.part as usize + 1))
        });
        self.expect = Expect::new(begun, unfinished);
        Timeline::resume(self.config.rules.clone(), position, item, clocks)
    }

    /// The item of a run, from the block that lists its segments.
    fn read_list(&self, run: &Run) -> Option<Arc<Item>> {
        let segments = parse_segment_list(self.lists.get(&run.list.0)?)?;
        let frames = (self.config.rules.target() / 1_024) as usize;
        let filler = run.item.strip_prefix('f').and_then(|index| usize::from_str_radix(index, 16).ok());
        let item = match filler {
            Some(index) => catalogue::filler_item(index, frames),
            None => self.catalogue.item(&run.item),
        };
        assert_eq!(item.segments, segments, "another list of segments");
        Some(item)
    }
}

/// What this receipt shows on air: of the order, or of the filler.
fn note_begun(receipt: &Receipt, begun: &mut [Begun; 2]) {
    if let Body::Segment(body) = &receipt.body {
        let filler = usize::from(body.item_kind == Kind::Filler);
        begun[filler] = Some((body.entry.clone(), body.position as usize, body.order.clone()));
    }
}
