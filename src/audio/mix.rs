//! From the channels of a recording to mono or stereo.

use std::f32::consts::FRAC_1_SQRT_2;

use symphonia::core::audio::{Channels, Position};

use super::Error;

/// Samples beyond this are damage, not music: +12 dBFS.
const INSANE: f32 = 3.981_071_7;
/// So many samples are looked at before the next branch.
const SIDE_BY_SIDE: usize = 64;

/// What a channel adds to left and right.
type Weight = [f32; 2];

/// Whether a sample can be part of a recording.
fn is_sane(sample: f32) -> bool {
    sample.abs() <= INSANE
}

/// Mutes each frame that holds a sample that is not finite or beyond +12 dBFS, and counts them.
pub(super) fn mute(samples: &mut [f32], channels: usize) -> u64 {
    // Nearly all blocks are sane: many samples are looked at side by side, without a branch for each.
    let are_sane = |samples: &[f32]| samples.iter().fold(true, |sane, sample| sane & is_sane(*sample));
    if samples.chunks(SIDE_BY_SIDE).all(are_sane) {
        return 0;
    }
    let mut muted = 0;
    for frame in samples.chunks_exact_mut(channels) {
        if !frame.iter().copied().all(is_sane) {
            frame.fill(0.0);
            muted += 1;
        }
    }
    muted
}

/// Makes mono of stereo (the mean) or stereo of mono (a copy).
pub(super) fn to_channels(samples: Vec<f32>, from: usize, to: usize) -> Vec<f32> {
    match (from, to) {
        (1, 2) => samples.iter().flat_map(|sample| [*sample, *sample]).collect(),
        (2, 1) => samples.as_chunks::<2>().0.iter().map(|[left, right]| (left + right) / 2.0).collect(),
        _ => samples,
    }
}

/// Mixes more than two channels down to stereo: ITU-R BS.775, scaled so that full scale everywhere stays full scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fold {
    weights: Vec<Weight>,
}

impl Fold {
    /// A fold for the layout of a recording, or none for mono and stereo.
    pub(super) fn for_layout(channels: &Channels) -> Result<Option<Self>, Error> {
        let count = channels.count();
        if (1..=2).contains(&count) {
            return Ok(None);
        }
        let positions = match channels {
            Channels::Positioned(positions) => Some(*positions),
            Channels::Discrete(count) => Position::from_wave_channel_count(u32::from(*count)),
            _ => None,
        };
        let Some(positions) = positions.filter(|_| count > 0) else {
            return Err(Error::Format(format!("{count} channels of an unknown layout cannot be mixed to stereo")));
        };
        let mut weights: Vec<Weight> = positions.iter().map(weight).collect();
        let full = |side: usize| weights.iter().map(|weight| weight[side]).sum::<f32>();
        let scale = 1.0 / full(0).max(full(1)).max(1.0);
        weights.iter_mut().flatten().for_each(|weight| *weight *= scale);
        Ok(Some(Self { weights }))
    }

    /// Stereo of interleaved frames. A frame with an insane sample becomes one that is muted and counted later.
    pub(super) fn apply(&self, samples: &[f32]) -> Vec<f32> {
        samples.chunks_exact(self.weights.len()).flat_map(|frame| self.frame(frame)).collect()
    }

    fn frame(&self, frame: &[f32]) -> [f32; 2] {
        if !frame.iter().copied().all(is_sane) {
            return [f32::NAN; 2];
        }
        let side = |side: usize| frame.iter().zip(&self.weights).map(|(sample, weight)| sample * weight[side]).sum();
        [side(0), side(1)]
    }
}

/// What the channel at a position adds to left and right: 1 in front, −3 dB at the sides and behind, nothing for LFE.
fn weight(position: Position) -> Weight {
    const LEFT: Position = Position::REAR_LEFT
        .union(Position::SIDE_LEFT)
        .union(Position::FRONT_LEFT_CENTER)
        .union(Position::FRONT_LEFT_WIDE)
        .union(Position::TOP_FRONT_LEFT)
        .union(Position::TOP_SIDE_LEFT)
        .union(Position::TOP_REAR_LEFT)
        .union(Position::BOTTOM_FRONT_LEFT);
    const RIGHT: Position = Position::REAR_RIGHT
        .union(Position::SIDE_RIGHT)
        .union(Position::FRONT_RIGHT_CENTER)
        .union(Position::FRONT_RIGHT_WIDE)
        .union(Position::TOP_FRONT_RIGHT)
        .union(Position::TOP_SIDE_RIGHT)
        .union(Position::TOP_REAR_RIGHT)
        .union(Position::BOTTOM_FRONT_RIGHT);
    match position {
        Position::FRONT_LEFT => [1.0, 0.0],
        Position::FRONT_RIGHT => [0.0, 1.0],
        Position::FRONT_CENTER => [FRAC_1_SQRT_2; 2],
        Position::LFE1 | Position::LFE2 => [0.0; 2],
        other if LEFT.contains(other) => [FRAC_1_SQRT_2, 0.0],
        other if RIGHT.contains(other) => [0.0, FRAC_1_SQRT_2],
        _ => [0.5; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_with_an_insane_sample_is_muted_as_a_whole() {
        let mut samples = [0.1, 0.2, f32::NAN, 0.3, 0.4, f32::NEG_INFINITY, 3.98, -3.98, 0.5, 3.982];
        assert_eq!(mute(&mut samples, 2), 3);
        assert_eq!(samples, [0.1, 0.2, 0.0, 0.0, 0.0, 0.0, 3.98, -3.98, 0.0, 0.0]);
    }

    #[test]
    fn mono_and_stereo_are_not_folded() {
        for layout in [Position::FRONT_CENTER, Position::FRONT_LEFT | Position::FRONT_RIGHT] {
            assert_eq!(Fold::for_layout(&Channels::Positioned(layout)).unwrap(), None);
        }
        assert_eq!(Fold::for_layout(&Channels::Discrete(2)).unwrap(), None);
    }

    #[test]
    fn full_scale_everywhere_stays_full_scale() {
        for count in 3..=18 {
            let fold = Fold::for_layout(&Channels::Discrete(count)).unwrap().unwrap();
            let [left, right] = fold.apply(&vec![1.0; usize::from(count)])[..] else { panic!("one frame") };
            assert!(left <= 1.000_001 && right <= 1.000_001 && left.max(right) > 0.999_999, "{count}: {left} {right}");
        }
    }

    #[test]
    fn sides_stay_on_their_side_and_low_effects_are_dropped() {
        let layout = Position::from_wave_channel_count(18).unwrap() | Position::LFE2;
        let fold = Fold::for_layout(&Channels::Positioned(layout)).unwrap().unwrap();
        for (index, position) in layout.iter().enumerate() {
            let mut frame = vec![0.0; layout.iter().count()];
            frame[index] = 1.0;
            let [left, right] = fold.apply(&frame)[..] else { panic!("one frame") };
            let name = position.to_string();
            match name.trim_matches(['[', ']']) {
                "LFE1" | "LFE2" => assert_eq!((left, right), (0.0, 0.0)),
                name if name.contains('L') => assert!(left > 0.0 && right == 0.0, "{name}"),
                name if name.ends_with('R') || name == "FRC" => assert!(left == 0.0 && right > 0.0, "{name}"),
                name => assert!(left > 0.0 && left == right, "{name}"),
            }
        }
    }

    #[test]
    fn insanity_in_one_channel_of_many_is_not_hidden_by_the_fold() {
        let fold = Fold::for_layout(&Channels::Discrete(6)).unwrap().unwrap();
        let mut folded = fold.apply(&[0.0, 0.0, 0.0, 0.0, 0.0, 4.0]);
        assert_eq!(mute(&mut folded, 2), 1);
    }

    #[test]
    fn a_layout_nobody_knows_is_refused() {
        for layout in [Channels::None, Channels::Discrete(64), Channels::Ambisonic(1)] {
            assert!(matches!(Fold::for_layout(&layout), Err(Error::Format(_))));
        }
    }
}
