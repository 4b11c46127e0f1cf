//! The built-in generator: reggae from a seed, without samples, models or a network.
//!
//! Whoever drives a [`Generator`] knows seeds, positions and lengths; bars, beats and tempo stay in here. Two doors lead
//! in: [`programme`] gives finished pieces that are stored like recordings, [`SynthReggae`] an endless stream in
//! segments.
//!
//! A stretch of music is the sum of sounds placed by a score that can be asked for any bar, so every position can be
//! produced alone and in any order and comes out equal to the last bit. To that end all arithmetic is done with the
//! operations that IEEE 754 fixes (see `math`).

use std::sync::{Mutex, PoisonError};

mod drums;
mod instruments;
mod jingle;
mod math;
mod melody;
mod mix;
mod piece;
mod score;
mod song;
mod style;
mod timbre;
mod voice;

#[cfg(test)]
mod tests;

pub use self::{
    mix::Faders,
    piece::{ARTIST, Piece, PieceKind, TRACKS, programme},
};
use self::{
    mix::Mixer,
    score::{Score, Tempo},
};

/// Name of the built-in generator in receipts.
pub const GENERATOR: &str = "synth_reggae";

/// Its version: raised whenever the same seed gives other samples.
pub const GENERATOR_VERSION: u32 = 1;

/// Sample rates it works at, in hertz.
const RATES: std::ops::RangeInclusive<u32> = 22_050..=192_000;

/// Longest segment, in seconds.
const LONGEST_SECONDS: u32 = 600;

/// Why no music can be produced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sample rate is not one of those the generator works at.
    #[error("a sample rate of {0} Hz cannot be generated; it must be from 22050 to 192000")]
    Rate(u32),
    /// The tempo is not one of those the generator plays.
    #[error("a tempo of {0} beats a minute cannot be played; it must be from 60 to 100")]
    Tempo(u32),
    /// The segment is too short or too long.
    #[error("a segment of {samples} samples at {rate} Hz cannot be generated; it must last from 1 to 600 s")]
    Length {
        /// Samples asked for, per channel.
        samples: u32,
        /// Samples per second.
        rate: u32,
    },
    /// The position lies so far on that its samples cannot be counted.
    #[error("segment {0} lies beyond the end of time")]
    Position(u64),
}

/// What makes music from a seed and a position alone. Everything else is settled when it is constructed.
pub trait Generator {
    /// Produces segment `segment_index` of the stream of `seed`. A segment lasts `segment_samples` per channel; the
    /// stream is one in which all segments have that length, and the same three numbers always give the same samples.
    /// (Lengths are whole samples, so that segments add up without rounding.)
    ///
    /// # Errors
    /// If there is no such segment.
    fn produce(&self, seed: u64, segment_index: u64, segment_samples: u32) -> Result<Pcm, Error>;

    /// Like [`produce`](Self::produce), for generators whose next segment has to know how the last one ended:
    /// `prior_tail` is the end of the segment before, interleaved. Others ignore it.
    ///
    /// # Errors
    /// As [`produce`](Self::produce).
    fn produce_with_tail(
        &self,
        seed: u64,
        segment_index: u64,
        segment_samples: u32,
        prior_tail: Option<&[f32]>,
    ) -> Result<Pcm, Error> {
        let _ = prior_tail;
        self.produce(seed, segment_index, segment_samples)
    }
}

/// A segment as it is generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Pcm {
    /// The samples, channels interleaved, within ±1.
    pub samples: Vec<f32>,
    /// Samples per second.
    pub rate: u32,
    /// How many channels are interleaved.
    pub channels: u16,
    /// Where they come from.
    pub metadata: Metadata,
}

/// Where generated samples come from: what a receipt says of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Name of the generator.
    pub generator: &'static str,
    /// Its version.
    pub generator_version: u32,
    /// The seed.
    pub seed: u64,
    /// The position.
    pub segment_index: u64,
}

/// How the endless stream is to sound. Part of what decides the samples, with the seed and the position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Config {
    /// Samples per second.
    pub rate: u32,
    /// Quarter notes a minute to aim at: the tempo is the nearest at which beats fill a segment exactly.
    pub bpm: u32,
    /// Levels of the instruments.
    pub faders: Faders,
}

impl Default for Config {
    fn default() -> Self {
        Self { rate: 44_100, bpm: 76, faders: Faders::default() }
    }
}

/// The endless stream: session after session of reggae in one tempo.
#[derive(Debug)]
pub struct SynthReggae {
    config: Config,
    mixer: Mutex<Mixer>,
}

impl SynthReggae {
    /// A generator with everything but seed and position settled.
    ///
    /// # Errors
    /// [`Error::Rate`] or [`Error::Tempo`] if the configuration cannot be played.
    pub fn new(config: Config) -> Result<Self, Error> {
        check_rate(config.rate)?;
        if !(60..=100).contains(&config.bpm) {
            return Err(Error::Tempo(config.bpm));
        }
        Ok(Self { config, mixer: Mutex::new(Mixer::new(config.rate)) })
    }

    /// The tempo at which whole beats fill a segment: beats = length × bpm / 60, rounded.
    fn tempo(&self, segment_samples: u32) -> Tempo {
        let per_minute = u64::from(self.config.rate) * 60;
        let beats = (u64::from(segment_samples) * u64::from(self.config.bpm) + per_minute / 2) / per_minute;
        Tempo::of_beats(u64::from(segment_samples), beats.max(1))
    }
}

impl Generator for SynthReggae {
    fn produce(&self, seed: u64, segment_index: u64, segment_samples: u32) -> Result<Pcm, Error> {
        let rate = self.config.rate;
        if !(rate..=rate.saturating_mul(LONGEST_SECONDS)).contains(&segment_samples) {
            return Err(Error::Length { samples: segment_samples, rate });
        }
        let from = segment_index.checked_mul(u64::from(segment_samples)).filter(|&from| from < 1 << 62);
        let from = from.ok_or(Error::Position(segment_index))?;
        let score = Score::Endless { seed, tempo: self.tempo(segment_samples), rate };
        // What the mixer holds only saves time, so what a panic left behind is as good as any.
        let mut mixer = self.mixer.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = mixer.render(&score, &self.config.faders, from, segment_samples as usize);
        let metadata = Metadata { generator: GENERATOR, generator_version: GENERATOR_VERSION, seed, segment_index };
        Ok(Pcm { samples, rate, channels: 2, metadata })
    }
}

fn check_rate(rate: u32) -> Result<(), Error> {
    if RATES.contains(&rate) { Ok(()) } else { Err(Error::Rate(rate)) }
}
