//! The instruments. A voice is everything that decides how one hit or note sounds; the same voice always gives the
//! same samples, so each is made once and then added wherever the score asks for it.

use super::{
    math::{Random, hertz},
    timbre::{
        Burst, Tone, add_burst, add_modes, add_string, add_sweep, add_tone, band, fade_ends, mode, room, set_peak,
        sweep_filter,
    },
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
        self.voice.render(&mut dry, rate_f);
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

    fn render(self, out: &mut [f32], rate: f64) {
        let random = &mut self.seed();
        match self {
            Self::Kick => kick(out, rate, random),
            Self::Rim => rim(out, rate, random),
            Self::Snare => snare(out, rate, random),
            Self::Hat { open, .. } => hat(out, rate, open, random),
            Self::Shaker { .. } => burst(out, rate, (0.012, 0.13, 3800.0, 8200.0), random),
            Self::Tom { note } => tom(out, rate, note, random),
            Self::Crash => crash(out, rate, random),
            Self::Bass { note, .. } => bass(out, rate, note, random),
            Self::Chop { notes, up } => chop(out, rate, notes, up, random),
            Self::Piano { notes } => piano(out, rate, notes),
            Self::Organ { notes, .. } => organ(out, rate, notes),
            Self::Pad { notes, .. } => pad(out, rate, notes),
            Self::Horns { notes, .. } => horns(out, rate, notes),
            Self::Melodica { note, .. } => melodica(out, rate, note, random),
            Self::Flute { note, .. } => flute(out, rate, note, random),
            Self::Steel { note } => steel(out, rate, note, random),
            Self::Bell { note } => bell(out, rate, note),
            Self::Riser { .. } => riser(out, rate, random),
            Self::Siren { .. } => siren(out, rate),
        }
        set_peak(out, 1.0);
    }
}

/// A burst of noise: attack, time to −60 dB, low and high end.
fn burst(out: &mut [f32], rate: f64, shape: (f64, f64, f64, f64), random: &mut Random) {
    let (attack, seconds, low_hertz, high_hertz) = shape;
    add_burst(out, rate, Burst { level: 1.0, attack, seconds, low_hertz, high_hertz }, random);
}

fn kick(out: &mut [f32], rate: f64, random: &mut Random) {
    add_sweep(out, rate, 175.0, mode(52.0, 1.0, 0.5), 0.11);
    let click = Burst { level: 0.5, attack: 0.0005, seconds: 0.02, low_hertz: 300.0, high_hertz: 2800.0 };
    add_burst(out, rate, click, random);
    band(out, rate, 22.0, 12_000.0);
    fade_ends(out, 0, (0.08 * rate) as usize);
}

fn rim(out: &mut [f32], rate: f64, random: &mut Random) {
    add_modes(out, rate, &[mode(415.0, 0.7, 0.07), mode(842.0, 0.5, 0.06), mode(1710.0, 1.0, 0.09)]);
    add_modes(out, rate, &[mode(2480.0, 0.45, 0.05)]);
    let stick = Burst { level: 0.9, attack: 0.0005, seconds: 0.025, low_hertz: 900.0, high_hertz: 5000.0 };
    add_burst(out, rate, stick, random);
}

fn snare(out: &mut [f32], rate: f64, random: &mut Random) {
    add_sweep(out, rate, 320.0, mode(205.0, 0.8, 0.16), 0.05);
    add_modes(out, rate, &[mode(348.0, 0.35, 0.12), mode(610.0, 0.16, 0.09)]);
    let wires = Burst { level: 1.1, attack: 0.0008, seconds: 0.22, low_hertz: 1000.0, high_hertz: 9000.0 };
    add_burst(out, rate, wires, random);
}

fn hat(out: &mut [f32], rate: f64, open: bool, random: &mut Random) {
    let seconds = if open { 0.42 } else { 0.11 };
    let noise = Burst { level: 1.0, attack: 0.001, seconds, low_hertz: 6000.0, high_hertz: 9800.0 };
    add_burst(out, rate, noise, random);
    let metal = [5210.0, 6130.0, 7340.0, 8420.0, 9380.0].map(|hertz| mode(hertz, 0.07, seconds * 0.8));
    add_modes(out, rate, &metal);
    fade_ends(out, 0, out.len() / 3);
}

fn tom(out: &mut [f32], rate: f64, note: u8, random: &mut Random) {
    let pitch = hertz(f64::from(note));
    add_sweep(out, rate, pitch * 1.5, mode(pitch, 1.0, 0.5), 0.09);
    add_modes(out, rate, &[mode(pitch * 1.59, 0.3, 0.25), mode(pitch * 2.14, 0.18, 0.2)]);
    let stick = Burst { level: 0.5, attack: 0.0005, seconds: 0.05, low_hertz: 500.0, high_hertz: 4200.0 };
    add_burst(out, rate, stick, random);
    fade_ends(out, 0, out.len() / 4);
}

fn crash(out: &mut [f32], rate: f64, random: &mut Random) {
    burst(out, rate, (0.002, 2.0, 3600.0, 8000.0), random);
    add_modes(out, rate, &[3170.0, 4230.0, 5480.0, 6610.0, 7790.0].map(|hertz| mode(hertz, 0.05, 1.6)));
    fade_ends(out, 0, out.len() / 2);
}

fn bass(out: &mut [f32], rate: f64, note: u8, random: &mut Random) {
    let tone = Tone {
        note: f64::from(note),
        level: 1.0,
        bright: &[1.0, 0.62, 0.40, 0.22, 0.14, 0.09, 0.05, 0.03],
        dark: &[1.0, 0.34, 0.12, 0.04],
        darkening: 0.7,
        attack: 0.007,
        release: 0.045,
        scoop: 0.25,
        vibrato: 0.0,
    };
    add_tone(out, rate, &tone);
    let finger = Burst { level: 0.12, attack: 0.001, seconds: 0.03, low_hertz: 200.0, high_hertz: 1400.0 };
    add_burst(out, rate, finger, random);
    let (mut level, factor) = (1.0_f32, super::math::decay(3.2, rate));
    for sample in out.iter_mut() {
        *sample *= level;
        level *= factor;
    }
}

fn chop(out: &mut [f32], rate: f64, notes: Triad, up: bool, random: &mut Random) {
    let strum = (0.0045 * rate) as usize;
    for (i, &note) in notes.iter().enumerate() {
        let order = if up { notes.len() - 1 - i } else { i };
        add_string(out, rate, note, order * strum, random);
    }
    band(out, rate, 320.0, 5000.0);
    fade_ends(out, (0.001 * rate) as usize, out.len() * 3 / 5);
}

fn piano(out: &mut [f32], rate: f64, notes: Triad) {
    for (i, note) in notes.into_iter().chain([notes[0] + 12]).enumerate() {
        let pitch = hertz(f64::from(note));
        for n in 1..=9_u8 {
            let n = f64::from(n);
            // A stiff string's partials are a little sharp.
            let partial = pitch * n * (1.0 + 0.000_35 * n * n);
            add_modes(out, rate, &[mode(partial, (1.0 / (n * 1.15)) as f32, 0.9 / (1.0 + 0.25 * n))]);
        }
        if i == 0 {
            add_modes(out, rate, &[mode(pitch * 0.5, 0.4, 0.5)]);
        }
    }
    band(out, rate, 220.0, 5200.0);
    fade_ends(out, (0.002 * rate) as usize, out.len() * 2 / 5);
}

fn organ(out: &mut [f32], rate: f64, notes: Triad) {
    const DRAWBARS: [f32; 8] = [0.9, 0.55, 0.5, 0.3, 0.0, 0.16, 0.0, 0.1];
    const STRUCK: [f32; 8] = [0.9, 0.7, 0.9, 0.4, 0.0, 0.3, 0.0, 0.2];
    for note in notes {
        for cents in [-4.0, 4.0] {
            let note = f64::from(note) + cents / 100.0;
            add_tone(out, rate, &sustained(note, &STRUCK, &DRAWBARS, (0.08, 0.004, 0.022)));
        }
    }
    band(out, rate, 170.0, 4800.0);
}

fn pad(out: &mut [f32], rate: f64, notes: Triad) {
    const SOFT: [f32; 6] = [1.0, 0.4, 0.3, 0.14, 0.08, 0.04];
    for note in notes {
        for cents in [-7.0, 6.0] {
            add_tone(out, rate, &sustained(f64::from(note) + cents / 100.0, &SOFT, &SOFT[..3], (0.8, 0.13, 0.16)));
        }
    }
}

/// A plain tone: where it starts and what it darkens to, then darkening, attack and release.
fn sustained<'a>(note: f64, bright: &'a [f32], dark: &'a [f32], times: (f64, f64, f64)) -> Tone<'a> {
    let (darkening, attack, release) = times;
    Tone { note, level: 1.0, bright, dark, darkening, attack, release, scoop: 0.0, vibrato: 0.0 }
}

fn horns(out: &mut [f32], rate: f64, notes: Triad) {
    let saw: Vec<f32> = (1..=18).map(|n| 1.0 / n as f32).collect();
    for (i, note) in notes.into_iter().enumerate() {
        for cents in [-5.0, 6.0] {
            let note = f64::from(note) + cents / 100.0;
            let mut tone = sustained(note, &saw, &saw, (1.0, 0.018 + 0.004 * i as f64, 0.07));
            tone.scoop = 0.5;
            tone.vibrato = 0.1;
            add_tone(out, rate, &tone);
        }
    }
    let blow = (0.06 * rate) as f32 / out.len() as f32;
    sweep_filter(out, rate, 0.9, |at| if at < blow { 700.0 + 2600.0 * at / blow } else { 3300.0 - 1500.0 * at });
}

fn melodica(out: &mut [f32], rate: f64, note: u8, random: &mut Random) {
    const REED: [f32; 14] = [1.0, 0.62, 0.7, 0.42, 0.46, 0.26, 0.24, 0.14, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02];
    let soft = REED.map(|level| level * 0.55);
    for cents in [-3.0, 4.0] {
        let mut tone = sustained(f64::from(note) + cents / 100.0, &soft, &REED, (0.25, 0.03, 0.07));
        tone.scoop = 0.18;
        tone.vibrato = 0.16;
        add_tone(out, rate, &tone);
    }
    breath(out, rate, 0.05, random);
    band(out, rate, 250.0, 3800.0);
}

fn flute(out: &mut [f32], rate: f64, note: u8, random: &mut Random) {
    let mut tone = sustained(f64::from(note), &[1.0, 0.5, 0.2, 0.08], &[1.0, 0.22, 0.07], (0.2, 0.045, 0.075));
    tone.scoop = 0.3;
    tone.vibrato = 0.2;
    add_tone(out, rate, &tone);
    breath(out, rate, 0.07, random);
}

/// The air that a player blows beside the note.
fn breath(out: &mut [f32], rate: f64, level: f32, random: &mut Random) {
    let start = out.len();
    let mut air = vec![0.0; start];
    let hiss = Burst { level, attack: 0.03, seconds: 2.5, low_hertz: 1200.0, high_hertz: 4500.0 };
    add_burst(&mut air, rate, hiss, random);
    fade_ends(&mut air, 0, (0.08 * rate) as usize);
    out.iter_mut().zip(&air).for_each(|(sample, air)| *sample += air);
}

fn steel(out: &mut [f32], rate: f64, note: u8, random: &mut Random) {
    let pitch = hertz(f64::from(note));
    let partials = [(1.0, 1.0, 1.3), (1.004, 0.3, 1.1), (2.0, 0.75, 0.9), (3.01, 0.36, 0.55), (4.02, 0.2, 0.4)];
    add_modes(out, rate, &partials.map(|(ratio, level, seconds)| mode(pitch * ratio, level, seconds)));
    add_modes(out, rate, &[mode(pitch * 5.43, 0.08, 0.2), mode(pitch * 6.8, 0.05, 0.12)]);
    let mallet = Burst { level: 0.25, attack: 0.0005, seconds: 0.03, low_hertz: 500.0, high_hertz: 3500.0 };
    add_burst(out, rate, mallet, random);
    fade_ends(out, (0.002 * rate) as usize, out.len() / 3);
}

fn bell(out: &mut [f32], rate: f64, note: u8) {
    let pitch = hertz(f64::from(note));
    let partials = [(0.5, 0.25, 3.0), (1.0, 1.0, 2.6), (1.19, 0.25, 1.6), (2.0, 0.55, 1.7), (2.74, 0.25, 1.0)];
    add_modes(out, rate, &partials.map(|(ratio, level, seconds)| mode(pitch * ratio, level, seconds)));
    add_modes(out, rate, &[mode(pitch * 4.07, 0.14, 0.6), mode(pitch * 5.4, 0.07, 0.35)]);
    fade_ends(out, (0.002 * rate) as usize, out.len() / 3);
}

fn riser(out: &mut [f32], rate: f64, random: &mut Random) {
    burst(out, rate, (0.0, 1000.0, 200.0, 7000.0), random);
    sweep_filter(out, rate, 0.5, |at| 300.0 + 3600.0 * at * at);
    let frames = out.len() as f32;
    out.iter_mut().enumerate().for_each(|(i, sample)| *sample *= super::math::smooth(i as f32 / frames));
    fade_ends(out, 0, (0.02 * rate) as usize);
}

fn siren(out: &mut [f32], rate: f64) {
    use super::math::{Phase, Table};
    let (tone, swing) = (Table::new(&[1.0, 0.0, 0.3, 0.0, 0.12], 900.0, 6000.0), Table::sine());
    let (mut phase, mut wobble) = (Phase::default(), Phase::default());
    for sample in out.iter_mut() {
        let at = f64::from(wobble.read(&swing, Phase::step(2.4, rate)));
        *sample = phase.read(&tone, Phase::step(620.0 + 240.0 * at, rate));
    }
    let half = out.len() / 2;
    fade_ends(out, half / 4, half);
}
