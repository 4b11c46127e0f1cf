//! A lower sample rate in mono, for what listens to the lower part of the band alone.

use std::f64::consts::PI;

/// Coefficients of the filter for each sample that is left out, and the one that is not.
const TAPS: usize = 8;

/// Keeps one of so many samples. What is above the new band is filtered out, but for its upper third, into which that falls
/// back.
pub(super) struct Decimator {
    rate: u32,
    factor: usize,
    channels: usize,
    /// A windowed sinc, as long as what it is laid on: 8 × factor.
    taps: Vec<f32>,
    /// Mono samples that are laid under it next, and those behind them.
    held: Vec<f32>,
}

impl Decimator {
    /// From interleaved samples at `rate` Hz to the lowest rate that is no less than `least` and divides it.
    pub(super) fn new(rate: u32, channels: usize, least: u32) -> Self {
        let factor = (1..=rate / least).rev().find(|factor| rate.is_multiple_of(*factor)).unwrap_or(1);
        let (rate, factor) = (rate / factor, factor as usize);
        Self { rate, factor, channels, taps: low_pass(factor), held: Vec::new() }
    }

    /// The rate of what it gives, in Hz.
    pub(super) const fn rate(&self) -> u32 {
        self.rate
    }

    /// Takes interleaved samples and gives those of mono that are ready.
    pub(super) fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        let share = 1.0 / self.channels as f32;
        let mono = samples.chunks_exact(self.channels).map(|frame| frame.iter().sum::<f32>() * share);
        if self.factor == 1 {
            return mono.collect();
        }
        self.held.extend(mono);
        let under = self.held.windows(self.taps.len()).step_by(self.factor);
        let ready: Vec<f32> = under.map(|under| product(&self.taps, under)).collect();
        self.held.drain(..ready.len() * self.factor);
        ready
    }
}

/// Half of the new band and half of what falls back into it pass (Hann window).
fn low_pass(factor: usize) -> Vec<f32> {
    let len = TAPS * factor;
    let tap = |index: usize| {
        let from_middle = index as f64 + 0.5 - len as f64 / 2.0;
        let turn = PI * from_middle / factor as f64;
        turn.sin() / turn * (PI * from_middle / len as f64).cos().powi(2)
    };
    let taps: Vec<f64> = (0..len).map(tap).collect();
    let sum: f64 = taps.iter().sum();
    taps.into_iter().map(|tap| (tap / sum) as f32).collect()
}

/// The sum of the products, eight side by side.
fn product(taps: &[f32], samples: &[f32]) -> f32 {
    let mut sums = [0.0_f32; TAPS];
    for (taps, samples) in taps.as_chunks::<TAPS>().0.iter().zip(samples.as_chunks::<TAPS>().0) {
        sums.iter_mut().zip(taps).zip(samples).for_each(|((sum, tap), sample)| *sum += tap * sample);
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(hertz: f64, rate: u32, channels: usize) -> Vec<f32> {
        let at = |index: u32| (TAU * hertz * f64::from(index) / f64::from(rate)).sin() as f32;
        (0..rate).flat_map(|index| vec![at(index); channels]).collect()
    }

    /// The root of the mean square over that of the tone, in dB.
    fn level(samples: &[f32]) -> f64 {
        let mean = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum::<f64>() / samples.len() as f64;
        10.0 * (2.0 * mean).log10()
    }

    #[test]
    fn the_rate_is_the_lowest_that_divides_it() {
        let rates = [44_100, 48_000, 32_000, 192_000, 22_050, 11_025, 8_000, 37_800];
        assert_eq!(
            rates.map(|rate| Decimator::new(rate, 1, 11_025).rate()),
            [11_025, 12_000, 16_000, 12_000, 11_025, 11_025, 8_000, 12_600]
        );
    }

    #[test]
    fn the_lower_band_stays_and_what_would_fall_into_it_goes() {
        for rate in [44_100, 48_000, 96_000] {
            let heard = |hertz| level(&Decimator::new(rate, 2, 11_025).push(&tone(hertz, rate, 2)));
            for hertz in [30.0, 440.0, 2_000.0, 3_500.0] {
                assert!(heard(hertz).abs() < 0.2, "{hertz} Hz at {rate}: {} dB", heard(hertz));
            }
            for hertz in [8_600.0, 11_500.0, 20_000.0] {
                assert!(heard(hertz) < -40.0, "{hertz} Hz at {rate}: {} dB", heard(hertz));
            }
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same() {
        let samples = tone(440.0, 48_000, 2);
        let whole = Decimator::new(48_000, 2, 11_025).push(&samples);
        assert_eq!(whole.len(), (48_000 - 32) / 4 + 1);
        for frames in [1, 7, 1_000] {
            let mut decimator = Decimator::new(48_000, 2, 11_025);
            let parts: Vec<f32> = samples.chunks(2 * frames).flat_map(|block| decimator.push(block)).collect();
            assert_eq!(parts, whole, "{frames} frames");
        }
    }
}
