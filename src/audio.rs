//! From recordings to segments: decode, resample, level, encode, cut, mux. CPU only; bytes and PCM in and out.
//!
//! The chain runs twice over a source. The survey counts the samples, measures and keeps the PCM when it is small;
//! the second pass levels, encodes and cuts. So no more of an item is in memory than 128 MiB and a segment a
//! rung, however long it is, and the bytes are the same either way.

use std::{
    io,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
};

use cut::Cut;
use level::Level;
use pass::{Replay, Survey};
use rung::Rung;

mod cut;
pub mod decode;
mod encode;
mod level;
mod measure;
mod mix;
mod mp4;
mod mpegts;
mod pass;
mod resample;
mod rung;
mod shape;
pub mod synth;
mod tags;

/// PCM of at most this size is kept between the passes; what is longer is decoded again.
const KEPT_BYTES: usize = 128 << 20;
/// No item is longer than this, in seconds.
const LONGEST: u64 = 24 * 3_600;
/// Samples per channel that are encoded between two looks at the stop flag: one AAC frame.
const STEP: usize = 1_024;

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
    /// Peak that no sample may exceed before it is encoded, in dBFS, whether or not there is a loudness target.
    pub peak_ceiling: f64,
    /// Whether silence at both ends is cut away.
    pub trim_silence: bool,
    /// Length of the fade at both ends in milliseconds.
    pub fade_ms: u32,
}

/// The bits per second that AAC-LC can have at `rate` samples per second with so many channels, as far as they are
/// wanted here. A frame of 1 024 samples has at most 6 144 bits for each channel (ISO/IEC 14496-3, decoder input buffer).
pub fn bitrates(rate: u32, channels: u8) -> RangeInclusive<u32> {
    16_000..=(6 * rate * u32::from(channels)).min(320_000)
}

/// Where PCM comes from. Opened once for each pass.
pub trait Source: Sync {
    /// Starts from the beginning.
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error>;
}

/// PCM as it is decoded.
pub trait Stream {
    /// The next block, or `None` at the end. A block may be empty: the chain looks at the stop flag between blocks.
    fn next(&mut self) -> Result<Option<Block>, Error>;

    /// What was odd about the source so far, a sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A run of interleaved samples of one format.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Samples per second.
    pub rate: u32,
    /// How many channels are interleaved: 1 or 2. A source with more mixes them down itself.
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

/// Encodes one item and hands each segment to `sink` as soon as it is cut: in order, and for each part rung by rung.
pub fn encode(
    source: &dyn Source,
    settings: &Settings,
    stop: &AtomicBool,
    sink: &mut dyn FnMut(Part) -> io::Result<()>,
) -> Result<Encoded, Error> {
    encode_keeping(source, settings, stop, sink, KEPT_BYTES)
}

/// The same, keeping PCM of at most `kept_bytes` between the passes.
fn encode_keeping(
    source: &dyn Source,
    settings: &Settings,
    stop: &AtomicBool,
    sink: &mut dyn FnMut(Part) -> io::Result<()>,
    kept_bytes: usize,
) -> Result<Encoded, Error> {
    check_settings(settings)?;
    let survey = Survey::of(source, settings, stop, kept_bytes)?;
    let samples = survey.len();
    let cut = Cut::new(samples, settings.rate, settings.segment_seconds);
    let level = Level::new(settings, samples, survey.loudness, survey.peak);
    let encoded = Encoded {
        samples: cut.samples(),
        loudness: survey.loudness,
        peak: survey.peak.map(level::to_db),
        gain: level.gain_db(),
        warnings: survey.warnings.clone(),
    };
    let open = |(index, bitrate): (usize, &u32)| Rung::open(index, settings, *bitrate, cut);
    let mut rungs = settings.bitrates.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;

    let mut replay = Replay::new(survey, source, settings)?;
    let channels = usize::from(settings.channels);
    let mut at = 0;
    while let Some(block) = replay.next()? {
        check(stop)?;
        let pcm = level.apply(at, &block);
        at += (block.len() / channels) as u64;
        for step in pcm.chunks(STEP * channels) {
            check(stop)?;
            rungs.iter_mut().try_for_each(|rung| rung.feed(step, sink))?;
        }
    }
    rungs.into_iter().try_for_each(|rung| rung.finish(sink))?;
    Ok(encoded)
}

/// Refuses what no encoder can be set to. Rates and bitrates are the encoder's to refuse.
fn check_settings(settings: &Settings) -> Result<(), Error> {
    let Settings { segment_seconds, rate, channels, bitrates, .. } = settings;
    if *segment_seconds == 0 || *rate == 0 || !(1..=2).contains(channels) || bitrates.is_empty() {
        return Err(Error::Encoder(format!("settings out of range: {settings:?}")));
    }
    Ok(())
}

fn check(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
