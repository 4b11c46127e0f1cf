//! Crashes, and the start from what the ledger holds.

use std::sync::Arc;

use super::super::super::{
    aired::{Run, parse_segment_list},
    history::Position,
    programme::{Entry, Slot},
    receipt::Body,
    segment::Item,
    time::{Span, Time},
    timeline::{Action, Clocks, First, Timeline},
};
use super::super::{
    catalogue,
    expect::{Begun, Expect},
    paper::Back,
};
use super::{Life, SECOND, World};

impl World {
    /// The process is killed; `doing` was about to be done, or an action is out. After a while it starts again.
    pub(super) fn crash(&mut self, doing: Option<Action>) {
        self.crashes += 1;
        self.killed_at = Some(self.clocks().station);
        let out = self.life().out.take().map(|out| out.action);
        let doing = doing.or(out);
        if let Some(Action::Store(segments, ..)) = &doing {
            let some = self.chance.below(segments.len() + 1);
            let stored = segments[..some].iter().map(|segment| segment.cid);
            let bad = &self.bad;
            self.blocks.stored.extend(stored.filter(|cid| !bad.contains(cid)));
        }
        let writing =
            doing.as_ref().and_then(|doing| if let Action::Record(bodies) = doing { Some(&**bodies) } else { None });
        let wall = self.wall();
        self.turn_disk();
        self.records.crash(writing, wall, &mut self.chance);
        self.life = None;
        self.troubles.clear();
        self.orders_due.clear();
        self.now += self.downtime() * SECOND;
        self.step_while_down();
        self.start();
    }

    pub(super) fn start(&mut self) {
        let Back { history, begun, untold, damaged, lost } = loop {
            self.turn_disk();
            let wall = self.wall();
            self.blocks.restart();
            match self.records.recall(wall, &mut self.blocks) {
                Some(back) => break back,
                // What watches over the process starts it again.
                None => self.now += 5 * SECOND,
            }
        };
        let killed_at = self.killed_at.take();
        if !damaged {
            self.salvage(&untold, killed_at);
        }
        let durable = self.observer.durable_end();
        let lost = self.observer.lost_beyond(durable) || damaged || lost;
        self.names.restart(history.reserved(), damaged, &mut self.chance);
        let wall = self.wall();
        let clocks = Clocks { station: wall, wall };
        let shown_before = self.observer.visible.is_some();
        if lost && !damaged {
            self.records.put_aside(wall);
        }
        let first = history.above(wall);
        let timeline = match history.clone().position() {
            Some(position) if !lost => self.resume(position, begun, clocks),
            _ => self.begin_anew(first, history.axis().map_or(1, |axis| axis.epoch), clocks),
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
            rungs: Vec::new(),
            batch: (0, 0),
            more: false,
        });
        self.fill();
        self.accept();
        if self.observer.reanchoring {
            self.ask_for_reanchor();
        }
        if shown_before && !lost {
            let mut copy = self.life().timeline.clone();
            assert!(matches!(copy.poll(clocks), Action::Show(_)), "a restart is heard: no list at once");
        }
        self.drive();
    }

    /// What is in the ledger although the station was never told so: it may be on air by now, or not.
    fn salvage(&mut self, untold: &[Body], killed_at: Option<Time>) {
        let known = untold
            .iter()
            .rposition(|body| matches!(body, Body::Segment(body) if body.media_seq < self.observer.next_seq()));
        let (late, new) = untold.split_at(known.map_or(0, |at| at + 1));
        self.observer.written(late);
        if let Some(station) = killed_at {
            self.observer.salvage(new, station);
        }
    }

    fn begin_anew(&mut self, first: First, epoch: u64, clocks: Clocks) -> Timeline {
        let timeline = Timeline::new(self.config.rules.clone(), epoch, first, clocks);
        self.records.open(Body::LedgerOpen(timeline.axis().constants()));
        self.observer.epoch = epoch;
        self.observer.excused = 0;
        self.unproved_seen |= self.observer.visible.is_some() && !self.proved;
        self.observer.begin(timeline.axis().anchor, clocks);
        // Nothing of what was visible is durable, and by the clock it was later then, or no receipt is there to count from.
        let nothing = first.media_seq == clocks.wall.millis() / 1_000;
        if self.unproved_seen && (self.set_back || nothing) {
            self.untold += 1;
            self.observer.forget();
            self.names.forget();
        }
        self.proved = false;
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
        // All of a ledger is read that is younger than a day by a clock that nobody set.
        if self.config.paper.back < Span::seconds(48 * 3_600) || self.wall_offset != 0 {
            self.observer.lived_from = self.observer.next_seq();
        }
        self.proved = true;
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
        let (segments, rungs) = parse_segment_list(self.lists.get(&run.list.0)?)?;
        let frames = (self.config.rules.target() / 1_024) as usize;
        let filler = run.item.strip_prefix('f').and_then(|index| usize::from_str_radix(index, 16).ok());
        let item = match filler {
            Some(index) => catalogue::filler_item(index, frames),
            None => self.catalogue.item(&run.item),
        };
        assert_eq!(item.segments, segments, "another list of segments");
        assert!(rungs.len() == segments.len());
        Some(Arc::new(Item { rungs, ..Item::clone(&item) }))
    }
}
