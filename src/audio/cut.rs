//! Where an item is cut: equal parts of whole AAC frames, in integers.

use std::ops::Range;

/// Samples per channel of one AAC frame.
pub(super) const FRAME: u64 = 1_024;

/// The cut of one item, the same for every rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cut {
    frames: u64,
    parts: u64,
}

impl Cut {
    /// Cuts an item of `samples` samples per channel: the frame that primes the decoder, then the item, the last frame
    /// filled up. No part lasts longer than `segment_seconds`, and parts differ by one frame at most.
    pub(super) fn new(samples: u64, rate: u32, segment_seconds: u32) -> Self {
        let frames = 1 + samples.div_ceil(FRAME);
        let longest = (u64::from(segment_seconds) * u64::from(rate) / FRAME).max(1);
        Self { frames, parts: frames.div_ceil(longest) }
    }

    /// AAC frames of the item.
    pub(super) fn frames(self) -> u64 {
        self.frames
    }

    /// Samples per channel of the item once it is encoded.
    pub(super) fn samples(self) -> u64 {
        self.frames * FRAME
    }

    /// Frames of part `index`, or `None` behind the last part.
    pub(super) fn part(self, index: u64) -> Option<Range<u64>> {
        let edge = |k: u64| k * self.frames / self.parts;
        (index < self.parts).then(|| edge(index)..edge(index + 1))
    }
}
