//! What will air: the real timeline, run ahead of the clock.

use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use super::{
    catalog::{Catalog, Unfit},
    identity::Identity,
};
use crate::{
    clock,
    disk::{Layout, ledger::Folder},
    radio::{
        aired::{Axis, Run},
        history::{BACK, History, Position},
        ledger::{Ledger, Signer},
        programme::Slot,
        receipt::Body,
        rules::Rules,
        segment::Kind,
        time::{Span, Time},
        timeline::{Action, Clocks, Event, First, Timeline, Why},
    },
};

/// An item that will air.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// RFC 3339, UTC, milliseconds.
    pub starts: String,
    /// RFC 3339, UTC, milliseconds.
    pub ends: String,
    /// Track, jingle or filler.
    pub kind: Kind,
    /// Title.
    pub title: String,
    /// Artist, may be empty.
    pub artist: String,
    /// Path of its entry.
    pub entry: String,
}

/// What airs within `length` from now, as long as `processed/` stays as it is. A station that is off air is taken to
/// start now. Reads the ledger and `processed/`; writes nothing. Blocking.
pub fn preview(layout: &Layout, wanted: &Rules, length: Span) -> anyhow::Result<Vec<Coming>> {
    let now = clock::wall();
    let catalogs = [Catalog::new(layout.processed()), Catalog::new(layout.generated())];
    let position = position(layout, now)?;
    let rules = match &position {
        Some(position) => {
            let Axis { rate, target_seconds, .. } = position.axis;
            Rules { rate, segment_seconds: target_seconds, ..wanted.clone() }
        }
        None => wanted.clone(),
    };
    let clocks = Clocks { station: now, wall: now };
    let mut coming = Vec::new();
    let mut timeline = match position {
        Some(position) => {
            let item = position.unfinished_by_length().map(Arc::new);
            coming.extend(listed(&position, now));
            Timeline::resume(rules.clone(), position, item, clocks)
        }
        None => Timeline::new(rules.clone(), 1, First { media_seq: now.millis() / 1_000, disc_seq: 0 }, clocks),
    };
    let orders = catalogs.each_ref().map(|catalog| catalog.load().ok().map(|loaded| Arc::new(loaded.order)));
    let [order, filler] = orders;
    let events = order.map(Event::Order).into_iter().chain(filler.map(Event::Filler));
    let asked = layout.reanchor().exists().then_some(Event::Reanchor);
    events.chain(asked).for_each(|event| timeline.handle(event, clocks));
    ahead(timeline, &catalogs, rules.rate, clocks, now.plus(length), &mut coming);
    let end = now.plus(length).to_string();
    coming.retain(|item| item.starts < end);
    Ok(coming)
}

/// Runs the timeline until what it schedules lies beyond `end`.
fn ahead(
    mut timeline: Timeline,
    catalogs: &[Catalog; 2],
    rate: u32,
    mut clocks: Clocks,
    end: Time,
    coming: &mut Vec<Coming>,
) {
    loop {
        let event = match timeline.poll(clocks) {
            Action::Show(_) => continue,
            Action::Wait(_, Why::Nothing) => return,
            Action::Wait(until, _) => {
                if timeline.last().is_some_and(|last| timeline.axis().date(last.air_samples) > end) {
                    return;
                }
                clocks = Clocks { station: until, wall: until };
                continue;
            }
            Action::Fetch(slot) => fetched(catalogs, slot, rate),
            Action::Store(..) => Event::Stored,
            Action::Record(bodies) => {
                let axis = *timeline.axis();
                let started = bodies.iter().filter_map(|body| match body {
                    Body::ItemStarted(started) => Some(describe(&axis, &Run::from_body(started))),
                    _ => None,
                });
                coming.extend(started);
                Event::Recorded
            }
        };
        timeline.handle(event, clocks);
    }
}

/// The item of a slot, whatever its chunks are like.
fn fetched([processed, generated]: &[Catalog; 2], slot: Slot, rate: u32) -> Event {
    let catalog = if slot.entry.kind == Kind::Filler { generated } else { processed };
    match catalog.item(&slot, rate) {
        Ok(read) => Event::Fetched(slot, read.item),
        Err(Unfit::Damaged(why) | Unfit::Other(why)) => Event::NotFetched(slot, why),
    }
}

fn describe(axis: &Axis, run: &Run) -> Coming {
    Coming {
        starts: axis.date(run.air_samples).to_string(),
        ends: axis.date(run.air_end()).to_string(),
        kind: run.kind,
        title: run.title.clone(),
        artist: run.artist.clone(),
        entry: run.entry.clone(),
    }
}

/// The items that the last list already names and that have not ended.
fn listed(position: &Position, now: Time) -> Vec<Coming> {
    let mut runs: Vec<&Arc<Run>> = position.listed.iter().map(|aired| &aired.run).collect();
    runs.dedup_by_key(|run| run.media_seq);
    let axis = &position.axis;
    let open = runs.into_iter().filter(|run| axis.date(run.air_end()) > now);
    open.map(|run| describe(axis, run)).collect()
}

/// Where the ledger ends; `None` for a station that has never been on air.
pub(super) fn position(layout: &Layout, now: Time) -> anyhow::Result<Option<Position>> {
    if !layout.ledger().exists() {
        return Ok(None);
    }
    let identity = Identity::load(&layout.keys(), false)?;
    let signer = Signer::reader(identity.receipts);
    let mut history = History::default();
    let since = now.minus(BACK);
    Ledger::read(&Folder::new(layout.ledger()), &signer, since, &mut |receipt| {
        history.take(receipt);
    })
    .context("the ledger cannot be read")?;
    Ok(history.position())
}
