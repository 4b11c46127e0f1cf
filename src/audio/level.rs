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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            segment_seconds: 6,
            rate: 1_000,
            channels: 2,
            bitrates: vec![128_000],
            loudness_target: Some(-16.0),
            peak_ceiling: -1.5,
            trim_silence: false,
            fade_ms: 0,
        }
    }

    fn gain(settings: &Settings, loudness: Option<f64>, peak_db: f64) -> f64 {
        Level::new(settings, 1_000, loudness, Some(from_db(peak_db))).gain_db()
    }

    #[test]
    fn the_gain_reaches_the_target_unless_a_sample_would_pass_the_ceiling() {
        let close = |found: f64, wanted: f64| assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
        close(gain(&settings(), Some(-20.0), -12.0), 4.0);
        close(gain(&settings(), Some(-8.0), 0.0), -8.0);
        close(gain(&settings(), Some(-30.0), -6.0), 4.5);
        close(gain(&settings(), None, -40.0), 0.0);
        close(gain(&settings(), None, 3.0), -4.5);
        let off = Settings { loudness_target: None, ..settings() };
        close(gain(&off, Some(-30.0), -6.0), 0.0);
        close(gain(&off, Some(-5.0), 0.0), -1.5);
    }

    #[test]
    fn no_sample_passes_the_ceiling() {
        let peak = 0.731_f32;
        let level = Level::new(&settings(), 4, Some(-40.0), Some(f64::from(peak)));
        let highest = level.apply(0, &[peak, -peak]).into_iter().map(|sample| i32::from(sample).abs()).max().unwrap();
        assert_eq!(f64::from(highest), (from_db(-1.5) * 32_768.0).round());
    }

    #[test]
    fn samples_are_rounded_and_clamped() {
        let level = Level { gain: 1.0, channels: 1, samples: 9, fade: 0 };
        let samples = [0.0, 1.0, -1.0, 1.5, -1.5, 0.6 / 32_768.0, 0.4 / 32_768.0, -0.6 / 32_768.0, 0.5];
        assert_eq!(level.apply(0, &samples), [0, 32_767, -32_768, 32_767, -32_768, 1, 0, -1, 16_384]);
    }

    #[test]
    fn fades_rise_and_fall_in_straight_lines_whatever_the_blocks() {
        let faded = Settings { loudness_target: None, fade_ms: 4, channels: 1, peak_ceiling: 0.0, ..settings() };
        let level = Level::new(&faded, 10, None, Some(1.0));
        let whole = level.apply(0, &[0.5; 10]);
        assert_eq!(whole, [0, 4_096, 8_192, 12_288, 16_384, 16_384, 12_288, 8_192, 4_096, 0]);
        let in_blocks = [level.apply(0, &[0.5; 3]), level.apply(3, &[0.5; 7])].concat();
        assert_eq!(in_blocks, whole);
        let short = Level::new(&Settings { fade_ms: 9_000, ..faded }, 4, None, Some(1.0));
        assert_eq!(short.apply(0, &[0.5; 4]), [0, 8_192, 8_192, 0]);
    }
}
