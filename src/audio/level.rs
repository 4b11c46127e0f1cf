//! The level of an item on its way: one gain, the limiter where there is one, fades at both ends, then 16 bits.

use std::ops::Range;

use super::{Settings, limiter::Limiter};

/// Levels the samples of one item in their order.
pub(super) struct Level {
    gain: f64,
    limiter: Option<Limiter>,
    channels: usize,
    /// Frames of the item, and those of them that were levelled.
    samples: u64,
    at: u64,
    fade: u64,
}

/// Gain and ceiling of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Setting {
    /// The gain in dB.
    pub(super) gain_db: f64,
    /// What the limiter lets pass at most, in dBTP; none where there is nothing to limit.
    pub(super) ceiling_db: Option<f64>,
}

impl Level {
    /// For an item of `samples` frames.
    pub(super) fn new(settings: &Settings, samples: u64, setting: Setting) -> Self {
        let (gain, channels) = (from_db(setting.gain_db), usize::from(settings.channels));
        let limiter = |ceiling: f64| Limiter::new(settings.rate, channels, (from_db(ceiling) / gain) as f32);
        let fade = fade_samples(settings).min(samples / 2);
        Self { gain, limiter: setting.ceiling_db.map(limiter), channels, samples, at: 0, fade }
    }

    /// Takes interleaved samples and gives those that are ready.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<i16> {
        let Some(limiter) = &mut self.limiter else { return self.levelled(samples, None) };
        let (mut ready, mut gains) = (Vec::new(), Vec::new());
        limiter.push(samples, &mut ready, &mut gains);
        self.levelled(&ready, Some(&gains))
    }

    /// The same with samples of 16 bits, which stay what they are where nothing changes them.
    pub(super) fn push_whole(&mut self, samples: &[i16]) -> Vec<i16> {
        let end = self.at + (samples.len() / self.channels) as u64;
        if self.limiter.is_some() || self.gain != 1.0 || !self.is_steady(self.at..end) {
            return self.push(&samples.iter().copied().map(from_i16).collect::<Vec<_>>());
        }
        self.at = end;
        samples.to_vec()
    }

    /// Gives the rest.
    pub(super) fn finish(&mut self) -> Vec<i16> {
        let Some(limiter) = &mut self.limiter else { return Vec::new() };
        let (mut ready, mut gains) = (Vec::new(), Vec::new());
        limiter.finish(&mut ready, &mut gains);
        self.levelled(&ready, Some(&gains))
    }

    /// The most that the limiter lowered the level so far, in dB.
    pub(super) fn reduction_db(&self) -> f64 {
        self.limiter.as_ref().map_or(0.0, Limiter::reduction_db)
    }

    fn levelled(&mut self, samples: &[f32], gains: Option<&[f32]>) -> Vec<i16> {
        let mut out = Vec::with_capacity(samples.len());
        let frames = (samples.len() / self.channels) as u64;
        let (from, to) = (self.at, self.at + frames);
        let (faded_in, fading_out) = (self.fade.clamp(from, to), (self.samples - self.fade).clamp(from, to));
        for range in [from..faded_in, faded_in..fading_out, fading_out..to] {
            let frames = (range.start - from) as usize..(range.end - from) as usize;
            let samples = &samples[frames.start * self.channels..frames.end * self.channels];
            let gains = gains.map(|gains| &gains[frames]);
            if self.is_steady(range.clone()) {
                self.steady(samples, gains, &mut out);
            } else {
                self.fading(samples, gains, range.start, &mut out);
            }
        }
        self.at = to;
        out
    }

    /// Whether none of these frames is faded.
    fn is_steady(&self, frames: Range<u64>) -> bool {
        frames.start >= self.fade && frames.end + self.fade <= self.samples
    }

    /// Where nothing is faded.
    fn steady(&self, samples: &[f32], gains: Option<&[f32]>, out: &mut Vec<i16>) {
        let done = out.len();
        out.resize(done + samples.len(), 0);
        let levelled = |sample: f32, gain: f64| to_i16(f64::from(sample) * gain);
        let (out, gain) = (&mut out[done..], self.gain);
        match gains {
            None => out.iter_mut().zip(samples).for_each(|(out, sample)| *out = levelled(*sample, gain)),
            Some(gains) if self.channels == 2 => {
                let frames = out.as_chunks_mut::<2>().0.iter_mut().zip(samples.as_chunks::<2>().0).zip(gains);
                frames.for_each(|((out, frame), limited)| {
                    let gain = gain * f64::from(*limited);
                    *out = frame.map(|sample| levelled(sample, gain));
                });
            }
            Some(gains) => {
                let samples = out.iter_mut().zip(samples).zip(gains);
                samples.for_each(|((out, sample), limited)| *out = levelled(*sample, gain * f64::from(*limited)));
            }
        }
    }

    /// The same from frame `at` on, where an end of the item is faded.
    fn fading(&self, samples: &[f32], gains: Option<&[f32]>, at: u64, out: &mut Vec<i16>) {
        for ((index, frame), at) in samples.chunks_exact(self.channels).enumerate().zip(at..) {
            let limited = gains.map_or(1.0, |gains| f64::from(gains[index]));
            let gain = self.gain * limited * self.faded(at);
            out.extend(frame.iter().map(|sample| to_i16(f64::from(*sample) * gain)));
        }
    }

    /// How far frame `at` is faded in or out, 0 to 1.
    fn faded(&self, at: u64) -> f64 {
        let from_edge = at.min(self.samples.saturating_sub(at + 1));
        if from_edge >= self.fade { 1.0 } else { from_edge as f64 / self.fade as f64 }
    }
}

/// The highest sample, linear.
pub(super) fn highest(samples: &[f32]) -> f32 {
    let Some(last) = samples.last_chunk::<16>() else {
        return samples.iter().fold(0.0, |top, sample| higher(top, *sample));
    };
    // Side by side, so that no step waits for the one before; the last ones once more: nothing is higher for being seen twice.
    let mut tops = [0.0_f32; 16];
    for samples in samples.as_chunks().0.iter().chain([last]) {
        tops.iter_mut().zip(samples).for_each(|(top, sample)| *top = higher(*top, *sample));
    }
    tops.iter().fold(0.0, |top, height| higher(top, *height))
}

/// The higher of a height and that of a sample; what is no number has none.
#[inline]
pub(super) fn higher(top: f32, sample: f32) -> f32 {
    if sample.abs() > top { sample.abs() } else { top }
}

/// Frames of a fade, if the item is long enough.
pub(super) fn fade_samples(settings: &Settings) -> u64 {
    u64::from(settings.fade_ms) * u64::from(settings.rate) / 1_000
}

/// An amplitude as dB.
pub(super) fn to_db(amplitude: f64) -> f64 {
    20.0 * amplitude.log10()
}

/// dB as an amplitude.
pub(super) fn from_db(db: f64) -> f64 {
    10.0_f64.powf(db / 20.0)
}

/// To the nearest of 16 bits, halves away from zero.
fn to_i16(sample: f64) -> i16 {
    let scaled = sample * 32_768.0;
    (scaled + 0.5_f64.copysign(scaled)) as i16
}

/// 16 bits as a sample within ±1.
pub(super) fn from_i16(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { rate: 1_000, channels: 1, ..super::super::tests::plain() }
    }

    fn plain(gain_db: f64) -> Setting {
        Setting { gain_db, ceiling_db: None }
    }

    #[test]
    fn samples_are_rounded_and_clamped() {
        let mut level = Level::new(&settings(), 9, plain(0.0));
        let samples = [0.0, 1.0, -1.0, 1.5, -1.5, 0.6 / 32_768.0, 0.4 / 32_768.0, -0.6 / 32_768.0, 0.5];
        assert_eq!(level.push(&samples), [0, 32_767, -32_768, 32_767, -32_768, 1, 0, -1, 16_384]);
        assert_eq!([0.5, 1.5, -0.5, -1.5].map(|sample| to_i16(sample / 32_768.0)), [1, 2, -1, -2]);
    }

    #[test]
    fn whole_samples_are_levelled_like_any() {
        let faded = Settings { fade_ms: 4, channels: 2, ..settings() };
        let whole: Vec<i16> =
            (0..80).map(|at| (at * 7_919 % 65_536 - 32_768) as i16).chain([32_767, -32_768]).collect();
        let float: Vec<f32> = whole.iter().copied().map(from_i16).collect();
        let limited = Setting { gain_db: 6.0, ceiling_db: Some(-3.0) };
        for setting in [plain(0.0), plain(-2.0), limited] {
            for frames in [1, 5, 41] {
                let mut levels = [0; 2].map(|_| Level::new(&faded, 41, setting));
                let mut out = [Vec::new(), Vec::new()];
                for (whole, float) in whole.chunks(2 * frames).zip(float.chunks(2 * frames)) {
                    out[0].extend(levels[0].push_whole(whole));
                    out[1].extend(levels[1].push(float));
                }
                out.iter_mut().zip(&mut levels).for_each(|(out, level)| out.extend(level.finish()));
                assert_eq!(out[0], out[1], "{setting:?}, {frames} frames at a time");
            }
        }
    }

    #[test]
    fn the_highest_sample_is_found_wherever_it_is() {
        for length in 0..70 {
            for at in 0..length {
                let mut samples = vec![0.25_f32; length];
                samples[at] = -0.5;
                assert_eq!(highest(&samples), 0.5, "{at} of {length}");
            }
        }
        assert_eq!((highest(&[]), highest(&[f32::NAN, -0.1])), (0.0, 0.1));
    }

    #[test]
    fn fades_rise_and_fall_in_straight_lines_whatever_the_blocks() {
        let faded = Settings { fade_ms: 4, ..settings() };
        let whole = Level::new(&faded, 10, plain(0.0)).push(&[0.5; 10]);
        assert_eq!(whole, [0, 4_096, 8_192, 12_288, 16_384, 16_384, 12_288, 8_192, 4_096, 0]);
        let mut level = Level::new(&faded, 10, plain(0.0));
        assert_eq!([level.push(&[0.5; 3]), level.push(&[0.5; 7])].concat(), whole);
        let short = Settings { fade_ms: 9_000, ..faded };
        assert_eq!(Level::new(&short, 4, plain(0.0)).push(&[0.5; 4]), [0, 8_192, 8_192, 0]);
    }

    #[test]
    fn a_limited_item_is_as_long_as_its_source_and_no_higher_than_the_ceiling() {
        let setting = Setting { gain_db: 6.0, ceiling_db: Some(-3.0) };
        let mut level = Level::new(&Settings { rate: 44_100, channels: 2, ..settings() }, 5_000, setting);
        let samples: Vec<f32> = (0..10_000).map(|at| (at as f32 * 0.003).sin() * 0.9).collect();
        let mut out = level.push(&samples[..4_444]);
        out.extend(level.push(&samples[4_444..]));
        out.extend(level.finish());
        assert_eq!(out.len(), samples.len());
        let highest = out.iter().map(|sample| from_i16(*sample).abs()).fold(0.0, f32::max);
        let below = -3.0 - to_db(f64::from(highest));
        assert!((-1e-3..0.1).contains(&below), "{below} dB below the ceiling, but for the rounding");
        // The abrupt end is higher between the samples.
        let of_samples = to_db(0.9) + 6.0 + 3.0;
        assert!((of_samples..of_samples + 1.1).contains(&level.reduction_db()), "{}", level.reduction_db());
    }
}
