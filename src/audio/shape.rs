//! From what a source gives to PCM of the output's format, before any level is set.

use super::{Block, Error, Flaws, LONGEST, Settings, Stream, flaws::Inspector, mix, resample::Resampler};

/// Rates beyond this are damage, not recordings.
const HIGHEST_RATE: u32 = 768_000;

/// A source as interleaved PCM of the output's rate and channels, insane frames muted.
pub(super) struct Shaper<'a> {
    stream: Box<dyn Stream + 'a>,
    rate: u32,
    channels: usize,
    resampler: Option<Resampler>,
    ended: bool,
    inspector: Option<Inspector>,
    muted: u64,
    frames: u64,
}

/// What was found on the way through a source.
#[derive(Debug)]
pub(super) struct Found {
    /// What was odd, a sentence each.
    pub(super) warnings: Vec<String>,
    inspector: Option<Inspector>,
    /// What the stream itself tells of its flaws.
    told: Flaws,
}

impl Found {
    /// What is wrong or odd about the source, of which `loudness` was measured in LUFS.
    pub(super) fn flaws(self, loudness: Option<f64>) -> Flaws {
        match self.inspector {
            Some(inspector) => inspector.finish(loudness, self.told),
            None => self.told,
        }
    }
}

impl<'a> Shaper<'a> {
    pub(super) fn new(stream: Box<dyn Stream + 'a>, settings: &Settings) -> Self {
        let (rate, channels) = (settings.rate, usize::from(settings.channels));
        Self { stream, rate, channels, resampler: None, ended: false, inspector: None, muted: 0, frames: 0 }
    }

    /// One that looks for flaws as well.
    pub(super) fn inspecting(stream: Box<dyn Stream + 'a>, settings: &Settings) -> Self {
        Self { inspector: Some(Inspector::default()), ..Self::new(stream, settings) }
    }

    /// The next block of interleaved samples, which may be empty, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Vec<f32>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let shaped = match self.stream.next()? {
            Some(block) if block.samples.is_empty() => Vec::new(),
            Some(block) => self.shape(block)?,
            None => {
                self.ended = true;
                self.drain()?
            }
        };
        self.frames += (shaped.len() / self.channels) as u64;
        if self.frames > LONGEST * u64::from(self.rate) {
            return Err(Error::Format(format!("it is longer than {} hours", LONGEST / 3_600)));
        }
        Ok(Some(shaped))
    }

    /// What was found on the way.
    pub(super) fn finish(self) -> Found {
        let mut warnings = self.stream.warnings();
        if self.muted > 0 {
            warnings.push(format!("{} samples beyond +12 dBFS or not finite were muted", self.muted));
        }
        Found { warnings, inspector: self.inspector, told: Flaws { muted: self.muted, ..self.stream.flaws() } }
    }

    fn shape(&mut self, mut block: Block) -> Result<Vec<f32>, Error> {
        let channels = usize::from(block.channels);
        if !(1..=2).contains(&channels) {
            return Err(Error::Format(format!("{channels} channels; a source gives 1 or 2")));
        }
        if !(1..=HIGHEST_RATE).contains(&block.rate) {
            return Err(Error::Format(format!("a sample rate of {} Hz", block.rate)));
        }
        self.muted += mix::mute(&mut block.samples, channels);
        if let Some(inspector) = &mut self.inspector {
            inspector.add(&block.samples, channels);
        }
        let mixed = mix::to_channels(block.samples, channels, self.channels);
        let (mut rest, mut resampler) = match self.resampler.take() {
            Some(resampler) if resampler.from() == block.rate => (Vec::new(), resampler),
            other => {
                let rest = other.map_or_else(|| Ok(Vec::new()), Resampler::finish)?;
                (rest, Resampler::new(block.rate, self.rate, self.channels)?)
            }
        };
        let shaped = resampler.push(mixed)?;
        self.resampler = Some(resampler);
        if rest.is_empty() {
            return Ok(shaped);
        }
        rest.extend(shaped);
        Ok(rest)
    }

    fn drain(&mut self) -> Result<Vec<f32>, Error> {
        self.resampler.take().map_or_else(|| Ok(Vec::new()), Resampler::finish)
    }
}
