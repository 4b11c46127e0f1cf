//! What is to be made anew in `processed/` and in the generator's folder, and when: the one owner of these retries.
//! Whoever finds something wrong asks here; the children that set up take it from here, one run at a time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time};

use crate::{
    clock,
    radio::time::{Span, Time},
};

/// After a try that did not help; it doubles up to [`AGAIN_MAX`].
const AGAIN: Span = Span::seconds(60);
const AGAIN_MAX: Span = Span::seconds(3_600);
/// Items that are remembered, and that one run looks at.
const ITEMS_MAX: usize = 1_000;
pub(super) const RUN_MAX: usize = 64;
/// An item that nobody has asked for so long is forgotten: the order no longer has it.
const FORGOTTEN: Span = Span::seconds(6 * 3_600);

/// Which folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `processed/`, made from recordings.
    Processed,
    /// `state/generated/`, made by the generator.
    Generated,
}

/// What is wrong in a folder: an item, or the index that names all of them.
type What = Option<String>;

/// A handle. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Repairs {
    clock: clock::System,
    /// Whether setup is run beside the air: without it nobody but the operator mends `processed/`.
    sets_up: bool,
    wanted: Arc<Mutex<Wanted>>,
    asked: Arc<Notify>,
    tried: Arc<Notify>,
}

impl Repairs {
    pub(super) fn new(clock: clock::System, sets_up: bool) -> Self {
        Self { clock, sets_up, wanted: Arc::default(), asked: Arc::default(), tried: Arc::default() }
    }

    /// Asks for an item to be made anew. Says what becomes of it, in words.
    pub(super) fn want(&self, place: Place, id: &str) -> &'static str {
        self.ask(place, Some(id.into()))
    }

    /// Asks for manifest and order to be made anew.
    pub(super) fn want_index(&self) -> &'static str {
        self.ask(Place::Processed, None)
    }

    /// Asks for the generator to be run again.
    pub(super) fn want_pieces(&self) {
        self.ask(Place::Generated, None);
    }

    /// The generator has run well.
    pub(super) fn pieces_mended(&self) {
        self.open().mended(Place::Generated, &None);
    }

    fn ask(&self, place: Place, what: What) -> &'static str {
        if place == Place::Processed && !self.sets_up {
            return "`ipfs-radio setup --repair` makes it anew";
        }
        let tries = self.open().want(place, what, self.clock.now().station);
        self.asked.notify_one();
        match tries {
            0 => "it is being made anew",
            _ => "making it anew has not helped so far (is its recording still there?) and is tried again",
        }
    }

    /// An item is as it should be.
    pub(super) fn mended(&self, place: Place, id: &str) {
        self.open().mended(place, &Some(id.into()));
    }

    /// Manifest and order are as they should be.
    pub(super) fn index_mended(&self) {
        self.open().mended(Place::Processed, &None);
    }

    /// Waits until something is to be made anew, and says where.
    pub(super) async fn due(&self) -> Place {
        loop {
            let asked = self.asked.notified();
            let now = self.clock.now().station;
            let (place, at) = match self.open().next() {
                Some((place, at)) if at <= now => return place,
                Some((place, at)) => (Some(place), at),
                None => (None, now),
            };
            match place {
                Some(_) => drop(time::timeout(Duration::from_micros(at.since(now).0), asked).await),
                None => asked.await,
            }
        }
    }

    /// The items in `place` of which a run that begins now is to make sure. `anyway`: recordings
    /// have changed, and what did not help before may help now.
    pub(super) fn take(&self, place: Place, anyway: bool) -> Vec<String> {
        self.open().take(place, self.clock.now().station, anyway)
    }

    /// A run has ended, well or not.
    pub(super) fn ended(&self) {
        self.open().ended();
        self.tried.notify_one();
    }

    /// Waits for the end of a run.
    pub(super) async fn tried(&self) {
        self.tried.notified().await;
    }

    fn open(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Wanted(BTreeMap<(Place, What), Tries>);

#[derive(Clone, Copy, Debug)]
struct Tries {
    /// Runs that have ended and did not help.
    count: u32,
    /// Whether a run is at it.
    running: bool,
    not_before: Time,
    asked: Time,
}

impl Wanted {
    /// Gives how often it was tried in vain.
    fn want(&mut self, place: Place, what: What, now: Time) -> u32 {
        self.0.retain(|_, tries| tries.asked.plus(FORGOTTEN) > now);
        if self.0.len() >= ITEMS_MAX && !self.0.contains_key(&(place, what.clone())) {
            return 0;
        }
        let tries =
            self.0.entry((place, what)).or_insert(Tries { count: 0, running: false, not_before: now, asked: now });
        tries.asked = now;
        tries.count
    }

    fn mended(&mut self, place: Place, what: &What) {
        self.0.remove(&(place, what.clone()));
    }

    fn next(&self) -> Option<(Place, Time)> {
        self.0.iter().map(|((place, _), tries)| (*place, tries.not_before)).min_by_key(|(_, at)| *at)
    }

    fn take(&mut self, place: Place, now: Time, anyway: bool) -> Vec<String> {
        let due = |tries: &Tries| anyway || tries.not_before <= now;
        let of = self.0.iter_mut().filter(|((at, _), tries)| *at == place && due(tries));
        let mut of: Vec<(&(Place, What), &mut Tries)> = of.collect();
        of.sort_by_key(|(_, tries)| tries.not_before);
        let mut items = Vec::new();
        for ((_, what), tries) in of.into_iter().take(RUN_MAX) {
            tries.not_before = now.plus(Span((AGAIN.0 << tries.count.min(16)).min(AGAIN_MAX.0)));
            tries.running = true;
            items.extend(what.clone());
        }
        items
    }

    fn ended(&mut self) {
        for tries in self.0.values_mut().filter(|tries| tries.running) {
            (tries.running, tries.count) = (false, tries.count + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time(0).plus(Span::seconds(seconds))
    }

    fn item(id: &str) -> What {
        Some(id.into())
    }

    #[test]
    fn what_is_not_mended_is_tried_again_later_and_later() {
        let mut wanted = Wanted::default();
        assert_eq!(wanted.want(Place::Processed, item("a"), at(10)), 0);
        assert_eq!(wanted.next(), Some((Place::Processed, at(10))));
        assert_eq!(wanted.take(Place::Generated, at(10), false), [""; 0]);
        assert_eq!(wanted.take(Place::Processed, at(10), false), ["a"]);
        assert_eq!(wanted.want(Place::Processed, item("a"), at(10)), 0, "it is being tried");
        wanted.ended();
        // However often it is asked for meanwhile.
        for second in 11..70 {
            assert_eq!(wanted.want(Place::Processed, item("a"), at(second)), 1);
            assert_eq!(wanted.take(Place::Processed, at(second), false), [""; 0], "{second}");
        }
        assert_eq!(wanted.take(Place::Processed, at(70), false), ["a"]);
        wanted.ended();
        assert_eq!(wanted.next(), Some((Place::Processed, at(190))));
        for _ in 0..40 {
            let (_, due) = wanted.next().unwrap();
            assert_eq!(wanted.take(Place::Processed, due, false), ["a"]);
            wanted.ended();
        }
        let (_, last) = wanted.next().unwrap();
        wanted.take(Place::Processed, last, false);
        assert_eq!(wanted.next(), Some((Place::Processed, last.plus(AGAIN_MAX))));
        assert_eq!(wanted.take(Place::Processed, last, true), ["a"], "its recording may be there again");
        wanted.mended(Place::Processed, &item("a"));
        assert_eq!(wanted.next(), None);
    }

    #[test]
    fn what_one_run_makes_anew_is_bounded_and_nothing_is_left_out() {
        let mut wanted = Wanted::default();
        for number in 0..2 * ITEMS_MAX {
            wanted.want(Place::Processed, item(&number.to_string()), at(0));
        }
        wanted.want(Place::Processed, None, at(1));
        let (mut all, mut runs) = (Vec::new(), 0);
        while wanted.next().is_some_and(|(_, due)| due <= at(2)) {
            let items = wanted.take(Place::Processed, at(2), false);
            assert!(items.len() <= RUN_MAX);
            all.extend(items);
            runs += 1;
        }
        all.sort();
        all.dedup();
        assert_eq!((all.len(), runs), (ITEMS_MAX, ITEMS_MAX.div_ceil(RUN_MAX)));
        assert_eq!(wanted.want(Place::Processed, item("0"), at(2).plus(FORGOTTEN)), 0, "it was forgotten meanwhile");
    }
}
