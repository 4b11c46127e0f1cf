//! How the instruments sound: each fills a buffer, as long as its note, from the onset on.

use super::{
    math::{Phase, Random, Table, decay, hertz, smooth},
    timbre::{
        Burst, Tone, add_burst, add_modes, add_string, add_sweep, add_tone, band, fade_ends, mode, set_peak,
        sweep_filter,
    },
    voice::{Triad, Voice},
};

/// Fills a silent buffer with a voice whose highest sample is 1.
pub(super) fn play(voice: Voice, out: &mut [f32], rate: f64, random: &mut Random) {
    match voice {
        Voice::Kick => kick(out, rate, random),
        Voice::Rim => rim(out, rate, random),
        Voice::Snare => snare(out, rate, random),
        Voice::Hat { open, .. } => hat(out, rate, open, random),
        Voice::Shaker { .. } => burst(out, rate, (0.012, 0.13, 3800.0, 8200.0), random),
        Voice::Tom { note } => tom(out, rate, note, random),
        Voice::Crash => crash(out, rate, random),
        Voice::Bass { note, .. } => bass(out, rate, note, random),
        Voice::Chop { notes, up } => chop(out, rate, notes, up, random),
        Voice::Piano { notes } => piano(out, rate, notes),
        Voice::Organ { notes, .. } => organ(out, rate, notes),
        Voice::Pad { notes, .. } => pad(out, rate, notes),
        Voice::Horns { notes, .. } => horns(out, rate, notes),
        Voice::Melodica { note, .. } => melodica(out, rate, note, random),
        Voice::Flute { note, .. } => flute(out, rate, note, random),
        Voice::Steel { note } => steel(out, rate, note, random),
        Voice::Bell { note } => bell(out, rate, note),
        Voice::Riser { .. } => riser(out, rate, random),
        Voice::Siren { .. } => siren(out, rate),
    }
    set_peak(out, 1.0);
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
    let (mut level, factor) = (1.0_f32, decay(3.2, rate));
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
    let mut air = vec![0.0; out.len()];
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
    out.iter_mut().enumerate().for_each(|(i, sample)| *sample *= smooth(i as f32 / frames));
    fade_ends(out, 0, (0.02 * rate) as usize);
}

fn siren(out: &mut [f32], rate: f64) {
    let (tone, swing) = (Table::new(&[1.0, 0.0, 0.3, 0.0, 0.12], 900.0, 6000.0), Table::sine());
    let (mut phase, mut wobble) = (Phase::default(), Phase::default());
    for sample in out.iter_mut() {
        let at = f64::from(wobble.read(&swing, Phase::step(2.4, rate)));
        *sample = phase.read(&tone, Phase::step(620.0 + 240.0 * at, rate));
    }
    let half = out.len() / 2;
    fade_ends(out, half / 4, half);
}
