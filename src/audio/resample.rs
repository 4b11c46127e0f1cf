//! From one sample rate to another, exact in length.

use audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use super::Error;

/// Frames of input that are turned at a time, at least.
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
            Fft::new_custom(from as usize, to as usize, chunk(from, to), 1, channels, window, FixedSync::Both)
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

/// A chunk that is an even number of the shortest runs that turn into whole frames. The filter's delay is half of what
/// a chunk turns into: only of an even number is that whole frames.
fn chunk(from: u32, to: u32) -> usize {
    let shortest = (from / greatest_common_divisor(from, to)) as usize;
    CHUNK.div_ceil(2 * shortest) * 2 * shortest
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Format(format!("it cannot be resampled: {error}"))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(rate: u32, frames: usize) -> Vec<f32> {
        let value = |at: usize, hertz: f64| (TAU * hertz * at as f64 / f64::from(rate)).sin() as f32 * 0.5;
        (0..frames).flat_map(|at| [value(at, 997.0), value(at, 1_499.0)]).collect()
    }

    fn resampled(from: u32, to: u32, input: &[f32], block: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to, 2).unwrap();
        let mut out = Vec::new();
        for samples in input.chunks(2 * block) {
            out.extend(resampler.push(samples.to_vec()).unwrap());
        }
        out.extend(resampler.finish().unwrap());
        out
    }

    #[test]
    fn lengths_are_exact_at_any_pair_of_rates() {
        for (from, to) in
            [(48_000, 44_100), (22_050, 44_100), (96_000, 44_100), (44_100, 48_000), (11_025, 48_000), (44_099, 44_100)]
        {
            for frames in [0, 1, 2, 159, 160, 4_159, 4_160, 4_161, 50_001] {
                let wanted = (frames * to as usize).div_ceil(from as usize);
                assert_eq!(
                    resampled(from, to, &tone(from, frames), 1_152).len(),
                    2 * wanted,
                    "{frames} of {from} to {to}"
                );
            }
        }
    }

    #[test]
    fn a_tone_stays_in_its_place() {
        for from in [48_000, 22_050, 96_000, 32_000, 8_000] {
            let out = resampled(from, 44_100, &tone(from, from as usize), 1_000);
            let wanted = tone(44_100, 44_100);
            let middle = 2 * 5_000..2 * 39_000;
            let error = out[middle.clone()].iter().zip(&wanted[middle]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 1e-5, "{from} Hz: {error}");
        }
    }

    #[test]
    fn blocks_of_any_size_give_the_same() {
        let input = tone(48_000, 20_000);
        assert_eq!(resampled(48_000, 44_100, &input, 77), resampled(48_000, 44_100, &input, 20_000));
    }

    #[test]
    fn equal_rates_are_a_copy() {
        let input = tone(44_100, 3_000);
        assert_eq!(resampled(44_100, 44_100, &input, 1_000), input);
    }
}
