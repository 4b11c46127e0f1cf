//! The coarse list, `live-60.m3u8`: what has aired, in pieces of up to a minute, for players that ignore `HOLD-BACK`.
//!
//! Such players stay three or four entries behind the end of a list, whatever it says: with entries of a minute a
//! gateway may be minutes late unheard. An entry is a *group*: consecutive segments of one item, as many as fit into a
//! minute, counted from the beginning of the item, so that a recording always has the same groups. The file of a group
//! links the blocks of its segments; no audio is stored twice. A group is listed once all of it has aired: the list has
//! no look-ahead and nothing to hold back.
//!
//! The list follows from frozen segments alone. Each carries the number of its group and the number at which the list
//! ends when the segment becomes due, so that neither goes back, whatever is restarted or configured.

use std::{collections::VecDeque, fmt::Write, ops::Range, sync::Arc};

use super::{
    aired::{Aired, Axis, Run},
    hls::{self, Entry},
    receipt::CidText,
    segment::Segment,
};

/// The longest group in seconds.
const GROUP_SECONDS: u32 = 60;
/// How far the list reaches back from its end, in target durations: four that players start behind it, four and a half
/// of staleness (S of contract §3), one that leaves the list while it is heard.
const LISTED_TARGETS: u64 = 10;
/// How far groups are known back from the end of the list, in target durations: ten minutes longer than listed.
const KNOWN_TARGETS: u64 = LISTED_TARGETS + 10;

/// How many segments of `segment_seconds` a group has at most.
pub const fn segments_max(segment_seconds: u32) -> u32 {
    match GROUP_SECONDS.checked_div(segment_seconds) {
        Some(fit) if fit > 0 => fit,
        _ => 1,
    }
}

/// `EXT-X-TARGETDURATION` of the list, in seconds; constant for the station's life.
pub const fn target_seconds(axis: &Axis) -> u32 {
    segments_max(axis.target_seconds) * axis.target_seconds
}

/// Whether the segment at index `part` of its item begins a group; `disc` tells whether a discontinuity precedes it.
pub const fn begins(disc: bool, part: u32, axis: &Axis) -> bool {
    disc || part.is_multiple_of(segments_max(axis.target_seconds))
}

/// Consecutive segments of one item: an entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number in the list.
    pub seq: u64,
    /// Whether a discontinuity precedes it.
    pub disc: bool,
    /// Discontinuities so far, its own included.
    pub disc_seq: u64,
    /// When it airs, in samples since the anchor.
    pub air_samples: i64,
    /// The item it belongs to.
    pub run: Arc<Run>,
    /// What it plays, at least one.
    pub segments: Vec<Segment>,
}

impl Group {
    fn new(first: &Aired) -> Self {
        Self {
            seq: first.group_seq,
            disc: first.disc,
            disc_seq: first.disc_seq,
            air_samples: first.air_samples,
            run: first.run.clone(),
            segments: vec![first.segment],
        }
    }

    /// Its length in samples.
    pub fn samples(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.samples)).sum()
    }

    /// Its end, in samples since the anchor.
    pub fn air_end(&self) -> i64 {
        self.air_samples + self.samples() as i64
    }
}

/// The groups around now: those that left the list not long ago, those that are listed, and those of the look-ahead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    whole: VecDeque<Arc<Group>>,
    /// The group that further segments may belong to.
    open: Option<Group>,
    /// The number of the next segment.
    next_seq: u64,
    /// The number behind the last listed group.
    end: u64,
}

impl Groups {
    /// Takes the next frozen segment. Gives the group that ended before it, if one did.
    pub fn take(&mut self, aired: &Aired, axis: &Axis) -> Option<Arc<Group>> {
        if aired.media_seq != self.next_seq {
            *self = Self::default(); // Numbers went on from a floor, or receipts are lost: a group may lack segments.
        }
        self.next_seq = aired.media_seq + 1;
        self.end = aired.group_end;
        let mut ended = None;
        if begins(aired.disc, aired.part, axis) {
            ended = self.open.take().map(Arc::new);
            self.whole.extend(ended.clone());
            self.open = Some(Group::new(aired)).filter(|group| group.seq > 0);
        } else if let Some(open) = &mut self.open {
            open.segments.push(aired.segment);
        }
        let gone = self.from(KNOWN_TARGETS, axis);
        self.whole.drain(..gone);
        ended
    }

    /// All of them, oldest first.
    pub fn all(&self) -> impl ExactSizeIterator<Item = &Arc<Group>> {
        self.whole.iter()
    }

    /// Which of them are listed.
    pub fn listed(&self, axis: &Axis) -> Range<usize> {
        self.from(LISTED_TARGETS, axis)..self.listed_end()
    }

    fn listed_end(&self) -> usize {
        self.whole.partition_point(|group| group.seq < self.end)
    }

    /// Index of the last group from which on the listed ones last for so many target durations; 0 where none does.
    fn from(&self, targets: u64, axis: &Axis) -> usize {
        let mut missing = targets * u64::from(target_seconds(axis)) * u64::from(axis.rate);
        let mut from = self.listed_end();
        while from > 0 && missing > 0 {
            from -= 1;
            missing = missing.saturating_sub(self.whole[from].samples());
        }
        from
    }
}

/// Renders the list of these groups, each with the name of its file. No groups, no list.
pub fn render<'g>(axis: &Axis, groups: impl IntoIterator<Item = (&'g Group, CidText)>) -> Option<String> {
    let mut groups = groups.into_iter().peekable();
    let (first, _) = groups.peek()?;
    let mut out = String::with_capacity(8 * 1024);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n\
         #EXT-X-VERSION:3\n\
         #EXT-X-TARGETDURATION:{}\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
        target_seconds(axis),
        first.seq,
        first.disc_seq - u64::from(first.disc),
    );
    let mut told = None;
    for (group, cid) in groups {
        let Group { disc, air_samples, run, .. } = group;
        let entry = Entry { disc: *disc, run, air_samples: *air_samples, samples: group.samples(), cid };
        hls::entry(axis, &entry, &mut told, &mut out);
    }
    Some(out)
}

#[cfg(test)]
mod tests;
