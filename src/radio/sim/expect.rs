//! What must be aired next: the running order followed apart from the core, with the rules of contract §1 and §3.

use std::{collections::VecDeque, sync::Arc};

use super::super::{
    programme::{Order, Slot},
    segment::{Item, Kind, Rung, Segment},
};

/// The entry that was begun last: its path, its index, and the order it is from.
pub(super) type Begun = Option<(String, usize, String)>;

/// An item of which segments are to be stored next.
#[derive(Clone, Debug)]
struct Playing {
    slot: Slot,
    item: Arc<Item>,
    from: usize,
    to: usize,
    /// What was begun last when this item was.
    begun: Begun,
    /// The order at that time, and how many of its entries were stepped over.
    skipped: (Option<String>, usize),
    /// The filler begun last when this item was.
    begun_filler: Begun,
    /// The filler at that time, and how many of its pieces were stepped over.
    skipped_filler: (Option<String>, usize),
}

impl Playing {
    fn breaks_off(&self) -> bool {
        self.to > 0 && self.to < self.item.segments.len()
    }
}

#[derive(Debug, Default)]
pub(super) struct Expect {
    order: Option<Arc<Order>>,
    filler: Option<Arc<Order>>,
    begun: Begun,
    /// Entries of the order that were stepped over since.
    skipped: usize,
    failures: usize,
    begun_filler: Begun,
    /// Pieces of the filler that were stepped over since.
    skipped_filler: usize,
    playing: VecDeque<Playing>,
}

impl Expect {
    /// After a start: goes on behind what was begun of the order and of the filler, in the middle of `unfinished` if
    /// that is known.
    pub(super) fn new([begun, begun_filler]: [Begun; 2], unfinished: Option<(Slot, Arc<Item>, usize)>) -> Self {
        let mut expect = Self { begun: begun.clone(), begun_filler: begun_filler.clone(), ..Self::default() };
        if let Some((slot, item, from)) = unfinished {
            let (to, skipped, skipped_filler) = (item.segments.len(), (None, 0), (None, 0));
            expect.playing.push_back(Playing { slot, item, from, to, begun, skipped, begun_filler, skipped_filler });
        }
        expect
    }

    pub(super) fn accept(&mut self, order: Arc<Order>) {
        (self.skipped, self.failures) = (0, 0);
        self.order = Some(order);
    }

    pub(super) fn fill_with(&mut self, filler: Arc<Order>) {
        if name(&self.filler).as_ref() != Some(&filler.sha256) {
            self.skipped_filler = 0;
        }
        self.filler = Some(filler);
    }

    /// The place that must be asked for now.
    pub(super) fn next(&self) -> Option<(String, usize, bool)> {
        let order = self.order.as_ref().filter(|order| !order.entries.is_empty());
        let filler = self.filler.as_ref().filter(|filler| !filler.entries.is_empty());
        if let Some(order) = order {
            let exhausted = self.failures >= order.entries.len().min(64);
            if !exhausted || filler.is_none() {
                return Some((order.sha256.clone(), Self::place(order, &self.begun, self.skipped), false));
            }
        }
        let place = |filler| Self::place(filler, &self.begun_filler, self.skipped_filler);
        filler.map(|filler| (filler.sha256.clone(), place(filler), true))
    }

    fn place(order: &Order, begun: &Begun, skipped: usize) -> usize {
        let length = order.entries.len();
        let behind = match begun {
            None => 0,
            Some((_, index, of)) if *of == order.sha256 => index + 1,
            Some((path, index, _)) => {
                let old = index % length;
                let after = (old..length).chain(0..old).find(|at| order.entries[*at].path == *path);
                after.map_or(old, |at| at + 1)
            }
        };
        (behind + skipped) % length
    }

    pub(super) fn check_fetch(&self, slot: &Slot) {
        let (order, place, filler) = self.next().expect("something is fetched although there is nothing to air");
        let asked = (slot.order.to_string(), slot.position, slot.entry.kind == Kind::Filler);
        assert_eq!(asked, (order, place, filler), "another place of the order was due, after {:?}", self.begun);
    }

    fn is_next(&self, slot: &Slot) -> bool {
        self.next().is_some_and(|(order, place, _)| (&*order, place) == (&*slot.order, slot.position))
    }

    /// An item was handed over; it counts if its place is still the next one.
    pub(super) fn fetched(&mut self, slot: &Slot, item: Option<&Arc<Item>>, longest: u64) {
        if !self.is_next(slot) {
            return;
        }
        let fits = |item: &&Arc<Item>| item.segments.iter().all(|segment| u64::from(segment.samples) <= longest);
        let Some(item) = item.filter(fits) else { return self.skip(slot) };
        let skipped = (name(&self.order), self.skipped);
        let skipped_filler = (name(&self.filler), self.skipped_filler);
        let begun = Some((slot.entry.path.clone(), slot.position, slot.order.to_string()));
        if slot.entry.kind == Kind::Filler {
            (self.skipped_filler, self.begun_filler, self.failures) = (0, begun, 0);
        } else {
            (self.skipped, self.begun) = (0, begun);
        }
        let (to, begun, begun_filler) = (item.segments.len(), self.begun.clone(), self.begun_filler.clone());
        self.playing.push_back(Playing {
            slot: slot.clone(),
            item: item.clone(),
            from: 0,
            to,
            begun,
            skipped,
            begun_filler,
            skipped_filler,
        });
    }

    fn skip(&mut self, slot: &Slot) {
        if slot.entry.kind == Kind::Filler {
            self.skipped_filler += 1;
            self.failures = 0;
        } else {
            self.skipped += 1;
            self.failures += 1;
        }
    }

    /// These segments are to be stored: they are the next ones of the items at hand, with all their other renditions.
    pub(super) fn check_store(&self, segments: &[Segment], rungs: &[(usize, Rung)]) {
        let due = self.playing.iter().flat_map(|playing| &playing.item.segments[playing.from..playing.to]);
        assert!(!segments.is_empty() && segments.iter().eq(due.take(segments.len())), "other segments were due");
        let parts =
            self.playing.iter().flat_map(|playing| (playing.from..playing.to).map(|part| playing.item.rungs_of(part)));
        let due = parts.take(segments.len()).enumerate();
        let due = due.flat_map(|(index, rungs)| rungs.iter().map(move |rung| (index, *rung)));
        assert!(rungs.iter().copied().eq(due), "other renditions were due");
    }

    /// So many segments are on the timeline for good.
    pub(super) fn recorded(&mut self, mut count: usize) {
        while count > 0 {
            let playing = self.playing.front_mut().expect("more segments than were planned");
            let taken = count.min(playing.to - playing.from);
            playing.from += taken;
            count -= taken;
            if playing.slot.entry.kind != Kind::Filler && taken > 0 {
                self.failures = 0;
            }
            if playing.from == playing.to {
                self.playing.pop_front();
            }
        }
    }

    /// The segment at `index` is not to be had: its item ends before it, what was begun behind it was never begun.
    /// Gives by how many the items change that break off after some of them went on air.
    pub(super) fn missing(&mut self, mut index: usize) -> i64 {
        let at = self.playing.iter().position(|playing| {
            let count = playing.to - playing.from;
            let here = index < count;
            index -= if here { 0 } else { count };
            here
        });
        let at = at.expect("a missing segment was planned");
        let dropped = self.playing.drain(at + 1..).filter(Playing::breaks_off).count();
        let broken = &mut self.playing[at];
        let before = broken.breaks_off();
        broken.to = broken.from + index;
        let change = i64::from(broken.breaks_off()) - i64::from(before) - dropped as i64;
        self.begun = broken.begun.clone();
        self.begun_filler = broken.begun_filler.clone();
        (self.skipped, self.skipped_filler) = (0, 0);
        if broken.slot.entry.kind == Kind::Filler {
            if broken.skipped.0 == name(&self.order) {
                self.skipped = broken.skipped.1;
            }
            self.failures = 0;
        } else {
            if broken.skipped_filler.0 == name(&self.filler) {
                self.skipped_filler = broken.skipped_filler.1;
            }
            self.failures += 1;
        }
        if broken.from == broken.to {
            self.playing.pop_back();
        }
        change
    }
}

fn name(order: &Option<Arc<Order>>) -> Option<String> {
    order.as_ref().map(|order| order.sha256.clone())
}
