//! One bitrate of an item: encoder, cut and multiplexer in a row.

use std::io;

use super::{
    Error, Part, Settings,
    cut::{Cut, FRAME},
    encode::Encoder,
    mpegts::Muxer,
};

/// Takes PCM and hands on segments.
pub(super) struct Rung {
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
    pub(super) fn open(index: usize, settings: &Settings, bitrate: u32, cut: Cut) -> Result<Self, Error> {
        let encoder = Encoder::open(settings.rate, settings.channels, bitrate)?;
        Ok(Self { index, encoder, muxer: Muxer::new(settings.rate), cut, part: 0, waiting: Vec::new() })
    }

    /// Takes interleaved samples.
    pub(super) fn feed(&mut self, pcm: &[i16], sink: &mut dyn FnMut(Part) -> io::Result<()>) -> Result<(), Error> {
        self.encoder.push(pcm, &mut self.waiting)?;
        self.hand_on(sink)
    }

    /// Ends the item.
    pub(super) fn finish(mut self, sink: &mut dyn FnMut(Part) -> io::Result<()>) -> Result<(), Error> {
        self.encoder.finish(&mut self.waiting)?;
        self.hand_on(sink)?;
        if self.cut.part(self.part).is_some() || !self.waiting.is_empty() {
            let (made, wanted) = (self.muxer.frames() + self.waiting.len() as u64, self.cut.frames());
            return Err(Error::Encoder(format!("{made} frames instead of {wanted}")));
        }
        Ok(())
    }

    /// Hands on each part that is complete.
    fn hand_on(&mut self, sink: &mut dyn FnMut(Part) -> io::Result<()>) -> Result<(), Error> {
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
