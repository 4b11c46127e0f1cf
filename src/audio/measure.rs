//! The first pass: how long, how loud, how high, and where it is audible.

use std::ops::Range;

use ebur128::{EbuR128, Mode};

use super::{Error, Settings};

/// Quieter than this is silence when the ends are trimmed: −60 dBFS.
const SILENCE: f32 = 0.001;

/// Measures PCM of the output's format: EBU R128 integrated loudness and the highest sample.
pub(super) struct Meter {
    r128: EbuR128,
    channels: usize,
    samples: u64,
    peak: f32,
    audible: Option<Range<u64>>,
}

impl Meter {
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let r128 = EbuR128::new(u32::from(settings.channels), settings.rate, Mode::I).map_err(failed)?;
        Ok(Self { r128, channels: usize::from(settings.channels), samples: 0, peak: 0.0, audible: None })
    }

    /// Takes interleaved samples. Silence at the ends needs no trimming here: R128's gate leaves it out.
    pub(super) fn add(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.r128.add_frames_f32(samples).map_err(failed)?;
        for frame in samples.chunks_exact(self.channels) {
            let height = frame.iter().fold(0.0_f32, |height, sample| height.max(sample.abs()));
            self.peak = self.peak.max(height);
            self.samples += 1;
            if height > SILENCE {
                let audible = self.audible.get_or_insert(self.samples - 1..0);
                audible.end = self.samples;
            }
        }
        Ok(())
    }

    /// Samples per channel.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Integrated loudness in LUFS, unless all of it is silence.
    pub(super) fn loudness(&self) -> Option<f64> {
        self.r128.loudness_global().ok().filter(|loudness| loudness.is_finite())
    }

    /// The highest sample, linear, unless all of it is silence.
    pub(super) fn peak(&self) -> Option<f64> {
        (self.peak > 0.0).then_some(f64::from(self.peak))
    }

    /// From the first audible sample to the last; empty when all of it is silence.
    pub(super) fn audible(&self) -> Range<u64> {
        self.audible.clone().unwrap_or(0..0)
    }
}

fn failed(error: ebur128::Error) -> Error {
    Error::Format(format!("its loudness cannot be measured: {error}"))
}
