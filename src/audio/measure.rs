//! The levels of PCM: how long, how loud, how high, and where it is audible.

use std::ops::Range;

use super::{
    Settings, level,
    loudness::{self, Loudness},
    true_peak::TruePeak,
};

/// Quieter than this is silence when the ends are trimmed: −60 dBFS.
const SILENCE: f32 = 0.001;

/// Measures PCM of the output's format.
pub(super) struct Meter {
    loudness: loudness::Meter,
    true_peak: TruePeak,
    channels: usize,
    samples: u64,
    peak: f32,
    audible: Option<Range<u64>>,
}

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Measured {
    /// Samples per channel.
    pub(super) samples: u64,
    pub(super) loudness: Loudness,
    /// The highest sample in dBFS, unless all of it is silence.
    pub(super) peak: Option<f64>,
    /// The highest value at and between the samples in dBTP, unless all of it is silence.
    pub(super) true_peak: Option<f64>,
    /// From the first audible sample to the last; empty when all of it is silence.
    pub(super) audible: Range<u64>,
}

impl Meter {
    pub(super) fn new(settings: &Settings) -> Self {
        let channels = usize::from(settings.channels);
        Self {
            loudness: loudness::Meter::new(settings.rate, channels),
            true_peak: TruePeak::new(channels),
            channels,
            samples: 0,
            peak: 0.0,
            audible: None,
        }
    }

    /// One of a source, from which it can be forecast what a limiter makes of it.
    pub(super) fn of_source(settings: &Settings) -> Self {
        let meter = Self::new(settings);
        if settings.loudness_target.is_none() {
            return meter;
        }
        Self { loudness: meter.loudness.with_slices(), ..meter }
    }

    /// Takes interleaved samples.
    pub(super) fn add(&mut self, samples: &[f32]) {
        self.loudness.add(samples);
        let highest = level::highest(samples);
        self.peak = self.peak.max(highest);
        self.true_peak.add(samples, highest);
        let frames = (samples.len() / self.channels) as u64;
        if highest > SILENCE {
            let is_audible = |frame: &[f32]| frame.iter().any(|sample| sample.abs() > SILENCE);
            let mut each = samples.chunks_exact(self.channels);
            let first = || samples.chunks_exact(self.channels).position(is_audible).unwrap_or_default() as u64;
            let audible = self.audible.get_or_insert_with(|| self.samples + first()..0);
            audible.end = self.samples + each.rposition(is_audible).map_or(frames, |last| last as u64 + 1);
        }
        self.samples += frames;
    }

    /// The figures.
    pub(super) fn finish(self) -> Measured {
        let db = |height: f32| (height > 0.0).then(|| level::to_db(f64::from(height)));
        Measured {
            samples: self.samples,
            loudness: self.loudness.finish(),
            peak: db(self.peak),
            true_peak: db(self.true_peak.finish()),
            audible: self.audible.unwrap_or(0..0),
        }
    }
}
