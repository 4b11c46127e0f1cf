//! What is wrong or odd about a source, in figures.

use super::level;

/// As high as this counts as full scale.
const FULL_SCALE: f32 = 0.999;
/// So many samples in a row at full scale are clipped.
const CLIPPED_RUN: u32 = 8;
/// What is quieter is silent, in LUFS.
const SILENT_LUFS: f64 = -60.0;
/// Stereo whose side is as far below its middle is mono: −60 dB, as a ratio of energies.
const MONO_RATIO: f64 = 1e-6;
/// Channels whose correlation is lower are each other's inverse.
const INVERTED_CORRELATION: f64 = -0.9;
/// Frames that are weighed side by side.
const LANES: usize = 4;

/// What is wrong or odd about a source. Samples are counted per channel, at the rate of the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// Samples that are lost in the middle of it and are silence now.
    pub lost: u64,
    /// Packets that cannot be decoded.
    pub decode_errors: u64,
    /// Samples that were muted: beyond +12 dBFS, or not finite.
    pub muted: u64,
    /// Places where a channel stays at full scale for eight samples or longer.
    pub clipped: u64,
    /// All of it is quieter than −60 LUFS.
    pub silent: bool,
    /// Both channels hold the same.
    pub mono: bool,
    /// One channel is the inverse of the other: in mono they cancel out.
    pub inverted: bool,
    /// It does not say which samples only prime and fill its codec: they stay, as silence at both ends.
    pub not_gapless: bool,
}

/// Counts the places where a channel is clipped.
#[derive(Debug, Default)]
pub(super) struct Clips {
    /// By channel: samples at full scale in a row.
    runs: Vec<u32>,
    found: u64,
}

impl Clips {
    /// Takes interleaved samples of any number of channels.
    pub(super) fn add(&mut self, samples: &[f32], channels: usize) {
        if self.runs.len() != channels {
            self.runs = vec![0; channels];
        }
        if level::highest(samples) >= FULL_SCALE || self.runs.iter().any(|run| *run > 0) {
            samples.chunks_exact(channels).for_each(|frame| self.count(frame));
        }
    }

    fn count(&mut self, frame: &[f32]) {
        for (run, sample) in self.runs.iter_mut().zip(frame) {
            *run = if sample.abs() >= FULL_SCALE { run.saturating_add(1) } else { 0 };
            self.found += u64::from(*run == CLIPPED_RUN);
        }
    }

    /// How many there were.
    pub(super) fn found(&self) -> u64 {
        self.found
    }
}

/// Looks at the samples of a source before they are changed.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    clips: Clips,
    /// Energy of the left channel, of the right, and what they have in common.
    energies: [[f64; LANES]; 3],
}

impl Inspector {
    /// Takes interleaved samples of one or two channels.
    pub(super) fn add(&mut self, samples: &[f32], channels: usize) {
        self.clips.add(samples, channels);
        if channels == 2 {
            let (some, rest) = samples.as_chunks::<{ 2 * LANES }>();
            some.iter().for_each(|frames| self.weigh(frames));
            rest.chunks(2).for_each(|frame| self.weigh(frame));
        }
    }

    /// Adds the energies of up to four frames side by side, so that no sum waits for the one before.
    #[inline]
    fn weigh(&mut self, frames: &[f32]) {
        let [lefts, rights, commons] = &mut self.energies;
        for (lane, [left, right]) in frames.as_chunks::<2>().0.iter().enumerate() {
            let (left, right) = (f64::from(*left), f64::from(*right));
            lefts[lane] += left * left;
            rights[lane] += right * right;
            commons[lane] += left * right;
        }
    }

    /// Adds what was found. `loudness` is that of the whole, in LUFS. What was clipped in more channels, before they were mixed to
    /// two, is in `so_far`: of that and of what was seen behind it, the more counts.
    pub(super) fn finish(&self, loudness: Option<f64>, so_far: Flaws) -> Flaws {
        let [left, right, common] = self.energies.map(|lanes| lanes.iter().sum::<f64>());
        let (middle, side) = ((left + right + 2.0 * common) / 4.0, (left + right - 2.0 * common) / 4.0);
        let stereo = left + right > 0.0;
        Flaws {
            clipped: self.clips.found().max(so_far.clipped),
            silent: loudness.is_none_or(|loudness| loudness < SILENT_LUFS),
            mono: stereo && side < middle * MONO_RATIO,
            inverted: stereo && common < INVERTED_CORRELATION * (left * right).sqrt(),
            ..so_far
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(samples: &[f32], channels: usize, block: usize) -> Flaws {
        let mut inspector = Inspector::default();
        samples.chunks(block * channels).for_each(|block| inspector.add(block, channels));
        inspector.finish(Some(-20.0), Flaws { lost: 3, ..Flaws::default() })
    }

    fn stereo(sample: impl Fn(usize) -> [f32; 2]) -> Vec<f32> {
        (0..10_000).flat_map(sample).collect()
    }

    #[test]
    fn runs_at_full_scale_are_counted_whatever_the_blocks() {
        let mut samples = vec![0.5; 100];
        samples[10..17].fill(1.0);
        samples[30..38].fill(-0.999_5);
        samples[50..90].fill(1.5);
        for block in [1, 3, 7, 100] {
            assert_eq!(found(&samples, 1, block).clipped, 2);
        }
        let one_side = stereo(|at| [if at % 100 < 8 { 1.0 } else { 0.1 }, 0.2]);
        assert_eq!(found(&one_side, 2, 333).clipped, 100);
        assert_eq!(found(&one_side, 1, 333).clipped, 0, "interleaved, no two are side by side");
    }

    #[test]
    fn each_of_many_channels_is_counted() {
        let mut clips = Clips::default();
        let frame = |at: usize| (0..6).map(move |channel| if channel == 4 && at % 50 < 8 { -1.0 } else { 0.3 });
        let samples: Vec<f32> = (0..1_000).flat_map(frame).collect();
        samples.chunks(6 * 7).for_each(|block| clips.add(block, 6));
        assert_eq!(clips.found(), 20);
    }

    #[test]
    fn of_what_was_clipped_before_and_behind_the_mixing_the_more_counts() {
        let behind = |before: u64| {
            let mut inspector = Inspector::default();
            inspector.add(&stereo(|at| [if at % 1_000 < 8 { 1.0 } else { 0.1 }, 0.2]), 2);
            inspector.finish(None, Flaws { clipped: before, ..Flaws::default() }).clipped
        };
        assert_eq!([0, 3, 10, 20].map(behind), [10, 10, 10, 20]);
    }

    #[test]
    fn what_two_channels_have_in_common_is_named() {
        let tone = |at: usize, hertz: f32| (at as f32 * hertz).sin();
        let named = |samples: Vec<f32>| (found(&samples, 2, 1_000).mono, found(&samples, 2, 1_000).inverted);
        assert_eq!(named(stereo(|at| [tone(at, 0.1); 2])), (true, false));
        assert_eq!(named(stereo(|at| [tone(at, 0.1), tone(at, 0.1) * 0.99])), (false, false), "6 mB to one side");
        assert_eq!(named(stereo(|at| [tone(at, 0.1), tone(at, 0.1) * -0.8])), (false, true));
        assert_eq!(named(stereo(|at| [tone(at, 0.1), tone(at, 0.13)])), (false, false));
        assert_eq!(named(stereo(|at| [tone(at, 0.1), 0.0])), (false, false), "one side alone");
        assert_eq!(named(stereo(|_| [0.0; 2])), (false, false));
        assert!(!found(&[0.5; 1_000], 1, 100).mono, "a source of one channel is not stereo");
    }

    #[test]
    fn silence_is_named_and_what_was_found_before_is_kept() {
        let inspector = Inspector::default();
        let before = Flaws { decode_errors: 2, ..Flaws::default() };
        assert!(inspector.finish(None, before.clone()).silent);
        assert!(inspector.finish(Some(-60.1), before.clone()).silent);
        assert_eq!(inspector.finish(Some(-59.9), before.clone()), before);
    }
}
