//! From recordings to segments: decode, resample, level, encode, cut, mux. CPU only; bytes and PCM in and out.
//!
//! The chain runs twice over a source, and more often where a limiter has to be tried. The survey counts the samples,
//! measures and keeps the PCM while there is room; the last pass levels, encodes and cuts, section by section, on each core
//! that is left. So no more is in memory than 84 MiB of PCM for all items together, and 40 MiB that other cores work at; and for
//! each up to three sections that are encoded, of 0.8 MB with one rung of 128 kb/s, and 10 MB of what was measured, with 0.3 MB
//! for each of its hours, and 1 MB on the way from one thread to the next; and the bytes are the same either way.

use std::{
    io,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

pub use audition::audition;
pub use cores::Cores;
use cut::Cut;
pub use fingerprint::Fingerprint;
pub use flaws::Flaws;
use master::Master;
use pass::{Room, Survey, levelled};
use rung::Rungs;
use section::{Common, Plan};

mod audition;
mod cores;
mod cut;
pub mod decode;
mod encode;
pub mod excerpt;
mod fingerprint;
mod flaws;
mod forecast;
mod foreign;
#[cfg(any(test, feature = "fuzz"))]
pub(crate) mod fuzz;
mod legacy;
mod level;
mod limiter;
mod loudness;
mod master;
mod matroska;
mod measure;
mod mix;
mod mp4;
mod mpegts;
mod pass;
mod pipe;
mod probe;
mod resample;
mod rung;
mod section;
mod shape;
pub mod synth;
mod tags;
mod true_peak;
#[cfg(any(test, feature = "fuzz"))]
mod ts;

/// PCM of at most this size is kept between the passes, of all items together; what does not fit is decoded again.
const KEPT_BYTES: usize = 84 << 20;
/// The room for it.
static ROOM: Room = Room::new(KEPT_BYTES);
/// No item is longer than this, in seconds.
pub(crate) const LONGEST: u64 = 24 * 3_600;
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
    /// What the loudness of a recording is taken from.
    pub reference: Reference,
    /// True peak that nothing may exceed before it is encoded, in dBTP, whether or not there is a loudness target.
    pub peak_ceiling: f64,
    /// Whether silence at both ends is cut away.
    pub trim_silence: bool,
    /// Length of the fade at both ends in milliseconds.
    pub fade_ms: u32,
}

/// What the loudness of a recording is taken from. Where the tags say nothing it is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reference {
    /// It is measured.
    #[default]
    Track,
    /// The album's loudness as the recording's tags state it, so that the tracks of an album differ as they did.
    Album,
    /// The recording's loudness as its tags state it.
    ReplayGain,
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

    /// The same once more: what was checked the first time need not be checked again.
    fn open_again(&self) -> Result<Box<dyn Stream + '_>, Error> {
        self.open()
    }

    /// What its tags state of its loudness, in LUFS; nothing for [`Reference::Track`].
    fn stated_loudness(&self, _reference: Reference) -> Option<f64> {
        None
    }
}

/// PCM as it is decoded.
pub trait Stream {
    /// The next block, or `None` at the end. A block may be empty: the chain looks at the stop flag between blocks.
    fn next(&mut self) -> Result<Option<Block>, Error>;

    /// What was odd about the source so far, a sentence each.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// The same in figures, as far as it is known here: what is lost, what cannot be decoded, what was clipped in more than two
    /// channels, and whether its ends are known.
    fn flaws(&self) -> Flaws {
        Flaws::default()
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
    /// How much silence was cut off its beginning, in samples per channel of the output.
    pub lead: u64,
    /// Its levels, and what is wrong with its source.
    pub mastered: Mastered,
    /// What its source sounds like.
    pub fingerprint: Fingerprint,
}

/// What was done to an item and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mastered {
    /// How loud and how high it was and is.
    pub levels: Levels,
    /// What is wrong or odd about the source, in figures.
    pub flaws: Flaws,
    /// What was odd, in words: muted frames, decode errors, a length that is not the declared one, a target out of reach.
    pub warnings: Vec<String>,
}

/// The levels of an item before and behind gain and limiter, by EBU R128 and ITU-R BS.1770.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// Integrated loudness of the source in LUFS, if it has any.
    pub loudness: Option<f64>,
    /// Loudness range of the source in LU, if it lasts three seconds.
    pub range: Option<f64>,
    /// Highest short-term loudness (3 s) of the source in LUFS, if it lasts as long.
    pub short_term_max: Option<f64>,
    /// Highest sample of the source in dBFS, if it is not silent.
    pub peak: Option<f64>,
    /// True peak of the source in dBTP, if it is not silent.
    pub true_peak: Option<f64>,
    /// The gain applied, in dB.
    pub gain: f64,
    /// The most that the limiter lowers the level, in dB.
    pub reduction: f64,
    /// Integrated loudness of what is encoded, in LUFS, if it has any.
    pub output_loudness: Option<f64>,
    /// True peak of what is encoded, in dBTP, if it is not silent.
    pub output_true_peak: Option<f64>,
    /// How many LU are missing from the target, if it is out of reach of gain and limiter.
    pub below_target: Option<f64>,
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

/// Encodes one item and hands each segment to `sink` as soon as it is cut: in order, and for each part rung by rung. Of the
/// `cores` it takes one, and what is left of them helps; the bytes are the same in any case.
pub fn encode(
    source: &dyn Source,
    settings: &Settings,
    cores: &Cores,
    stop: &AtomicBool,
    sink: &mut dyn FnMut(Part) -> io::Result<()>,
) -> Result<Encoded, Error> {
    encode_keeping(source, settings, cores, stop, sink, &ROOM)
}

/// The same, keeping PCM between the passes as far as there is room.
fn encode_keeping(
    source: &dyn Source,
    settings: &Settings,
    cores: &Cores,
    stop: &AtomicBool,
    sink: &mut dyn FnMut(Part) -> io::Result<()>,
    room: &Room,
) -> Result<Encoded, Error> {
    check_settings(settings)?;
    let _one = cores.take();
    let survey = Survey::of(source, settings, stop, room)?;
    let cut = Cut::new(survey.len(), settings.rate, settings.segment_seconds);
    let master = Master::of(&survey, source, settings, stop)?;
    let step = STEP * usize::from(settings.channels);
    thread::scope(|scope| {
        let mut rungs = Rungs::new(Common { scope, settings, cores, stop }, cut, Plan::new(cut));
        levelled(&survey, source, settings, master.setting, stop, |pcm| {
            pcm.chunks(step).try_for_each(|step| {
                check(stop)?;
                rungs.feed(step, sink)
            })
        })?;
        rungs.finish(sink)
    })?;
    let (mastered, fingerprint) = (mastered(&survey, &master), survey.fingerprint.clone());
    Ok(Encoded { samples: cut.samples(), lead: survey.lead(), mastered, fingerprint })
}

fn mastered(survey: &Survey<'_>, master: &Master) -> Mastered {
    let warnings = survey.warnings.iter().cloned().chain(master.warning()).collect();
    Mastered { levels: levels(survey, master), flaws: survey.flaws.clone(), warnings }
}

fn levels(survey: &Survey<'_>, master: &Master) -> Levels {
    let source = &survey.measured;
    Levels {
        loudness: source.loudness.integrated(0.0),
        range: source.loudness.range(),
        short_term_max: source.loudness.short_term_max(),
        peak: source.peak,
        true_peak: source.true_peak,
        gain: master.setting.gain_db,
        reduction: master.reduction_db,
        output_loudness: master.loudness,
        output_true_peak: master.true_peak,
        below_target: master.below_target,
    }
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
