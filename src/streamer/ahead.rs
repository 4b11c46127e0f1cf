//! Looks at what is to air next, before it is its turn: what is damaged by then has been made anew.

use std::{collections::HashMap, iter, sync::Arc};

use tokio::{
    sync::{mpsc, watch},
    time,
};

use super::supply::{Soundness, Supply};
use crate::{
    clock,
    radio::{
        manifest::Entry,
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
    /// Whether something is wrong with it, as far as is known.
    fails: bool,
}

/// What is to be looked at: what comes next, and as many entries of the order of which something is wrong, so that it is
/// seen when they are well again, however far away their turn is.
pub(super) fn upcoming(timeline: &Timeline, order: Option<&Order>, fails: impl Fn(&str) -> bool) -> Vec<Upcoming> {
    let next = timeline.ahead(ENTRIES).into_iter();
    let next = next.map(|slot| Upcoming { fails: fails(&slot.entry.path), slot });
    let failing = order.into_iter().flat_map(|order| {
        let name: Arc<str> = order.sha256.as_str().into();
        let slot =
            move |(position, entry): (usize, &Entry)| Slot { order: name.clone(), position, entry: entry.clone() };
        iter::zip(0.., &order.entries).filter(|(_, entry)| fails(&entry.path)).map(slot)
    });
    next.chain(failing.take(ENTRIES).map(|slot| Upcoming { slot, fails: true })).collect()
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
        for Upcoming { slot, fails } in &entries {
            let now = clock.now().station;
            let fresh = known.get(&slot.entry.id).is_some_and(|(at, whole)| {
                let good_for = if *whole && !*fails { WHOLE } else { AGAIN };
                at.plus(good_for) > now
            });
            if fresh {
                continue;
            }
            let (item, soundness) = supply.examine(slot, usize::MAX).await;
            known.insert(slot.entry.id.clone(), (clock.now().station, soundness == Soundness::Whole));
            if seen.send(Seen { path: slot.entry.path.clone(), item, soundness }).await.is_err() {
                return;
            }
        }
        let known_of = |entry: &Upcoming| known.get(&entry.slot.entry.id).filter(|(_, whole)| entry.fails || !whole);
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
