//! An operator who has the dates on air follow the wall clock again: his wish, and what it would change.

use std::{path::PathBuf, time::Duration};

use tokio::{sync::mpsc, task, time};

use super::{notes::Notes, preview::position, tasks::Tasks};
use crate::{
    clock, disk,
    disk::Layout,
    radio::{
        rules::Rules,
        status::Skew,
        time::{Span, Time},
        timeline::{Clocks, Timeline},
    },
};

/// How often the wish is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The file by which an operator asks.
#[derive(Debug)]
pub(super) struct Wish {
    file: PathBuf,
    notes: Notes,
    /// Whether the timeline knows of it and has not done it yet.
    open: bool,
}

impl Wish {
    pub(super) const fn new(file: PathBuf, notes: Notes) -> Self {
        Self { file, notes, open: false }
    }

    /// Tells each time that the file comes; ends with who listens.
    pub(super) fn watch(&self, tasks: &Tasks) -> mpsc::Receiver<()> {
        let (tell, told) = mpsc::channel(1);
        let file = self.file.clone();
        tasks.spawn("looking for a wish", async move {
            let mut known = false;
            loop {
                let there = tokio::fs::try_exists(&file).await.unwrap_or(known);
                if there && !known && tell.send(()).await.is_err() || tell.is_closed() {
                    return;
                }
                known = there;
                time::sleep(LOOK).await;
            }
        });
        told
    }

    /// Whether the timeline still has it to do. When it has done it, the file goes.
    pub(super) fn is_open(&mut self, open: bool) {
        if std::mem::replace(&mut self.open, open) && !open {
            tracing::warn!("the dates that are listed from now on are those of the wall clock");
            let (file, notes) = (self.file.clone(), self.notes.clone());
            task::spawn_blocking(move || match disk::Disk::default().remove(&file) {
                Ok(()) => notes.clear("reanchor"),
                Err(error) => notes.raise("reanchor", format!("{error}; the next start would set the dates again")),
            });
        }
    }
}

/// What a reanchoring would change, were it asked for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The wall clock.
    pub wall: Time,
    /// How the dates stand to it.
    pub skew: Skew,
    /// By how much they may be off without being touched.
    pub allowed: Span,
    /// The item behind which they would jump: the last one that is listed.
    pub last: String,
    /// How long it is until the next item is listed, and the dates with it.
    pub listed_in: Span,
    /// How long it is until that item airs.
    pub airs_in: Span,
    /// For how long there are lists with both dates.
    pub both: Span,
    /// `HOLD-BACK`.
    pub hold_back: Span,
}

/// What a reanchoring would change; `None` where nothing has ever been on air. `running` is how the dates stand on a
/// station that is on air, as it says; one that is off air is taken to start now. Reads the ledger; writes nothing.
pub fn outlook(layout: &Layout, wanted: &Rules, running: Option<Skew>) -> anyhow::Result<Option<Outlook>> {
    let wall = clock::wall();
    let Some(position) = position(layout, wall)? else { return Ok(None) };
    let Some(last) = position.listed.last().cloned() else { return Ok(None) };
    let axis = position.axis;
    let rules = Rules { rate: axis.rate, segment_seconds: axis.target_seconds, ..wanted.clone() };
    let rest = position.unfinished_by_length().map_or(0, |item| {
        item.segments.iter().skip(last.part as usize + 1).map(|segment| u64::from(segment.samples)).sum()
    });
    let skew = running.unwrap_or_else(|| {
        let clocks = Clocks { station: wall, wall };
        let timeline = Timeline::resume(rules.clone(), position, None, clocks);
        let (pdt_skew_ms, next_pdt_skew_ms) = (timeline.skew_millis(clocks), timeline.next_skew_millis(clocks));
        Skew { pdt_skew_ms, next_pdt_skew_ms }
    });
    let listed_until = axis.date(last.air_end());
    let ends = if skew.next_pdt_skew_ms < 0 {
        listed_until.plus(Span::millis(skew.next_pdt_skew_ms.unsigned_abs()))
    } else {
        listed_until.minus(Span::millis(skew.next_pdt_skew_ms.unsigned_abs()))
    };
    let airs_in = Span(ends.since(wall).0 + Span::of_samples(rest, axis.rate).0);
    let ahead = Span::of_samples(rules.look_ahead(), axis.rate);
    let name = [&*last.run.artist, &*last.run.title];
    Ok(Some(Outlook {
        wall,
        skew,
        allowed: rules.skew(),
        last: name.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" - "),
        listed_in: Span(airs_in.0.saturating_sub(ahead.0)),
        airs_in,
        both: Span::of_samples(rules.window() + rules.look_ahead(), axis.rate),
        hold_back: Span::seconds(rules.hold_back_seconds()),
    }))
}
