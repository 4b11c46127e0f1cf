//! What a start takes from the ledger: where it goes on, what it keeps, by which rules.

use std::{collections::VecDeque, path::Path, sync::Arc};

use anyhow::Context;

use super::{
    air::group_file,
    notes::Notes,
    publisher::{Held, hold},
    supply::Supply,
    unfinished,
};
use crate::{
    clock,
    disk::{self, Layout, ledger::Folder},
    radio::{
        aired::Axis,
        history::{BACK, History, Kept},
        ledger::{
            Signer,
            recall::{Recalled, recall as read_back},
            volume::Volume,
        },
        receipt::{Body, Receipt},
        retention::{Keep, Retention},
        rules::Rules,
        time::Span,
        timeline::Timeline,
    },
};

/// Segments of the past that the root's `ipfs/` folder may still hold: far more than a window and ten minutes.
const HELD_MAX: usize = 8_192;

/// What the ledger tells at start.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub(super) found: Recalled,
    /// IPNS sequences above those that the receipts tell of that may have been used.
    pub(super) sequences_above: u64,
    pub(super) retention: Retention,
    pub(super) held: VecDeque<Held>,
}

/// Reads what the ledger tells. Unless receipts are `required`, no ledger keeps the station off the air.
pub(super) fn recall(dir: &Path, signer: &Signer, keep: Keep, required: bool) -> anyhow::Result<Past> {
    let now = clock::wall();
    let since = now.minus(Span(keep.usual.0.max(BACK.0)));
    let folder: Arc<dyn Volume> = Arc::new(Folder::new(dir));
    let mut past = Past::default();
    let found = read_back(&folder, signer, since, now, required, &mut |receipt, kept| {
        if let Some((kept, axis)) = kept {
            past.keep(receipt, kept, &axis, keep);
        }
        if receipt.body.goes_back() {
            past.retention.keep_at_most(receipt.produced_at.plus(Span(2 * keep.usual.0)));
        }
    });
    past.found = found.context("the ledger cannot be used, and receipts are required")?;
    if past.found.torn_bytes > 0 {
        tracing::warn!(bytes = past.found.torn_bytes, "a torn receipt was cut off");
    }
    let gone = past.held.iter().take_while(|held| held.until.plus(keep.usual) < now).count();
    past.held.drain(..gone);
    Ok(past)
}

impl Past {
    fn keep(&mut self, receipt: &Receipt, kept: Kept, axis: &Axis, keep: Keep) {
        self.retention.keep_aired(kept.cid, kept.until, keep);
        kept.rungs.iter().for_each(|(cid, _)| self.retention.keep_aired(*cid, kept.until, keep));
        kept.cover.iter().for_each(|cover| self.retention.keep_aired(cover.cid, kept.until, keep));
        if let Some(Ok(file)) = kept.group.as_ref().map(|group| group_file(group, axis)) {
            self.retention.keep_aired(file.cid, file.until, keep);
        }
        if let Body::Segment(segment) = &receipt.body {
            let (seq, cid, bytes) = (segment.media_seq, kept.cid, segment.byte_count);
            let (item, cover) = (segment.item.clone(), kept.cover);
            let held = Held { seq, cid, bytes, rungs: kept.rungs, item, cover, until: kept.until };
            hold(&mut self.held, held, axis.date(segment.air_samples));
            if self.held.len() > HELD_MAX {
                self.held.pop_front();
            }
        }
    }
}

/// Whether `setup --new-epoch` has made segments of another duration or rate, with which the station begins anew.
pub(super) fn another_epoch(layout: &Layout, wanted: &Rules, past: &Past) -> anyhow::Result<bool> {
    let (Some(axis), Some(asked)) = (past.found.history.axis(), layout.asked_epoch()) else { return Ok(false) };
    if (axis.target_seconds, axis.rate) == asked {
        // The epoch it asked for has begun.
        disk::Disk::default().remove(&layout.new_epoch())?;
        return Ok(false);
    }
    Ok(asked == (wanted.segment_seconds, wanted.rate))
}

/// The rules of a station that has a ledger: duration and rate are those it began with.
pub(super) fn rules_of(wanted: &Rules, past: &Past, notes: &Notes) -> Rules {
    let Some(axis) = past.found.history.axis() else { return wanted.clone() };
    if (axis.target_seconds, axis.rate) != (wanted.segment_seconds, wanted.rate) {
        notes.raise(
            "epoch",
            format!(
                "the station is on air with segments of {} s at {} Hz, setup.toml says {} s at {} Hz; \
                 `ipfs-radio setup --new-epoch` and a restart change that",
                axis.target_seconds, axis.rate, wanted.segment_seconds, wanted.rate
            ),
        );
    }
    Rules { segment_seconds: axis.target_seconds, rate: axis.rate, ..wanted.clone() }
}

/// The timeline where the ledger ends; `None` if it has no segment.
pub(super) async fn resumed(
    history: History,
    rules: &Rules,
    supply: &Supply,
    clock: clock::System,
) -> Option<Timeline> {
    let position = history.position()?;
    let item = match position.unfinished() {
        Some(run) => unfinished(supply, run).await,
        None => None,
    };
    Some(Timeline::resume(rules.clone(), position, item, clock.now()))
}
