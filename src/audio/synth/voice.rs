//! The instruments. A voice is everything that decides how one hit or note sounds; the same voice always gives the
//! same samples, so each is made once and then added wherever the score asks for it.

use super::{
    instruments,
    math::Random,
    timbre::{band, fade_ends, room},
};

/// Three notes at once, as MIDI numbers.
pub(super) type Triad = [u8; 3];

/// One hit or note; lengths are samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Voice {
    Kick,
    /// Stick across the snare's rim: the sound of the one drop.
    Rim,
    Snare,
    Hat {
        open: bool,
        take: u8,
    },
    Shaker {
        take: u8,
    },
    Tom {
        note: u8,
    },
    Crash,
    Bass {
        note: u8,
        length: u32,
    },
    /// The guitar's off-beat chord.
    Chop {
        notes: Triad,
        up: bool,
    },
    Piano {
        notes: Triad,
    },
    Organ {
        notes: Triad,
        length: u32,
    },
    Pad {
        notes: Triad,
        length: u32,
    },
    Horns {
        notes: Triad,
        length: u32,
    },
    Melodica {
        note: u8,
        length: u32,
    },
    Flute {
        note: u8,
        length: u32,
    },
    Steel {
        note: u8,
    },
    Bell {
        note: u8,
    },
    Riser {
        length: u32,
    },
    Siren {
        length: u32,
    },
}

/// Where and how far away a voice stands.
struct Place {
    /// −1 is left, 1 is right.
    pan: f32,
    /// Level of the room against the voice itself.
    wet: f32,
    /// How long the room rings.
    seconds: f64,
}

/// A voice, or one of its echoes, as it is added to the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Sound {
    pub(super) voice: Voice,
    /// 0 is the voice itself, n its nth echo: each is darker and thinner and on the other side.
    pub(super) echo: u8,
}

impl Sound {
    /// How many samples it lasts, its room included.
    pub(super) fn frames(self, rate: u32) -> usize {
        let dry = self.voice.frames(rate);
        let place = self.voice.place();
        if self.echo > 0 || place.wet == 0.0 { dry } else { dry + (place.seconds * f64::from(rate)) as usize }
    }

    /// The samples, left and right.
    pub(super) fn render(self, rate: u32) -> Vec<[f32; 2]> {
        let mut dry = vec![0.0; self.voice.frames(rate)];
        let rate_f = f64::from(rate);
        instruments::play(self.voice, &mut dry, rate_f, &mut self.voice.seed());
        for _ in 0..self.echo {
            band(&mut dry, rate_f, 240.0, 2600.0);
        }
        fade_ends(&mut dry, (0.0007 * rate_f) as usize, (0.006 * rate_f) as usize);
        let place = self.voice.place();
        let pan = match self.echo {
            0 => place.pan,
            n if n % 2 == 1 => 0.6,
            _ => -0.6,
        };
        let sides = [(1.0 - pan).sqrt(), (1.0 + pan).sqrt()];
        if self.echo > 0 || place.wet == 0.0 {
            return dry.iter().map(|sample| sides.map(|side| side * sample)).collect();
        }
        let mut out = room(&dry, rate_f, self.frames(rate), place.seconds);
        for frame in &mut out {
            *frame = frame.map(|sample| place.wet * sample);
        }
        for (frame, sample) in out.iter_mut().zip(&dry) {
            *frame = [frame[0] + sides[0] * sample, frame[1] + sides[1] * sample];
        }
        out
    }
}

impl Voice {
    fn frames(self, rate: u32) -> usize {
        let seconds = |seconds: f64| (seconds * f64::from(rate)) as usize;
        match self {
            Self::Kick => seconds(0.36),
            Self::Rim => seconds(0.12),
            Self::Snare => seconds(0.26),
            Self::Hat { open: false, .. } => seconds(0.09),
            Self::Hat { open: true, .. } => seconds(0.24),
            Self::Shaker { .. } => seconds(0.11),
            Self::Tom { .. } => seconds(0.42),
            Self::Crash => seconds(2.2),
            Self::Chop { .. } => seconds(0.2),
            Self::Piano { .. } => seconds(0.24),
            Self::Steel { .. } => seconds(1.3),
            Self::Bell { .. } => seconds(2.6),
            Self::Bass { length, .. } => length as usize + seconds(0.04),
            Self::Organ { length, .. } => length as usize + seconds(0.02),
            Self::Pad { length, .. } => length as usize + seconds(0.12),
            Self::Horns { length, .. } | Self::Melodica { length, .. } | Self::Flute { length, .. } => {
                length as usize + seconds(0.08)
            }
            Self::Riser { length } | Self::Siren { length } => length as usize,
        }
    }

    fn place(self) -> Place {
        let (pan, wet, seconds) = match self {
            Self::Kick | Self::Bass { .. } => (0.0, 0.0, 0.0),
            Self::Rim => (-0.08, 0.30, 0.9),
            Self::Snare => (0.05, 0.32, 1.1),
            Self::Hat { .. } => (0.28, 0.0, 0.0),
            Self::Shaker { .. } => (-0.45, 0.0, 0.0),
            Self::Tom { note } => (f32::from(note) / 16.0 - 3.5, 0.25, 0.9),
            Self::Crash => (-0.2, 0.0, 0.0),
            Self::Chop { .. } => (-0.38, 0.22, 0.7),
            Self::Piano { .. } => (0.1, 0.22, 0.7),
            Self::Organ { .. } => (0.4, 0.0, 0.0),
            Self::Pad { .. } => (0.0, 0.6, 0.9),
            Self::Horns { .. } => (0.2, 0.3, 1.0),
            Self::Melodica { .. } | Self::Flute { .. } => (-0.12, 0.3, 1.2),
            Self::Steel { .. } => (0.12, 0.25, 0.9),
            Self::Bell { .. } => (0.0, 0.3, 1.2),
            Self::Riser { .. } => (0.0, 0.4, 0.9),
            Self::Siren { .. } => (0.15, 0.3, 1.0),
        };
        Place { pan, wet, seconds }
    }

    fn seed(self) -> Random {
        Random::of(&match self {
            Self::Kick => [1, 0, 0],
            Self::Rim => [2, 0, 0],
            Self::Snare => [3, 0, 0],
            Self::Hat { open, take } => [4, u64::from(open), u64::from(take)],
            Self::Shaker { take } => [5, u64::from(take), 0],
            Self::Tom { note } => [6, u64::from(note), 0],
            Self::Crash => [7, 0, 0],
            Self::Chop { notes, up } => [8, u64::from(up), notes.iter().fold(0, |n, &note| n * 128 + u64::from(note))],
            Self::Steel { note } => [9, u64::from(note), 0],
            Self::Melodica { note, .. } => [10, u64::from(note), 0],
            Self::Flute { note, .. } => [11, u64::from(note), 0],
            Self::Bass { note, .. } => [12, u64::from(note), 0],
            _ => [13, 0, 0],
        })
    }
}
