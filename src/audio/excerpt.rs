//! A part of a recording, louder or quieter than it is.

use super::{Block, Error, Flaws, Reference, Source, Stream, level::from_db};
use crate::radio::time::Span;

/// Which part of a recording counts, and how it is changed before anything is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Where it begins.
    pub from: Span,
    /// Where it ends; at the end of the recording where nothing is said.
    pub until: Option<Span>,
    /// How much louder it is, in dB; negative for quieter.
    pub gain_db: f64,
}

/// A part of another source.
#[derive(Clone, Copy)]
pub struct Excerpt<'a> {
    /// The whole.
    pub source: &'a dyn Source,
    /// What counts of it.
    pub part: Part,
}

impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Excerpt").field("part", &self.part).finish_non_exhaustive()
    }
}

impl Excerpt<'_> {
    fn of<'a>(&self, stream: Box<dyn Stream + 'a>) -> Box<dyn Stream + 'a> {
        let gain = from_db(self.part.gain_db) as f32;
        Box::new(ExcerptStream { stream, part: self.part, gain, at: Span(0), rate: 0, frames: 0 })
    }
}

impl Source for Excerpt<'_> {
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

struct ExcerptStream<'a> {
    stream: Box<dyn Stream + 'a>,
    part: Part,
    gain: f32,
    /// Where the frames of the rate at hand began; a chain of recordings may change it.
    at: Span,
    rate: u32,
    /// How many frames there were since.
    frames: u64,
}

impl ExcerptStream<'_> {
    /// Leaves of a block what is of the part.
    fn cut(&mut self, block: &mut Block) {
        if block.rate != self.rate {
            self.at = Span(self.at.0 + if self.rate == 0 { 0 } else { Span::of_samples(self.frames, self.rate).0 });
            (self.rate, self.frames) = (block.rate, 0);
        }
        let channels = usize::from(block.channels).max(1);
        let len = block.samples.len() / channels;
        let begins = self.frames;
        self.frames += len as u64;
        let within = |edge: Span| {
            let edge = Span(edge.0.saturating_sub(self.at.0)).to_samples(self.rate);
            usize::try_from(edge.saturating_sub(begins)).unwrap_or(len).min(len) * channels
        };
        block.samples.truncate(self.part.until.map_or(len * channels, within));
        block.samples.drain(..within(self.part.from).min(block.samples.len()));
        if self.part.gain_db != 0.0 {
            block.samples.iter_mut().for_each(|sample| *sample *= self.gain);
        }
    }
}

impl Stream for ExcerptStream<'_> {
    /// What lies behind the part is read as well: a recording says at its end only whether it is whole.
    fn next(&mut self) -> Result<Option<Block>, Error> {
        let mut block = self.stream.next()?;
        if let Some(block) = block.as_mut().filter(|block| !block.samples.is_empty() && block.rate > 0) {
            self.cut(block);
        }
        Ok(block)
    }

    fn warnings(&self) -> Vec<String> {
        self.stream.warnings()
    }

    /// What is clipped is not known of a part, nor where it is louder or quieter: what it gives is looked at again.
    fn flaws(&self) -> Flaws {
        let flaws = self.stream.flaws();
        if self.part == Part::default() { flaws } else { Flaws { clipped: 0, ..flaws } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of these lengths at these rates; every sample is its number in the whole.
    struct Blocks(Vec<(u32, usize)>);

    struct BlocksStream<'a>(std::slice::Iter<'a, (u32, usize)>, usize);

    impl Source for Blocks {
        fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
            Ok(Box::new(BlocksStream(self.0.iter(), 0)))
        }
    }

    impl Stream for BlocksStream<'_> {
        fn next(&mut self) -> Result<Option<Block>, Error> {
            Ok(self.0.next().map(|&(rate, frames)| {
                let first = self.1;
                self.1 += frames;
                let samples = (first..self.1).flat_map(|frame| [frame as f32, -(frame as f32)]).collect();
                Block { rate, channels: 2, samples }
            }))
        }
    }

    #[test]
    fn what_is_clipped_in_the_whole_is_not_told_of_a_part() {
        struct Clipped;
        struct ClippedStream;
        impl Source for Clipped {
            fn open(&self) -> Result<Box<dyn Stream + '_>, Error> {
                Ok(Box::new(ClippedStream))
            }

            fn open_again(&self) -> Result<Box<dyn Stream + '_>, Error> {
                Err(Error::Format("again".to_owned()))
            }
        }
        impl Stream for ClippedStream {
            fn next(&mut self) -> Result<Option<Block>, Error> {
                Ok(None)
            }

            fn flaws(&self) -> Flaws {
                Flaws { clipped: 3, lost: 5, ..Flaws::default() }
            }
        }
        let of = |part: Part| {
            let flaws = Excerpt { source: &Clipped, part }.open().unwrap().flaws();
            (flaws.clipped, flaws.lost)
        };
        let second = Span::seconds(1);
        assert_eq!(of(Part::default()), (3, 5));
        let parts = [Part { from: second, ..Part::default() }, Part { until: Some(second), ..Part::default() }];
        for part in [parts[0], parts[1], Part { gain_db: -3.0, ..Part::default() }] {
            assert_eq!(of(part), (0, 5), "{part:?}");
        }
        let again = Excerpt { source: &Clipped, part: Part::default() };
        assert!(again.open_again().is_err_and(|error| error.to_string().contains("again")));
    }

    fn heard(blocks: &[(u32, usize)], part: Part) -> Vec<f32> {
        let source = Blocks(blocks.to_vec());
        let excerpt = Excerpt { source: &source, part };
        let mut stream = excerpt.open().unwrap();
        let mut samples = Vec::new();
        while let Some(block) = stream.next().unwrap() {
            samples.extend(block.samples);
        }
        samples.iter().step_by(2).zip(samples.iter().skip(1).step_by(2)).for_each(|(a, b)| assert_eq!(*a, -b));
        samples.into_iter().step_by(2).collect()
    }

    #[test]
    fn a_part_is_cut_to_the_sample_whatever_the_blocks() {
        let part =
            |from, until: Option<u64>| Part { from: Span::millis(from), until: until.map(Span::millis), gain_db: 0.0 };
        let whole: Vec<f32> = (0..1_000).map(|frame| frame as f32).collect();
        for blocks in
            [vec![(1_000, 1_000)], vec![(1_000, 300), (1_000, 0), (1_000, 1), (1_000, 699)], vec![(1_000, 10); 100]]
        {
            assert_eq!(heard(&blocks, Part::default()), whole);
            assert_eq!(heard(&blocks, part(250, Some(750))), whole[250..750]);
            assert_eq!(heard(&blocks, part(301, None)), whole[301..]);
            assert_eq!(heard(&blocks, part(0, Some(1))), whole[..1]);
            assert_eq!(heard(&blocks, part(0, Some(9_999))), whole);
            assert_eq!(heard(&blocks, part(5_000, Some(9_999))), [0.0; 0]);
        }
    }

    #[test]
    fn a_chain_of_rates_is_cut_by_time() {
        let blocks = [(1_000, 500), (2_000, 500), (2_000, 500)];
        let part = Part { from: Span::millis(400), until: Some(Span::millis(600)), gain_db: 0.0 };
        assert_eq!(heard(&blocks, part), (400..700).map(|frame| frame as f32).collect::<Vec<_>>());
    }

    #[test]
    fn a_gain_is_applied_before_all_else() {
        let part = Part { gain_db: -20.0, ..Part::default() };
        assert_eq!(heard(&[(1_000, 3)], part), [0.0, 0.1, 0.2]);
    }
}
