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

    /// Its parts.
    pub(super) fn parts(self) -> u64 {
        self.parts
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_are_equal_whole_and_no_longer_than_asked(
            samples in 1_u64..400_000_000,
            rate in prop_oneof![Just(44_100), Just(48_000)],
            seconds in 1_u32..=30,
        ) {
            let cut = Cut::new(samples, rate, seconds);
            let parts: Vec<_> = (0..).map_while(|index| cut.part(index)).collect();
            prop_assert_eq!(cut.frames(), 1 + samples.div_ceil(1_024));
            prop_assert_eq!((parts[0].start, parts.last().unwrap().end), (0, cut.frames()));
            prop_assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            let lengths = || parts.iter().map(|part| part.end - part.start);
            let (shortest, longest) = (lengths().min().unwrap(), lengths().max().unwrap());
            prop_assert!(shortest >= 1 && longest - shortest <= 1);
            prop_assert!(longest * 1_024 <= u64::from(seconds) * u64::from(rate));
            // One part fewer would make one of them too long.
            let fewer = parts.len() as u64 - 1;
            prop_assert!(fewer == 0 || cut.frames().div_ceil(fewer) * 1_024 > u64::from(seconds) * u64::from(rate));
        }
    }

    #[test]
    fn at_the_defaults_a_part_has_258_frames_at_most() {
        let parts = |frames: u64| {
            let cut = Cut::new((frames - 1) * 1_024, 44_100, 6);
            (0..).map_while(|index| cut.part(index)).map(|part| part.end - part.start).collect::<Vec<_>>()
        };
        assert_eq!(parts(258), [258]);
        assert_eq!(parts(259), [129, 130]);
        assert_eq!(parts(775), [193, 194, 194, 194]);
    }
}
