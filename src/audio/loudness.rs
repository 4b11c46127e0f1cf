//! Loudness by EBU R128: ITU-R BS.1770-5 (K weighting, gated blocks), EBU Tech 3341 (short term) and 3342 (range).
//!
//! What is kept of an item is the energy of each tenth of a second, 0.3 MB an hour. The loudness at any gain follows from
//! these, and with the peaks of shorter slices what a limiter makes of it. Of slices there are no more than [`MOST_SLICES`],
//! 10 MB: hundredths of a second for three hours and twenty minutes, and longer ones in what is longer.

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
/// A tenth of a second has so many slices, and fewer each time that there would be too many of them.
const SLICES: [usize; 3] = [10, 5, 1];
/// There are no more slices, unless an item is longer than 33 hours.
const MOST_SLICES: usize = 1_200_000;

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
    /// Slices of a tenth.
    per_tenth: usize,
    most_slices: usize,
}

/// The energies of an item: the mean square of each whole tenth of a second, K-weighted, channels added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Loudness {
    tenths: Vec<f64>,
    /// As many for each tenth, or none at all.
    slices: Vec<Slice>,
}

/// A hundredth of a second, or a few of them.
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
        let per_tenth = SLICES[0];
        let (tenths, slices, most_slices) = (Vec::new(), None, MOST_SLICES);
        Self { channels, filter, tenth, filled: 0, sum: 0.0, tenths, slices, per_tenth, most_slices }
    }

    /// One that keeps what [`Loudness::limited`] wants.
    pub(super) fn with_slices(self) -> Self {
        debug_assert!(self.tenth >= SLICES[0]);
        Self { slices: Some(Vec::new()), ..self }
    }

    /// The same with so many slices at most.
    #[cfg(test)]
    pub(super) fn with_most_slices(self, most_slices: usize) -> Self {
        Self { most_slices, ..self.with_slices() }
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
                self.make_room();
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
        let (tenth, per_tenth) = (self.tenth, self.per_tenth);
        (0..per_tenth).map(move |slice| slice * tenth / per_tenth)
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
            Some(slice) => *slice = slice.with(Slice { energy, peak }),
            None => slices.push(Slice { energy, peak }),
        }
    }

    /// Puts slices together, whole tenths of them, where there is no room for those of another tenth.
    fn make_room(&mut self) {
        let (per_tenth, most) = (self.per_tenth, self.most_slices);
        let Some(slices) = self.slices.as_mut().filter(|slices| slices.len() + per_tenth > most) else { return };
        let Some(fewer) = SLICES.into_iter().find(|fewer| *fewer < per_tenth) else { return };
        let run = per_tenth / fewer;
        for at in 0..slices.len() / run {
            let whole = slices[at * run..(at + 1) * run].iter().copied().reduce(Slice::with);
            slices[at] = whole.unwrap_or(slices[at]);
        }
        slices.truncate(slices.len() / run);
        self.per_tenth = fewer;
    }

    /// What was measured.
    pub(super) fn finish(self) -> Loudness {
        let mut slices = self.slices.unwrap_or_default();
        slices.truncate(self.per_tenth * self.tenths.len());
        slices.shrink_to_fit();
        Loudness { tenths: self.tenths, slices }
    }
}

impl Slice {
    /// Both as one.
    fn with(self, next: Self) -> Self {
        Self { energy: self.energy + next.energy, peak: self.peak.max(next.peak) }
    }
}

impl Loudness {
    /// How many slices a second has; none where it was measured without.
    pub(super) fn slices_a_second(&self) -> f64 {
        10.0 * self.per_tenth() as f64
    }

    fn per_tenth(&self) -> usize {
        self.slices.len() / self.tenths.len().max(1)
    }

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
        Self {
            tenths: self.tenths.iter().zip(self.slices.chunks(self.per_tenth())).map(lowered).collect(),
            slices: Vec::new(),
        }
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
mod tests;
