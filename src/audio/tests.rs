//! The whole chain, from PCM and from files, read back by a decoder and a transport stream parser of the tests' own.

use std::sync::atomic::AtomicBool;

use super::*;

mod ts;

/// PCM in memory.
struct Pcm(Block);

struct PcmStream<'a>(std::slice::Chunks<'a, f32>, &'a Block);

impl Source for Pcm {
    fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
        Ok(Box::new(PcmStream(self.0.samples.chunks(1_152 * usize::from(self.0.channels)), &self.0)))
    }
}

impl Stream for PcmStream<'_> {
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let block = |samples: &[f32]| Block { samples: samples.to_vec(), ..*self.1 };
        Ok(self.0.next().map(block))
    }
}
