//! From scores to samples. A mix is a plain sum of sounds, so any stretch of it can be made alone and comes out equal:
//! all that sounds into the stretch is added, in the order of the score.

use std::collections::HashMap;

use super::{
    math::smooth,
    score::{LOOK_BACK_BARS, Layer, Score},
    voice::Sound,
};

/// Highest level the mix can reach: −1.3 dBFS.
const CEILING: f32 = 0.86;

/// How hard the mix is driven into the clip.
const DRIVE: f32 = 1.15;

/// Samples of sounds that are kept for the next time they are needed (32 MB).
const HELD_FRAMES: usize = 4_000_000;

/// Seconds over which a piece is faded out at its very end.
const LAST_FADE_SECONDS: f32 = 1.2;

/// Levels of the four groups of instruments, 1 being the usual one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Faders {
    /// Everything that is struck.
    pub drums: f32,
    /// The bass.
    pub bass: f32,
    /// Guitar, piano, organ and pad.
    pub chords: f32,
    /// Tune and horns.
    pub lead: f32,
}

impl Default for Faders {
    fn default() -> Self {
        Self { drums: 1.0, bass: 1.0, chords: 1.0, lead: 1.0 }
    }
}

impl Faders {
    fn of(&self, layer: Layer) -> f32 {
        match layer {
            Layer::Drums => self.drums,
            Layer::Bass => self.bass,
            Layer::Chords => self.chords,
            Layer::Lead => self.lead,
        }
    }
}

/// Sounds of one sample rate that have been made already. Only speed depends on it.
#[derive(Debug, Default)]
pub(super) struct Mixer {
    rate: u32,
    sounds: HashMap<Sound, Vec<[f32; 2]>>,
    held_frames: usize,
}

impl Mixer {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, ..Self::default() }
    }

    /// `frames` samples of a score from a position on, left and right in turn; silence beyond its end.
    pub(super) fn render(&mut self, score: &Score, faders: &Faders, from: u64, frames: usize) -> Vec<f32> {
        let mut mix = vec![[0.0; 2]; frames];
        let until = from + frames as u64;
        let first = score.tempo().bar(from).saturating_sub(LOOK_BACK_BARS);
        for bar in first..=score.tempo().bar(until) + 1 {
            for event in score.events(bar) {
                let end = event.sample + event.sound.frames(self.rate) as u64;
                let gain = event.gain * faders.of(event.layer);
                if event.sample < until && end > from && gain > 0.0 {
                    add(&mut mix, from, event.sample, self.sound(event.sound), gain);
                }
            }
        }
        let last = score.samples();
        let fade = LAST_FADE_SECONDS * self.rate as f32;
        let shape = |(i, frame): (usize, &[f32; 2])| {
            let left = last.map_or(f32::MAX, |last| last.saturating_sub(from + i as u64 + 1) as f32);
            let gain = CEILING * smooth(left / fade);
            frame.map(|sample| gain * soft_clip(DRIVE * sample))
        };
        mix.iter().enumerate().flat_map(shape).collect()
    }

    fn sound(&mut self, sound: Sound) -> &[[f32; 2]] {
        if self.held_frames > HELD_FRAMES {
            self.sounds.clear();
            self.held_frames = 0;
        }
        self.sounds.entry(sound).or_insert_with(|| {
            let frames = sound.render(self.rate);
            self.held_frames += frames.len();
            frames
        })
    }
}

/// Adds a sound that begins at sample `at` to a stretch that begins at sample `from`; they overlap.
fn add(mix: &mut [[f32; 2]], from: u64, at: u64, sound: &[[f32; 2]], gain: f32) {
    let (into_mix, into_sound) = (at.saturating_sub(from) as usize, from.saturating_sub(at) as usize);
    for (frame, heard) in mix[into_mix..].iter_mut().zip(&sound[into_sound..]) {
        *frame = [frame[0] + gain * heard[0], frame[1] + gain * heard[1]];
    }
}

/// Straight for small levels, bends gently, never beyond ±1.
fn soft_clip(x: f32) -> f32 {
    let x = x.clamp(-3.0, 3.0);
    x * (27.0 + x * x) / (27.0 + 9.0 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clip_is_straight_then_bends_and_never_passes_one() {
        assert!((soft_clip(0.1) - 0.1).abs() < 0.001);
        assert!(soft_clip(0.7) < 0.7 && soft_clip(0.7) > 0.6);
        assert!((-5000..=5000).all(|i| soft_clip(i as f32 / 100.0).abs() <= 1.000_001));
        assert!((-300..300).all(|i| soft_clip(i as f32 / 100.0) <= soft_clip((i + 1) as f32 / 100.0) + 1e-6));
    }
}
