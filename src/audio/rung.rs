//! The bitrates of an item, each with encoder, cut and multiplexer in a row; several are encoded side by side.

use std::{io, panic::resume_unwind, thread};

use super::{
    Error, Part, Settings,
    cut::{Cut, FRAME},
    encode::Encoder,
    mpegts::Muxer,
};

/// Samples that several rungs are given at a time: to begin a thread costs next to nothing beside what it encodes.
const SIDE_BY_SIDE: usize = 1 << 16;

/// Where segments go: in order, and for each part rung by rung.
pub(super) type Sink<'a> = dyn FnMut(Part) -> io::Result<()> + 'a;

/// All rungs of an item.
pub(super) struct Rungs {
    rungs: Vec<Rung>,
    /// What several of them have not been given yet.
    gathered: Vec<i16>,
}

impl Rungs {
    /// Opens the rungs of `settings`, at least one.
    pub(super) fn open(settings: &Settings, cut: Cut) -> Result<Self, Error> {
        let open = |(index, bitrate): (usize, &u32)| Rung::open(index, settings, *bitrate, cut);
        let rungs = settings.bitrates.iter().enumerate().map(open).collect::<Result<_, _>>()?;
        Ok(Self { rungs, gathered: Vec::new() })
    }

    /// Takes interleaved samples.
    pub(super) fn feed(&mut self, pcm: &[i16], sink: &mut Sink<'_>) -> Result<(), Error> {
        if let [only] = &mut self.rungs[..] {
            return only.feed(pcm, sink);
        }
        self.gathered.extend_from_slice(pcm);
        if self.gathered.len() < SIDE_BY_SIDE { Ok(()) } else { self.hand_on(false, sink) }
    }

    /// Ends the item.
    pub(super) fn finish(mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        if let [only] = &mut self.rungs[..] {
            return only.finish(sink);
        }
        self.hand_on(true, sink)
    }

    /// Encodes what was gathered, each rung on a thread of its own. All have the same cut: they complete the same parts.
    fn hand_on(&mut self, is_last: bool, sink: &mut Sink<'_>) -> Result<(), Error> {
        let pcm = std::mem::take(&mut self.gathered);
        let encode = |rung: &mut Rung| {
            let mut parts = Vec::new();
            let mut keep = |part| {
                parts.push(part);
                Ok(())
            };
            rung.feed(&pcm, &mut keep)?;
            if is_last {
                rung.finish(&mut keep)?;
            }
            Ok::<_, Error>(parts)
        };
        let made = thread::scope(|scope| {
            let running: Vec<_> = self.rungs.iter_mut().map(|rung| scope.spawn(|| encode(rung))).collect();
            let ended = running.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic)));
            ended.collect::<Result<Vec<Vec<Part>>, Error>>()
        })?;
        let mut parts: Vec<Part> = made.into_iter().flatten().collect();
        parts.sort_by_key(|part| (part.part, part.rung));
        parts.into_iter().try_for_each(sink).map_err(Error::Sink)
    }
}

/// Takes PCM and hands on segments.
struct Rung {
    index: usize,
    encoder: Encoder,
    muxer: Muxer,
    cut: Cut,
    part: u64,
    /// Frames of the part that is being filled.
    waiting: Vec<Vec<u8>>,
}

impl Rung {
    /// Opens rung `index` at `bitrate` b/s.
    fn open(index: usize, settings: &Settings, bitrate: u32, cut: Cut) -> Result<Self, Error> {
        let encoder = Encoder::open(settings.rate, settings.channels, bitrate)?;
        Ok(Self { index, encoder, muxer: Muxer::new(settings.rate), cut, part: 0, waiting: Vec::new() })
    }

    /// Takes interleaved samples.
    fn feed(&mut self, pcm: &[i16], sink: &mut Sink<'_>) -> Result<(), Error> {
        self.encoder.push(pcm, &mut self.waiting)?;
        self.hand_on(sink)
    }

    /// Ends the item.
    fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.encoder.finish(&mut self.waiting)?;
        self.hand_on(sink)?;
        if self.cut.part(self.part).is_some() || !self.waiting.is_empty() {
            let (made, wanted) = (self.muxer.frames() + self.waiting.len() as u64, self.cut.frames());
            return Err(Error::Encoder(format!("{made} frames instead of {wanted}")));
        }
        Ok(())
    }

    /// Hands on each part that is complete.
    fn hand_on(&mut self, sink: &mut Sink<'_>) -> Result<(), Error> {
        while let Some(frames) = self.cut.part(self.part) {
            let len = (frames.end - frames.start) as usize;
            if self.waiting.len() < len {
                break;
            }
            let frames: Vec<Vec<u8>> = self.waiting.drain(..len).collect();
            let bytes = self.muxer.segment(&frames)?;
            let samples = len as u32 * FRAME as u32;
            sink(Part { rung: self.index, part: self.part as u32, samples, bytes }).map_err(Error::Sink)?;
            self.part += 1;
        }
        Ok(())
    }
}
