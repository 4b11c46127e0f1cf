//! Looks at what is to air next, before it is its turn: what is damaged by then has been made anew.

use std::{
    collections::{BTreeSet, HashMap},
    iter,
    sync::Arc,
};

use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::supply::{Soundness, Supply};
use crate::{
    clock,
    radio::{
        programme::{Order, Slot},
        segment::Item,
        time::{Span, Time},
        timeline::Timeline,
    },
};

/// Entries that are looked at ahead of their turn.
pub(super) const ENTRIES: usize = 16;
/// An item that was whole is not looked at again for so long, unless something was made anew.
const WHOLE: Span = Span::seconds(600);
/// One that was not is looked at again after so long, or as soon as it was tried to make it anew.
const AGAIN: Span = Span::seconds(60);

/// What was found of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) path: String,
    /// Its item, if that can be read.
    pub(super) item: Option<Arc<Item>>,
    pub(super) soundness: Soundness,
}

/// An entry that is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upcoming {
    slot: Slot,
    /// Since when something is wrong with it, as far as is known.
    fails: Option<Time>,
}

impl Upcoming {
    /// Whether a look at `at`, which found it `whole` or not, tells enough of it at `now`.
    fn is_known(&self, (at, whole): (Time, bool), now: Time) -> bool {
        // Whoever found it failing may have met a fault that is over: that is seen by one more look.
        let outdated = self.fails.is_some_and(|since| at < since);
        let good_for = if whole && self.fails.is_none() { WHOLE } else { AGAIN };
        !outdated && at.plus(good_for) > now
    }
}

/// What is to be looked at: what comes next, and as many entries of the order of which something is wrong, so that it is
/// seen when they are well again, however far away their turn is.
pub(super) fn upcoming(
    timeline: &Timeline,
    order: Option<&Order>,
    fails: impl Fn(&str) -> Option<Time>,
) -> Vec<Upcoming> {
    let next = timeline.ahead(ENTRIES).into_iter();
    let next = next.map(|slot| Upcoming { fails: fails(&slot.entry.path), slot });
    let entries = order.into_iter().flat_map(|order| iter::repeat(order).zip(iter::zip(0.., &order.entries)));
    let failing = entries.filter_map(|(order, (position, entry))| {
        let since = fails(&entry.path)?;
        let slot = Slot { order: order.sha256.as_str().into(), position, entry: entry.clone() };
        Some(Upcoming { slot, fails: Some(since) })
    });
    next.chain(failing.take(ENTRIES)).collect()
}

/// Verifies the items of `upcoming`, one at a time, for as long as anybody listens.
pub(super) async fn look_ahead(
    supply: Supply,
    clock: clock::System,
    mut upcoming: watch::Receiver<Vec<Upcoming>>,
    seen: mpsc::Sender<Seen>,
) {
    let mut known: HashMap<String, (Time, bool)> = HashMap::new();
    loop {
        let entries = upcoming.borrow_and_update().clone();
        known.retain(|_, (at, _)| at.plus(WHOLE) > clock.now().station);
        known.retain(|id, (_, whole)| *whole || entries.iter().any(|entry| entry.slot.entry.id == *id));
        for entry in &entries {
            let (slot, now) = (&entry.slot, clock.now().station);
            if known.get(&slot.entry.id).is_some_and(|look| entry.is_known(*look, now)) {
                continue;
            }
            let (item, soundness) = supply.examine(slot, usize::MAX).await;
            known.insert(slot.entry.id.clone(), (clock.now().station, soundness == Soundness::Whole));
            // The same recording may lie there under several names.
            let of_item = entries.iter().filter(|other| other.slot.entry.id == slot.entry.id);
            let paths: BTreeSet<&String> = of_item.map(|other| &other.slot.entry.path).collect();
            for path in paths {
                let seen_now = Seen { path: path.clone(), item: item.clone(), soundness: soundness.clone() };
                if seen.send(seen_now).await.is_err() {
                    return;
                }
            }
        }
        let known_of =
            |entry: &Upcoming| known.get(&entry.slot.entry.id).filter(|(_, whole)| entry.fails.is_some() || !whole);
        let ailing = entries.iter().filter_map(known_of).map(|(at, _)| at.plus(AGAIN)).min();
        let again = async {
            match ailing {
                Some(at) => time::sleep(clock.until(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = upcoming.changed() => if changed.is_err() { return },
            // Also of what was whole: that it had ceased to be may have been found when its turn came.
            () = supply.repairs.tried() => known.clear(),
            () = again => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radio::{programme::Entry, segment::Kind};

    fn at(seconds: u64) -> Time {
        Time(0).plus(Span::seconds(seconds))
    }

    fn entry(fails: Option<Time>) -> Upcoming {
        let entry = Entry { path: "a.flac".into(), kind: Kind::Track, id: "a".into() };
        Upcoming { slot: Slot { order: "".into(), position: 0, entry }, fails }
    }

    #[test]
    fn what_is_found_failing_is_looked_at_once_more_and_then_once_a_minute() {
        assert!(entry(None).is_known((at(100), true), at(699)));
        assert!(!entry(None).is_known((at(100), true), at(700)));
        for whole in [true, false] {
            let look = |second| (at(second), whole);
            assert!(!entry(Some(at(101))).is_known(look(100), at(101)), "the fault may be over");
            assert!(entry(Some(at(101))).is_known(look(102), at(161)));
            assert!(!entry(Some(at(101))).is_known(look(102), at(162)));
        }
        // Found failing, and not told of yet.
        assert!(entry(None).is_known((at(100), false), at(159)));
        assert!(!entry(None).is_known((at(100), false), at(160)));
    }
}
