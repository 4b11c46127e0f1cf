//! What a gain and the limiter make of the loudness of an item, before it is tried.
//!
//! The limiter of [`super::limiter`] over slices of a hundredth of a second instead of frames: lowered to the need of a
//! slice at once, kept for a slice more, released at the same pace. In what was tried the forecast was some
//! hundredths of an LU off; what one trial shows it to be off corrects the next.

use super::{level::from_db, limiter::RELEASE_SECONDS, loudness::Slice, measure::Measured};

/// So often the range of gains is halved: from 30 dB to 0.002 dB.
const HALVINGS: usize = 14;

/// Forecasts the loudness of one item.
pub(super) struct Forecast<'a> {
    measured: &'a Measured,
    /// How much higher the highest value between the samples is than the highest sample.
    between: f32,
}

impl<'a> Forecast<'a> {
    /// Of a source that was measured.
    pub(super) fn of(measured: &'a Measured) -> Self {
        let between = measured.true_peak.zip(measured.peak).map_or(0.0, |(between, at)| between - at);
        Self { measured, between: from_db(between) as f32 }
    }

    /// Integrated loudness in LUFS at a gain, limited to a ceiling, both in dB; none where all is below the gate.
    pub(super) fn loudness(&self, gain_db: f64, ceiling_db: f64) -> Option<f64> {
        let threshold = from_db(ceiling_db - gain_db) as f32 / self.between;
        let slices_a_second = self.measured.loudness.slices_a_second();
        let left_after = |slices: f64| (-slices / (RELEASE_SECONDS * slices_a_second)).exp() as f32;
        let (half, whole) = (left_after(0.5), left_after(1.0));
        let (mut gain, mut before) = (1.0_f32, 1.0_f32);
        let limited = self.measured.loudness.limited(|slice: &Slice| {
            let need = if slice.peak > threshold { threshold / slice.peak } else { 1.0 };
            let released = |left: f32| (1.0 - (1.0 - gain) * left).min(need).min(before);
            let (on_the_way, at_the_end) = (released(half), released(whole));
            (gain, before) = (at_the_end, need);
            on_the_way
        });
        limited.integrated(gain_db)
    }

    /// The gain in dB at which the loudness is `target` LUFS, but for `most` at most.
    pub(super) fn gain_to(&self, target: f64, ceiling_db: f64, most: f64) -> Option<f64> {
        if self.loudness(most, ceiling_db)? <= target {
            return Some(most);
        }
        // What is limited is no louder than what is not.
        let (mut low, mut high) = (self.measured.loudness.gain_to(target)?.min(most), most);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            let louder = self.loudness(middle, ceiling_db)? > target;
            (low, high) = if louder { (low, middle) } else { (middle, high) };
        }
        Some((low + high) / 2.0)
    }
}
