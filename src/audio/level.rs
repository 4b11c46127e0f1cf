//! The level of an item: one gain, fades at both ends, then 16 bits.

use super::Settings;

/// What is done to every sample of an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    gain: f64,
    channels: usize,
    samples: u64,
    fade: u64,
}

impl Level {
    /// The gain that brings `loudness` (LUFS) to the target and lifts no sample above the ceiling. `peak` is linear.
    pub(super) fn new(settings: &Settings, samples: u64, loudness: Option<f64>, peak: Option<f64>) -> Self {
        let wanted = match (settings.loudness_target, loudness) {
            (Some(target), Some(loudness)) => from_db(target - loudness),
            _ => 1.0,
        };
        let highest = peak.map_or(wanted, |peak| from_db(settings.peak_ceiling) / peak);
        let fade = u64::from(settings.fade_ms) * u64::from(settings.rate) / 1_000;
        let channels = usize::from(settings.channels);
        Self { gain: wanted.min(highest), channels, samples, fade: fade.min(samples / 2) }
    }

    /// The gain in dB.
    pub(super) fn gain_db(&self) -> f64 {
        to_db(self.gain)
    }

    /// Levels interleaved samples whose first frame is frame `at` of the item.
    pub(super) fn apply(&self, at: u64, samples: &[f32]) -> Vec<i16> {
        let mut out = Vec::with_capacity(samples.len());
        for (frame, at) in samples.chunks_exact(self.channels).zip(at..) {
            let gain = self.gain * self.faded(at);
            out.extend(frame.iter().map(|sample| to_i16(f64::from(*sample) * gain)));
        }
        out
    }

    /// How far frame `at` is faded in or out, 0 to 1.
    fn faded(&self, at: u64) -> f64 {
        let from_edge = at.min(self.samples.saturating_sub(at + 1));
        if from_edge >= self.fade { 1.0 } else { from_edge as f64 / self.fade as f64 }
    }
}

/// An amplitude as dB.
pub(super) fn to_db(amplitude: f64) -> f64 {
    20.0 * amplitude.log10()
}

fn from_db(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

fn to_i16(sample: f64) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}
