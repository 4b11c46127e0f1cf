//! From one sample rate to another, exact in length.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use super::Error;

/// Frames of input that are turned at a time, roughly.
const CHUNK: usize = 4_096;

/// A resampler of interleaved frames. n frames become ceil(n · to / from), without delay; equal rates are a copy.
pub(super) struct Resampler {
    fft: Option<Fft<f32>>,
    from: u32,
    to: u32,
    channels: usize,
    waiting: Vec<f32>,
    /// Frames that came in.
    taken: u64,
    /// Frames that went out.
    given: u64,
    /// Frames of the filter's delay that are still to be dropped.
    delay: usize,
}

impl Resampler {
    pub(super) fn new(from: u32, to: u32, channels: usize) -> Result<Self, Error> {
        let fft = (from != to).then(|| {
            let window = WindowFunction::BlackmanHarris2;
            Fft::new_custom(from as usize, to as usize, CHUNK, 2, channels, window, FixedSync::Both)
        });
        let fft = fft.transpose().map_err(|error| Error::Format(format!("{from} Hz cannot be resampled: {error}")))?;
        let delay = fft.as_ref().map_or(0, |fft| fft.output_delay());
        Ok(Self { fft, from, to, channels, waiting: Vec::new(), taken: 0, given: 0, delay })
    }

    /// The rate of the input.
    pub(super) fn from(&self) -> u32 {
        self.from
    }

    /// Takes frames and gives those that are ready.
    pub(super) fn push(&mut self, samples: Vec<f32>) -> Result<Vec<f32>, Error> {
        if self.fft.is_none() {
            return Ok(samples);
        }
        self.taken += (samples.len() / self.channels) as u64;
        self.waiting.extend(samples);
        let mut out = Vec::new();
        self.turn(&mut out)?;
        Ok(out)
    }

    /// Gives the rest.
    pub(super) fn finish(mut self) -> Result<Vec<f32>, Error> {
        let mut out = Vec::new();
        let wanted = (self.taken * u64::from(self.to)).div_ceil(u64::from(self.from));
        while self.given < wanted {
            let Some(fft) = &self.fft else { break };
            self.waiting.resize(fft.input_frames_next() * self.channels, 0.0);
            self.turn(&mut out)?;
        }
        let surplus = self.given.saturating_sub(wanted) as usize;
        out.truncate(out.len() - surplus * self.channels);
        Ok(out)
    }

    /// Turns every whole chunk that waits.
    fn turn(&mut self, out: &mut Vec<f32>) -> Result<(), Error> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let mut used = 0;
        loop {
            let (frames_in, frames_out) = (fft.input_frames_next(), fft.output_frames_next());
            let Some(chunk) = self.waiting.get(used..used + frames_in * self.channels) else { break };
            let mut turned = vec![0.0; frames_out * self.channels];
            let input = InterleavedSlice::new(chunk, self.channels, frames_in).map_err(failed)?;
            let mut output = InterleavedSlice::new_mut(&mut turned, self.channels, frames_out).map_err(failed)?;
            let (_, made) = fft.process_into_buffer(&input, &mut output, None).map_err(failed)?;
            used += frames_in * self.channels;
            let dropped = self.delay.min(made);
            self.delay -= dropped;
            self.given += (made - dropped) as u64;
            out.extend_from_slice(&turned[dropped * self.channels..made * self.channels]);
        }
        self.waiting.drain(..used);
        Ok(())
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Format(format!("it cannot be resampled: {error}"))
}
