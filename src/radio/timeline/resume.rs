//! Going on where the ledger ends.

use std::sync::Arc;

use super::super::{
    aired::Aired,
    history::Position,
    programme::{Entry, Place, Programme, Slot},
    rules::Rules,
    segment::Item,
};
use super::{Clocks, Current, Timeline};

impl Timeline {
    /// Goes on where the ledger ends. `item` is what [`Position::unfinished`] names, if it could be read; one that cannot air
    /// here is not gone on with.
    ///
    /// Wall inside the listed range: resumes there. Beyond its end: one jump, at the next segment. Before it: the
    /// dates stay ahead of the wall. Where the listed dates go back, the range is what is dated behind that.
    pub fn resume(rules: Rules, past: Position, item: Option<Arc<Item>>, clocks: Clocks) -> Self {
        let begun = past.begun.clone();
        let mut timeline = Self::at(rules, past.axis, Programme::resuming(begun), past.next_seq, past.next_disc, 0);
        let Some(last) = past.listed.last().cloned() else {
            timeline.offset = timeline.axis.position(clocks.station) - timeline.rules.lateness() as i64;
            return timeline;
        };
        let item = item.filter(|item| timeline.refusal(item).is_none());
        timeline.current = unfinished(&last, item, timeline.programme.place());
        timeline.break_next = timeline.current.is_none();
        // The media axis is only used in differences: it starts at the first listed segment.
        timeline.media_end = past.listed.iter().map(|s| u64::from(s.segment.samples)).sum();
        timeline.gap = last.air_end() - timeline.media_end as i64;
        // A crash may have come while the first list of all was being filled: then there still is none, and as much is
        // due as at the first start at least.
        timeline.started = timeline.media_end >= timeline.rules.look_ahead() + timeline.rules.lateness();
        let media_now = timeline.media_at(&past.listed, timeline.axis.position(clocks.wall));
        let media_now = if timeline.started { media_now } else { media_now.max(timeline.rules.lateness() as i64) };
        timeline.offset = timeline.axis.position(clocks.station) - media_now;
        timeline.listed = past.listed.into();
        timeline.hold_back_seconds = timeline.hold_back_of_longer_list(media_now);
        timeline.groups = past.groups;
        timeline.ladder = past.ladder;
        timeline.show = timeline.started;
        timeline.check_listed();
        timeline
    }

    /// A list that was made with a longer look-ahead, or before the wall clock was set back, reaches further than the
    /// rules say now. Until it has run down to them, whoever starts must hold back by as much more.
    fn hold_back_of_longer_list(&self, media_now: i64) -> u64 {
        let ahead = self.media_end as i64 - media_now;
        let usual = self.rules.hold_back_seconds();
        if ahead <= (self.rules.look_ahead() + self.rules.target()) as i64 {
            return usual;
        }
        let rate = u64::from(self.rules.rate);
        let wanted = (ahead as u64).div_ceil(rate) + 2 * u64::from(self.rules.segment_seconds);
        usual.max(wanted.min(self.media_end / rate))
    }

    /// Where on the media axis the air position `air` of the wall clock lies; see [`Self::resume`].
    fn media_at(&self, listed: &[Aired], air: i64) -> i64 {
        let Some(last) = listed.last() else { return air };
        if air >= last.air_end() {
            return air - self.gap;
        }
        let goes_back = |pair: &[Aired]| pair[1].air_samples < pair[0].air_end();
        let (before, dated) = listed.split_at(listed.windows(2).rposition(goes_back).map_or(0, |at| at + 1));
        let mut media: i64 = before.iter().map(|aired| i64::from(aired.segment.samples)).sum();
        let early = dated.first().map_or(0, |first| first.air_samples - air);
        if early > 0 {
            // What was dated otherwise aired until the dates went back: now lies as far before that as the wall does.
            let within = early <= media;
            return if within { media - early } else { self.media_end as i64 - self.rules.look_ahead() as i64 };
        }
        for aired in dated {
            if air < aired.air_end() {
                return media + (air - aired.air_samples).max(0);
            }
            media += i64::from(aired.segment.samples);
        }
        media
    }
}

/// The item that `last` is a segment of, if there is more of it to air and its segments are known.
fn unfinished(last: &Aired, item: Option<Arc<Item>>, place: Place) -> Option<Current> {
    let next_part = last.part as usize + 1;
    let item = item.filter(|item| item.id == last.run.item && next_part < item.segments.len())?;
    let entry = Entry { path: last.run.entry.clone(), kind: last.run.kind, id: item.id.clone() };
    let slot = Slot { order: last.run.order.clone(), position: last.run.position as usize, entry };
    Some(Current { slot, place: Arc::new(place), item, next_part, run: Some(last.run.clone()) })
}
