//! Where a timeline stands: what is on air, and how its dates stand to the wall clock.

use super::{super::aired::Aired, Clocks, Timeline};

impl Timeline {
    /// The segment on air, if any is.
    pub fn on_air(&self, clocks: Clocks) -> Option<&Aired> {
        let mut end = self.listed_end() as i64;
        let now = self.media_now(clocks);
        self.listed.iter().rev().find(|aired| {
            end -= i64::from(aired.segment.samples);
            end <= now
        })
    }

    /// How far the dates of what is on air are ahead of the wall clock, in milliseconds; negative when behind.
    pub fn skew_millis(&self, clocks: Clocks) -> i64 {
        self.skew(self.on_air(clocks).map_or(self.gap, |aired| aired.air_samples - self.media_of(aired) as i64), clocks)
    }

    /// The same of what is planned next.
    pub fn next_skew_millis(&self, clocks: Clocks) -> i64 {
        self.skew(self.gap, clocks)
    }

    fn skew(&self, gap: i64, clocks: Clocks) -> i64 {
        (self.media_now(clocks) + gap - self.axis.position(clocks.wall)) * 1_000 / i64::from(self.axis.rate)
    }

    /// Whether a reanchoring was asked for of which no receipt is written yet.
    pub fn is_reanchoring(&self) -> bool {
        self.reanchor || self.notes.reanchor()
    }

    /// When the first listed segment airs by the station clock, in samples since the anchor.
    pub fn listed_from(&self) -> i64 {
        self.listed.front().map_or(0, |first| self.media_of(first) as i64) + self.offset
    }
}
