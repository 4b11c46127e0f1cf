//! What is to be aired: the accepted order, and the filler behind it.

use std::sync::Arc;

use super::segment::Kind;

pub use super::manifest::Entry;

/// A running order as it was accepted: looped as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// SHA-256 of the text it was read from, in hex.
    pub sha256: String,
    /// Its entries; an empty order airs the filler.
    pub entries: Vec<Entry>,
}

/// One place in an order that is about to air.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// [`Order::sha256`] of the order it is a place of.
    pub order: Arc<str>,
    /// Index in that order.
    pub position: usize,
    /// What stands there.
    pub entry: Entry,
}

impl Order {
    /// Where play goes on in this order after the entry `path` that aired from place `index` of another order: behind
    /// the nearest same entry at or after the old place, going once around, else at the old index modulo the length.
    pub fn resume(&self, path: &str, index: usize) -> usize {
        let length = self.entries.len().max(1);
        let around = (0..length).map(|step| (index + step) % length);
        let same = around.into_iter().find(|at| self.entries.get(*at).is_some_and(|entry| entry.path == path));
        same.map_or(index, |at| at + 1) % length
    }

    fn resume_behind(&self, begun: Option<&(String, usize)>) -> usize {
        begun.map_or(0, |(path, index)| self.resume(path, *index))
    }
}

/// The order on the programme with its place, and the filler with its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Programme {
    order: Option<Arc<Order>>,
    filler: Option<Arc<Order>>,
    next: usize,
    next_filler: usize,
    begun: Begun,
    failures: usize,
}

/// What was begun last, and where it stood in whatever order that was: path and index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Of the order.
    pub entry: Option<(String, usize)>,
    /// Of the filler.
    pub filler: Option<(String, usize)>,
}

/// Where a programme stood at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// SHA-256 of the order at that time.
    order: Option<String>,
    /// SHA-256 of the filler at that time.
    filler: Option<String>,
    next: usize,
    next_filler: usize,
    begun: Begun,
}

/// Failures in a row after which one filler item airs instead of the next try.
const FAILURES_MAX: usize = 64;

impl Programme {
    /// Goes on behind `begun` in whatever order and filler come.
    pub(super) fn resuming(begun: Begun) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Takes another order; its place follows from what was begun last.
    pub(super) fn accept(&mut self, order: Arc<Order>) {
        self.next = order.resume_behind(self.begun.entry.as_ref());
        self.failures = 0;
        self.order = Some(order);
    }

    /// Takes another filler: it grows while its pieces are being rendered, and not only at its end.
    pub(super) fn fill_with(&mut self, filler: Arc<Order>) {
        if !is(&self.filler, &filler.sha256) {
            self.next_filler = filler.resume_behind(self.begun.filler.as_ref());
        }
        self.filler = Some(filler);
    }

    /// What comes next, if there is anything at all.
    pub(super) fn next(&self) -> Option<Slot> {
        let usable = |order: &Option<Arc<Order>>| order.clone().filter(|order| !order.entries.is_empty());
        let (order, filler) = (usable(&self.order), usable(&self.filler));
        let exhausted = |order: &Order| self.failures >= order.entries.len().min(FAILURES_MAX);
        match (order, filler) {
            (Some(order), filler) if filler.is_none() || !exhausted(&order) => Some(slot(&order, self.next, false)),
            (_, Some(filler)) => Some(slot(&filler, self.next_filler, true)),
            (_, None) => None,
        }
    }

    /// What may come next: so many entries of the order, and of the filler a quarter as many, each from its place on.
    pub(super) fn ahead(&self, count: usize) -> Vec<Slot> {
        let from = |order: &Option<Arc<Order>>, next: usize, count: usize, filler| {
            let order = order.iter().flat_map(|order| std::iter::repeat_n(order, count.min(order.entries.len())));
            order.enumerate().map(|(step, order)| slot(order, next + step, filler)).collect::<Vec<_>>()
        };
        let mut slots = from(&self.order, self.next, count, false);
        slots.extend(from(&self.filler, self.next_filler, count / 4, true));
        slots
    }

    /// Where the programme stands.
    pub(super) fn place(&self) -> Place {
        let name = |order: &Option<Arc<Order>>| order.as_ref().map(|order| order.sha256.clone());
        let (order, filler) = (name(&self.order), name(&self.filler));
        Place { order, filler, next: self.next, next_filler: self.next_filler, begun: self.begun.clone() }
    }

    /// `slot` has begun to air.
    pub(super) fn begin(&mut self, slot: &Slot) {
        let begun = Some((slot.entry.path.clone(), slot.position));
        if slot.entry.kind == Kind::Filler {
            self.begun.filler = begun;
            self.next_filler = behind(slot, &self.filler);
            self.failures = 0;
            return;
        }
        self.begun.entry = begun;
        self.next = behind(slot, &self.order);
    }

    /// Something of the order is on air: the failures before it are forgotten.
    pub(super) fn aired(&mut self) {
        self.failures = 0;
    }

    /// `slot` was begun at `place` and breaks off: what was begun after it never was, and play goes on behind it.
    pub(super) fn break_off(&mut self, slot: &Slot, place: Place) {
        self.next = match &self.order {
            Some(order) if place.order.as_ref() != Some(&order.sha256) => {
                order.resume_behind(place.begun.entry.as_ref())
            }
            _ => place.next,
        };
        self.next_filler = match &self.filler {
            Some(filler) if place.filler.as_ref() != Some(&filler.sha256) => {
                filler.resume_behind(place.begun.filler.as_ref())
            }
            _ => place.next_filler,
        };
        self.begun = place.begun;
        self.begin(slot);
        if slot.entry.kind != Kind::Filler {
            self.failures += 1;
        }
    }

    /// `slot` cannot air: the place moves on, and after a whole round of failures the filler takes over for an item.
    pub(super) fn skip(&mut self, slot: &Slot) {
        if slot.entry.kind == Kind::Filler {
            self.next_filler = slot.position + 1;
            self.failures = 0;
        } else {
            self.next = slot.position + 1;
            self.failures += 1;
        }
    }
}

fn is(order: &Option<Arc<Order>>, sha256: &str) -> bool {
    order.as_ref().is_some_and(|order| order.sha256 == sha256)
}

/// Where play goes on behind `slot` in `order`, which may be another one than the slot is from.
fn behind(slot: &Slot, order: &Option<Arc<Order>>) -> usize {
    match order {
        Some(order) if *order.sha256 != *slot.order => order.resume(&slot.entry.path, slot.position),
        _ => slot.position + 1,
    }
}

fn slot(order: &Order, position: usize, filler: bool) -> Slot {
    let position = position % order.entries.len();
    let mut entry = order.entries[position].clone();
    if filler {
        entry.kind = Kind::Filler;
    }
    Slot { order: order.sha256.as_str().into(), position, entry }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(paths: &[&str]) -> Arc<Order> {
        let entry = |path: &&str| Entry { path: (*path).into(), kind: Kind::Track, id: format!("id-{path}") };
        Arc::new(Order { sha256: paths.concat(), entries: paths.iter().map(entry).collect() })
    }

    fn played(programme: &mut Programme, count: usize) -> String {
        let mut out = String::new();
        for _ in 0..count {
            let Some(slot) = programme.next() else { return out };
            out += &slot.entry.path;
            programme.begin(&slot);
        }
        out
    }

    #[test]
    fn an_order_is_looped() {
        let mut programme = Programme::default();
        programme.accept(order(&["a", "b", "c"]));
        assert_eq!(played(&mut programme, 7), "abcabca");
    }

    #[test]
    fn an_edit_goes_on_behind_the_same_entry() {
        for (edited, goes_on) in [
            (&["a", "b", "c", "d"][..], "cd"), // nothing changed before it
            (&["x", "a", "b", "c"], "cx"),     // something came before it: b stands at or after the old place
            (&["b", "a", "c"], "ac"),          // it moved before the old place: found going round
            (&["a", "x", "c"], "xc"),          // it is gone: the old index
            (&["z"], "zz"),                    // the old index is beyond the end
        ] {
            let mut programme = Programme::default();
            programme.accept(order(&["a", "b", "c", "d"]));
            assert_eq!(played(&mut programme, 2), "ab");
            programme.accept(order(edited));
            assert_eq!(played(&mut programme, 2), goes_on.chars().take(2).collect::<String>(), "{edited:?}");
        }
    }

    #[test]
    fn play_goes_on_behind_the_nearest_same_entry() {
        for (old, at, new, next) in [
            ("abc", 1, "abc", 2),
            ("abc", 2, "abc", 0),
            ("abc", 1, "xabc", 3),
            ("abcd", 3, "cda", 2),
            ("jajb", 2, "jxjy", 3),
            ("jajb", 1, "jbja", 0),
            ("abc", 1, "ac", 1),
            ("abc", 2, "xy", 0),
            ("a", 0, "a", 0),
            ("ab", 1, "", 0),
        ] {
            let paths: Vec<String> = new.chars().map(String::from).collect();
            let new_order = order(&paths.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(new_order.resume(&old[at..=at], at), next, "{old} at {at} becomes {new}");
        }
    }

    #[test]
    fn what_may_come_next_is_told_once_around_at_most() {
        let mut programme = Programme::default();
        assert_eq!(programme.ahead(8), []);
        programme.accept(order(&["a", "b", "c"]));
        programme.fill_with(order(&["f", "g", "h"]));
        assert_eq!(played(&mut programme, 2), "ab");
        let ahead = |count| programme.ahead(count).into_iter().map(|slot| slot.entry.path).collect::<String>();
        assert_eq!([ahead(2), ahead(4), ahead(8)], ["ca", "cabf", "cabfg"]);
        assert!(programme.ahead(8).iter().all(|slot| (slot.entry.kind == Kind::Filler) == ("f" <= &*slot.entry.path)));
    }

    #[test]
    fn a_filler_that_grows_in_front_repeats_nothing() {
        let mut programme = Programme::default();
        programme.fill_with(order(&["b"]));
        assert_eq!(played(&mut programme, 1), "b");
        programme.fill_with(order(&["a", "b", "c"]));
        assert_eq!(played(&mut programme, 3), "cab");
        let mut restarted = Programme::resuming(programme.begun.clone());
        restarted.fill_with(order(&["a", "b", "c"]));
        assert_eq!(played(&mut restarted, 2), "ca");
    }

    #[test]
    fn the_filler_airs_when_nothing_else_can_and_the_order_comes_back() {
        let mut programme = Programme::default();
        assert_eq!(programme.next(), None);
        programme.fill_with(order(&["f", "g"]));
        assert_eq!(played(&mut programme, 3), "fgf");
        programme.accept(order(&["a", "b"]));
        for _ in 0..2 {
            let slot = programme.next().unwrap();
            assert_ne!(slot.entry.kind, Kind::Filler);
            programme.skip(&slot);
        }
        let slot = programme.next().unwrap();
        assert_eq!((slot.entry.path.as_str(), slot.entry.kind), ("g", Kind::Filler));
        programme.begin(&slot);
        assert_eq!(played(&mut programme, 2), "ab");
    }

    #[test]
    fn what_cannot_air_is_left_behind_and_forgotten_when_something_does() {
        let mut programme = Programme::default();
        programme.accept(order(&["a", "b", "c"]));
        programme.fill_with(order(&["f", "g", "h"]));
        assert_eq!(played(&mut programme, 1), "a");
        programme.skip(&programme.next().unwrap());
        assert_eq!((programme.failures, programme.next().unwrap().entry.path.as_str()), (1, "c"));
        programme.aired();
        assert_eq!(programme.failures, 0);
        let filler = order(&["f", "g", "h"]);
        programme.begin(&slot(&filler, 0, true));
        programme.skip(&slot(&filler, 1, true));
        programme.fill_with(filler);
        assert_eq!(programme.next_filler, 2, "the same filler again is no other one");
    }

    #[test]
    fn a_slot_of_another_order_is_left_behind_where_its_entry_stands_now() {
        let mut programme = Programme::default();
        programme.accept(order(&["a", "b", "c"]));
        let before = programme.next().unwrap();
        programme.accept(order(&["x", "a", "y"]));
        programme.begin(&before);
        assert_eq!(played(&mut programme, 1), "y");
    }

    #[test]
    fn what_was_begun_behind_an_item_that_breaks_off_never_was() {
        let (tracks, filler) = (order(&["a", "b", "c"]), order(&["f", "g", "h"]));
        let mut programme = Programme::default();
        programme.accept(tracks.clone());
        programme.fill_with(filler.clone());
        let (first, place) = (programme.next().unwrap(), programme.place());
        assert_eq!(played(&mut programme, 2), "ab");
        programme.break_off(&first, place);
        assert_eq!((programme.failures, played(&mut programme, 1).as_str()), (1, "b"));
        // Both stand further on than what was begun last tells.
        programme.begin(&slot(&tracks, 0, false));
        programme.skip(&slot(&tracks, 1, false));
        programme.begin(&slot(&filler, 0, true));
        programme.skip(&slot(&filler, 1, true));
        let place = programme.place();
        let after = |broken: &Slot, order: &Arc<Order>, filler: &Arc<Order>| {
            let mut programme = programme.clone();
            programme.begin(&slot(&tracks, 2, false));
            programme.begin(&slot(filler, 0, true));
            programme.accept(order.clone());
            programme.fill_with(filler.clone());
            programme.break_off(broken, place.clone());
            (programme.next, programme.next_filler, programme.failures)
        };
        let (track, piece) = (slot(&tracks, 2, false), slot(&filler, 2, true));
        assert_eq!(after(&piece, &tracks, &filler), (2, 3, 0));
        assert_eq!(after(&piece, &order(&["b", "a", "x", "y"]), &filler).0, 2, "behind a, which was begun");
        assert_eq!(after(&piece, &order(&["x", "y", "z", "a"]), &filler).0, 0, "behind a, which was begun");
        assert_eq!(after(&track, &tracks, &filler).1, 2);
        assert_eq!(after(&track, &tracks, &order(&["f", "x", "y"])).1, 1, "behind f, which was begun");
    }
}
