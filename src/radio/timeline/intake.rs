//! What of an item can air, if anything.

use std::sync::Arc;

use super::super::{
    ladder::{BITRATE_MIN, RUNGS_MAX},
    segment::{Item, Rung, Segment},
};
use super::{PARTS_MAX, Timeline};

/// Renditions of segments that are in the root's `ipfs/` folder at a time, if items are cut as long as they may be: the
/// folder is one block of at most 2 MiB, with some 110 bytes for each.
const FOLDER_MAX: u64 = 12_000;
/// How long segments stay in that folder behind the list, in seconds.
const TAIL_SECONDS: u64 = 600;

impl Timeline {
    /// Why an item cannot air on this station, if it cannot.
    pub fn refusal(&self, item: &Item) -> Option<&'static str> {
        let longest = self.rules.longest();
        let fits = |s: &Segment| s.samples > 0 && u64::from(s.samples) <= longest;
        if item.segments.is_empty() || !item.segments.iter().all(fits) {
            return Some("its segments are not as long as this station's");
        }
        let alike = item.rungs.is_empty() || item.rungs.len() == item.segments.len();
        if !alike || !item.rungs.iter().all(|rungs| are_distinct(rungs)) {
            return Some("its renditions are not cut alike, or two are of one bit rate");
        }
        let too_many =
            "it has more segments than fit into one block: cut the recording, or use a longer segment_duration";
        (item.segments.len() > PARTS_MAX).then_some(too_many)
    }

    /// The item with as many of its renditions as fit into the block that lists its segments, and into the root's folder.
    pub(super) fn without_surplus(&self, item: Arc<Item>) -> Arc<Item> {
        let rules = &self.rules;
        let listed = (rules.window() + rules.look_ahead()) / u64::from(rules.rate) + TAIL_SECONDS;
        let in_folder = FOLDER_MAX / (listed / u64::from(rules.segment_seconds)).max(1);
        let in_list = PARTS_MAX / item.segments.len().max(1);
        let most = in_list.min(in_folder as usize).saturating_sub(1).min(RUNGS_MAX);
        if item.rungs.iter().all(|rungs| rungs.len() <= most) {
            return item;
        }
        Arc::new(Item { rungs: item.first_rungs(most), ..Item::clone(&item) })
    }
}

/// Whether these are of different bit rates that make sense.
pub(super) fn are_distinct(rungs: &[Rung]) -> bool {
    let known = |at: usize| rungs[..at].iter().any(|rung| rung.bitrate == rungs[at].bitrate);
    rungs.iter().all(|rung| rung.bitrate >= BITRATE_MIN) && !(0..rungs.len()).any(known)
}
