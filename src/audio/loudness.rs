//! Loudness by EBU R128: ITU-R BS.1770-5 (K weighting, gated blocks), EBU Tech 3341 (short term) and 3342 (range).
//!
//! What is kept of an item is the energy of each tenth of a second, 0.8 MB for three hours. The loudness at any gain
//! follows from these, and with the peaks of shorter slices, ten times as much, what a limiter makes of it.

use std::f64::consts::PI;

use super::level;

/// Blocks of 400 ms that overlap by three quarters: so many tenths of a second.
const BLOCK: usize = 4;
/// Short-term loudness: so many tenths of a second.
const SHORT_TERM: usize = 30;
/// Quieter blocks never count, in LUFS.
const ABSOLUTE_GATE: f64 = -70.0;
/// How far below the mean of the others a block no longer counts, in LU.
const RELATIVE_GATE: f64 = -10.0;
/// The same for the loudness range.
const RANGE_GATE: f64 = -20.0;
/// Loudness of the mean square 1.
const OFFSET: f64 = -0.691;
/// A tenth of a second has so many slices.
const SLICES: usize = 10;
/// The same for a second.
pub(super) const SLICES_A_SECOND: f64 = 10.0 * SLICES as f64;

/// Measures interleaved samples of one or two channels.
#[derive(Clone, Debug)]
pub(super) struct Meter {
    channels: usize,
    filter: Weighting,
    /// Frames of a tenth of a second.
    tenth: usize,
    /// Frames of the tenth that is being filled, and the sum of their squares.
    filled: usize,
    sum: f64,
    tenths: Vec<f64>,
    /// What is known of each slice, if that is wanted.
    slices: Option<Vec<Slice>>,
}

/// The energies of an item: the mean square of each whole tenth of a second, K-weighted, channels added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Loudness {
    tenths: Vec<f64>,
    /// Ten for each tenth, or none at all.
    slices: Vec<Slice>,
}

/// A hundredth of a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slice {
    /// The sum of its squares, K-weighted, channels added.
    pub(super) energy: f32,
    /// Its highest sample.
    pub(super) peak: f32,
}

impl Meter {
    /// `rate` is a multiple of ten.
    pub(super) fn new(rate: u32, channels: usize) -> Self {
        let filter = Weighting::new(rate);
        let tenth = (rate / 10).max(1) as usize;
        Self { channels, filter, tenth, filled: 0, sum: 0.0, tenths: Vec::new(), slices: None }
    }

    /// One that keeps what [`Loudness::limited`] wants.
    pub(super) fn with_slices(self) -> Self {
        debug_assert!(self.tenth >= SLICES);
        Self { slices: Some(Vec::new()), ..self }
    }

    /// Takes interleaved samples.
    pub(super) fn add(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let wanted = (self.slice_end() - self.filled) * self.channels;
            let (now, later) = samples.split_at(wanted.min(samples.len()));
            let before = self.sum;
            match self.channels {
                1 => self.add_frames(now.iter().map(|sample| [*sample, 0.0])),
                _ => self.add_frames(now.as_chunks::<2>().0.iter().copied()),
            }
            self.note(now, (self.sum - before) as f32);
            self.filled += now.len() / self.channels;
            samples = later;
            if self.filled == self.tenth {
                self.tenths.push(self.sum / self.tenth as f64);
                (self.filled, self.sum) = (0, 0.0);
                self.filter.forget_what_is_inaudible();
            }
        }
    }

    fn add_frames(&mut self, frames: impl Iterator<Item = [f32; 2]>) {
        for frame in frames {
            let [left, right] = self.filter.next(frame.map(f64::from));
            self.sum += left * left + right * right;
        }
    }

    /// The frames of a tenth at which its slices begin.
    fn borders(&self) -> impl Iterator<Item = usize> + use<> {
        let tenth = self.tenth;
        (0..SLICES).map(move |slice| slice * tenth / SLICES)
    }

    /// The frame of the tenth before which what is being filled ends: a slice, or all of it.
    fn slice_end(&self) -> usize {
        let next = |end: &usize| self.slices.is_some() && *end > self.filled;
        self.borders().find(next).unwrap_or(self.tenth)
    }

    /// Takes down samples of the slice that is being filled, and their energy.
    fn note(&mut self, samples: &[f32], energy: f32) {
        let begins = self.borders().any(|border| border == self.filled);
        let Some(slices) = &mut self.slices else { return };
        let peak = level::highest(samples);
        match slices.last_mut().filter(|_| !begins) {
            Some(slice) => *slice = Slice { energy: slice.energy + energy, peak: slice.peak.max(peak) },
            None => slices.push(Slice { energy, peak }),
        }
    }

    /// What was measured.
    pub(super) fn finish(self) -> Loudness {
        let mut slices = self.slices.unwrap_or_default();
        slices.truncate(SLICES * self.tenths.len());
        slices.shrink_to_fit();
        Loudness { tenths: self.tenths, slices }
    }
}

impl Loudness {
    /// Integrated loudness in LUFS at a gain in dB; none where all of it is below the gate.
    pub(super) fn integrated(&self, gain_db: f64) -> Option<f64> {
        let gain = 10.0_f64.powf(gain_db / 10.0);
        let blocks = || self.means(BLOCK).map(|mean| mean * gain);
        let mean = mean_above(blocks(), energy(ABSOLUTE_GATE))?;
        let gate = energy(lufs(mean) + RELATIVE_GATE).max(energy(ABSOLUTE_GATE));
        mean_above(blocks(), gate).map(lufs)
    }

    /// The gain in dB that brings integrated loudness to `target` LUFS; none where nothing is loud enough to count.
    pub(super) fn gain_to(&self, target: f64) -> Option<f64> {
        let mut gain = target - self.integrated(0.0)?;
        // Only what the absolute gate leaves out changes with the gain: mostly the first guess is the answer.
        for _ in 0..4 {
            match self.integrated(gain) {
                Some(reached) if (target - reached).abs() > 0.001 => gain += target - reached,
                _ => break,
            }
        }
        Some(gain)
    }

    /// The loudness once each slice has been lowered by the gain that `gain` gives for it, in their order.
    ///
    /// Measured with slices; without them nothing is lowered.
    pub(super) fn limited(&self, mut gain: impl FnMut(&Slice) -> f32) -> Self {
        let lowered = |(tenth, slices): (&f64, &[Slice])| {
            let (mut whole, mut left) = (0.0, 0.0);
            for slice in slices {
                let gain = gain(slice);
                whole += slice.energy;
                left += slice.energy * gain * gain;
            }
            if whole > 0.0 { tenth * f64::from(left / whole) } else { *tenth }
        };
        if self.slices.is_empty() {
            return self.clone();
        }
        Self { tenths: self.tenths.iter().zip(self.slices.chunks(SLICES)).map(lowered).collect(), slices: Vec::new() }
    }

    /// The highest short-term loudness (3 s) in LUFS; none where all is silence or shorter.
    pub(super) fn short_term_max(&self) -> Option<f64> {
        self.means(SHORT_TERM).max_by(f64::total_cmp).filter(|mean| *mean > 0.0).map(lufs)
    }

    /// Loudness range in LU (EBU Tech 3342); none where nothing is loud enough to count.
    pub(super) fn range(&self) -> Option<f64> {
        let above = |gate: f64| self.means(SHORT_TERM).filter(move |mean| *mean >= gate);
        let mean = mean_above(above(0.0), energy(ABSOLUTE_GATE))?;
        let gate = energy(lufs(mean) + RANGE_GATE).max(energy(ABSOLUTE_GATE));
        let mut counted: Vec<f64> = above(gate).collect();
        counted.sort_by(f64::total_cmp);
        let at = |share: f64| counted.get(((counted.len() as f64 - 1.0) * share).round() as usize).copied();
        Some(lufs(at(0.95)?) - lufs(at(0.10)?))
    }

    /// The mean square of every run of so many tenths.
    fn means(&self, run: usize) -> impl Iterator<Item = f64> {
        self.tenths.windows(run).map(move |tenths| tenths.iter().sum::<f64>() / run as f64)
    }
}

/// The mean of those that are not below the gate.
fn mean_above(means: impl Iterator<Item = f64>, gate: f64) -> Option<f64> {
    let (count, sum) =
        means.filter(|mean| *mean >= gate).fold((0_u32, 0.0), |(count, sum), mean| (count + 1, sum + mean));
    (count > 0).then(|| sum / f64::from(count))
}

fn lufs(mean_square: f64) -> f64 {
    OFFSET + 10.0 * mean_square.log10()
}

fn energy(lufs: f64) -> f64 {
    10.0_f64.powf((lufs - OFFSET) / 10.0)
}

/// The K weighting of both channels: a shelf above 1.5 kHz, then a high pass at 38 Hz.
#[derive(Clone, Debug)]
struct Weighting {
    shelf: Biquad,
    high_pass: Biquad,
}

/// A filter of second order in transposed direct form II.
#[derive(Clone, Debug)]
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
    /// By channel: side by side they take the time of one.
    state: [[f64; 2]; 2],
}

impl Weighting {
    /// The filters of BS.1770-5, Annex 1, for any rate: the analogue prototypes that its tables for 48 kHz come from.
    fn new(rate: u32) -> Self {
        let warped = |hertz: f64| (PI * hertz / f64::from(rate)).tan();
        let (k, q) = (warped(1_681.974_450_955_533), 0.707_175_236_955_419_6);
        let high = 10.0_f64.powf(3.999_843_853_973_347 / 20.0);
        let middle = high.powf(0.499_666_774_154_541_6);
        let scale = 1.0 + k / q + k * k;
        let shelf = Biquad {
            b: [
                (high + middle * k / q + k * k) / scale,
                2.0 * (k * k - high) / scale,
                (high - middle * k / q + k * k) / scale,
            ],
            a: [2.0 * (k * k - 1.0) / scale, (1.0 - k / q + k * k) / scale],
            state: [[0.0; 2]; 2],
        };
        let (k, q) = (warped(38.135_470_876_024_44), 0.500_327_037_323_877_3);
        let scale = 1.0 + k / q + k * k;
        let high_pass = Biquad {
            b: [1.0, -2.0, 1.0],
            a: [2.0 * (k * k - 1.0) / scale, (1.0 - k / q + k * k) / scale],
            state: [[0.0; 2]; 2],
        };
        Self { shelf, high_pass }
    }

    #[inline]
    fn next(&mut self, frame: [f64; 2]) -> [f64; 2] {
        self.high_pass.next(self.shelf.next(frame))
    }

    /// Ends the decay in silence: numbers that near zero are slow to compute with.
    fn forget_what_is_inaudible(&mut self) {
        for state in self.shelf.state.iter_mut().chain(&mut self.high_pass.state).flatten() {
            if state.abs() < 1e-15 {
                *state = 0.0;
            }
        }
    }
}

impl Biquad {
    #[inline]
    fn next(&mut self, x: [f64; 2]) -> [f64; 2] {
        let Self { b, a, state: [first, second] } = self;
        let mut y = [0.0; 2];
        for channel in 0..2 {
            y[channel] = b[0] * x[channel] + first[channel];
            first[channel] = b[1] * x[channel] - a[0] * y[channel] + second[channel];
            second[channel] = b[2] * x[channel] - a[1] * y[channel];
        }
        y
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use ebur128::{EbuR128, Mode};
    use proptest::prelude::*;

    use super::*;

    fn measured(rate: u32, channels: usize, samples: &[f32]) -> Loudness {
        let mut meter = Meter::new(rate, channels);
        meter.add(samples);
        meter.finish()
    }

    fn sine(rate: u32, seconds: f64, hertz: f64, height: f64) -> Vec<f32> {
        let sample = |at: u32| (height * (TAU * hertz * f64::from(at) / f64::from(rate)).sin()) as f32;
        (0..(seconds * f64::from(rate)) as u32).flat_map(|at| [sample(at), sample(at)]).collect()
    }

    fn level(db: f64) -> f64 {
        10.0_f64.powf(db / 20.0)
    }

    /// Noise whose level changes every half second by a rule that is easily made.
    fn lively(rate: u32, seconds: usize) -> Vec<f32> {
        let mut random = 7_u32;
        let mut noise = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(random >> 8) / f64::from(1 << 23) - 1.0
        };
        let height = |at: usize| level(-6.0 - ((at / (rate as usize / 2)) * 7 % 45) as f64);
        (0..seconds * rate as usize)
            .flat_map(|at| [noise() * height(at), noise() * height(at) / 2.0])
            .map(|x| x as f32)
            .collect()
    }

    #[test]
    fn the_tones_of_tech_3341_measure_what_they_should() {
        let tone = |db: f64, seconds: f64| sine(48_000, seconds, 1_000.0, level(db));
        let cases: [(&[(f64, f64)], f64); 5] = [
            (&[(-23.0, 20.0)], -23.0),
            (&[(-33.0, 20.0)], -33.0),
            (&[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
            (&[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
            (&[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
        ];
        for (pieces, expected) in cases {
            let samples: Vec<f32> = pieces.iter().flat_map(|(db, seconds)| tone(*db, *seconds)).collect();
            let found = measured(48_000, 2, &samples).integrated(0.0).unwrap();
            assert!((found - expected).abs() < 0.1, "{pieces:?}: {found}");
        }
    }

    #[test]
    fn the_ranges_of_tech_3342_are_found() {
        let tone = |db: f64| sine(48_000, 20.0, 1_000.0, level(db));
        for (levels, expected) in
            [(&[-20.0, -30.0][..], 10.0), (&[-20.0, -15.0], 5.0), (&[-50.0, -35.0, -20.0, -35.0, -50.0], 15.0)]
        {
            let samples: Vec<f32> = levels.iter().flat_map(|db| tone(*db)).collect();
            let found = measured(48_000, 2, &samples).range().unwrap();
            assert!((found - expected).abs() < 1.0, "{levels:?}: {found}");
        }
    }

    #[test]
    fn another_meter_measures_the_same() {
        for rate in [22_050, 32_000, 44_100, 48_000] {
            for channels in [1, 2] {
                let samples: Vec<f32> = lively(rate, 40).into_iter().step_by(3 - channels).collect();
                let mut other = EbuR128::new(channels as u32, rate, Mode::I | Mode::S | Mode::LRA).unwrap();
                let mut short_term = f64::MIN;
                for tenth in samples.chunks(channels * rate as usize / 10) {
                    other.add_frames_f32(tenth).unwrap();
                    short_term = short_term.max(other.loudness_shortterm().unwrap());
                }
                let ours = measured(rate, channels, &samples);
                let close = |found: f64, wanted: f64, within: f64| {
                    assert!((found - wanted).abs() < within, "{rate} Hz, {channels}: {found} instead of {wanted}");
                };
                close(ours.integrated(0.0).unwrap(), other.loudness_global().unwrap(), 0.01);
                close(ours.short_term_max().unwrap(), short_term, 0.01);
                close(ours.range().unwrap(), other.loudness_range().unwrap(), 0.5);
            }
        }
    }

    #[test]
    fn the_loudness_at_a_gain_is_that_of_the_samples_at_that_gain() {
        let mut samples = lively(44_100, 20);
        samples.iter_mut().for_each(|sample| *sample *= 0.01);
        let ours = measured(44_100, 2, &samples);
        for gain in [-6.0, 0.0, 12.0, 40.0] {
            let louder: Vec<f32> = samples.iter().map(|sample| sample * level(gain) as f32).collect();
            let expected = measured(44_100, 2, &louder).integrated(0.0).unwrap();
            assert!((ours.integrated(gain).unwrap() - expected).abs() < 1e-4, "{gain}");
        }
        let gain = ours.gain_to(-16.0).unwrap();
        assert!((ours.integrated(gain).unwrap() + 16.0).abs() < 0.001, "{gain}");
        assert!(
            (gain + 16.0 + ours.integrated(0.0).unwrap()).abs() > 0.05,
            "the gate makes no difference: the test is blind"
        );
    }

    #[test]
    fn what_is_lowered_in_all_slices_is_as_much_quieter_and_what_is_not_stays() {
        let samples = lively(44_100, 20);
        let mut meter = Meter::new(44_100, 2).with_slices();
        meter.add(&samples);
        let ours = meter.finish();
        let integrated = |loudness: &Loudness| loudness.integrated(0.0).unwrap();
        let half = integrated(&ours.limited(|_| 0.5));
        assert!((half - ours.integrated(-6.020_6).unwrap()).abs() < 1e-3, "{half}");
        assert_eq!(integrated(&ours.limited(|_| 1.0)), integrated(&ours));
        // Every other slice of an even noise.
        let (even, mut count) = (sine(44_100, 5.0, 1_000.0, 0.5), 0);
        let mut meter = Meter::new(44_100, 2).with_slices();
        meter.add(&even);
        let ours = meter.finish();
        let thinned = integrated(&ours.limited(|_| {
            count += 1;
            f32::from(count % 2 == 0)
        }));
        assert!((integrated(&ours) - thinned - 3.01).abs() < 0.02, "{thinned}");
        assert_eq!(integrated(&measured(44_100, 2, &even).limited(|_| 0.0)), integrated(&ours), "without slices");
    }

    #[test]
    fn silence_and_what_is_too_short_have_none() {
        for samples in [vec![], vec![0.0; 88_200], sine(44_100, 0.35, 1_000.0, 0.5)] {
            let none = measured(44_100, 2, &samples);
            assert_eq!(
                (none.integrated(0.0), none.gain_to(-16.0), none.short_term_max(), none.range()),
                (None, None, None, None)
            );
        }
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_give_the_same(sizes in prop::collection::vec(1usize..9_000, 1..40)) {
            let samples = lively(22_050, 3);
            let mut meter = Meter::new(22_050, 2).with_slices();
            let (mut rest, mut sizes) = (&samples[..], sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(2 * sizes.next().unwrap()));
                meter.add(now);
                rest = later;
            }
            let (found, whole) = (meter.finish(), measured(22_050, 2, &samples));
            prop_assert_eq!(&found.tenths, &whole.tenths);
            prop_assert_eq!(found.slices.len(), SLICES * found.tenths.len());
            for (slices, tenth) in found.slices.chunks(SLICES).zip(&found.tenths) {
                let sum: f64 = slices.iter().map(|slice| f64::from(slice.energy)).sum();
                prop_assert!((sum / 2_205.0 - tenth).abs() < 1e-6 * tenth.max(1e-3), "{} {}", sum / 2_205.0, tenth);
            }
            let peaks = samples.chunks(2 * 2_205).flat_map(|tenth| (0..SLICES).map(|slice| {
                level::highest(&tenth[2 * (slice * 2_205 / SLICES)..2 * ((slice + 1) * 2_205 / SLICES)])
            }));
            prop_assert!(found.slices.iter().map(|slice| slice.peak).eq(peaks));
        }
    }
}
