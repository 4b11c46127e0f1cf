//! The two passes over a source: the survey, and the replay of what it found.

use std::{io, ops::Range, sync::atomic::AtomicBool, vec};

use super::{Error, Settings, Source, check, measure::Meter, shape::Shaper};

/// What the first pass finds out. Lengths and positions are samples per channel of the output.
pub(super) struct Survey {
    /// Integrated loudness in LUFS, unless all is silence.
    pub(super) loudness: Option<f64>,
    /// The highest sample, linear, unless all is silence.
    pub(super) peak: Option<f64>,
    /// What was odd, a sentence each.
    pub(super) warnings: Vec<String>,
    /// Samples of the source.
    samples: u64,
    /// Those that are encoded.
    range: Range<u64>,
    /// The PCM, if it is small enough to keep.
    kept: Option<Vec<Vec<f32>>>,
}

impl Survey {
    /// Runs through a source, and keeps its PCM unless that takes more than `kept_bytes`.
    pub(super) fn of(
        source: &dyn Source,
        settings: &Settings,
        stop: &AtomicBool,
        kept_bytes: usize,
    ) -> Result<Self, Error> {
        let mut shaper = Shaper::new(source.open()?, settings);
        let mut meter = Meter::new(settings)?;
        let mut kept = Some(Vec::new());
        let mut bytes = 0;
        while let Some(block) = shaper.next()? {
            check(stop)?;
            meter.add(&block)?;
            bytes += size_of_val(&block[..]);
            if bytes > kept_bytes {
                kept = None;
            }
            if let Some(blocks) = kept.as_mut().filter(|_| !block.is_empty()) {
                blocks.push(block);
            }
        }
        Ok(Self {
            loudness: meter.loudness(),
            peak: meter.peak(),
            warnings: shaper.warnings(),
            samples: meter.samples(),
            range: encoded_range(&meter, settings)?,
            kept,
        })
    }

    /// How many samples are encoded.
    pub(super) fn len(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Which samples are encoded: all, or those between silence; half a second at least.
fn encoded_range(meter: &Meter, settings: &Settings) -> Result<Range<u64>, Error> {
    if meter.samples() == 0 {
        return Err(Error::Format("no sample of it can be decoded".to_owned()));
    }
    let range = if settings.trim_silence { meter.audible() } else { 0..meter.samples() };
    let samples = range.end - range.start;
    let rate = u64::from(settings.rate);
    if samples * 2 < rate {
        return Err(Error::TooShort { millis: samples * 1_000 / rate });
    }
    Ok(range)
}

/// The second pass: the samples to encode, from memory or decoded again.
pub(super) struct Replay<'a> {
    blocks: Blocks<'a>,
    position: u64,
    samples: u64,
    range: Range<u64>,
    channels: usize,
}

enum Blocks<'a> {
    Kept(vec::IntoIter<Vec<f32>>),
    Again(Box<Shaper<'a>>),
}

impl<'a> Replay<'a> {
    pub(super) fn new(survey: Survey, source: &'a dyn Source, settings: &Settings) -> Result<Self, Error> {
        let blocks = match survey.kept {
            Some(kept) => Blocks::Kept(kept.into_iter()),
            None => Blocks::Again(Box::new(Shaper::new(source.open()?, settings))),
        };
        let channels = usize::from(settings.channels);
        Ok(Self { blocks, position: 0, samples: survey.samples, range: survey.range, channels })
    }

    /// The next interleaved samples, which may be none at all, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<f32>>, Error> {
        let block = match &mut self.blocks {
            Blocks::Kept(blocks) => blocks.next(),
            Blocks::Again(shaper) => shaper.next()?,
        };
        let Some(mut block) = block else {
            return if self.position == self.samples { Ok(None) } else { Err(changed()) };
        };
        let len = (block.len() / self.channels) as u64;
        let within = |edge: u64| edge.saturating_sub(self.position).min(len) as usize * self.channels;
        let (start, end) = (within(self.range.start), within(self.range.end));
        self.position += len;
        block.truncate(end);
        block.drain(..start);
        Ok(Some(block))
    }
}

fn changed() -> Error {
    Error::Read(io::Error::other("it changed while it was being encoded"))
}
