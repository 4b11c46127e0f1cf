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

/// What is to be looked at: what comes next, and as many entries of the order of which something is wrong, so that it is
/// seen when they are well again, however far away their turn is.
pub(super) fn slots(timeline: &Timeline, order: Option<&Order>, fails: impl Fn(&str) -> bool) -> Vec<Slot> {
    let failing = order.into_iter().flat_map(|order| {
        let name: Arc<str> = order.sha256.as_str().into();
        iter::zip(0.., &order.entries).filter(|(_, entry)| fails(&entry.path)).map(move |(position, entry)| Slot {
            order: name.clone(),
            position,
            entry: entry.clone(),
        })
    });
    timeline.ahead(ENTRIES).into_iter().chain(failing.take(ENTRIES)).collect()
}

/// Verifies the items of `upcoming`, one at a time, for as long as anybody listens.
pub(super) async fn look_ahead(
    supply: Supply,
    clock: clock::System,
    mut upcoming: watch::Receiver<Vec<Slot>>,
    seen: mpsc::Sender<Seen>,
) {
    let mut known: HashMap<String, (Time, bool)> = HashMap::new();
    loop {
        let slots = upcoming.borrow_and_update().clone();
        known.retain(|_, (at, _)| at.plus(WHOLE) > clock.now().station);
        known.retain(|id, (_, whole)| *whole || slots.iter().any(|slot| slot.entry.id == *id));
        for slot in slots {
            let now = clock.now().station;
            let fresh = known.get(&slot.entry.id).is_some_and(|(at, whole)| {
                let good_for = if *whole { WHOLE } else { AGAIN };
                at.plus(good_for) > now
            });
            if fresh {
                continue;
            }
            let (item, soundness) = supply.examine(&slot, usize::MAX).await;
            known.insert(slot.entry.id.clone(), (clock.now().station, soundness == Soundness::Whole));
            if seen.send(Seen { path: slot.entry.path, item, soundness }).await.is_err() {
                return;
            }
        }
        let ailing = known.values().filter(|(_, whole)| !whole).map(|(at, _)| at.plus(AGAIN)).min();
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
