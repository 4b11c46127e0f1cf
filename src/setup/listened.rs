//! A source of which it is told how far it was read.

use crate::{
    audio::{Block, Error, Flaws, Reference, Source, Stream},
    radio::time::Span,
};

/// Another source, unchanged; `heard` is told after each block how much of it was read in this pass.
pub(super) struct Listened<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) heard: &'a (dyn Fn(Span) + Sync),
}

struct ListenedStream<'a> {
    stream: Box<dyn Stream + 'a>,
    heard: &'a (dyn Fn(Span) + Sync),
    at: Span,
}

impl<'a> Listened<'a> {
    fn of(&self, stream: Box<dyn Stream + 'a>) -> Box<dyn Stream + 'a> {
        Box::new(ListenedStream { stream, heard: self.heard, at: Span(0) })
    }
}

impl Source for Listened<'_> {
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
        Ok(self.of(self.source.open()?))
    }

    fn open_again(&self) -> Result<Box<dyn Stream + '_>, Error> {
        Ok(self.of(self.source.open_again()?))
    }

    fn stated_loudness(&self, reference: Reference) -> Option<f64> {
        self.source.stated_loudness(reference)
    }
}

impl Stream for ListenedStream<'_> {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let block = self.stream.next()?;
        if let Some(block) = block.as_ref().filter(|block| block.rate > 0 && block.channels > 0) {
            let frames = block.samples.len() as u64 / u64::from(block.channels);
            self.at.0 += Span::of_samples(frames, block.rate).0;
            (self.heard)(self.at);
        }
        Ok(block)
    }

    fn warnings(&self) -> Vec<String> {
        self.stream.warnings()
    }

    fn flaws(&self) -> Flaws {
        self.stream.flaws()
    }
}
