//! Arithmetic that gives the same bits on every machine: only + − × ÷, floor and square root, which IEEE 754 fixes.
//! The platform's `sin`, `exp` and `pow` differ between libraries and are not used anywhere in the generator.

use std::{
    f64::consts::{LN_2, LOG2_E, TAU},
    sync::LazyLock,
};

/// Binary logarithm of 1 000: how many halvings make −60 dB.
const LOG2_1000: f64 = 9.965_784_284_662_087;

/// Samples of one period of a [`Table`]; a power of two.
const PERIOD: usize = 2048;
const FRACTION_BITS: u32 = 32 - PERIOD.trailing_zeros();

/// How far apart in phase neighbouring harmonics are, so that they do not add up to one sharp edge (Schroeder, 1970).
const SPREAD: usize = 150;

static SINE: LazyLock<Vec<f32>> =
    LazyLock::new(|| (0..PERIOD).map(|i| sine(i as f64 / PERIOD as f64) as f32).collect());

/// Pseudo-random numbers (splitmix64): a stream of its own for every list of numbers it is made from.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(parts: &[u64]) -> Self {
        let mut random = Self(0x6970_6673_7261_6469);
        for part in parts {
            random.0 ^= part;
            random.0 = random.next();
        }
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `limit`, which is at least 1.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        (((self.next() >> 32) * u64::from(limit)) >> 32) as u32
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// From −1 up to, but not including, 1.
    pub(super) fn noise(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u32 + 1) as usize);
        }
    }
}

/// Sine of an angle given in turns; the error is below 1e-11.
pub(super) fn sine(turns: f64) -> f64 {
    let wrapped = turns - (turns + 0.5).floor();
    let folded = match wrapped {
        w if w > 0.25 => 0.5 - w,
        w if w < -0.25 => -0.5 - w,
        w => w,
    };
    let x = folded * TAU;
    let s = x * x;
    let rest = 1.0 - s / 110.0 * (1.0 - s / 156.0 * (1.0 - s / 210.0));
    x * (1.0 - s / 6.0 * (1.0 - s / 20.0 * (1.0 - s / 42.0 * (1.0 - s / 72.0 * rest))))
}

/// Two to the power `x`, for |x| ≤ 1 000; the relative error is below 1e-12.
pub(super) fn exp2(x: f64) -> f64 {
    let whole = (x.clamp(-1000.0, 1000.0) + 0.5).floor();
    let f = (x.clamp(-1000.0, 1000.0) - whole) * LN_2;
    let series = (1..=12).rev().fold(1.0, |sum, n| 1.0 + f / f64::from(n) * sum);
    f64::from_bits(((whole as i64 + 1023) as u64) << 52) * series
}

/// Frequency of a MIDI note number in hertz, equal temperament on A4 = 440 Hz.
pub(super) fn hertz(note: f64) -> f64 {
    440.0 * exp2((note - 69.0) / 12.0)
}

/// The factor by which a level falls every sample so that it loses 60 dB in `seconds`.
pub(super) fn decay(seconds: f64, rate: f64) -> f32 {
    exp2(-LOG2_1000 / (seconds * rate)) as f32
}

/// The share of the way a one-pole filter with this cutoff goes every sample.
pub(super) fn one_pole(cutoff_hertz: f64, rate: f64) -> f32 {
    (1.0 - exp2(-TAU * LOG2_E * cutoff_hertz / rate)) as f32
}

/// From 0 to 1 along an S, flat at both ends.
pub(super) fn smooth(x: f32) -> f32 {
    let x = x.clamp(0.0, 1.0);
    x * x * (3.0 - 2.0 * x)
}

/// One period of a waveform, made of sines.
#[derive(Debug)]
pub(super) struct Table(Vec<f32>);

impl Table {
    /// The sum of the harmonics with these levels (the first is the fundamental) that stay below `limit_hertz` when it
    /// is played at `pitch_hertz`, so that nothing folds back.
    pub(super) fn new(levels: &[f32], pitch_hertz: f64, limit_hertz: f64) -> Self {
        let mut samples = vec![0.0; PERIOD + 1];
        for (i, &level) in levels.iter().enumerate() {
            let harmonic = i + 1;
            if harmonic as f64 * pitch_hertz >= limit_hertz {
                break;
            }
            for (at, sample) in samples.iter_mut().enumerate() {
                *sample += level * SINE[(at * harmonic + i * harmonic * SPREAD) % PERIOD];
            }
        }
        Self(samples)
    }

    pub(super) fn sine() -> Self {
        Self::new(&[1.0], 0.0, 1.0)
    }

    fn at(&self, phase: u32) -> f32 {
        let index = (phase >> FRACTION_BITS) as usize;
        let part = (phase & ((1 << FRACTION_BITS) - 1)) as f32 / (1_u32 << FRACTION_BITS) as f32;
        self.0[index] + (self.0[index + 1] - self.0[index]) * part
    }
}

/// Where an oscillator is in its period, as a fraction of 2³².
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Phase(u32);

impl Phase {
    /// How far an oscillator goes every sample.
    pub(super) fn step(hertz: f64, rate: f64) -> f64 {
        hertz / rate * 4_294_967_296.0
    }

    /// The value here, then one step on.
    pub(super) fn read(&mut self, table: &Table, step: f64) -> f32 {
        let value = table.at(self.0);
        self.0 = self.0.wrapping_add(step as u32);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_and_powers_are_those_of_the_library() {
        for i in -4000..4000 {
            let x = f64::from(i) / 777.0;
            assert!((sine(x) - (x * TAU).sin()).abs() < 1e-10, "sine of {x} turns");
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-12, "2^{x}");
        }
        assert!((hertz(69.0) - 440.0).abs() < 1e-9 && (hertz(57.0) - 220.0).abs() < 1e-9);
        assert!((f64::from(decay(1.0, 1000.0)).powi(1000) - 1e-3).abs() < 1e-6);
    }

    #[test]
    fn random_numbers_are_splitmix64_and_spread() {
        // Reference output of splitmix64 for state 0 (Vigna, prng.di.unimi.it/splitmix64.c).
        assert_eq!(Random(0).next(), 0xE220_A839_7B1D_CDAF);
        let mut random = Random::of(&[1, 2]);
        assert_ne!(random.next(), Random::of(&[2, 1]).next());
        let mean = (0..10_000).map(|_| random.noise()).sum::<f32>() / 10_000.0;
        assert!(mean.abs() < 0.03);
        assert!((0..1000).all(|_| random.below(7) < 7));
    }

    #[test]
    fn a_table_leaves_out_what_would_fold_back() {
        let full = Table::new(&[1.0, 1.0], 100.0, 1000.0);
        let cut = Table::new(&[1.0, 1.0], 600.0, 1000.0);
        let power = |table: &Table| table.0[..PERIOD].iter().map(|x| x * x).sum::<f32>() / PERIOD as f32;
        assert!((power(&full) - 1.0).abs() < 1e-3 && (power(&cut) - 0.5).abs() < 1e-3);
    }
}
