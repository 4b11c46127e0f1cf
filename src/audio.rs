//! From recordings to segments: decode, resample, level, encode, cut, mux. CPU only; bytes and PCM in and out.

pub mod synth;

use std::{io, sync::atomic::AtomicBool};

/// What shapes the bytes of every segment. A change of any of these makes other segments.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Nominal length of a segment in seconds; no part of an item is longer.
    pub segment_seconds: u32,
    /// Samples per second of the output.
    pub rate: u32,
    /// Channels of the output: 1 or 2.
    pub channels: u8,
    /// Bits per second of each rung; the first is the default one.
    pub bitrates: Vec<u32>,
    /// Integrated loudness to reach in LUFS (EBU R128), or none to leave the level alone.
    pub loudness_target: Option<f64>,
    /// Peak that no sample may exceed, in dBFS.
    pub peak_ceiling: f64,
    /// Whether silence at both ends is cut away.
    pub trim_silence: bool,
    /// Length of the fade at both ends in milliseconds.
    pub fade_ms: u32,
}

/// Where PCM comes from. Opened once for each pass.
pub trait Source: Sync {
    /// Starts from the beginning.
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error>;
}

/// PCM as it is decoded.
pub trait Stream {
    /// The next block, or `None` at the end.
    fn next(&mut self) -> Result<Option<Block>, Error>;
}

/// A run of interleaved samples of one format.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Samples per second.
    pub rate: u32,
    /// How many channels are interleaved.
    pub channels: u16,
    /// The samples, nominally within ±1.
    pub samples: Vec<f32>,
}

/// One finished segment of one rung.
#[derive(Debug)]
pub struct Part {
    /// Index into [`Settings::bitrates`].
    pub rung: usize,
    /// Index of the segment in its item.
    pub part: u32,
    /// Its length in samples per channel, a multiple of 1 024.
    pub samples: u32,
    /// The MPEG transport stream.
    pub bytes: Vec<u8>,
}

/// What is known of an item once it is encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    /// Length of the output in samples per channel: the sum over its parts.
    pub samples: u64,
    /// Integrated loudness of the source in LUFS, if it has any.
    pub loudness: Option<f64>,
    /// Highest sample of the source in dBFS, if it is not silent.
    pub peak: Option<f64>,
    /// The gain applied, in dB.
    pub gain: f64,
    /// What was odd about the source: muted frames, decode errors, a length that is not the declared one.
    pub warnings: Vec<String>,
}

/// Why an item cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the source: {0}")]
    Read(#[source] io::Error),
    /// The file holds nothing that can be decoded.
    #[error("not a recording that can be decoded: {0}")]
    Format(String),
    /// There are samples, but too few to air.
    #[error("only {millis} ms of audio; an item must last at least 500 ms")]
    TooShort {
        /// What there is, in milliseconds.
        millis: u64,
    },
    /// The encoder refused something.
    #[error("the AAC encoder failed: {0}")]
    Encoder(String),
    /// A segment could not be handed on.
    #[error("cannot store a segment: {0}")]
    Sink(#[source] io::Error),
    /// The work was asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Encodes one item and hands each segment to `sink` as soon as it is cut, rung by rung and in order within a rung.
pub fn encode(
    _source: &dyn Source,
    _settings: &Settings,
    _stop: &AtomicBool,
    _sink: &mut dyn FnMut(Part) -> io::Result<()>,
) -> Result<Encoded, Error> {
    Err(Error::Stopped)
}
