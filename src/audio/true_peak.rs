//! Peaks between the samples: 4× oversampling as in ITU-R BS.1770-5, Annex 2.
//!
//! The three values between two samples are sums of sixteen weighted samples (a sinc in a Kaiser window). No such sum
//! exceeds the highest of its samples by more than [`growth`], so that quiet blocks need not be computed and the
//! result is the same as if they were.

use std::{f64::consts::PI, sync::LazyLock};

use super::level;

/// Samples that weigh in a value between two samples.
const TAPS: usize = 16;
/// Of these, the samples from the value on.
pub(super) const AHEAD: usize = TAPS / 2;
/// Values between two samples.
const BETWEEN: usize = 3;
/// Frames that are dealt with at a time.
pub(super) const WINDOW: usize = 64;
/// Outputs that are summed side by side.
const LANES: usize = 8;
/// The shape of the Kaiser window: flat to 0.1 dB up to 0.42 of the sample rate.
const BETA: f64 = 5.0;

static WEIGHTS: LazyLock<[[f32; TAPS]; BETWEEN]> = LazyLock::new(weights);
static GROWTH: LazyLock<f32> = LazyLock::new(|| {
    let norm = |row: &[f32; TAPS]| row.iter().map(|weight| weight.abs()).sum::<f32>();
    WEIGHTS.iter().map(norm).fold(1.0, f32::max) * 1.000_01
});

/// How many times the highest of the samples around it a value between samples can be.
fn growth() -> f32 {
    *GROWTH
}

fn weights() -> [[f32; TAPS]; BETWEEN] {
    let mut rows = [[0.0; TAPS]; BETWEEN];
    for (row, number) in rows.iter_mut().zip(1..) {
        let shift = f64::from(number) / (BETWEEN + 1) as f64;
        let distance = |tap: usize| tap as f64 - (AHEAD - 1) as f64 - shift;
        let raw: Vec<f64> = (0..TAPS).map(distance).map(|d| sinc(d) * kaiser(d / AHEAD as f64)).collect();
        let sum: f64 = raw.iter().sum();
        row.iter_mut().zip(raw).for_each(|(weight, raw)| *weight = (raw / sum) as f32);
    }
    rows
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// The Kaiser window at `x` of ±1.
fn kaiser(x: f64) -> f64 {
    bessel(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order zero, by its power series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..40 {
        term *= (x / 2.0 / f64::from(k)).powi(2);
        sum += term;
    }
    sum
}

/// Interleaved samples, cut into windows that overlap by what the sums reach over.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// By channel: the samples that the next window begins with, and those behind them.
    waiting: Vec<Vec<f32>>,
}

/// One window: value group i lies between sample i + 7 and sample i + 8 of each channel.
pub(super) struct Window<'a> {
    channels: &'a [Vec<f32>],
}

impl Windows {
    /// Before the first sample lies silence.
    pub(super) fn new(channels: usize) -> Self {
        Self { waiting: vec![vec![0.0; TAPS - 1]; channels] }
    }

    /// Takes interleaved samples and hands over every window that is complete.
    pub(super) fn push(&mut self, samples: &[f32], mut take: impl FnMut(&Window<'_>)) {
        let channels = self.waiting.len();
        for frames in samples.chunks(WINDOW * channels) {
            match &mut self.waiting[..] {
                [left, right] => {
                    let frames = frames.as_chunks::<2>().0;
                    left.extend(frames.iter().map(|[sample, _]| sample));
                    right.extend(frames.iter().map(|[_, sample]| sample));
                }
                waiting => waiting.iter_mut().enumerate().for_each(|(index, waiting)| {
                    waiting.extend(frames.iter().skip(index).step_by(channels));
                }),
            }
            if self.waiting[0].len() >= WINDOW + TAPS - 1 {
                take(&Window { channels: &self.waiting });
                self.waiting.iter_mut().for_each(|waiting| drop(waiting.drain(..WINDOW)));
            }
        }
    }

    /// Goes on with silence until every sample has been in a window.
    pub(super) fn finish(&mut self, take: impl FnMut(&Window<'_>)) {
        self.push(&vec![0.0; (WINDOW + TAPS) * self.waiting.len()], take);
    }
}

impl Window<'_> {
    /// Whether no value of the window can be higher than `limit`.
    pub(super) fn is_below(&self, limit: f32) -> bool {
        let limit = limit / growth();
        self.channels.iter().all(|channel| level::highest(&channel[..WINDOW + TAPS - 1]) <= limit)
    }

    /// The height over all channels of the sample that value group `at` follows.
    pub(super) fn sample(&self, at: usize) -> f32 {
        self.channels.iter().fold(0.0, |height, channel| height.max(channel[at + AHEAD - 1].abs()))
    }

    /// The height of every value group over all channels.
    pub(super) fn heights(&self) -> [f32; WINDOW] {
        let mut heights = [0.0; WINDOW];
        for channel in self.channels {
            for (at, heights) in (0..).step_by(LANES).zip(heights.as_chunks_mut::<LANES>().0) {
                lanes(&channel[at..at + LANES + TAPS - 1], heights);
            }
        }
        heights
    }
}

/// Raises `heights` to the values between the samples, eight groups side by side.
fn lanes(samples: &[f32], heights: &mut [f32; LANES]) {
    for row in &*WEIGHTS {
        let mut sums = [0.0_f32; LANES];
        for (weight, samples) in row.iter().zip(samples.windows(LANES)) {
            sums.iter_mut().zip(samples).for_each(|(sum, sample)| *sum += weight * sample);
        }
        heights.iter_mut().zip(sums).for_each(|(height, sum)| *height = level::higher(*height, sum));
    }
}

/// Measures the true peak of interleaved samples.
#[derive(Clone, Debug)]
pub(super) struct TruePeak {
    windows: Windows,
    highest: f32,
}

impl TruePeak {
    pub(super) fn new(channels: usize) -> Self {
        Self { windows: Windows::new(channels), highest: 0.0 }
    }

    /// Takes samples, of which `peak` is the highest.
    pub(super) fn add(&mut self, samples: &[f32], peak: f32) {
        self.highest = self.highest.max(peak);
        self.windows.push(samples, |window| raise(&mut self.highest, window));
    }

    /// The highest value, linear, the samples themselves among them.
    pub(super) fn finish(mut self) -> f32 {
        self.windows.finish(|window| raise(&mut self.highest, window));
        self.highest
    }
}

fn raise(highest: &mut f32, window: &Window<'_>) {
    if !window.is_below(*highest) {
        *highest = window.heights().into_iter().fold(*highest, f32::max);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use proptest::prelude::*;

    use super::*;

    fn true_peak(samples: &[f32], channels: usize, block: usize) -> f32 {
        let mut meter = TruePeak::new(channels);
        for block in samples.chunks(block * channels) {
            meter.add(block, block.iter().fold(0.0, |top: f32, x| top.max(x.abs())));
        }
        meter.finish()
    }

    /// A sine that swells and fades, so that nothing but its own height is measured.
    fn sine(frequency: f64, phase: f64) -> Vec<f32> {
        let swell = |at: usize| (PI * at as f64 / 4_000.0).sin().powi(2);
        (0..4_000).map(|at| (swell(at) * (TAU * (frequency * (at as f64 - 2_000.0)) + phase).sin()) as f32).collect()
    }

    #[test]
    fn a_sine_at_a_quarter_of_the_rate_is_3_db_higher_than_its_samples() {
        let sine = sine(0.25, TAU / 8.0);
        let samples = sine.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
        assert!((samples - 0.5_f32.sqrt()).abs() < 1e-3, "{samples}");
        assert!((true_peak(&sine, 1, 4_000) - 1.0).abs() < 2e-3, "{}", true_peak(&sine, 1, 4_000));
    }

    /// BS.1770-5, Annex 2: what four values a sample period can miss at most, and the ripple of the filter.
    #[test]
    fn sines_of_every_frequency_and_phase_are_read_within_the_tolerance_of_the_method() {
        for step in 1..=42 {
            let frequency = f64::from(step) / 100.0;
            let missed = (PI * frequency / 4.0).cos() as f32;
            for phase in 0..16 {
                let read = true_peak(&sine(frequency, TAU * f64::from(phase) / 16.0), 1, 333);
                assert!(read > missed * 0.988 && read < 1.012, "{frequency}, phase {phase}: {read}");
            }
        }
    }

    #[test]
    fn the_channels_do_not_mix() {
        let left = sine(0.25, TAU / 8.0);
        let both: Vec<f32> = left.iter().flat_map(|left| [*left, -0.3]).collect();
        assert_eq!(true_peak(&both, 2, 100), true_peak(&left, 1, 100));
    }

    #[test]
    fn silence_has_none_and_an_impulse_its_own() {
        assert_eq!(true_peak(&[0.0; 500], 1, 100), 0.0);
        for at in [0, 1, 63, 64, 70, 499] {
            let mut impulse = [0.0; 500];
            impulse[at] = -0.7;
            assert_eq!(true_peak(&impulse, 1, 100), 0.7, "at {at}");
        }
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_and_windows_left_out_give_the_same(
            samples in prop::collection::vec(-1.0f32..1.0, 2..900),
            block in 1usize..300,
        ) {
            let whole = true_peak(&samples, 1, 900);
            prop_assert_eq!(true_peak(&samples, 1, block), whole);
            let mut all = Windows::new(1);
            let mut highest = samples.iter().fold(0.0_f32, |top, x| top.max(x.abs()));
            all.push(&samples, |window| highest = window.heights().into_iter().fold(highest, f32::max));
            all.finish(|window| highest = window.heights().into_iter().fold(highest, f32::max));
            prop_assert_eq!(highest, whole);
        }
    }
}
