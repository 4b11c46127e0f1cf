//! The passes over a source: the survey, and the replays of what it found.

use std::{
    borrow::Cow,
    io, mem,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{
    Error, Fingerprint, Flaws, Settings, Source, check,
    fingerprint::Taker,
    level::{Level, Setting, from_i16},
    measure::{Measured, Meter},
    pipe::{self, Outlet},
    shape::Shaper,
};

/// What the first pass finds out. Lengths and positions are samples per channel of the output.
pub(super) struct Survey<'a> {
    /// The levels of the source.
    pub(super) measured: Measured,
    /// What was odd, a sentence each.
    pub(super) warnings: Vec<String>,
    /// The same in figures, and what is wrong with the samples.
    pub(super) flaws: Flaws,
    /// What it sounds like.
    pub(super) fingerprint: Fingerprint,
    /// Samples that are encoded.
    range: Range<u64>,
    /// The PCM, if there is room for it.
    kept: Option<Kept<'a>>,
}

impl<'a> Survey<'a> {
    /// Runs through a source, and keeps its PCM if there is room for it.
    pub(super) fn of(
        source: &dyn Source,
        settings: &Settings,
        stop: &AtomicBool,
        room: &'a Room,
    ) -> Result<Self, Error> {
        let mut meter = Meter::of_source(settings);
        let mut taker = Taker::new(settings.rate, usize::from(settings.channels))?;
        let mut kept = Some(Kept { blocks: Vec::new(), held: Vec::new(), room });
        let shaped = |outlet: &mut Outlet<f32>| {
            let mut shaper = Shaper::inspecting(source.open()?, settings);
            pour(&mut shaper, outlet, stop)?;
            Ok(shaper.finish())
        };
        let mut found = pipe::run(shaped, |block| {
            meter.add(&block);
            taker.add(&block)?;
            kept = kept.take().and_then(|kept| kept.with(block));
            Ok(())
        })?;
        let measured = meter.finish();
        let range = encoded_range(&measured, settings)?;
        let warnings = mem::take(&mut found.warnings);
        let flaws = found.flaws(measured.loudness.integrated(0.0));
        Ok(Self { measured, warnings, flaws, fingerprint: taker.finish()?, range, kept })
    }

    /// How many samples of silence are left out in front.
    pub(super) fn lead(&self) -> u64 {
        self.range.start
    }

    /// How many samples are encoded.
    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether the PCM is kept.
    #[cfg(test)]
    pub(super) fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    /// Whether less is encoded than there is.
    pub(super) fn is_cut(&self) -> bool {
        self.len() != self.measured.samples
    }
}

/// Hands over all that a source gives.
fn pour(shaper: &mut Shaper<'_>, outlet: &mut Outlet<f32>, stop: &AtomicBool) -> Result<(), Error> {
    while let Some(block) = shaper.next()? {
        check(stop)?;
        outlet.give(block)?;
    }
    Ok(())
}

/// Which samples are encoded: all, or those between silence; half a second at least.
fn encoded_range(measured: &Measured, settings: &Settings) -> Result<Range<u64>, Error> {
    if measured.samples == 0 {
        return Err(Error::Format("no sample of it can be decoded".to_owned()));
    }
    let range = if settings.trim_silence { measured.audible.clone() } else { 0..measured.samples };
    let samples = range.end - range.start;
    let rate = u64::from(settings.rate);
    if samples * 2 < rate {
        return Err(Error::TooShort { millis: samples * 1_000 / rate });
    }
    Ok(range)
}

/// Room for PCM between the passes, shared by all items that are being made.
#[derive(Debug)]
pub(super) struct Room {
    bytes: AtomicUsize,
}

impl Room {
    /// Room for so many bytes.
    pub(super) const fn new(bytes: usize) -> Self {
        Self { bytes: AtomicUsize::new(bytes) }
    }

    /// So much of it, until that is dropped; `None` where there is less.
    pub(super) fn hold(&self, bytes: usize) -> Option<Held<'_>> {
        let less = |free: usize| free.checked_sub(bytes);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok().then(|| Held { bytes, room: self })
    }
}

/// Room that somebody has.
#[derive(Debug)]
pub(super) struct Held<'a> {
    bytes: usize,
    room: &'a Room,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.room.bytes.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The PCM of an item, and the room that its blocks have.
struct Kept<'a> {
    blocks: Vec<Samples>,
    held: Vec<Held<'a>>,
    room: &'a Room,
}

/// Interleaved samples, in 16 bits where they are no finer.
enum Samples {
    Whole(Vec<i16>),
    Float(Vec<f32>),
}

impl Samples {
    fn replayed(&self) -> Replayed<'_> {
        match self {
            Self::Whole(samples) => Replayed::Whole(samples),
            Self::Float(samples) => Replayed::Float(Cow::Borrowed(samples)),
        }
    }
}

impl Kept<'_> {
    /// Keeps a block more; gives everything up where there is no room.
    fn with(mut self, mut block: Vec<f32>) -> Option<Self> {
        if block.is_empty() {
            return Some(self);
        }
        let (samples, bytes) = match whole(&block) {
            Some(whole) => {
                let bytes = whole.capacity() * size_of::<i16>();
                (Samples::Whole(whole), bytes)
            }
            None => {
                block.shrink_to_fit();
                let bytes = block.capacity() * size_of::<f32>();
                (Samples::Float(block), bytes)
            }
        };
        self.held.push(self.room.hold(bytes)?);
        self.blocks.push(samples);
        Some(self)
    }
}

/// The samples in 16 bits, if none of them is lost.
fn whole(samples: &[f32]) -> Option<Vec<i16>> {
    let nearest = |sample: &f32| (sample * 32_768.0) as i16;
    let is_whole = |sample: &f32| from_i16(nearest(sample)) == *sample;
    // In two steps: a collection of options does not know its length, and takes up to twice the room.
    samples.iter().all(is_whole).then(|| samples.iter().map(nearest).collect())
}

/// Another pass: hands the samples to encode to `take`, block by block, from memory or decoded again on a thread beside.
pub(super) fn replay(
    survey: &Survey<'_>,
    source: &dyn Source,
    settings: &Settings,
    stop: &AtomicBool,
    mut take: impl FnMut(Replayed<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let channels = usize::from(settings.channels);
    let mut position = 0;
    let mut encoded = |block: Replayed<'_>| {
        check(stop)?;
        let len = (block.len() / channels) as u64;
        let within = |edge: u64| edge.saturating_sub(position).min(len) as usize * channels;
        let encoded = within(survey.range.start)..within(survey.range.end);
        position += len;
        take(block.cut(encoded))
    };
    match &survey.kept {
        Some(kept) => kept.blocks.iter().try_for_each(|samples| encoded(samples.replayed()))?,
        None => {
            let shaped =
                |outlet: &mut Outlet<f32>| pour(&mut Shaper::new(source.open_again()?, settings), outlet, stop);
            pipe::run(shaped, |block| encoded(Replayed::Float(Cow::Owned(block))))?;
        }
    }
    if position == survey.measured.samples { Ok(()) } else { Err(changed()) }
}

/// Interleaved samples of a replay.
pub(super) enum Replayed<'a> {
    Whole(&'a [i16]),
    Float(Cow<'a, [f32]>),
}

impl Replayed<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Whole(samples) => samples.len(),
            Self::Float(samples) => samples.len(),
        }
    }

    fn cut(self, range: Range<usize>) -> Self {
        match self {
            Self::Whole(samples) => Self::Whole(&samples[range]),
            Self::Float(Cow::Borrowed(samples)) => Self::Float(Cow::Borrowed(&samples[range])),
            Self::Float(Cow::Owned(mut samples)) => {
                samples.truncate(range.end);
                samples.drain(..range.start);
                Self::Float(Cow::Owned(samples))
            }
        }
    }

    /// The same as floating point.
    pub(super) fn to_float(&self) -> Cow<'_, [f32]> {
        match self {
            Self::Whole(samples) => samples.iter().copied().map(from_i16).collect(),
            Self::Float(samples) => Cow::Borrowed(samples),
        }
    }

    /// The same at a level.
    pub(super) fn levelled(&self, level: &mut Level) -> Vec<i16> {
        match self {
            Self::Whole(samples) => level.push_whole(samples),
            Self::Float(samples) => level.push(samples),
        }
    }
}

/// Another pass at a level: hands what is levelled to `take`, and gives the most that the level was lowered, in dB.
pub(super) fn levelled(
    survey: &Survey<'_>,
    source: &dyn Source,
    settings: &Settings,
    setting: Setting,
    stop: &AtomicBool,
    take: impl FnMut(Vec<i16>) -> Result<(), Error>,
) -> Result<f64, Error> {
    let level = |outlet: &mut Outlet<i16>| {
        let mut level = Level::new(settings, survey.len(), setting);
        replay(survey, source, settings, stop, |block| outlet.give(block.levelled(&mut level)))?;
        outlet.give(level.finish())?;
        Ok(level.reduction_db())
    };
    pipe::run(level, take)
}

fn changed() -> Error {
    Error::Read(io::Error::other("it changed while it was being encoded"))
}
